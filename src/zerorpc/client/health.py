"""``zerorpc.health`` and ``zerorpc.watch_health``: whether a service may be called just now, as it says itself."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Generator, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from zerorpc.errors import (
    HandshakeFailed,
    LostRemote,
    ProtocolError,
    RemoteError,
    ServerStopping,
    TimeoutExpired,
    UnknownService,
)
from zerorpc.number_checks import FOREVER, above_zero
from zerorpc.shown import line

if TYPE_CHECKING:
    from zerorpc.client.asynchronous import AsyncClient
    from zerorpc.client.blocking import Client

__all__ = ["Health", "health", "watch_health"]

PING = "_zerorpc_ping"  # what every service answers, those of zerorpc 0.6 and in Node too
READY = "_zpc_ready"  # what servers of ours answer: whether they may be called, and why not


class Health(NamedTuple):
    """Whether a service may be called just now, and ``why`` not: "" if it may."""

    ready: bool
    why: str


@overload
def health(client: Client, service: str = "") -> Health: ...
@overload
def health(client: AsyncClient, service: str = "") -> Awaitable[Health]: ...
def health(client: Client | AsyncClient, service: str = "") -> Any:
    """Ask whether a service may be called just now; of an AsyncClient it is to be awaited.

    ::

        ready, why = zerorpc.health(client)

    It may if its own check says so: that of ``Server(ready=…)``, or of
    ``register(ready=…)`` for a ``service``, which is the prefix that it was registered with. Old servers have no check.
    The call needs no free place on the server. Of several servers one is asked.

    Raises UnknownService if there is no such service; and LostRemote, TimeoutExpired, ProtocolError or ServerStopping,
    as any call, if there is nobody to call. Safe from any thread, and to cancel.
    """
    if hasattr(client._core, "loop_if_attached"):
        return _ask_async(client, service)
    return _ask(client, service)


def _ask(client: Any, service: str) -> Health:
    steps = _steps(client, service)
    question = next(steps)
    while True:
        try:
            answer = client(*question)
        except RemoteError as error:
            answer = error
        try:
            question = steps.send(answer)
        except StopIteration as end:
            found: Health = end.value
            return found


async def _ask_async(client: Any, service: str) -> Health:
    steps = _steps(client, service)
    question = next(steps)
    while True:
        try:
            answer = await client(*question)
        except RemoteError as error:
            answer = error
        try:
            question = steps.send(answer)
        except StopIteration as end:
            found: Health = end.value
            return found


def _steps(client: Any, service: str) -> Generator[tuple[str, ...], Any, Health]:
    """What to ask, answer by answer, of which an error is one too."""
    answer = yield (PING,)
    if isinstance(answer, ServerStopping):
        raise answer
    if not _is_ours(client):  # it would log an unknown method
        if service:
            raise _unknown(service)
        return Health(True, "")
    answer = yield (READY, service) if service else (READY,)
    if isinstance(answer, ServerStopping):
        raise answer
    if isinstance(answer, RemoteError):  # one of ours that is older
        answer = (None if service else True, "")
    ready, why = answer
    if ready is None:
        raise _unknown(service)
    return Health(ready is True, "" if ready is True else str(why))


def _is_ours(client: Any) -> bool:
    hub = client._core.hub
    with hub.lock:
        links = list(hub.links.values() if isinstance(hub.links, dict) else hub.links)
    return any(link.peer.level >= 1 for link in links)


def _unknown(service: str) -> UnknownService:
    return UnknownService(f"there is no service {line(service)!r}: services are what was registered with a prefix")


@overload
def watch_health(client: Client, service: str = "", interval: float = 1.0) -> Iterator[Health]: ...
@overload
def watch_health(client: AsyncClient, service: str = "", interval: float = 1.0) -> AsyncIterator[Health]: ...
def watch_health(client: Client | AsyncClient, service: str = "", interval: float = 1.0) -> Any:
    """How a service is now, and then each change, for ever; of an AsyncClient it is for ``async for``.

    ::

        for ready, why in zerorpc.watch_health(client, "arm"):
            ...

    It asks every ``interval`` seconds, as ``health`` does. One that doesn't answer is not ready: that raises nothing,
    and when it is there again that is a change. Raises UnknownService, and HandshakeFailed by a server that refuses us.
    """
    pause = above_zero("interval", interval) or FOREVER
    if hasattr(client._core, "loop_if_attached"):
        return _watch_async(client, service, pause)
    return _watch(client, service, pause)


def _watch(client: Any, service: str, pause: float) -> Iterator[Health]:
    before = None
    while True:
        try:
            now = _ask(client, service)
        except _UNANSWERED as error:
            now = _no_answer(error)
        if now != before:
            yield now
            before = now
        time.sleep(pause)


async def _watch_async(client: Any, service: str, pause: float) -> AsyncIterator[Health]:
    import asyncio  # which a blocking client does without

    before = None
    while True:
        try:
            now = await _ask_async(client, service)
        except _UNANSWERED as error:
            now = _no_answer(error)
        if now != before:
            yield now
            before = now
        await asyncio.sleep(pause)


def _no_answer(error: Exception) -> Health:
    if isinstance(error, HandshakeFailed):
        raise error
    return Health(False, str(error))


_UNANSWERED = (LostRemote, ProtocolError, ServerStopping, TimeoutExpired)
