"""The measurements with a client that blocks."""

from __future__ import annotations

import contextlib
import select
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

from benchmarks.histogram import histogram_of
from benchmarks.peers.harness import ITEMS, TEXT, Meter, Task, Ticks, octets_of, payload_of

Work = Callable[[float], int]  # works for so many seconds, and returns how often


class BlockingPeer:
    """One connection to the server. A peer's program fills in what it can do, and says in ``cannot`` what not."""

    cannot: ClassVar[Mapping[str, str]] = {}
    shared = False  # whether threads may call over the same connection
    echo: Callable[[str], Any]  # these return what they are given
    plain: Callable[[str], Any]  # by a plain function, on a thread if the peer has threads for such
    echo_bytes: Callable[[bytes], Any]
    items: Callable[[int], Iterable[Any]]  # so many items, each TEXT
    plain_items: Callable[[int], Iterable[Any]]  # by a plain generator

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def connect(self) -> None:
        """Make the connection, and set the methods above."""

    def close(self) -> None:
        """End the connection."""

    def enter_thread(self) -> None:
        """Called in the thread that is going to make calls, if it isn't the one that connected."""

    def in_flight(self, callers: int, seconds: float) -> int:
        """Keep ``callers`` calls open for so long, from one thread; how many were answered."""
        raise NotImplementedError

    @classmethod
    def perform(cls, endpoint: str, task: Task, hold: Callable[[], object]) -> dict[str, Any]:
        if task.measure == "hold":
            return hold_open(cls, endpoint, task, hold)
        if task.measure == "connect":
            return connect(cls, endpoint, task)
        if task.measure == "threads":
            return threads(cls, endpoint, task)
        with connected(cls, endpoint) as client:
            return MEASURES[task.measure](client, task)


@contextlib.contextmanager
def connected(peer: type[BlockingPeer], endpoint: str) -> Iterator[BlockingPeer]:
    """A connection that has answered a call."""
    client = peer(endpoint)
    client.connect()
    try:
        answer = client.echo(TEXT)
        if answer != TEXT:
            raise RuntimeError(f"the echo of {TEXT!r} was {answer!r}")
        yield client
    finally:
        client.close()


def metered(task: Task, work: Work) -> dict[str, Any]:
    work(task.warm_up)
    meter = Meter(task)
    return meter.result(work(task.seconds))


# What is measured


def alone(client: BlockingPeer, task: Task) -> dict[str, Any]:
    """One call after the other."""
    call = getattr(client, task.method)
    return metered(task, lambda seconds: one_after_the_other(call, seconds))


def one_after_the_other(call: Callable[[str], Any], seconds: float) -> int:
    end = time.perf_counter() + seconds
    calls = 0
    while time.perf_counter() < end:
        call(TEXT)
        calls += 1
    return calls


def flight(client: BlockingPeer, task: Task) -> dict[str, Any]:
    """Several calls open at a time, from one thread."""
    return metered(task, lambda seconds: client.in_flight(task.callers, seconds))


def threads(peer: type[BlockingPeer], endpoint: str, task: Task) -> dict[str, Any]:
    """Threads that each make one call after the other."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(peer, endpoint)) for _ in range(1 if peer.shared else task.callers)]
        if peer.shared:
            clients *= task.callers

        def work(seconds: float) -> int:
            calls: list[int] = []
            start = threading.Barrier(len(clients))

            def caller(client: BlockingPeer) -> None:
                client.enter_thread()
                start.wait()
                calls.append(one_after_the_other(getattr(client, task.method), seconds))

            callers = [threading.Thread(target=caller, args=(client,)) for client in clients]
            for thread in callers:
                thread.start()
            for thread in callers:
                thread.join()
            for client in clients:
                client.enter_thread()  # back in this one
            if len(calls) != len(callers):
                raise RuntimeError("a thread's calls failed")
            return sum(calls)

        return metered(task, work)


def payload(client: BlockingPeer, task: Task) -> dict[str, Any]:
    """Octets there and back, one call after the other."""
    data = payload_of(client, task)
    if bytes(client.echo_bytes(data)) != bytes(data):
        raise RuntimeError("the echo of a payload was something else")

    def work(seconds: float) -> int:
        end = time.perf_counter() + seconds
        calls = 0
        while time.perf_counter() < end:
            if octets_of(client.echo_bytes(data)) != task.size:
                raise RuntimeError("the echo of a payload was cut")
            calls += 1
        return calls

    return metered(task, work)


def stream(client: BlockingPeer, task: Task) -> dict[str, Any]:
    """Items of streams, one stream after the other."""
    items = getattr(client, task.method)

    def work(seconds: float) -> int:
        end = time.perf_counter() + seconds
        total = 0
        while time.perf_counter() < end:
            count = sum(1 for _ in items(ITEMS))
            if count != ITEMS:
                raise RuntimeError(f"a stream of {ITEMS} items had {count}")
            total += count
        return total

    return metered(task, work)


def rate(client: BlockingPeer, task: Task) -> dict[str, Any]:
    """Calls at fixed times; one whose time comes while another is under way waits, and its latency counts that."""
    call = getattr(client, task.method)
    at_rate(call, task.rate, task.warm_up)
    meter = Meter(task)
    latencies = at_rate(call, task.rate, task.seconds)
    return meter.result(len(latencies), histogram=histogram_of(latencies), asked=task.seconds)


def at_rate(call: Callable[[str], Any], rate: int, seconds: float) -> list[float]:
    ticks = Ticks(rate)
    ready = 0
    latencies: list[float] = []
    while len(latencies) < max(1, int(rate * seconds)):
        while not ready:
            select.select([ticks.descriptor], [], [])
            ready = ticks.read()
        call(TEXT)
        latencies.append(time.monotonic() - ticks.due(len(latencies)))
        ready -= 1
    ticks.close()
    return latencies


def connect(peer: type[BlockingPeer], endpoint: str, task: Task) -> dict[str, Any]:
    """One connection after the other, each with one call."""
    with connected(peer, endpoint):
        pass
    meter = Meter(task)
    for _ in range(task.count):
        with connected(peer, endpoint):
            pass
    return meter.result(task.count)


def hold_open(peer: type[BlockingPeer], endpoint: str, task: Task, hold: Callable[[], object]) -> dict[str, Any]:
    """Idle connections, until the driver has seen what they cost the server."""
    with contextlib.ExitStack() as stack:
        for _ in range(task.connections):
            stack.enter_context(connected(peer, endpoint))
        hold()
    return {"released": True}


MEASURES: dict[str, Callable[[BlockingPeer, Task], dict[str, Any]]] = {
    "alone": alone,
    "flight": flight,
    "payload": payload,
    "stream": stream,
    "rate": rate,
}
