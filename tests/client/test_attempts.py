"""Calls that certainly did not run on one server go to another, with both clients."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import zerorpc
from tests.service.running import PATIENCE, RawPeer, eventually, eventually_async, run, serving
from zerorpc.protocol.events import encode
from zerorpc.zmtp import SocketType

NO_HURRY = 10 * PATIENCE  # s; a server refuses what it thinks comes too late, and a busy machine gives it reasons


class Slow:
    """Runs one call at a time; the others wait, and are refused when the server stops."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.runs: Counter[int] = Counter()
        self.begun = threading.Event()
        self.release = threading.Event()

    def work(self, n: int) -> list[Any]:
        self.runs[n] += 1
        self.begun.set()
        self.release.wait(PATIENCE)
        return [self.name, n]

    def items(self, n: int) -> Iterator[int]:
        self.runs[n] += 1
        self.begun.set()
        self.release.wait(PATIENCE)
        yield n


def blocking(endpoints: list[str], count: int, at_work: Callable[[], None], method: str = "work") -> list[Any]:
    """Makes calls, all at once, and something while they are at work."""
    with zerorpc.Client(endpoints, timeout=NO_HURRY) as client, ThreadPoolExecutor(count) as pool:
        wait_for(client, len(endpoints))

        def call(n: int) -> Any:
            result = client(method, n)
            return list(result) if method == "items" else result

        calls = [pool.submit(call, n) for n in range(count)]
        at_work()
        return [call.result() for call in calls]


def background(endpoints: list[str], count: int, at_work: Callable[[], None], method: str = "work") -> list[Any]:
    """The same with ``async_=True``."""
    with zerorpc.Client(endpoints, timeout=NO_HURRY) as client, ThreadPoolExecutor(count) as pool:
        wait_for(client, len(endpoints))
        calls = [client(method, n, async_=True) for n in range(count)]
        at_work()
        results = pool.map(lambda call: list(call.get()) if method == "items" else call.get(), calls)
        return list(results)


def asynchronous(endpoints: list[str], count: int, at_work: Callable[[], None], method: str = "work") -> list[Any]:
    async def main() -> list[Any]:
        async with zerorpc.AsyncClient(endpoints, timeout=NO_HURRY) as client:
            await asyncio.to_thread(wait_for, client, len(endpoints))
            calls = [client(method, n) for n in range(count)]
            await asyncio.to_thread(at_work)  # and until then nobody awaits them

            async def result(call: Any) -> Any:
                return [item async for item in call] if method == "items" else await call

            return await asyncio.gather(*map(result, calls))

    found: list[Any] = run(main())
    return found


def wait_for(client: Any, servers: int) -> None:
    """Until so many servers are connected."""
    eventually(lambda: len(client._core.calls.peers) == servers)


def requests_at(server: zerorpc.Server) -> int:
    """How many requests have arrived: they run, or wait."""
    runners = server._core.runners
    return runners.running + runners._places.waiting if runners is not None else 0


EACH = pytest.mark.parametrize("make", [blocking, background, asynchronous])


@EACH
@pytest.mark.parametrize("method", ["work", "items"])
def test_stopping_one_of_two_servers_fails_no_call_and_runs_none_twice(make: Any, method: str) -> None:
    stops, stays = Slow("stops"), Slow("stays")
    with (
        serving(stops, pool_size=1, grace=PATIENCE) as stopping,
        serving(stays, pool_size=1, grace=PATIENCE) as staying,
    ):

        def at_work() -> None:
            eventually(lambda: requests_at(stopping) + requests_at(staying) == 100)
            stopping.stop()
            eventually(stopping._core.unbound.is_set)
            stops.release.set()
            stays.release.set()

        results = make([stopping.endpoints[0], staying.endpoints[0]], 100, at_work, method)
    if method == "work":
        assert [n for _, n in results] == list(range(100))
        assert Counter(name for name, _ in results) == {"stops": 1, "stays": 99}
    else:
        assert results == [[n] for n in range(100)]
    assert stops.runs + stays.runs == Counter(range(100))


def test_a_request_on_its_way_to_a_server_that_stops_goes_to_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's loop hears that the server leaves only after it has sent the call."""
    monkeypatch.setattr("zerorpc.doors.rpc._HEARD_MAX", PATIENCE)

    async def main() -> None:
        with serving({"which": lambda: 1}) as first, serving({"which": lambda: 2}) as second:
            async with zerorpc.AsyncClient([first.endpoints[0], second.endpoints[0]]) as client:
                await eventually_async(lambda: len(client._core.calls.peers) == 2)
                assert {await client.which(), await client.which()} == {1, 2}
                first.stop()
                eventually(first._core.unbound.is_set)  # this loop does not turn meanwhile
                assert [await call for call in (client.which(), client.which())] == [2, 2]

    run(main())


@EACH
def test_with_no_other_server_the_refusal_is_the_error(make: Any) -> None:
    slow = Slow("stops")
    with serving(slow, pool_size=1, grace=PATIENCE) as server:

        def at_work() -> None:
            eventually(lambda: requests_at(server) == 5)
            server.stop()
            eventually(server._core.unbound.is_set)
            slow.release.set()

        with pytest.raises(zerorpc.ServerStopping) as caught:
            make([server.endpoints[0]], 5, at_work)
    assert caught.value.ran is False
    assert slow.runs.total() == 1


def test_a_call_that_could_not_leave_goes_to_the_other_server() -> None:
    """Its first server has gone, and the system says so when the request is sent."""
    with serving({"who": lambda: "stays"}) as server, socket.create_server(("127.0.0.1", 0)) as listener:
        gone = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with zerorpc.Client(gone, timeout=PATIENCE) as client:
            client.connect(server.endpoints[0])
            peer = RawPeer(listener.accept()[0], SocketType.ROUTER)
            peer.handshake()
            wait_for(client, 2)
            (dead,) = [link for link in client._core.hub.links.values() if link.name == gone]
            with client._core.hub.lock:
                dead.sock.shutdown(socket.SHUT_WR)
                client._core.calls.peers.sort(key=lambda each: each is not dead.peer)  # it is next in turn
            assert client.who() == "stays"
            peer.sock.close()


@EACH
def test_a_refusal_in_the_same_octets_as_the_farewell_goes_elsewhere(make: Any) -> None:
    """The call must not come back to the very server that refuses it."""
    stays = Slow("stays")
    stays.release.set()
    with serving(stays) as other, socket.create_server(("127.0.0.1", 0)) as listener:
        first = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        played = threading.Thread(target=refuse_all, args=(listener,))
        played.start()
        results = make([first, other.endpoints[0]], 10, lambda: None)
        played.join(PATIENCE)
    assert results == [["stays", n] for n in range(10)]
    assert stays.runs == Counter(range(10))


def refuse_all(listener: socket.socket) -> None:
    """A server that leaves at its first request, and runs none."""
    with RawPeer(listener.accept()[0], SocketType.ROUTER, {"X-Zerorpc": b"1"}) as peer:
        peer.handshake()
        request = peer.next_event()
        left = False
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                if not left:
                    peer.connection.send_delimited(encode({"message_id": b"g", "v": 3}, "_zpc_goaway", []))
                    left = True
                header = {"message_id": b"r", "v": 3, "response_to": request.header.message_id, "_zpc_ran": False}
                peer.send_data(encode(header, "ERR", ["ServerStopping", "it stops", ""]))
                request = peer.next_event()


def test_a_client_that_is_closing_makes_no_further_attempt() -> None:
    """Its other connections are about to end as well: the call would wait for one that never comes."""

    async def main(endpoints: list[str], slow: Slow) -> None:
        client = zerorpc.AsyncClient(endpoints, timeout=None)
        call = client.work(1)
        await eventually_async(lambda: slow.begun.is_set() and len(client._core.calls.peers) == 2)
        channel = call.channel
        client.close()
        for peer in client._core.calls.peers:
            peer.writable = False  # as they are from when the loop closes them
        channel.refuse(zerorpc.LostRemote("refused"))
        client._core._peers.received(None, [channel])
        with pytest.raises(zerorpc.LostRemote, match="refused"):
            await asyncio.wait_for(call, PATIENCE)
        slow.release.set()
        await asyncio.sleep(0.05)  # the connections close in the background

    slow = Slow("both")
    with serving(slow) as one, serving(slow) as other:
        run(main([one.endpoints[0], other.endpoints[0]], slow))


def test_all_of_several_calls_that_could_not_leave_together_go_elsewhere() -> None:
    """They waited for a server, and their octets are joined for one write."""
    with serving({"echo": lambda value: value}) as server, socket.create_server(("127.0.0.1", 0)) as listener:
        gone = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with zerorpc.Client(gone, timeout=PATIENCE) as client:
            client.connect(server.endpoints[0])
            peer = RawPeer(listener.accept()[0], SocketType.ROUTER)
            peer.handshake()
            wait_for(client, 2)
            hub, calls = client._core.hub, client._core.calls
            (dead,) = [link for link in hub.links.values() if link.name == gone]
            (live,) = [each for each in calls.peers if each is not dead.peer]
            with hub.lock:
                dead.peer.writable = live.writable = False
            results = [client.echo(n, async_=True) for n in range(3)]
            eventually(lambda: len(calls.waiting) == 3)
            with hub.lock:
                dead.peer.writable = True
                dead.sock.shutdown(socket.SHUT_WR)
                client._core.peers.peer_writable(dead)
                live.writable = True
                client._core.peers.peer_writable(next(iter(hub.links.values())))
            assert [result.get() for result in results] == [0, 1, 2]
            peer.sock.close()


@pytest.mark.parametrize("level", [{}, {"X-Zerorpc": b"1"}], ids=["an old server", "one of ours"])
def test_an_error_of_that_name_which_does_not_say_that_nothing_ran_is_the_calls_own(level: dict[str, bytes]) -> None:
    with serving({"echo": lambda value: value}) as other, socket.create_server(("127.0.0.1", 0)) as listener:
        first = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with zerorpc.Client([first, other.endpoints[0]], timeout=PATIENCE) as client:
            with RawPeer(listener.accept()[0], SocketType.ROUTER, level) as peer:
                peer.handshake()
                wait_for(client, 2)
                calls = [client.echo(n, async_=True) for n in range(2)]
                request = peer.next_event()
                peer.send({"message_id": b"g", "v": 3}, "_zpc_goaway", [])
                header = {"message_id": b"r", "v": 3, "response_to": request.header.message_id}
                peer.send_data(encode(header, "ERR", ["ServerStopping", "echo: the server is shutting down", ""]))
                errors = []
                for call in calls:
                    try:
                        call.get()
                    except zerorpc.RemoteError as error:
                        errors.append(error.name)
                assert errors == ["ServerStopping"]


def test_the_deadline_is_for_all_attempts_together() -> None:
    """The second server never gets to it."""
    stops, stays = Slow("stops"), Slow("stays")
    with (
        serving(stops, pool_size=1, grace=PATIENCE) as stopping,
        serving(stays, pool_size=1, grace=PATIENCE) as staying,
        zerorpc.Client([stopping.endpoints[0], staying.endpoints[0]], timeout=PATIENCE) as client,
    ):
        wait_for(client, 2)
        busy = [client.work(n, async_=True) for n in range(2)]
        assert stops.begun.wait(PATIENCE)
        assert stays.begun.wait(PATIENCE)
        late = [client.work(n, async_=True, timeout=1.0) for n in (7, 8)]
        eventually(lambda: sum(len(peer.channels) for peer in client._core.calls.peers) == 4)
        stopping.stop()
        for call in late:
            with pytest.raises(zerorpc.TimeoutExpired):
                call.get()
        stops.release.set()
        stays.release.set()
        assert sorted(call.get()[1] for call in busy) == [0, 1]
    assert 7 not in stops.runs
    assert 8 not in stops.runs
