"""The hub on an event loop: listening, connecting, and the end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import zerorpc
from tests.service.evil_errors import EVIL
from tests.service.running import (
    PATIENCE,
    TCP,
    Program,
    RawPeer,
    connect,
    eventually,
    eventually_async,
    on_thread,
    run,
    serving,
)
from tests.service.services import HEADER, Cooler
from tests.transport.forking import EACH_WAY
from tests.transport.owners import Owner, in_a_thread
from tests.transport.proxy_headers import IPV4, IPV4_CALLER, LOCAL, SIGNATURE, header
from zerorpc.errors import LostRemote
from zerorpc.transport.aio import AioHub
from zerorpc.zmtp.greeting import Greeting

# Listening


def test_bind_and_unbind_while_serving(ipc_endpoint: str) -> None:
    with serving(Cooler()) as server:
        assert server.bind(ipc_endpoint) == [ipc_endpoint]
        with zerorpc.Client(ipc_endpoint) as client:
            assert client.add_42(1) == 43
            server.unbind(ipc_endpoint)
            assert client.add_42(2) == 44  # connections live on
            eventually(lambda: not Path(ipc_endpoint.removeprefix("ipc://")).exists())
            with zerorpc.Client(ipc_endpoint) as late, pytest.raises(zerorpc.TimeoutExpired):
                late.add_42(1, timeout=0.1)


def test_tcp_and_ipc_at_once(ipc_endpoint: str) -> None:
    with serving(Cooler()) as server:
        server.bind([ipc_endpoint, "inproc://cooler"])
        assert len(server.endpoints) == 3
        for endpoint in server.endpoints:
            with zerorpc.Client(endpoint) as client:
                assert client.add_42(1) == 43


def test_out_of_descriptors_it_accepts_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.transport.aio_accepting._PAUSE", 0.01)
    server = zerorpc.Server(Cooler())
    endpoint = server.bind(TCP)[0]
    listener = server._core.hub.listeners[endpoint]
    real, refusals = (
        listener.accept,
        [
            OSError(errno.EMFILE, "Too many open files"),
            OSError(errno.EPROTO, "Protocol error"),
            ConnectionAbortedError(),
        ],
    )

    def accept() -> socket.socket:
        if refusals:
            raise refusals.pop()
        return real()

    monkeypatch.setattr(listener, "accept", accept)
    with on_thread(server), zerorpc.Client(endpoint) as client:
        assert client.add_42(1) == 43
        assert not refusals


def test_an_address_bound_anew_while_it_was_out_of_descriptors(
    monkeypatch: pytest.MonkeyPatch, ipc_endpoint: str
) -> None:
    monkeypatch.setattr("zerorpc.transport.aio_accepting._PAUSE", 0.05)
    refused = threading.Event()

    def refuse() -> socket.socket:
        refused.set()
        raise OSError(errno.EMFILE, "Too many open files")

    with serving(Cooler()) as server:
        server.bind(ipc_endpoint)
        monkeypatch.setattr(server._core.hub.listeners[ipc_endpoint], "accept", refuse)
        with zerorpc.Client(ipc_endpoint, timeout=PATIENCE) as client:
            assert refused.wait(PATIENCE)
            server.unbind(ipc_endpoint)
            eventually(lambda: _binds(server, ipc_endpoint))
            assert client.add_42(1) == 43
        time.sleep(0.1)  # not for a condition: twice the pause, in which the old listener is not to be watched again


def _binds(server: zerorpc.Server, endpoint: str) -> bool:
    try:
        return bool(server.bind(endpoint))
    except zerorpc.AddressInUse:  # the serving thread has not closed it yet
        return False


def test_a_burst_of_clients_before_it_serves() -> None:
    server = zerorpc.Server(Cooler())
    endpoint = server.bind(TCP)[0]
    with contextlib.ExitStack() as stack:
        burst = [stack.enter_context(connect(endpoint)) for _ in range(200)]
        with on_thread(server):
            for sock in burst:
                assert sock.recv(1) == b"\xff"  # a greeting begins


def test_an_address_bound_from_another_thread_just_before_the_end_is_free_afterwards() -> None:
    async def main() -> None:
        hub = AioHub(Owner(), lambda endpoint: endpoint)
        hub.attach(asyncio.get_running_loop())
        bound: list[str] = []
        in_a_thread(lambda: bound.extend(hub.bind(TCP)))  # the loop has not been told yet
        await hub.aclose(LostRemote("the end"))
        with zerorpc.Server({}) as again:
            assert again.bind(bound) == bound

    run(main())


def test_a_connection_that_no_link_can_be_made_of_is_closed_and_said_to_be_of_no_use(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> Any:
        raise RuntimeError("no peer for this one")

    async def main() -> None:
        owner = Owner()
        monkeypatch.setattr(owner, "make_peer", refuse)
        hub = AioHub(owner, lambda endpoint: endpoint)
        hub.attach(asyncio.get_running_loop())
        ours, theirs = socket.socketpair()
        with theirs:
            assert await hub.adopt(ours) is False
            assert theirs.recv(1) == b""
        await hub.aclose(LostRemote("the end"))

    run(main())
    assert "a connection couldn't be taken" in caplog.text
    assert "no peer for this one" in caplog.text


# Behind a proxy


class Callers:
    """A middleware that notes the callers of requests; ``serving`` it answers ``who`` with the last one."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def server_before_exec(self, request: Any) -> None:
        self.seen.append(request.caller)

    @contextlib.contextmanager
    def serving(self, **options: Any) -> Iterator[zerorpc.Server]:
        context = zerorpc.Context()
        context.register_middleware(self)
        who = zerorpc.on_loop(lambda: self.seen[-1])
        with serving({"who": who}, context=context, proxy_protocol=True, **options) as server:
            yield server


def caller_seen(sock: socket.socket) -> Any:
    """Shake hands and call, over a connection whose header is sent or not wanted."""
    peer = RawPeer(sock)
    peer.handshake()
    peer.send(HEADER, "who", [])
    return peer.next_event().args[0]


@pytest.mark.parametrize("where", ["tcp", "ipc"])
def test_a_proxys_header_tells_the_caller_and_calls_follow(where: str, ipc_endpoint: str) -> None:
    with Callers().serving(bind=TCP if where == "tcp" else ipc_endpoint) as server:
        with connect(server.endpoints[0]) as sock:
            sock.sendall(header(0x11, IPV4))
            assert caller_seen(sock) == IPV4_CALLER
        with connect(server.endpoints[0]) as sock:
            sock.sendall(header(0x11, IPV4 + bytes(60_000)) + Greeting("NULL").encode())  # all at once
            assert sock.recv(1) == b"\xff"


def test_a_header_may_come_in_pieces() -> None:
    with Callers().serving() as server, connect(server.endpoints[0]) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in header(0x11, IPV4):
            sock.sendall(bytes((octet,)))
        assert caller_seen(sock) == IPV4_CALLER


def test_a_proxy_that_connects_for_itself_is_the_caller() -> None:
    with Callers().serving() as server, connect(server.endpoints[0]) as sock:
        sock.sendall(header(0x00, b"", LOCAL))
        assert caller_seen(sock) == f"tcp://127.0.0.1:{sock.getsockname()[1]}"


def test_connections_that_no_proxy_makes_have_no_header(caplog: pytest.LogCaptureFixture) -> None:
    callers = Callers()
    with zerorpc.Client(timeout=PATIENCE) as client, callers.serving(connect=client.bind(TCP)[0]) as server:
        assert client.who() == client.endpoints[0]
        server.bind("inproc://no-proxy")
        with zerorpc.Client("inproc://no-proxy", timeout=PATIENCE) as neighbour:
            assert neighbour.who() == "a peer on this machine"
    assert not caplog.records


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (Greeting("NULL").encode(), "a client that came past the proxy"),
        (SIGNATURE + b"\x21\x13\x00\x0c", "family 0x13"),
        (b"", "no PROXY protocol header within 0.05 s"),
        (header(0x11, IPV4)[:-1], "no PROXY protocol header within 0.05 s"),
    ],
    ids=["none", "unknown", "silence", "half"],
)
def test_who_sends_no_header_is_refused_in_a_line_and_disturbs_nobody(
    octets: bytes, why: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zerorpc.transport.proxied.HANDSHAKE_TIMEOUT", 0.05 if "0.05" in why else PATIENCE)
    with Callers().serving() as server, connect(server.endpoints[0]) as known:
        known.sendall(header(0x11, IPV4))
        peer = RawPeer(known)
        peer.handshake()
        with connect(server.endpoints[0]) as sock:
            sock.sendall(octets)
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""
            (line,) = [record.getMessage() for record in caplog.records]
            assert line.startswith(f"refused tcp://127.0.0.1:{sock.getsockname()[1]}: ")
            assert why in line
        peer.send(HEADER, "who", [])
        assert peer.next_event().args == [IPV4_CALLER]
        assert len(server._core.hub.links) == 1


def test_the_log_names_the_caller_and_not_the_proxy(caplog: pytest.LogCaptureFixture) -> None:
    with Callers().serving() as server, connect(server.endpoints[0]) as sock:
        sock.sendall(header(0x11, IPV4) + b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            while sock.recv(4096):
                pass
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"refused {IPV4_CALLER}: ")


@pytest.mark.parametrize("octets", [b"", header(0x11, IPV4)[:-1]], ids=["silent", "half"])
def test_who_leaves_before_its_header_is_whole_is_forgotten(octets: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with Callers().serving() as server:
        hub = server._core.hub
        with connect(server.endpoints[0]) as sock:
            sock.sendall(octets)
            eventually(lambda: hub.loop and hub.accepting.tasks)
        eventually(lambda: not hub.accepting.tasks)
        assert not hub.links
    assert not caplog.records


def test_a_server_that_closes_waits_for_no_header() -> None:
    with contextlib.ExitStack() as stack:
        with Callers().serving() as server:
            sock = stack.enter_context(connect(server.endpoints[0]))
            eventually(lambda: (hub := server._core.hub).loop and hub.accepting.tasks)
        assert sock.recv(1) == b""


# Connecting


def test_an_endpoint_connected_from_another_thread_just_before_the_end_is_never_dialed() -> None:
    async def main(endpoint: str) -> None:
        owner = Owner()
        hub = AioHub(owner, lambda endpoint: endpoint)
        hub.attach(asyncio.get_running_loop())
        in_a_thread(lambda: hub.connect(endpoint))
        await hub.aclose(LostRemote("the end"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not owner.links
        assert not owner.lost

    with serving({}) as server:
        run(main(server.endpoints[0]))
        assert not server._core.hub.links


def test_disconnecting_from_another_thread_just_as_the_connection_is_made() -> None:
    """The connection is ended at once, though the loop hears of the call to disconnect later."""

    class Loop(asyncio.SelectorEventLoop):
        hub: AioHub

        async def connect_accepted_socket(self, *args: Any, **kwargs: Any) -> Any:
            made = await super().connect_accepted_socket(*args, **kwargs)
            in_a_thread(lambda: self.hub.disconnect(endpoint))
            return made

    async def main() -> None:
        owner = Owner()
        loop.hub = hub = AioHub(owner, lambda endpoint: endpoint)
        hub.attach(loop)
        hub.connect(endpoint)
        await eventually_async(lambda: owner.lost)
        assert not hub.links
        assert not hub.dialers
        await hub.aclose(LostRemote("the end"))

    loop = Loop()
    with serving({}) as server:
        endpoint = server.endpoints[0]
        loop.run_until_complete(asyncio.wait_for(main(), PATIENCE))
        eventually(lambda: not server._core.hub.links)
    loop.close()


def test_a_cancellation_in_the_very_turn_in_which_the_connection_is_made_ends_the_task() -> None:
    """Or ``asyncio.run`` would wait for it for ever: it cancels all tasks, and most of all in a short program."""

    class Loop(asyncio.SelectorEventLoop):
        async def sock_connect(self, *_: Any) -> None:
            await made

    async def main() -> None:
        hub = AioHub(Owner(), lambda endpoint: endpoint)
        hub.attach(loop)
        hub.connect("tcp://127.0.0.1:1")
        (task,) = hub.dialing.tasks.values()
        await eventually_async(lambda: made._callbacks)  # it waits
        made.set_result(None)
        task.cancel()
        await asyncio.wait([task], timeout=PATIENCE)
        assert task.cancelled()
        await hub.aclose(LostRemote("the end"))

    loop = Loop()
    made: Any = asyncio.Future(loop=loop)
    loop.run_until_complete(asyncio.wait_for(main(), 2 * PATIENCE))
    loop.close()


def test_a_socket_that_the_loop_does_not_take_is_closed_and_another_tried() -> None:
    refusals = [OSError(errno.ENOMEM, "Cannot allocate memory")] * 2

    class Loop(asyncio.SelectorEventLoop):
        async def connect_accepted_socket(self, *args: Any, **kwargs: Any) -> Any:
            if refusals:
                raise refusals.pop()
            return await super().connect_accepted_socket(*args, **kwargs)

    async def main() -> None:
        server = zerorpc.Server(Cooler())
        endpoint = server.bind(TCP)[0]
        task = asyncio.ensure_future(server.serve())
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            assert await client.add_42(1) == 43
        server.stop()
        await task

    loop = Loop()
    loop.run_until_complete(asyncio.wait_for(main(), PATIENCE))
    loop.close()
    assert not refusals


def test_disconnecting_one_endpoint_leaves_the_connections_of_the_others() -> None:
    async def main(stays: str, goes: str) -> None:
        owner = Owner()
        hub = AioHub(owner, lambda endpoint: endpoint)
        hub.attach(asyncio.get_running_loop())
        assert hub.connect([stays, goes]) == [stays, goes]
        await eventually_async(lambda: len(owner.links) == 2)
        hub.disconnect(goes)
        await eventually_async(lambda: owner.lost)
        assert [link.name for link in owner.lost] == [goes]
        assert [link.name for link in hub.links] == [stays]
        assert repr(hub) == f"<AioHub bound=[] connected=['{stays}'] links=1>"
        await hub.aclose(LostRemote("the end"))

    with serving({}) as one, serving({}) as other:
        run(main(one.endpoints[0], other.endpoints[0]))


def test_connect_and_disconnect_while_serving() -> None:
    with serving(Cooler()) as server, zerorpc.Client() as client:
        endpoint = client.bind(TCP)[0]
        assert server.connect(endpoint) == [endpoint]
        assert client.add_42(1) == 43
        server.disconnect(endpoint)
        eventually(lambda: not answers(client))


def answers(client: zerorpc.Client) -> bool:
    try:
        return bool(client.add_42(1, timeout=0.1))
    except (zerorpc.TimeoutExpired, zerorpc.LostRemote):
        return False


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


def test_a_caller_that_does_not_read_at_all_keeps_no_server() -> None:
    server = zerorpc.Server({"big": lambda: b"x" * (16 << 20)})
    server.bind(TCP)
    with contextlib.ExitStack() as stack:
        with on_thread(server):
            peer = stack.enter_context(RawPeer.to(server.endpoints[0]))
            peer.send(HEADER, "big", [])
            peer.sock.recv(1)
            begun = time.monotonic()
        assert time.monotonic() - begun < 3


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
        signal.alarm(15)
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
    import asyncio, os, signal, sys, threading, zerorpc
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
    loop = asyncio.new_event_loop()
    async def call():
        return await client.echo("hello")
    client = zerorpc.AsyncClient(sys.argv[1], timeout=10)
    assert loop.run_until_complete(call()) == "hello"
    if (pid := FORK()) == 0:
        signal.alarm(15)
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
            assert taken.get(timeout=10) == "child"
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
            done.get(timeout=10)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert loop.run_until_complete(call()) == "hello"
    os._exit(code)
    """
    with serving({"echo": lambda value: value}) as server, zerorpc.Pusher() as pusher:
        endpoint = pusher.bind(TCP)[0]
        with Program(text.replace("FORK", fork), server.endpoints[0], endpoint) as program:
            code, out, err = program.end()
            assert (code, out) == (0, ""), err


# What must not happen, and does


@pytest.mark.parametrize("error", [MemoryError(), ValueError("odd"), OSError(errno.ENETDOWN, "down")], ids=repr)
def test_whatever_accepting_raises_it_accepts_again_without_spinning(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("zerorpc.transport.aio_accepting._PAUSE", 0.1)
    server = zerorpc.Server(Cooler())
    endpoint = server.bind(TCP)[0]
    listener = server._core.hub.listeners[endpoint]
    real, attempts = listener.accept, []

    def accept() -> socket.socket:
        attempts.append(time.monotonic())
        if len(attempts) <= 3:
            raise error
        return real()

    monkeypatch.setattr(listener, "accept", accept)
    with on_thread(server), zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        assert client.add_42(1) == 43
    assert attempts[3] - attempts[0] > 0.25
    assert len(caplog.records) == (0 if isinstance(error, OSError) else 3)


@pytest.mark.parametrize("error", ["ValueError", "SystemExit", "KeyboardInterrupt", "BadClass"])
def test_a_connection_that_can_t_be_taken_harms_no_other(error: str, caplog: pytest.LogCaptureFixture) -> None:
    """A program's own message ids, of which each connection takes one."""
    failing: list[int] = []

    class Ids(zerorpc.Context):
        def new_msgid(self) -> bytes:
            if failing:
                failing.pop()
                raise ValueError("no id") if error == "ValueError" else EVIL[error]()
            return super().new_msgid()

    with serving(Cooler(), context=Ids()) as server, zerorpc.Client(server.endpoints[0]) as client:
        assert client.add_42(1) == 43
        failing.append(1)
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as another:
            assert another.add_42(1) == 43  # when it has connected again
        assert not failing
        assert client.add_42(2) == 44
    assert "a connection couldn't be taken" in caplog.text
