"""A client that is there to be killed: it makes its calls and waits for them, told what by one argument of JSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))  # it is run as a script

import zerorpc


def main(kind: str, endpoint: str, heartbeat: float, ids: list[int], streams: int) -> None:
    """The first ids are for streams: so many by generators, so many by async ones."""
    methods = ["count"] * streams + ["acount"] * streams
    hold = "ahold" if kind == "AsyncClient" else "hold"
    methods += [hold] * (len(ids) - len(methods))
    calls = list(zip(methods, ids, strict=True))
    if kind == "AsyncClient":
        asyncio.run(call_async(endpoint, heartbeat, calls))
    else:
        call_blocking(endpoint, heartbeat, calls)


async def call_async(endpoint: str, heartbeat: float, calls: list[tuple[str, int]]) -> None:
    async def take_all(call: Any) -> None:
        async for _ in call:
            pass

    async with zerorpc.AsyncClient(endpoint, heartbeat=heartbeat) as client:
        await asyncio.gather(*(take_all(client(name, i)) if "count" in name else client(name, i) for name, i in calls))


def call_blocking(endpoint: str, heartbeat: float, calls: list[tuple[str, int]]) -> None:
    def take_all(client: zerorpc.Client, name: str, call_id: int) -> None:
        result = client(name, call_id)
        if "count" in name:
            with contextlib.suppress(StopIteration):
                next(result)
            threading.Event().wait()  # a reader that is slow: its credit is used up

    with zerorpc.Client(endpoint, heartbeat=heartbeat) as client:
        threads = [threading.Thread(target=take_all, args=(client, *call)) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
