"""Whether, and when, a call that failed is tried again.

What certainly did not run may always be tried again; what may have run only if the method is idempotent; what a method
raised, and what no further attempt can mend, never. The wait before an attempt grows exponentially, with full jitter
(https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/; gRPC's gRFC A6), and is at least what an
overloaded server asks for. A budget bounds all retries of a client: without one, they would multiply the load in the
very moment in which servers can't bear it.

Pure: time and randomness are passed in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from zerorpc.protocol.channel import Answer, ClientChannel
from zerorpc.protocol.events import Buffer
from zerorpc.settings import Retry

__all__ = ["Attempts", "Budget", "attempts_of", "backoff", "take_twin"]

_WINDOW = 10  # s over which calls and retries are counted; as Finagle's RetryBudget
# Of what a server says of itself: it is about this server, or this moment, so that another attempt may do better.
_PASSING = ("ServerOverloaded", "ServerStopping", "WorkerDied")


class Attempts:
    """The attempts of one call.

    ``number`` is that of the current one, from 1. ``doubtful`` becomes true when one of them ended without anybody
    knowing whether the method ran. A call that has an idempotency key, is ``keyed``, may then be repeated where the
    server's answers are kept, and nowhere else.
    """

    __slots__ = (
        "_counted",
        "_elsewhere",
        "_last",
        "_random",
        "_repeats",
        "_wait_min",
        "answers",
        "begun",
        "doubtful",
        "hedge",
        "keyed",
        "number",
        "retry",
        "twin",
    )

    def __init__(
        self, retry: Retry, random: Callable[[], float], keyed: bool = False, hedge: float | bool = False
    ) -> None:
        self.retry: Retry = retry
        self.keyed: bool = keyed
        self.answers: str | None = None  # which ones the server keeps that got the last attempt
        self.hedge: float | bool = hedge  # whether a slow one gets a twin; or the seconds after which it is slow
        self.twin: ClientChannel | None = None  # which goes on at the same time
        self.begun: float = 0.0  # when a call that may be hedged was sent
        self.number: int = 1
        self.doubtful: bool = False
        self._random = random
        self._counted = False
        self._repeats = 0  # those that came out of the budget
        self._wait_min = 0.0  # s that the server asked for
        self._elsewhere = False  # nothing has run, and any other server gets it at once
        self._last: tuple[Answer | None, Buffer, Exception | None] = (None, b"", None)

    def __repr__(self) -> str:
        return f"<Attempts {self.number} of {self.retry.attempts}{', doubtful' if self.doubtful else ''}>"

    @property
    def unsure(self) -> bool:
        """Whether the next one may only go to a server that says that the method is idempotent."""
        return self.doubtful and not self.retry.idempotent and not self.keyed

    def count(self, budget: Budget, now: float) -> None:
        """The call begins. Safe to call again."""
        if not self._counted:
            self._counted = True
            budget.count(now)

    # How one ends

    def refused(self, ran: object, kind: object, retry_after: float | None, leaves: bool) -> bool:
        """The server answered with an error: whether another attempt may mend that. ``ran`` and ``kind`` are what its
        header says; ``leaves``, that it shuts down, so that another server gets the call without further ado.
        """
        if ran is not False and not (ran is None and kind in _PASSING):
            return False
        if not leaves and kind not in _PASSING:
            return False
        self._ended(ran is not False, leaves and ran is False, retry_after or 0.0)
        return True

    def lost(self, not_sent: bool) -> None:
        """The server is gone; perhaps before it was sent anything."""
        self._ended(not not_sent, not_sent, 0.0)

    def _ended(self, doubtful: bool, elsewhere: bool, wait_min: float) -> None:
        self._elsewhere, self._wait_min = elsewhere, wait_min
        self.doubtful = self.doubtful or doubtful

    def next(self, budget: Budget, now: float, left: float, others: bool) -> float | None:
        """Seconds until the next attempt; None if there is none. ``left`` seconds are left for the call; ``others``
        tells whether there are live servers.
        """
        if left <= 0:
            return None
        if self._elsewhere and others:  # nothing has run, and another server is there: no load that grows
            self.number += 1
            return 0.0
        if self._repeats + 1 >= self.retry.attempts:
            return None
        wait = self._wait_min + backoff(self.retry, self._repeats + 1, self._random())
        if wait >= left or not budget.take(now):
            return None
        self._repeats += 1
        self.number += 1
        return wait

    # What is kept of the last one, in case there is no other

    def keep(self, channel: ClientChannel) -> None:
        """The attempt is over, and its call may go on."""
        self._last = channel.reply, channel.reply_data, channel.error

    def give_up(self, channel: ClientChannel) -> None:
        """There is no other after all: what refused the last one is how it ended."""
        channel.reply, channel.reply_data, channel.error = self._last
        channel.answered = True
        channel.settle()


def attempts_of(channel: ClientChannel) -> Attempts | None:
    """Those of a call that may be repeated or hedged."""
    attempts = channel.terms.attempts
    return attempts if isinstance(attempts, Attempts) else None


def take_twin(channel: ClientChannel) -> ClientChannel | None:
    """The attempt that goes on beside, which nobody wants any more."""
    attempts = attempts_of(channel)
    if attempts is None or attempts.twin is None:
        return None
    twin, attempts.twin = attempts.twin, None
    return twin


def backoff(retry: Retry, number: int, random: float) -> float:
    """Seconds to wait after so many attempts; ``random`` from 0 to 1."""
    return random * min(retry.longest, retry.backoff * 2.0 ** min(number - 1, 60))


class Budget:
    """How many retries a client may make: so many for each call of the last ten seconds, and so many a second."""

    __slots__ = ("_calls", "_per_second", "_seconds", "_share", "_taken")

    def __init__(self, share: float, per_second: float) -> None:
        self._share = share
        self._per_second = per_second
        self._seconds: deque[list[int]] = deque()  # of each with anything in it: the second, its calls, its retries
        self._calls = self._taken = 0  # within the window

    def count(self, now: float) -> None:
        """A call begins."""
        self._second(now)[1] += 1
        self._calls += 1

    def take(self, now: float) -> bool:
        """Whether there may be another retry now; then it is counted."""
        second = self._second(now)
        if self._share * self._calls + self._per_second * _WINDOW - self._taken < 1:
            return False
        second[2] += 1
        self._taken += 1
        return True

    def _second(self, now: float) -> list[int]:
        seconds, this = self._seconds, int(now)
        while seconds and seconds[0][0] <= this - _WINDOW:
            _, calls, taken = seconds.popleft()
            self._calls -= calls
            self._taken -= taken
        if not seconds or seconds[-1][0] != this:
            seconds.append([this, 0, 0])
        return seconds[-1]

    def __repr__(self) -> str:
        return f"<Budget {self._taken} retries of {self._calls} calls within {_WINDOW} s>"
