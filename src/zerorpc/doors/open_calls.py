"""The calls that a server has open just now: what is called, by whom, since when, and whether it runs or waits.

Read from what is there anyway, when somebody asks: a call pays nothing for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf
from typing import NamedTuple

from zerorpc.doors.call_log import caller_text
from zerorpc.doors.http.invocation import HttpInvocation
from zerorpc.protocol.server_channel import ServerChannel, as_patience
from zerorpc.protocol.server_peer import ServerPeer
from zerorpc.service.coroutines import Running
from zerorpc.service.nested import Queued
from zerorpc.service.places import Waiting
from zerorpc.service.process_jobs import ProcessJob
from zerorpc.service.rights import Rights
from zerorpc.service.thread_jobs import ThreadJob

__all__ = ["OpenCall", "of_invocations", "of_peers"]


class OpenCall(NamedTuple):
    """``key`` tells it from others, by identity. ``came``: when, by ``time.monotonic()``; None if that isn't known."""

    key: object
    method: str
    caller: str
    came: float | None
    waits: bool
    streams: bool  # it has given an item


def of_peers(peers: Iterable[ServerPeer]) -> Iterator[OpenCall]:
    """Those of zerorpc's own door. On the loop."""
    for peer in peers:
        rights = peer.rights
        caller = caller_text(peer.name, rights.identity if isinstance(rights, Rights) else None)
        for channel in peer.channels.values():
            if not (channel.finished or channel.closed):
                waits = isinstance(channel.runner, _WAITING) or channel in peer.held
                yield OpenCall(channel, channel.name, caller, _came(channel), waits, channel.outflow is not None)


def _came(channel: ServerChannel) -> float | None:
    runner, call = channel.runner, channel.call
    if isinstance(runner, _RUNNING):
        noted = getattr(runner.invocation, "came", getattr(runner.invocation, "began", None))
        if isinstance(noted, float):  # it is counted, or logged
            return noted
    if call is not None and call.deadline is not None:
        return _before(channel.stream_until, as_patience(call.deadline))
    if channel.outflow is not None or (call is not None and call.stream is not None):
        return None  # there its caller waits for something else meanwhile
    return _before(channel.until, as_patience(channel.event.header.timeout))


def _before(until: float, patience: float) -> float | None:
    """When a caller began to wait, who waits until then."""
    return None if inf in (until, patience) else until - patience


def of_invocations(invocations: Iterable[HttpInvocation]) -> Iterator[OpenCall]:
    """Those by HTTP. On the loop."""
    for each in invocations:
        if not each.closed:
            caller = caller_text(each.peer, each.identity)
            yield OpenCall(each, each.name, caller, each.came, isinstance(each.runner, _WAITING), each.streamed)


_RUNNING = (Running, ThreadJob, ProcessJob)
_WAITING = (Waiting, Queued)
