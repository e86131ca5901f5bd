"""ZeroMQ's socket types that zerorpc speaks or meets, and which may talk to which (RFC 37, "Socket-Type")."""

from __future__ import annotations

import enum

__all__ = ["SocketType"]


class SocketType(enum.Enum):
    """A socket type as announced in READY."""

    REQ = "REQ"
    REP = "REP"
    DEALER = "DEALER"
    ROUTER = "ROUTER"
    PUSH = "PUSH"
    PULL = "PULL"
    PUB = "PUB"
    SUB = "SUB"
    XPUB = "XPUB"
    XSUB = "XSUB"

    def may_talk_to(self, other: SocketType) -> bool:
        return other in _PEERS[self]

    @property
    def publishes(self) -> bool:
        return self in (SocketType.PUB, SocketType.XPUB)

    @property
    def subscribes(self) -> bool:
        return self in (SocketType.SUB, SocketType.XSUB)


_T = SocketType
_PEERS: dict[SocketType, tuple[SocketType, ...]] = {
    _T.REQ: (_T.REP, _T.ROUTER),
    _T.REP: (_T.REQ, _T.DEALER),
    _T.DEALER: (_T.REP, _T.DEALER, _T.ROUTER),
    _T.ROUTER: (_T.REQ, _T.DEALER, _T.ROUTER),
    _T.PUSH: (_T.PULL,),
    _T.PULL: (_T.PUSH,),
    _T.PUB: (_T.SUB, _T.XSUB),
    _T.XPUB: (_T.SUB, _T.XSUB),
    _T.SUB: (_T.PUB, _T.XPUB),
    _T.XSUB: (_T.PUB, _T.XPUB),
}
