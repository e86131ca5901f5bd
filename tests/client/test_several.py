"""Several servers, each a process of its own: which of them gets the calls of one client while some of them fail."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import zerorpc
from tests.service.running import PATIENCE, Program, eventually, eventually_async, run, serving, unused_port
from tests.transport.resolver import NAME, Resolver, address_of

# Not a thread of this process: it is to be stopped, and killed.
SERVER = """
import os, sys, zerorpc
server = zerorpc.Server({"pid": os.getpid}, heartbeat=30)
print(server.bind(sys.argv[1])[0])
server.run()
"""


class Serving(Program):
    def __init__(self, endpoint: str = "tcp://127.0.0.1:0") -> None:
        super().__init__(SERVER, endpoint)
        self.endpoint = self.line()
        self.pid = self.process.pid


@pytest.fixture
def servers() -> Iterator[list[Serving]]:
    with Serving() as one, Serving() as other:
        yield [one, other]


def times_out(client: Any) -> None:
    with pytest.raises(zerorpc.TimeoutExpired):
        client.pid(timeout=0.05)


def test_a_stopped_server_gets_no_calls_after_five_failures(servers: list[Serving]) -> None:
    """With the blocking client; its heartbeat would find out only after a minute."""
    stopped, good = servers
    with zerorpc.Client([one.endpoint for one in servers], timeout=PATIENCE, heartbeat=30) as client:
        eventually(lambda: {client.pid() for _ in range(2)} == {stopped.pid, good.pid})
        stopped.signal(signal.SIGSTOP)
        failed = 0
        while not client._core.calls.outliers.doubted:
            try:
                assert client.pid(timeout=2.0) == good.pid
            except zerorpc.TimeoutExpired:
                failed += 1
                assert failed <= 5
        assert {client.pid() for _ in range(20)} == {good.pid}
        good.signal(signal.SIGSTOP)  # the last one is never ejected
        for _ in range(6):
            times_out(client)
        good.signal(signal.SIGCONT)
        assert client.pid() == good.pid


def test_the_same_with_many_calls_at_once(servers: list[Serving]) -> None:
    stopped, good = servers

    async def main() -> None:
        endpoints = [one.endpoint for one in servers]
        async with zerorpc.AsyncClient(endpoints, timeout=PATIENCE, heartbeat=30) as client:
            await eventually_async(lambda: len(client._core.calls.peers) == 2)
            assert {await client.pid() for _ in range(2)} == {stopped.pid, good.pid}
            stopped.signal(signal.SIGSTOP)
            calls = [client.pid(timeout=3.0) for _ in range(20)]
            late = 0
            for call in calls:
                try:
                    assert await call == good.pid
                except zerorpc.TimeoutExpired:
                    late += 1
            assert late >= 10
            assert {await client.pid() for _ in range(20)} == {good.pid}

    run(main())


# Names with several addresses. Each test drives either client as if it were blocking.


class Loop:
    """An event loop on a thread, and an AsyncClient on it, used from the test's thread."""

    def __init__(self, endpoint: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.client = self.do(self._open(endpoint))

    async def _open(self, endpoint: str) -> zerorpc.AsyncClient:
        client = zerorpc.AsyncClient(endpoint, timeout=PATIENCE, heartbeat=30)
        return await client.__aenter__()

    def do(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(2 * PATIENCE)

    def begin(self, method: str, *args: Any, **options: Any) -> Any:
        async def call() -> Any:
            return await self.client(method, *args, **options)

        return asyncio.run_coroutine_threadsafe(call(), self._loop)

    def call(self, method: str, *args: Any, **options: Any) -> Any:
        return self.begin(method, *args, **options).result(2 * PATIENCE)

    def close(self) -> None:
        self.do(self.client.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()


class Blocking:
    def __init__(self, endpoint: str) -> None:
        self.client = zerorpc.Client(endpoint, timeout=PATIENCE, heartbeat=30)

    def begin(self, method: str, *args: Any, **options: Any) -> Any:
        return Begun(self.client(method, *args, async_=True, **options))

    def call(self, method: str, *args: Any, **options: Any) -> Any:
        return self.client(method, *args, **options)

    def close(self) -> None:
        self.client.close()


class Begun:
    def __init__(self, result: Any) -> None:
        self._result = result

    def result(self, timeout: float) -> Any:
        return self._result.get(timeout=timeout)


@contextlib.contextmanager
def client_of(kind: Any, endpoint: str = NAME) -> Iterator[Any]:
    client = kind(endpoint)
    try:
        yield client
    finally:
        client.close()


KINDS = pytest.mark.parametrize("kind", [Blocking, Loop])


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    monkeypatch.setattr("zerorpc.transport.names._EVERY", 0.05)
    resolver = Resolver(monkeypatch)
    yield resolver
    resolver.answers.set()


def hub(client: Any) -> Any:
    return client.client._core.hub


def ready(client: Any) -> int:
    """How many servers may get calls."""
    return len(client.client._core.calls.peers)


def callers_of(client: Any, count: int = 10) -> set[Any]:
    return {client.call("name") for _ in range(count)}


class Named:
    """Serves under a name; ``held`` waits until it is released."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.holds = 0  # calls of ``held``; no test begins two of them at once
        self.began = threading.Event()
        self.go_on = threading.Event()

    def name(self) -> str:
        return self._name

    def held(self) -> str:
        self.holds += 1
        self.began.set()
        assert self.go_on.wait(PATIENCE)
        return self._name


@KINDS
def test_all_addresses_of_a_name_get_calls_and_one_that_is_new_too(kind: Any, resolver: Resolver) -> None:
    with (
        serving(Named("a")) as a,
        serving(Named("b"), bind="tcp://127.0.0.2:0") as b,
        serving(Named("c")) as c,
    ):
        resolver.addresses = [address_of(one.endpoints[0]) for one in (a, b)]
        with client_of(kind) as client:
            eventually(lambda: ready(client) == 2)
            assert callers_of(client) == {"a", "b"}
            resolver.addresses.append(address_of(c.endpoints[0]))
            eventually(lambda: ready(client) == 3)
            assert callers_of(client) == {"a", "b", "c"}
            assert list(hub(client).dialers) == [NAME]


@KINDS
def test_an_address_that_is_gone_is_drained(kind: Any, resolver: Resolver) -> None:
    stays, goes = Named("stays"), Named("goes")
    with serving(stays) as one, serving(goes) as other:
        resolver.addresses = [address_of(other.endpoints[0])]
        with client_of(kind) as client:
            under_way = client.begin("held")
            assert goes.began.wait(PATIENCE)
            resolver.addresses = [address_of(one.endpoints[0])]
            eventually(lambda: callers_of(client) == {"stays"})
            assert len(hub(client).links) == 2, "a call runs there"
            goes.go_on.set()
            assert under_way.result(PATIENCE) == "goes"
            eventually(lambda: len(hub(client).links) == 1)
            assert callers_of(client) == {"stays"}
            resolver.addresses.append(address_of(other.endpoints[0]))
            eventually(lambda: ready(client) == 2)
            assert callers_of(client) == {"stays", "goes"}


@KINDS
def test_a_server_with_addresses_of_both_families_has_one_connection(kind: Any, resolver: Resolver) -> None:
    """As ``localhost`` often has."""
    with zerorpc.Server(Named("both"), heartbeat=30) as server:
        try:
            v6 = server.bind("tcp://[::1]:0")[0]
        except (OSError, zerorpc.EndpointError):
            pytest.skip("this machine has no IPv6")
        v4 = server.bind("tcp://127.0.0.1:0")[0]
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            resolver.addresses = [address_of(v6), address_of(v4)]
            with client_of(kind) as client:
                assert callers_of(client) == {"both"}
                asked = resolver.asked
                eventually(lambda: resolver.asked > asked + 2)
                assert [link.name for link in list_of(hub(client).links)] == [v6]
                server.unbind(v6)  # connections that it has stay
                for link in list_of(server._core.hub.links):
                    server._core.hub.loop.call_soon_threadsafe(link.abort, zerorpc.LostRemote("in a test"))
                eventually(lambda: [link.name for link in list_of(hub(client).links)] == [v4])
                assert callers_of(client) == {"both"}
        finally:
            server.stop()
            thread.join(PATIENCE)


def list_of(links: Any) -> list[Any]:
    return list(links.values() if isinstance(links, dict) else links)


@KINDS
def test_a_resolver_that_fails_or_hangs_changes_nothing(kind: Any, resolver: Resolver) -> None:
    with serving(Named("a")) as a, serving(Named("b")) as b:
        addresses = resolver.addresses = [address_of(one.endpoints[0]) for one in (a, b)]
        with client_of(kind) as client:
            eventually(lambda: ready(client) == 2)
            resolver.addresses = []
            asked = resolver.asked
            eventually(lambda: resolver.asked > asked + 2)
            assert callers_of(client) == {"a", "b"}
            resolver.answers.clear()
            asked = resolver.asked
            eventually(lambda: resolver.asked > asked)
            assert callers_of(client) == {"a", "b"}
            if kind is Blocking:
                hub(client)._keeper.nudge()
            assert len([one for one in threading.enumerate() if one.name.startswith("zerorpc-lookup")]) == 1
            resolver.addresses = addresses[:1]
            resolver.answers.set()
            eventually(lambda: ready(client) == 1)
        eventually(lambda: not [one for one in threading.enumerate() if one.name.startswith("zerorpc-lookup")])


@KINDS
def test_a_failure_has_the_name_looked_up_long_before_the_time(
    kind: Any, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zerorpc.transport.names._EVERY", 3600.0)
    with client_of(kind) as client:
        with serving(Named("a")) as a:
            resolver.addresses = [address_of(a.endpoints[0])]
            assert callers_of(client) == {"a"}
        with serving(Named("b")) as b:
            resolver.addresses = [address_of(b.endpoints[0])]
            assert callers_of(client) == {"b"}
            assert ready(client) == 1


@KINDS
def test_disconnecting_a_name_ends_all_its_connections_and_look_ups(kind: Any, resolver: Resolver) -> None:
    stays, goes = Named("a"), Named("goes")
    with serving(stays) as a, serving(goes) as b:
        resolver.addresses = [address_of(one.endpoints[0]) for one in (a, b)]
        with client_of(kind) as client:
            eventually(lambda: ready(client) == 2)
            under_way = []
            while not goes.began.is_set():
                under_way.append(client.begin("held"))
                eventually(lambda: stays.holds + goes.holds == len(under_way))
            resolver.addresses = [address_of(a.endpoints[0])]
            eventually(lambda: ready(client) == 1)
            client.client.disconnect(NAME)
            eventually(lambda: not hub(client).links)
            for call in under_way:
                with pytest.raises(zerorpc.LostRemote):
                    call.result(PATIENCE)
            stays.go_on.set()
            goes.go_on.set()
            asked = resolver.asked
            with pytest.raises(zerorpc.TimeoutExpired, match="neither bound nor connected"):
                client.call("name", timeout=0.3)
            assert resolver.asked <= asked + 1, "one may have been under way"
            client.client.connect(NAME)
            assert callers_of(client) == {"a"}


@KINDS
def test_one_of_two_is_killed_and_comes_back(kind: Any, resolver: Resolver) -> None:
    """Two processes under one name: the other one gets the calls meanwhile."""
    port = unused_port()
    with Serving(f"tcp://127.0.0.1:{port}") as one, client_of(kind) as client:
        with Serving(f"tcp://127.0.0.2:{port}") as other:
            resolver.addresses = [("127.0.0.1", port), ("127.0.0.2", port)]
            eventually(lambda: ready(client) == 2)
            assert {client.call("pid") for _ in range(10)} == {one.pid, other.pid}
            other.signal(signal.SIGKILL)
            other.process.wait()
            eventually(lambda: ready(client) == 1)
            assert {client.call("pid") for _ in range(10)} == {one.pid}
        with Serving(f"tcp://127.0.0.2:{port}") as again:
            eventually(lambda: ready(client) == 2)
            assert {client.call("pid") for _ in range(10)} == {one.pid, again.pid}


@KINDS
def test_threads_that_connect_and_disconnect_a_name_while_its_addresses_change(kind: Any, resolver: Resolver) -> None:
    with serving(Named("a")) as a, serving(Named("b")) as b, client_of(kind) as client:
        both = [address_of(one.endpoints[0]) for one in (a, b)]
        resolver.addresses = both
        problems: list[BaseException] = []
        over = threading.Event()

        def change() -> None:
            for _ in range(20):
                try:
                    client.client.disconnect(NAME)
                    client.client.connect(NAME)
                except zerorpc.EndpointError:
                    pass  # another thread was quicker
                except BaseException as error:
                    problems.append(error)

        def describe() -> None:
            while not over.is_set():
                try:
                    resolver.addresses = both[::-1] if resolver.addresses is both else both[:1]
                    hub(client).describe()
                    repr(client.client)
                except BaseException as error:
                    problems.append(error)

        changers = [threading.Thread(target=change) for _ in range(3)]
        describer = threading.Thread(target=describe)
        for thread in (describer, *changers):
            thread.start()
        for thread in changers:
            thread.join(PATIENCE)
        over.set()
        describer.join(PATIENCE)
        assert problems == []
        resolver.addresses = both
        client.client.connect(NAME)
        eventually(lambda: ready(client) == 2)
        eventually(lambda: len(hub(client).links) == 2)
        assert callers_of(client) == {"a", "b"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_has_connections_of_its_own_to_all_addresses() -> None:
    text = """
    import os, socket, sys, zerorpc
    find = socket.getaddrinfo
    ports = sys.argv[1:]
    def maybe_find(host, *args, **kwargs):
        if host == "service":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", int(port))) for port in ports]
        return find(host, *args, **kwargs)
    socket.getaddrinfo = maybe_find
    client = zerorpc.Client("tcp://service:1", timeout=20)
    def both():
        seen = set()
        while len(seen) < 2:
            seen.add(client.name())
        return sorted(seen)
    print(both(), flush=True)
    pid = os.fork()
    if pid == 0:
        print(both(), flush=True)
        client.close()
        os._exit(0)
    print(os.waitpid(pid, 0)[1], both(), flush=True)
    """
    with serving(Named("a")) as a, serving(Named("b")) as b:
        ports = [str(address_of(one.endpoints[0])[1]) for one in (a, b)]
        with Program(text, *ports) as program:
            code, out, err = program.end()
    assert (code, out) == (0, "['a', 'b']\n['a', 'b']\n0 ['a', 'b']\n"), err
