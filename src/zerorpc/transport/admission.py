"""Whether those who connect are let in: asks who they are while their handshakes wait."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable

from zerorpc.errors import LostRemote, ProtocolError
from zerorpc.logs import Logger
from zerorpc.transport.aio_link import AioLink
from zerorpc.transport.authentication import Authentication
from zerorpc.transport.credentials import caller_of

__all__ = ["Admission"]

logger: Logger = Logger("zerorpc.server")

_REFUSED = "this server doesn't know you"  # whatever the reason: that is nobody else's business


class Admission:
    """Asks about each link whose peer has shown who it is. On one loop, the links'.

    ``admitted(link, identity)`` is called before a peer hears that it is let in. A link that is lost meanwhile is not
    asked about any more. ``proxied`` tells whether connections come from a proxy: the process at their other end is not
    the caller's then.
    """

    def __init__(
        self,
        authentication: Authentication,
        admitted: Callable[[AioLink, str], None],
        proxied: Callable[[], bool] = lambda: False,
    ) -> None:
        self._authentication = authentication
        self._admitted = admitted
        self._proxied = proxied
        self._tasks: dict[AioLink, asyncio.Task[None]] = {}

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
        self._authentication.forget(link)
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
        identity = await self._authentication.identify(caller)
        now = asyncio.get_running_loop().time()
        if identity is None:
            link.peer.refuse(_REFUSED, now)
            link.flush()
            link.close(link.peer.error or ProtocolError(_REFUSED))
            return
        self._admitted(link, identity)
        self._authentication.let_in(link, caller, identity, functools.partial(_revoke, link))
        link.peer.admit(now)
        link.act_on([])

    def close(self) -> None:
        """Nobody is asked about any more."""
        tasks, self._tasks = self._tasks, {}
        for task in tasks.values():
            task.cancel()
        self._authentication.close()

    def __repr__(self) -> str:
        return f"<Admission asking about {len(self._tasks)}>"


def _revoke(link: AioLink) -> None:
    link.peer.rights.revoked = True
    link.abort(LostRemote("the server no longer knows this caller"))
