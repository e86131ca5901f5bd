"""The two main paths and a yardstick, for test_costs.py, which runs this under callgrind and counts instructions.

Callgrind begins a new file of counts at each call of getsid(), which nothing else here calls. So the files alternate:
one for what lies between two parts, one for a part. At the end the parts' names and their rounds go to stdout, in
order, as a JSON object.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import threading
from collections.abc import Iterator

import msgspec

import zerorpc
from zerorpc.runtime.loops import new_event_loop
from zerorpc.transport import polling

TEXT = "hello world"
IN_FLIGHT = 100
EACH = 5  # calls that each of these makes, one after the other
WARM_UPS = 3  # of 500 calls: a function is optimized only once it was called often
ALONE = 300
YARDSTICKS = 300
EMPTY_CALLS = 100

SLOWER = 50  # times: what callgrind makes of this
PATIENCE = 600.0  # s, where silence counts: the machine may be busy, too
polling._QUIET *= SLOWER  # or some calls would look first whether the server is still there, as after a pause

parts: dict[str, int] = {}


def main() -> None:
    measure_yardstick()
    measure_empty_calls()
    loop = new_event_loop()
    loop.run_until_complete(measure_in_flight())
    loop.close()
    measure_alone()
    print(json.dumps(parts))


@contextlib.contextmanager
def part(name: str, rounds: int) -> Iterator[None]:
    """What runs inside is counted by itself; its cost is for ``rounds`` of something."""
    parts[name] = rounds
    gc.collect()
    gc.freeze()
    os.getsid(0)
    yield
    os.getsid(0)


# The paths


async def echo(value: object) -> object:
    """What every call calls."""
    return value


def new_server() -> zerorpc.Server:
    return zerorpc.Server({"echo": echo}, heartbeat=PATIENCE)


async def measure_in_flight() -> None:
    """AsyncClient and server on the same loop."""
    server = new_server()
    endpoint = server.bind("tcp://127.0.0.1:0")[0]
    serving = asyncio.ensure_future(server.serve())
    async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE, heartbeat=PATIENCE) as client:

        async def caller() -> None:
            for _ in range(EACH):
                await client.echo(TEXT)

        for _ in range(WARM_UPS):
            await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
        with part("100 in flight", IN_FLIGHT * EACH):
            await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
    server.stop()
    await serving


def measure_alone() -> None:
    """A blocking Client, and the server on a thread. Both are counted; neither runs while the other does."""
    server = new_server()
    endpoint = server.bind("tcp://127.0.0.1:0")[0]
    serving = threading.Thread(target=server.run)
    serving.start()
    try:
        with zerorpc.Client(endpoint, timeout=PATIENCE, heartbeat=PATIENCE) as client:
            for _ in range(ALONE):
                client.echo(TEXT)
            with part("one at a time", ALONE):
                for _ in range(ALONE):
                    client.echo(TEXT)
    finally:
        server.stop()
        serving.join()


# What they are compared with


class Event(msgspec.Struct, array_like=True):
    """An event of zerorpc, with none of our code."""

    header: dict[str, object]
    name: str
    args: msgspec.Raw


class Table:
    """What our code does most, between two uses of the codec: calls methods, keeps things in slots and dicts."""

    __slots__ = ("kept", "puts")

    def __init__(self) -> None:
        self.puts = 0
        self.kept: dict[int, object] = {}

    def put(self, key: int, value: object) -> bool:
        kept = self.kept
        if key in kept:
            return False
        kept[key] = value
        self.puts += 1
        return True

    def take(self, key: int) -> object:
        return self.kept.pop(key, None)


def measure_yardstick() -> None:
    use_yardstick(YARDSTICKS)
    with part("yardstick", YARDSTICKS):
        use_yardstick(YARDSTICKS)


def use_yardstick(rounds: int) -> None:
    """Don't change it: the limits in test_costs.py are in its units."""
    encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(Event).decode
    event = ({"message_id": b"0123456789abcdef", "v": 3}, "echo", [TEXT])
    table = Table()
    for number in range(rounds):
        for key in range(10):
            table.put(key, number)
        for key in range(10):
            table.take(key)
        decode(encode(event))


def measure_empty_calls() -> None:
    rounds = 30
    call_nothing(rounds)
    with part("100 empty calls", rounds):
        call_nothing(rounds)


def call_nothing(rounds: int) -> None:
    for _ in range(rounds):
        for _ in range(EMPTY_CALLS):
            nothing()


def nothing() -> None:
    pass


if __name__ == "__main__":
    main()
