"""Many calls at once to two servers, of all kinds that tests.faults.repeats has.

Arguments: the kind of client, the endpoints as a JSON list, the heartbeat, and how many calls. Tells "ready" when both
servers have said where they keep answers, then makes the calls, and tells all that became of them in one "report".
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterable
from typing import Any

import zerorpc
from tests.faults.ledger import Outcomes
from tests.faults.network.programs.lines import obey, tell
from tests.faults.repeats import RETRY, make
from tests.service.running import eventually, eventually_async


async def run_async(endpoints: list[str], heartbeat: float, ids: Iterable[int]) -> Outcomes:
    seen = Outcomes()
    async with zerorpc.AsyncClient(endpoints, heartbeat=heartbeat) as client:
        peers = client._core.calls.peers
        await client._zerorpc_ping()
        await eventually_async(lambda: len(peers) == len(endpoints))
        await zerorpc.options(client, key="k", retry=RETRY)._zerorpc_ping()
        await eventually_async(lambda: all(peer.answers for peer in peers))
        tell(ready=True)
        await asyncio.gather(*(seen.acall(call_id, lambda call_id: make(client, call_id)) for call_id in ids))
    return seen


def run_blocking(endpoints: list[str], heartbeat: float, ids: Iterable[int]) -> Outcomes:
    seen = Outcomes()
    with zerorpc.Client(endpoints, heartbeat=heartbeat) as client:
        peers = client._core.calls.peers
        eventually(lambda: len(peers) == len(endpoints))
        zerorpc.options(client, key="k", retry=RETRY)._zerorpc_ping()
        eventually(lambda: all(peer.answers for peer in peers))
        tell(ready=True)
        calls: dict[int, Any] = {call_id: make(client, call_id, async_=True) for call_id in ids}
        for call_id, call in calls.items():
            seen.call(call_id, lambda _, call=call: call.get())  # type: ignore[misc]
    return seen


def main() -> None:
    kind, endpoints, heartbeat, number = sys.argv[1:]
    obey(lambda order: None)
    arguments = (json.loads(endpoints), float(heartbeat), range(int(number)))
    seen = run_blocking(*arguments) if kind == "blocking" else asyncio.run(run_async(*arguments))
    tell(report=seen.dump())


if __name__ == "__main__":
    main()
