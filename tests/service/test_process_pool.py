"""Worker processes and the programs that have them: their scripts, their signals, their ends."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

import zerorpc
from tests.cli.programs import Program as CommandLine
from tests.service import process_services as services
from tests.service.running import PATIENCE, Program, eventually, eventually_async, joined, run, serving
from tests.service.services import remote_error
from tests.service.test_process_jobs import file_appears, has_ended
from zerorpc.service import process_pool
from zerorpc.service.process_pool import ProcessPool, WorkerProcess, check_not_importing_main, usable_cores

pytestmark = pytest.mark.timeout(60)  # starting a process takes a moment, many at a time on a loaded machine more


class Script(Program):
    """A program in a file: only such a one can be imported by its worker processes."""

    def __init__(self, folder: Path, text: str) -> None:
        path = folder / "script.py"
        path.write_text(textwrap.dedent(text))
        self.process = subprocess.Popen(
            [sys.executable, "-X", "dev", str(path)],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
            process_group=0,
        )


# The server's script

SERVICE = """
    import zerorpc
    @zerorpc.process
    def twice(number):
        return 2 * number
    def pong():
        return "pong"
    def main():
        server = zerorpc.Server({"twice": twice, "pong": pong})
        print(server.bind("tcp://127.0.0.1:0")[0])
        server.run()
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_a_function_of_the_servers_own_script(tmp_path: Path, processes: int) -> None:
    service = SERVICE.replace('"pong": pong}', f'"pong": pong}}, processes={processes}')
    with Script(tmp_path, service + "    if __name__ == '__main__': main()") as program:
        with zerorpc.Client(program.line(), timeout=PATIENCE) as client:
            assert client.twice(21) == 42
        program.signal(signal.SIGTERM)
        assert program.end() == (0, "", "")


@pytest.mark.parametrize("processes", [1, 2])
def test_a_script_that_serves_without_a_guard_is_told_so(tmp_path: Path, processes: int) -> None:
    service = SERVICE.replace('"pong": pong}', f'"pong": pong}}, processes={processes}')
    with Script(tmp_path, service + "    main()") as program:
        with zerorpc.Client(program.line(), timeout=PATIENCE) as client:
            for _ in range(2):
                error = remote_error(client.twice, 21)
                assert error.name == "WorkerDied"
                assert "(exit code 1) while it was starting" in error.msg
                assert 'under `if __name__ == "__main__":`' in error.msg
            assert client.pong() == "pong"
        program.signal(signal.SIGTERM)
        code, _, said = program.end()
        assert code == 0
        assert "RuntimeError: a worker process imports this script to find the methods: " in said


def test_nothing_but_a_worker_s_import_is_refused() -> None:
    import multiprocessing

    check_not_importing_main()
    assert multiprocessing.current_process().name == "MainProcess"
    check_not_importing_main()


def test_code_that_is_in_no_file_can_t_be_imported() -> None:
    with Program(SERVICE + "    main()") as program, zerorpc.Client(program.line(), timeout=PATIENCE) as client:
        error = remote_error(client.twice, 21)
        assert error.name == "TypeError"
        assert error.msg.startswith("twice can't be loaded in a worker process: AttributeError: ")


SLOW_TO_START = """
    import zerorpc
    from tests.service import process_services
    if __name__ == "__mp_main__":
        process_services.begun("starting")
        process_services.wait_for("go on")
    if __name__ == "__main__":
        server = zerorpc.Server(process_services)
        print(server.bind("tcp://127.0.0.1:0")[0])
        server.run()
"""


def test_ctrl_c_while_a_process_starts(tmp_path: Path) -> None:
    with Script(tmp_path, SLOW_TO_START) as program, zerorpc.Client(program.line(), timeout=PATIENCE) as client:
        call = client.echo(1, async_=True)
        file_appears(tmp_path / "starting")
        os.killpg(program.process.pid, signal.SIGINT)
        (tmp_path / "go on").touch()
        assert call.get(timeout=PATIENCE) == 1
        assert program.end() == (0, "", "")


def test_a_caller_that_gives_up_while_a_process_starts(tmp_path: Path) -> None:
    with Script(tmp_path, SLOW_TO_START) as program:
        endpoint = program.line()
        with zerorpc.Client(endpoint) as client:
            client.echo(1, async_=True)
            file_appears(tmp_path / "starting")
        starting = int((tmp_path / "starting").read_text())
        eventually(lambda: has_ended(starting))
        (tmp_path / "go on").touch()
        with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
            assert client.pid() != starting


def test_the_command_line_has_processes_too(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "import os, zerorpc\nclass Shop:\n    @zerorpc.process\n    def pid(self):\n        return os.getpid()\n"
    )
    server = CommandLine("--server", "--bind", "tcp://127.0.0.1:0", "shop.Shop", folder=tmp_path)
    try:
        endpoint = server.wait_for(r'^binding to "(.*)"$')[1]
        with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
            pid = client.pid()
            assert pid not in {server.process.pid, os.getpid()}
        server.interrupt()
        assert server.finish().code == 0
        assert has_ended(pid)
    finally:
        server.end()


# Ends

HANGING = """
    import zerorpc
    from tests.service import process_services
    if __name__ == "__main__":
        server = zerorpc.Server(process_services, grace=20)
        print(server.bind("tcp://127.0.0.1:0")[0])
        server.run()
"""


def test_a_server_that_is_killed_takes_its_processes_along(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    with Script(tmp_path, HANGING) as program, zerorpc.Client(program.line(), timeout=PATIENCE) as client:
        client.hang_on(str(begun), async_=True)
        file_appears(begun)
        program.signal(signal.SIGKILL)
        program.process.wait()
        eventually(lambda: has_ended(int(begun.read_text())))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_lets_methods_finish(tmp_path: Path, number: signal.Signals) -> None:
    """As Ctrl-C in a terminal, and service managers, send them."""
    begun, go_on = tmp_path / "begun", tmp_path / "go on"
    with Script(tmp_path, HANGING) as program, zerorpc.Client(program.line(), timeout=PATIENCE) as client:
        call = client.until(str(begun), str(go_on), async_=True)
        file_appears(begun)
        os.killpg(program.process.pid, number)
        go_on.touch()
        assert call.get(timeout=PATIENCE) == "went on"
        assert program.end() == (0, "", "")
        assert has_ended(int(begun.read_text()))


def test_a_program_may_end_without_closing_its_server(tmp_path: Path) -> None:
    text = """
    import threading, zerorpc
    from tests.service import process_services
    if __name__ == "__main__":
        server = zerorpc.Server(process_services)
        endpoint = server.bind("tcp://127.0.0.1:0")[0]
        threading.Thread(target=server.run, daemon=True).start()
        print(zerorpc.Client(endpoint).pid())
    """
    with Script(tmp_path, text) as program:
        pid = int(program.line())
        assert program.end()[0] == 0
        assert has_ended(pid)


def test_a_forked_child_that_exits_leaves_the_processes_alone() -> None:
    def fork() -> int:
        child = os.fork()
        if child == 0:
            atexit._run_exitfuncs()  # as sys.exit does, but nothing of pytest's
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    with joined({"pid": services.pid, "fork": fork}) as client:
        pid = client.pid()
        assert client.fork() == 0
        assert client.pid() == pid


def test_processes_are_ended_when_the_loop_is_not_there_to_wait(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(process_pool, "_END_TIMEOUT", 0.0)
    monkeypatch.setattr(process_pool, "_SAY_SO", 0.0)
    begun = tmp_path / "begun"
    with serving(services, grace=0) as server, zerorpc.Client(server.endpoints[0]) as client:
        client.hang_on(str(begun), async_=True)
        file_appears(begun)
    eventually(lambda: has_ended(int(begun.read_text())))


# Parts


def test_a_pool_that_was_never_used_has_nothing_to_end() -> None:
    pool = ProcessPool(3)
    run(pool.aclose())
    assert repr(pool) == "<ProcessPool size=3 busy=0 waiting=0>"


def test_a_pool_has_as_many_processes_as_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ProcessPool().size == usable_cores() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")  # not on macOS and Windows
    assert usable_cores() == (os.cpu_count() or 1)


def test_a_job_that_came_too_late_starts_no_process() -> None:
    worker = WorkerProcess()
    worker.close()

    class Late:
        def run(self, worker: WorkerProcess) -> None: ...

    with worker.lent_to(Late()), pytest.raises(zerorpc.WorkerDied, match="late: the server is shutting down"):
        worker.call("late", b"")
    assert not worker.busy


# What must not happen, and does


class FailingJob:
    """Raises what it has to, and notes that it ran."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.ran = threading.Event()
        self.refused: list[str] = []

    def run(self, worker: WorkerProcess) -> None:
        self.ran.set()
        if self.error is not None:
            raise self.error

    def refuse(self, why: str) -> None:
        self.refused.append(why)


@pytest.mark.parametrize("error", [ValueError("why"), SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_a_job_that_raises_costs_no_process(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        pool = ProcessPool(1)
        jobs = [FailingJob(error), FailingJob(error), FailingJob()]
        for job in jobs:
            pool.submit(job)
            await eventually_async(job.ran.is_set)
        await pool.aclose()

    run(main())
    assert caplog.messages == ["a worker process's job raised"] * 2


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()], ids=repr)
def test_without_a_thread_a_job_is_refused(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        pool = ProcessPool(1)
        refused, ran = FailingJob(), FailingJob()
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fail)
            pool.submit(refused)
        pool.submit(ran)
        await eventually_async(ran.ran.is_set)
        await pool.aclose()
        assert not refused.ran.is_set()
        assert refused.refused[0].startswith("no thread can be started for it")

    def fail(thread: threading.Thread) -> None:
        raise error

    run(main())


def test_a_call_without_a_thread_gets_an_error_and_leaves_its_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def fail(thread: threading.Thread) -> None:
        if thread.name.startswith("zerorpc-process"):
            raise RuntimeError("can't start new thread")
        start(thread)

    with joined({"pid": services.pid}, pool_size=1) as client:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fail)
            for _ in range(2):
                error = remote_error(client.pid)
                assert error.name == "WorkerDied"
                assert error.msg == "pid: no thread can be started for it: can't start new thread"
        assert client.pid() != os.getpid()


def test_a_reply_that_there_is_no_memory_for_is_not_taken_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    receive = WorkerProcess._receive
    failing: list[int] = []

    def fail(worker: WorkerProcess, pipe: Any) -> bytes:
        if failing and worker._started:
            failing.clear()
            raise MemoryError
        return receive(worker, pipe)

    monkeypatch.setattr(WorkerProcess, "_receive", fail)
    monkeypatch.setattr(process_pool, "usable_cores", lambda: 1)
    with joined({"echo": services.echo}) as client:
        assert client.echo(1) == 1
        failing.append(1)
        assert remote_error(client.echo, 2).name == "MemoryError"
        assert client.echo(3) == 3


def test_a_process_that_lives_on_but_is_deaf_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_pool, "_GRACE", 0.1)
    monkeypatch.setattr(process_pool, "usable_cores", lambda: 1)
    with joined({"live_on_deaf": services.live_on_deaf, "echo": services.echo}, pool_size=1) as client:
        error = remote_error(client.live_on_deaf)
        assert (error.name, error.msg) == ("WorkerDied", "live_on_deaf: the process that ran it has ended")
        assert client.echo(1) == 1
