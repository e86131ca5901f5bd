"""The prompt of ``zerorpc shell`` from the standard library: ``code``, and ``readline`` where there is one.

``await`` works in it: what has one runs on an event loop of its own, as long as it takes.
"""

from __future__ import annotations

import ast
import asyncio
import code
import contextlib
import inspect
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from zerorpc.cli.printing import note, report
from zerorpc.cli.state import prepared
from zerorpc.errors import ZeroRPCError

if TYPE_CHECKING:
    from types import CodeType

    from zerorpc import AsyncClient

HISTORY = "shell_history"
HISTORY_MAX = 10_000  # lines


def run(names: dict[str, object], greeting: str, aclient: AsyncClient | None) -> int:
    """Run the prompt until its user leaves, close ``aclient``, and return the exit code."""
    with asyncio.Runner() as runner, _line_editing(names):
        sys.path.insert(0, "")  # as Python's own prompt has it: modules of the current folder may be imported
        try:
            _Console(names, runner).interact(greeting, exitmsg="")
        except SystemExit as left:
            return left.code if isinstance(left.code, int) else 0
        finally:
            if aclient is not None:
                runner.run(aclient.aclose())
    return 0


class _Console(code.InteractiveConsole):
    def __init__(self, names: dict[str, Any], runner: asyncio.Runner) -> None:
        super().__init__(names)
        self.compile.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self._runner = runner

    def runcode(self, code: CodeType) -> None:
        """Run what was typed. What fails at the server is told shortly: nobody needs the frames of ours."""
        try:
            result = eval(code, self.locals)
            if code.co_flags & inspect.CO_COROUTINE:
                self._runner.run(result)
        except (SystemExit, KeyboardInterrupt):
            raise
        except ZeroRPCError as error:
            note(report(error))
        except BaseException:
            self.showtraceback()


@contextlib.contextmanager
def _line_editing(names: dict[str, object]) -> Iterator[None]:
    """Completion by TAB, and the lines of earlier prompts. Without readline, as on Windows, there is neither."""
    try:
        import readline
    except ImportError:
        yield
        return
    import rlcompleter

    completer_before = readline.get_completer()
    readline.set_completer(rlcompleter.Completer(names).complete)
    is_libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if is_libedit else "tab: complete")
    path = prepared(HISTORY) if sys.stdin is not None and sys.stdin.isatty() else None
    if path is not None:
        with contextlib.suppress(OSError):  # libedit's may have another form
            readline.read_history_file(path)
    readline.set_history_length(HISTORY_MAX)
    try:
        yield
    finally:
        readline.set_completer(completer_before)
        if path is not None:
            with contextlib.suppress(OSError):
                readline.write_history_file(path)
