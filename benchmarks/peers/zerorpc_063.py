"""zerorpc 0.6.3 on gevent: calls block a greenlet each, so that several in flight are several greenlets."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable
from typing import Any, ClassVar

import gevent
import gevent.socket
import zmq

import zerorpc
from benchmarks.histogram import histogram_of
from benchmarks.peers.blocking import BlockingPeer, connected, hold_open, metered, one_after_the_other
from benchmarks.peers.harness import TEXT, Meter, Ready, Task, Ticks, main

MAX_SOCKETS = 20_000


class Service:
    def echo(self, value: Any) -> Any:
        return value

    @zerorpc.stream
    def items(self, count: int) -> Any:
        return (TEXT for _ in range(count))


class Greenlets(BlockingPeer):
    cannot: ClassVar = {
        "threads": "greenlets take the place of threads",
        "plain": "it has no threads for methods",
        "plain_items": "all of its generators are plain ones",
        "wait": "not made",
    }

    def connect(self) -> None:
        self._client = client = zerorpc.Client(self.endpoint, timeout=60)
        self.echo = self.echo_bytes = client.echo
        self.items = client.items

    def close(self) -> None:
        self._client.close()

    def in_flight(self, callers: int, seconds: float) -> int:
        return in_greenlets([self] * callers, seconds)

    @classmethod
    def perform(cls, endpoint: str, task: Task, hold: Callable[[], object]) -> dict[str, Any]:
        if task.measure == "hold":
            return hold_open(cls, endpoint, task, lambda: gevent.get_hub().threadpool.apply(hold))
        if task.measure == "flight" and task.connections > 1:
            return connections(endpoint, task)
        if task.measure == "rate":
            return rate(endpoint, task)
        return super().perform(endpoint, task, hold)


def in_greenlets(clients: list[Greenlets], seconds: float) -> int:
    callers = [gevent.spawn(one_after_the_other, client.echo, seconds) for client in clients]
    gevent.joinall(callers, raise_error=True)
    return sum(caller.get() for caller in callers)


def connections(endpoint: str, task: Task) -> dict[str, Any]:
    """Callers that go round connections of their own."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(Greenlets, endpoint)) for _ in range(task.connections)]
        used = clients[: task.active or None]

        def caller(number: int, end: float) -> int:
            calls = 0
            for client in itertools.cycle(used[number :: task.callers]):
                if time.perf_counter() >= end:
                    break
                client.echo(TEXT)
                calls += 1
            return calls

        def work(seconds: float) -> int:
            end = time.perf_counter() + seconds
            callers = [gevent.spawn(caller, number, end) for number in range(task.callers)]
            gevent.joinall(callers, raise_error=True)
            return sum(greenlet.get() for greenlet in callers)

        return metered(task, work)


def rate(endpoint: str, task: Task) -> dict[str, Any]:
    """Calls at fixed times, a greenlet each."""
    with connected(Greenlets, endpoint) as client:
        at_rate(client, task.rate, task.warm_up)
        meter = Meter(task)
        latencies = at_rate(client, task.rate, task.seconds)
        return meter.result(len(latencies), histogram=histogram_of(latencies), asked=task.seconds)


def at_rate(client: Greenlets, rate: int, seconds: float) -> list[float]:
    ticks = Ticks(rate)
    latencies: list[float] = []

    def one(due: float) -> None:
        client.echo(TEXT)
        latencies.append(time.monotonic() - due)

    calls: list[gevent.Greenlet] = []
    total = max(1, int(rate * seconds))
    while len(calls) < total:
        gevent.socket.wait_read(ticks.descriptor)
        for _ in range(min(ticks.read(), total - len(calls))):
            calls.append(gevent.spawn(one, ticks.due(len(calls))))
    gevent.joinall(calls, raise_error=True)
    ticks.close()
    return latencies


def serve(_flavour: str, ready: Ready) -> None:
    server = zerorpc.Server(Service())
    server.bind("tcp://127.0.0.1:*")
    ready(server._events._socket.getsockopt_string(zmq.LAST_ENDPOINT))
    server.run()


if __name__ == "__main__":
    zerorpc.Context.get_instance().max_sockets = MAX_SOCKETS
    main(serve, {"greenlets": Greenlets}, ["zerorpc", "gevent", "pyzmq", "msgpack"])
