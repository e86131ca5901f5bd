"""``zerorpc.every``: a method of every live server, with both clients."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import linecache
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import zerorpc
from tests.service.running import PATIENCE, TCP, Program, eventually, eventually_async, run, serving, unused_port
from tests.transport.resolver import NAME, Resolver
from zerorpc.client.every import Outcome, Peer
from zerorpc.protocol import peer as protocol_peer


class Service:
    def __init__(self, name: str) -> None:
        self._name = name
        self.others: list[Service] = []
        self.began = threading.Event()
        self.cancelled = threading.Event()
        self.go_on = threading.Event()

    def name(self, suffix: str = "") -> str:
        return self._name + suffix

    def maybe(self, bad: str) -> str:
        if self._name == bad:
            raise ValueError("not here")
        return self._name

    def numbers(self, count: int) -> Iterator[str]:
        for number in range(count):
            yield f"{self._name}{number}"

    def held(self, who: str) -> str:
        if self._name in who:
            self.began.set()
            assert self.go_on.wait(PATIENCE)
        return self._name

    async def ever(self, unless: str) -> str:
        if self._name == unless:
            await eventually_async(lambda: all(other.began.is_set() for other in self.others))
            return self._name
        self.began.set()
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            self.cancelled.set()
        return self._name


class Fleet:
    """Servers a, b and c, each on a thread, and how to ask all of them with either client."""

    def __init__(self, kind: str, services: dict[str, Service], servers: list[zerorpc.Server]) -> None:
        self.kind = kind
        self.services = services
        self.servers = servers
        self.endpoints = [server.endpoints[0] for server in servers]
        self.view: dict[str, Any] = {}  # the options of calls, if they are made by a view of the client

    def every(self, client: Any) -> Any:
        return zerorpc.every(zerorpc.options(client, **self.view) if self.view else client)

    def ask(self, method: str, *args: Any, take: int | None = None, **options: Any) -> list[tuple[Any, Any]]:
        """Ask all with a new client; leave the loop after ``take`` outcomes."""
        return (self.ask_blocking if self.kind == "blocking" else self.ask_async)(method, args, take, options)

    def ask_blocking(self, method: str, args: Any, take: int | None, options: Any) -> list[tuple[Any, Any]]:
        found = []
        with zerorpc.Client(self.endpoints, timeout=PATIENCE) as client:
            for peer, outcome in self.every(client)(method, *args, **options):
                found.append((peer, items(outcome)))
                if len(found) == take:
                    break
            if take is not None:
                self.expect_cancelled(client, found)
        return found

    def ask_async(self, method: str, args: Any, take: int | None, options: Any) -> list[tuple[Any, Any]]:
        async def main() -> list[tuple[Any, Any]]:
            found = []
            async with zerorpc.AsyncClient(self.endpoints, timeout=PATIENCE) as client:
                async for peer, outcome in self.every(client)(method, *args, **options):
                    if hasattr(outcome.value, "__anext__"):
                        outcome = Outcome([item async for item in outcome.value])
                    found.append((peer, outcome))
                    if len(found) == take:
                        break
                if take is not None:
                    await asyncio.to_thread(self.expect_cancelled, client, found)
            return found

        return run(main())

    def expect_cancelled(self, client: Any, found: Any) -> None:
        """While the client is open: it is not its end that cancels."""
        gc.collect()
        eventually(lambda: not any(peer.channels for peer in client._core.calls.peers))


def items(outcome: Any) -> Any:
    return Outcome(list(outcome.value)) if hasattr(outcome.value, "__next__") else outcome


@pytest.fixture
def three() -> Iterator[Fleet]:
    services = {name: Service(name) for name in "abc"}
    services["b"].others = [services[name] for name in "ac"]
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(serving(service)) for service in services.values()]
        yield Fleet("blocking", services, servers)
        for service in services.values():
            service.go_on.set()


@pytest.fixture(params=["blocking", "asyncio"])
def fleet(request: pytest.FixtureRequest, three: Fleet) -> Fleet:
    three.kind = request.param
    return three


def by_address(fleet: Fleet, found: list[tuple[Any, Any]]) -> dict[str, Any]:
    """Outcomes by the name of the server; each server once."""
    assert len(found) == len({peer.address for peer, _ in found})
    return {"abc"[fleet.endpoints.index(peer.address)]: outcome for peer, outcome in found}


def test_every_server_is_asked_with_a_client_that_has_just_been_made(fleet: Fleet) -> None:
    outcomes = by_address(fleet, fleet.ask("name", "!"))
    assert {name: outcome.result() for name, outcome in outcomes.items()} == {"a": "a!", "b": "b!", "c": "c!"}


def test_one_failure_does_not_end_the_others(fleet: Fleet) -> None:
    outcomes = by_address(fleet, fleet.ask("maybe", "b"))
    assert [outcomes[name].value for name in "ac"] == ["a", "c"]
    assert (outcomes["a"].error, outcomes["b"].value) == (None, None)
    for _ in range(2):
        with pytest.raises(zerorpc.RemoteError, match="not here"):
            outcomes["b"].result()


def test_outcomes_come_as_they_come(fleet: Fleet) -> None:
    slow = fleet.services["a"]
    waiting = threading.Thread(target=lambda: slow.began.wait(PATIENCE))
    waiting.start()
    found = fleet.ask("held", "a", take=2)
    assert sorted(outcome.result() for _, outcome in found) == ["b", "c"]
    waiting.join()


def test_each_call_has_the_timeout(fleet: Fleet) -> None:
    outcomes = by_address(fleet, fleet.ask("held", "ab", timeout=2.0))
    assert outcomes["c"].value == "c"
    for name in "ab":
        assert isinstance(outcomes[name].error, zerorpc.TimeoutExpired)
        assert outcomes[name].error.method == "held"


def test_streams_are_values(fleet: Fleet) -> None:
    outcomes = by_address(fleet, fleet.ask("numbers", 3))
    assert {name: outcome.value for name, outcome in outcomes.items()} == {
        name: [f"{name}{n}" for n in range(3)] for name in "abc"
    }


def test_leaving_the_loop_cancels_the_rest(fleet: Fleet) -> None:
    ((_, outcome),) = fleet.ask("ever", "b", take=1)
    assert outcome.value == "b"
    for name in "ac":
        assert fleet.services[name].cancelled.wait(PATIENCE)


def test_a_server_that_can_not_be_reached_is_not_waited_for(fleet: Fleet) -> None:
    fleet.endpoints.append(f"tcp://127.0.0.1:{unused_port()}")
    assert len(fleet.ask("name")) == 3


def test_without_any_server_it_says_what_was_tried(fleet: Fleet) -> None:
    fleet.endpoints = [f"tcp://127.0.0.1:{unused_port()}"]
    with pytest.raises(zerorpc.TimeoutExpired, match=r"no server was reached \(tcp://.*: .*Errno") as caught:
        fleet.ask("name", timeout=1.0)
    assert (caught.value.method, caught.value.ran) == ("name", False)


def test_an_endpoint_of_which_nothing_is_known_is_waited_for_but_not_for_long(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver = Resolver(monkeypatch)
    resolver.answers.clear()
    fleet.endpoints.append(NAME)
    assert len(fleet.ask("name")) == 3
    resolver.answers.set()


def test_what_can_not_be_sent_raises(fleet: Fleet) -> None:
    with pytest.raises(zerorpc.SerializationError, match="the arguments of name can't be sent"):
        fleet.ask("name", object())
    if fleet.kind == "blocking":
        with pytest.raises(TypeError, match="async_"):
            fleet.ask("name", async_=True)


def test_a_server_that_is_ejected_is_asked_and_one_that_leaves_is_not(three: Fleet) -> None:
    with zerorpc.Client(three.endpoints, timeout=PATIENCE) as client:
        eventually(lambda: len(client._core.calls.peers) == 3)
        calls = client._core.calls
        with client._core.hub.lock:
            calls.outliers.eject(calls.peers[0], 0.0)
        assert len(list(zerorpc.every(client).name())) == 3
        hold = three.services["c"]
        under_way = zerorpc.Client(three.endpoints[2], timeout=PATIENCE)
        held = under_way.held("c", async_=True)
        assert hold.began.wait(PATIENCE)
        three.servers[2].stop()
        eventually(lambda: len(calls.peers) == 2)
        assert sorted(outcome.value for _, outcome in zerorpc.every(client).name()) == ["a", "b"]
        hold.go_on.set()
        held.wait()
        under_way.close()


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_a_call_that_a_server_refuses_goes_to_no_other(kind: str) -> None:
    busy, other = Service("busy"), Service("other")
    with serving(busy, pool_size=1, grace=PATIENCE) as first, serving(other) as second:
        fleet = Fleet(kind, {}, [first, second])
        with zerorpc.Client(fleet.endpoints[0], timeout=PATIENCE) as client:
            held = client.held("busy", async_=True)
            assert busy.began.wait(PATIENCE)
            stopper = threading.Thread(target=_stop_when_asked, args=(first,))
            stopper.start()
            found = {peer.address: outcome for peer, outcome in fleet.ask("name")}
            stopper.join()
            busy.go_on.set()
            held.wait()
    assert isinstance(found[fleet.endpoints[0]].error, zerorpc.ServerStopping)
    assert found[fleet.endpoints[1]].value == "other"


def _stop_when_asked(server: zerorpc.Server) -> None:
    """When the call waits for its turn."""
    eventually(lambda: sum(len(link.peer.channels) for link in list(server._core.hub.links)) == 2)
    server.stop()


def test_workers_that_connect_to_a_client_are_asked() -> None:
    with zerorpc.Client(timeout=PATIENCE) as client:
        endpoint = client.bind(TCP)[0]
        with serving(Service("a"), connect=endpoint), serving(Service("b"), connect=endpoint):
            eventually(lambda: len(client._core.calls.peers) == 2)
            found = list(zerorpc.every(client).name())
            assert sorted(outcome.value for _, outcome in found) == ["a", "b"]
            assert all(peer.address.startswith("tcp://127.0.0.1:") for peer, _ in found)


def test_a_peer_and_an_outcome_are_frozen() -> None:
    peer, outcome = Peer("tcp://127.0.0.1:1"), Outcome(1)
    with pytest.raises(AttributeError):
        peer.address = ""  # type: ignore[misc]
    with pytest.raises(AttributeError):
        outcome.value = 2  # type: ignore[misc]
    assert len({peer, Peer("tcp://127.0.0.1:1")}) == 1


def test_threads_share_the_outcomes(three: Fleet) -> None:
    """Each goes to one thread, and all threads end."""
    with zerorpc.Client(three.endpoints, timeout=PATIENCE) as client:
        for _ in range(5):
            replies = zerorpc.every(client).name()
            found: list[str] = []
            threads = [
                threading.Thread(target=lambda: found.extend(outcome.value for _, outcome in replies))  # noqa: B023
                for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(PATIENCE)
                assert not thread.is_alive()
            assert sorted(found) == ["a", "b", "c"]


def test_another_thread_closes_it_while_one_waits(three: Fleet) -> None:
    with zerorpc.Client(three.endpoints, timeout=PATIENCE) as client:
        with zerorpc.every(client).held("abc") as replies:
            found: list[Any] = []
            thread = threading.Thread(target=lambda: found.extend(replies))
            thread.start()
            for service in three.services.values():
                assert service.began.wait(PATIENCE)
            replies.close()
            thread.join(PATIENCE)
            assert not thread.is_alive()
            assert found == []


def test_two_tasks_can_not_read_at_the_same_time(three: Fleet) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(three.endpoints, timeout=PATIENCE) as client:
            replies = zerorpc.every(client).held("abc")
            first = asyncio.ensure_future(anext(replies))
            await eventually_async(lambda: replies._gathering.waiter is not None)
            with pytest.raises(RuntimeError, match="another task"):
                await anext(replies)
            first.cancel()
            await asyncio.wait([first])
            three.services["a"].go_on.set()
            _, outcome = await anext(replies)
            assert outcome.value == "a"
            waiting = asyncio.ensure_future(anext(replies))
            await eventually_async(lambda: replies._gathering.waiter is not None)
            await replies.aclose()
            with pytest.raises(StopAsyncIteration):
                await waiting

    run(main())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_in_a_forked_child_the_outcomes_are_the_parents(three: Fleet) -> None:
    text = """
    import os, sys, zerorpc
    client = zerorpc.Client(sys.argv[1:], timeout=20)
    replies = zerorpc.every(client).held("abc")
    pid = os.fork()
    if pid == 0:
        print([type(outcome.error).__name__ for _, outcome in replies], flush=True)
        print(len(list(zerorpc.every(client).name())), flush=True)
        client.close()
        os._exit(0)
    print(os.waitpid(pid, 0)[1], flush=True)
    replies.close()
    print(len(list(zerorpc.every(client).name())), flush=True)
    """
    with Program(text, *three.endpoints) as program:
        code, out, err = program.end()
    assert (code, out) == (0, "['LostRemote', 'LostRemote', 'LostRemote']\n3\n0\n3\n"), err


def test_keywords_are_the_methods_and_a_view_has_options(fleet: Fleet) -> None:
    assert sorted(outcome.value for _, outcome in fleet.ask("name", suffix="?")) == ["a?", "b?", "c?"]
    fleet.view = {"timeout": 3.0}  # in which it has to connect, too
    outcomes = by_address(fleet, fleet.ask("held", who="ab"))
    assert [type(outcomes[name].error) for name in "ab"] == [zerorpc.TimeoutExpired] * 2
    assert outcomes["c"].value == "c"


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_keywords_to_older_servers(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is asked for its parameters; the one that doesn't tell is not called."""
    monkeypatch.setattr(protocol_peer, "EXTENSION_LEVEL", 0)
    told = {"methods": {"move": {"args": [{"name": "x"}, {"name": "y"}]}}}
    tells = {"move": lambda *args: list(args), "_zerorpc_inspect": lambda: told}
    silent = {"move": lambda *args: list(args), "_zerorpc_inspect": lambda: None}
    with serving(tells) as one, serving(silent) as other:
        fleet = Fleet(kind, {}, [one, other])
        found = {peer.address: outcome for peer, outcome in fleet.ask("move", y=2, x=1)}
    assert found[fleet.endpoints[0]].result() == [1, 2]
    assert isinstance(found[fleet.endpoints[1]].error, zerorpc.NotSupported)


def test_it_has_every_method_by_name_too() -> None:
    """Those that a dot leads to, those that only a string names, and none of Python's own."""
    methods = {"a.b": lambda: "dotted", "bind": lambda: "bound"}
    with serving(methods) as server, zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
        every = zerorpc.every(client)
        assert [outcome.value for _, outcome in every.a.b()] == ["dotted"]
        assert [outcome.value for _, outcome in every("bind")] == ["bound"]
        with pytest.raises(AttributeError):
            every.__length_hint__  # noqa: B018


def test_of_a_closed_client() -> None:
    client = zerorpc.Client("inproc://nobody-there", timeout=PATIENCE)
    client.close()
    with pytest.raises(zerorpc.Closed):
        zerorpc.every(client).name()

    async def main() -> None:
        async_client = zerorpc.AsyncClient("inproc://nobody-there", timeout=PATIENCE)
        await async_client.aclose()
        with pytest.raises(zerorpc.Closed):
            await anext(zerorpc.every(async_client).name())

    run(main())


def test_a_client_that_is_closed_while_servers_are_waited_for() -> None:
    with zerorpc.Client("inproc://nobody-there", timeout=PATIENCE) as client:
        closer = threading.Timer(0.05, client.close)
        closer.start()
        with pytest.raises(zerorpc.Closed):
            zerorpc.every(client).name()
        closer.join()

    async def main() -> None:
        async with zerorpc.AsyncClient("inproc://nobody-there", timeout=PATIENCE) as async_client:
            waiting = asyncio.ensure_future(anext(zerorpc.every(async_client).name()))
            closed = zerorpc.every(async_client).name()
            ended = asyncio.ensure_future(anext(closed))
            await asyncio.sleep(0)
            async with closed:
                pass
            with pytest.raises(StopAsyncIteration):
                await ended
            await async_client.aclose()
            with pytest.raises(zerorpc.Closed):
                await waiting

    run(main())


def test_the_connection_of_one_is_lost(three: Fleet) -> None:
    with zerorpc.Client(three.endpoints, timeout=PATIENCE) as client, zerorpc.every(client).held("a") as replies:
        assert three.services["a"].began.wait(PATIENCE)
        client.disconnect(three.endpoints[0])
        outcomes = by_address(three, list(replies))
        assert isinstance(outcomes["a"].error, zerorpc.LostRemote)
        assert outcomes["a"].error.endpoint == three.endpoints[0]
        assert [outcomes[name].value for name in "bc"] == ["b", "c"]


def test_an_interrupt_at_any_line_leaves_no_call_open_and_a_client_that_works() -> None:
    def ever() -> Iterator[int]:
        yield from itertools.count()

    with serving({"ever": ever}) as one, serving({"ever": ever}) as other:
        with zerorpc.Client([server.endpoints[0] for server in (one, other)], timeout=PATIENCE) as client:
            for line in itertools.count():
                interrupt = Interrupt(line)
                ask_interrupted(client, interrupt)
                gc.collect()  # what the exception held
                eventually(lambda: not any(peer.channels for peer in client._core.calls.peers), interrupt.where)
                eventually(lambda: len(client._core.calls.peers) == 2, interrupt.where)
                if not interrupt.where:
                    assert line > 50, "hardly a line of ours was run"
                    break


class Interrupt:
    """Raises KeyboardInterrupt at the n-th line that a thread runs in these files; ``where`` is that line."""

    def __init__(self, line: int) -> None:
        self.where = ""
        self._lines = itertools.count()
        self._line = line

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        path = Path(frame.f_code.co_filename)
        if path.name not in ("replies.py", "every.py") or path.parent.name != "client" or self.where:
            return None
        if frame.f_code.co_name in ("__del__", "close"):  # an interrupt in a finalizer is only shown
            return None
        source = linecache.getline(str(path), frame.f_lineno).strip()
        if event == "line" and not source.startswith("with core.hub.lock") and next(self._lines) == self._line:
            self.where = f"{path.name}:{frame.f_lineno} {source}"
            sys.settrace(None)
            raise KeyboardInterrupt
        return self


def ask_interrupted(client: zerorpc.Client, interrupt: Interrupt) -> None:
    before = sys.gettrace()
    sys.settrace(interrupt)
    try:
        for _, outcome in zerorpc.every(client).ever():
            outcome.result().close()
    except KeyboardInterrupt:
        assert interrupt.where, "interrupted by somebody else"
    finally:
        sys.settrace(before)
