"""Calls that are repeated, with both clients and ``async_=True``: what is, what isn't, and that nothing runs twice."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

import zerorpc
from tests.client.ways import EACH_WAY, Way
from tests.faults.ledger import Outcomes, check, read_ledger
from tests.service.running import PATIENCE, TCP, Program, RawPeer, eventually, run, serving
from zerorpc.protocol.events import encode
from zerorpc.zmtp import SocketType

PROGRAM = Path(__file__).with_name("repeating_server.py")
QUICK = zerorpc.Retry(backoff=0.001, per_second=1000)
COUNT = 100


# Two servers, one of which fails in the middle


def blocking(endpoints: list[str], at_work: Callable[[], None], ways: list[tuple[str, int]]) -> dict[str, Outcomes]:
    """Makes calls all at once, and something while they are at work; their outcomes by method."""
    found = {"price": Outcomes(), "order": Outcomes()}
    with (
        zerorpc.Client(endpoints, timeout=PATIENCE, heartbeat=2.0, retry=QUICK) as client,
        ThreadPoolExecutor(len(ways)) as pool,
    ):
        eventually(lambda: len(client._core.calls.peers) == 2)
        calls = [pool.submit(found[name].call, n, getattr(client, name)) for name, n in ways]
        at_work()
        for call in calls:
            call.result()
    return found


def background(endpoints: list[str], at_work: Callable[[], None], ways: list[tuple[str, int]]) -> dict[str, Outcomes]:
    found = {"price": Outcomes(), "order": Outcomes()}
    with zerorpc.Client(endpoints, timeout=PATIENCE, heartbeat=2.0, retry=QUICK) as client:
        eventually(lambda: len(client._core.calls.peers) == 2)
        calls = [(name, n, client(name, n, async_=True)) for name, n in ways]
        at_work()
        for name, n, call in calls:
            found[name].call(n, lambda _, call=call: call.get())  # type: ignore[misc]
    return found


def on_loop(endpoints: list[str], at_work: Callable[[], None], ways: list[tuple[str, int]]) -> dict[str, Outcomes]:
    found = {"price": Outcomes(), "order": Outcomes()}

    async def main() -> None:
        async with zerorpc.AsyncClient(endpoints, timeout=PATIENCE, heartbeat=2.0, retry=QUICK) as client:
            await asyncio.to_thread(eventually, lambda: len(client._core.calls.peers) == 2)
            calls = [(name, n, client(name, n)) for name, n in ways]
            await asyncio.to_thread(at_work)
            for name, n, call in calls:
                await found[name].acall(n, lambda _, call=call: call)  # type: ignore[misc]

    run(main())
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
@pytest.mark.parametrize("make", [blocking, background, on_loop])
def test_when_one_of_two_servers_fails_no_idempotent_call_does_and_no_other_runs_twice(
    make: Any, number: signal.Signals, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    with Program(PROGRAM, TCP, str(ledger)) as first, Program(PROGRAM, TCP, str(ledger)) as second:
        endpoints = [first.line(), second.line()]

        def at_work() -> None:
            with zerorpc.Client(endpoints[0]) as one, zerorpc.Client(endpoints[1]) as other:
                eventually(lambda: one.held() + other.held() >= COUNT)
                assert one.held() > 0
                first.signal(number)
                other.release()

        found = make(endpoints, at_work, [("order" if n % 4 else "price", n) for n in range(COUNT)])
        first.signal(signal.SIGCONT)
        prices = [end for end in found["price"].ends if end.error]
        assert prices == []
        tally = check(found["order"], read_ledger(ledger), allowed={"LostRemote"})
    assert tally.failed["LostRemote"] > 0
    assert all(end.ran is None for end in found["order"].ends if end.error)


# One server


class Flaky:
    """A server that does to each request what a test says: ``loses`` it, ``is full``, or ``answers`` its number."""

    def __init__(self, *script: str, properties: dict[str, bytes] | None = None) -> None:
        self._script = list(script)
        self._properties = {"X-Zerorpc": b"1"} if properties is None else properties
        self.requests: list[Any] = []

    def __enter__(self) -> Flaky:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()
        return self

    def _play(self) -> None:
        while True:
            try:
                sock = self._listener.accept()[0]
            except OSError:  # the end
                return
            with contextlib.suppress(EOFError, OSError), RawPeer(sock, SocketType.ROUTER, self._properties) as peer:
                peer.handshake()
                while self._serve(peer, peer.next_event()):
                    pass

    def _serve(self, peer: RawPeer, request: Any) -> bool:
        header = {"message_id": b"r", "v": 3, "response_to": request.header.message_id}
        if request.name in ("_zerorpc_inspect", "_zpc_methods"):
            methods = {"price": {"args": [], "idempotent": True}, "order": {"args": []}}
            peer.send_data(encode(header, "OK", [{"name": "flaky", "methods": methods}]))
            return True
        self.requests.append(request)
        what = self._script.pop(0) if self._script else "hangs"
        if what == "is full":
            said = {"_zpc_ran": False, "_zpc_error": "ServerOverloaded", "_zpc_retry_after": 0.001}
            peer.send_data(encode({**header, **said}, "ERR", ["ServerOverloaded", "full", ""]))
        elif what == "answers":
            peer.send_data(encode(header, "OK", [len(self.requests)]))
        return what != "loses"

    def __exit__(self, *exc_info: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)
        self._listener.close()


@EACH_WAY
def test_an_idempotent_method_is_called_again_at_the_same_server_and_the_attempt_is_told(way: Way) -> None:
    with Flaky("loses", "loses", "answers") as server:
        assert way(server.endpoint, lambda client: client.price(), retry=QUICK) == 3
    attempts = [zerorpc_call(request).get("attempt", 1) for request in server.requests]
    assert attempts == [1, 2, 3]


def zerorpc_call(request: Any) -> dict[str, Any]:
    """What a request says besides."""
    raw = bytes(request.header.call)
    return msgspec.msgpack.decode(raw) if raw else {}


@EACH_WAY
def test_one_that_is_not_marked_may_have_run_and_is_not_called_again(way: Way) -> None:
    with Flaky("loses", "answers") as server:
        with pytest.raises(zerorpc.LostRemote) as caught:
            way(server.endpoint, lambda client: client.order(), retry=QUICK)
        assert caught.value.ran is None
        assert way(server.endpoint, lambda client: client.order()) == 2


@EACH_WAY
def test_the_caller_may_vouch_for_a_server_that_does_not_tell(way: Way) -> None:
    vouching = zerorpc.Retry(backoff=0.001, idempotent=True)
    with Flaky("loses", "answers", properties={}) as server:
        assert way(server.endpoint, lambda client: client.order(), retry=vouching) == 2


@EACH_WAY
def test_a_server_that_is_full_is_asked_again(way: Way) -> None:
    with Flaky("is full", "answers") as server:
        assert way(server.endpoint, lambda client: client.order(), retry=QUICK) == 2


@EACH_WAY
def test_without_retry_nothing_is_repeated(way: Way) -> None:
    with Flaky("is full", "answers") as server:
        with pytest.raises(zerorpc.ServerOverloaded) as caught:
            way(server.endpoint, lambda client: client.order(), retry=None)
        assert caught.value.retry_after == 0.001
    assert len(server.requests) == 1


@EACH_WAY
def test_a_budget_that_is_spent_ends_it(way: Way) -> None:
    with Flaky("is full", "answers") as server, pytest.raises(zerorpc.ServerOverloaded) as caught:
        way(server.endpoint, lambda client: client.order(), retry=zerorpc.Retry(share=0, per_second=0))
    assert caught.value.ran is False


@EACH_WAY
def test_after_a_doubtful_attempt_no_error_says_that_it_did_not_run(way: Way) -> None:
    with Flaky("loses", "is full") as server, pytest.raises(zerorpc.ServerOverloaded) as caught:
        way(server.endpoint, lambda client: client.price(), retry=zerorpc.Retry(attempts=2, backoff=0.001))
    assert caught.value.ran is None


@EACH_WAY
def test_with_no_server_left_the_deadline_ends_it(way: Way) -> None:
    with Flaky("loses") as server, pytest.raises((zerorpc.TimeoutExpired, zerorpc.LostRemote)) as caught:
        way(server.endpoint, lambda client: client.price(), retry=QUICK, timeout=1.0)
    assert caught.value.ran is None


class Service:
    def __init__(self) -> None:
        self.runs = 0

    @zerorpc.idempotent
    def fail(self) -> None:
        self.runs += 1
        raise ConnectionError("the method's own")

    @zerorpc.idempotent
    def count(self) -> Iterator[int]:
        self.runs += 1
        yield 1
        raise ValueError("in the middle")

    @zerorpc.idempotent
    def attempt(self) -> int:
        return zerorpc.current_call().attempt

    @zerorpc.idempotent
    @zerorpc.process
    def attempt_apart(self) -> int:
        return zerorpc.current_call().attempt


@EACH_WAY
@pytest.mark.parametrize("method", ["fail", "count", "unknown"])
def test_what_a_method_raises_is_its_outcome(way: Way, method: str) -> None:
    service = Service()
    with serving(service) as server, pytest.raises(zerorpc.RemoteError):
        way(server.endpoints[0], lambda client: client(method), retry=QUICK)
    assert service.runs == (method != "unknown")


@EACH_WAY
def test_a_method_sees_which_attempt_it_is(way: Way) -> None:
    with serving(Service()) as server:
        assert way(server.endpoints[0], lambda client: client.attempt(), retry=QUICK) == 1
        assert way(server.endpoints[0], lambda client: client.attempt_apart(), retry=QUICK) == 1


def test_a_clients_own_retry_is_that_of_all_its_calls_and_a_view_may_have_none() -> None:
    with (
        Flaky("is full", "answers") as server,
        zerorpc.Client(server.endpoint, retry=QUICK, timeout=PATIENCE) as client,
    ):
        assert client.order() == 2
    with (
        Flaky("is full", "answers") as server,
        zerorpc.Client(server.endpoint, retry=QUICK) as client,
        pytest.raises(zerorpc.ServerOverloaded),
    ):
        zerorpc.options(client, retry=None).order()
    with pytest.raises(TypeError, match=r"retry has to be a zerorpc\.Retry, or None, not a int"):
        zerorpc.Client(retry=3)  # type: ignore[arg-type]


def test_closing_the_client_ends_a_call_that_waits_to_be_repeated() -> None:
    slow = zerorpc.Retry(backoff=PATIENCE, longest=PATIENCE, idempotent=True)
    with Flaky("loses") as server, zerorpc.Client(server.endpoint, timeout=None) as client:
        call = zerorpc.options(client, retry=slow, async_=True).price()
        eventually(lambda: client._core.calls.resting)
        client.close()
        with pytest.raises(zerorpc.Closed) as caught:
            call.get(timeout=PATIENCE)
    assert caught.value.ran is None


def test_a_call_that_waits_to_be_repeated_can_be_cancelled() -> None:
    slow = zerorpc.Retry(backoff=PATIENCE, longest=PATIENCE, idempotent=True)

    async def main(endpoint: str) -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=None) as client:
            task = asyncio.ensure_future(zerorpc.options(client, retry=slow).price())
            await asyncio.to_thread(eventually, lambda: client._core.calls.resting)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with Flaky("loses") as server:
        run(main(server.endpoint))
