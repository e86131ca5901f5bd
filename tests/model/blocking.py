"""What threads do with the blocking client."""

from __future__ import annotations

import gc
import os
import sys
import threading
from typing import Any

import zerorpc
from tests.model import children
from tests.model.book import INTERRUPTED, named
from tests.model.world import TIMEOUT, Actor

ROOM = 200  # frames that a call from __del__ is taken to need
STEPS = 60  # frames of the deepest that a call needs, and some more


class Bomb:
    """Garbage, which calls when it is collected: at any moment, in any thread.

    Not while a thread begins: who has started it waits for it, and may hold what the call needs.
    """

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self._call_id = actor.new_id()
        self._pid = os.getpid()
        self._itself = self

    def __del__(self) -> None:
        if self._may_call():
            client = self._actor.world.client
            with self._actor.call("from __del__", self._call_id, client, may=FROM_INSIDE) as found:
                found.append(client.echo(self._call_id))

    def _may_call(self) -> bool:
        world, here = self._actor.world, threading.get_ident()
        is_ours = os.getpid() == self._pid  # a child has a copy of the garbage
        has_begun = here in threading._active  # type: ignore[attr-defined]
        has_room = depth() + ROOM < sys.getrecursionlimit()
        is_safe = here != world.interruptible  # or the book might be in disorder
        return is_ours and has_begun and has_room and is_safe and not world.book.over.is_set()


FROM_INSIDE = {"RuntimeError"}  # a call within a call of the same thread is answered or refused


class Caller(Actor):
    """A thread."""

    def run(self) -> None:
        acts = [
            *[self.echo] * 6,
            *[self.slow] * 2,
            *[self.read] * 3,
            *[self.leave] * 2,
            *[self.drop] * 2,
            self.close_elsewhere,
            self.two_readers,
            *[self.later] * 2,
            self.too_late,
            self.flap_dead,
            self.own_client,
            self.deep,
            self.garbage,
            self.fork,
            self.fork_unnoticed,
        ]
        while not self.book.over.is_set():
            act = self.choose(acts) or self.wait
            act()

    def _pause(self, longest: float) -> float:
        return self.random.choice([0.0, self.random.uniform(0, longest)])

    def echo(self) -> None:
        client = self.world.client
        method = self.random.choice(["echo", "plain"])
        self.simply(method, client.__getattr__(method), client=client)

    def slow(self) -> None:
        client = self.world.client
        method = self.random.choice(["slow", "slow_plain"])
        self.simply(method, client.__getattr__(method), self._pause(0.03), client=client)

    def too_late(self) -> None:
        client, timeout = self.world.client, self.random.uniform(0.005, 0.03)
        seconds = timeout + self._pause(0.01)

        def call(call_id: int) -> Any:
            return client.slow(call_id, seconds, timeout=timeout)

        self.simply("slow, with too short a timeout", call, client=client, timeout=timeout, may={"TimeoutExpired"})

    def later(self) -> None:
        """Several at once, each on a thread of its own."""
        client = self.world.client
        ids = [self.new_id() for _ in range(self.random.randint(1, 4))]
        results = []
        for call_id in ids:
            with self.call("async_, its beginning", call_id, client) as found:
                results.append((call_id, client.slow(call_id, self._pause(0.01), async_=True)))
                found.append(call_id)
        for call_id, result in results:
            with self.call("async_, its result", call_id, client) as found:
                found.append(result.get(timeout=TIMEOUT * 2))

    # Streams

    def _stream(self, client: Any, call_id: int) -> tuple[Any, int]:
        count = self.random.randint(1, 300)
        method = self.random.choice(["items", "plain_items"])
        return client(method, call_id, count, self._pause(0.0005)), count

    def read(self) -> None:
        client, call_id = self.world.client, self.new_id()
        with self.call("stream, read to its end", call_id, client, timeout=2 * TIMEOUT) as found:
            stream, count = self._stream(client, call_id)
            found.append(whole(call_id, list(stream), count))

    def leave(self) -> None:
        client, call_id = self.world.client, self.new_id()
        with self.call("stream, closed early", call_id, client) as found:
            stream, count = self._stream(client, call_id)
            with stream:
                items = [next(stream) for _ in range(self.random.randint(1, count))]
            found.append(whole(call_id, items, len(items)))
            if list(stream):
                found[0] = "an item after close()"

    def drop(self) -> None:
        client, call_id = self.world.client, self.new_id()
        with self.call("stream, dropped", call_id, client) as found:
            stream, _ = self._stream(client, call_id)
            found.append(next(stream))
            del stream

    def close_elsewhere(self) -> None:
        """Another thread closes it while this one waits for an item."""
        client, call_id = self.world.client, self.new_id()
        with self.call("stream, closed by another", call_id, client) as found:
            stream = client.items(call_id, 100_000, 0.001)
            closer = threading.Timer(self.random.uniform(0, 0.02), stream.close)
            closer.start()
            try:
                items = list(stream)
            finally:
                closer.join()
            found.append(whole(call_id, items, len(items)))

    def two_readers(self) -> None:
        """Each item goes to one of them; the second may be refused."""
        client, call_id = self.world.client, self.new_id()
        both: list[int] = []

        def read(stream: Any) -> None:
            try:
                for item in stream:
                    both.append(item)  # noqa: PERF402 - what came before an error has come
            except RuntimeError as error:
                if named(error)[0] != "RuntimeError":
                    raise

        with self.call("stream, read by two", call_id, client, timeout=2 * TIMEOUT) as found:
            stream, count = self._stream(client, call_id)
            errors: list[BaseException] = []
            other = threading.Thread(target=catching(read, errors), args=(stream,), daemon=True)
            other.start()
            catching(read, errors)(stream)
            other.join(2 * TIMEOUT)
            if other.is_alive():
                self.book.complain(f"{self.name}: the second reader of a stream (call {call_id}) hangs")
            if errors:
                raise errors[0]
            found.append(whole(call_id, sorted(both), count))

    # The client and what is around it

    def flap_dead(self) -> None:
        """Connect to where nobody is, for a moment."""
        client = self.world.client
        try:
            client.connect(self.dead)
            self.echo()
            client.disconnect(self.dead)
        except zerorpc.Closed:
            self.book.note(self.name, "closed meanwhile")

    def own_client(self) -> None:
        """A client that nobody closes."""
        client = zerorpc.Client(self.world.first, timeout=TIMEOUT)
        self.simply("echo of a client of its own", client.echo, client=client)
        if self.random.random() < 0.5:
            client.close()

    def deep(self) -> None:
        """Near the end of the stack, where it may fail at any step; which may cost a connection."""
        client, call_id = self.world.client, self.new_id()
        reason = self.book.reason("deep", "LostRemote", client=client, text=INTERRUPTED)
        with self.call("deep", call_id, client, may={"RecursionError"}) as found:
            found.append(dive(sys.getrecursionlimit() - depth() - self.random.randint(1, STEPS), client, call_id))
        reason.end()

    def garbage(self) -> None:
        Bomb(self)
        if self.random.random() < 0.3:
            gc.collect()

    # Forks

    def fork(self) -> None:
        children.fork(self, unnoticed=False)

    def fork_unnoticed(self) -> None:
        children.fork(self, unnoticed=True)


def whole(call_id: int, items: list[int], count: int) -> Any:
    """The call's id, if the items are its own, in order, and all of them; what is wrong otherwise."""
    wanted = list(range(call_id, call_id + count))
    return call_id if items == wanted else f"{len(items)} items of {count}, not as they were sent: {items[:5]}..."


def dive(steps: int, client: Any, call_id: int) -> Any:
    return dive(steps - 1, client, call_id) if steps > 0 else client.echo(call_id)


def depth() -> int:
    frame, count = sys._getframe(), 0
    while frame is not None:
        frame, count = frame.f_back, count + 1  # type: ignore[assignment]
    return count


def catching(act: Any, errors: list[BaseException]) -> Any:
    def caught(*args: Any) -> None:
        try:
            act(*args)
        except BaseException as error:
            errors.append(error)

    return caught
