"""What a load program does with its stdin and stdout, lines of JSON both.

It reads ``{"connections": ..., "seconds": ..., "seed": ...}`` and says ``{"held": true}`` once all connections stand.
From the next line on, whatever it says, it holds them for so long, lets go, and answers with its ledger and the state
of its process. It ends with its stdin.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.soak import state
from tests.soak.ledger import Ledger

SETTLE = 20.0  # s for what ends by itself: sockets being closed, threads that look up once a second
TICK = 0.25


@dataclass
class Hold:
    """A command."""

    connections: int
    seconds: float
    seed: int


def obey(
    perform: Callable[[Hold, Ledger, Callable[[], None]], None], loop: asyncio.AbstractEventLoop | None = None
) -> None:
    """Until stdin ends. ``loop`` is the one that ``perform`` runs, if it does."""
    state.listen_to_complaints()
    state.raise_limit()
    for line in sys.stdin:
        ledger = Ledger()
        perform(Hold(**json.loads(line)), ledger, wait_for_the_others)
        ledger.end()
        say({"ledger": ledger.as_dict(), "state": settled(lambda: look(loop))})


def wait_for_the_others() -> None:
    """All connections of this program stand. Others may need longer for theirs. Raises EOFError."""
    say({"held": True})
    if not sys.stdin.readline():
        raise EOFError("the soak ended before all programs had their connections")


def say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def look(loop: asyncio.AbstractEventLoop | None) -> dict[str, Any]:
    if loop is None:
        return state.state()

    async def from_inside() -> dict[str, Any]:
        return state.state()

    return loop.run_until_complete(from_inside())


def settled(look: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The state once no channel, no link and no idle worker is left, or what is left after a while."""
    end = time.monotonic() + SETTLE
    while True:
        found = look()
        left = found["channels"] or found["links"] or found["workers"] > state.KEPT
        if not left or time.monotonic() > end:
            return found
        time.sleep(TICK)
