"""Clients in a process that has few descriptors, told what by one argument of JSON; prints how their calls end."""

from __future__ import annotations

import asyncio
import errno
import json
import resource
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))  # it is run as a script

import zerorpc.client.asynchronous  # now: what is imported at its first use needs a descriptor
import zerorpc.client.blocking
from tests.faults.ledger import Outcomes

TIMEOUT = 6.0  # s; on a busy machine a server needed more than 1.5 to greet
LATER = 10.0  # s; a connection is tried again after 3 s at most


def report(outcomes: Outcomes, refused: int, busy: float) -> None:
    print(json.dumps({"outcomes": outcomes.dump(), "refused": refused, "busy": busy}), flush=True)


def make_clients(kind: str, endpoint: str, number: int) -> tuple[list[Any], int]:
    """As many as there are descriptors for, and how many there were none for, which is an OSError that says so."""
    clients, refused = [], 0
    for _ in range(number):
        try:
            clients.append(getattr(zerorpc, kind)(endpoint, timeout=TIMEOUT))
        except OSError as error:
            if error.errno != errno.EMFILE:
                raise
            refused += 1
    return clients, refused


async def call_async(endpoint: str, ids: list[int], later: list[int]) -> None:
    outcomes = Outcomes()
    clients, refused = make_clients("AsyncClient", endpoint, len(ids))
    begun, before = time.monotonic(), time.process_time()
    await asyncio.gather(*(outcomes.acall(i, client.aquick) for i, client in zip(ids, clients, strict=False)))
    report(outcomes, refused, (time.process_time() - before) / max(time.monotonic() - begun, TIMEOUT))
    lucky, unlucky = divide(outcomes, ids, clients)
    for client in lucky:
        await client.aclose()
    outcomes = Outcomes()
    await asyncio.gather(
        *(outcomes.acall(i, partial(client.aquick, timeout=LATER)) for i, client in zip(later, unlucky, strict=False))
    )
    report(outcomes, 0, 0.0)
    for client in unlucky:
        await client.aclose()


def call_blocking(endpoint: str, ids: list[int], later: list[int]) -> None:
    outcomes = Outcomes()
    clients, refused = make_clients("Client", endpoint, len(ids))
    begun, before = time.monotonic(), time.process_time()
    call_all(outcomes, clients, ids)
    report(outcomes, refused, (time.process_time() - before) / max(time.monotonic() - begun, TIMEOUT))
    lucky, unlucky = divide(outcomes, ids, clients)
    for client in lucky:
        client.close()
    outcomes = Outcomes()
    unlucky += make_clients("Client", endpoint, len(later) - len(unlucky))[0]
    call_all(outcomes, unlucky, later, timeout=LATER)
    report(outcomes, 0, 0.0)
    for client in unlucky:
        client.close()


def divide(outcomes: Outcomes, ids: list[int], clients: list[Any]) -> tuple[list[Any], list[Any]]:
    """The clients whose calls were answered, and the others."""
    lost = {end.call_id for end in outcomes.ends if end.error}
    pairs = list(zip(ids, clients, strict=False))
    return [client for i, client in pairs if i not in lost], [client for i, client in pairs if i in lost]


def call_all(outcomes: Outcomes, clients: list[Any], ids: list[int], timeout: float = TIMEOUT) -> None:
    pairs = zip(ids, clients, strict=False)
    calls = [(i, partial(client.quick, timeout=timeout)) for i, client in pairs]
    threads = [threading.Thread(target=outcomes.call, args=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main(kind: str, endpoint: str, ids: list[int], later: list[int], descriptors: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    if kind == "AsyncClient":
        asyncio.run(call_async(endpoint, ids, later))
    else:
        call_blocking(endpoint, ids, later)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
