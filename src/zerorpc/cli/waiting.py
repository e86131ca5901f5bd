"""What the user is told while a call waits: once, after a second, what is tried and why that hasn't worked yet.

It is read off the client's own state: of each endpoint the dialer knows how the last attempt went, and a connection how
far its handshake has come.
"""

from __future__ import annotations

import contextlib
import errno
import re
import sys
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from zerorpc.cli.printing import note
from zerorpc.shown import line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from zerorpc import AsyncClient, Client

SILENT = 1.0  # seconds that a call waits before anything is said; most are answered in a thousandth of that
ALMOST = 0.75  # of this: a client's keeper looks once a second, and the call has begun a little later than its client

_ERRNO = re.compile(r"^\[Errno (\d+)\] ")
_NOBODY = {errno.ECONNREFUSED: "connection refused", errno.ENOENT: "no such file"}
_UNREACHABLE = {errno.ENETUNREACH: "network is unreachable", errno.EHOSTUNREACH: "no route to host"}


class Waits(Protocol):
    """A call that has no reply yet."""

    answered: bool
    timeout: float | None
    deadline: float


class Peer(Protocol):
    """The other end of a connection."""

    @property
    def ready(self) -> bool: ...
    @property
    def connection(self) -> Any: ...
    @property
    def channels(self) -> Any: ...


class Link(Protocol):
    """A connection."""

    @property
    def name(self) -> Any: ...
    @property
    def closed(self) -> bool: ...
    @property
    def dialer(self) -> Any: ...
    @property
    def peer(self) -> Any: ...


class Hub(Protocol):
    """A client's connections, and where it tries to have one."""

    @property
    def listeners(self) -> Any: ...
    @property
    def dialers(self) -> Any: ...


class Core(Protocol):
    """What a client is made of."""

    @property
    def calls(self) -> Any: ...
    @property
    def hub(self) -> Any: ...


def tell_of_waiting(client: Client) -> None:
    """From now on say once, on stderr, why a call waits, if one waits for a second."""
    if sys.stderr is None:
        return
    core, hub = client._core, client._core.hub

    def look() -> None:
        with hub.lock:
            told = why_waiting(core, hub.links.values(), monotonic())
        if told is not None:
            hub.on_look = None
            note(told)

    hub.on_look = look


def stop_telling(client: Client) -> None:
    """Its call is seen to make progress. From any thread."""
    client._core.hub.on_look = None


@contextlib.contextmanager
def telling_of_waiting(client: AsyncClient) -> Iterator[None]:
    """The same for a client on the running loop, which looks for one time, if the block takes so long."""
    if sys.stderr is None:
        yield
        return
    import asyncio

    loop, core = asyncio.get_running_loop(), client._core

    def look() -> None:
        told = why_waiting(core, core.hub.links, loop.time())
        if told is not None:
            note(told)

    looking = loop.call_later(SILENT, look)
    try:
        yield
    finally:
        looking.cancel()


def why_waiting(core: Core, links: Iterable[Link], now: float) -> str | None:
    """A line about the call that has waited longest; None if none waits for long. ``core`` is a client's."""
    links = list(links)
    unanswered: list[Waits] = [channel for channel in core.calls.waiting if not channel.answered]
    unanswered += [channel for link in links for channel in link.peer.channels.values() if not channel.answered]
    late = [each for each in unanswered if each.timeout and now - (each.deadline - each.timeout) >= SILENT * ALMOST]
    if not late:
        return None
    left = max(1, round(max(each.deadline for each in late) - now))
    does = "waiting" if any(link.peer.ready for link in links) else "trying"
    return f"{'; '.join(states(core.hub, links))}; still {does}, for {left} s"


def states(hub: Hub, links: Iterable[Link]) -> Iterator[str]:
    """How it stands with each endpoint."""
    links = [link for link in links if not link.closed]
    connected = {link.dialer: link for link in links}
    if None in connected:  # to an address that is bound here
        yield from (_connected(link.name, link.peer) for link in links if link.dialer is None)
    else:
        yield from (f"nobody has connected to {text}" for text in hub.listeners)
    for dialer in hub.dialers.values():
        addresses = list(getattr(dialer, "dialers", {}).values()) or [dialer]  # of a name, if they are known
        for each in addresses:
            link = connected.get(each)
            where = (dialer if len(addresses) == 1 else each).endpoint.text
            yield failed(where, each.status) if link is None else _connected(where, link.peer)


def _connected(where: str, peer: Peer) -> str:
    if peer.ready or peer.connection.peer_greeting is not None:
        return f"connected to {where}, and greeted; no answer yet"
    missing = "TLS or ZMTP greeting" if where.startswith("tls+") else "ZMTP greeting"
    return f"connected to {where}, but it doesn't speak ({missing} missing)"


def failed(where: str, status: str) -> str:
    """Why there is no connection, in words, from what a dialer's last attempt said."""
    found = _ERRNO.match(status)
    number = 0 if found is None else int(found[1])
    if number in _NOBODY:
        return f"nothing listens at {where} ({_NOBODY[number]})"
    if number in _UNREACHABLE:
        return f"{where} is unreachable ({_UNREACHABLE[number]})"
    if number == errno.ETIMEDOUT or status.startswith(("no answer within", "not tried yet", "timed out")):
        return f"{where} doesn't answer (timed out)" if status != "not tried yet" else f"{where} doesn't answer"
    name, unresolved, why = status.partition(" can't be resolved: ")
    if unresolved:
        return f"{line(name)} isn't found ({line(why)})"
    return f"{where}: {line(_ERRNO.sub('', status))}"
