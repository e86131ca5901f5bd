"""Offers a service more than it can do, by the clock and not by what comes back, as a program.

``python -m tests.soak.overload ENDPOINT``. It takes lines of JSON, ``Offer``s, and answers each with what it measured.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import zerorpc
from tests.soak import state
from zerorpc.cli.latency import Histogram
from zerorpc.errors import RemoteError, TimeoutExpired
from zerorpc.protocol.events import BadEvent, decode, encode
from zerorpc.runtime.loops import new_event_loop
from zerorpc.transport.endpoints import parse
from zerorpc.zmtp import Connection, SocketType, State

CONNECTIONS = 10
TIMEOUT = 1.0  # s that callers wait


@dataclass
class Offer:
    """A command: calls of a method, so many a second, or (``rate`` 0) so many at any time."""

    method: str
    seconds: float
    rate: float = 0.0
    at_once: int = 0
    old: bool = False  # by callers as zerorpc 0.6 is one: they neither say how long they wait, nor that they gave up


class OldCaller(asyncio.Protocol):
    """A client without our extensions. Whoever gives up just stops to listen."""

    def __init__(self) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._connection = Connection(SocketType.DEALER, properties={})
        self._calls: dict[bytes, asyncio.Future[Any]] = {}
        self._made = 0
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._flush()

    def data_received(self, data: bytes) -> None:
        for message in self._connection.receive_data(data):
            event = decode(message[-1])
            assert not isinstance(event, BadEvent)
            call = self._calls.pop(bytes(event.header.response_to)[2:], None)  # a bin of less than 256 octets
            if call is not None and not call.done():
                call.set_result(event)
        self._flush()
        if self._connection.state is State.TRAFFIC and not self.ready.done():
            self.ready.set_result(None)

    def _flush(self) -> None:
        self._transport.writelines(self._connection.take_output())

    async def call(self, method: str) -> None:
        self._made += 1
        message_id = b"%032d" % self._made
        call = self._calls[message_id] = asyncio.get_running_loop().create_future()
        self._connection.send_delimited(encode({"message_id": message_id, "v": 3}, method, []))
        self._flush()
        try:
            event = await asyncio.wait_for(call, TIMEOUT)
        except TimeoutError:
            raise TimeoutExpired(TIMEOUT) from None
        finally:
            self._calls.pop(message_id, None)
        if event.name == "ERR":
            raise RemoteError(*event.args)

    def close(self) -> None:
        self._transport.abort()


class Tally:
    """What came back. Goodput is counted by when a result comes, so that what is late for the window isn't in it."""

    def __init__(self, end: float) -> None:
        self.offered = self.good = self.refused = self.late = 0
        self.other: list[str] = []
        self.good_after = Histogram()
        self.refused_after = Histogram()
        self._end = end

    async def count(self, call: Awaitable[Any], due: float) -> None:
        self.offered += 1
        try:
            await call
        except RemoteError as error:
            if error.name == "ServerOverloaded":
                self.refused += 1
                self.refused_after.record(self._since(due))
            else:
                self.other.append(repr(error))
        except TimeoutExpired:
            self.late += 1
        except Exception as error:
            self.other.append(repr(error))
        else:
            self.good += time.monotonic() <= self._end
            self.good_after.record(self._since(due))

    def _since(self, due: float) -> int:
        return max(0, int((time.monotonic() - due) * 1e9))

    def result(self, seconds: float) -> dict[str, Any]:
        return {
            "offered": round(self.offered / seconds, 1),
            "goodput": round(self.good / seconds, 1),
            "refused": round(self.refused / seconds, 1),
            "late": round(self.late / seconds, 1),
            "other": self.other[:20],
            "good_ms": quantiles(self.good_after),
            "refused_ms": quantiles(self.refused_after),
        }


def quantiles(histogram: Histogram) -> dict[str, float]:
    """In ms; empty if there was nothing."""
    if not histogram.count:
        return {}
    return {f"p{percent}": round(histogram.percentile(percent) / 1e6, 3) for percent in (50, 90, 99)}


async def offer(endpoint: str, wanted: Offer) -> dict[str, Any]:
    clients = [await connect(endpoint, wanted.old) for _ in range(CONNECTIONS)]
    start = time.monotonic()
    tally = Tally(start + wanted.seconds)

    def call(number: int, due: float) -> Awaitable[None]:
        return tally.count(clients[number % CONNECTIONS].call(wanted.method), due)

    if wanted.rate:
        await by_the_clock(call, wanted.rate, start, start + wanted.seconds)
    else:
        callers = range(wanted.at_once)
        await asyncio.gather(*(one_after_the_other(call, number, start + wanted.seconds) for number in callers))
    for client in clients:
        client.close()
    return tally.result(wanted.seconds)


async def by_the_clock(call: Callable[[int, float], Awaitable[None]], rate: float, start: float, end: float) -> None:
    tasks = set()
    number, due = 0, start
    while due < end:
        if (ahead := due - time.monotonic()) > 0:
            await asyncio.sleep(ahead)
        tasks.add(asyncio.ensure_future(call(number, due)))
        number += 1
        due = start + number / rate
        if number % 100 == 0:
            await asyncio.sleep(0)  # late: let those that are sent have their turn
    await asyncio.gather(*tasks)


async def one_after_the_other(call: Callable[[int, float], Awaitable[None]], number: int, end: float) -> None:
    while (now := time.monotonic()) < end:
        await call(number, now)


class OurCaller:
    def __init__(self, endpoint: str) -> None:
        self._client = zerorpc.AsyncClient(endpoint, timeout=TIMEOUT)

    def call(self, method: str) -> Any:
        return self._client(method)

    def close(self) -> None:
        self._client.close()


async def connect(endpoint: str, old: bool) -> OldCaller | OurCaller:
    if not old:
        return OurCaller(endpoint)
    where = parse(endpoint)
    _, caller = await asyncio.get_running_loop().create_connection(OldCaller, where.host, where.port)
    await caller.ready
    return caller


def main() -> None:
    loop = new_event_loop()
    state.listen_to_complaints()
    for line in sys.stdin:
        print(json.dumps(loop.run_until_complete(offer(sys.argv[1], Offer(**json.loads(line))))), flush=True)
    loop.close()


if __name__ == "__main__":
    main()
