"""How long a request will wait for its turn, and how long its caller will: what comes too late is refused at once.

Without that a server which is offered more than it can do is soon busy for callers that have given up only: all wait
in one queue, and whoever comes first in it has waited for the longest (docs/reliability.md has the figures).

Pure: the time is passed in.
"""

from __future__ import annotations

__all__ = ["Turns"]

_SAMPLE_MIN = 10  # turns: by fewer, a single odd one would decide


class Turns:
    """The pace at which those that wait get their turn.

    Taken from the last ``places`` turns or more, as many as run at once: with ten methods that take a second each,
    nobody may have a turn for a second, and then ten at once. What isn't over yet counts as well, as a lower bound:
    so methods that hang are noticed too.
    """

    __slots__ = ("_begun", "_given", "_pace", "_sample")

    def __init__(self, places: int) -> None:
        self._sample = max(places, _SAMPLE_MIN)
        self._begun = 0.0
        self._given = 0
        self._pace = 0.0  # seconds from one turn to the next; 0 if nothing is known yet

    def begin(self, now: float) -> None:
        """Somebody has to wait from now on, and nobody did before."""
        self._begun = now
        self._given = 0
        self._pace = 0.0

    def give(self, now: float) -> None:
        """The first in the queue leaves it."""
        self._given += 1
        if self._given >= self._sample:
            pace = (now - self._begun) / self._given
            self._pace = (self._pace + pace) / 2 if self._pace else pace
            self._begun = now
            self._given = 0

    def wait(self, now: float, ahead: int) -> float:
        """Seconds until somebody with so many ahead has a turn, as things go now."""
        return ahead * max(self._pace, (now - self._begun) / self._sample)

    def __repr__(self) -> str:
        return f"<Turns {self._pace * 1000:.3g} ms each>"
