"""The client's half of an argument that streams: what it may still send, and who is told of that.

The request was the one event that needs no grant, so the first item waits for credit: the server gives it when the
method begins to read. While the program is asked for an item there is no limit of time, but for that of the whole call.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct, field

from zerorpc.protocol.flow import Outflow

__all__ = ["Sender", "Upload"]


class Sender(Protocol):
    """Who sends the items, in a task or thread of its own."""

    def wake(self) -> None:
        """There is credit, or the call is over. From any thread, at any moment."""


class Upload(Struct, eq=False):
    """A channel has one if an argument of its call streams."""

    source: object  # the argument, as the program gave it
    sender: Sender | None = None
    outflow: Outflow = field(default_factory=lambda: Outflow(0))
    begun: bool = False  # an item was sent: the call can't be made again
    ended: bool = False  # so was the end
    error: BaseException | None = None  # the program's iterator raised it: it is the caller's, whatever the method does

    def wake(self) -> None:
        if self.sender is not None:
            self.sender.wake()
