"""A server on several processes: real ones, each test with a program of its own."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import itertools
import os
import signal
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import zerorpc
from tests.cli.programs import Program
from tests.service.running import TCP, RawPeer, connect, eventually, refused, until_stopped, unused_port
from tests.transport.proxy_headers import IPV4, IPV4_CALLER, header
from zerorpc.keys import KeyPair
from zerorpc.server.life import Act, Life
from zerorpc.server.supervisor import Restarts, Supervisor
from zerorpc.settings import ServerSettings
from zerorpc.transport.handover import Outlet, choose
from zerorpc.zmtp.greeting import Greeting

PATIENCE = 20.0  # s for a call; a loaded machine is slow

SERVICE = """
import asyncio, logging, os, signal, sys, threading, time
import zerorpc

logging.basicConfig()

def say(*words):
    print(*words, flush=True)

class Service:
    def pid(self):
        return os.getpid()

    def held(self, fifo):
        "Returns when somebody opens the fifo to write."
        say("held by", os.getpid())
        open(fifo).close()
        return os.getpid()

    async def block_the_loop(self, fifo):
        self.held(fifo)

    def stop(self):
        server.stop()

    def endpoints(self):
        return server.endpoints

    def bind(self, endpoint):
        return server.bind(endpoint)

"""
START = """
server = zerorpc.Server(Service(), processes=2)
say("bound", server.bind({endpoint!r})[0])
"""
RUN = """
server.run()
say("run() returned", server)
"""

Start = Callable[..., Program]


class Served:
    """A program that serves, and clients of it."""

    def __init__(self, program: Program, folder: Path, clients: contextlib.ExitStack) -> None:
        self.program = program
        self.endpoint = program.wait_for(r"^bound (.*)\n", "out")[1]
        self._folder = folder
        self._clients = clients

    def client(self, endpoint: str = "") -> zerorpc.Client:
        return self._clients.enter_context(zerorpc.Client(endpoint or self.endpoint, timeout=PATIENCE))

    def one_each(self) -> dict[int, zerorpc.Client]:
        """A client of each process, by its pid.

        All clients stay connected until the test ends, so the process with the fewest connections doesn't stay the
        same one.
        """
        found: dict[int, zerorpc.Client] = {}
        eventually(lambda: found.setdefault((client := self.client()).pid(), client) and len(found) == 2)
        return found

    def hold(self, client: zerorpc.Client, name: str = "held") -> tuple[Any, Callable[[], None]]:
        """A call that is running, and what lets it return."""
        fifo = self._folder / f"fifo{len(list(self._folder.iterdir()))}"
        os.mkfifo(fifo)
        pid = client.pid()
        call = client(name, str(fifo), async_=True, timeout=PATIENCE)
        self.program.wait_for(rf"^held by {pid}\n", "out")
        return call, lambda: fifo.write_bytes(b"")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a program in Python; it and all processes that it has started are ended after the test."""
    started: list[Program] = []

    def start(code: str) -> Program:
        script = tmp_path / f"script{len(started)}.py"
        script.write_text(textwrap.dedent(code))
        started.append(
            Program(
                "-W", "error", "-W", "ignore::DeprecationWarning:uvloop", str(script), folder=tmp_path, script="python"
            )
        )
        return started[-1]

    yield start
    for program in started:
        program.end()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.process.pid, signal.SIGKILL)


Serve = Callable[..., Served]


@pytest.fixture
def serve(start: Start, tmp_path: Path) -> Iterator[Serve]:
    folder = tmp_path / "fifos"
    folder.mkdir()
    with contextlib.ExitStack() as clients:

        def serve(endpoint: Any = TCP, before: str = "", run: str = RUN) -> Served:
            return Served(start(SERVICE + before + START.format(endpoint=endpoint) + run), folder, clients)

        yield serve


# Connections


@pytest.mark.parametrize("scheme", ["tcp", "ipc"])
def test_connections_are_spread_evenly(serve: Serve, ipc_endpoint: str, scheme: str) -> None:
    served = serve([TCP, ipc_endpoint])
    served.one_each()
    endpoint = served.endpoint if scheme == "tcp" else ipc_endpoint
    clients = [served.client(endpoint) for _ in range(100)]
    calls = [client.pid(async_=True) for client in clients]
    shares = collections.Counter(call.get() for call in calls)
    assert len(shares) == 2
    assert min(shares.values()) >= 35, shares


def test_each_process_knows_what_the_endpoint_of_a_connection_wants(serve: Serve, ipc_endpoint: str) -> None:
    """CURVE at the first one, and neither encryption nor authentication at the second one."""
    keys = KeyPair.generate()
    before = f"""
import functools
zerorpc.Server = functools.partial(zerorpc.Server, curve=zerorpc.Curve({keys.secret!r}))
"""
    served = serve(before=before, run=f"server.bind({ipc_endpoint!r}, curve=None)\n" + RUN)
    for endpoint, key in ((served.endpoint, zerorpc.Curve(server_key=keys.public)), (ipc_endpoint, None)):
        found: set[int] = set()
        with contextlib.ExitStack() as clients:
            while len(found) < 2:
                client = clients.enter_context(zerorpc.Client(endpoint, timeout=PATIENCE, curve=key))
                found.add(client.pid())


def test_the_next_connection_goes_to_the_process_that_has_the_fewest(serve: Serve) -> None:
    served = serve()
    served.one_each()
    clients = [served.client() for _ in range(20)]
    pids = [client.pid() for client in clients]
    for client, pid in zip(clients, pids, strict=True):
        if pid == pids[0]:
            client.close()
    eventually(lambda: served.client().pid() == served.client().pid() == pids[0])


SLOW_START = """
import multiprocessing, zerorpc.server.supervisor, zerorpc.server.reception
zerorpc.server.reception._PATIENCE = {patience}
from zerorpc.server import several
real = several.work
def work(service, intake, mask):
    if multiprocessing.current_process().name == "zerorpc-2":
        open({fifo!r}).close()
    real(service, intake, mask)
several.work = work
"""


def test_connections_wait_for_a_process_that_is_starting(serve: Serve, tmp_path: Path) -> None:
    fifo = tmp_path / "start"
    os.mkfifo(fifo)
    served = serve(before=SLOW_START.format(patience=PATIENCE, fifo=str(fifo)))
    calls = [served.client().pid(async_=True) for _ in range(10)]
    fifo.write_bytes(b"")
    shares = collections.Counter(call.get() for call in calls)
    assert list(shares.values()) == [5, 5]


def test_but_not_for_long(serve: Serve, tmp_path: Path) -> None:
    fifo = tmp_path / "start"
    os.mkfifo(fifo)
    served = serve(before=SLOW_START.format(patience=0.1, fifo=str(fifo)))
    assert len({served.client().pid() for _ in range(4)}) == 1


BEHIND_A_PROXY = """
import contextvars
caller, context = contextvars.ContextVar("caller"), zerorpc.Context()
context.register_middleware({"server_before_exec": lambda request: caller.set(request.caller)})
Service.who = lambda self: [os.getpid(), caller.get()]
"""


def test_each_process_reads_what_a_proxy_says_of_its_caller(start: Start, ipc_endpoint: str) -> None:
    serve = START.replace("processes=2", "processes=2, proxy_protocol=True, context=context")
    program = start(SERVICE + BEHIND_A_PROXY + serve.format(endpoint=[TCP, ipc_endpoint]) + RUN)
    tcp = program.wait_for(r"^bound (.*)\n", "out")[1]
    answers = []
    with contextlib.ExitStack() as connections:
        for endpoint in itertools.cycle((tcp, ipc_endpoint)):
            sock = connections.enter_context(connect(endpoint))
            sock.sendall(header(0x11, IPV4))
            peer = RawPeer(sock)
            peer.handshake()
            peer.send({"message_id": b"1" * 32, "v": 3}, "who", [])
            answers.append(peer.next_event().args[0])
            if len(answers) >= 4 and len({pid for pid, _ in answers}) == 2:  # one may have started late
                break
        past = connections.enter_context(connect(tcp))
        past.sendall(Greeting("NULL").encode())
        program.wait_for(rf"refused tcp://127.0.0.1:{past.getsockname()[1]}: .* came past the proxy")
    assert {caller for _, caller in answers} == {IPV4_CALLER}


def test_each_process_knows_its_endpoints(serve: Serve, ipc_endpoint: str) -> None:
    served = serve([TCP, ipc_endpoint])
    for client in served.one_each().values():
        assert client("endpoints") == [served.endpoint, ipc_endpoint]


def test_workers_that_connect(start: Start) -> None:
    with zerorpc.Client(timeout=PATIENCE) as client:
        endpoint = client.bind(TCP)[0]
        connecting = START.replace("server.bind(", "server.connect(")
        program = start(SERVICE + connecting.format(endpoint=endpoint) + RUN)
        pids: set[int] = set()
        eventually(
            lambda: pids.update([call.get() for call in [client.pid(async_=True) for _ in range(8)]]) or len(pids) == 2
        )
        program.interrupt(signal.SIGTERM)
        assert program.finish().code == 0


# Crashes


def test_a_crashed_process_is_replaced_and_the_others_do_not_notice(serve: Serve) -> None:
    served = serve()
    clients = served.one_each()
    victim, other = clients
    call, release = served.hold(clients[other])
    os.kill(victim, signal.SIGKILL)
    assert not any(refused(served.endpoint) for _ in range(20))
    served.program.wait_for(rf"server process {victim} ended with SIGKILL; it is replaced\n")
    now = served.one_each()  # no connection is refused or lost
    assert victim not in now
    assert other in now
    release()
    assert call.get() == other
    assert clients[other].pid() == other


def test_a_connection_that_the_crashed_process_had_not_begun_with_goes_to_another(serve: Serve) -> None:
    served = serve()
    pids = list(served.one_each())
    os.kill(pids[0], signal.SIGSTOP)
    until_stopped(pids[0])
    clients = [served.client() for _ in range(6)]
    calls = [client.pid(async_=True) for client in clients]
    eventually(lambda: sum(call.ready() for call in calls) >= 3)
    os.kill(pids[0], signal.SIGKILL)
    assert pids[0] not in {call.get() for call in calls}


def test_a_process_that_ends_right_after_its_start_is_not_restarted_at_once_again_and_again(start: Start) -> None:
    program = start(
        SERVICE
        + """
import zerorpc.server.supervisor
class Slower(zerorpc.server.supervisor.Restarts):
    def delay(self, lived):
        assert lived < 60
        delay = super().delay(0.0)
        say("delay", delay)
        return delay
zerorpc.server.supervisor.Restarts = Slower
from zerorpc.server import several
several.work = lambda service, intake, mask: os._exit(3)
"""
        + START.format(endpoint=TCP)
        + RUN
    )
    program.wait_for(r"^delay 0\.2\n", "out")
    program.interrupt(signal.SIGTERM)
    outcome = program.finish()
    assert outcome.code == 0
    assert "ended with exit code 3; it is replaced" in outcome.err


def test_a_process_that_hangs_at_its_start_is_replaced(serve: Serve, tmp_path: Path) -> None:
    fifo = tmp_path / "start"
    os.mkfifo(fifo)
    served = serve(
        before=SLOW_START.format(patience=0.1, fifo=str(fifo)) + "zerorpc.server.supervisor._START_MAX = 1.0\n"
    )
    served.client().pid()
    served.program.wait_for("has not started in time and is killed\n")
    served.program.wait_for("ended with SIGKILL; it is replaced\n")


def test_how_long_a_restart_waits() -> None:
    restarts = Restarts()
    assert restarts.delay(60) == 0
    assert [restarts.delay(0.1) for _ in range(9)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10]
    assert restarts.delay(60) == 0
    assert restarts.delay(0) == 0.1


def test_a_fork_that_fails_is_tried_again(serve: Serve) -> None:
    served = serve(
        before="""
import multiprocessing
failures = []
real = multiprocessing.context.ForkProcess.start
def fail_twice(self):
    if len(failures) < 4:
        failures.append(self)
        if len(failures) > 2:
            raise OSError("no room for a process")
    real(self)
multiprocessing.context.ForkProcess.start = fail_twice
"""
    )
    pids = served.one_each()
    os.kill(next(iter(pids)), signal.SIGKILL)
    served.program.wait_for("a server process can't be started, it will be tried again: no room for a process")
    assert len(served.one_each()) == 2


def test_a_first_fork_that_fails_is_an_error(start: Start) -> None:
    outcome = start(
        SERVICE
        + """
import multiprocessing
real = multiprocessing.context.ForkProcess.start
def fail_once(self):
    if self.name == "zerorpc-2":
        raise OSError("no room for a process")
    real(self)
multiprocessing.context.ForkProcess.start = fail_once
"""
        + START.format(endpoint=TCP)
        + RUN
    ).finish()
    assert (outcome.code, outcome.err.splitlines()[-1]) == (1, "OSError: no room for a process")


# The end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_running_calls_end_and_takes_no_new_ones(serve: Serve, ipc_endpoint: str, number: int) -> None:
    served = serve([TCP, ipc_endpoint])
    clients = served.one_each()
    held = {pid: served.hold(client) for pid, client in clients.items()}
    os.killpg(served.program.process.pid, number)  # as a terminal, or a manager of services, does
    eventually(lambda: refused(served.endpoint))
    eventually(lambda: not Path(ipc_endpoint.removeprefix("ipc://")).exists())
    for _, release in held.values():
        release()
    assert {call.get() for call, _ in held.values()} == set(clients)
    outcome = served.program.finish()
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines()[-1].startswith("run() returned <Server 'Service' closed")


def test_a_second_signal_hurries(serve: Serve) -> None:
    served = serve()
    call, _ = served.hold(served.client())
    served.program.interrupt(signal.SIGTERM)
    eventually(lambda: refused(served.endpoint))
    served.program.interrupt(signal.SIGTERM)
    with pytest.raises(zerorpc.LostRemote):
        call.get()
    outcome = served.program.finish()
    assert (outcome.code, outcome.err) == (0, "")


def test_a_third_signal_kills_what_still_does_not_end(serve: Serve) -> None:
    served = serve(
        before="""
from zerorpc.server.supervisor import Supervisor
real = Supervisor._close
def close(self):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # after run(), when some more may come
    real(self)
Supervisor._close = close
"""
    )
    call, _ = served.hold(served.client(), "block_the_loop")
    for _ in range(2):
        served.program.interrupt(signal.SIGTERM)
        eventually(lambda: refused(served.endpoint))
    eventually(lambda: served.program.interrupt(signal.SIGTERM) or call.ready())
    with pytest.raises(zerorpc.LostRemote):
        call.get()
    outcome = served.program.finish()
    assert outcome.code == 0
    assert "has not ended in time and is killed" in outcome.err


def test_a_process_that_does_not_end_in_its_grace_and_some_more_is_killed(serve: Serve) -> None:
    served = serve(
        before="import zerorpc.server.supervisor; zerorpc.server.supervisor._OVERTIME = -9.9  # of a grace of 10 s\n"
    )
    call, _ = served.hold(served.client(), "block_the_loop")
    served.program.interrupt(signal.SIGTERM)
    with pytest.raises(zerorpc.LostRemote):
        call.get()
    outcome = served.program.finish()
    assert outcome.code == 0
    assert "ended with SIGKILL\n" in outcome.err  # and nothing of a replacement


def test_processes_whose_parent_dies_finish_and_end_too(serve: Serve) -> None:
    served = serve()
    clients = served.one_each()
    held = {pid: served.hold(client) for pid, client in clients.items()}
    served.program.interrupt(signal.SIGKILL)
    eventually(lambda: refused(served.endpoint))
    for _, release in held.values():
        release()
    assert {call.get() for call, _ in held.values()} == set(clients)
    assert served.program.finish().err == ""  # which waits until nobody holds its stderr


def test_sigterm_for_one_process_lets_it_finish_and_replaces_it(serve: Serve) -> None:
    served = serve()
    clients = served.one_each()
    pid = next(iter(clients))
    call, release = served.hold(clients[pid])
    os.kill(pid, signal.SIGTERM)

    def replaced() -> bool:
        try:
            return served.client().pid() not in clients
        except zerorpc.RemoteError:  # it took this one just before it heeded the signal, and refuses new calls
            return False

    eventually(replaced)
    release()
    assert call.get() == pid
    served.program.interrupt(signal.SIGTERM)
    outcome = served.program.finish()
    assert (outcome.code, outcome.err) == (0, "")


def test_a_method_may_stop_all(serve: Serve) -> None:
    served = serve()
    served.client().stop()
    outcome = served.program.finish()
    assert (outcome.code, outcome.err) == (0, "")


@pytest.mark.parametrize("how", ["server.stop()", "server.close(); say('closed', refused())"])
def test_a_thread_of_the_parent_may_stop_all(serve: Serve, tmp_path: Path, how: str) -> None:
    fifo = tmp_path / "stop"
    os.mkfifo(fifo)
    served = serve(
        before="import warnings; warnings.simplefilter('ignore', DeprecationWarning)  # of forking with a thread\n",
        run=f"""
import socket
def refused():
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", int(server_port))) != 0
def ends():
    open({str(fifo)!r}).close()
    {how}
server_port = server.endpoints[0].rpartition(":")[2]
threading.Thread(target=ends).start()
"""
        + RUN,
    )
    served.one_each()
    fifo.write_bytes(b"")
    outcome = served.program.finish()
    assert (outcome.code, outcome.err) == (0, "")
    assert "closed False" not in outcome.out


def test_a_thread_of_the_parent_may_read_stdin(serve: Serve) -> None:
    served = serve(
        before="""
import warnings; warnings.simplefilter('ignore', DeprecationWarning)  # of forking with a thread
class Service(Service):
    def stdin(self):
        return [sys.stdin.read(), os.read(0, 1)]
reading, writing = os.pipe()
os.dup2(reading, 0)
os.write(writing, b"one line\\n")
begun = threading.Event()
def read():
    sys.stdin.readline()
    begun.set()
    sys.stdin.readline()
threading.Thread(target=read, daemon=True).start()
begun.wait()
"""
    )
    for client in served.one_each().values():
        assert client.stdin() == ["", b""]


def test_a_program_without_stdin_keeps_the_file_that_has_its_number(serve: Serve, tmp_path: Path) -> None:
    log = tmp_path / "log"
    served = serve(
        before=f"""
os.close(0)
sys.stdin = None  # as Python has it where there is none from the beginning
log = open({str(log)!r}, "w")
assert log.fileno() == 0
class Service(Service):
    def write(self):
        log.write("written\\n")
        log.flush()
"""
    )
    for client in served.one_each().values():
        client.write()
    assert log.read_text() == "written\nwritten\n"


def test_stop_before_run(serve: Serve) -> None:
    outcome = serve(run="server.stop()" + RUN).program.finish()
    assert (outcome.code, outcome.err) == (0, "")
    assert "run() returned" in outcome.out


def test_signals_are_as_before_afterwards(serve: Serve) -> None:
    outcome = serve(
        run="""
numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
before = [signal.getsignal(number) for number in numbers]
server.stop()
server.run()
say([signal.getsignal(number) for number in numbers] == before, signal.set_wakeup_fd(-1))
"""
    ).program.finish()
    assert outcome.out.splitlines()[1] == "True -1"


# What can't be


def test_no_process_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="processes has to be at least 1, not 0"):
        zerorpc.Server({}, processes=0)


def test_an_event_loop_can_not_be_several_processes() -> None:
    async def main() -> None:
        with zerorpc.Server({}, processes=2) as server:
            with pytest.raises(RuntimeError, match=r"processes=2 needs server.run\(\): a running event loop can't"):
                await server.serve()
            with pytest.raises(RuntimeError, match="would block the running event loop: processes=2 can't run inside"):
                server.run()

    asyncio.run(main())


def test_only_the_main_thread_can_run_several() -> None:
    errors: list[Exception] = []

    def run() -> None:
        with zerorpc.Server({}, processes=2) as server:
            try:
                server.run()
            except RuntimeError as error:
                errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert str(errors[0]) == "processes=2 needs run() on the main thread, where signals arrive"


def test_a_system_without_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")
    with zerorpc.Server({}, processes=2) as server:
        with pytest.raises(RuntimeError, match=r"needs os\.fork"):
            server.run()


@pytest.mark.parametrize("verb", ["bind", "connect"])
def test_inproc_reaches_one_process_only(verb: str) -> None:
    with zerorpc.Server({}, processes=2) as server:
        getattr(server, verb)("inproc://here")
        with pytest.raises(zerorpc.EndpointError, match="one process only, not processes=2"):
            server.run()


def test_a_run_that_could_not_begin_may_be_tried_again(serve: Serve) -> None:
    """What stood in the way is gone then: an inproc:// endpoint, or another thread."""
    served = serve(
        run="""
def run():
    try:
        server.run()
    except Exception as error:
        say(type(error).__name__)
server.bind("inproc://here")
run()
server.unbind("inproc://here")
thread = threading.Thread(target=run)
thread.start()
thread.join()
"""
        + RUN
    )
    assert served.client().pid() != served.program.process.pid
    served.client().stop()
    outcome = served.program.finish()
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines()[1:3] == ["EndpointError", "RuntimeError"]


def test_a_closed_server_does_not_run() -> None:
    with zerorpc.Server({}, processes=2) as server:
        pass
    with pytest.raises(zerorpc.Closed, match="this server is closed"):
        server.run()


def test_addresses_are_checked_at_once() -> None:
    endpoint = f"tcp://127.0.0.1:{unused_port()}"
    with zerorpc.Server({}, processes=2) as first, zerorpc.Server({}, processes=2) as second:
        first.bind(endpoint)
        with pytest.raises(zerorpc.AddressInUse):
            second.bind(endpoint)


def test_endpoints_stay_as_they_are_once_it_runs(serve: Serve) -> None:
    with pytest.raises(zerorpc.RemoteError, match="endpoints can't be changed once run") as raised:
        serve().client()("bind", TCP)
    assert raised.value.name == "RuntimeError"


# Parts


def outlet(connections: int, ready: bool = True, last_turn: int = 0) -> Outlet:
    made = object.__new__(Outlet)
    made.ready, made.leaving, made.last_turn = ready, False, last_turn
    made._taken, made._unanswered = connections, collections.deque()
    return made


def test_who_gets_the_next_connection() -> None:
    few, many, not_ready = outlet(1), outlet(2), outlet(0, ready=False)
    assert choose([many, few, not_ready]) is few
    assert choose([not_ready]) is None
    recent, earlier = outlet(1, last_turn=2), outlet(1, last_turn=1)
    assert choose([recent, earlier, many]) is earlier


def test_a_parent_out_of_descriptors_accepts_again_later(serve: Serve) -> None:
    served = serve(
        before="""
import errno, zerorpc.transport.sockets
real, refusals = zerorpc.transport.sockets.Listener, [errno.EMFILE, errno.EPROTO]
class Refusing(real):
    def __init__(self, *args):
        super().__init__(*args)
        accept = self.accept
        def refuse():
            if refusals:
                raise OSError(refusals.pop(0), "refused")
            return accept()
        self.accept = refuse
zerorpc.transport.sockets.Listener = Refusing
"""
    )
    assert len(served.one_each()) == 2


def test_a_connection_that_can_not_be_handed_over_is_tried_again(serve: Serve) -> None:
    served = serve(
        before="""
import zerorpc.transport.handover
real, refusals = zerorpc.transport.handover.Outlet.give, [1, 2]
def refuse(self, *args):
    if refusals:
        refusals.pop()
        return False
    return real(self, *args)
zerorpc.transport.handover.Outlet.give = refuse
"""
    )
    assert len(served.one_each()) == 2


def test_what_a_supervisor_shows_of_itself() -> None:
    life = Life()
    life.take(Act.BEGIN)
    supervisor = Supervisor(life, [], ServerSettings(processes=2), lambda *_: None, lambda: None)
    life.woken = supervisor.wake
    assert repr(supervisor) == "<Supervisor running []>"
    life.take(Act.STOP)
    supervisor.run()
    assert repr(supervisor) == "<Supervisor stopping []>"
    life.take(Act.STOP)  # too late, and no error
