"""A client that forks with its calls in flight, told what by one argument of JSON; parent and child print outcomes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).parents[3]))  # it is run as a script

import zerorpc
from tests.faults.ledger import Outcomes


def report(who: str, outcomes: Outcomes) -> None:
    print(json.dumps({"who": who, "pid": os.getpid(), "outcomes": outcomes.dump()}), flush=True)


def leave(how: str) -> NoReturn:
    if how == "os._exit":
        os._exit(3)
    raise SystemExit(3)


def wait_for_child(pid: int) -> None:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code == 3, f"the child ended with {code}"


def wait_for_fork() -> None:
    """Until a line comes, which says that all calls run."""
    print(json.dumps({"who": "ready"}), flush=True)
    sys.stdin.readline()


# Client


def call_blocking(endpoint: str, ids: list[int], child_ids: list[int], how: str, heartbeat: float) -> None:
    client = zerorpc.Client(endpoint, heartbeat=heartbeat)
    outcomes = Outcomes()
    threads = [threading.Thread(target=outcomes.call, args=(i, client.hold)) for i in ids]
    for thread in threads:
        thread.start()
    wait_for_fork()
    if (pid := os.fork()) == 0:
        of_child = Outcomes()
        for call_id in child_ids:
            of_child.call(call_id, client.quick)
        report("child", of_child)
        leave(how)
    wait_for_child(pid)
    client.release()
    for thread in threads:
        thread.join()
    report("parent", outcomes)
    client.close()


# AsyncClient


async def call_async(endpoint: str, ids: list[int], child_ids: list[int], how: str, heartbeat: float) -> None:
    outcomes = Outcomes()
    async with zerorpc.AsyncClient(endpoint, heartbeat=heartbeat) as client:
        calls = [asyncio.ensure_future(outcomes.acall(i, client.ahold)) for i in ids]
        await asyncio.sleep(0)
        await asyncio.get_running_loop().run_in_executor(None, wait_for_fork)
        if (pid := os.fork()) == 0:
            asyncio.run(call_as_child(client, child_ids))
            leave(how)
        wait_for_child(pid)
        await client.release()
        await asyncio.gather(*calls)
        report("parent", outcomes)


async def call_as_child(client: Any, ids: list[int]) -> None:
    """The same client, on a loop of the child's own."""
    outcomes = Outcomes()
    await asyncio.gather(*(outcomes.acall(i, client.aquick) for i in ids))
    report("child", outcomes)
    await client.aclose()


if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    if options.pop("kind") == "AsyncClient":
        asyncio.run(call_async(**options))
    else:
        call_blocking(**options)
