"""What a method reports of its progress, as events to its caller: calls of a function that that has lent."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

from zerorpc.doors.rpc_invocation import RpcInvocation
from zerorpc.protocol.events import encode
from zerorpc.protocol.references import CALL_BACK, PROGRESS, Outcome, Pending
from zerorpc.protocol.server_channel import ServerChannel
from zerorpc.runtime.loops import running_loop
from zerorpc.transport.aio_link import AioLink

__all__ = ["report_to_caller"]


def report_to_caller(invocation: RpcInvocation, loop: asyncio.AbstractEventLoop) -> None:
    """It has asked for reports."""
    if invocation.channel.peer.level >= 1:
        invocation.report_to(Reporter(invocation.channel, invocation.link, loop).report)


class Reporter:
    """Sends one report at a time: while the caller has not dealt with it, only the newest is kept.

    So a method may report in each turn of a loop, and a caller who is slow holds nobody up.
    """

    def __init__(self, channel: ServerChannel, link: AioLink, loop: asyncio.AbstractEventLoop) -> None:
        self._channel = channel
        self._link = link
        self._loop = loop
        self._newest: deque[tuple[object, ...]] = deque(maxlen=1)  # each step is one: threads report meanwhile
        self._looks = False  # whether the loop is about to look
        self._under_way = False
        if channel.pending is None:
            channel.pending = Pending(channel.peer.lent)

    def report(self, done: float, total: float | None, text: str) -> None:
        """From any thread. Raises nothing when nobody listens any more."""
        self._newest.append((done, total, text))
        if running_loop() is self._loop:
            self._look()
        elif not self._looks:
            self._looks = True
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._look)

    def _look(self) -> None:
        self._looks = False
        channel, pending = self._channel, self._channel.pending
        if self._under_way or not self._newest or channel.closed or channel.finished or pending is None:
            return
        report = self._newest.popleft()
        number = pending.next_number()
        header = channel.peer.event_header(channel)
        data = encode(header, CALL_BACK, [number, PROGRESS, "progress", list(report), {}], natural=True)
        self._under_way = True
        pending.begin(number, self, lambda: self._send(data), data)

    def _send(self, data: bytes) -> None:
        if not self._channel.closed:
            self._channel.peer.send_event(self._channel, data)
            self._link.flush_soon()

    def set_outcome(self, outcome: Outcome | None) -> None:
        """The caller has dealt with it, whatever came of that; None when the call is over."""
        self._under_way = False
        if outcome is not None:
            self._look()
