"""One endpoint to stay connected to: how the attempts went, and when the next one is due. Knows no I/O."""

from __future__ import annotations

import random

from zerorpc.transport.endpoints import Endpoint

__all__ = ["LEAVING", "Dialer"]

LEAVING = "the server is shutting down"  # a dialer's status

_FIRST_DELAY = 0.05  # s; half of libzmq's fixed 0.1, since ours doubles
_LONGEST_DELAY = 2.0  # s; a server that comes back is found this soon


class Dialer:
    """One address to stay connected to: how the attempts went, and when to try again."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.closed = False
        self.status: str = "not tried yet"
        self._delay = _FIRST_DELAY

    def succeeded(self) -> None:
        """The handshake is over: the next loss is retried quickly."""
        self.status = "connected"
        self._delay = _FIRST_DELAY

    def failed(self, why: object, took: float = 0.0) -> float:
        """An attempt failed, or the connection was lost: how long to wait, in seconds.

        Exponential, with jitter so that many clients of a restarted server don't return in step. What the attempt
        ``took`` counts: after one that nobody answered the next follows at once.
        """
        self.status = str(why) or type(why).__name__
        delay = self._delay
        self._delay = min(delay * 2, _LONGEST_DELAY)
        return max(0.0, delay * random.uniform(0.5, 1.5) - took)

    def __repr__(self) -> str:
        return f"<Dialer {self.endpoint.text} {self.status}>"
