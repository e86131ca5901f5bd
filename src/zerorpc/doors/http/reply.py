"""What goes back for one request: a whole body, or a stream of parts as fast as the client reads them."""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf
from time import monotonic

from zerorpc.service.invocation import Runner

__all__ = ["Reply"]

_AHEAD = 16  # parts that wait for the client to read; more are not asked for


class Reply:
    """Belongs to the loop. The invocation puts parts in, the request's task takes them out and sends them."""

    def __init__(self, timeout: float) -> None:
        self.until: float = inf if timeout == inf else monotonic() + timeout
        self.timeout: float = timeout
        self.runner: Runner | None = None
        self.parts: deque[bytes] = deque()
        self.ended: bool = False  # the last part is there
        self.closed: bool = False  # the client is gone, or waits no longer
        self._come = asyncio.Event()

    @property
    def room(self) -> int:
        return max(0, _AHEAD - len(self.parts))

    def put(self, part: bytes, last: bool = False) -> None:
        """A part of the body; of what doesn't stream the only one."""
        if self.closed or self.ended:
            return
        self.parts.append(part)
        self.ended = last
        self._come.set()

    async def take(self) -> bytes | None:
        """The next part; None after the last one, or if nobody wants more.

        Raises TimeoutError when the client waits no longer.
        """
        while not self.parts:
            if self.ended or self.closed:
                return None
            self._come.clear()
            async with asyncio.timeout(None if self.until == inf else max(0.0, self.until - monotonic())):
                await self._come.wait()
        part = self.parts.popleft()
        self.until = inf  # callers of streams wait for the first item only
        if self.runner is not None and not self.ended:
            self.runner.wake()
        return part

    def take_rest(self) -> list[bytes]:
        """Those that are here besides."""
        rest = list(self.parts)
        if rest:
            self.parts.clear()
            if self.runner is not None and not self.ended:
                self.runner.wake()
        return rest

    def cut_off(self, part: bytes) -> None:
        """The last part now, whatever was still to come: what works for it is told."""
        if self.ended or self.closed:
            return
        self.put(part, last=True)
        self.closed = True
        if self.runner is not None:
            self.runner.wake()

    def close(self) -> None:
        """Nobody wants it any more: what works for it is told."""
        self.closed = True
        self._come.set()
        if self.runner is not None and not self.ended:
            self.runner.wake()
