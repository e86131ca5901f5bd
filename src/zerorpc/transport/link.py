"""One connection, whatever moves its octets: the step that both shells make with a peer, and who is told of it.

A peer is pure: it takes octets and time, and returns what they did. A link tells the owner, and sends what the peer
has to say. Its two kinds, ``AioLink`` and ``BlockingLink``, only know how octets come and go.
"""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar

from zerorpc.callers import Certificate
from zerorpc.errors import LostRemote
from zerorpc.protocol.peer import Beating, News, Peer
from zerorpc.transport.dialer import Dialer
from zerorpc.zmtp.mechanisms import NewMechanism, Null

__all__ = ["Link", "Owner", "are_joined", "lost_connection"]

_JOIN_FEW_MAX = 32 * 1024  # octets up to which all frames are joined,
_JOIN_MANY_MAX = 128 * 1024  # and of more than so many frames
_FEW = 8


L_contra = TypeVar("L_contra", contravariant=True)  # the kind of link
C = TypeVar("C", bound=Beating)  # the channels that live on its peer
T = TypeVar("T")  # what its peer returns: channels, or events


class Owner(Protocol[L_contra, C, T]):
    """Who is told of what happens on a hub's links. Called by the thread that drives the hub."""

    def make_peer(self, mechanism: NewMechanism = Null, /) -> Peer[C, T]:
        """The other side of a new connection; ``mechanism`` makes its security mechanism."""

    def peer_ready(self, link: L_contra) -> None:
        """The handshake is over."""

    def received(self, link: L_contra, touched: list[T]) -> None:
        """What arrived, or ended, on a link. The shell flushes afterwards."""

    def peer_writable(self, link: L_contra) -> None:
        """The peer takes data again, or has told how it takes some."""

    def peer_leaves(self, link: L_contra) -> None:
        """The server answers what it has, and wants nothing new; the client has heard that we do."""

    def peer_lost(self, link: L_contra, ended: list[C]) -> None:
        """The connection is gone; ``ended`` lived on it."""

    def peer_retires(self, link: L_contra) -> None:
        """Its address is not one of the name's any more: nothing new is to begin there."""

    def is_idle(self, link: L_contra) -> bool:
        """Whether a link that is retired may be closed."""

    def forked(self) -> None:
        """This is a forked child: what was under way is the parent's."""


class Link(Generic[C, T]):
    """One connection and its peer. ``dialer`` is what made it, None for a connection that was accepted."""

    __slots__ = ("closed", "dialer", "owner", "peer", "why")

    def __init__(self, owner: Owner[Any, C, T], peer: Peer[C, T], dialer: Dialer | None) -> None:
        self.owner: Owner[Any, C, T] = owner  # of this kind of link
        self.peer: Peer[C, T] = peer
        self.dialer: Dialer | None = dialer
        self.closed: bool = False
        self.why: Exception | None = None  # it was lost
        if dialer is not None:
            dialer.connected()

    def sweep(self, now: float) -> None:
        """Heartbeats, liveness and deadlines, if it is time."""
        peer = self.peer
        if peer.next_wake is not None and now >= peer.next_wake:
            peer.progress(*self.output_progress(), now)
            self.act_on(peer.sweep(now))

    def act_on(self, touched: list[T]) -> None:
        """Whatever the peer took or did: tell the owner and send, in the one order that works. A server that leaves is
        known before the calls that it refused; what there is to say to one that is ready goes out; replies come before
        the end of their connection.
        """
        news = self.peer.news
        if news:
            self._heed(self.peer.take_news())
        if touched:
            self.owner.received(self, touched)
        self.flush()
        if news and News.BROKEN in news:
            assert self.peer.error is not None
            self.fail(self.peer.error)

    def _heed(self, news: tuple[News, ...]) -> None:
        if News.ASKS in news:
            self.ask()
        if News.READY in news:
            if self.dialer is not None:
                self.dialer.succeeded()
            self.owner.peer_ready(self)
            if self.dialer is not None and self.dialer.retired:  # meanwhile
                self.owner.peer_retires(self)
        if News.LEAVING in news:
            self.owner.peer_leaves(self)
        if News.TOLD in news:
            self.owner.peer_writable(self)

    def lost(self, reason: Exception) -> None:
        """The connection is gone: end what lived on it."""
        if self.dialer is not None and not self.peer.ready:
            self.dialer.handshake_ended(reason, self.peer.connection.securing)
        self.why = reason
        self.owner.peer_lost(self, self.peer.close(reason))

    # What the two kinds do

    @property
    def name(self) -> str:
        """The other side, for errors, logs and hooks: an endpoint."""
        raise NotImplementedError

    @property
    def certificate(self) -> Certificate | None:
        """The other side's, by TLS, if it has shown one and that was verified."""
        return None

    def ask(self) -> None:
        """The peer has shown who it is: whether it is let in."""
        raise NotImplementedError

    def output_progress(self) -> tuple[int, int]:
        """How many octets of the output the other side has taken, by a count that only grows, and how many not yet."""
        raise NotImplementedError

    def flush(self) -> None:
        """Send what the peer has to send."""
        raise NotImplementedError

    def replace(self) -> None:
        """Have the dialer make another connection. This one goes on until its peer ends it."""
        raise NotImplementedError

    def fail(self, error: Exception) -> None:
        """End the connection, since the peer broke the protocol, or is silent."""
        raise NotImplementedError


def are_joined(count: int, size: int) -> bool:
    """Whether to send so many frames of so many octets together as one: that is cheaper than to hand over each, unless
    there are a few of which one is large. Measured: an echo of 64 KiB in 124 us instead of 137.
    """
    return size <= _JOIN_FEW_MAX or (size <= _JOIN_MANY_MAX and count > _FEW)


def lost_connection(name: str, error: Exception | None = None) -> LostRemote:
    """The error of what ran over a connection that ended without our doing."""
    return LostRemote(f"the connection to {name} was closed" + (f" ({error})" if error else ""))
