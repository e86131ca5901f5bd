"""Asking a program's ``Authenticator``, wherever callers come from."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from zerorpc.callers import Authenticator, Caller, Visitor, watching
from zerorpc.logs import Logger, Sparing, is_ctrl_c
from zerorpc.runtime.program_functions import drop, is_coroutine_function, on_thread
from zerorpc.runtime.side_thread import SideThreads
from zerorpc.shown import name_of

__all__ = ["ANSWER_MAX", "Authentication"]

logger: Logger = Logger("zerorpc.server")

_LOOK_EVERY = 1.0  # s between questions whether anything has changed
ANSWER_MAX = 30.0  # s for its answer; a handshake may take as long
_UNKNOWN = object()
_THREADS = 4  # for authenticators that are plain functions: strangers get no more of a server than that


class _LetIn(NamedTuple):
    caller: Caller
    identity: str
    revoke: Callable[[], None]


class Authentication:
    """Who callers are, as one authenticator says it. On one loop, from the first question on.

    An authenticator that has a ``changed`` may say otherwise later: when it says yes to that, it is asked again about
    all who were let in. They lose what they have open if they are somebody else now.
    """

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator: Callable[[Caller], Any] = authenticator
        self._changed: Callable[[], Any] | None = watching(authenticator)
        self._let_in: dict[object, _LetIn] = {}  # by who it is that the caller keeps; if it may change
        self._changes = 0  # times that it has changed
        self._watch: asyncio.Task[None] | None = None  # while there are some
        self._threads = SideThreads("zerorpc-authenticator")
        self._free = asyncio.Semaphore(_THREADS)
        self._accepted, self._refused, self._failed = Sparing(), Sparing(), Sparing()  # lines of the log

    async def identify(self, caller: Caller) -> str | None:
        """Its identity, or None for a caller that is refused. So does what the authenticator raises. Safe to cancel."""
        identity = None
        try:
            changes = -1
            while changes != self._changes:  # else what it said may be of before
                changes = self._changes
                identity = await self._ask(caller)
        except BaseException as error:  # SystemExit, of a program's function, would end the server
            if is_ctrl_c(error) or _is_cancelled():
                raise
            if (more := self._failed.turn()) is not None:
                logger.error("the authenticator raised %s for %s%s", name_of(error), caller, more, raised=error)
        if identity is None:
            if (more := self._refused.turn()) is not None:
                logger.warning("refused %s%s", caller, more)
        elif (more := self._accepted.turn()) is not None:
            logger.info("let in %s, who is %s%s", caller, identity, more)
        return identity

    def let_in(self, key: object, caller: Caller, identity: str, revoke: Callable[[], None]) -> None:
        """It has something open from now on, until ``forget(key)``: ``revoke`` is called when it is somebody else.

        To be called in the same turn of the loop as ``identify`` has answered.
        """
        # A visitor is not asked about again: what it calls makes the change, perhaps, and it is to get the answer.
        if self._changed is None or isinstance(identity, Visitor):
            return
        self._let_in[key] = _LetIn(caller, identity, revoke)
        if self._watch is None or self._watch.done():
            self._watch = asyncio.get_running_loop().create_task(self._look(self._changed))

    def forget(self, key: object) -> None:
        """It has nothing open any more. Also of one that was never let in."""
        self._let_in.pop(key, None)

    async def _look(self, changed: Callable[[], Any]) -> None:
        """While there is somebody: ask about them again when anything has changed, until that has succeeded."""
        again = False
        while self._let_in:
            await asyncio.sleep(_LOOK_EVERY)
            again = await self._try(self._call(changed), "whether anything has changed", False) or again
            if again:
                self._changes += 1
                asked = [self._is_known(key, one) for key, one in list(self._let_in.items())]
                again = not all(await asyncio.gather(*asked))  # at once: one may take long

    async def _is_known(self, key: object, one: _LetIn) -> bool:
        """Whether the authenticator has answered. Who is another one, or nobody any more, loses the connection."""
        now = await self._try(self._ask(one.caller), one.caller, _UNKNOWN)
        if now is not _UNKNOWN and now != one.identity and self._let_in.get(key) is one:
            logger.warning("%s, who was %s, is not any more: its connection ends", one.caller, one.identity)
            one.revoke()
        return now is not _UNKNOWN

    async def _try(self, asking: Awaitable[Any], what: object, failing: object) -> Any:
        """What it answers. What an authenticator raises here changes nothing: it is asked again the next time."""
        try:
            async with asyncio.timeout(ANSWER_MAX):
                return await asking
        except BaseException as error:
            if is_ctrl_c(error) or _is_cancelled():
                raise
            if (more := self._failed.turn()) is not None:
                logger.error("the authenticator raised %s, asked for %s%s", name_of(error), what, more, raised=error)
            return failing

    async def _ask(self, caller: Caller) -> str | None:
        """The authenticator's answer. Raises what it raises, and TypeError for what is no answer."""
        found = await self._call(self._authenticator, caller)
        if found is not None and not isinstance(found, str):
            raise TypeError(f"an authenticator returns an identity, which is a text, or None, and no {name_of(found)}")
        return found

    async def _call(self, function: Callable[..., Any], *args: object) -> Any:
        """What a function of the program's returns: of a plain one on a thread, of a coroutine function here."""
        if is_coroutine_function(function):
            return await function(*args)
        await self._free.acquire()
        answered, free = on_thread(self._threads.post, function, *args)
        free.add_done_callback(lambda _: self._free.release())
        try:
            found = await answered
        except asyncio.CancelledError:
            if answered.done() and not answered.cancelled() and answered.exception() is None:
                drop(answered.result())
            raise
        return await found if inspect.isawaitable(found) else found

    def close(self) -> None:
        """Nobody is asked about again."""
        if self._watch is not None:
            self._watch.cancel()

    def __repr__(self) -> str:
        return f"<Authentication by {self._authenticator!r}>"


def _is_cancelled() -> bool:
    """Whether somebody has cancelled this task. A CancelledError may also be a program's own."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
