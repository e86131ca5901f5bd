"""A child that a method forks ends with the method, as a program of its own would."""

from __future__ import annotations

import contextlib
import os

import pytest

import zerorpc
from tests.service import process_services
from tests.service.running import PATIENCE, Program, joined

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

ENDS = {
    "None": (0, ""),
    "SystemExit()": (0, ""),
    "SystemExit(3)": (3, ""),
    "SystemExit(-1)": (255, ""),
    "SystemExit('why')": (1, "why"),
    "ValueError('why')": (1, "ValueError: why"),
}


@pytest.mark.parametrize("error", ENDS)
def test_a_child_ends_as_a_program_does(error: str) -> None:
    text = """
    import sys
    from zerorpc.service.forks import end_child
    print("kept", end="")  # what is printed isn't lost
    end_child(ERROR)
    """
    code, said = ENDS[error]
    with Program(text.replace("ERROR", error)) as program:
        found, out, err = program.end()
    assert (found, out) == (code, "kept")
    assert err.rstrip().endswith(said)


def test_a_child_whose_output_nobody_can_take_ends_as_well() -> None:
    text = """
    import sys
    from zerorpc.service.forks import end_child
    sys.stdout = None
    end_child()
    """
    with Program(text) as program:
        assert program.end()[0] == 0


def test_a_child_of_a_method_that_runs_in_a_process_ends_there() -> None:
    """It has a copy of the pipe to the server, and a second reply would be taken for the next call's."""
    with joined({"fork": process_services.fork_and_end}) as client:
        for how, code in {"returns": 0, "raises": 1, "SystemExit": 5}.items():
            assert client.fork(how) == ["parent", code]
            assert client.fork(how) == ["parent", code]


def test_a_child_of_a_pullers_method_runs_nothing_of_what_waits() -> None:
    text = """
    import os, sys, zerorpc
    class Work:
        def fork(self):
            if (pid := os.fork()) == 0:
                return
            print("child", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
        def take(self, number):
            print(number, os.getpid() == parent, flush=True)
            if number == 9:
                puller.stop()
    parent = os.getpid()
    puller = zerorpc.Puller(Work())
    print(puller.bind("tcp://127.0.0.1:0")[0], flush=True)
    puller.run()
    puller.close()
    """
    with Program(text) as program, zerorpc.Pusher() as pusher:
        pusher.connect(program.line())
        pusher.fork()
        for number in range(10):
            pusher.take(number)
        code, out, _ = program.end()
    assert (code, out.splitlines()) == (0, ["child 0", *(f"{number} True" for number in range(10))])


PULLERS = {"run": "puller.run()", "serve": "asyncio.run(puller.serve())"}
COROUTINES = {"returns": 0, "raises": 1, "exits": 3, "awaits": 1}


@pytest.mark.parametrize("runs", PULLERS)
@pytest.mark.parametrize("name", ["fork", "wrapped"])
def test_a_child_of_a_pullers_coroutine_ends_with_it_or_where_it_awaits(name: str, runs: str) -> None:
    text = """
    import asyncio, os, sys, zerorpc
    class Work:
        async def fork(self, how):
            await asyncio.sleep(0)
            if (pid := os.fork()) == 0:
                if how == "raises":
                    raise ValueError("in the child")
                if how == "exits":
                    raise SystemExit(3)
                if how == "awaits":
                    await asyncio.sleep(0)
                    print("the child went on", flush=True)
                return
            await asyncio.sleep(0)
            print(how, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), os.getpid() == parent, flush=True)
        def wrapped(self, how):
            return self.fork(how)
        def stop(self):
            print("stop", os.getpid() == parent, flush=True)
            puller.stop()
    parent = os.getpid()
    puller = zerorpc.Puller(Work())
    print(puller.bind("tcp://127.0.0.1:0")[0], flush=True)
    RUNS
    puller.close()
    """
    with Program(text.replace("RUNS", PULLERS[runs])) as program, zerorpc.Pusher() as pusher:
        pusher.connect(program.line())
        for how in COROUTINES:
            pusher(name, how)
        pusher.stop()
        code, out, err = program.end()
    assert (code, out.splitlines()) == (0, [*(f"{how} {code} True" for how, code in COROUTINES.items()), "stop True"])
    assert "RuntimeError: a child that a method forks has no event loop" in err


def test_a_server_that_a_method_runs_in_its_child_is_one_like_any_other() -> None:
    text = """
    import os, zerorpc
    async def pid():
        return os.getpid()
    def plain_pid():
        return os.getpid()
    def another():
        ours, theirs = os.pipe()
        if os.fork() == 0:
            server = zerorpc.Server({"pid": pid, "plain_pid": plain_pid, "stop": lambda: server.stop()})
            os.write(theirs, server.bind("tcp://127.0.0.1:0")[0].encode())
            server.run()
            os._exit(0)
        return os.read(ours, 1000).decode()
    server = zerorpc.Server({"pid": pid, "another": another})
    print(server.bind("tcp://127.0.0.1:0")[0], flush=True)
    server.run()
    """
    with Program(text) as program, zerorpc.Client(program.line(), timeout=PATIENCE) as client:
        with zerorpc.Client(client.another(), timeout=PATIENCE) as other:
            for _ in range(3):
                assert other.pid() == other.plain_pid() != client.pid()
            other.stop()


@pytest.mark.parametrize(("hook", "name"), [("server_after_exec", "plain"), ("server_inspect_exception", "fails")])
def test_a_child_of_a_hook_after_a_plain_method_ends_with_it(hook: str, name: str) -> None:
    """It would stay for ever, in a loop of its own that belongs to the parent."""
    text = """
    import os, threading, zerorpc
    def fork(*args):
        if pid := os.fork():
            threading.Thread(target=wait, args=(pid,)).start()
    def wait(pid):
        print("child", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    def fails():
        raise ValueError
    context = zerorpc.Context()
    context.register_middleware({"HOOK": fork})
    server = zerorpc.Server({"plain": lambda: 1, "fails": fails}, context=context)
    print(server.bind("tcp://127.0.0.1:0")[0], flush=True)
    server.run()
    """
    with Program(text.replace("HOOK", hook)) as program, zerorpc.Client(program.line(), timeout=PATIENCE) as client:
        with contextlib.suppress(zerorpc.RemoteError):
            client(name)
        assert program.line() == "child 0"
