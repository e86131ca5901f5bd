"""Message ids of a program's own: any that MessagePack and a dict can hold work, both ways; others are refused."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import zerorpc
from tests.service.running import PATIENCE, TCP, RawPeer, eventually, on_thread, run, serving
from tests.service.services import HEADER
from zerorpc.protocol.events import decode_header


def counted(form: Callable[[int], Any]) -> Callable[[], Any]:
    return map(form, itertools.count(7)).__next__


class Text(str):
    __slots__ = ()


IDS: dict[str, Callable[[int], Any]] = {
    "16 octets": lambda n: n.to_bytes(16, "big"),
    "31 octets": lambda n: b"%031d" % n,
    "33 octets": lambda n: b"%033d" % n,
    "300 octets": lambda n: b"%0300d" % n,
    "few octets": lambda n: b"%d" % n,
    "text": lambda n: str(uuid.UUID(int=n)),
    "text of 32": lambda n: uuid.UUID(int=n).hex,
    "a str of its own type": Text,
    "int": lambda n: n,
    "large int": lambda n: 2**64 - n,
    "negative int": lambda n: -n,
}


def subclassed(new_id: Callable[[], Any]) -> zerorpc.Context:
    class Own(zerorpc.Context):
        def new_msgid(self) -> Any:
            return new_id()

    return Own()


def assigned(new_id: Callable[[], Any]) -> zerorpc.Context:
    context = zerorpc.Context()
    context.new_msgid = new_id  # type: ignore[method-assign]
    return context


WAYS = pytest.mark.parametrize("make", [subclassed, assigned])


class Service:
    def echo(self, value: Any) -> Any:
        return value

    async def echo_async(self, value: Any) -> Any:
        return value

    def count(self, n: int) -> Iterator[int]:
        yield from range(n)

    async def count_async(self, n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield i

    def fail(self) -> None:
        raise ValueError("why")


@WAYS
@pytest.mark.parametrize("ids", IDS)
def test_calls_and_streams_work_with_ids_of_any_kind(ids: str, make: Callable[[Any], zerorpc.Context]) -> None:
    contexts = {"server's": {"context": make(counted(IDS[ids]))}, "client's": {"context": make(counted(IDS[ids]))}}
    with serving(Service(), **contexts["server's"]) as server:
        for options in (contexts["client's"], {}):
            with zerorpc.Client(server.endpoints[0], timeout=PATIENCE, **options) as client:  # type: ignore[arg-type]
                for echo in (client.echo, client.echo_async):
                    assert [echo(n) for n in range(3)] == [0, 1, 2]
                for count in (client.count, client.count_async):
                    assert list(count(500, slots=5)) == list(range(500))
                with pytest.raises(zerorpc.RemoteError, match="why"):
                    client.fail()
        run(async_calls(server.endpoints[0], make(counted(IDS[ids]))))


async def async_calls(endpoint: str, context: zerorpc.Context) -> None:
    async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE, context=context) as client:
        assert await client.echo(1) == 1
        assert [n async for n in client.count(500, slots=5)] == list(range(500))


@pytest.mark.parametrize("ids", IDS)
def test_a_stranger_gets_the_servers_own_ids_in_every_event(ids: str) -> None:
    own = {IDS[ids](n) for n in range(7, 30)}
    context = subclassed(counted(IDS[ids]))
    with serving(Service(), context=context) as server, RawPeer.to(server.endpoints[0]) as peer:
        for method, events in (("echo", 1), ("count", 1), ("fail", 1)):
            peer.send({"message_id": method, "v": 3}, method, [] if method == "fail" else [1])
            for _ in range(events):
                while not peer._received:
                    peer._receive()
                assert decode_header(peer._received[0][-1])["message_id"] in own
                assert decode_header(peer._received[0][-1])["response_to"] == method
                peer.next_event()


@pytest.mark.parametrize("ids", IDS)
def test_one_way_events_carry_them(ids: str) -> None:
    seen: list[Any] = []
    reader = zerorpc.Context()
    reader.register_middleware({"load_task_context": lambda header: seen.append(header["message_id"])})
    puller = zerorpc.Puller({"take": lambda: None}, reader)
    endpoint = puller.bind(TCP)[0]
    with on_thread(puller), zerorpc.Pusher(subclassed(counted(IDS[ids]))) as pusher:
        pusher.connect(endpoint)
        pusher.take()
        eventually(lambda: seen == [IDS[ids](7)])


@WAYS
@pytest.mark.parametrize(
    ("new_id", "error", "why"),
    [
        (lambda: None, TypeError, "not a value of type NoneType"),
        (lambda: 1.5, TypeError, "not a value of type float"),
        (lambda: [1], TypeError, "not a value of type list"),
        (uuid.uuid4, TypeError, "not a value of type UUID"),
        (lambda: bytearray(16), TypeError, "not a value of type bytearray"),
        (lambda: 2**64, ValueError, "can't serialize ints"),
        (lambda: "\ud800", ValueError, "surrogates"),
        (lambda: b"x" * 100_000, ValueError, "more than 65536 octets"),
    ],
)
def test_what_is_no_id_is_refused(
    make: Callable[[Any], zerorpc.Context], new_id: Callable[[], Any], error: type[Exception], why: str
) -> None:
    with pytest.raises(error, match=f"Context.new_msgid .*{why}"):
        zerorpc.Server({}, context=make(new_id))
    with zerorpc.Client(context=make(new_id)) as client, pytest.raises(error, match=f"Context.new_msgid .*{why}"):
        client.echo(1)


@WAYS
def test_the_id_of_a_call_under_way_is_refused(make: Callable[[Any], zerorpc.Context]) -> None:
    with (
        serving(Service()) as server,
        zerorpc.Client(server.endpoints[0], timeout=PATIENCE, context=make(lambda: "same")) as client,
    ):
        items = client.count(500, slots=5)
        assert next(items) == 0
        with pytest.raises(ValueError, match="returned the id of a call that is under way: 'same'"):
            client.echo(1)
        assert list(items) == list(range(1, 500))
        assert client.echo(1) == 1  # it is free again

    async def calls() -> None:
        async with zerorpc.AsyncClient(server.endpoints[0], timeout=PATIENCE, context=make(lambda: 7)) as client:
            items = await client.count(500, slots=5)
            with pytest.raises(ValueError, match="returned the id of a call that is under way: 7"):
                client.echo(1)
            assert [n async for n in items] == list(range(500))

    with serving(Service()) as server:
        run(calls())


@WAYS
def test_the_id_of_a_call_that_waits_for_a_server_is_refused(make: Callable[[Any], zerorpc.Context]) -> None:
    """Else the second would take the first one's place on the connection, and that would never end."""
    with serving(Service()) as server:
        with zerorpc.Client(timeout=PATIENCE, context=make(lambda: "same")) as client:
            first = client.echo(1, async_=True)
            with pytest.raises(ValueError, match="the id of a call that is under way: 'same'"):
                client.echo(2)
            client.connect(server.endpoints[0])
            assert first.get() == 1

        async def calls() -> None:
            async with zerorpc.AsyncClient(timeout=PATIENCE, context=make(lambda: 7)) as client:
                first = client.echo(1)
                with pytest.raises(ValueError, match="the id of a call that is under way: 7"):
                    client.echo(2)
                client.connect(server.endpoints[0])
                assert await first == 1

        run(calls())


def test_of_two_threads_that_get_the_same_id_at_once_one_is_refused() -> None:
    both = threading.Barrier(2)
    outcomes: list[Any] = []
    with zerorpc.Client(timeout=PATIENCE, context=subclassed(lambda: b"same")) as client, serving(Service()) as server:
        calls = client._core.calls
        check = calls.check_unused

        def check_together(message_id: Any) -> None:
            check(message_id)
            if not client._core.hub.leading.holds_lock():
                both.wait(PATIENCE)  # neither has begun

        def call(value: int) -> None:
            try:
                outcomes.append(client.echo(value))
            except ValueError as error:
                outcomes.append(str(error))

        calls.check_unused = check_together  # type: ignore[method-assign]
        threads = [threading.Thread(target=call, args=(7,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        eventually(lambda: outcomes)
        client.connect(server.endpoints[0])
        for thread in threads:
            thread.join(PATIENCE)
    assert outcomes == ["Context.new_msgid returned the id of a call that is under way: b'same'", 7]


@pytest.mark.parametrize("message_id", [b"mine" * 8, "mine", 7])
def test_an_id_that_a_hook_puts_in_is_the_calls(message_id: Any) -> None:
    context = zerorpc.Context()
    context.register_middleware({"client_before_request": lambda event: event.header.update(message_id=message_id)})
    with serving(Service()) as server:
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE, context=context) as client:
            assert client.echo(1) == 1
            assert list(client.count(500, slots=5)) == list(range(500))
        run(async_calls(server.endpoints[0], context))


def test_a_hook_that_puts_in_what_is_no_id_is_told() -> None:
    context = zerorpc.Context()
    context.register_middleware({"client_before_request": lambda event: event.header.update(message_id=None)})
    with zerorpc.Client(context=context) as client, pytest.raises(TypeError, match="NoneType"):
        client.echo(1)


def test_a_task_context_that_is_a_whole_header_leaves_a_call_its_own_id() -> None:
    """As middlewares do that keep the header which they are given, and hand it on."""
    context = zerorpc.Context()
    kept = {"message_id": b"another's", "v": 2, "trace": "t"}
    context.register_middleware({"get_task_context": lambda: kept})
    seen: list[Any] = []
    reader = zerorpc.Context()
    reader.register_middleware({"load_task_context": seen.append})
    with (
        serving(Service(), context=reader) as server,
        zerorpc.Client(server.endpoints[0], timeout=PATIENCE, context=context) as client,
    ):
        assert client.echo(1) == 1
    assert seen[0]["trace"] == "t"
    assert seen[0]["v"] == 3
    assert seen[0]["message_id"] != b"another's"


def test_attributes_of_a_contexts_own_are_no_hooks() -> None:
    class Own(zerorpc.Context):
        def __init__(self) -> None:
            self.hook_count = 0
            super().__init__()

    context = zerorpc.Context()
    context.hook_count = 1  # type: ignore[attr-defined]
    assert not context.hooks_client
    assert not context.own_ids
    assert Own().hook_count == 0


def test_a_hook_that_is_assigned_is_called_as_a_subclass_has_it() -> None:
    seen: list[str] = []
    context = zerorpc.Context()
    context.hook_server_before_exec = lambda event: seen.append(event.name)  # type: ignore[method-assign]
    with serving(Service(), context=context) as server, zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
        assert client.echo(1) == 1
    assert seen == ["echo"]


def test_ids_of_an_unknown_kind_disturb_no_call() -> None:
    """``HEADER`` is of a test's own client; a server that answers to nobody's id is not heeded."""
    with serving(Service()) as server, RawPeer.to(server.endpoints[0]) as peer:
        for message_id in (1.5, True, [1], {"a": []}, b"", ""):
            peer.send({**HEADER, "message_id": message_id}, "echo", [1])
            while not peer._received:
                peer._receive()
            assert decode_header(peer._received.pop()[-1])["response_to"] == message_id
