"""Private names of CPython: each is there and does what we take it for, and without it the rest goes on."""

from __future__ import annotations

import ast
import asyncio
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.running import PATIENCE, eventually, joined
from tests.service.services import Cooler
from tests.service.test_process_pool import Script
from zerorpc.runtime import cpython, loops
from zerorpc.transport.leading import InUse

SOURCE = Path(cpython.__file__).parents[1]
# Documented in spite of their underscores; and what we ourselves put on a program's functions.
KNOWN = {"_asdict", "_exit", "_fields", "_make"}
KNOWN |= {"_sodium"}  # of PyNaCl, whose public functions stand in for it where it is missing
KNOWN |= {"_actions"}  # of argparse's parser: argcomplete goes through them, too, and there is no public list
KNOWN |= {f"_zerorpc_{mark}" for mark in ("idempotent", "on_loop", "process", "safe", "takes_stream", "tool")}

# Loops and tasks


def running_loop_without_its_name() -> Callable[[], asyncio.AbstractEventLoop | None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(asyncio, "_get_running_loop")
        return cpython.find_running_loop()


def test_the_running_loop() -> None:
    assert loops.running_loop is asyncio._get_running_loop
    for running_loop in (loops.running_loop, running_loop_without_its_name()):

        async def is_found(find: Callable[[], object] = running_loop) -> bool:
            return find() is asyncio.get_running_loop()

        assert running_loop() is None
        assert asyncio.run(is_found())
        assert running_loop() is None


@pytest.mark.parametrize("told", [True, False])
def test_a_pending_task_is_dropped_in_silence_if_asyncio_is_told_so(told: bool) -> None:
    reports: list[Any] = []
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _, context: reports.append(context["message"]))

    async def wait() -> None:
        await asyncio.Future()  # nobody else has it

    task = loop.create_task(wait())
    loop.run_until_complete(asyncio.sleep(0))
    if told:
        cpython.report_no_pending(task)
    del task
    gc.collect()
    loop.close()
    assert reports == ([] if told else ["Task was destroyed but it is pending!"])


def test_a_task_that_can_not_be_told_so_is_left_as_it_is() -> None:
    cpython.report_no_pending(object())  # type: ignore[arg-type]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="not used there: asyncio begins tasks at once itself")
def test_what_it_takes_to_share_a_task() -> None:
    sharing = cpython.task_sharing()
    assert sharing is not None
    enter, leave, callbacks_of = sharing
    loop = asyncio.new_event_loop()
    task = loop.create_task(asyncio.sleep(0))
    assert callbacks_of(task) is None
    task.add_done_callback(print)
    assert callbacks_of(task) is not None
    task.remove_done_callback(print)
    enter(loop, task)
    assert asyncio.current_task(loop) is task
    leave(loop, task)
    assert asyncio.current_task(loop) is None
    loop.run_until_complete(task)
    loop.close()


@pytest.mark.parametrize("name", ["_enter_task", "_leave_task"])
def test_without_one_of_them_no_task_is_shared(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(asyncio.tasks, name)
    assert cpython.task_sharing() is None


def test_without_callbacks_that_can_be_seen_no_task_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "Task", object)
    assert cpython.task_sharing() is None


# Locks


def lock_without_the_name() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "RLock", object)
        return cpython.lock_and_owner()


@pytest.fixture(params=[cpython.lock_and_owner, lock_without_the_name], ids=["RLock", "ours"])
def lock_and_owner(request: pytest.FixtureRequest) -> Callable[[], Any]:
    made: Callable[[], Any] = request.param
    return made


def test_a_lock_is_pythons_own_where_that_tells_who_holds_it() -> None:
    assert type(cpython.lock_and_owner()[0]) is type(threading.RLock())
    assert type(lock_without_the_name()[0]) is not type(threading.RLock())


def test_a_lock_tells_whether_this_thread_holds_it(lock_and_owner: Callable[[], Any]) -> None:
    lock, is_owned = lock_and_owner()
    assert not is_owned()
    with lock:
        assert is_owned()
        assert lock.acquire(False)
        assert elsewhere(is_owned) is False
        assert elsewhere(lambda: lock.acquire(False)) is False
        lock.release()
        assert is_owned()
    assert not is_owned()
    with pytest.raises(RuntimeError):
        lock.release()
    assert elsewhere(lambda: lock.acquire(False)) is True
    assert not is_owned()


def test_a_lock_lets_one_thread_in_at_a_time(lock_and_owner: Callable[[], Any]) -> None:
    lock, is_owned = lock_and_owner()
    inside: list[bool] = []

    def enter() -> None:
        with lock:
            inside.append(is_owned())

    with lock:
        thread = threading.Thread(target=enter)
        thread.start()
        assert inside == []
    thread.join(PATIENCE)
    assert inside == [True]


def test_a_blocking_client_with_a_lock_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.transport.leading.lock_and_owner", lock_without_the_name)
    with joined(Cooler()) as client:
        callers = [threading.Thread(target=client.add_man, args=("a",)) for _ in range(4)]
        for caller in callers:
            caller.start()
        assert client.add_man("b") == "b, man!"
        for caller in callers:
            caller.join(PATIENCE)
        hub = client._core.hub
        assert type(hub.lock) is not type(threading.RLock())
        eventually(lambda: hub.leading.leader is None)
        with hub.lock, pytest.raises(InUse):  # as from a signal handler
            client.add_man("c")
        assert client.add_man("d") == "d, man!"


def elsewhere(act: Callable[[], Any]) -> Any:
    """What ``act`` returns on another thread."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(act()))
    thread.start()
    thread.join(PATIENCE)
    return found[0]


# Processes


def test_a_process_that_imports_the_script_of_the_one_that_started_it(tmp_path: Path) -> None:
    text = """
    import multiprocessing
    from zerorpc.runtime import cpython, loops
    def tell(when):
        named = getattr(multiprocessing.current_process(), "_inheriting", False)
        print(when, named, cpython._is_called_by_spawn(), cpython.imports_main_script(), flush=True)
    tell("import")
    if __name__ == "__main__":
        child = multiprocessing.get_context("spawn").Process(target=tell, args=("run",))
        child.start()
        child.join()
    """
    with Script(tmp_path, text) as program:
        code, out, err = program.end()
    assert (code, err) == (0, "")
    assert out.splitlines() == ["import False False False", "import True True True", "run False False False"]


def functions_of(thread: threading.Thread) -> list[str]:
    assert thread.ident is not None
    frame, names = cpython.frame_of_thread(thread.ident), []
    while frame is not None:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return names


def test_what_runs_in_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = threading.Event()
    thread = threading.Thread(target=waits.wait, args=[PATIENCE])
    thread.start()
    try:
        assert thread.ident is not None
        eventually(lambda: "run" in functions_of(thread), "it does more than begin")
        monkeypatch.delattr(sys, "_current_frames")
        assert cpython.frame_of_thread(thread.ident) is None
    finally:
        waits.set()
        thread.join()


# All there are


def test_no_other_file_uses_a_private_name_of_python() -> None:
    own = {name for path in SOURCE.rglob("*.py") for name in defined(path)}
    found = [
        f"{path.relative_to(SOURCE)}:{line}: {name}"
        for path in sorted(SOURCE.rglob("*.py"))
        if path.name != "cpython.py"
        for line, name in used(path)
        if name not in own | KNOWN
    ]
    assert found == []


def test_such_a_name_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "import sys\nfrom asyncio.tasks import _enter_task\nclass A:\n    _b: int\n    def c(self):\n"
        "        self._d = sys._getframe\n        sys._e = 1\n        getattr(self, '_inheriting', None)\n"
        "        super()._bootstrap()\n"
    )
    names = [(2, "_enter_task"), (6, "_d"), (6, "_getframe"), (7, "_e"), (8, "_inheriting")]
    names += [(9, "_bootstrap")]
    assert sorted(used(tmp_path / "a.py")) == names
    assert set(defined(tmp_path / "a.py")) == {"A", "_b", "c", "_d"}


def used(path: Path) -> Iterator[tuple[int, str]]:
    """Each name with one underscore that is taken from an object or a module, and its line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Attribute):
            names = [node.attr]
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("attr"):
            names = [part.value for part in node.args if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        for name in names:
            if name.startswith("_") and not name.startswith("__"):
                yield node.lineno, name  # type: ignore[attr-defined]


def defined(path: Path) -> Iterator[str]:
    """Each name that a file gives to something of its own."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            yield node.attr
