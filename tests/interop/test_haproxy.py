"""Real HAProxy before two servers, with the configuration that we recommend: what clients see when servers fail.

Servers and proxy are processes; the proxy's times are those of the configuration, heartbeats are short.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import zerorpc
from tests.interop.haproxy import haproxy
from tests.interop.old_programs.service import Service
from tests.interop.programs import HEARTBEAT, old_server
from tests.service.running import PATIENCE, Program, eventually, eventually_async, on_thread, run, unused_port

LOST_WITHIN = 2 * HEARTBEAT + 5.0  # s; what is promised, and slack for busy cores
CLIENTS = 8
CALLERS = 4  # a client
TUNNEL = {"timeout tunnel 1h": f"timeout tunnel {3000 * HEARTBEAT:.0f}ms"}  # three heartbeats

SERVER = """
import contextvars, logging, os, sys, time, zerorpc

logging.getLogger("zerorpc").addHandler(logging.NullHandler())  # nobody reads stderr while it runs
caller = contextvars.ContextVar("caller")

class Service:
    def who(self):
        return sys.argv[1]
    def work(self, seconds):
        time.sleep(seconds)
        return sys.argv[1]
    def caller(self):
        return caller.get()
    def wait_for(self, path):
        while not os.path.exists(path):
            time.sleep(0.01)
        return sys.argv[1]

context = zerorpc.Context()
context.register_middleware({"server_before_exec": lambda event: caller.set(event.caller)})
server = zerorpc.Server(Service(), heartbeat=float(sys.argv[3]), context=context, proxy_protocol=True, grace=30)
server.bind(f"tcp://127.0.0.1:{sys.argv[2]}")
print("ready", flush=True)
server.run()
"""


class Site:
    """Two servers and the proxy before them."""

    def __init__(self, stack: contextlib.ExitStack, changes: dict[str, str]) -> None:
        self._stack = stack
        self.ports = {"one": unused_port(), "two": unused_port()}
        self.programs: dict[str, Program] = {}
        for name in self.ports:
            self.start(name)
        self.proxy = stack.enter_context(haproxy(self.ports, changes))
        self.endpoint = self.proxy.endpoint
        self.proxy.wait_until(one="UP", two="UP")

    def start(self, name: str) -> None:
        program = self.programs[name] = self._stack.enter_context(
            Program(SERVER, name, str(self.ports[name]), str(HEARTBEAT))
        )
        assert program.line() == "ready"


@contextlib.contextmanager
def site(changes: dict[str, str] | None = None) -> Iterator[Site]:
    with contextlib.ExitStack() as stack:
        yield Site(stack, changes or {})


@pytest.fixture
def two() -> Iterator[Site]:
    with site() as two:
        yield two


def client_of(endpoint: str) -> zerorpc.Client:
    return zerorpc.Client(endpoint, heartbeat=HEARTBEAT, timeout=2 * PATIENCE)


def async_client_of(endpoint: str) -> zerorpc.AsyncClient:
    return zerorpc.AsyncClient(endpoint, heartbeat=HEARTBEAT, timeout=2 * PATIENCE)


# While all is well


def test_clients_are_spread_over_both_servers(two: Site) -> None:
    with contextlib.ExitStack() as clients:
        crew = [clients.enter_context(client_of(two.endpoint)) for _ in range(12)]
        assert sorted(Counter(client.who() for client in crew).values()) == [6, 6]
        assert [client.who() for client in crew] == [client.who() for client in crew]  # each stays where it is


def test_a_server_sees_its_callers_address(two: Site) -> None:
    with client_of(two.endpoint) as client:
        seen = client.caller()
        (link,) = client._core.hub.links.values()
        host, port = link.sock.getsockname()
        assert seen == f"tcp://{host}:{port}"


def test_an_idle_client_is_cut_off_and_connects_anew_and_a_working_one_is_not(tmp_path: Path) -> None:
    done = tmp_path / "done"
    with site(TUNNEL) as two, client_of(two.endpoint) as idle, client_of(two.endpoint) as working:
        assert {idle.who(), working.who()} == {"one", "two"}
        slow = working.wait_for(str(done), async_=True)
        for _ in range(2):  # by the second time the call, too, is older than the proxy lets connections be silent
            eventually(lambda: two.proxy.sessions() == 1, "the idle connection is cut off")
            assert idle.who() in ("one", "two")
        assert not slow.ready()
        done.touch()
        assert slow.get(timeout=PATIENCE) in ("one", "two")


def test_servers_of_zerorpc_0_6_pass_the_health_check_and_are_called() -> None:
    plain = {"    default-server send-proxy-v2\n": ""}
    with old_server("--bind", "tcp://127.0.0.1:0", "--name", "old", "--heartbeat", HEARTBEAT) as old:
        port = int(old.endpoint.rpartition(":")[2])
        with haproxy({"one": port, "two": unused_port()}, plain) as proxy, client_of(proxy.endpoint) as client:
            proxy.wait_until(one="UP", two="DOWN")
            assert client.who() == "old"
            assert list(client.count(250)) == list(range(250))


# Servers that fail


def test_a_killed_servers_calls_fail_at_once_and_the_next_are_answered_by_the_other(two: Site) -> None:
    async def main() -> None:
        async with load(two.endpoint) as calls:
            await answered_by(calls, "one", "two")
            killed = time.monotonic()
            two.programs["one"].signal(signal.SIGKILL)
            await elsewhere(two.proxy.wait_until, one="DOWN", two="UP")
            for client in await failed_clients(calls):
                await answered_by(calls, "two", after=killed, client=client)
        check(calls, killed)

    run(main())


def test_a_server_that_refuses_is_passed_over_before_a_health_check_has_noticed() -> None:
    with site({"fall 2": "fall 1000"}) as two:
        two.programs["one"].signal(signal.SIGKILL)
        two.programs["one"].end()
        with contextlib.ExitStack() as clients:
            crew = [clients.enter_context(client_of(two.endpoint)) for _ in range(4)]
            assert [client.who() for client in crew] == ["two"] * 4
        assert two.proxy.servers()["one"]["status"].startswith("UP")


def test_a_hanging_servers_calls_fail_by_heartbeat_and_the_next_are_answered_by_the_other(two: Site) -> None:
    async def main() -> None:
        async with load(two.endpoint) as calls:
            await answered_by(calls, "one", "two")
            stopped = time.monotonic()
            two.programs["one"].signal(signal.SIGSTOP)
            await elsewhere(two.proxy.wait_until, one="DOWN", two="UP")
            for client in await failed_clients(calls):
                await answered_by(calls, "two", after=stopped, client=client)
        check(calls, stopped)

    run(main())
    two.programs["one"].signal(signal.SIGCONT)
    two.proxy.wait_until(one="UP", two="UP")
    eventually(lambda: two.proxy.sessions() == 0, "the server has let go of the clients that left while it hung")
    with client_of(two.endpoint) as first, client_of(two.endpoint) as second:
        assert {first.who(), second.who()} == {"one", "two"}


def test_a_rolling_restart_under_load_answers_what_runs_and_refuses_nothing_afterwards(
    two: Site, tmp_path: Path
) -> None:
    async def restart(name: str) -> float:
        async with contextlib.AsyncExitStack() as clients:
            done = tmp_path / name
            running = await call_on(clients, two.endpoint, name, done)
            asked = time.monotonic()
            two.programs[name].signal(signal.SIGTERM)
            await elsewhere(two.proxy.wait_until, **{name: "DOWN"})
            assert not running.done()  # though the proxy has given the server up
            done.touch()
            assert await running == name
        assert (await elsewhere(two.programs[name].end))[0] == 0
        await elsewhere(two.start, name)
        await elsewhere(two.proxy.wait_until, one="UP", two="UP")
        return asked

    async def main() -> None:
        async with load(two.endpoint) as calls:
            await answered_by(calls, "one", "two")
            asked = [await restart("one"), await restart("two")]
        check(calls, *asked)
        assert {call.name for call in calls[-CLIENTS * CALLERS :]} == {"one"}  # nobody has left it since

    run(main())


def test_a_server_that_greets_nobody_gets_no_calls() -> None:
    """It accepts connections and keeps them, as the system does for one that hangs."""
    with (
        Program(SERVER, "one", str(port := unused_port()), str(HEARTBEAT)) as program,
        socket.create_server(("127.0.0.1", 0)) as mute,
    ):
        assert program.line() == "ready"
        with haproxy({"one": port, "two": mute.getsockname()[1]}) as proxy:
            proxy.wait_until(one="UP", two="DOWN")
            with client_of(proxy.endpoint) as first, client_of(proxy.endpoint) as second:
                assert [first.who(), second.who()] == ["one", "one"]


# Who comes past the proxy


def test_who_comes_past_the_proxy_is_refused_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    server = zerorpc.Server(Service(), proxy_protocol=True, grace=0.1)
    endpoint = server.bind("tcp://127.0.0.1:0")[0]
    with on_thread(server), zerorpc.Client(endpoint) as client:
        with pytest.raises(zerorpc.TimeoutExpired):
            client.who(timeout=0.3)
        eventually(lambda: "a client that came past the proxy" in caplog.text)


# Load


class Outcome(NamedTuple):
    """One call: by which client, from when to when, and the server's name or the error that came back."""

    client: int
    begun: float
    ended: float
    name: str
    error: Exception | None


@contextlib.asynccontextmanager
async def load(endpoint: str) -> AsyncIterator[list[Outcome]]:
    """Clients of both kinds that call without a pause; yields the outcomes, to which each call is added as it ends."""
    outcomes: list[Outcome] = []
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def keep_calling(number: int, work: Callable[[], Awaitable[str]]) -> None:
        while not stopping.is_set():
            begun = time.monotonic()
            name, failed = "", None
            try:
                name = await work()
            except zerorpc.ZeroRPCError as error:
                failed = error
            outcomes.append(Outcome(number, begun, time.monotonic(), name, failed))

    async with contextlib.AsyncExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor(CLIENTS * CALLERS))
        tasks = []
        for number in range(CLIENTS):
            if number % 4 < 2:
                client = stack.enter_context(client_of(endpoint))
                work = functools.partial(loop.run_in_executor, threads, client.work, 0.05)
            else:
                work = functools.partial((await stack.enter_async_context(async_client_of(endpoint))).work, 0.05)
            tasks += [asyncio.create_task(keep_calling(number, work)) for _ in range(CALLERS)]
        try:
            yield outcomes
        finally:
            stopping.set()
            await asyncio.gather(*tasks)


def check(calls: list[Outcome], *failures: float) -> None:
    """Each call was answered, or failed with an error that says why, soon after one of the failures; what the same
    client began later was answered, until the next failure.
    """
    first_errors: dict[tuple[int, float], float] = {}
    for call in calls:
        if call.error is None:
            assert call.name in ("one", "two")
            continue
        failure = max((moment for moment in failures if moment < call.ended), default=float("-inf"))
        assert call.ended - failure <= LOST_WITHIN, f"{call.ended - failure} s after the failure: {call}"
        assert is_definite(call.error), repr(call.error)
        first_error = first_errors.setdefault((call.client, failure), call.ended)
        assert call.begun <= first_error, f"begun after a call had failed: {call}"


async def failed_clients(calls: list[Outcome]) -> set[int]:
    """A client finds out by its heartbeat, perhaps later than the proxy by its checks."""
    await eventually_async(lambda: any(call.error for call in calls))
    return {call.client for call in calls if call.error}


def is_definite(error: Exception) -> bool:
    return isinstance(error, zerorpc.LostRemote) or getattr(error, "name", "") == "ServerStopping"


async def answered_by(calls: list[Outcome], *names: str, after: float = 0.0, client: int | None = None) -> None:
    """Until calls that were begun after a moment have been answered by all of these servers."""

    def answered() -> bool:
        found = {call.name for call in calls if call.begun > after and client in (None, call.client)}
        return found >= set(names)

    await eventually_async(answered, f"answers by {names}")


async def elsewhere(act: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Do what blocks, while the load goes on."""
    return await asyncio.get_running_loop().run_in_executor(None, lambda: act(*args, **options))


async def call_on(clients: contextlib.AsyncExitStack, endpoint: str, name: str, done: Path) -> asyncio.Future[str]:
    """A call that is under way at the server of this name until there is the file ``done``."""
    while True:
        client = await clients.enter_async_context(async_client_of(endpoint))
        if await client.who() == name:
            running = asyncio.ensure_future(client.wait_for(str(done)))
            await client.who()  # so the one before it has arrived
            return running
