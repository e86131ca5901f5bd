"""What the main thread does: blocking calls, into which signals come."""

from __future__ import annotations

import signal
import threading
from typing import Any

from tests.model.blocking import FROM_INSIDE
from tests.model.book import INTERRUPTED, Interrupted
from tests.model.world import Actor, World

SOON = 0.004  # s; a call takes less than one millisecond


class Main(Actor):
    """The main thread. Its handler of SIGALRM raises, or calls, as the operation under way wants it."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "main", 2)
        self._handle: Any = None
        signal.signal(signal.SIGALRM, lambda *_: self._handle and self._handle())

    def run(self) -> None:
        acts = [self.interrupt, self.interrupt_stream, self.call_inside]
        while not self.book.over.is_set():
            act = self.choose(acts) or self.wait
            act()

    def _armed(self, handle: Any, act: Any) -> Any:
        """``act()``, with a signal soon."""
        self._handle = handle
        self.world.interruptible = threading.get_ident() if handle is interrupt else None
        signal.setitimer(signal.ITIMER_REAL, self.random.uniform(1e-5, SOON))
        try:
            return act()
        finally:
            self._handle = None
            signal.setitimer(signal.ITIMER_REAL, 0)
            self.world.interruptible = None

    def interrupt(self) -> None:
        """Which may cost a connection, if it comes in the middle of our work on it."""
        client, call_id = self.world.client, self.new_id()
        seconds = self.random.choice([0.0, SOON])
        reason = self.book.reason("interrupted", "LostRemote", client=client, text=INTERRUPTED)
        with self.call("interrupted", call_id, client, may={"Interrupted"}) as found:
            found.append(self._armed(interrupt, lambda: client.slow(call_id, seconds)))
        reason.end()

    def interrupt_stream(self) -> None:
        client, call_id = self.world.client, self.new_id()
        reason = self.book.reason("interrupted", "LostRemote", client=client, text=INTERRUPTED)
        with self.call("stream, interrupted", call_id, client, may={"Interrupted"}) as found:
            items = self._armed(interrupt, lambda: list(client.items(call_id, 50, 0.0)))
            found.append(call_id if items == list(range(call_id, call_id + 50)) else items)
        reason.end()

    def call_inside(self) -> None:
        """The handler calls, while a call is under way in the same thread."""
        client, inner = self.world.client, self.new_id()

        def handle() -> None:
            with self.call("from a signal handler", inner, client, may=FROM_INSIDE) as found:
                found.append(client.echo(inner))

        call_id = self.new_id()
        with self.call("a handler calls meanwhile", call_id, client) as found:
            found.append(self._armed(handle, lambda: client.slow(call_id, self.random.choice([0.0, SOON]))))


def interrupt() -> None:
    raise Interrupted
