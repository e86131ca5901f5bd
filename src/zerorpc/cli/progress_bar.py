"""How far a call has come, as a bar on stderr, where that is a terminal and rich is installed."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from zerorpc.shown import line

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["bar"]


@contextlib.contextmanager
def bar(first: Callable[[], object]) -> Iterator[Callable[[float, float | None, str], None] | None]:
    """A function to be called with what is reported. The bar appears with the ``first`` report, of which that is told,
    and goes at the end; None where there can be none.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    try:
        import rich.progress  # noqa: F401 - whether it is there
    except ImportError:
        yield None
        return
    shown: list[Progress] = []
    over = False
    lock = threading.Lock()

    def report(done: float, total: float | None, text: str) -> None:
        with lock:  # reports come on threads, and of a stream also later
            if over:
                return
            if not shown:
                first()
                shown.append(_made())
                shown[0].add_task("", total=None)
                shown[0].start()
            told = text if total is not None else f"{done:g} {text}"  # there is no percentage then
            described = line(told, longest=shown[0].console.width // 3)
            shown[0].update(shown[0].task_ids[0], completed=done, total=total, description=described)

    try:
        yield report
    finally:
        with lock:
            over = True
            for each in shown:
                each.stop()


def _made() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, highlight=False)
    columns = (BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    return Progress(*columns, console=console, transient=True)
