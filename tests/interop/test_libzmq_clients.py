"""A libzmq ROUTER that our clients take for a zerorpc server: each event is packed and unpacked by hand."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

import zerorpc
from tests.interop.old_programs.service import Tracing
from tests.interop.ours import CALLERS, Caller
from tests.interop.programs import HEARTBEAT, PATIENCE
from tests.interop.raw_zmq import RawServer, Sockets


@pytest.fixture
def fake(sockets: Sockets) -> RawServer:
    return RawServer(sockets)


@pytest.fixture(params=CALLERS.values(), ids=CALLERS)
def caller(request: pytest.FixtureRequest, fake: RawServer) -> Iterator[Caller]:
    with contextlib.closing(request.param(fake.endpoint, heartbeat=HEARTBEAT, timeout=PATIENCE)) as caller:
        yield caller


def test_a_request_is_one_delimiter_and_one_event(fake: RawServer, caller: Caller, aside: ThreadPoolExecutor) -> None:
    answer = aside.submit(caller.call, "method", 1, "ü", b"\xff")
    header, name, args = fake.accept()
    fake.reply("OK", ["value"])
    assert (name, args) == ("method", [1, "ü", b"\xff"])
    assert (set(header) - {"_zpc_timeout"}, header["v"]) == ({"message_id", "v"}, 3)  # a key that others ignore
    assert isinstance(header["message_id"], bytes | str)
    assert answer.result(PATIENCE) == "value"


def test_every_call_has_an_id_of_its_own(fake: RawServer, caller: Caller, aside: ThreadPoolExecutor) -> None:
    ids = set()
    for _ in range(20):
        answer = aside.submit(caller.call, "method")
        ids.add(fake.accept()[0]["message_id"])
        fake.reply("OK", [None])
        answer.result(PATIENCE)
    assert len(ids) == 20


def test_replies_may_come_in_any_order(fake: RawServer, caller: Caller, aside: ThreadPoolExecutor) -> None:
    answers = [aside.submit(caller.call, "method", number) for number in range(5)]
    for request in reversed([fake.accept() for _ in range(5)]):
        fake.request = request
        fake.reply("OK", request[2])
    assert [answer.result(PATIENCE) for answer in answers] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "header",
    [
        {"response_to": None},
        {"response_to": None, "v": 3, "more": [1]},
        {"response_to": None, "message_id": 5},
    ],
    ids=len,
)
def test_a_reply_with_a_sparse_or_a_rich_header_is_understood(
    fake: RawServer, caller: Caller, aside: ThreadPoolExecutor, header: dict[str, Any]
) -> None:
    answer = aside.submit(caller.call, "method")
    header = {**header, "response_to": fake.accept()[0]["message_id"]}
    fake.reply("OK", ["value"], header)
    assert answer.result(PATIENCE) == "value"


@pytest.mark.parametrize(
    ("version", "args", "name", "message", "remote_traceback"),
    [
        (3, ["KeyError", "'x'", "Traceback…"], "KeyError", "'x'", "Traceback…"),
        (3, ["Error", "no traceback", None], "Error", "no traceback", None),
        (2, ["Error", "second version", ""], "Error", "second version", ""),
        (1, ["KeyError('x')"], "RemoteError", "KeyError('x')", None),
    ],
)
def test_an_error_is_understood_in_every_version(
    fake: RawServer,
    caller: Caller,
    aside: ThreadPoolExecutor,
    version: int,
    args: list[Any],
    name: str,
    message: str,
    remote_traceback: str | None,
) -> None:
    answer = aside.submit(caller.call, "method")
    channel = fake.accept()[0]["message_id"]
    fake.reply("ERR", args, {"message_id": b"r", "v": version, "response_to": channel})
    with pytest.raises(zerorpc.RemoteError) as caught:
        answer.result(PATIENCE)
    assert (caught.value.name, caught.value.msg) == (name, message)
    assert (caught.value.traceback or None) == (remote_traceback or None)


@pytest.mark.parametrize("hooked", [False, True], ids=["plain", "with a middleware"])
@pytest.mark.parametrize("value", [None, "bare"], ids=repr)
def test_a_value_that_lacks_its_array_is_taken_bare(
    fake: RawServer, aside: ThreadPoolExecutor, value: str | None, hooked: bool
) -> None:
    context = zerorpc.Context()
    if hooked:
        context.register_middleware(Tracing())
    with zerorpc.Client(fake.endpoint, heartbeat=HEARTBEAT, context=context) as client:
        answer = aside.submit(client, "method")
        fake.accept()
        fake.reply("OK", value)
        assert answer.result(PATIENCE) == value


@pytest.mark.parametrize(
    ("name", "args"), [("ERR", []), ("ERR", None), ("ERR", ["a", "b", "c", "d"]), ("WHAT", [1])], ids=repr
)
def test_a_senseless_reply_is_a_definite_error(
    fake: RawServer, caller: Caller, aside: ThreadPoolExecutor, name: str, args: Any
) -> None:
    answer = aside.submit(caller.call, "method")
    fake.accept()
    fake.reply(name, args)
    with pytest.raises((zerorpc.ProtocolError, zerorpc.RemoteError)):
        answer.result(PATIENCE)
    again = aside.submit(caller.call, "method")
    fake.accept()
    fake.reply("OK", ["works"])
    assert again.result(PATIENCE) == "works"


@pytest.mark.parametrize("done", [None, [], [None]], ids=repr)
@pytest.mark.parametrize("value", [0, None, [], [1], [[1]], {"a": 1}, "x"], ids=repr)
def test_stream_values_are_taken_bare(
    fake: RawServer, caller: Caller, aside: ThreadPoolExecutor, value: Any, done: Any
) -> None:
    answer = aside.submit(caller.items, "method")
    fake.accept()
    fake.reply("STREAM", value)
    fake.credit()
    fake.reply("STREAM_DONE", done)
    assert answer.result(PATIENCE) == [value]


def test_an_empty_stream_of_node_is_nil(fake: RawServer, caller: Caller, aside: ThreadPoolExecutor) -> None:
    answer = aside.submit(caller.call, "method")
    fake.accept()
    fake.reply("OK", [None])
    assert answer.result(PATIENCE) is None


@pytest.mark.parametrize("adds", [True, False], ids=["window adds", "window is overwritten"])
def test_our_grants_carry_a_stream_whether_the_server_adds_or_overwrites(
    fake: RawServer, caller: Caller, aside: ThreadPoolExecutor, adds: bool
) -> None:
    # The old Python adds what is granted, Node sets its window to it.
    answer = aside.submit(caller.items, "method")
    fake.accept()
    window = 1
    for number in range(1_000):
        if window == 0:
            window = fake.credit()
        while adds and fake.socket.poll(0):
            window += fake.credit()
        fake.reply("STREAM", number)
        window -= 1
    if window == 0:
        fake.credit()
    fake.reply("STREAM_DONE", None)
    assert answer.result(PATIENCE) == list(range(1_000))


def test_a_stream_nobody_reads_is_granted_no_more_than_its_slots(
    fake: RawServer, caller: Caller, aside: ThreadPoolExecutor
) -> None:
    stream = caller.each("method")
    first = aside.submit(next, stream)
    fake.accept()
    fake.reply("STREAM", 0)
    assert first.result(PATIENCE) == 0
    granted = fake.credit()
    assert 50 <= granted <= 100  # as the old client does with its 100 slots
    for number in range(1, granted + 1):
        fake.reply("STREAM", number)
    assert only_heartbeats_come(fake)
    aside.submit(stream.close).result(PATIENCE)


def only_heartbeats_come(fake: RawServer) -> bool:
    """True when the client says nothing but that it lives until its second heartbeat."""
    names = [msgspec.msgpack.decode(fake.socket.recv_multipart()[-1])[1] for _ in range(2)]
    return names == ["_zpc_hb", "_zpc_hb"]


def test_a_silent_server_is_lost_after_two_heartbeats(
    fake: RawServer, caller: Caller, aside: ThreadPoolExecutor
) -> None:
    started = time.monotonic()
    answer = aside.submit(caller.call, "method")
    fake.accept()
    with pytest.raises(zerorpc.LostRemote):
        answer.result(PATIENCE)
    assert time.monotonic() - started >= HEARTBEAT * 2


def test_a_client_of_ours_without_heartbeats_sends_none(fake: RawServer, aside: ThreadPoolExecutor) -> None:
    with zerorpc.Client(fake.endpoint, heartbeat=None, timeout=HEARTBEAT * 4) as client:
        answer = aside.submit(client, "method")
        fake.accept()
        with pytest.raises(zerorpc.TimeoutExpired, match="method"):
            answer.result(PATIENCE)
        assert not fake.socket.poll(0)
