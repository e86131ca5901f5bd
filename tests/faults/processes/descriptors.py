"""Clients in a process that has few descriptors, told what by one argument of JSON; prints how their calls end."""

from __future__ import annotations

import asyncio
import errno
import json
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))  # it is run as a script

import zerorpc
from tests.faults.ledger import Outcomes

TIMEOUT = 1.0


def report(outcomes: Outcomes, refused: int, busy: float) -> None:
    print(json.dumps({"outcomes": outcomes.dump(), "refused": refused, "busy": busy}), flush=True)


def make_clients(kind: str, endpoint: str, number: int) -> tuple[list[Any], int]:
    """As many as there are descriptors for, and how many there were none for, which is an OSError that says so."""
    clients, refused = [], 0
    for _ in range(number):
        try:
            clients.append(getattr(zerorpc, kind)(endpoint, timeout=TIMEOUT))
        except OSError as error:
            assert error.errno == errno.EMFILE, error
            refused += 1
    return clients, refused


async def call_async(endpoint: str, ids: list[int]) -> None:
    outcomes = Outcomes()
    clients, refused = make_clients("AsyncClient", endpoint, len(ids))
    begun, before = time.monotonic(), time.process_time()
    await asyncio.gather(*(outcomes.acall(i, client.aquick) for i, client in zip(ids, clients, strict=False)))
    report(outcomes, refused, (time.process_time() - before) / (time.monotonic() - begun))
    lost = {end.call_id for end in outcomes.ends if end.error}
    unlucky = [client for i, client in zip(ids, clients, strict=False) if i in lost]
    for client in set(clients) - set(unlucky):
        await client.aclose()
    outcomes = Outcomes()  # with descriptors free again, the same clients
    await asyncio.gather(
        *(outcomes.acall(-i, client.aquick) for i, client in enumerate(unlucky[: len(ids) // 4], start=1))
    )
    report(outcomes, 0, 0.0)
    for client in unlucky:
        await client.aclose()


def call_blocking(endpoint: str, ids: list[int]) -> None:
    outcomes = Outcomes()
    clients, refused = make_clients("Client", endpoint, len(ids))
    begun, before = time.monotonic(), time.process_time()
    call_all(outcomes, clients, ids)
    report(outcomes, refused, (time.process_time() - before) / (time.monotonic() - begun))
    lost = {end.call_id for end in outcomes.ends if end.error}
    unlucky = [client for i, client in zip(ids, clients, strict=False) if i in lost]
    for client in set(clients) - set(unlucky):
        client.close()
    outcomes = Outcomes()
    call_all(outcomes, unlucky[: len(ids) // 4], [-i for i in range(1, len(ids))])
    report(outcomes, 0, 0.0)
    for client in unlucky:
        client.close()


def call_all(outcomes: Outcomes, clients: list[Any], ids: list[int]) -> None:
    pairs = zip(ids, clients, strict=False)
    threads = [threading.Thread(target=outcomes.call, args=(i, client.quick)) for i, client in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main(kind: str, endpoint: str, ids: list[int], descriptors: int) -> None:
    import encodings.idna  # noqa: F401 - what is imported at first use needs a descriptor

    import zerorpc.client
    import zerorpc.sync

    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    if kind == "AsyncClient":
        asyncio.run(call_async(endpoint, ids))
    else:
        call_blocking(endpoint, ids)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
