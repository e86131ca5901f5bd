"""The hub on an event loop: the end, forks, and use from other threads."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time

import pytest

import zerorpc
from tests.service.running import (
    PATIENCE,
    TCP,
    Program,
    RawPeer,
    connect,
    eventually_async,
    on_thread,
    run,
    serving,
)
from tests.service.services import HEADER, Cooler
from tests.transport.forking import EACH_WAY
from tests.transport.owners import Owner
from zerorpc.errors import LostRemote
from zerorpc.transport.aio import AioHub

# The end


def test_a_big_reply_under_way_is_sent_before_the_server_closes() -> None:
    started = threading.Event()
    release = threading.Event()

    def big() -> bytes:
        started.set()
        release.wait(PATIENCE)
        return b"x" * (32 << 20)

    server = zerorpc.Server({"big": big})
    server.bind(TCP)
    with on_thread(server), zerorpc.Client(server.endpoints[0]) as client:
        call = client.big(async_=True)
        assert started.wait(PATIENCE)
        server.stop()
        release.set()
        assert len(call.get(timeout=PATIENCE)) == 32 << 20


def test_a_caller_that_reads_slowly_gets_all_of_its_reply_from_a_server_that_closes() -> None:
    size = 16 << 20
    server = zerorpc.Server({"big": lambda: b"x" * size})
    server.bind(TCP)
    with on_thread(server), RawPeer.to(server.endpoints[0]) as peer:
        peer.send(HEADER, "big", [])
        peer.sock.recv(1)
        server.stop()
        received = 1
        while data := peer.sock.recv(size // 64):
            received += len(data)
            time.sleep(0.005)  # not for a condition: that is how slow it is
        assert received > size


def test_a_caller_that_does_not_read_at_all_keeps_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.transport.aio._LINGER", PATIENCE * 10)
    server = zerorpc.Server({"big": lambda: b"x" * (16 << 20)})
    server.bind(TCP)
    with contextlib.ExitStack() as stack:
        with on_thread(server):
            peer = stack.enter_context(RawPeer.to(server.endpoints[0]))
            peer.send(HEADER, "big", [])
            peer.sock.recv(1)
            begun = time.monotonic()
        assert time.monotonic() - begun < PATIENCE


# Fork


UNDERWAY = """
import asyncio, os, socket, sys, threading, time, zerorpc
from zerorpc.transport import aio
waits, ends = os.pipe()
def fork():
    if os.fork() == 0:
        os.close(ends)
        os.read(waits, 1)  # until its parent ends
        os._exit(0)
def until_closed(sock):
    sock.settimeout(5)
    try:
        while sock.recv(1000):
            pass
    except ConnectionResetError:
        pass
    print("closed", flush=True)
def serve(**options):
    server = zerorpc.Server({}, **options)
    endpoint = server.bind("tcp://127.0.0.1:0")[0]
    threading.Thread(target=server.run, daemon=True).start()
    return server, socket.create_connection(("127.0.0.1", int(endpoint.rpartition(":")[2])))
forked, tune = threading.Event(), aio.tune
def tune_and_fork(sock):
    aio.tune = tune
    fork()
    forked.set()
    tune(sock)
"""
UNDERWAYS = {
    "made": """
aio.tune = tune_and_fork
async def main():
    listener = socket.create_server(("127.0.0.1", 0))
    client = zerorpc.AsyncClient(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
    async with client:
        while not forked.is_set():
            await asyncio.sleep(0.01)
    until_closed(listener.accept()[0])
asyncio.run(main())
""",
    "accepted": """
aio.tune = tune_and_fork
server, sock = serve()
assert forked.wait(10)
server.stop()
until_closed(sock)
""",
    "accepted from a proxy": """
server, sock = serve(proxy_protocol=True)
while not (server._core.hub.loop and server._core.hub.accepting.tasks):
    time.sleep(0.01)
fork()
sock.sendall(b"GET / HTTP/1.1\\r\\n\\r\\n")
until_closed(sock)
""",
}


@pytest.mark.parametrize("how", UNDERWAYS)
def test_a_forked_child_does_not_keep_a_connection_open_that_was_just_being_made(how: str) -> None:
    with Program(UNDERWAY + UNDERWAYS[how]) as program:
        code, out, err = program.end()
    assert (code, out) == (0, "closed\n"), err


def test_one_hub_that_can_not_let_go_keeps_no_other_from_being_the_parents() -> None:
    text = """
    import asyncio, os, sys, zerorpc
    from zerorpc.transport.hub import Hub
    def refuse(hub):
        raise RuntimeError("it can't")
    async def main():
        servers = [zerorpc.Server({}) for _ in range(3)]
        tasks = []
        for server in servers:
            server.bind("tcp://127.0.0.1:0")
            tasks.append(asyncio.ensure_future(server.serve()))
        await asyncio.sleep(0)
        Hub.lead_nowhere = refuse
        if os.fork() == 0:
            print([server._core.hub.stale for server in servers], flush=True)
            os._exit(0)
        for server in servers:
            server.stop()
        await asyncio.gather(*tasks)
    asyncio.run(main())
    """
    with Program(text) as program:
        code, out, err = program.end()
    assert (code, out) == (0, "[True, True, True]\n"), err


# From other threads


def test_endpoints_that_threads_change_while_the_loop_serves_describes_and_closes() -> None:
    """One connect() makes one connection, and whoever iterates over endpoints finds them whole."""
    rounds, problems, done = 30, [], threading.Event()

    def change(hub: AioHub, endpoint: str) -> None:
        try:
            for _ in range(rounds):
                bound = hub.bind(TCP)
                hub.connect([*bound, endpoint])
                hub.disconnect(endpoint)
                hub.unbind(bound)
                hub.disconnect(bound)
                hub.connect(endpoint)
                hub.disconnect(endpoint)
        except Exception as error:
            problems.append(error)

    async def look(hub: AioHub) -> None:
        while not done.is_set():
            hub.describe()
            repr(hub)
            await asyncio.sleep(0)

    async def main(endpoints: list[str]) -> None:
        hub = AioHub(Owner(), lambda endpoint: endpoint)
        changers = [asyncio.to_thread(change, hub, endpoint) for endpoint in endpoints[1:]]
        changing = asyncio.gather(*changers)
        hub.attach(asyncio.get_running_loop())
        looking = asyncio.ensure_future(look(hub))
        await changing
        done.set()
        await looking
        assert not problems
        await eventually_async(lambda: not hub.links and not hub.dialing.tasks)
        hub.connect(endpoints[0])
        await eventually_async(lambda: hub.links)
        await asyncio.sleep(0.05)  # not for a condition: a second connection is not to come
        assert len(hub.links) == 1
        await hub.aclose(LostRemote("the end"))

    with serving(Cooler()) as server:
        run(main([*server.endpoints, *(server.bind(TCP)[0] for _ in range(3))]))


def test_endpoints_that_threads_change_while_it_closes() -> None:
    names = itertools.count()  # and no ports: somebody else may have one as soon as it is free

    async def main() -> None:
        for _ in range(10):
            hub = AioHub(Owner(), lambda endpoint: endpoint)
            hub.attach(asyncio.get_running_loop())
            bound: list[str] = []
            gate = threading.Event()

            def change(hub: AioHub = hub, bound: list[str] = bound, gate: threading.Event = gate) -> None:
                gate.wait(PATIENCE)
                with contextlib.suppress(zerorpc.Closed):
                    for name in names:
                        bound.extend(hub.bind(f"inproc://closing {name}"))
                        hub.connect(bound[-1])

            changing = [asyncio.ensure_future(asyncio.to_thread(change)) for _ in range(2)]
            gate.set()
            await eventually_async(lambda bound=bound: bound)
            await hub.aclose(LostRemote("the end"))
            await asyncio.gather(*changing)
            await asyncio.sleep(0)
            assert not hub.listeners
            assert not hub.links
            assert [sock for sock in hub.sockets if sock.fileno() >= 0] == []

    run(main())


def test_a_loop_of_its_own_and_no_other() -> None:
    hub = AioHub(Owner(), lambda endpoint: endpoint)

    async def attach() -> None:
        hub.attach(asyncio.get_running_loop())
        hub.attach(asyncio.get_running_loop())

    asyncio.run(attach())
    with pytest.raises(RuntimeError, match="this socket belongs to another event loop"):
        asyncio.run(attach())
    hub.connect(hub.bind(TCP)[0])  # its loop is closed: nothing comes of it
    hub.close_unattached()


def test_closing_that_is_cancelled_closes_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        monkeypatch.setattr("zerorpc.transport.aio._STALLED", PATIENCE)
        hub = AioHub(Owner(), lambda endpoint: endpoint)
        hub.attach(asyncio.get_running_loop())
        (endpoint,) = hub.bind(TCP)
        with connect(endpoint) as sock:
            await eventually_async(lambda: hub.links)
            (link,) = hub.links
            link.peer.connection.output.append(b"x" * 50_000_000)  # more than a socket takes that nobody reads from
            closing = asyncio.ensure_future(hub.aclose(LostRemote("the end")))
            await asyncio.sleep(0.01)
            assert not closing.done()
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            await eventually_async(lambda: not hub.links)
            sock.settimeout(PATIENCE)
            with contextlib.suppress(ConnectionResetError):
                while await asyncio.to_thread(sock.recv, 1_000_000):
                    pass

    run(main())


# Forks that pass Python by


@EACH_WAY
@pytest.mark.parametrize("loop", ["loop", "asyncio.new_event_loop()"], ids=["same loop", "new loop"])
def test_an_async_client_in_a_forked_child_has_a_connection_of_its_own(fork: str, loop: str) -> None:
    text = """
    import asyncio, os, signal, sys, zerorpc
    async def calls(who):
        for n in range(100):
            assert await client.echo([who, n]) == [who, n]
    loop = asyncio.new_event_loop()
    client = zerorpc.AsyncClient(sys.argv[1], timeout=10)
    loop.run_until_complete(calls("before"))
    if (pid := FORK()) == 0:
        signal.alarm(30)
        LOOP.run_until_complete(calls("child"))
        os._exit(0)
    loop.run_until_complete(calls("parent"))
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    loop.run_until_complete(calls("after"))
    loop.run_until_complete(client.aclose())
    loop.close()
    sys.exit(code)
    """
    with serving({"echo": lambda value: value}) as server:
        with Program(text.replace("FORK", fork).replace("LOOP", loop), server.endpoints[0]) as program:
            assert program.end() == (0, "", "")


@EACH_WAY
def test_the_first_uses_in_a_forked_child_from_several_threads(fork: str) -> None:
    """Of an AsyncClient, a Puller, a Pusher and inproc, all of which the parent had in use."""
    text = """
    import asyncio, faulthandler, os, sys, threading, time, zerorpc
    class Work:
        def take(self, value):
            taken.put(value)
    import queue
    taken = queue.SimpleQueue()
    puller, pusher = zerorpc.Puller(Work()), zerorpc.Pusher()
    puller.connect(sys.argv[2])
    pusher.bind("inproc://a")
    pulls = threading.Thread(target=puller.run, daemon=True)
    pulls.start()
    pusher.take(1)
    assert taken.get(timeout=30) == "begin"  # no thread is just being started
    loop = asyncio.new_event_loop()
    async def call():
        return await client.echo("hello")
    client = zerorpc.AsyncClient(sys.argv[1], timeout=30)
    assert loop.run_until_complete(call()) == "hello"
    time.sleep(0.5)  # a fork past Python copies the GIL: who waits for it then would miss a wake-up in the child
    if (pid := FORK()) == 0:
        faulthandler.dump_traceback_later(30, exit=True)
        gate = threading.Barrier(4)
        done = queue.SimpleQueue()
        def use(act):
            gate.wait()
            act()
            done.put(act)
        def pull():
            puller.stop()
            puller.run()
        def push():
            pusher.bind("inproc://a")
            pusher.take("child")
            last = zerorpc.Puller(Work())
            last.connect("inproc://a")
            threading.Thread(target=last.run, daemon=True).start()
            assert taken.get(timeout=30) == "child"
        def call_anew():
            assert asyncio.new_event_loop().run_until_complete(call()) == "hello"
        def close():
            other.close()
        other = zerorpc.Pusher()
        other.connect(sys.argv[2])
        for act in (push, call_anew, close):
            threading.Thread(target=use, args=(act,), daemon=True).start()
        gate.wait()
        for _ in range(3):
            done.get(timeout=30)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert loop.run_until_complete(call()) == "hello"
    os._exit(code)
    """
    with serving({"echo": lambda value: value}) as server, zerorpc.Pusher() as pusher:
        endpoint = pusher.bind(TCP)[0]
        pusher.take("begin")
        with Program(text.replace("FORK", fork), server.endpoints[0], endpoint) as program:
            code, out, err = program.end()
            assert (code, out) == (0, ""), err
