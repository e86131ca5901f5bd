"""One endpoint to stay connected to: how the attempts went, and when the next one is due. Knows no I/O."""

from __future__ import annotations

import random

from zerorpc.errors import HandshakeFailed
from zerorpc.logs import Logger
from zerorpc.transport.endpoints import Endpoint
from zerorpc.transport.security import UNSECURED, Security

__all__ = ["LEAVING", "Dialer", "log_unexpected"]

logger: Logger = Logger("zerorpc.transport")

LEAVING = "the server is shutting down"  # a dialer's status

_FIRST_DELAY = 0.05  # s; half of libzmq's fixed 0.1, since ours doubles
_LONGEST_DELAY = 2.0  # s; a server that comes back is found this soon
_LONGEST_DELAY_REFUSED = 30.0  # s; RFC 26 would have us not try again; but a server may learn of a key later
_CLOSED_IN_HANDSHAKE = 3  # times in a row after which it is no coincidence: libzmq refuses so, without a word


class Dialer:
    """One address to stay connected to: how the attempts went, and when to try again.

    ``name`` is the dialer of the name whose address it is, if it is one of several. ``security`` is that of its
    connections.
    """

    def __init__(self, endpoint: Endpoint, name: Dialer | None = None, security: Security = UNSECURED) -> None:
        self.endpoint: Endpoint = endpoint
        self.security: Security = security
        self.name: Dialer | None = name
        self.closed: bool = False  # nobody wants it connected
        self.retired: bool = False  # the name doesn't have the address any more: what runs there may end
        self.reached: bool | None = None  # whether the latest attempt did; None before its end, and after a loss
        self.due: float = 0.0  # not to be tried before this time
        self.refusal: HandshakeFailed | None = None  # why trying again is of no use, as far as is known
        self._closed_in_handshake = 0
        self._status = "not tried yet"
        self._delay = _FIRST_DELAY

    @property
    def wanted(self) -> bool:
        """Whether to connect it."""
        return not (self.closed or self.retired)

    @property
    def status(self) -> str:
        """How it went, for an error."""
        return self._status

    @property
    def pending(self) -> bool:
        """Whether its first attempt, or the first after a loss, has not ended yet."""
        return self.wanted and self.reached is None

    def forget(self) -> None:
        """In a forked child: what it has reached is the parent's."""
        self.reached = None

    def connected(self) -> None:
        """There is a connection, whose handshake begins."""
        self._status = "connected, but the handshake isn't over"

    def succeeded(self) -> None:
        """The handshake is over: the next loss is retried quickly."""
        self.reached = True
        self.refusal, self._closed_in_handshake = None, 0
        self._status = "connected"
        self._delay = _FIRST_DELAY

    def handshake_ended(self, why: Exception, secured: bool) -> None:
        """A connection is over whose handshake wasn't. Whether it was ``secured``: both sides want more than NULL
        has, so that the peer may have closed it because of a key, or a password.
        """
        self._closed_in_handshake = self._closed_in_handshake + 1 if secured else 0
        if isinstance(why, HandshakeFailed):
            self.refusal = HandshakeFailed(f"{self.endpoint.text}: {why}")
            self.refusal.server_key = why.server_key
        elif self._closed_in_handshake >= _CLOSED_IN_HANDSHAKE:
            self.refusal = HandshakeFailed(
                f"{self.endpoint.text}: the server closed the connection in the handshake, {self._closed_in_handshake} "
                "times: the key that was given for it may be another server's, or it doesn't let this client in"
            )
        if self.refusal is not None:
            self.refusal.endpoint = self.endpoint.text

    def failed(self, why: object, took: float = 0.0) -> float:
        """An attempt failed, or the connection was lost: how long to wait, in seconds.

        Exponential, with jitter so that many clients of a restarted server don't return in step. What the attempt
        ``took`` counts: after one that nobody answered the next follows at once.
        """
        self._status = str(why) or type(why).__name__
        self.reached = None if self.reached else False
        delay = self._delay
        self._delay = min(delay * 2, _LONGEST_DELAY if self.refusal is None else _LONGEST_DELAY_REFUSED)
        return max(0.0, delay * random.uniform(0.5, 1.5) - took)

    def continue_from(self, before: Dialer) -> None:
        """Wait as that one would have done, for the same address."""
        self.due, self._delay, self._status = before.due, before._delay, before._status

    def close(self) -> None:
        """Nobody wants it connected any more."""
        self.closed = True

    def __repr__(self) -> str:
        return f"<Dialer {self.endpoint.text} {self.status}>"


def log_unexpected(dialer: Dialer, error: BaseException) -> None:
    """An attempt ended with an error that is none of the network's."""
    if not issubclass(type(error), OSError):
        logger.error("connecting to %s failed; it will be tried again", dialer.endpoint.text, raised=error)
