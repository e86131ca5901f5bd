"""Places for methods to run in, and who waits for one: each caller has its share of both.

A caller is whoever sends requests on one connection. As long as three quarters of the places suffice, nobody is asked
whose they are. Of the last quarter no caller gets any that has three quarters already, so that others find a place; of
fewer than four, one may have all. Those who wait have their turns in a circle, one of each caller after the other.

Pure: the time is passed in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import NamedTuple, Protocol

from zerorpc.limits import Limits
from zerorpc.service.turns import Turns

__all__ = ["Places", "Refusal", "Request", "Waiting"]

_PARKED_MAX = 1536  # streams that wait for their readers and take no place; each keeps a thread, of 13 KiB
_WAIT_SHARE = 0.5  # of its caller's patience that a request may wait: the rest is for the method, and for what varies
_MAX_WAIT_SHARE = 0.75  # of ``max_wait``: guesses err, and who is refused when the turn has come has waited in vain


class Request(Protocol):
    """What a place is for."""

    @property
    def caller(self) -> object:
        """Whose it is, compared by identity."""

    @property
    def open_calls(self) -> int:
        """How many calls the caller has open, this one and those that wait included."""

    @property
    def parked_calls(self) -> int:
        """How many of these are streams on threads that wait for their readers."""

    @property
    def may_begin(self) -> bool:
        """Whether the caller takes answers just now."""

    @property
    def patience(self) -> float: ...

    @property
    def octets(self) -> int: ...

    @property
    def closed(self) -> bool: ...


class Refusal(NamedTuple):
    """Why a request can't wait: ``details`` for its error; ``wait`` seconds it would have had to."""

    details: str
    wait: float


class Places:
    """So many places, and the queue for them. Belongs to the loop.

    A request waits at most ``max_wait`` seconds. ``alone``: there is one caller only, who may have all places.
    ``parked`` tells how many of those that run need no place, since they wait for their readers. ``limits`` on what
    waits.
    """

    def __init__(
        self,
        count: int,
        max_wait: float = inf,
        alone: bool = False,
        parked: Callable[[], int] = lambda: 0,
        limits: Limits = Limits(),  # noqa: B008 - an immutable tuple
    ) -> None:
        self.count: int = count
        self.plenty: int = _share(count)  # with so few running nobody can have more than its share
        self.running: int = 0
        self.waiting: int = 0
        self.alone: bool = alone
        self._max_wait = max_wait
        self._limits = limits
        self._parked = parked
        self._octets = 0  # of those that wait
        self._queues: dict[object, _Queue] = {}  # by caller, whose turn is next first
        self._turns = Turns(count)

    @property
    def taken(self) -> int:
        return self.running - min(self._parked(), _PARKED_MAX)

    def has_room(self, request: Request) -> bool:
        """Whether a request that has just come may have a place. It overtakes nobody who may have it as well."""
        return (
            self.taken < self.count
            and request.caller not in self._queues
            and self._may_have_another(request, 1)
            and not any(map(self._is_due, self._queues.values()))
        )

    def _is_due(self, queue: _Queue) -> bool:
        """Whether the first of a queue may have a free place, or need not wait any more."""
        first = queue.waiting[0].request
        queued = len(queue.waiting) - queue.gone
        return first.closed or (first.may_begin and self._may_have_another(first, queued))

    def _may_have_another(self, request: Request, queued: int) -> bool:
        """Whether a caller has less than its share; of its open calls so many are ``queued``."""
        parked = min(request.parked_calls, _share(_PARKED_MAX))
        if self.alone or (self.taken < self.plenty and parked == request.parked_calls):
            return True
        return request.open_calls - queued - parked < self.plenty

    def let_wait(self, request: Request, now: float) -> Waiting | Refusal:
        """Keep a request until its turn, unless that would come too late, or there are too many."""
        if not self.waiting:
            self._turns.begin(now)
        caller = request.caller
        queue = self._queues.get(caller) or _Queue()
        callers = len(self._queues) + (caller not in self._queues)
        # All others have a turn before each of its own, those who come meanwhile included.
        ahead = (len(queue.waiting) + 1) * callers - 1
        wait, patience = self._turns.wait(now, ahead), request.patience
        if wait > min(patience * _WAIT_SHARE, self._max_wait * _MAX_WAIT_SHARE):
            return Refusal(f"; its turn would come in {wait:.3g} s", wait)
        limits = self._limits
        if self.waiting >= limits.waiting or self._octets >= limits.waiting_octets or self._has_enough(queue):
            return Refusal("", wait)
        self._queues[caller] = queue
        waiting = Waiting(request, now + min(patience, self._max_wait), queue)
        queue.waiting.append(waiting)
        queue.octets += request.octets
        self._octets += request.octets
        self.waiting += 1
        return waiting

    def _has_enough(self, queue: _Queue) -> bool:
        """Whether its caller has its share of what waits."""
        too_many = len(queue.waiting) >= _share(self._limits.waiting) or queue.octets >= _share(
            self._limits.waiting_octets
        )
        return too_many and not self.alone

    def next(self, now: float) -> Waiting | None:
        """Who has its turn, if there is a place; it waits no longer. None if nobody has."""
        if self.taken >= self.count:
            return None
        for caller, queue in self._queues.items():
            if self._is_due(queue):
                return self._take_first(caller, queue, now)
        return None

    def _take_first(self, caller: object, queue: _Queue, now: float) -> Waiting:
        """Its caller comes last from now on."""
        del self._queues[caller]
        first = queue.waiting.popleft()
        queue.gone -= first.gone
        queue.octets -= first.request.octets
        self._octets -= first.request.octets
        self.waiting -= 1
        self._turns.give(now)
        if queue.waiting:
            self._queues[caller] = queue
        return first

    def wait_now(self, now: float) -> float:
        """Seconds until somebody who came now had its turn, as things go."""
        return self._turns.wait(now, self.waiting)

    def clear(self) -> list[Request]:
        """Take out all that wait."""
        requests = [waiting.request for queue in self._queues.values() for waiting in queue.waiting]
        self._queues.clear()
        self.waiting = self._octets = 0
        return requests

    def __repr__(self) -> str:
        return f"<Places {self.running} of {self.count} taken, {self.waiting} waiting>"


class _Queue:
    """The requests of one caller that wait."""

    __slots__ = ("gone", "octets", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Waiting] = deque()
        self.gone: int = 0  # how many of them nobody wants any more
        self.octets: int = 0


class Waiting:
    """A request that waits for its turn, which is of use until ``too_late``. The runner of its call."""

    __slots__ = ("_queue", "gone", "request", "too_late")

    def __init__(self, request: Request, too_late: float, queue: _Queue) -> None:
        self.request: Request = request
        self.too_late: float = too_late
        self.gone: bool = False
        self._queue = queue

    def wake(self) -> None:
        """Its caller is gone, perhaps, or gave up: it is not one of the calls that are open any more."""
        if self.request.closed and not self.gone:
            self.gone = True
            self._queue.gone += 1


def _share(of: int) -> int:
    """What one caller may have."""
    return of - of // 4
