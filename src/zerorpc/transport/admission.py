"""Whether those who connect are let in: asks an ``Authenticator`` while their handshakes wait."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from zerorpc.callers import Authenticator, Caller, Visitor, watching
from zerorpc.errors import LostRemote, ProtocolError
from zerorpc.logs import Logger, Sparing, is_ctrl_c
from zerorpc.runtime.side_thread import SideThreads
from zerorpc.shown import name_of
from zerorpc.transport.aio_link import AioLink
from zerorpc.transport.credentials import caller_of

__all__ = ["Admission"]

logger: Logger = Logger("zerorpc.server")

_THREADS = 4  # for authenticators that are plain functions: strangers get no more of a server than that
_REFUSED = "this server doesn't know you"  # whatever the reason: that is nobody else's business
_LOOK_EVERY = 1.0  # s between questions whether anything has changed
_ANSWER_MAX = 30.0  # s for its answer; a handshake may take as long
_UNKNOWN = object()


class Admission:
    """Asks about each link whose peer has shown who it is. On one loop, the links'.

    ``admitted(link, identity)`` is called before a peer hears that it is let in. What the authenticator raises refuses
    the peer. A link that is lost meanwhile is not asked about any more. ``proxied`` tells whether connections come from
    a proxy: the process at their other end is not the caller's then.

    When an authenticator that has a ``changed`` says yes to it, all who were let in are asked about again.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        admitted: Callable[[AioLink, str], None],
        proxied: Callable[[], bool] = lambda: False,
    ) -> None:
        self._authenticator: Callable[[Caller], Any] = authenticator
        self._admitted = admitted
        self._proxied = proxied
        self._changed: Callable[[], Any] | None = watching(authenticator)
        self._tasks: dict[AioLink, asyncio.Task[None]] = {}
        self._let_in: dict[AioLink, tuple[Caller, str]] = {}  # if that may change
        self._changes = 0  # times that it has changed
        self._watch: asyncio.Task[None] | None = None  # while there are some
        self._threads = SideThreads("zerorpc-authenticator")
        self._free = asyncio.Semaphore(_THREADS)
        self._accepted, self._refused, self._failed = Sparing(), Sparing(), Sparing()

    def ask(self, link: AioLink) -> None:
        """Its peer has shown who it is."""
        # Not by the loop's task factory, which may begin it here, in the middle of taking what has come.
        task = asyncio.Task(self._decide(link), loop=asyncio.get_running_loop())
        self._tasks[link] = task
        task.add_done_callback(functools.partial(self._ended, link))

    def _ended(self, link: AioLink, task: asyncio.Task[None]) -> None:
        self._tasks.pop(link, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s could not be let in", link.name, raised=error)
            link.abort(LostRemote("it could not be let in"))

    def forget(self, link: AioLink) -> None:
        """It is lost."""
        self._let_in.pop(link, None)
        task = self._tasks.pop(link, None)
        if task is not None:
            task.cancel()

    async def _decide(self, link: AioLink) -> None:
        try:
            caller = caller_of(link)
        except OSError:  # it is gone, which the loop is about to tell
            return
        if self._proxied():
            caller = caller._replace(process=None)
        identity = None
        try:
            changes = -1
            while changes != self._changes:  # else what it said may be of before
                changes = self._changes
                identity = await self._identify(caller)
        except BaseException as error:  # SystemExit, of a program's function, would end the server
            if is_ctrl_c(error) or link not in self._tasks:  # it is lost, and this was cancelled
                raise
            if (more := self._failed.turn()) is not None:
                logger.error("the authenticator raised %s for %s%s", name_of(error), caller, more, raised=error)
        now = asyncio.get_running_loop().time()
        if identity is None:
            if (more := self._refused.turn()) is not None:
                logger.warning("refused %s%s", caller, more)
            link.peer.refuse(_REFUSED, now)
            link.flush()
            link.close(link.peer.error or ProtocolError(_REFUSED))
            return
        if (more := self._accepted.turn()) is not None:
            logger.info("let in %s, who is %s%s", caller, identity, more)
        self._admitted(link, identity)
        # A visitor is not asked about again: what it calls makes the change, perhaps, and it is to get the answer.
        if self._changed is not None and not isinstance(identity, Visitor):
            self._let_in[link] = caller, identity
            if self._watch is None or self._watch.done():
                self._watch = asyncio.get_running_loop().create_task(self._look(self._changed))
        link.peer.admit(now)
        link.act_on([])

    async def _look(self, changed: Callable[[], Any]) -> None:
        """While there is somebody: ask about them again when anything has changed, until that has succeeded."""
        again = False
        while self._let_in:
            await asyncio.sleep(_LOOK_EVERY)
            again = await self._try(self._call(changed), "whether anything has changed", False) or again
            if again:
                self._changes += 1
                asked = [self._is_known(link, *known) for link, known in list(self._let_in.items())]
                again = not all(await asyncio.gather(*asked))  # at once: one may take long

    async def _is_known(self, link: AioLink, caller: Caller, identity: str) -> bool:
        """Whether the authenticator has answered. Who is another one, or nobody any more, loses the connection."""
        now = await self._try(self._identify(caller), caller, _UNKNOWN)
        if now is not _UNKNOWN and now != identity and link in self._let_in:
            logger.warning("%s, who was %s, is not any more: its connection ends", caller, identity)
            link.peer.rights.revoked = True
            link.abort(LostRemote("the server no longer knows this caller"))
        return now is not _UNKNOWN

    async def _try(self, asking: Awaitable[Any], what: object, failing: object) -> Any:
        """What it answers. What an authenticator raises here changes nothing: it is asked again the next time."""
        try:
            async with asyncio.timeout(_ANSWER_MAX):
                return await asking
        except BaseException as error:
            task = asyncio.current_task()
            if is_ctrl_c(error) or (task is not None and task.cancelling()):
                raise
            if (more := self._failed.turn()) is not None:
                logger.error("the authenticator raised %s, asked for %s%s", name_of(error), what, more, raised=error)
            return failing

    async def _identify(self, caller: Caller) -> str | None:
        """The authenticator's answer. Raises what it raises, and TypeError for what is no answer."""
        found = await self._call(self._authenticator, caller)
        if found is not None and not isinstance(found, str):
            raise TypeError(f"an authenticator returns an identity, which is a text, or None, and no {name_of(found)}")
        return found

    async def _call(self, function: Callable[..., Any], *args: object) -> Any:
        """What a function of the program's returns: of a plain one on a thread, of a coroutine function here."""
        if _is_coroutine_function(function):
            return await function(*args)
        await self._free.acquire()
        answered = self._on_thread(function, *args)
        try:
            found = await answered
        except asyncio.CancelledError:
            if answered.done() and not answered.cancelled() and answered.exception() is None:
                _drop(answered.result())
            raise
        return await found if inspect.isawaitable(found) else found

    def _on_thread(self, function: Callable[..., Any], *args: object) -> asyncio.Future[Any]:
        """What it returns. Its thread is free again when it has, and not when nobody waits for it."""
        loop = asyncio.get_running_loop()
        answered = loop.create_future()

        def run() -> None:
            value: object = None
            try:
                value = function(*args)
                settle = functools.partial(_answer, answered, value)
            except BaseException as error:
                settle = functools.partial(_fail, answered, error)
            try:
                loop.call_soon_threadsafe(settle)
                loop.call_soon_threadsafe(self._free.release)
            except RuntimeError:  # the loop is closed
                _drop(value)

        self._threads.post(run)
        return answered

    def close(self) -> None:
        """Nobody is asked about any more."""
        tasks, self._tasks = [*self._tasks.values()], {}
        if self._watch is not None:
            tasks.append(self._watch)
        for task in tasks:
            task.cancel()

    def __repr__(self) -> str:
        return f"<Admission asking about {len(self._tasks)}>"


def _is_coroutine_function(function: Callable[..., Any]) -> bool:
    """Also of an object that is called."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - its function is wanted
    )


def _answer(future: asyncio.Future[Any], value: object) -> None:
    if future.done():  # nobody waits any more
        _drop(value)
    else:
        future.set_result(value)


def _drop(value: object) -> None:
    """Nobody will await it, and Python would warn of that."""
    if inspect.iscoroutine(value):
        value.close()


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        is_stop = issubclass(type(error), StopIteration)  # which a future doesn't take
        future.set_exception(RuntimeError(f"it raised {name_of(error)}") if is_stop else error)
