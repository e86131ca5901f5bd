"""SIGINT and SIGTERM while a server runs, on both loops: none is lost, and what a program has set stays its own."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest

import zerorpc
from tests.service import process_services
from tests.service.running import PATIENCE, Program, eventually, joined

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no such signals")

LOOPS = {"uvloop": "", "asyncio": "import sys; sys.modules['uvloop'] = None"}
ON_EACH_LOOP = pytest.mark.parametrize("loop", LOOPS)
ON_EACH = pytest.mark.parametrize(("loop", "processes"), [(loop, count) for loop in LOOPS for count in (1, 2)])
ENDING = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])

BEGIN = """
import asyncio, os, signal, sys, threading, time, warnings
{loop}
warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
import zerorpc
from zerorpc.runtime import signals

def say(*words):
    print(*words, flush=True)

def send():
    os.kill(os.getpid(), {number})

def hang():
    while True:
        time.sleep(0.1)
        signal.pthread_sigmask(signal.SIG_BLOCK, ())  # looks for signals: in a thread's child CPython 3.13.0 does not
"""
SERVE = """
server = zerorpc.Server(Service(), processes={processes})
say(server.bind("tcp://127.0.0.1:0")[0])
try:
    server.run()
    say("returned")
except BaseException as error:
    say("raised", repr(error))
say(server)
"""


def program(text: str, loop: str, number: int = signal.SIGTERM, processes: int = 1) -> Program:
    values = {"loop": LOOPS[loop], "number": int(number), "processes": processes}
    return Program((BEGIN + text).format(**values))


# None is lost

INSTANTS = {
    "when the loop has been made": """
import zerorpc.server.life
real = zerorpc.server.life.new_event_loop
def new_event_loop():
    loop = real()
    send()
    return loop
zerorpc.server.life.new_event_loop = new_event_loop
""",
    "before the handlers are set": """
real = signals.Signals.take
def take(self):
    send()
    real(self)
signals.Signals.take = take
""",
    "when they have just been set": """
real = signals.Signals.take
def take(self):
    real(self)
    send()
signals.Signals.take = take
""",
    "between one handler and the next": """
real = signal.signal
def set_handler(*args):
    before = real(*args)
    if args[0] in signals.ENDING and not sent:
        sent.append(send())
    return before
sent = []
signal.signal = set_handler
""",
    "when they get through": """
import zerorpc.server.life
real = zerorpc.server.life.release_signals
def release(held):
    real(held)
    if not sent:
        sent.append(send())
sent = []
zerorpc.server.life.release_signals = release
""",
    "right before the loop's first turn": """
import zerorpc.server.life
real = zerorpc.server.life.new_event_loop
class Loop(real().__class__):
    def run_until_complete(self, future):
        if not sent:
            sent.append(send())
        return super().run_until_complete(future)
    def run_forever(self):
        if len(sent) < 2:
            sent.append(send())
        return super().run_forever()
sent = []
zerorpc.server.life.new_event_loop = Loop
""",
    "in the loop's first turn": """
from zerorpc.server.life import Service
real = Service._startup
def startup(self, loop):
    send()
    real(self, loop)
Service._startup = startup
""",
}


@ON_EACH_LOOP
@ENDING
@pytest.mark.parametrize("instant", INSTANTS)
def test_a_signal_that_comes(instant: str, number: int, loop: str) -> None:
    text = INSTANTS[instant] + "class Service: pass" + SERVE
    with program(text, loop, number) as running:
        running.line()
        assert running.line() == "returned"
        assert "closed" in running.line()


@ON_EACH_LOOP
def test_a_signal_that_comes_while_a_server_process_starts(loop: str) -> None:
    """It leaves and another takes its place."""
    text = """
import zerorpc.server.life
real = zerorpc.server.life.new_event_loop
flag = os.pipe()
os.set_blocking(flag[0], False)
os.write(flag[1], b"once")
def new_event_loop():
    loop = real()
    try:
        os.read(flag[0], 4)
    except BlockingIOError:
        pass
    else:
        send()
        say("sent")
    return loop
zerorpc.server.life.new_event_loop = new_event_loop
class Service:
    def pid(self):
        return os.getpid()
"""
    with program(text + SERVE, loop, processes=2) as running:
        endpoint = running.line()
        assert running.line() == "sent"
        with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
            answers: list[int] = []

            def ask() -> bool:
                # it had come to the one that leaves
                with contextlib.suppress(zerorpc.ServerStopping, zerorpc.LostRemote):
                    answers.append(client.pid())
                return bool(answers)

            eventually(ask)
            assert answers[0] != running.process.pid
        running.signal(signal.SIGTERM)
        assert running.line() == "returned"


# A program's own

IDLE = "class Service:\n    def ping(self):\n        return os.getpid()\n"


@ON_EACH
@ENDING
@pytest.mark.parametrize(
    ("handler", "outcome"),
    [
        ("lambda *_: server.stop()", "returned"),
        ("lambda *_: server.close()", "returned"),
        ("lambda *_: sys.exit(3)", "raised SystemExit(3)"),
        ("signal.default_int_handler", "raised KeyboardInterrupt()"),
        ("lambda *_: 1 / 0", "raised ZeroDivisionError('division by zero')"),
    ],
)
def test_a_handler_of_the_programs(handler: str, outcome: str, number: int, loop: str, processes: int) -> None:
    if number == signal.SIGINT and handler == "signal.default_int_handler":
        outcome = "returned"  # Python's own handler is nobody's choice
    text = IDLE + "handler = {handler}\nsignal.signal({number}, handler)\n".replace("{handler}", handler)
    with program(text + SERVE, loop, number, processes) as running:
        with zerorpc.Client(running.line(), timeout=PATIENCE) as client:
            client.ping()
            running.signal(number)
            assert running.line() == outcome
            assert "closed" in running.line()


@ON_EACH
@ENDING
def test_what_the_program_ignores_is_ignored(number: int, loop: str, processes: int) -> None:
    text = IDLE + "signal.signal({number}, signal.SIG_IGN)\n" + SERVE
    other = signal.SIGINT + signal.SIGTERM - number
    with program(text, loop, number, processes) as running:
        with zerorpc.Client(running.line(), timeout=PATIENCE) as client:
            for pid in {running.process.pid, client.ping()}:
                os.kill(pid, number)
            assert client.ping()
            running.signal(other)
            assert running.line() == "returned"


@ON_EACH
def test_a_sigint_that_kills_by_the_programs_wish_kills(loop: str, processes: int) -> None:
    text = IDLE + "signal.signal(signal.SIGINT, signal.SIG_DFL)\n" + SERVE
    with program(text, loop, processes=processes) as running:
        with zerorpc.Client(running.line(), timeout=PATIENCE) as client:
            client.ping()
            running.signal(signal.SIGINT)
            assert running.end()[0] == -signal.SIGINT


@ON_EACH_LOOP
def test_a_handler_that_raises_in_the_middle_of_a_method_ends_the_server_all_the_same(loop: str) -> None:
    """The method goes on, and its caller gets its result."""
    text = """
class Service:
    async def strike(self):
        send()
        for _ in range(100):
            pass
        return "done"
signal.signal(signal.SIGTERM, lambda *_: sys.exit("by the handler"))
"""
    with program(text + SERVE, loop) as running:
        with zerorpc.Client(running.line(), timeout=PATIENCE) as client:
            assert client.strike() == "done"
            assert running.line() == "raised SystemExit('by the handler')"


@ON_EACH_LOOP
def test_a_handler_that_raises_lets_running_calls_finish_and_a_second_signal_does_not(loop: str) -> None:
    text = """
class Service:
    def held(self):
        say("held")
        release.wait(10)
        return "done"
    def ping(self):
        pass
release = threading.Event()
def handler(*_):
    say("handler")
    sys.exit(5)
signal.signal(signal.SIGTERM, handler)
"""
    with program(text + SERVE, loop) as running:
        with zerorpc.Client(running.line(), timeout=PATIENCE) as client:
            call = client.held(async_=True)
            assert running.line() == "held"
            running.signal(signal.SIGTERM)
            assert running.line() == "handler"
            assert not call.ready()
            running.signal(signal.SIGTERM)
            assert running.line() == "handler"
            assert running.line() == "raised SystemExit(5)"
            with pytest.raises(zerorpc.LostRemote):
                call.get()


@ON_EACH
def test_all_is_as_before_afterwards(loop: str, processes: int) -> None:
    text = """
class Service: pass
def mine(*_): pass
reading, writing = os.pipe()
os.set_blocking(writing, False)
numbers = signal.SIGINT, signal.SIGTERM, signal.SIGCHLD
signal.signal(signal.SIGTERM, mine)
signal.set_wakeup_fd(writing)
before = [signal.getsignal(number) for number in numbers], signal.pthread_sigmask(signal.SIG_BLOCK, [])
server = zerorpc.Server(Service(), processes={processes})
threading.Timer(0.2, server.stop).start()
server.run()
after = [signal.getsignal(number) for number in numbers], signal.pthread_sigmask(signal.SIG_BLOCK, [])
say(before == after, signal.set_wakeup_fd(-1) == writing)
"""
    with program(text, loop, processes=processes) as running:
        assert running.line() == "True True"


@ON_EACH_LOOP
def test_a_handler_that_a_method_sets_stays(loop: str) -> None:
    text = """
class Service:
    @zerorpc.on_loop
    def set_handler(self):
        signal.signal(signal.SIGTERM, mine)
def mine(*_):
    say("mine")
"""
    with program(text + SERVE + "say(signal.getsignal(signal.SIGTERM) is mine)", loop) as running:
        with zerorpc.Client(running.line(), timeout=PATIENCE) as client:
            client.set_handler()
            running.signal(signal.SIGTERM)
            assert running.line() == "mine"
            running.signal(signal.SIGINT)
            assert running.line() == "returned"
        running.line()
        assert running.line() == "True"


@ON_EACH_LOOP
def test_a_handler_of_ours_that_is_set_again_afterwards_does_as_the_one_before(loop: str) -> None:
    """As by a method that has set another for a while, and is late."""
    text = """
class Service:
    @zerorpc.on_loop
    def stop(self):
        saved.append(signal.signal(signal.SIGTERM, signal.SIG_IGN))
        server.stop()
saved = []
"""
    after = "signal.signal(signal.SIGTERM, saved[0])\nsend()\nhang()"
    with program(text + SERVE + after, loop) as running:
        with zerorpc.Client(running.line(), timeout=PATIENCE) as client:
            client("stop")
        assert running.end()[0] == -signal.SIGTERM


def test_a_program_with_a_sigchld_handler_of_its_own_gets_it_too() -> None:
    """Even one that takes the exit codes of all its children."""
    text = """
import contextlib
class Service:
    def pid(self):
        return os.getpid()
    def die(self):
        os._exit(7)
def reap(*_):
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            say("reaped", os.waitstatus_to_exitcode(ended[1]))
signal.signal(signal.SIGCHLD, reap)
"""
    with program(text + SERVE, "uvloop", processes=2) as running:
        endpoint = running.line()
        with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
            with pytest.raises(zerorpc.LostRemote):
                client.die()
            assert running.line() == "reaped 7"
            assert client.pid()
        running.signal(signal.SIGTERM)
        said = [running.line() for _ in range(3)]
        assert "returned" in said


# Children of methods

CHILDREN = """
import concurrent.futures, multiprocessing, subprocess
mp = multiprocessing.get_context("fork")

class Service:
    def pid(self):
        return os.getpid()

    def child(self):
        child = mp.Process(target=hang)
        child.start()
        child.terminate()
        child.join(10)
        return child.exitcode

    async def achild(self):
        await asyncio.sleep(0)
        return self.child()

    @zerorpc.on_loop
    def lchild(self):
        return self.child()

    def gchild(self):
        yield self.child()

    async def agchild(self):
        yield self.child()

    def pool(self):
        pool = mp.Pool(2)
        done = pool.map(abs, [-1, -2])
        pool.terminate()
        pool.join()
        return done

    async def apool(self):
        return self.pool()

    def executor(self):
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=mp) as executor:
            return list(executor.map(abs, [-1, -2]))

    def by_hand(self, number):
        reading, writing = os.pipe()
        if (pid := os.fork()) == 0:
            os.write(writing, b"!")
            hang()
        os.read(reading, 1)
        os.kill(pid, number)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    async def aby_hand(self, number):
        return self.by_hand(number)

    def program(self, number):
        child = subprocess.Popen([sys.executable, "-c", "print(); input()"], stdin=-1, stdout=-1, stderr=-3)
        child.stdout.readline()
        child.send_signal(number)
        try:
            return child.wait()
        finally:
            child.stdin.close(), child.stdout.close()

    async def handlers(self):
        child = mp.Process(target=report_handlers)
        child.start()
        child.join()

def report_handlers():
    numbers = signal.SIGINT, signal.SIGTERM, signal.SIGCHLD
    held = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    say([getattr(signal.getsignal(number), "__name__", signal.getsignal(number)) for number in numbers], held)
    say(signal.set_wakeup_fd(-1))

"""
GUARDED = "if __name__ == '__main__':\n" + SERVE.replace("\n", "\n    ")


@ON_EACH
def test_children_of_methods_are_ended_as_any_program_is(loop: str, processes: int, tmp_path: object) -> None:
    script = f"{tmp_path}/service.py"
    with open(script, "w") as file:
        file.write((BEGIN + CHILDREN).format(loop=LOOPS[loop], number=15) + GUARDED.format(processes=processes))
    with Program(f"import runpy; runpy.run_path({script!r}, run_name='__main__')") as running:
        with zerorpc.Client(running.line(), timeout=PATIENCE) as client:
            pid = client.pid()
            for name in ("child", "achild", "lchild"):
                assert (name, client(name)) == (name, -signal.SIGTERM)
            for name in ("gchild", "agchild"):
                assert (name, list(client(name))) == (name, [-signal.SIGTERM])
            for name in ("pool", "apool", "executor"):
                assert (name, client(name)) == (name, [1, 2])
            for name in ("by_hand", "aby_hand", "program"):
                assert client(name, signal.SIGTERM) == -signal.SIGTERM
            assert client.by_hand(signal.SIGINT) == 1  # KeyboardInterrupt
            client.handlers()
            defaults = "['default_int_handler', <Handlers.SIG_DFL: 0>, <Handlers.SIG_DFL: 0>] set()"
            assert [running.line(), running.line()] == [defaults, "-1"]
            assert client.pid() == pid
        running.signal(signal.SIGTERM)
        assert running.line() == "returned"


@ON_EACH
def test_a_child_that_has_the_programs_handler_stops_nobody_else(loop: str, processes: int) -> None:
    text = """
class Service:
    def pid(self):
        return os.getpid()
    async def child(self):
        if (pid := os.fork()) == 0:
            hang()
        os.kill(pid, signal.SIGTERM)
        os.read(reading, 1)
        os.kill(pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
reading, writing = os.pipe()
def handler(*_):
    server.stop()
    server.close()
    os.write(writing, b"!")
signal.signal(signal.SIGTERM, handler)
"""
    with program(text + SERVE, loop, processes=processes) as running:
        with zerorpc.Client(running.line(), timeout=PATIENCE) as client:
            pid = client.pid()
            assert client.child() == -signal.SIGKILL
            assert client.pid() == pid
        running.signal(signal.SIGTERM)
        assert running.line() == "returned"


def test_children_of_the_parent_of_several_processes_too() -> None:
    text = """
import multiprocessing
class Service:
    def pid(self):
        return os.getpid()
def fork():
    signal.sigwait([signal.SIGUSR1])
    child = multiprocessing.get_context("fork").Process(target=hang)
    child.start()
    child.terminate()
    child.join()
    say(child.exitcode)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
threading.Thread(target=fork).start()
"""
    with program(text + SERVE, "uvloop", processes=2) as running:
        with zerorpc.Client(running.line(), timeout=PATIENCE) as client:
            client.pid()
            running.signal(signal.SIGUSR1)
            assert running.line() == str(-signal.SIGTERM)
            assert client.pid()
        running.signal(signal.SIGTERM)
        assert running.line() == "returned"


def test_children_of_a_method_in_a_process_of_its_own_too() -> None:
    with joined({"end_children": process_services.end_children}) as client:
        assert client.end_children() == [-signal.SIGTERM, [1, 2]]


@ON_EACH
def test_ctrl_c_in_a_terminal_reaches_children_of_methods(loop: str, processes: int) -> None:
    """The server waits for the call, which waits for its child, which Ctrl-C has ended."""
    text = """
import multiprocessing
def wait():
    say("waiting")
    hang()
class Service:
    def child(self):
        child = multiprocessing.get_context("fork").Process(target=wait)
        child.start()
        child.join()
        return child.exitcode
"""
    with program(text + SERVE, loop, processes=processes) as running:
        with zerorpc.Client(running.line(), timeout=PATIENCE) as client:
            call = client.child(async_=True)
            assert running.line() == "waiting"
            os.killpg(running.process.pid, signal.SIGINT)
            assert call.get() == 1
        assert running.line() == "returned"


@ON_EACH_LOOP
def test_a_child_of_a_fork_that_python_heard_nothing_of(loop: str) -> None:
    text = """
import ctypes
fork = ctypes.PyDLL(None).fork
class Service:
    def child(self):
        reading, writing = os.pipe()
        if (pid := fork()) == 0:
            os.write(writing, b"!")
            hang()
        os.read(reading, 1)
        os.kill(pid, signal.SIGTERM)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    @zerorpc.on_loop
    def on_loop(self):
        return self.child()
"""
    with program(text + SERVE, loop) as running:
        with zerorpc.Client(running.line(), timeout=PATIENCE) as client:
            assert client.on_loop() == -signal.SIGTERM
            running.signal(signal.SIGTERM)
        assert running.line() == "returned"


ON_A_LOOP_OF_THE_PROGRAMS = """
import multiprocessing
def wait(waiting):
    os.write(waiting, b"!")
    hang()

class Service:
    def child(self, number):
        reading, waiting = os.pipe()
        child = multiprocessing.get_context("fork").Process(target=wait, args=(waiting,))
        child.start()
        os.read(reading, 1)
        os.kill(child.pid, number)
        child.join()
        return child.exitcode
    async def coroutine(self, number):
        return self.child(number)
    def told(self, number):
        say(self.child(number))

async def main():
    loop = asyncio.get_running_loop()
    server, puller = zerorpc.Server(Service()), zerorpc.Puller(Service())
    loop.add_signal_handler(signal.SIGTERM, server.stop)
    say(server.bind("tcp://127.0.0.1:0")[0])
    say(puller.bind("tcp://127.0.0.1:0")[0])
    pulling = asyncio.ensure_future(puller.serve())
    await server.serve()
    puller.stop()
    await pulling
    say("returned")
"""
RUN = {"asyncio": "asyncio.run(main())", "uvloop": "import uvloop\nuvloop.run(main())"}


@ON_EACH_LOOP
def test_children_of_methods_that_a_loop_of_the_programs_serves(loop: str) -> None:
    """It has set handlers of its own, and asyncio.run one for Ctrl-C: a child has none of them."""
    with program(ON_A_LOOP_OF_THE_PROGRAMS + RUN[loop], loop) as running:
        with zerorpc.Client(running.line(), timeout=PATIENCE) as client, zerorpc.Pusher() as pusher:
            pusher.connect(running.line())
            for number, code in ((signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 1)):  # 1: KeyboardInterrupt
                assert client.child(number) == client.coroutine(number) == code
                pusher.told(int(number))
                assert running.line() == str(int(code))
            assert client.child(signal.SIGTERM) == -signal.SIGTERM  # the server lives
        running.signal(signal.SIGTERM)
        assert running.line() == "returned"
