"""What hardly any method uses of its call: made when one asks for it."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from zerorpc.protocol.call_header import Metadata
from zerorpc.scope import Cancellable

__all__ = ["Extras"]


class Extras:
    """Metadata, progress, and the calls that the method makes."""

    def __init__(self) -> None:
        self.reply_metadata: Metadata = {}
        self.end_metadata: Metadata = {}
        self.report: Callable[[float, float | None, str], None] | None = None  # the caller wants to hear of progress
        self.told: bool = False  # the first of the two has gone
        self.calls: weakref.WeakSet[Cancellable] = weakref.WeakSet()  # made by the method: they end with it
