"""``zerorpc.Limits``: what a peer may take of a server or a client that is given its own."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import pytest

import zerorpc
from tests.protocol.pairs import HEARTBEAT, new_ids
from tests.service.running import PATIENCE, RawPeer, eventually, joined, run, serving
from zerorpc import Limits
from zerorpc.keys import KeyPair
from zerorpc.limits import MESSAGE_MAX
from zerorpc.protocol.events import HEARTBEAT as BEAT
from zerorpc.protocol.events import MORE, STREAM, encode
from zerorpc.protocol.server_peer import ServerPeer
from zerorpc.zmtp.commands import Command, encode_metadata
from zerorpc.zmtp.frames import encode_message
from zerorpc.zmtp.greeting import Greeting


class Service:
    def __init__(self) -> None:
        self.release = threading.Event()
        self.closed = threading.Event()

    def size(self, value: Any) -> int:
        return len(value)

    def make(self, size: int) -> bytes:
        return bytes(size)

    def numbers(self, count: int) -> list[int]:
        return [0] * count

    def wait(self) -> None:
        self.release.wait(PATIENCE)

    def sizes(self, values: Iterable[Any]) -> list[int]:
        return [len(value) for value in values]

    async def sizes_on_the_loop(self, values: AsyncIterator[Any]) -> list[int]:
        return [len(value) async for value in values]

    def sizes_as_they_come(self, values: Iterable[Any]) -> Iterator[int]:
        for value in values:
            yield len(value)

    def ask(self, function: Callable[[], Any]) -> int:
        return len(function())

    def count(self) -> Iterator[int]:
        try:
            yield from range(1_000_000)
        finally:
            self.closed.set()


# A server's


def test_a_message_that_is_larger_fails_its_call_only() -> None:
    with joined(Service(), limits=Limits(message=10_000)) as client:
        assert client.size(b"x" * 9_000) == 9_000
        with pytest.raises(zerorpc.RemoteError, match="the limit is 10000"):
            client.size(b"x" * 10_000)
        assert client.size(b"") == 0


def test_by_curve_a_larger_message_ends_its_connection_for_that_reason(caplog: pytest.LogCaptureFixture) -> None:
    """And not because somebody had changed it on the way, as the log had it."""
    keys = KeyPair.generate()
    with serving(Service(), curve=zerorpc.Curve(keys.secret), limits=Limits(message=10_000)) as server:
        curve = zerorpc.Curve(server_key=keys.public)
        with zerorpc.Client(server.endpoints[0], curve=curve, timeout=PATIENCE) as client:
            assert client.size(b"x" * 9_000) == 9_000
            with pytest.raises(zerorpc.LostRemote):
                client.size(b"x" * 10_000)
            assert client.size(b"") == 0
    assert "a message of 10" in caplog.text
    assert "on the way" not in caplog.text


def test_more_values_fail_their_call_only() -> None:
    with joined(Service(), limits=Limits(values=2_000)) as client:
        assert client.size([0] * 1_900) == 1_900
        with pytest.raises(zerorpc.RemoteError, match=r"too many values \(the limit is 2000"):
            client.size([1000] * 5_000)
        assert client.size(b"") == 0


TOO_LARGE = {"octets": (bytes(10_000), "the limit is 10000"), "values": ([1000] * 3_000, "the limit is 2000")}


@pytest.mark.parametrize("what", TOO_LARGE)
def test_an_item_that_is_larger_fails_its_call_only(what: str) -> None:
    """It was left out, and the method took what was left for all."""
    large, why = TOO_LARGE[what]
    with joined(Service(), limits=Limits(message=10_000, values=2_000)) as client:
        for method in ("sizes", "sizes_on_the_loop"):
            with pytest.raises(zerorpc.RemoteError, match=f"an item of an argument of {method} .*{why}"):
                client(method, iter([b"a", large, b"ccc"]))
        with pytest.raises(zerorpc.RemoteError, match=why):
            list(client.sizes_as_they_come(iter([b"a", large, b"ccc"])))
        assert client.sizes(iter([b"a", b"bb"])) == [1, 2]


@pytest.mark.parametrize("what", TOO_LARGE)
def test_a_larger_answer_of_the_callers_function_fails_the_call_only(what: str) -> None:
    """Its method waited for the answer until the caller's time was over."""
    large, why = TOO_LARGE[what]
    with joined(Service(), limits=Limits(message=10_000, values=2_000)) as client:
        with pytest.raises(zerorpc.RemoteError, match=f"a function has returned that was passed to ask .*{why}"):
            client.ask(lambda: large)
        assert client.ask(lambda: b"12") == 2


def test_so_many_requests_wait() -> None:
    service = Service()
    with serving(service, pool_size=1, limits=Limits(waiting=2)) as server:
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
            calls = [client.wait(async_=True) for _ in range(5)]
            eventually(lambda: sum(call.ready() for call in calls) == 2)
            service.release.set()
            outcomes = []
            for call in calls:
                try:
                    outcomes.append(call.get())
                except zerorpc.ServerOverloaded as error:
                    outcomes.append(type(error))
    assert outcomes.count(None) == 3
    assert outcomes.count(zerorpc.ServerOverloaded) == 2


def test_a_peer_that_reads_nothing_is_given_up_sooner() -> None:
    with serving(Service(), limits=Limits(unsent=100_000), heartbeat=None) as server:
        with RawPeer.to(server.endpoints[0]) as peer:
            peer.handshake()
            for number in range(20):
                peer.send({"message_id": b"%d" % number, "v": 3}, "make", [4_000_000])
            eventually(lambda: not server._core.hub.links)


# A client's


def test_an_answer_that_is_larger_fails_its_call_only() -> None:
    limits = Limits(message=10_000, values=2_000)
    with serving(Service()) as server:
        endpoint = server.endpoints[0]
        with zerorpc.Client(endpoint, timeout=PATIENCE, limits=limits) as client:
            with pytest.raises(zerorpc.ZeroRPCError, match="the limit is 10000"):
                client.make(10_000)
            with pytest.raises(zerorpc.ZeroRPCError, match="the limit is 2000"):
                client.numbers(5_000)
            assert len(client.make(9_000)) == 9_000

        async def main() -> None:
            async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE, limits=limits) as client:
                with pytest.raises(zerorpc.ZeroRPCError, match="the limit is 10000"):
                    await client.make(10_000)
                with pytest.raises(zerorpc.ZeroRPCError, match="the limit is 2000"):
                    await client.numbers(5_000)
                assert len(await client.make(9_000)) == 9_000

        run(main())


# Streams whose reader asks for nothing more


def test_a_stream_that_nobody_reads_ends_and_its_reader_is_told() -> None:
    service = Service()
    with serving(service, limits=Limits(stalled=1), heartbeat=1.5) as server:
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE, heartbeat=1.5) as client:
            items = client.count(slots=5)
            assert service.closed.wait(PATIENCE)
            with pytest.raises(zerorpc.RemoteError, match="nothing more of this stream was asked for in 1 s") as failed:
                list(items)
            assert failed.value.name == "StreamStalled"
            assert client.size(b"") == 0


class Caller:
    """A peer that has made one call, of a method that streams; ``level`` 1 is one of ours, 0 an older one."""

    def __init__(self, level: int, stalled: int = 100) -> None:
        self.server = ServerPeer(HEARTBEAT, new_ids(), Limits(stalled=stalled))
        self.server.opened(0.0)
        properties = {"Socket-Type": b"DEALER", "Identity": b""} | ({"X-Zerorpc": b"1"} if level else {})
        ready = Command(b"READY", encode_metadata(properties)).encode()
        self.server.receive_data(Greeting("NULL").encode() + ready, 0.0)
        (self.channel,) = self.send({"message_id": b"a" * 32, "v": 3}, "count", [], 0.0)

    def send(self, header: dict[str, object], name: str, args: object, now: float) -> list[Any]:
        out: list[Any] = []
        encode_message([b"", encode(header, name, args)], out)
        return self.server.receive_data(b"".join(out), now)

    def answer(self, name: str, now: float) -> None:
        self.send({"message_id": b"b" * 32, "v": 3, "response_to": b"a" * 32}, name, [1], now)

    def give_item(self) -> None:
        self.channel.send(encode(self.server.event_header(self.channel), STREAM, 0))

    def sweep(self, now: float) -> list[Any]:
        self.server.last_received = now
        self.answer(BEAT, now)
        return self.server.sweep(now)


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("asks", [True, False])
def test_its_time_begins_anew_when_more_is_asked_for(asks: bool, level: int) -> None:
    caller = Caller(level)
    caller.give_item()  # and there is no credit any more
    for now in (10.0, 60.0, 109.0):
        assert caller.sweep(now) == []
    if asks:
        caller.answer(MORE, 109.5)
        caller.give_item()
    caller.server.connection.take_output()
    assert caller.sweep(110.0) == ([] if asks else [caller.channel])
    assert caller.channel.closed == (not asks)
    told = b"StreamStalled" in b"".join(caller.server.connection.take_output())
    assert told == (not asks and level == 1)  # an older one may have no room for it, and misses heartbeats


def test_a_stream_whose_items_are_taken_goes_on_for_ever() -> None:
    caller = Caller(1)
    caller.give_item()
    caller.answer(MORE, 1.0)
    for now in (10.0, 200.0, 500.0):
        assert caller.sweep(now) == []


# As a setting


WRONG: list[tuple[Any, type[Exception], str]] = [
    (Limits(message=MESSAGE_MAX + 1), ValueError, "the limit message has to be from 1024 to 134217728, not 134217729"),
    (Limits(message=0), ValueError, "the limit message has to be from 1024 to"),
    (Limits(values=99), ValueError, "the limit values has to be at least 100, not 99"),
    (Limits(stalled=0), ValueError, "the limit stalled has to be at least 1"),
    (Limits(values=1e6), TypeError, "the limit values has to be a whole number, not a float"),  # type: ignore[arg-type]
    (Limits(waiting=True), TypeError, "the limit waiting has to be a whole number, not a bool"),
    ({"values": 1000}, TypeError, r"limits has to be a zerorpc\.Limits, not a dict"),
]


@pytest.mark.parametrize(("limits", "error", "why"), WRONG)
def test_what_is_refused(limits: Any, error: type[Exception], why: str) -> None:
    for make in (zerorpc.Client, zerorpc.AsyncClient, lambda **options: zerorpc.Server(Service(), **options)):
        with pytest.raises(error, match=why):
            make(limits=limits)


def test_none_stands_for_the_usual_ones() -> None:
    with zerorpc.Server(Service(), limits=None) as server:  # type: ignore[arg-type]
        assert server._core.settings.limits == Limits()
