"""The hub in its callers' threads: who leads, who follows, and what happens when nobody waits; and forks."""

from __future__ import annotations

import errno
import gc
import os
import select
import signal
import socket
import textwrap
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import zerorpc
from tests.service.running import (
    PATIENCE,
    TCP,
    Program,
    RawPeer,
    binds,
    connect,
    eventually,
    joined,
    main_thread_waits,
    once,
    raising_on,
    serving,
    unused_port,
    unused_tcp,
)
from tests.service.services import Blocking, open_calls
from tests.transport.forking import EACH_WAY
from zerorpc.protocol.events import encode
from zerorpc.zmtp import SocketType


@pytest.fixture
def service() -> Iterator[Blocking]:
    service = Blocking()
    yield service
    service.release.set()


@pytest.fixture
def client(service: Blocking) -> Iterator[zerorpc.Client]:
    with joined(service) as client:
        yield client


# Leading and following


def test_an_interrupted_leader_leaves_the_others_a_leader(client: zerorpc.Client, service: Blocking) -> None:
    """The main thread drives the sockets; when it is interrupted, a thread that waits takes over."""
    results: list[Any] = []
    others = [threading.Thread(target=lambda n=n: results.append(client.block())) for n in range(3)]
    with raising_on(signal.SIGUSR1, KeyboardInterrupt()) as interrupt:

        def begin() -> None:
            service.started.wait(PATIENCE)
            for other in others:
                other.start()
            eventually(lambda: open_calls(client) == 4 and main_thread_waits())
            interrupt()

        threading.Thread(target=begin).start()
        with pytest.raises(KeyboardInterrupt):
            client.block()
    service.release.set()
    for other in others:
        other.join(PATIENCE)
    assert results == ["released"] * 3


def test_an_interrupted_follower_leaves_the_others_alone(client: zerorpc.Client, service: Blocking) -> None:
    first = client.block(async_=True)
    service.started.wait(PATIENCE)
    with raising_on(signal.SIGUSR1, KeyboardInterrupt()) as interrupt:
        waiting = lambda: open_calls(client) == 2 and main_thread_waits()  # noqa: E731
        threading.Thread(target=once, args=(waiting, interrupt)).start()
        with pytest.raises(KeyboardInterrupt):
            client.block()
    assert client.echo(1) == 1
    service.release.set()
    assert first.get(timeout=PATIENCE) == "released"


def test_32_threads_on_one_client(client: zerorpc.Client) -> None:
    wrong: list[Any] = []

    def work(n: int) -> None:
        wrong.extend((n, k) for k in range(50) if client.echo([n, k]) != [n, k])
        if list(client.count(150)) != list(range(150)):
            wrong.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * PATIENCE)
        assert not thread.is_alive()
    assert not wrong
    assert open_calls(client) == 0


def test_threads_take_over_from_each_other() -> None:
    """Each thread's call ends at another time, so that the one that drives the sockets keeps changing."""
    gates = [threading.Event() for _ in range(8)]
    done: list[int] = []
    with joined({"pass_gate": lambda n: gates[n].wait(PATIENCE) and n}) as client:
        threads = [threading.Thread(target=lambda n=n: done.append(client.pass_gate(n))) for n in range(8)]
        for thread in threads:
            thread.start()
        eventually(lambda: open_calls(client) == 8)
        for n in (3, 0, 7, 5, 1, 6, 2, 4):
            gates[n].set()
            eventually(lambda n=n: n in done)
        for thread in threads:
            thread.join(PATIENCE)


# While nobody waits


def test_a_slow_consumer_keeps_its_heartbeats(service: Blocking) -> None:
    with serving(service, heartbeat=1.5) as server, zerorpc.Client(server.endpoints[0], heartbeat=1.5) as client:
        items = client.count(400)
        assert next(items) == 0
        time.sleep(3.5)  # not for a condition: more than two heartbeats without a word from this thread
        assert list(items) == list(range(1, 400))


def test_an_old_server_gets_heartbeats_while_the_consumer_is_elsewhere() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with zerorpc.Client(endpoint, heartbeat=1.5, timeout=PATIENCE) as client:
            call = client.stream(async_=True)
            with RawPeer(listener.accept()[0], SocketType.ROUTER) as server:
                server.handshake()
                request = server.next_event()
                assert request.name == "stream"
                header = {"message_id": b"0" * 32, "v": 3, "response_to": request.header.message_id}
                server.send_data(encode(header, "STREAM", 1))
                items = call.get(timeout=PATIENCE)
                for _ in range(3):
                    while (event := server.next_event()).name != "_zpc_hb":
                        assert event.name == "_zpc_more"
                    server.send_data(encode(header, "_zpc_hb", [0]))
                assert next(items) == 1
                items.close()


# Endpoints


def test_workers_connect_to_a_client_that_binds() -> None:
    with zerorpc.Client(timeout=PATIENCE) as client:
        endpoint = client.bind(TCP)[0]
        assert client.endpoints == [endpoint]
        call = client.who(async_=True)
        with serving(Blocking("one"), connect=endpoint), serving(Blocking("two"), connect=endpoint):
            assert call.get(timeout=PATIENCE) in ("one", "two")
            eventually(lambda: {client.who(), client.who()} == {"one", "two"})
            assert list(client.count(300)) == list(range(300))
            client.unbind(endpoint)
            assert client.endpoints == []
            assert {client.who(), client.who()} == {"one", "two"}  # connections live on


def test_bound_and_connected_at_once() -> None:
    with serving(Blocking("connected")) as server, zerorpc.Client(server.endpoints[0]) as client:
        with serving(Blocking("worker"), connect=client.bind(TCP)[0]):
            eventually(lambda: {client.who(), client.who()} == {"connected", "worker"})


def test_disconnect_ends_what_runs_there(client: zerorpc.Client, service: Blocking) -> None:
    call = client.block(async_=True)
    service.started.wait(PATIENCE)
    endpoint = next(iter(client._core.hub.dialers))
    client.disconnect(endpoint)
    with pytest.raises(zerorpc.LostRemote, match="disconnected here"):
        call.get(timeout=PATIENCE)
    with pytest.raises(zerorpc.EndpointError, match="not connected"):
        client.disconnect(endpoint)
    client.connect(endpoint)
    assert client.echo(1) == 1


def test_connecting_twice_is_one_connection(client: zerorpc.Client) -> None:
    endpoint = next(iter(client._core.hub.dialers))
    assert client.connect(endpoint) == [endpoint]
    client.echo(1)
    assert repr(client) == f"<Client <BlockingHub bound=[] connected=['{endpoint}'] links=1>>"


@pytest.mark.parametrize(
    "endpoint",
    ["ipc", "inproc://sync-client", f"ipc://@zerorpc-test-sync-{os.getpid()}", "tcp://[::1]:0"],
    ids=["ipc", "inproc", "abstract", "IPv6"],
)
def test_every_transport(endpoint: str, ipc_endpoint: str) -> None:
    with joined(Blocking(), bind=ipc_endpoint if endpoint == "ipc" else endpoint) as client:
        assert client.echo(b"x" * 1_000_000) == b"x" * 1_000_000
        assert list(client.count(300)) == list(range(300))


class OutOfDescriptors:
    """A listener's accept(), as long as there are none left."""

    def __init__(self, client: zerorpc.Client, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
        listener = client._core.hub.listeners[endpoint]
        self._real = listener.accept
        self.attempts: list[float] = []
        self.over = False
        monkeypatch.setattr(listener, "accept", self)

    def __call__(self) -> socket.socket:
        if self.over:
            return self._real()
        self.attempts.append(time.monotonic())
        raise OSError(errno.EMFILE, "Too many open files")


@pytest.mark.parametrize("waits", [True, False], ids=["a call waits", "nobody waits"])
def test_a_client_that_binds_and_is_out_of_descriptors_accepts_later_without_spinning(
    monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    interval = 0.05
    monkeypatch.setattr("zerorpc.transport.blocking._KEEPER_LONGEST", interval)
    with zerorpc.Client(timeout=PATIENCE) as client:
        endpoint = client.bind(TCP)[0]
        out = OutOfDescriptors(client, endpoint, monkeypatch)
        with serving(Blocking("worker"), connect=endpoint):
            call = client.who(async_=True) if waits else None
            eventually(lambda: len(out.attempts) >= 7)
            # Once each time that the keeper comes by: between the second attempt and the seventh, four times at least.
            assert out.attempts[6] - out.attempts[1] > 4 * interval * 0.9
            out.over = True
            assert (call.get(timeout=PATIENCE) if call else client.who()) == "worker"


def test_unbinding_while_out_of_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.transport.blocking._KEEPER_LONGEST", 0.02)
    with zerorpc.Client(timeout=PATIENCE) as client:
        endpoint = client.bind(unused_tcp())[0]
        out = OutOfDescriptors(client, endpoint, monkeypatch)
        with serving(Blocking("worker"), connect=endpoint):
            eventually(lambda: out.attempts)
            client.unbind(endpoint)
            eventually(lambda: not client._core.hub.polling._resting)
            eventually(lambda: binds(client, endpoint))
            assert client.who() == "worker"


@pytest.mark.usefixtures("no_second_looks")
def test_an_address_is_soon_free_although_another_thread_polls() -> None:
    """The system keeps a socket open as long as a thread is in poll() with it."""
    started, release = threading.Event(), threading.Event()
    methods = {"block": lambda: started.set() or release.wait()}
    with zerorpc.Client(timeout=None, heartbeat=None) as client:
        endpoint = client.bind(unused_tcp())[0]
        waits = threading.Thread(target=client.block)
        with serving(methods, connect=endpoint, heartbeat=None):
            try:
                waits.start()
                assert started.wait(PATIENCE)
                for _ in range(3):
                    client.unbind(endpoint)
                    eventually(lambda: binds(client, endpoint))
            finally:
                release.set()
                waits.join(PATIENCE)


def test_one_connect_is_one_connection_though_the_keeper_looks_in(
    service: Blocking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keeper mends what is connected to nothing: also what a thread is just about to connect."""
    start = threading.Thread.start
    at_it = threading.Event()

    def start_late(thread: threading.Thread) -> None:
        if thread.name.startswith("zerorpc-dial") and not at_it.is_set():
            at_it.set()
            client._core.hub._keeper.nudge()
            time.sleep(0.2)  # not for a condition: the keeper has the time to do wrong
        start(thread)

    monkeypatch.setattr("zerorpc.transport.blocking._KEEPER_LONGEST", 0.02)
    with serving(service) as server, zerorpc.Client(timeout=PATIENCE) as client:
        client.bind("inproc://one-connect")  # so that there is a keeper
        monkeypatch.setattr(threading.Thread, "start", start_late)
        threads = [threading.Thread(target=client.connect, args=server.endpoints) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert client.echo(1) == 1
        eventually(lambda: not client._core.hub.dialing.threads)
        assert len(client._core.hub.links) == 1
        assert "links=1" in repr(client)


def test_a_connection_that_is_lost_while_its_thread_ends_is_made_again_at_once(service: Blocking) -> None:
    with serving(service) as server, zerorpc.Client(server.endpoints[0], timeout=PATIENCE, heartbeat=30) as client:
        for n in range(30):
            assert client.echo(n) == n
            hub = client._core.hub
            with hub.lock:
                assert not hub.dialing.threads
                for link in list(hub.links.values()):
                    link.lose(zerorpc.LostRemote("in a test"))
                assert len(hub.dialing.threads) == 1


# Out of threads


class OutOfThreads:
    """Refuses to start threads of a name, so many times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, error: Exception, times: int) -> None:
        self.times = times
        start = threading.Thread.start

        def refuse(thread: threading.Thread) -> None:
            if self.times and thread.name.startswith(name):
                self.times -= 1
                raise error
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", refuse)


NO_THREAD = [RuntimeError("can't start new thread"), MemoryError()]


@pytest.mark.parametrize("waits", [True, False], ids=["a call waits", "nobody waits"])
@pytest.mark.parametrize("error", NO_THREAD, ids=repr)
def test_a_client_out_of_threads_when_it_loses_its_server_connects_again_later(
    monkeypatch: pytest.MonkeyPatch, service: Blocking, error: Exception, waits: bool
) -> None:
    monkeypatch.setattr("zerorpc.transport.blocking._KEEPER_LONGEST", 0.02)
    with serving(service) as server, zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
        call = client.block(async_=True) if waits else None
        assert client.echo(0) == 0
        out = OutOfThreads(monkeypatch, "zerorpc-dial", error, times=3)
        for link in list(client._core.hub.links.values()):
            link.sock.shutdown(socket.SHUT_RDWR)
        if call is not None:
            with pytest.raises(zerorpc.LostRemote, match="was closed"):
                call.get(timeout=PATIENCE)
        eventually(lambda: out.times == 0)
        assert client.echo(1) == 1


@pytest.mark.parametrize("name", ["zerorpc-dial", "zerorpc-keeper"])
@pytest.mark.parametrize("error", NO_THREAD, ids=repr)
def test_connecting_out_of_threads_raises_and_may_be_tried_again(
    monkeypatch: pytest.MonkeyPatch, service: Blocking, error: Exception, name: str
) -> None:
    monkeypatch.setattr("zerorpc.transport.blocking._KEEPER_LONGEST", 0.02)
    with serving(service) as server, zerorpc.Client(timeout=PATIENCE) as client:
        OutOfThreads(monkeypatch, name, error, times=1)
        with pytest.raises(type(error)):
            client.connect(server.endpoints[0])
        client.connect(server.endpoints[0])
        assert client.echo(1) == 1
        assert client._core.hub._keeper.is_alive()


# The end


def test_close_by_another_thread_between_a_poll_and_what_it_found() -> None:
    """Somebody connects, the leader is told, and before it can accept the client is closed."""
    with zerorpc.Client(timeout=PATIENCE) as client:
        endpoint = client.bind(TCP)[0]
        call = client.who(async_=True)
        hub = client._core.hub
        eventually(lambda: hub.leading.leader is not None)
        with hub.lock:  # the leader gets no further than its poll
            sock = connect(endpoint)
            readable, _, _ = select.select([hub.listeners[endpoint].fileno()], [], [], PATIENCE)
            assert readable
            time.sleep(0.05)  # not for a condition: the leader returns from its poll meanwhile, most likely
            client.close()
        with pytest.raises(zerorpc.Closed, match="the client was closed"):
            call.get(timeout=PATIENCE)
        sock.close()


def test_close_from_another_thread_ends_calls_and_streams(service: Blocking) -> None:
    with serving(service) as server:
        client = zerorpc.Client(server.endpoints[0], timeout=PATIENCE)
        calls = [client.block(async_=True) for _ in range(3)]
        items = client.count(10**9)
        service.started.wait(PATIENCE)
        eventually(lambda: open_calls(client) == 4)
        client.close()
        for call in calls:
            with pytest.raises(zerorpc.LostRemote, match="the client was closed"):
                call.get(timeout=PATIENCE)
        with pytest.raises(zerorpc.LostRemote):
            list(items)
        assert service.ended.wait(PATIENCE)


def test_close_ends_calls_that_wait_for_a_server() -> None:
    client = zerorpc.Client(f"tcp://127.0.0.1:{unused_port()}", timeout=None)
    call = client.echo(1, async_=True)
    client.close()
    with pytest.raises(zerorpc.Closed, match="the client was closed"):
        call.get(timeout=PATIENCE)


def test_a_dropped_client_closes_its_connections(service: Blocking) -> None:
    with serving(service) as server:
        client = zerorpc.Client(server.endpoints[0])
        items = client.count(10**9)
        next(items)
        del client  # the stream goes on without it? no: its connections are closed
        gc.collect()
        del items
        gc.collect()
        assert service.ended.wait(PATIENCE)


def test_closed_before_it_was_ever_connected() -> None:
    client = zerorpc.Client(f"tcp://127.0.0.1:{unused_port()}")
    client.close()
    with zerorpc.Client() as never:
        assert never.endpoints == []


# Fork


FORKS = """
import gc, os, sys, zerorpc
client = zerorpc.Client(sys.argv[1], timeout=10)
assert client.echo("before") == "before"
{before}
sys.stdout.flush()
pid = {fork}()
if pid == 0:
    {child}
    sys.exit(0)
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
{parent}
print("child", code, flush=True)
"""


def _fork(endpoint: str, before: str = "", child: str = "", parent: str = "", fork: str = "os.fork") -> str:
    with Program(FORKS.format(before=before, child=child, parent=parent, fork=fork), endpoint) as program:
        code, out, err = program.end()
        assert code == 0, err
        return out


@EACH_WAY
def test_after_a_fork_parent_and_child_both_call(service: Blocking, fork: str) -> None:
    with serving(service) as server:
        out = _fork(
            server.endpoints[0],
            child="print(client.echo('child says'), list(client.count(3)), flush=True)",
            parent="print(client.echo('parent says'), list(client.count(3)), flush=True)",
            fork=fork,
        )
    assert out == "child says [0, 1, 2]\nparent says [0, 1, 2]\nchild 0\n"


@EACH_WAY
def test_the_first_thing_that_a_forked_child_does_may_be_to_connect_elsewhere(service: Blocking, fork: str) -> None:
    with serving(service) as server, serving(Blocking("other")) as other:
        out = _fork(
            server.endpoints[0],
            child=f"client.disconnect(sys.argv[1]); client.connect('{other.endpoints[0]}'); print(client.who())",
            parent="print(client.echo('parent says'), flush=True)",
            fork=fork,
        )
    assert out == "other\nparent says\nchild 0\n"


@EACH_WAY
def test_a_forked_child_that_drops_a_stream_leaves_the_parents_alone(service: Blocking, fork: str) -> None:
    with serving(service) as server:
        out = _fork(
            server.endpoints[0],
            before="items = client.count(5000); assert next(items) == 0",
            child="items.close(); del items; gc.collect(); client.close()",
            parent="print(sum(1 for _ in items), flush=True)",
            fork=fork,
        )
    assert out == "4999\nchild 0\n"


@EACH_WAY
def test_a_forked_child_that_only_ends_leaves_the_parents_calls_alone(service: Blocking, fork: str) -> None:
    with serving(service) as server:
        threading.Timer(0.3, service.release.set).start()
        out = _fork(
            server.endpoints[0],
            before="call = client.block(async_=True); items = client.count(5000); next(items)",
            parent="print(call.get(timeout=10), sum(1 for _ in items), flush=True)",
            fork=fork,
        )
    assert out == "released 4999\nchild 0\n"


def test_a_forked_child_out_of_threads_at_its_first_call_may_call_again(service: Blocking) -> None:
    child = """
    import threading
    real, refused = threading.Thread.start, []
    def start(thread):
        if thread.name.partition(" ")[0] not in refused:
            refused.append(thread.name.partition(" ")[0])
            raise RuntimeError("can't start new thread")
        real(thread)
    threading.Thread.start = start
    try:
        client.echo("never")
    except RuntimeError as error:
        print(error, flush=True)
    print(client.echo("child says"), refused, flush=True)
    """
    with serving(service) as server:
        out = _fork(server.endpoints[0], child=textwrap.dedent(child).strip().replace("\n", "\n    "))
    assert out == "can't start new thread\nchild says ['zerorpc-keeper', 'zerorpc-dial']\nchild 0\n"


def test_a_forked_child_of_a_client_that_binds_leaves_the_address_to_its_parent(service: Blocking) -> None:
    with zerorpc.Client(timeout=PATIENCE) as client:
        endpoint = f"tcp://127.0.0.1:{unused_port()}"
        with serving(service) as server, serving(service, connect=endpoint):
            assert client.endpoints == []
            out = _fork(
                server.endpoints[0],
                before=f"bound = zerorpc.Client(timeout=10); bound.bind('{endpoint}'); bound.echo(1)",
                child="bound.close()",
                parent="print(bound.echo('parent says'), flush=True)",
            )
    assert out == "parent says\nchild 0\n"


def test_a_link_that_ends_right_at_a_fork_disturbs_no_other_client_and_no_file(service: Blocking) -> None:
    """Its socket is closed, and it isn't forgotten yet: another thread is at it. Its number is a file's already."""
    text = """
    import os, sys, zerorpc
    clients = [zerorpc.Client(sys.argv[1], timeout=10) for _ in range(3)]
    for client in clients:
        client.echo(1)
    links = [link for client in clients for link in client._core.hub.links.values()]
    reading, writing = os.pipe()
    for link in links[:2]:
        link.sock.close()
    os.dup2(writing, links[0].fileno)
    if (pid := os.fork()) == 0:
        print([client._core.hub.stale for client in clients], flush=True)
        os.write(links[0].fileno, b"hello")
        os.write(links[2].fileno, b"to nobody")
        os._exit(0)
    os.waitpid(pid, 0)
    os.set_blocking(reading, False)
    print(os.read(reading, 10), clients[2].echo("alive"), flush=True)
    os._exit(0)
    """
    with serving(service) as server, Program(text, server.endpoints[0]) as program:
        code, out, err = program.end()
    assert (code, out) == (0, "[True, True, True]\nb'hello' alive\n"), err


@EACH_WAY
def test_parent_and_child_call_at_the_same_time_and_nothing_is_mixed_up(service: Blocking, fork: str) -> None:
    text = """
    import os, sys, zerorpc
    client = zerorpc.Client(sys.argv[1], timeout=10)
    client.echo(0)
    pid = {fork}()
    wrong = sum(client.echo([os.getpid(), n]) != [os.getpid(), n] for n in range(2000))
    if pid == 0:
        os._exit(wrong != 0)
    print(wrong, os.waitpid(pid, 0)[1], flush=True)
    """
    with serving(service) as server, Program(text.replace("{fork}", fork), server.endpoints[0]) as program:
        code, out, err = program.end()
    assert (code, out) == (0, "0 0\n"), err


# The keeper has an hour's rest: if it woke just as a fork passes Python by, the child would wait for the GIL for ever.
THREADS_FIRST = """
import os, signal, sys, threading, zerorpc, zerorpc.transport.blocking
zerorpc.transport.blocking._KEEPER_LONGEST = 3600
client = zerorpc.Client(sys.argv[1], timeout=10, heartbeat=7200)
client.echo(0)
for_ever = threading.Event()
def keep_busy():
    while not for_ever.is_set():
        client.echo("busy")
busy = [threading.Thread(target=keep_busy, daemon=True) for _ in range({busy})]
for thread in busy:
    thread.start()
def use(number, problems):
    try:
        first = number % 5
        if first == 1:
            client.connect(sys.argv[1])
        elif first == 2:
            client.unbind(client.bind("tcp://127.0.0.1:0")[0])
        elif first == 3:
            assert list(client.count(150)) == list(range(150))
        elif first == 4:
            assert client.echo(number, async_=True).get(timeout=10) == number
        for n in range(5):
            assert client.echo([number, n]) == [number, n]
    except BaseException as error:
        problems.append(repr(error))
def generation(left):
    pid = {fork}()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    signal.alarm(30)
    problems = []
    threads = [threading.Thread(target=use, args=(n, problems)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if left and generation(left - 1):
        problems.append("in the next generation")
    if problems:
        print(problems, file=sys.stderr)
    os._exit(bool(problems))
print([generation(1) for _ in range({times})], client.echo("parent"), flush=True)
for_ever.set()
os._exit(0)
"""


@pytest.mark.timeout(90)
@EACH_WAY
def test_the_first_uses_after_a_fork_come_from_several_threads_at_once(service: Blocking, fork: str) -> None:
    """Also in a child of the child. Parents with other threads at work: only Python's own fork survives those."""
    busy = 2 if fork.endswith("os').fork") else 0
    text = THREADS_FIRST.format(fork=fork, busy=busy, times=6)
    with serving(service) as server, Program(text, server.endpoints[0]) as program:
        code, out, err = program.end()
    assert (code, out) == (0, f"{[0] * 6} parent\n"), err


@EACH_WAY
@pytest.mark.parametrize("held", ["lock", "dialing"])
def test_what_another_thread_of_the_parent_is_in_the_middle_of_holds_nobody_up(
    service: Blocking, fork: str, held: str
) -> None:
    text = """
    import os, sys, threading, zerorpc
    from zerorpc.transport import dialing
    client = zerorpc.Client(sys.argv[1], timeout=10)
    client.echo(0)
    at_it, go_on = threading.Event(), threading.Event()
    def hold():
        with client._core.hub.lock:
            at_it.set()
            go_on.wait(10)
    connect = dialing.connect_blocking
    def connect_late(*args):
        dialing.connect_blocking = connect
        sock = connect(*args)
        at_it.set()
        go_on.wait(10)
        return sock
    if sys.argv[2] == "lock":
        threading.Thread(target=hold).start()
    else:
        dialing.connect_blocking = connect_late
        client.disconnect(sys.argv[1])
        client.connect(sys.argv[1])
    at_it.wait(10)
    pid = {fork}()
    if pid == 0:
        print(client.echo("child"), flush=True)
        client.close()
        os._exit(0)
    print(os.waitpid(pid, 0)[1], flush=True)
    go_on.set()
    print(client.echo("parent"), flush=True)
    """
    with serving(service) as server, Program(text.replace("{fork}", fork), server.endpoints[0], held) as program:
        code, out, err = program.end()
    assert (code, out) == (0, "child\n0\nparent\n"), err


@EACH_WAY
def test_a_result_in_the_background_is_the_parents(fork: str) -> None:
    gate = threading.Event()
    methods = {"echo": lambda value: value, "block": lambda: gate.wait(PATIENCE), "release": gate.set}
    with serving(methods) as server:
        out = _fork(
            server.endpoints[0],
            before="call, done = client.block(async_=True), client.echo(1, async_=True); done.wait()",
            child="""call.wait()
    try:
        call.get()
    except zerorpc.LostRemote as error:
        print(call.ready(), call.successful(), error, done.get(), client.echo("child"), flush=True)""",
            parent="client.release(); print(call.get(timeout=10), flush=True)",
            fork=fork,
        )
    assert out == "True False the process was forked, and the call is the parent's 1 child\nTrue\nchild 0\n"


def test_a_fork_in_a_signal_handler_while_a_call_waits(service: Blocking) -> None:
    text = """
    import os, signal, sys, zerorpc
    client = zerorpc.Client(sys.argv[1], timeout=10)
    client.echo(0)
    pids = []
    def fork(*_):
        print("forking", flush=True)
        pids.append(os.fork())
    signal.signal(signal.SIGUSR1, fork)
    try:
        outcome = client.block(timeout=10)
    except zerorpc.LostRemote as error:
        outcome = error
    if pids[0] == 0:
        print(outcome, client.echo("child"), flush=True)
        os._exit(0)
    print(os.waitpid(pids[0], 0)[1], outcome, flush=True)
    """
    with serving(service) as server, Program(text, server.endpoints[0]) as program:
        assert service.started.wait(PATIENCE)
        program.signal(signal.SIGUSR1)
        assert program.line() == "forking"
        service.release.set()
        code, out, err = program.end()
    assert code == 0, err
    child, parent = out.splitlines()
    assert child.endswith("the process was forked, and the call is the parent's child")
    assert parent == "0 released"


UNDERWAY = """
import os, socket, sys, threading, zerorpc
from zerorpc.transport import blocking
waits, ends = os.pipe()
forked, tune = threading.Event(), blocking.tune
def fork(sock):
    blocking.tune = tune
    if os.fork() == 0:
        os.close(ends)
        os.read(waits, 1)  # until its parent ends
        os._exit(0)
    forked.set()
    tune(sock)
blocking.tune = fork
client = zerorpc.Client(heartbeat=0.05)
{connect}
assert forked.wait(10)
client.close()
sock.settimeout(5)
while sock.recv(1000):
    pass
print("closed", flush=True)
"""
UNDERWAYS = {
    "made": """
listener = socket.create_server(("127.0.0.1", 0))
client.connect(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
sock = listener.accept()[0]
""",
    "accepted": """
endpoint = client.bind("tcp://127.0.0.1:0")[0]
sock = socket.create_connection(("127.0.0.1", int(endpoint.rpartition(":")[2])))
""",
}


@pytest.mark.parametrize("how", UNDERWAYS)
def test_a_forked_child_does_not_keep_a_connection_open_that_was_just_being_made(how: str) -> None:
    with Program(UNDERWAY.format(connect=UNDERWAYS[how])) as program:
        code, out, err = program.end()
    assert (code, out) == (0, "closed\n"), err


class WithoutSendmsg:
    """A socket as Windows has it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        if name == "sendmsg":
            raise AttributeError(name)
        return getattr(self._sock, name)


def test_a_system_without_sendmsg() -> None:
    """The frames of a large request go one by one."""
    octets = bytes(range(256)) * 4096
    with serving({"echo": lambda value: value}) as server, zerorpc.Client(server.endpoints[0]) as client:
        assert client.echo(1) == 1
        (link,) = client._core.hub.links.values()
        link.sock = WithoutSendmsg(link.sock)  # type: ignore[assignment]
        assert client.echo(octets) == octets
