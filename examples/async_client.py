"""Calls examples/cooler.py from coroutines: a thousand calls at once, and a stream that is left early."""

from __future__ import annotations

import asyncio
import sys

import zerorpc


async def main() -> None:
    endpoint = sys.argv[1] if sys.argv[1:] else "tcp://127.0.0.1:4242"
    async with zerorpc.AsyncClient(endpoint) as cooler:
        answers = await asyncio.gather(*(cooler.chill(0.1) for _ in range(1000)))
        print(len(answers), "chilled")
        async for number in cooler.count(1_000_000):
            if number == 3:
                print("enough at", number)
                break  # the server stops counting


if __name__ == "__main__":
    asyncio.run(main())
