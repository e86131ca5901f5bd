"""The callers of a case: some call one after the other, some read streams, until they are told to finish.

Arguments: the kind of client, the endpoint, the heartbeat, and the callers as a JSON list of {"do": method, "arg": its
argument, "timeout": seconds}; with "once" a caller makes one call only, with "later" it waits for {"do": "go"}, with
"pause" it waits so many seconds between calls. Says "ready" when each of those that neither wait nor call once has had
an answer. After {"do": "finish"} each goes on until it has had an answer to a call that it made from then on, or an
item of its stream. Then all that they saw is told in one "report".
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import zerorpc
from tests.faults.ledger import Outcomes
from tests.faults.network.programs.lines import obey, tell

IDS_OF_ONE = 1_000_000
LONGEST = 40.0  # s after "finish" that a caller goes on without any answer
PAUSE = 0.01  # s between calls, so that quick ones don't fill the ledger
GO, FINISH = threading.Event(), threading.Event()


class Caller:
    """Makes one call after the other. A coroutine for both kinds of clients: with a blocking one it just blocks."""

    def __init__(self, number: int, client: Any, plan: dict[str, Any]) -> None:
        self._client = client
        self._plan = plan
        self._ids = range(number * IDS_OF_ONE, (number + 1) * IDS_OF_ONE)
        self.outcomes = Outcomes()
        self.calls: dict[int, dict[str, Any]] = {}  # when each began, and when its first answer and all items came
        self.ready = threading.Event()
        if plan.get("once") or plan.get("later"):
            self.ready.set()

    async def run(self) -> None:
        if self._plan.get("later"):
            await asyncio.get_running_loop().run_in_executor(None, GO.wait)
        give_up = float("inf")
        for call_id in self._ids:
            finishing = FINISH.is_set()
            if finishing:
                give_up = min(give_up, time.monotonic() + LONGEST)
            call = self.calls[call_id] = {**self._plan, "begun": time.monotonic(), "items": []}
            await self.outcomes.acall(call_id, lambda call_id, call=call: self._call(call_id, call))
            answered = not self.outcomes.ends[-1].error
            if self._plan.get("once") or (finishing and (answered or time.monotonic() > give_up)):
                return
            if answered and FINISH.is_set() and call["items"] and call["items"][-1] > call["begun"]:
                return
            await asyncio.sleep(self._plan.get("pause", PAUSE))

    async def _call(self, call_id: int, call: dict[str, Any]) -> int:
        """Returns the id of the call that was answered."""
        arg = bytes(call["arg"]) if call["do"] == "take" else call["arg"]
        result = self._client(call["do"], call_id, arg, timeout=call["timeout"])
        if hasattr(result, "__await__"):
            result = await result
        if hasattr(result, "close"):
            await self._read(result, call)
            return call_id
        self.ready.set()
        if call["do"] == "result":
            assert result == bytes(call["arg"])
            return call_id
        return int(result)

    async def _read(self, stream: Any, call: dict[str, Any]) -> None:
        """Read an endless stream, until told to finish."""
        items = call["items"]
        async for item in _items(stream):
            items.append(time.monotonic())
            if call["do"] == "ticks" and item != len(items) - 1:
                raise AssertionError(f"item {item} came as number {len(items) - 1}")
            self.ready.set()
            if FINISH.is_set():
                stream.close()
                return
        raise AssertionError("an endless stream ended without an error")


async def _items(stream: Any) -> AsyncIterator[Any]:
    if hasattr(stream, "__aiter__"):
        async for item in stream:
            yield item
    else:
        for item in stream:
            yield item


# Either kind of client


async def run_async(endpoint: str, heartbeat: float, plans: list[dict[str, Any]]) -> list[Caller]:
    async with zerorpc.AsyncClient(endpoint, heartbeat=heartbeat) as client:
        callers = [Caller(number, client, plan) for number, plan in enumerate(plans)]
        threading.Thread(target=tell_when_ready, args=(callers,), daemon=True).start()
        await asyncio.gather(*(caller.run() for caller in callers))
        return callers


def run_blocking(endpoint: str, heartbeat: float, plans: list[dict[str, Any]]) -> list[Caller]:
    with zerorpc.Client(endpoint, heartbeat=heartbeat) as client:
        callers = [Caller(number, client, plan) for number, plan in enumerate(plans)]
        threading.Thread(target=tell_when_ready, args=(callers,), daemon=True).start()
        threads = [threading.Thread(target=asyncio.run, args=(caller.run(),)) for caller in callers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return callers


def tell_when_ready(callers: list[Caller]) -> None:
    for caller in callers:
        caller.ready.wait()
    tell(ready=True)


def main() -> None:
    kind, endpoint, heartbeat, plans = sys.argv[1:]
    obey(lambda order: (GO if order["do"] == "go" else FINISH).set())
    arguments = (endpoint, float(heartbeat), json.loads(plans))
    callers = run_blocking(*arguments) if kind == "blocking" else asyncio.run(run_async(*arguments))
    seen, calls = Outcomes(), {}
    for caller in callers:
        seen += caller.outcomes
        calls.update(caller.calls)
    tell(report={"outcomes": seen.dump(), "calls": calls})


if __name__ == "__main__":
    main()
