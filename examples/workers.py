"""Reversed roles: the client binds and hands out work, the workers connect to it.

::

    python examples/workers.py worker &
    python examples/workers.py worker &
    python examples/workers.py boss
"""

from __future__ import annotations

import asyncio
import sys

import zerorpc


def square(number: int) -> int:
    """Pretend that this is hard."""
    return number * number


def worker(endpoint: str) -> None:
    with zerorpc.Server({"square": square}) as server:
        server.connect(endpoint)  # comes back by itself whenever the boss does
        server.run()


async def boss(endpoint: str) -> None:
    async with zerorpc.AsyncClient() as client:
        client.bind(endpoint)  # calls wait here until a worker connects
        print(await asyncio.gather(*(client.square(number) for number in range(10))))


def main() -> None:
    role = sys.argv[1] if sys.argv[1:] else ""
    endpoint = sys.argv[2] if sys.argv[2:] else "tcp://127.0.0.1:4242"
    if role == "worker":
        worker(endpoint)
    elif role == "boss":
        asyncio.run(boss(endpoint))
    else:
        print("usage: python workers.py worker|boss [endpoint]", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
