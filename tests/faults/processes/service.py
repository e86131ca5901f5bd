"""The server that the faults happen to: a program of its own, told what to be by one argument of JSON.

Every method enters its call into the ledger first. ``hold`` and its like then wait until somebody calls ``release``,
so that any number of calls are in flight for as long as a test needs them to be.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import resource
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).parents[3]))  # it is run as a script

import zerorpc
from tests.faults.ledger import Ledger
from zerorpc.doors import keyed_calls
from zerorpc.service import answers_file

_WORK = 0.05  # s that `work` takes
_ROOM = 64  # MiB that a process may take after its start, when its memory is limited


class Service:
    """The methods. Plain ones and coroutines stand in pairs, the coroutine with an ``a`` in front."""

    def __init__(self, ledger: Ledger) -> None:
        self._enter = ledger.enter
        self._released = threading.Event()
        self._areleased = asyncio.Event()
        self._ended: Counter[str] = Counter()
        self._children: dict[int, int] = {}  # the pid, by the call that has forked it
        self._hub: Any = None  # the server's, to look at

    # What a fault meets

    def quick(self, call_id: int) -> int:
        return self._enter(call_id)

    async def aquick(self, call_id: int) -> int:
        return self._enter(call_id)

    def work(self, call_id: int) -> int:
        self._enter(call_id)
        time.sleep(_WORK)
        return call_id

    async def awork(self, call_id: int) -> int:
        self._enter(call_id)
        await asyncio.sleep(_WORK)
        return call_id

    def hold(self, call_id: int) -> int:
        self._enter(call_id)
        self._released.wait()
        return call_id

    async def ahold(self, call_id: int) -> int:
        self._enter(call_id)
        try:
            await self._areleased.wait()
        except asyncio.CancelledError:
            self._ended["cancelled"] += 1
            raise
        return call_id

    @zerorpc.idempotent
    def hold_idempotent(self, call_id: int) -> int:
        return self.hold(call_id)

    @zerorpc.idempotent
    async def ahold_idempotent(self, call_id: int) -> int:
        return await self.ahold(call_id)

    def count(self, call_id: int) -> Iterator[int]:
        self._enter(call_id)
        try:
            while True:
                yield call_id
        finally:
            self._ended["closed"] += 1

    async def acount(self, call_id: int) -> AsyncIterator[int]:
        self._enter(call_id)
        try:
            while True:
                yield call_id
        finally:
            self._ended["aclosed"] += 1

    async def release(self) -> None:
        self._released.set()
        self._areleased.set()

    async def pid(self) -> int:
        return os.getpid()

    async def state(self) -> dict[str, Any]:
        """What is open here, this very call included, and how held methods have ended."""
        channels = sum(len(link.peer.channels) for link in self._hub.links)
        return {"links": len(self._hub.links), "channels": channels, "ended": dict(self._ended)}

    def size(self, data: bytes) -> int:
        return len(data)

    # Faults

    def die(self, call_id: int) -> NoReturn:
        self._enter(call_id)
        os._exit(7)

    async def adie(self, call_id: int) -> NoReturn:
        self.die(call_id)

    def leave(self, call_id: int) -> NoReturn:
        self._enter(call_id)
        raise SystemExit(7)

    async def aleave(self, call_id: int) -> NoReturn:
        self.leave(call_id)

    def freeze(self, call_id: int, seconds: int) -> int:
        """Sleep in C with the interpreter's lock held: no other thread of Python runs meanwhile."""
        self._enter(call_id)
        ctypes.PyDLL(None).sleep(seconds)
        return call_id

    def exhaust(self, call_id: int) -> NoReturn:
        """Take memory until there is none, in ever smaller pieces, down to the last octet."""
        self._enter(call_id)
        taken: list[bytes] = []
        for size in (1 << 20, 1 << 14, 1 << 10, 100):
            try:
                while True:
                    taken.append(bytes(size))
            except MemoryError:
                if size == 100:
                    raise
        raise AssertionError("unreachable")

    async def aexhaust(self, call_id: int) -> NoReturn:
        self.exhaust(call_id)

    def fork(self, call_id: int, how: str) -> int:
        """The child does with the method what ``how`` says; the parent answers."""
        self._enter(call_id)
        self._children[call_id] = os.fork()
        return call_id if self._children[call_id] else _as_child(how)

    def fork_if(self, call_id: int, chosen: int) -> int:
        """Fork for one of many calls; the child returns."""
        return self.fork(call_id, "returns") if call_id == chosen else self._enter(call_id)

    async def afork(self, call_id: int, how: str) -> int:
        return self.fork(call_id, how)

    async def afork_later(self, call_id: int, how: str) -> int:
        await asyncio.sleep(0)
        return self.fork(call_id, how)

    async def afork_await(self, call_id: int, how: str) -> int:
        self.fork(call_id, how)
        await asyncio.sleep(0.05)
        return call_id

    def fork_stream(self, call_id: int, how: str) -> Iterator[int]:
        yield self.fork(call_id, how)

    async def afork_stream(self, call_id: int, how: str) -> AsyncIterator[int]:
        yield self.fork(call_id, how)

    def child_code(self, call_id: int) -> int:
        """Wait for the end of the child that this call has forked: its exit code, or minus the signal's number."""
        return os.waitstatus_to_exitcode(os.waitpid(self._children[call_id], 0)[1])


def _as_child(how: str) -> int:
    if how == "os._exit":
        os._exit(7)
    elif how == "SystemExit":
        raise SystemExit(7)
    elif how == "raises":
        raise KeyError("in the child")
    elif how == "sleeps":
        threading.Event().wait()
    assert how == "returns"
    return 0


def limit_memory() -> None:
    """From now on a little more than what there is already."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + _ROOM * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main(options: dict[str, Any]) -> None:
    service = Service(Ledger(options["ledger"]))
    if descriptors := options.get("descriptors"):
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    if lease := options.get("lease"):
        answers_file.LEASE, keyed_calls._RENEW_EVERY = lease, lease / 3
    settings = {name: options[name] for name in ("heartbeat", "processes", "pool_size", "answers") if name in options}
    server = zerorpc.Server(service, **settings)
    service._hub = server._core.hub
    endpoints = server.bind(options["bind"])
    if options.get("limits_memory"):
        limit_memory()
    print(json.dumps({"ready": endpoints, "pid": os.getpid()}), flush=True)
    server.run()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
