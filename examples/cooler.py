"""A small service: plain methods, a coroutine, and two that stream.

::

    python examples/cooler.py                       # or: zerorpc-client --server --bind … examples.cooler:Cooler
    zerorpc-client tcp://127.0.0.1:4242 add_man hi
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator

import zerorpc


class Cooler:
    """Makes things cooler."""

    def add_man(self, sentence: str) -> str:
        """Make a sentence sound cooler."""
        return sentence + ", man!"

    def add_42(self, number: int) -> int:
        """Add 42 to a number, to make it cooler."""
        return number + 42

    async def chill(self, seconds: float) -> str:
        """Do nothing for a while, on the event loop, where ten thousand can do it at once."""
        await asyncio.sleep(seconds)
        return "chilled"

    def count(self, stop: int) -> Iterator[int]:
        """Count from 0, one number at a time."""
        yield from range(stop)

    async def countdown(self, start: int) -> AsyncIterator[int]:
        """Count down to 1, five numbers a second."""
        for number in range(start, 0, -1):
            yield number
            await asyncio.sleep(0.2)

    def divide(self, dividend: int, divisor: int) -> float:
        """Divide; by zero too, if you want to see an error."""
        return dividend / divisor

    def nap(self, seconds: float) -> str:
        """Block a worker thread; nobody else waits for it."""
        time.sleep(seconds)
        return "rested"


def main() -> None:
    with zerorpc.Server(Cooler()) as server:
        print("listening on", *server.bind(sys.argv[1] if sys.argv[1:] else "tcp://127.0.0.1:4242"), flush=True)
        server.run()


if __name__ == "__main__":
    main()
