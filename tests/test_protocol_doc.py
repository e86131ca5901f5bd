"""docs/protocol.md: its octets are what they mean, and what our own programs send."""

from __future__ import annotations

import itertools
import json
import re
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

import zerorpc
from tests.conformance.driver.values import encode as encode_by_the_kit
from tests.service.running import PATIENCE, RawPeer, serving
from zerorpc import errors
from zerorpc.protocol import events, references
from zerorpc.protocol.call_header import CallHeader
from zerorpc.protocol.inquiry import TELL
from zerorpc.protocol.packing import encode_usual
from zerorpc.protocol.peer import EXTENSION_LEVEL
from zerorpc.zmtp import Connection, SocketType

TEXT = (Path(__file__).parents[1] / "docs" / "protocol.md").read_text(encoding="utf-8")
LEVEL = {"X-Zerorpc": str(EXTENSION_LEVEL).encode()}


def vectors() -> Iterator[tuple[str, bytes]]:
    """Each event that is shown, as JSON, and its octets."""
    part = TEXT.partition("\n## Vectors\n")[2]
    for block in re.findall(r"^```text\n(.*?)^```$", part, re.MULTILINE | re.DOTALL):
        for vector in block.split("\n\n"):
            meaning, _, octets = vector.partition("\n")
            yield meaning, bytes.fromhex(octets)


VECTORS = dict(vectors())


@pytest.mark.parametrize("meaning", VECTORS)
def test_octets_are_what_they_mean(meaning: str) -> None:
    assert VECTORS[meaning] == encode_by_the_kit(json.loads(meaning))
    header, name, args = msgspec.msgpack.decode(VECTORS[meaning])
    assert VECTORS[meaning] == events.encode(header, name, args)


def test_there_is_one_of_every_kind() -> None:
    shown = [json.loads(meaning) for meaning in VECTORS]
    names = {name for _, name, _ in shown}
    ours = {events.OK, events.ERR, events.STREAM, events.DONE, events.MORE, events.HEARTBEAT, events.CANCEL}
    ours |= {references.CALL_BACK, references.OUTCOME, references.FORGET, references.RELEASE}
    assert names - {"add", "total", "use", TELL} == ours | {events.GOAWAY, events.LATEST, events.DROPPED}
    keys = {events.TIMEOUT_KEY, events.CALL_KEY, events.RAN_KEY, events.ERROR_KEY, events.RETRY_AFTER_KEY}
    assert {key for header, _, _ in shown for key in header} == {"message_id", "v", "response_to"} | keys


def test_everything_that_a_request_may_say_besides_is_shown_and_listed() -> None:
    said = {key for meaning in VECTORS for key in json.loads(meaning)[0].get("_zpc_call", {})} - {"end"}
    assert said == {field.name for field in msgspec.structs.fields(CallHeader)}
    part = TEXT.partition("### What a request may say besides")[2].partition("\n### ")[0].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)) == said


def test_every_error_of_the_server_s_own_is_listed() -> None:
    listed = re.findall(r"^\| `(\w+)` \| `\w+` \| (?:nil|false)", TEXT, re.MULTILINE)
    assert listed == list(errors.SERVER_ERRORS)


def test_what_a_connection_begins_with() -> None:
    connection = Connection(SocketType.DEALER, properties=LEVEL)
    connection.receive_data(b"\xff" + bytes(8) + b"\x7f\x03\x01NULL" + bytes(48))
    sent = b"".join(connection.take_output())
    assert sent.hex(" ") in TEXT.replace("\n", " ")


# Our own programs


class Ids(zerorpc.Context):
    """Makes these message ids, and the last one for ever."""

    def __init__(self, *ids: str) -> None:
        super().__init__()
        self._ids = itertools.chain(ids, itertools.repeat(ids[-1]))

    def new_msgid(self) -> str:
        return next(self._ids)


def meaning(start: str) -> bytes:
    """The octets of the one vector whose meaning has this in it."""
    (found,) = (octets for meaning, octets in VECTORS.items() if start in meaning)
    return found


@pytest.fixture
def client_and_server() -> Iterator[tuple[zerorpc.Client, RawPeer]]:
    """A client of ours, and what plays its server; they have shaken hands, and no time is lost on the way."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with zerorpc.Client(endpoint, context=Ids("first", "q", "m"), timeout=30) as client:
            first = client.add(async_=True)
            with RawPeer(listener.accept()[0], SocketType.ROUTER, LEVEL) as server:
                server.handshake()
                server.next_data()
                server.send({"v": 3, "response_to": "first"}, "OK", [0])
                assert first.get() == 0
                yield client, server


Use = Callable[[Any], Any]
METADATA = {"trace": "abc", "key": b"\x00\xff"}


@pytest.mark.parametrize(
    ("use", "shown"),
    [
        (lambda client: zerorpc.options(client, async_=True).add(1, 2), '"v": 3}, "add"'),
        (lambda client: zerorpc.options(client, async_=True, timeout=5).add(1, 2), '3, "_zpc_timeout": 5.0}'),
        (lambda client: zerorpc.options(client, async_=True, timeout=None).add(1, 2), '3, "_zpc_timeout": null}'),
        (
            lambda client: zerorpc.options(client, async_=True, deadline=2.5, metadata=METADATA).add(1, right=2),
            '"_zpc_timeout": 2.5}',
        ),
        (lambda client: zerorpc.options(client, async_=True, words=True).add("1", "2"), '"words": true'),
    ],
)
def test_what_a_client_asks(client_and_server: tuple[zerorpc.Client, RawPeer], use: Use, shown: str) -> None:
    client, server = client_and_server
    call = use(client)
    assert server.next_data() == meaning(shown)
    server.send({"v": 3, "response_to": "q"}, "OK", [3])
    assert call.get() == 3


def test_what_a_client_says_of_the_old_spelling(client_and_server: tuple[zerorpc.Client, RawPeer]) -> None:
    client, server = client_and_server
    call = client.add(1, 2, timeout=5, async_=True)
    header, name, args = msgspec.msgpack.decode(server.next_data())
    assert header["_zpc_call"].pop("options") == ["timeout", "async_"]
    header["_zpc_call"]["options"] = ["timeout"]  # a blocking call would wait for its reply
    assert encode_usual((header, name, args)) == meaning('"options"')
    assert call.cancel()
    assert server.next_data() == meaning("_zpc_cancel")


def test_how_it_reads_a_stream(client_and_server: tuple[zerorpc.Client, RawPeer]) -> None:
    client, server = client_and_server
    call = client.count(async_=True)
    server.next_data()

    def send(*shown: str) -> None:
        for header, name, args in map(msgspec.msgpack.decode, map(meaning, shown)):
            server.send({**header, "response_to": "q"}, name, args)

    send('"STREAM", 0')
    stream = call.get()
    assert next(stream) == 0
    assert server.next_data() == meaning('"s"}, "_zpc_more", [100]').replace(b"\xa1s", b"\xa1q")
    send('"STREAM", 1', '"end": {"last": {"$bin": "00ff"}}}}, "STREAM_DONE"')
    assert list(stream) == [1]
    assert (stream.metadata, stream.end_metadata) == ({"first": "abc"}, {"last": b"\x00\xff"})


def for_the_call_of(request: str, start: str) -> bytes:
    """A vector's octets, as one of the call with this id."""
    header, name, args = msgspec.msgpack.decode(meaning(start))
    return encode_usual(({**header, "response_to": request}, name, args))


def numbers(breaks: bool) -> Iterator[int]:
    yield 7
    if breaks:
        raise OSError("no disk")


@pytest.mark.parametrize("end", ['"u"}, "STREAM_DONE"', "no disk"])
def test_how_it_sends_an_argument_that_streams(client_and_server: tuple[zerorpc.Client, RawPeer], end: str) -> None:
    client, server = client_and_server
    call = zerorpc.options(client, async_=True).total(numbers(breaks=end == "no disk"))
    assert server.next_data() == meaning('"total"').replace(b"\xa1u", b"\xa1q")
    server.send_data(for_the_call_of("q", '"u"}, "_zpc_more"'))
    assert server.next_data() == for_the_call_of("q", '"STREAM", 7')
    assert _without_traceback(server.next_data()) == for_the_call_of("q", end)
    server.send_data(meaning('"q"}, "OK", [3]'))
    if end == "no disk":
        with pytest.raises(OSError, match="no disk"):
            call.get()
    else:
        assert call.get() == 3


def test_how_it_reads_only_the_newest_item(client_and_server: tuple[zerorpc.Client, RawPeer]) -> None:
    client, server = client_and_server
    call = client.count(async_=True)
    server.next_data()
    server.send_data(for_the_call_of("q", '"STREAM", 0'))
    stream = call.get().latest()
    assert server.next_data() == for_the_call_of("q", "_zpc_latest")
    with ThreadPoolExecutor(1) as pool:
        items = pool.submit(list, stream)
        assert server.next_data() == for_the_call_of("q", '"_zpc_more", [1]')
        server.send_data(for_the_call_of("q", "_zpc_dropped"))
        server.send_data(for_the_call_of("q", '"STREAM", 1'))
        assert server.next_data() == for_the_call_of("q", '"_zpc_more", [1]')
        server.send_data(for_the_call_of("q", '"s"}, "STREAM_DONE", null'))
        assert (items.result(), stream.dropped) == ([0, 1], 7)


def test_how_it_makes_a_call_with_a_key_again(client_and_server: tuple[zerorpc.Client, RawPeer]) -> None:
    client, server = client_and_server
    call = zerorpc.options(client, async_=True, timeout=None, key="k", retry=zerorpc.Retry(backoff=0.001)).add(1, 2)
    assert server.next_data() == meaning('"_zpc_methods"')
    server.send_data(meaning('"answers"'))
    assert server.next_data() == meaning('"_zpc_call": {"key": "k"}')
    server.send_data(meaning("_zpc_retry_after"))
    assert server.next_data() == meaning('"attempt": 2')
    server.send_data(meaning('"q"}, "OK", [3]'))
    assert call.get() == 3


def test_how_it_lends_a_function(client_and_server: tuple[zerorpc.Client, RawPeer]) -> None:
    client, server = client_and_server
    call = zerorpc.options(client, async_=True).use(len, 2)
    assert server.next_data() == meaning('"lends"')
    server.send_data(meaning('"_zpc_call_back"'))
    assert server.next_data() == meaning('"_zpc_outcome", [1, true')
    server.send({"v": 3, "response_to": "q"}, "_zpc_call_back", [2, 1, "len", [5], {}])
    assert _without_trace(server.next_data()) == meaning("has no len()")
    server.send_data(meaning('"r", "v": 3, "response_to": "q"}, "_zpc_release"'))
    server.send({"v": 3, "response_to": "q"}, "_zpc_call_back", [3, 1, "len", ["abc"], {}])
    assert server.next_event().args[2][0] == "LookupError"
    server.send_data(meaning('"q"}, "OK", [3]'))
    assert call.get() == 3


def _without_trace(outcome: bytes) -> bytes:
    header, name, (number, returned, told) = msgspec.msgpack.decode(outcome)
    return encode_usual((header, name, [number, returned, [*told[:2], ""]]))


def test_how_it_calls_what_a_server_lends(client_and_server: tuple[zerorpc.Client, RawPeer]) -> None:
    client, server = client_and_server
    call = client.log_in(async_=True)
    server.next_data()
    server.send_data(meaning('"OK", [{"$octets"'))
    session = call.get()
    client._core.context._ids = iter(["q", "m"])
    adding = zerorpc.options(session, async_=True).add(1, 2)
    assert server.next_data() == meaning('"ref": 1')
    server.send_data(meaning('"q"}, "OK", [3]'))
    assert adding.get() == 3
    zerorpc.release(session)
    assert server.next_data() == meaning('"$bin": "00000000000000000000000000000000"')


def test_how_it_hears_that_a_server_stops(client_and_server: tuple[zerorpc.Client, RawPeer]) -> None:
    client, server = client_and_server
    call = client.add(async_=True)
    server.next_data()
    server.send_data(meaning('"r", "v": 3}, "_zpc_goaway"'))
    assert server.next_data() == meaning('[{"v": 3, "response_to": "r"}, "_zpc_goaway"')
    server.send_data(meaning('"q"}, "OK", [3]'))
    assert call.get() == 3


class Service:
    def __init__(self) -> None:
        self.added = 0
        self.made = threading.Event()

    @zerorpc.idempotent
    def add(self, left, right):  # type: ignore[no-untyped-def]  # annotations would be told as well
        self.added += 1
        return left + right

    def tell(self) -> int:
        call = zerorpc.current_call()
        call.reply_metadata["first"] = "abc"
        call.end_metadata["last"] = b"\x00\xff"
        return 3

    def fail(self) -> None:
        raise ValueError("boom")

    def count(self) -> Iterator[int]:
        self.tell()
        yield from (0, 1)

    def quiet(self) -> Iterator[int]:
        yield from (0, 1)

    async def total(self, numbers: AsyncIterator[int]) -> int:
        return sum([number async for number in numbers])

    async def use(self, function: Callable[..., Any], n: int) -> list[Any]:
        found = [await function("abc")]
        try:
            await function(n)
        except zerorpc.RemoteError as error:
            found.append(error.msg)
        try:
            with zerorpc.deadline(0.01):
                await function("never answered")
        except zerorpc.TimeoutExpired as error:
            found.append(type(error).__name__)
        function.release()
        return found

    def log_in(self) -> Any:
        return zerorpc.by_reference({"add": self.add})

    async def nine(self) -> AsyncIterator[int]:
        for number in range(9):
            yield number
        self.made.set()


def replies(level: int, header: dict[str, Any], method: str, *args: Any, last: str = "OK") -> list[bytes]:
    """What our server says to a request, in octets; no tracebacks."""
    got = []
    with serving(Service(), context=Ids("r")) as server:
        with RawPeer.to(server.endpoints[0], SocketType.DEALER, LEVEL if level else {}) as client:
            client.send(header, method, list(args))
            client.send({"message_id": "m", "v": 3, "response_to": header["message_id"]}, "_zpc_more", [100])
            while not got or msgspec.msgpack.decode(got[-1])[1] != last:
                got.append(_without_traceback(client.next_data()))
    return got


def _without_traceback(data: bytes) -> bytes:
    header, name, args = msgspec.msgpack.decode(data)
    return encode_usual((header, name, [*args[:2], None])) if name == "ERR" and len(args) == 3 else data


Q, S = {"message_id": "q", "v": 3}, {"message_id": "s", "v": 3}


@pytest.mark.parametrize(
    ("level", "header", "method", "args", "last", "shown"),
    [
        (1, Q, "add", (1, 2), "OK", ['"q"}, "OK", [3]']),
        (1, {**Q, "_zpc_call": {"kwargs": {"right": 2}}}, "add", (1,), "OK", ['"q"}, "OK", [3]']),
        (0, Q, "tell", (), "OK", ['"q"}, "OK", [3]']),
        (1, Q, "tell", (), "OK", ['"00ff"}}}}, "OK"']),
        (1, Q, "fail", (), "ERR", ["boom"]),
        (1, Q, "multiply", (), "ERR", ["UnknownMethod"]),
        (0, Q, "multiply", (), "ERR", ['"q"}, "ERR", ["NameError", "multiply"']),
        (0, {"message_id": "q"}, "multiply", (), "ERR", ["NameError('multiply')"]),
        (1, S, "count", (), "STREAM_DONE", ['"STREAM", 0', '"STREAM", 1', '"00ff"}}}}, "STREAM_DONE"']),
    ],
)
def test_what_a_server_answers(
    level: int, header: dict[str, Any], method: str, args: tuple[Any, ...], last: str, shown: list[str]
) -> None:
    assert replies(level, header, method, *args, last=last) == [meaning(one) for one in shown]


def test_the_end_of_a_stream_without_metadata() -> None:
    assert replies(1, S, "quiet", last="STREAM_DONE")[1:] == [
        meaning('"STREAM", 1'),
        meaning('"s"}, "STREAM_DONE", null'),
    ]


@pytest.fixture
def service_and_client() -> Iterator[tuple[Service, RawPeer]]:
    """Our server, whose only id is ``r``, and what plays its client."""
    service = Service()
    with serving(service, context=Ids("r")) as server:
        with RawPeer.to(server.endpoints[0], SocketType.DEALER, LEVEL) as client:
            yield service, client


@pytest.mark.parametrize("end", ['"u"}, "STREAM_DONE"', "no disk"])
def test_how_it_takes_an_argument_that_streams(service_and_client: tuple[Service, RawPeer], end: str) -> None:
    _, client = service_and_client
    client.send_data(meaning('"total"'))
    assert client.next_data() == meaning('"u"}, "_zpc_more"')
    client.send_data(meaning('"STREAM", 7'))
    client.send_data(meaning(end))
    event = client.next_event()
    if event.name == "_zpc_more":  # if it has read the item before the end came
        event = client.next_event()
    if "DONE" in end:
        assert (event.name, event.args) == ("OK", [7])
    else:
        assert (event.name, event.args[1]) == ("ERR", "OSError: no disk")


def test_how_it_sends_only_the_newest_item(service_and_client: tuple[Service, RawPeer]) -> None:
    service, client = service_and_client
    client.send(S, "nine", [])
    assert client.next_event().args == 0
    client.send_data(meaning("_zpc_latest"))
    assert service.made.wait(PATIENCE)
    client.send_data(meaning('"_zpc_more", [1]'))
    assert client.next_data() == meaning("_zpc_dropped")
    assert client.next_event().args == 8
    client.send_data(meaning('"_zpc_more", [1]'))
    assert client.next_data() == meaning('"s"}, "STREAM_DONE", null')


def test_how_it_calls_a_function_that_is_lent(service_and_client: tuple[Service, RawPeer]) -> None:
    service, client = service_and_client
    client.send_data(meaning('"lends"'))
    assert client.next_data() == meaning('"_zpc_call_back"')
    client.send_data(meaning('"within"'))  # which makes no difference here: there is room
    assert client.next_event().args == [3]
    client.send_data(meaning('"_zpc_outcome", [1, true'))
    for number, shown in ((2, None), (3, '"_zpc_forget"'), (None, '"r", "v": 3, "response_to": "q"}, "_zpc_release"')):
        data = client.next_data()
        if number is not None:
            assert msgspec.msgpack.decode(data)[2][:3] == [number, 1, "len"]
        if number == 2:
            client.send_data(meaning("has no len()"))
        elif shown is not None:
            assert (client.next_data() if number else data) == meaning(shown)
    assert client.next_event().args == [[3, "object of type 'int' has no len()", "TimeoutExpired"]]
    assert service.added == 1


def test_how_it_lends(service_and_client: tuple[Service, RawPeer]) -> None:
    _, client = service_and_client
    client.send(Q, "log_in", [])
    assert client.next_data() == meaning('"OK", [{"$octets"')
    for answer in ('"q"}, "OK", [3]', None):
        client.send_data(meaning('"ref": 1'))
        if answer is not None:
            assert client.next_data() == meaning(answer)
        else:
            assert client.next_event().name == "ERR"
        client.send_data(meaning('"$bin": "00000000000000000000000000000000"'))


def test_how_it_answers_calls_with_a_key(service_and_client: tuple[Service, RawPeer]) -> None:
    service, client = service_and_client
    client.send_data(meaning('"_zpc_methods"'))
    (told,) = client.next_event().args
    (shown,) = msgspec.msgpack.decode(meaning('"answers"'))[2]
    assert told["methods"]["add"] == shown["methods"]["add"]
    assert type(told.pop("answers")) is type(shown.pop("answers")) is str
    assert told.keys() == shown.keys()
    for start in ('"_zpc_call": {"key": "k"}', '"attempt": 2'):
        client.send_data(meaning(start))
        assert client.next_data() == meaning('"q"}, "OK", [3]')
    assert service.added == 1


def test_what_a_server_says_when_it_stops() -> None:
    with serving(Service(), context=Ids("r")) as server:
        with RawPeer.to(server.endpoints[0], SocketType.DEALER, LEVEL) as client:
            client.send(Q, "add", [1, 2])
            client.next_data()
            server.stop()
            assert client.next_data() == meaning('"r", "v": 3}, "_zpc_goaway"')
            client.send_data(meaning('[{"v": 3, "response_to": "r"}, "_zpc_goaway"'))
            with pytest.raises(EOFError):
                client.next_data()
