"""Whether a server may be called just now, as the program that serves says: ``Server(…, ready=function)``."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable

from zerorpc.logs import Logger, is_ctrl_c
from zerorpc.runtime.program_functions import is_coroutine_function, on_thread
from zerorpc.runtime.side_thread import SideThread
from zerorpc.shown import name_of

__all__ = ["Health"]

logger: Logger = Logger("zerorpc.server")

_LONGEST = 2.0  # s that a check may take; less than the 3 s that `zerorpc health` waits


class Health:
    """Asks a program's ``check`` of ``what``, at most once at a time: who asks meanwhile gets the same answer. On the
    loop.

    A coroutine function runs on the loop, a plain one on a thread of its own, so that one that hangs keeps only this
    thread. Callers are told what it came to, and the log the whole error: what it says may be nobody else's business.
    """

    def __init__(self, check: Callable[[], object] | None, what: str = "this server") -> None:
        self._check = check
        self._what = what
        self._asking: asyncio.Task[str] | None = None
        self._side = SideThread("zerorpc-ready")
        self._told = ""  # what the log had last

    async def problem(self) -> str:
        """Why it may not be called; "" if it may."""
        if self._check is None:
            return ""
        asking = self._asking
        if asking is None or asking.done():
            # Not by the loop's task factory, which may begin it here.
            asking = self._asking = asyncio.Task(self._ask(self._check), loop=asyncio.get_running_loop())
        await asyncio.wait([asking], timeout=_LONGEST)
        if asking.done() and not asking.cancelled():
            why = asking.result()
        else:
            why = f"its check has not answered in {_LONGEST:g} s"
            if is_coroutine_function(self._check):
                asking.cancel()
        self._log(why)
        return why

    async def _ask(self, check: Callable[[], object]) -> str:
        try:
            answer = check() if is_coroutine_function(check) else await on_thread(self._side.post, check)[0]
            if inspect.isawaitable(answer):
                answer = await answer
            return "" if answer is None or answer else "its check says no"
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # SystemExit, of a program's function, would end the server
            if is_ctrl_c(error):
                raise
            if not self._told:
                logger.error("the check whether %s is ready raised %s", self._what, name_of(error), raised=error)
            return f"its check raised {name_of(error)}"

    def _log(self, why: str) -> None:
        """Once, when it changes: probes come every few seconds."""
        if why != self._told:
            logger.warning("%s is not ready: %s" if why else "%s is ready again%s", self._what, why)
            self._told = why

    def close(self) -> None:
        """Nobody asks any more. On the loop."""
        if self._asking is not None:
            self._asking.cancel()

    def __repr__(self) -> str:
        return f"<Health {self._told or 'ready'}>"
