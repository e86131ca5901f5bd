"""Server, as its users see it: what it exposes, how methods run, how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import signal
import subprocess
import sys
import threading
import time
import types
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import zerorpc
from tests.service.running import (
    NEEDS_THREADS_AT_THE_END,
    PATIENCE,
    TCP,
    Program,
    RawPeer,
    connect,
    eventually,
    eventually_async,
    joined,
    on_thread,
    once,
    raising_on,
    refused,
    run,
    serving,
    unused_tcp,
)
from tests.service.services import HEADER, Cooler, remote_error
from tests.transport.proxy_headers import IPV4, header
from zerorpc.runtime import loops
from zerorpc.server.life import State
from zerorpc.transport import endpoints, hub
from zerorpc.zmtp import SocketType

# What is exposed


def test_an_object() -> None:
    with joined(Cooler()) as client:
        assert client.add_man("hi") == "hi, man!"
        assert client.add_42(1) == 43
        assert client.boat("x") == "xx"
        assert client.boat("x", 3) == "xxx"
        assert sorted(client._zerorpc_list()) == ["add_42", "add_man", "boat"]
        assert remote_error(client._hidden).name == "NameError"


def test_a_module() -> None:
    with joined(time) as client:
        assert "strftime" in client._zerorpc_list()
        assert client.gmtime(0)[0] == 1970
        assert client._zerorpc_name() == "time"
        error = remote_error(client.sleep, "3")
        assert error.name == "TypeError"


def test_a_dict_of_functions() -> None:
    with joined({"add": lambda a, b: a + b, "_even_this": lambda: 1}) as client:
        assert client.add(1, 2) == 3
        assert client._even_this() == 1
        assert client._zerorpc_list() == ["add"]
        assert client._zerorpc_name() == "dict"


def test_several_objects_with_prefixes() -> None:
    server = zerorpc.Server(Cooler(), name="several")
    server.register({"move": lambda x: ["moved", x]}, prefix="robot")
    server.register(types.SimpleNamespace(stop=lambda: "stopped"), prefix="robot.arm")
    server.bind(TCP)
    with on_thread(server), zerorpc.Client(server.endpoints[0]) as client:
        assert client.robot.move(3) == ["moved", 3]
        assert client.robot.arm.stop() == "stopped"
        assert client("robot.move", 4) == ["moved", 4]
        assert {"robot.move", "robot.arm.stop", "add_man"} <= set(client._zerorpc_list())


def test_registering_a_name_twice_is_refused() -> None:
    server = zerorpc.Server({"f": int})
    with pytest.raises(ValueError, match=r"'f' is exposed already.*prefix"):
        server.register({"f": int})
    server.register({"f": int}, prefix="again")
    server.close()


@pytest.mark.parametrize("heartbeat", [-1, 0, -0.5])
@pytest.mark.parametrize(
    "make",
    [
        lambda heartbeat: zerorpc.Server({}, heartbeat=heartbeat),
        lambda heartbeat: zerorpc.Client(heartbeat=heartbeat),
        lambda heartbeat: zerorpc.AsyncClient(heartbeat=heartbeat),
    ],
    ids=["Server", "Client", "AsyncClient"],
)
def test_a_heartbeat_that_is_no_period_is_refused(make: Callable[[float], Any], heartbeat: float) -> None:
    with pytest.raises(ValueError, match="heartbeat"):
        make(heartbeat)


def test_registering_while_serving() -> None:
    with serving({}) as server, zerorpc.Client(server.endpoints[0]) as client:
        assert remote_error(client.late).name == "NameError"
        server.register({"late": lambda: 1})
        assert client.late() == 1


def test_a_subclass_exposes_its_own_methods_but_not_servers() -> None:
    class Mine(zerorpc.Server):
        def hello(self) -> str:
            return "world"

    server = Mine()
    server.bind(TCP)
    with on_thread(server), zerorpc.Client(server.endpoints[0]) as client:
        assert client.hello() == "world"
        assert client._zerorpc_list() == ["hello"]
        assert client._zerorpc_name() == "Mine"
        assert remote_error(client, "stop").name == "NameError"


def test_a_subclass_may_be_given_methods() -> None:
    class Mine(zerorpc.Server):
        def hidden(self) -> None: ...

    server = Mine({"f": lambda: 1})
    server.bind(TCP)
    with on_thread(server), zerorpc.Client(server.endpoints[0]) as client:
        assert client._zerorpc_list() == ["f"]


def test_names_of_servers_own_methods_are_callable_on_ordinary_objects() -> None:
    names = ["connect", "bind", "run", "stop", "close", "register", "disconnect", "unbind", "serve", "endpoints"]
    with joined({name: functools.partial(str.upper, name) for name in names}) as client:
        assert [client(name) for name in names] == [name.upper() for name in names]


def test_an_empty_server_answers_too() -> None:
    with joined(None) as client:
        assert client._zerorpc_list() == []
        assert client._zerorpc_name() == "Server"


def test_properties_are_neither_exposed_nor_read() -> None:
    class Instrument:
        @property
        def position(self) -> Callable[[], int]:
            raise AssertionError("reading it moves something")

        @functools.cached_property
        def cached(self) -> Callable[[], int]:
            raise AssertionError("reading it moves something")

        def move(self) -> str:
            return "moved"

    with joined(Instrument()) as client:
        assert client._zerorpc_list() == ["move"]
        assert client.move() == "moved"


def test_the_name() -> None:
    with joined(Cooler(), name="the cooler") as client:
        assert client._zerorpc_name() == "the cooler"
        assert client._zerorpc_ping() == ["pong", "the cooler"]
    with joined(Cooler()) as client:
        assert client._zerorpc_name() == "Cooler"


def test_services_are_described() -> None:
    with joined(Cooler()) as client:
        inspected = client._zerorpc_inspect()
        assert inspected["name"] == "Cooler"
        assert inspected["methods"]["add_man"]["doc"] == 'End a sentence with ", man!".'
        assert inspected["methods"]["boat"]["args"] == [
            {"name": "sentence", "type": "str"},
            {"name": "times", "default": 2, "type": "int"},
        ]
        assert client._zerorpc_help("add_man") == 'End a sentence with ", man!".'
        assert client._zerorpc_args("boat") == [["sentence", "times"], None, None, [2]]
        assert remote_error(client._zerorpc_help, "nothing").name == "NameError"


# Its life


def test_run_and_stop_from_another_thread() -> None:
    server = zerorpc.Server(Cooler())
    endpoint = server.bind(TCP)[0]
    assert repr(server) == f"<Server 'Cooler' not serving ['{endpoint}']>"
    with on_thread(server):
        eventually(lambda: "serving" in repr(server) and "not serving" not in repr(server))
        with zerorpc.Client(endpoint) as client:
            assert client.add_42(1) == 43
    assert repr(server) == "<Server 'Cooler' closed []>"
    with pytest.raises(zerorpc.Closed):
        server.run()
    with pytest.raises(zerorpc.Closed):
        server.bind(TCP)
    with pytest.raises(zerorpc.Closed):
        server.connect("tcp://127.0.0.1:1")


def test_a_method_may_stop_the_server() -> None:
    server = zerorpc.Server({})
    server.register({"stop": server.stop})
    endpoint = server.bind(TCP)[0]
    with on_thread(server), zerorpc.Client(endpoint) as client:
        assert client("stop") is None
        eventually(lambda: "closed" in repr(server))


def test_stop_before_run_makes_it_return_at_once() -> None:
    server = zerorpc.Server(Cooler())
    server.bind(TCP)
    server.stop()
    server.stop()
    server.run()
    assert "closed" in repr(server)


def test_close_without_ever_serving_frees_the_address() -> None:
    with zerorpc.Server(Cooler()) as server:
        endpoint = server.bind(unused_tcp())[0]
        server.connect("tcp://127.0.0.1:1")
        assert server.endpoints == [endpoint]
    server.close()
    assert server.endpoints == []
    with zerorpc.Server(Cooler()) as again:
        assert again.bind(endpoint) == [endpoint]


def test_requests_made_before_it_serves_wait_for_it() -> None:
    server = zerorpc.Server(Cooler())
    endpoint = server.bind(TCP)[0]
    with zerorpc.Client(endpoint) as client:
        call = client.add_42(1, async_=True)
        with on_thread(server):
            assert call.get(timeout=PATIENCE) == 43


def test_serve_and_stop() -> None:
    async def main() -> None:
        server = zerorpc.Server(Cooler())
        endpoint = server.bind(TCP)[0]
        task = asyncio.ensure_future(server.serve())
        async with zerorpc.AsyncClient(endpoint) as client:
            assert await client.add_42(1) == 43
            with pytest.raises(zerorpc.Closed, match="serving already"):
                await server.serve()
        server.stop()
        await task
        assert "closed" in repr(server)
        with pytest.raises(zerorpc.Closed, match="closed"):
            await server.serve()

    run(main())


def test_cancelling_serve_closes_the_server() -> None:
    async def main() -> None:
        server = zerorpc.Server(Cooler())
        endpoint = server.bind(TCP)[0]
        task = asyncio.ensure_future(server.serve())
        async with zerorpc.AsyncClient(endpoint) as client:
            assert await client.add_42(1) == 43
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert "closed" in repr(server)

    run(main())


def test_a_loop_that_is_closed_while_the_server_serves_frees_the_address(caplog: pytest.LogCaptureFixture) -> None:
    server = zerorpc.Server(Cooler())
    endpoint = server.bind(TCP)[0]
    loop = asyncio.new_event_loop()
    serving = server.serve()
    step = loop.create_task(asyncio.sleep(0.01))
    tasks: list[Any] = [loop.create_task(serving)]
    loop.run_until_complete(step)
    assert server._core.life.state is State.SERVING
    for task in [*tasks, *asyncio.all_tasks(loop)]:
        task._log_destroy_pending = False  # asyncio tells of it rightly, but here it is wanted
    loop.close()
    serving.close()  # as the collector does: "coroutine was never awaited" would be an error here
    assert server._core.life.state is State.CLOSED
    assert refused(endpoint)
    assert caplog.messages == []


def test_close_while_serving_on_the_same_loop() -> None:
    async def main() -> None:
        server = zerorpc.Server(Cooler())
        server.bind(TCP)
        task = asyncio.ensure_future(server.serve())
        await asyncio.sleep(0)
        server.close()
        await task

    run(main())


def test_run_inside_a_running_loop_says_what_to_do() -> None:
    async def main() -> None:
        with zerorpc.Server(Cooler()) as server, pytest.raises(RuntimeError, match=r"await server\.serve"):
            server.run()

    run(main())


def test_stop_lets_running_calls_finish_and_refuses_new_ones() -> None:
    release, started = threading.Event(), threading.Event()

    def slow() -> str:
        started.set()
        assert release.wait(PATIENCE)
        return "done"

    server = zerorpc.Server({"slow": slow, "quick": lambda: 1}, pool_size=1)
    endpoint = server.bind(TCP)[0]
    with on_thread(server), zerorpc.Client(endpoint) as client, contextlib.ExitStack() as stack:
        running = client.slow(async_=True)
        assert started.wait(PATIENCE)
        waiting = client.quick(async_=True)
        server.stop()
        with pytest.raises(zerorpc.RemoteError, match="shutting down") as caught:
            waiting.get(timeout=PATIENCE)
        assert caught.value.name == "ServerStopping"
        eventually(lambda: not server.endpoints)
        for caller in (client, stack.enter_context(zerorpc.Client(endpoint))):
            with pytest.raises(zerorpc.TimeoutExpired, match=r"refused|shutting down"):
                caller.quick(timeout=1.0)
        release.set()
        assert running.get(timeout=PATIENCE) == "done"


@pytest.mark.parametrize(("properties", "told"), [({"X-Zerorpc": b"1"}, ["_zpc_goaway"]), ({}, [])])
def test_a_stopping_server_says_so_to_clients_of_ours_only(properties: dict[str, bytes], told: list[str]) -> None:
    release, started = threading.Event(), threading.Event()

    def slow() -> bool:
        started.set()
        return release.wait(PATIENCE)

    server = zerorpc.Server({"slow": slow})
    server.bind(TCP)
    with on_thread(server), RawPeer.to(server.endpoints[0], SocketType.DEALER, properties) as peer:
        peer.send(HEADER, "slow", [])
        assert started.wait(PATIENCE)
        server.stop()
        eventually(lambda: not server.endpoints)
        release.set()
        names: list[str] = []
        with contextlib.suppress(EOFError):
            while True:
                names.append(peer.next_event().name)
    assert names == [*told, "OK"]


def test_a_request_that_was_on_its_way_when_the_server_stopped_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection stays until the client has heard that nothing new is wanted."""
    monkeypatch.setattr("zerorpc.doors.rpc._HEARD_MAX", PATIENCE)
    server = zerorpc.Server({"add": lambda a, b: a + b})
    endpoint = server.bind(TCP)[0]
    with on_thread(server), RawPeer.to(endpoint, SocketType.DEALER, {"X-Zerorpc": b"1"}) as peer:
        server.stop()
        goaway = peer.next_event()
        assert goaway.name == "_zpc_goaway"
        peer.send({"message_id": b"1", "v": 3}, "add", [1, 2])
        refusal = peer.next_event()
        assert (refusal.name, refusal.args[0]) == ("ERR", "ServerStopping")
        peer.send({"message_id": b"2", "v": 3, "response_to": b"any"}, "_zpc_goaway", [])
        with pytest.raises(EOFError):
            peer.next_event()


def test_a_server_whose_ids_fail_stops_in_order(caplog: pytest.LogCaptureFixture) -> None:
    context, failing = zerorpc.Context(), threading.Event()
    real = context.new_msgid

    def new_id() -> bytes:
        if failing.is_set():
            raise RuntimeError("no id")
        return real()

    context.new_msgid = new_id  # type: ignore[method-assign]
    server = zerorpc.Server({"add": lambda a, b: a + b}, context=context)
    endpoint = server.bind(TCP)[0]
    with on_thread(server), zerorpc.Client(endpoint) as client:
        assert client.add(1, 2) == 3
        failing.set()
        server.stop()
        eventually(lambda: server._core.life.state is State.CLOSED)
        assert not server._core.hub.links
    assert "could not be told that the server stops" in caplog.text
    assert "no id" in caplog.text


@pytest.mark.parametrize("properties", [{"X-Zerorpc": b"1"}, {}])
def test_a_server_waits_for_no_client_that_says_nothing(
    properties: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a moment only, and for an older one, which would never say it, not at all."""
    monkeypatch.setattr("zerorpc.doors.rpc._HEARD_MAX", 0.01 if properties else 2 * PATIENCE)
    server = zerorpc.Server({})
    endpoint = server.bind(TCP)[0]
    with on_thread(server), RawPeer.to(endpoint, SocketType.DEALER, properties):
        eventually(lambda: server._core.hub.links)
        server.stop()
        eventually(lambda: server._core.life.state is State.CLOSED)


def test_a_client_that_shakes_hands_while_the_server_stops_is_told_too() -> None:
    release, started = threading.Event(), threading.Event()

    def slow() -> bool:
        started.set()
        return release.wait(PATIENCE)

    server = zerorpc.Server({"slow": slow}, grace=PATIENCE)
    endpoint = server.bind(TCP)[0]
    with on_thread(server), zerorpc.Client(endpoint) as client, connect(endpoint) as sock:
        running = client.slow(async_=True)
        assert started.wait(PATIENCE)
        eventually(lambda: len(server._core.hub.links) == 2)
        server.stop()
        eventually(lambda: not server.endpoints)
        late = RawPeer(sock, SocketType.DEALER, {"X-Zerorpc": b"1"})
        late.handshake()
        assert late.next_event().name == "_zpc_goaway"
        release.set()
        assert running.get(timeout=PATIENCE) is True


def test_close_from_another_thread_returns_when_the_addresses_are_free(ipc_endpoint: str) -> None:
    """Even if the loop is busy just then; running calls are still answered."""
    release, started, busy = threading.Event(), threading.Event(), threading.Event()

    def slow() -> bool:
        started.set()
        return release.wait(PATIENCE)

    async def block_the_loop() -> None:
        busy.set()
        time.sleep(0.1)  # noqa: ASYNC251 - not for a condition: so long nothing can be closed

    server = zerorpc.Server({"slow": slow, "block_the_loop": block_the_loop})
    endpoints = server.bind([unused_tcp(), ipc_endpoint, "inproc://server-close"])
    with on_thread(server), zerorpc.Client(endpoints[0]) as client:
        running = client.slow(async_=True)
        assert started.wait(PATIENCE)
        blocking = client.block_the_loop(async_=True)
        assert busy.wait(PATIENCE)
        server.close()
        with zerorpc.Server({}) as again:
            assert again.bind(endpoints) == endpoints
        release.set()
        assert running.get(timeout=PATIENCE) is True
        blocking.get(timeout=PATIENCE)


def test_close_while_the_server_is_starting_frees_the_addresses_too(monkeypatch: pytest.MonkeyPatch) -> None:
    server = zerorpc.Server({})
    endpoint = server.bind(unused_tcp())[0]
    starting, go_on, startup = threading.Event(), threading.Event(), server._core._startup

    def slow_startup(loop: asyncio.AbstractEventLoop) -> None:
        starting.set()
        assert go_on.wait(PATIENCE)
        startup(loop)

    monkeypatch.setattr(server._core, "_startup", slow_startup)
    thread = threading.Thread(target=server.run)
    thread.start()
    assert starting.wait(PATIENCE)
    threading.Timer(0.05, go_on.set).start()
    server.close()
    with zerorpc.Server({}) as again:
        assert again.bind(endpoint) == [endpoint]
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_cancelling_serve_while_it_drains_ends_what_runs() -> None:
    started, ended = threading.Event(), threading.Event()

    async def endless() -> None:
        started.set()
        try:
            await asyncio.sleep(PATIENCE * 10)
        finally:
            ended.set()

    async def main() -> None:
        server = zerorpc.Server({"endless": endless})
        endpoint = server.bind(TCP)[0]
        task = asyncio.ensure_future(server.serve())
        async with zerorpc.AsyncClient(endpoint, heartbeat=None) as client:
            call = asyncio.ensure_future(client.endless())
            await eventually_async(started.is_set)
            server.stop()
            await eventually_async(lambda: not server.endpoints)
            task.cancel()
            await asyncio.wait([task], timeout=PATIENCE)
            assert task.done()
            assert ended.is_set()
            with pytest.raises((zerorpc.LostRemote, zerorpc.RemoteError)):
                await call

    run(main())


class Held:
    """A service with a call that runs until its server ends it."""

    def __init__(self) -> None:
        self.started, self.ended = asyncio.Event(), asyncio.Event()

    async def hold(self) -> None:
        self.started.set()
        try:
            await asyncio.sleep(10 * PATIENCE)
        finally:
            self.ended.set()


@contextlib.asynccontextmanager
async def held(grace: float = 10 * PATIENCE) -> AsyncIterator[tuple[zerorpc.Server, Held]]:
    """A server that isn't served yet; when it is, a call is under way."""
    service = Held()
    server = zerorpc.Server(service, grace=grace)
    async with zerorpc.AsyncClient(server.bind(TCP)[0]) as client:
        call = asyncio.ensure_future(client.hold())
        yield server, service
        with pytest.raises((zerorpc.LostRemote, zerorpc.RemoteError)):
            await call
    assert service.ended.is_set()
    assert "closed" in repr(server)


def test_cancelling_serve_while_it_drains_raises_that(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with held() as (server, service):
            task = asyncio.ensure_future(server.serve())
            await service.started.wait()
            server.stop()
            await eventually_async(lambda: not server.endpoints)
            task.cancel("for a reason")
            with pytest.raises(asyncio.CancelledError, match="for a reason"):
                await task

    run(main())


@pytest.mark.parametrize("times", [2, 5])
def test_cancelling_serve_again_and_again_ends_it_in_order(times: int) -> None:
    async def main() -> None:
        async with held() as (server, service):
            task = asyncio.ensure_future(server.serve())
            await service.started.wait()
            for _ in range(times):
                task.cancel()
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            with pytest.raises(asyncio.CancelledError):
                await task

    run(main())


def test_cancelling_serve_gives_running_calls_their_grace() -> None:
    async def main() -> None:
        async def wait() -> str:
            started.set()
            await release.wait()
            return "done"

        started, release = asyncio.Event(), asyncio.Event()
        server = zerorpc.Server({"wait": wait})
        async with zerorpc.AsyncClient(server.bind(TCP)[0]) as client:
            task = asyncio.ensure_future(server.serve())
            call = asyncio.ensure_future(client.wait())
            await started.wait()
            task.cancel()
            await eventually_async(lambda: not server.endpoints)
            assert server._core.life.state is State.DRAINING
            release.set()
            assert await call == "done"
            with pytest.raises(asyncio.CancelledError):
                await task

    run(main())


def test_a_timeout_around_serve_that_expires_while_it_drains() -> None:
    async def main() -> None:
        async with held() as (server, service):

            async def stop() -> None:
                await service.started.wait()
                server.stop()

            stopping = asyncio.ensure_future(stop())
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(server.serve(), 0.3)
            assert stopping.done()

    run(main())


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.TaskGroup and asyncio.timeout came with 3.11")
def test_serve_in_a_task_group() -> None:
    async def main() -> None:
        async with held() as (server, service):

            async def fail() -> None:
                await service.started.wait()
                server.stop()
                await eventually_async(lambda: not server.endpoints)
                raise ValueError("the other task")

            async def both() -> None:
                async with asyncio.TaskGroup() as group:
                    group.create_task(server.serve())
                    group.create_task(fail())

            with pytest.raises(BaseException, match="unhandled errors in a TaskGroup") as caught:
                await both()
            assert [str(error) for error in caught.value.exceptions] == ["the other task"]  # type: ignore[attr-defined]

    run(main())


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout came with 3.11")
def test_of_two_timeouts_around_serve_the_one_that_expired_raises() -> None:
    async def main() -> None:
        async with held() as (server, service):

            async def serve() -> None:
                async with asyncio.timeout(PATIENCE), asyncio.timeout(0.2):
                    await server.serve()

            serving = asyncio.ensure_future(serve())
            await service.started.wait()
            server.stop()
            with pytest.raises(TimeoutError):
                await serving
            assert serving.cancelling() == 0

    run(main())


def test_serve_that_was_cancelled_before_it_began_may_be_called_again() -> None:
    async def main() -> None:
        with zerorpc.Server({}) as server:
            server.bind(TCP)
            task = asyncio.ensure_future(server.serve())
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert "not serving" in repr(server)
        assert "closed" in repr(server)

    run(main())


# Stopping while something else is done


@pytest.mark.parametrize("act", ["bind", "connect"])
def test_a_server_that_is_stopping_takes_no_new_endpoint(act: str, ipc_endpoint: str) -> None:
    release, started = threading.Event(), threading.Event()

    def slow() -> bool:
        started.set()
        return release.wait(PATIENCE)

    server = zerorpc.Server({"slow": slow})
    endpoint = server.bind(TCP)[0]
    with on_thread(server), zerorpc.Client(endpoint) as client:
        running = client.slow(async_=True)
        assert started.wait(PATIENCE)
        for before in ("stopping", "stopped"):
            server.stop()
            with pytest.raises(zerorpc.Closed, match="this socket is clos"):
                getattr(server, act)(ipc_endpoint)
            if before == "stopping":
                eventually(lambda: refused(endpoint))
                with pytest.raises(zerorpc.Closed, match="this socket is clos"):
                    getattr(server, act)([TCP, ipc_endpoint])
                release.set()
                assert running.get(timeout=PATIENCE) is True
                eventually(lambda: "closed" in repr(server))
    assert server.endpoints == []
    assert not Path(ipc_endpoint.removeprefix("ipc://")).exists()


@pytest.mark.parametrize("act", ["bind", "connect"])
def test_a_server_that_stops_while_another_thread_binds_leaves_nothing_open(
    act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other thread listens already, and the server hasn't heard of it."""
    server = zerorpc.Server({})
    server.bind(TCP)
    real, made = hub.listen, []

    def listen(*args: Any) -> Any:
        made.append(real(*args))
        end()
        return made[0]

    def parse(text: str) -> Any:
        end()
        return endpoints.parse(text)

    def end() -> None:
        server.stop()
        eventually(lambda: server._core.hub.closed)

    with on_thread(server):
        eventually(lambda: server._core.hub.loop is not None)
        monkeypatch.setattr(hub, *(("listen", listen) if act == "bind" else ("parse", parse)))
        with pytest.raises(zerorpc.Closed):
            getattr(server, act)(TCP if act == "bind" else "tcp://127.0.0.1:1")
    assert [listener.fileno() for listener in made] == ([-1] if act == "bind" else [])
    assert (server.endpoints, server._core.hub.dialers) == ([], {})


def test_bind_and_stop_at_the_same_time() -> None:
    """Whichever comes first, nobody listens afterwards."""
    for _ in range(50):
        server = zerorpc.Server({})
        bound: list[str] = []
        with on_thread(server):
            some = threading.Event()
            binding = threading.Thread(target=_bind_until_closed, args=(server, bound, some))
            binding.start()
            assert some.wait(PATIENCE)
            server.stop()
            binding.join(PATIENCE)
        assert left_open(server) == []


def left_open(server: zerorpc.Server) -> list[Any]:
    """Another process may have an address as soon as it is free, so that trying to bind it again proves little."""
    return [*server.endpoints, *(sock for sock in server._core.hub.sockets if sock.fileno() >= 0)]


def _bind_until_closed(server: zerorpc.Server, bound: list[str], some: threading.Event) -> None:
    with contextlib.suppress(zerorpc.Closed):
        while len(bound) < 1000:
            bound.extend(server.bind(TCP))
            some.set()


def test_only_one_of_several_threads_runs_a_server() -> None:
    for _ in range(20):
        server = zerorpc.Server({"ping": lambda: 1})
        endpoint = server.bind(TCP)[0]
        errors: list[Exception] = []
        barrier = threading.Barrier(4)
        threads = [threading.Thread(target=_run_at, args=(server, barrier, errors)) for _ in range(4)]
        for thread in threads:
            thread.start()
        with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
            assert client.ping() == 1
        eventually(functools.partial(_only_one_runs, threads))
        server.stop()
        for thread in threads:
            thread.join(PATIENCE)
        assert [type(error) for error in errors] == [zerorpc.Closed] * 3


def _only_one_runs(threads: list[threading.Thread]) -> bool:
    return [thread.is_alive() for thread in threads].count(True) == 1


def _run_at(server: zerorpc.Server, barrier: threading.Barrier, errors: list[Exception]) -> None:
    barrier.wait()
    try:
        server.run()
    except Exception as error:
        errors.append(error)


@pytest.mark.parametrize("how", ["stop", "close"])
def test_a_server_that_is_stopped_in_the_instant_of_its_start(how: str) -> None:
    """By several threads; it runs and ends, or says that it is closed."""
    for _ in range(30):
        server = zerorpc.Server({})
        server.bind(TCP)
        errors: list[Exception] = []
        barrier = threading.Barrier(4)
        threads = [threading.Thread(target=_run_at, args=(server, barrier, errors))]
        threads += [
            threading.Thread(target=lambda s=server, b=barrier: (b.wait(), getattr(s, how)())) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        assert left_open(server) == []
        assert [str(error) for error in errors] in ([], ["this server is closed"])


def test_calling_a_method_without_a_client() -> None:
    with zerorpc.Server(Cooler()) as server:
        assert server("add_man", "hi") == "hi, man!"
        assert list(server("boat", "x")) == ["x", "x"]
        with pytest.raises(NameError, match="nothing"):
            server("nothing")


def test_a_system_without_signal_handlers_on_its_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows: Ctrl-C raises KeyboardInterrupt in run(), as ever."""

    class Loop(asyncio.SelectorEventLoop):
        def add_signal_handler(self, *args: Any) -> None:
            raise NotImplementedError

    monkeypatch.setattr("zerorpc.server.life.new_event_loop", Loop)
    server = zerorpc.Server({})
    server.bind(TCP)
    with raising_on(signal.SIGUSR1, KeyboardInterrupt()) as interrupt:
        thread = threading.Thread(
            target=once, args=(lambda: server._core.life.serving and _main_thread_selects(), interrupt)
        )
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            server.run()
        thread.join(PATIENCE)
    assert server.endpoints == []


def test_signals_get_through_again_when_there_is_no_loop_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def new_event_loop() -> asyncio.AbstractEventLoop:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr("zerorpc.server.life.new_event_loop", new_event_loop)
    with zerorpc.Server({}) as server, pytest.raises(OSError, match="too many open files"):
        server.run()
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_signal_that_raises_while_run_makes_its_loop_leaves_none_open(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def new_event_loop() -> asyncio.AbstractEventLoop:
        made.append(loops.new_event_loop())
        interrupt()
        return made[0]

    monkeypatch.setattr("zerorpc.server.life.new_event_loop", new_event_loop)
    with zerorpc.Server({}) as server, raising_on(signal.SIGTERM, KeyboardInterrupt()) as interrupt:
        with pytest.raises(KeyboardInterrupt):
            server.run()
    assert made[0].is_closed()


def test_a_server_that_fails_to_start_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr("zerorpc.server.life.Runners", fail)
    server = zerorpc.Server({})
    server.bind(TCP)
    with pytest.raises(OSError, match="too many open files"):
        server.run()
    assert repr(server) == "<Server 'dict' closed []>"
    assert left_open(server) == []


def _main_thread_selects() -> bool:
    """Whether the main thread's event loop has nothing else to do."""
    frame = sys._current_frames()[threading.main_thread().ident or 0]
    return frame.f_code.co_name == "select"


def test_bad_and_taken_addresses_are_errors_at_once() -> None:
    with serving(Cooler()) as server, zerorpc.Server(Cooler()) as second:
        with pytest.raises(zerorpc.AddressInUse, match=server.endpoints[0]):
            second.bind(server.endpoints[0])
        with pytest.raises(zerorpc.EndpointError, match="accepted forms"):
            second.bind("nonsense")
        with pytest.raises(zerorpc.EndpointError):
            second.connect("nonsense")
        with pytest.raises(zerorpc.EndpointError, match="not bound"):
            second.unbind("tcp://127.0.0.1:1")
        with pytest.raises(zerorpc.EndpointError, match="not connected"):
            second.disconnect("tcp://127.0.0.1:1")


def test_debug_logs_each_event(caplog: pytest.LogCaptureFixture) -> None:
    server = zerorpc.Server(Cooler())
    assert server.debug is False
    server.debug = True
    server.bind(TCP)
    with caplog.at_level("DEBUG", "zerorpc.events"), on_thread(server), zerorpc.Client(server.endpoints[0]) as client:
        client.add_42(1)
    lines = [record.getMessage() for record in caplog.records if record.name == "zerorpc.events"]
    assert any(line.startswith("<-- add_42") for line in lines)
    assert any(line.startswith("--> OK") and "[43]" in line for line in lines)


# In a process of its own

SERVICE = """
import sys, time, threading, zerorpc
release = threading.Event()
class Service:
    def slow(self):
        print("running", flush=True)
        release.wait(10)
        return "done"
    def release(self):
        release.set()
    def quick(self):
        return 1
server = zerorpc.Server(Service())
print(server.bind("tcp://127.0.0.1:0")[0], flush=True)
server.run()
print("ended", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_the_server(number: int) -> None:
    with Program(SERVICE) as program:
        endpoint = program.line()
        with zerorpc.Client(endpoint) as client:
            running = client.slow(async_=True)
            assert program.line() == "running"
            program.signal(number)
            eventually(lambda: not client._core.calls.peers, "it says that it goes away")
            with pytest.raises(zerorpc.TimeoutExpired, match=r"shutting down|refused"):
                client.quick(timeout=1.0)
            assert not running.ready()
            program.signal(number)  # the second one
            with pytest.raises(zerorpc.LostRemote):
                running.get(timeout=PATIENCE)
            code, out, err = program.end()
            assert (code, out) == (0, "ended\n"), err


def test_a_running_call_is_answered_before_the_process_ends() -> None:
    text = SERVICE.replace("release.wait(10)", "time.sleep(0.3)")
    with Program(text) as program, zerorpc.Client(program.line()) as client:
        running = client.slow(async_=True)
        assert program.line() == "running"
        program.signal(signal.SIGTERM)
        assert running.get(timeout=PATIENCE) == "done"
        code, out, err = program.end()
        assert (code, out, err) == (0, "ended\n", "")


def test_the_signal_handlers_that_were_there_come_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    server = zerorpc.Server(Cooler())
    server.bind(TCP)
    timer = threading.Timer(0.05, server.stop)
    timer.start()
    server.run()  # on the main thread
    timer.join()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


NAMES_OF_ITS_OWN = """
import os, signal, threading, zerorpc
class Mine(zerorpc.Server):
    def hello(self):
        return "world"
names = [name for name in dir(zerorpc.Server) if not name.startswith("__")]
for name in [*names, "_stop", "_wake", "_serving", "_serve"]:
    setattr(Mine, name, lambda self, *args, name=name: f"mine, not {name}")
mine = Mine(OPTIONS)
print(zerorpc.Server.bind(mine, "tcp://127.0.0.1:0")[0], flush=True)
with mine:
    zerorpc.Server.run(mine)
zerorpc.Server.close(mine)
print("ended", mine._core.hub.closed, mine.stop(), flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_subclass_may_use_all_names_for_methods_of_its_own(number: int, processes: int) -> None:
    text = NAMES_OF_ITS_OWN.replace("OPTIONS", f"processes={processes}")
    with Program(text) as program:
        with zerorpc.Client(program.line(), timeout=PATIENCE) as client:
            assert client.hello() == "world"
            program.signal(number)
            assert program.line() == "ended True mine, not stop"
        assert program.end()[0] == 0


WITHOUT_DESCRIPTORS = """
import os, signal, subprocess, sys, threading, time
LOOP
import zerorpc
class Service:
    def numbers(self):
        "What a socket has, of those that aren't ours to use."
        found = [number for number in range(3) if os.path.exists(f"/proc/self/fd/{number}")]
        return [number for number in found if os.path.realpath(f"/proc/self/fd/{number}") != os.devnull]
    async def program(self):
        return subprocess.run([sys.executable, "-c", "print(1)"], stdout=subprocess.PIPE).stdout.decode()
    @zerorpc.process
    def process(self):
        return os.getpid()
if __name__ == "__main__":
    server = zerorpc.Server(Service(), processes=int(sys.argv[2]))
    if sys.argv[1] == "connect":
        server.connect("ipc:///nowhere")
        threading.Timer(0.1, server.stop).start()
    else:
        server.bind(sys.argv[1])
    server.run()
"""


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", "<&- >&-", "2>&-"])
@pytest.mark.parametrize("loop", ["", "sys.modules['uvloop'] = None"])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_program_without_standard_descriptors(
    closed: str, loop: str, processes: int, ipc_endpoint: str, tmp_path: Path
) -> None:
    script = tmp_path / "served.py"
    script.write_text(WITHOUT_DESCRIPTORS.replace("LOOP", loop))

    def start(what: str) -> subprocess.Popen[bytes]:
        command = f"exec {sys.executable} -W ignore {script} {what} {processes} {closed}"
        return subprocess.Popen(["sh", "-c", command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    if processes == 1:
        assert start("connect").wait(PATIENCE) == 0
    with start(ipc_endpoint) as program, zerorpc.Client(ipc_endpoint, timeout=PATIENCE) as client:
        try:
            assert client.numbers() == []
            assert client.program() == "1\n"
            assert client.process() != program.pid
        finally:
            program.terminate()
        assert program.wait(PATIENCE) == 0


THREADED = """
import asyncio, sys, threading
LOOP
import zerorpc
class Service:
    def plain(self):
        return "plain"
    async def coroutine(self):
        await asyncio.sleep(0)
        return "coroutine"
    @zerorpc.on_loop
    def on_loop(self):
        return "on_loop"
    def generator(self):
        yield "generator"
    async def async_generator(self):
        yield "async_generator"
    @zerorpc.process
    def process(self):
        return "process"
    def ended(self):
        return not threading.main_thread().is_alive()
    def raises(self):
        raise ValueError("raised")
    def wait(self):
        return barrier.wait(10) >= 0
    def call(self, endpoint):
        with zerorpc.Client(endpoint) as client:
            return client.plain()
    async def acall(self, endpoint):
        async with zerorpc.AsyncClient(endpoint) as client:
            return await client.plain()
    def stop(self):
        server.stop()
if __name__ == "__main__":
    barrier = threading.Barrier(5)
    server = zerorpc.Server(Service(), proxy_protocol=PROXIED)
    server.debug = DEBUG
    print(server.bind("tcp://127.0.0.1:0")[0], flush=True)
    if len(sys.argv) > 1:
        server.connect(sys.argv[1])
    threading.Thread(target=server.run).start()
"""


@pytest.fixture(params=[pytest.param(name, marks=NEEDS_THREADS_AT_THE_END) for name in ("uvloop", "asyncio")])
def threaded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Starts a program whose main thread ends, and waits until it has."""
    with contextlib.ExitStack() as programs:

        def start(*args: str, debug: bool = False, proxied: bool = False) -> Program:
            loop = "" if request.param == "uvloop" else "sys.modules['uvloop'] = None"
            text = THREADED.replace("LOOP", loop).replace("DEBUG", str(debug)).replace("PROXIED", str(proxied))
            script = tmp_path / "threaded.py"
            script.write_text(text)
            return programs.enter_context(Program(script, *args))

        yield start


@pytest.mark.parametrize("debug", [False, True])
def test_it_serves_on_a_thread_when_the_main_one_has_ended(threaded: Callable[..., Program], debug: bool) -> None:
    program = threaded(debug=debug)
    endpoint = program.line()
    with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        eventually(client.ended)
        for name in ("plain", "coroutine", "on_loop", "process"):
            assert client(name) == name
        for name in ("generator", "async_generator"):
            assert list(client(name)) == [name]
        waiting = [client.wait(async_=True) for _ in range(5)]
        assert [call.get() for call in waiting] == [True] * 5
        assert client.call(endpoint) == client.acall(endpoint) == "plain"
        assert remote_error(client.raises).msg == "raised"
        client("stop")
    code, _, err = program.end()
    assert (code, err.count("Traceback"), "RuntimeError" in err) == (0, 1, False), err


def test_it_takes_connections_of_a_proxy_when_the_main_thread_has_ended(threaded: Callable[..., Program]) -> None:
    program = threaded(proxied=True)
    with connect(program.line()) as sock:
        sock.sendall(header(0x11, IPV4))
        peer = RawPeer(sock)
        peer.handshake()
        peer.send(HEADER, "plain", [])
        assert peer.next_event().args == ["plain"]
        peer.send({**HEADER, "message_id": b"2"}, "stop", [])
        assert peer.next_event().name == "OK"
    assert program.end()[0] == 0


def test_it_connects_to_a_name_when_the_main_thread_has_ended(threaded: Callable[..., Program]) -> None:
    with zerorpc.Client(timeout=PATIENCE) as client:
        endpoint = client.bind(TCP)[0]
        program = threaded(endpoint.replace("127.0.0.1", "localhost"))
        assert client.plain() == "plain"
        client("stop")
        assert program.end()[0] == 0
