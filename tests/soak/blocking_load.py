"""Load by blocking Clients, as a program: ``python -m tests.soak.blocking_load ENDPOINT``. See ``commands``.

Each of the held connections is a Client with a thread that calls. Some clients are dropped without being closed, and
callers like those of zerorpc 0.6, which can't say that they give up, come and go with a reset in mid-stream.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable

import zerorpc
from tests.service.running import RawPeer
from tests.soak.commands import Hold, obey
from tests.soak.ledger import STREAM, Ledger

TIMEOUT = 10.0
LATE = 0.2
PAUSE = 4.0
OLD_CALLERS = 2  # threads
PAGE = 16 * 1024
LARGE = b"x" * 256 * 1024
STACK = 256 * 1024  # octets, for hundreds of threads


class Caller:
    """Kinds of calls, made by one client."""

    def __init__(self, client: zerorpc.Client, ledger: Ledger, lots: random.Random) -> None:
        self._client = client
        self._ledger = ledger
        self._lots = lots

    def call(self) -> None:
        kinds, weights = zip(*WEIGHTS.items(), strict=True)
        self._lots.choices(kinds, weights)[0](self)

    def echo(self) -> None:
        method, value = self._lots.choice(["echo", "copy"]), self._lots.choice([None, 7, "hello world", b"\x00"])
        with self._ledger.entry("blocking", TIMEOUT):
            assert self._client(method, value) == value

    def large(self) -> None:
        with self._ledger.entry("large", TIMEOUT):
            assert self._client.echo(LARGE) == LARGE

    def fail(self) -> None:
        with self._ledger.entry("failing", TIMEOUT):
            self._client.fail("on purpose")

    def late(self) -> None:
        with self._ledger.entry("late", LATE):
            self._client.nap(30, timeout=LATE)

    def let_run(self) -> None:
        with self._ledger.entry("async_=True", TIMEOUT):
            result = self._client.nap(0.1, async_=True)
            assert result.get(timeout=TIMEOUT) == 0.1

    def count(self) -> None:
        with self._ledger.entry("stream", STREAM):
            assert list(self._client.count_plainly(200)) == list(range(200))

    def leave(self) -> None:
        with self._ledger.entry("stream left", TIMEOUT):
            with self._client.ever() as numbers:
                assert next(numbers) == 0

    def drop(self) -> None:
        with self._ledger.entry("stream dropped", TIMEOUT):
            assert next(self._client.ever_plainly()) == 0

    def read_slowly(self) -> None:
        with self._ledger.entry("stream read slowly", STREAM):
            number = 0
            for page in self._client.pages(40, PAGE):
                assert page == number.to_bytes(4, "big") * (PAGE // 4)
                number += 1
                time.sleep(0.05)
            assert number == 40


WEIGHTS: dict[Callable[[Caller], None], int] = {
    Caller.echo: 20,
    Caller.large: 1,
    Caller.fail: 2,
    Caller.late: 2,
    Caller.let_run: 2,
    Caller.count: 3,
    Caller.leave: 2,
    Caller.drop: 2,
    Caller.read_slowly: 1,
}


class Load:
    """The threads of one command."""

    def __init__(self, endpoint: str, ledger: Ledger, end: Callable[[], bool]) -> None:
        self._endpoint = endpoint
        self._ledger = ledger
        self._over = end

    def hold(self, client: zerorpc.Client, lots: random.Random) -> None:
        """One of the held connections."""
        with client:
            caller = Caller(client, self._ledger, lots)
            while not self._over():
                time.sleep(lots.uniform(0, PAUSE))
                caller.call()

    def come_and_go(self, lots: random.Random) -> None:
        """Clients that are closed, or just dropped."""
        while not self._over():
            client = zerorpc.Client(self._endpoint, timeout=TIMEOUT)
            for _ in range(lots.randrange(1, 3)):
                Caller(client, self._ledger, lots).call()
            if lots.random() < 0.5:
                client.close()
            del client
            time.sleep(lots.uniform(0, 1))

    def come_and_go_like_old_ones(self, lots: random.Random) -> None:
        """Without our extensions, and reset with a stream and a call under way."""
        while not self._over():
            with self._ledger.entry("reset", TIMEOUT), RawPeer.to(self._endpoint) as peer:
                for method, args in (("ever", []), ("ever_plainly", []), ("nap", [30]), ("pages", [100, PAGE])):
                    peer.send({"message_id": method.encode(), "v": 3}, method, args)
                    peer.send({"message_id": b"more", "v": 3, "response_to": method.encode()}, "_zpc_more", [99])
                assert peer.next_event().name == "STREAM"
                time.sleep(lots.uniform(0, 0.2))
                peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            time.sleep(lots.uniform(0, 1))


def hold(endpoint: str, wanted: Hold, ledger: Ledger, wait_for_the_others: Callable[[], None]) -> None:
    """Connect, wait, keep calling for as long as it is wanted, let everything go."""
    lots = random.Random(wanted.seed)
    clients = [zerorpc.Client(endpoint, timeout=TIMEOUT) for _ in range(wanted.connections)]
    for client in clients:
        client.echo("here")
    wait_for_the_others()
    end = time.monotonic() + wanted.seconds
    load = Load(endpoint, ledger, lambda: time.monotonic() > end)
    works = [(load.hold, client, random.Random(lots.random())) for client in clients]
    works += [(load.come_and_go, random.Random(lots.random())) for _ in range(OLD_CALLERS)]
    works += [(load.come_and_go_like_old_ones, random.Random(lots.random())) for _ in range(OLD_CALLERS)]
    threads = [threading.Thread(target=work, args=args, name="load") for work, *args in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end + 2 * STREAM - time.monotonic()))


def main() -> None:
    endpoint = sys.argv[1]
    threading.stack_size(STACK)
    with contextlib.suppress(KeyboardInterrupt):
        obey(lambda wanted, ledger, wait_for_the_others: hold(endpoint, wanted, ledger, wait_for_the_others))


if __name__ == "__main__":
    main()
