"""The prompt of ``zerorpc shell`` on IPython. Importing this raises ImportError where it isn't installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.terminal.ipapp import TerminalIPythonApp
from traitlets.config import Config

from zerorpc.cli.printing import note, report
from zerorpc.cli.state import prepared
from zerorpc.errors import ZeroRPCError

if TYPE_CHECKING:
    from zerorpc import AsyncClient

HISTORY = "shell_history.sqlite"


def run(names: dict[str, object], greeting: str, aclient: AsyncClient | None) -> int:
    """Run the prompt until its user leaves, close ``aclient``, and return the exit code."""
    config: Any = Config()
    config.TerminalInteractiveShell.banner1 = f"{greeting}\n"
    config.TerminalInteractiveShell.banner2 = ""
    config.TerminalInteractiveShell.confirm_exit = False
    history = prepared(HISTORY)
    config.HistoryManager.enabled = history is not None
    config.HistoryManager.hist_file = history or ":memory:"
    app: Any = TerminalIPythonApp.instance(config=config, user_ns=names)
    app.initialize([])
    app.shell.set_custom_exc((ZeroRPCError,), _show)
    try:
        app.start()
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else 0
    finally:
        if aclient is not None:
            aclient.close()
    return 0


def _show(_shell: object, _kind: object, error: ZeroRPCError, _trace: object, **_options: object) -> None:
    """What fails at the server is told shortly: nobody needs the frames of ours."""
    note(report(error))
