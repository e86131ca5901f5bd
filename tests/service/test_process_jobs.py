"""Methods in worker processes: to their callers they are like any others."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import re
import signal
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import zerorpc
from tests.service import process_services as services
from tests.service.running import PATIENCE, eventually, eventually_async, joined, run, serving, until_stopped
from tests.service.services import remote_error
from zerorpc.service import process_pool

pytestmark = pytest.mark.timeout(60)  # starting a process takes a moment, many at a time on a loaded machine more


@pytest.fixture(scope="module")
def client() -> Iterator[zerorpc.Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process_pool, "usable_cores", lambda: 2)
        methods = {name: method for name, method in vars(services).items() if callable(method)}
        with joined(methods, grace=0) as client:
            yield client


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_pool, "usable_cores", lambda: 2)


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_pool, "usable_cores", lambda: 1)


@pytest.fixture
def ample_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what a cancelled method does: a busy machine may not let it run within a second."""
    monkeypatch.setattr(process_pool, "_GRACE", PATIENCE)


def file_appears(path: Path) -> None:
    eventually(path.exists, f"{path} is there")


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or waits only for its parent to heed its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # before it is opened, and after
        return True


# Where methods run


def test_a_marked_method_runs_in_another_process(client: zerorpc.Client) -> None:
    assert client.pid() != os.getpid()
    assert client.echo({"a": [1, None, b"\x00", "text", 2.5]}) == {"a": [1, None, b"\x00", "text", 2.5]}
    assert client.echo() is None
    assert client.paired(2) == [1, 2]


def test_called_here_it_runs_here() -> None:
    assert services.pid() == os.getpid()
    assert zerorpc.Server(services)("pid") == os.getpid()


def test_methods_of_objects_get_a_copy() -> None:
    counter = services.Counter()
    with joined(counter) as client:
        assert client.add() == 1
        assert client.add() == 1
        assert counter.number == 0
        counter.number = 10
        assert client.add() == 11
        assert counter.add() == 11


def test_every_way_of_being_a_marked_function() -> None:
    with joined(services.Counter()) as client:
        assert client.static(1) == 1
        assert client.marked_static(2) == 2
        assert client.kind() == "Counter"
        assert client.said(3) == [0, 1, 2]
        assert client.iterator(2) == [0, 1]  # no stream: all items in one reply


def test_they_are_described_like_others(client: zerorpc.Client) -> None:
    told = client._zerorpc_inspect()["methods"]["echo"]
    assert told == {
        "args": [{"name": "value", "default": None, "type": "Any"}],
        "doc": "The same again.",
        "streams": False,
        "schema": {
            "arguments": {
                "type": "object",
                "properties": {"value": {"default": None}},
                "additionalProperties": False,
            },
            "parameters": [{"name": "value", "kind": "positional or keyword"}],
            "result": {},
        },
    }


@pytest.mark.usefixtures("two_processes")
def test_as_many_at_once_as_there_are_processes(tmp_path: Path) -> None:
    begun = [tmp_path / str(number) for number in range(3)]
    go_on = tmp_path / "go on"
    with joined(services) as client:
        calls = [client.until(str(path), str(go_on), async_=True) for path in begun]
        file_appears(begun[0])
        file_appears(begun[1])
        assert not begun[2].exists()
        assert begun[0].read_text() != begun[1].read_text()
        go_on.touch()
        assert [call.get(timeout=PATIENCE) for call in calls] == ["went on"] * 3
        assert begun[2].read_text() in {begun[0].read_text(), begun[1].read_text()}


def test_a_method_may_start_processes_of_its_own(client: zerorpc.Client) -> None:
    assert client.with_multiprocessing() == 7
    assert client.with_a_program() == [-2, -15]


# Errors


def test_an_exception_arrives_with_its_traceback(client: zerorpc.Client) -> None:
    error = remote_error(client.fail)
    assert (error.name, error.msg) == ("ValueError", "not there")
    assert error.traceback is not None
    lines = [line.strip() for line in error.traceback.splitlines()]
    assert lines[0] == "Traceback (most recent call last):"
    assert 'raise ValueError("not there") from error' in lines
    assert "KeyError: 'missing'" in lines
    assert "The above exception was the direct cause of the following exception:" in lines
    in_functions = [line.rpartition(" ")[2] for line in lines if line.startswith("File")]
    assert in_functions == ["deeper", "fail", "deeper"]  # the KeyError's, then the ValueError's: none of ours


def test_the_traceback_is_that_of_a_method_on_a_thread() -> None:
    unmarked = types.FunctionType(services.fail.__code__, services.fail.__globals__, "fail")
    with joined({"process": services.fail, "thread": unmarked}) as client:
        in_process, on_thread = (str(remote_error(call).traceback) for call in (client.process, client.thread))
    assert in_process.splitlines() == [line for line in on_thread.splitlines() if line.strip(" ~^") or not line]


@pytest.mark.parametrize(
    ("method", "name", "message"),
    [
        ("demand", "Demanding", "box number 7"),
        ("leave", "SystemExit", "3"),
        ("lock", "TypeError", "the result of lock can't be sent: cannot pickle '_thread.lock' object"),
        (
            "nothing_known",
            "TypeError",
            "the result of nothing_known can't be sent: a value of type object can't be sent",
        ),
        ("coroutine", "TypeError", "a method that runs in a process can't return a coroutine"),
        ("pair", "TypeError", "pair() missing 2 required positional arguments: 'first' and 'second'"),
    ],
)
def test_other_errors(client: zerorpc.Client, method: str, name: str, message: str) -> None:
    error = remote_error(client, method)
    assert (error.name, error.msg) == (name, message)
    assert client.echo(1) == 1


def test_an_object_that_can_t_be_pickled() -> None:
    with joined(services.Locked()) as client:
        error = remote_error(client.method)
    assert error.name == "TypeError"
    assert error.msg.startswith("method can't be sent to a worker process: cannot pickle '_thread.lock' object; it has")


def test_a_function_that_no_other_process_can_import(monkeypatch: pytest.MonkeyPatch) -> None:
    ghost = types.ModuleType("ghost")
    monkeypatch.setitem(sys.modules, "ghost", ghost)
    exec("import zerorpc\n@zerorpc.process\ndef boo(): ...", vars(ghost))
    with joined(ghost) as client:
        error = remote_error(client.boo)
    assert error.name == "TypeError"
    assert error.msg.startswith(
        "boo can't be loaded in a worker process: ModuleNotFoundError: No module named 'ghost'; it has to be a function"
    )


def test_a_result_that_the_server_can_t_unpickle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_pool.WorkerProcess, "call", lambda *_: b"no pickle")
    with joined(services) as client:
        error = remote_error(client.echo)
    assert (error.name, error.msg.partition(":")[0]) == ("TypeError", "the result of echo can't be sent")


# A process that dies


@pytest.mark.parametrize(
    ("method", "how"),
    [("die", "exit code 3"), ("be_killed", "killed by signal 9"), ("die_before_child", "exit code 4")],
)
def test_a_process_that_dies_fails_its_own_call_only(
    client: zerorpc.Client, tmp_path: Path, method: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_pool, "_LOOK_AGAIN", 0.1)
    begun, go_on = tmp_path / "begun", tmp_path / "go on"
    other = client.until(str(begun), str(go_on), async_=True)
    file_appears(begun)
    error = remote_error(client, method, *([str(go_on)] if method == "die_before_child" else []))
    assert (error.name, error.msg) == ("WorkerDied", f"{method}: the process that ran it has ended ({how})")
    assert client.pid() != int(begun.read_text())
    go_on.touch()
    assert other.get(timeout=PATIENCE) == "went on"


def test_a_process_that_died_while_it_was_idle_is_replaced() -> None:
    with joined({"pid": services.pid}) as client:
        first = client.pid()
        os.kill(first, 9)
        eventually(lambda: first not in [process.pid for process in multiprocessing.active_children()])
        assert client.pid() != first


def test_a_process_that_can_t_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    from multiprocessing.process import BaseProcess

    def start(self: object) -> None:
        raise OSError(11, "no more processes")

    with joined({"pid": services.pid}) as client:
        with monkeypatch.context() as patch:
            patch.setattr(BaseProcess, "start", start)
            error = remote_error(client.pid)
        assert error.name == "WorkerDied"
        assert error.msg == "pid: no process can be started for it: [Errno 11] no more processes"
        assert client.pid() != os.getpid()


# Callers that give up


@pytest.mark.skipif(sys.platform != "linux", reason="which signals a process has to take is told by Linux's /proc")
@pytest.mark.parametrize("method", ["hang", "hang_among_threads"])
@pytest.mark.usefixtures("ample_grace")
def test_a_stopped_process_is_cancelled_when_it_goes_on(client: zerorpc.Client, tmp_path: Path, method: str) -> None:
    """Any thread that doesn't block it may take such a signal: nothing would interrupt the one of the method."""
    for n in range(5):  # without the block, 14 of 20 slept on
        begun = tmp_path / str(n)
        call = client(method, str(begun), async_=True)
        file_appears(begun)
        pid = int(begun.read_text())
        os.kill(pid, signal.SIGSTOP)
        until_stopped(pid)
        call.cancel()
        eventually(lambda pid=pid: signal.SIGUSR1 in pending(pid), "it is to be cancelled")
        os.kill(pid, signal.SIGCONT)
        file_appears(Path(f"{begun}.finally"))


def pending(pid: int) -> set[int]:
    """The signals that a process has yet to take."""
    (mask,) = re.findall(r"^ShdPnd:\t(.*)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return {number for number in range(1, 65) if int(mask, 16) >> (number - 1) & 1}


@pytest.mark.usefixtures("ample_grace")
def test_what_a_cancelled_method_does_at_its_end_is_not_interrupted(
    client: zerorpc.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_pool, "_LOOK_AGAIN", 0.005)
    signals: list[None] = []
    signal_once = process_pool.WorkerProcess._signal

    def noted(worker: process_pool.WorkerProcess, process: Any) -> None:
        signal_once(worker, process)
        signals.append(None)

    monkeypatch.setattr(process_pool.WorkerProcess, "_signal", noted)
    begun, go_on = tmp_path / "begun", tmp_path / "go on"
    call = client.hang_and_tidy_up(str(begun), str(go_on), async_=True)
    file_appears(begun)
    call.cancel()
    eventually(lambda: len(signals) >= 20, "it is signalled again and again")
    go_on.touch()
    file_appears(Path(f"{begun}.finally"))


@pytest.mark.usefixtures("ample_grace")
def test_a_cancelled_call_ends_its_process(client: zerorpc.Client, tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    async def main() -> None:
        async with zerorpc.AsyncClient(client_endpoint(client)) as caller:
            call = asyncio.ensure_future(caller.hang(str(begun)))
            await eventually_async(begun.exists)
            call.cancel()
            await eventually_async(Path(f"{begun}.finally").exists, "finally was run")
            await eventually_async(lambda: has_ended(int(begun.read_text())))
            assert await caller.pid() != int(begun.read_text())

    run(main())


def test_a_call_that_took_too_long_ends_its_process(client: zerorpc.Client, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    for timeout in (0.1, 1, PATIENCE):  # until one is long enough for the method to begin, on a loaded machine too
        with pytest.raises(zerorpc.TimeoutExpired):
            client.hang(str(begun), timeout=timeout)
        if begun.exists():
            break
    eventually(lambda: has_ended(int(begun.read_text())))
    assert client.echo(1) == 1


@pytest.mark.usefixtures("ample_grace")
def test_a_caller_that_is_gone_ends_its_process(client: zerorpc.Client, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    with zerorpc.Client(client_endpoint(client)) as caller:
        caller.hang(str(begun), async_=True)
        file_appears(begun)
    file_appears(Path(f"{begun}.finally"))


def test_a_method_that_won_t_end_is_killed(
    client: zerorpc.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_pool, "_LOOK_AGAIN", 0.1)
    monkeypatch.setattr(process_pool, "_GRACE", 2.0)
    begun = tmp_path / "begun"
    with zerorpc.Client(client_endpoint(client)) as caller:
        caller.hang_on(str(begun), async_=True)
        file_appears(begun)
    file_appears(Path(f"{begun}.refused"))
    eventually(lambda: has_ended(int(begun.read_text())))
    assert client.echo(1) == 1


@pytest.mark.usefixtures("one_process")
def test_a_call_given_up_while_it_waits_never_runs(tmp_path: Path) -> None:
    first, second, go_on = tmp_path / "first", tmp_path / "second", tmp_path / "go on"
    witness = Witness()
    context = zerorpc.Context()
    context.register_middleware(witness)
    with joined(services, context=context) as client:
        running = client.until(str(first), str(go_on), async_=True)
        file_appears(first)
        with pytest.raises(zerorpc.TimeoutExpired):
            client.hang(str(second), timeout=0.01)
        assert client._zerorpc_ping()[0] == "pong"  # so the server has read by now that it was given up
        go_on.touch()
        assert running.get(timeout=PATIENCE) == "went on"
        assert str(client.pid()) == first.read_text()  # it was not needed for the second either
    assert not second.exists()
    assert "hang" not in witness.seen  # its hooks neither


def client_endpoint(client: zerorpc.Client) -> str:
    """Where the server is that a client is connected to."""
    return next(iter(client._core.hub.dialers))


# The server's end


@pytest.mark.usefixtures("one_process")
def test_a_server_that_stops_lets_methods_finish_and_ends_its_processes(tmp_path: Path) -> None:
    begun, go_on = tmp_path / "begun", tmp_path / "go on"
    with serving(services, grace=PATIENCE) as server, zerorpc.Client(server.endpoints[0]) as client:
        call = client.until(str(begun), str(go_on), async_=True)
        file_appears(begun)
        server.stop()
        eventually(lambda: not server.endpoints)
        go_on.touch()
        assert call.get(timeout=PATIENCE) == "went on"
    assert has_ended(int(begun.read_text()))


@pytest.mark.usefixtures("one_process", "ample_grace")
def test_past_its_grace_a_server_ends_methods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_pool, "_END_TIMEOUT", PATIENCE)
    begun, waiting = tmp_path / "begun", tmp_path / "waiting"
    with serving(services, grace=0) as server, zerorpc.Client(server.endpoints[0]) as client:
        end_both(server, client.hang, begun, waiting)
    assert Path(f"{begun}.finally").exists()


@pytest.mark.usefixtures("one_process")
def test_the_callers_of_methods_that_are_killed_are_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that the connection was closed, as if nobody knew what has become of their calls."""
    monkeypatch.setattr(process_pool, "_END_TIMEOUT", 0.0)
    monkeypatch.setattr(process_pool, "_SAY_SO", PATIENCE)
    with serving(services, grace=0) as server, zerorpc.Client(server.endpoints[0]) as client:
        end_both(server, client.hang_on, tmp_path / "begun", tmp_path / "waiting")


def end_both(server: zerorpc.Server, method: zerorpc.RemoteMethod, begun: Path, waiting: Path) -> None:
    """Stop a server with one process, which runs one call of a method while another one waits."""
    calls = [method(str(begun), async_=True), method(str(waiting), async_=True)]
    file_appears(begun)
    server.stop()
    for call, ran in zip(calls, (None, False), strict=True):
        with pytest.raises(zerorpc.RemoteError, match=r"WorkerDied: hang.*: the server is shutting down") as raised:
            call.get(timeout=PATIENCE)
        assert raised.value.ran is ran
    assert has_ended(int(begun.read_text()))
    assert not waiting.exists()


# Hooks


class Witness:
    """A middleware that notes where it is and what it sees."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.threads: set[int] = set()

    def load_task_context(self, header: dict[str, Any]) -> None:
        self.threads.add(threading.get_ident())

    def server_before_exec(self, request: Any) -> None:
        self.threads.add(threading.get_ident())
        self.seen.append(request.name)

    def server_after_exec(self, request: Any, reply: Any) -> None:
        self.threads.add(threading.get_ident())
        self.seen.append(reply.args[0])

    def server_inspect_exception(self, request: Any, reply: Any, context: Any, exc_info: Any) -> None:
        self.threads.add(threading.get_ident())
        kind, error, trace = exc_info
        self.seen += [kind, trace.tb_frame.f_code.co_name, type(error.__cause__)]


@pytest.mark.usefixtures("one_process")
def test_hooks_run_in_the_server_around_the_method() -> None:
    witness = Witness()
    context = zerorpc.Context()
    context.register_middleware(witness)
    with joined(services, context=context) as client:
        assert client.echo(7) == 7
        assert remote_error(client.fail).name == "ValueError"
    assert witness.seen == ["echo", 7, "fail", ValueError, "fail", KeyError]
    assert len(witness.threads - {threading.get_ident()}) == 1  # all of a request in one
