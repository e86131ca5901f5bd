"""The items of a streaming method, for blocking code."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from zerorpc.client.request import Request
from zerorpc.not_picklable import NotPicklable
from zerorpc.protocol.channel import ClientChannel
from zerorpc.transport.leading import InUse

__all__ = ["Stream"]


class StreamCaller(Protocol):
    """The core of a blocking client, as its streams use it."""

    def wait_for_item(
        self,
        channel: ClientChannel,
        ready: Callable[[ClientChannel], bool],
        begin: Callable[[ClientChannel, float], None],
        /,
    ) -> None:
        """Until a stream is ``ready``; ``begin`` is called first, with the hub's lock held."""

    def want_newest(self, channel: ClientChannel, /) -> None:
        """Have the server leave out all items but the newest."""

    def look_by(self, when: float, /) -> None:
        """Have whoever drives the sockets look at the time then. With the hub's lock held."""

    def grant(self, channel: ClientChannel, /) -> None:
        """Let the server send more, if it is time."""

    def abandon(self, channel: ClientChannel) -> None:
        """Nobody wants the rest."""

    def drop(self, channel: ClientChannel, error: Exception | None = None) -> None:
        """The same at any moment, and in any thread."""


class Stream(NotPicklable):
    """The items of a streaming method, as an iterator and context manager. A blocking call returns it.

    One thread may wait for an item at a time, another one may call ``close``. Closing or dropping it frees what the
    stream holds here and at a server of ours, which ends the method.
    """

    _ended = True  # until it is whole: an interrupt may leave half of one to be dropped

    def __init__(self, core: StreamCaller, request: Request) -> None:
        self._core = core
        self._request = request
        self._channel = request.channel
        inflow = request.channel.inflow
        assert inflow is not None
        self._inflow = inflow
        self._reader: object | None = None  # who waits for an item
        self._ended = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        """The next item. Raises what a call raises, StopIteration at the end or when it was closed.

        Raises RuntimeError while another thread waits for an item; that thread still gets it. Waits without a limit, as
        long as the server is alive. Interrupting it (Ctrl-C) gives the stream up.
        """
        channel, inflow = self._channel, self._inflow
        inbox = inflow.inbox
        while True:
            if not inbox or self._reader is not None or self._ended:
                self._wait()
            try:
                event, data = inbox.popleft()
            except IndexError:
                continue  # another thread was quicker
            break
        if inflow.granted + len(inbox) <= inflow.low:
            self._core.grant(channel)
        is_item = False
        try:
            is_item, item = self._request.item(event, data)
        finally:
            if not is_item:  # if it is, another thread may have closed the stream meanwhile
                self._ended = True
        if not is_item:
            raise StopIteration
        return item

    def latest(self) -> Stream:
        """Have the next item always be the newest that there is; this very stream, for ``for``.

        What comes while the reader is at work is left out at the server, which goes on making items: for cameras and
        robots. An item is asked for when the reader wants it, which takes a round trip. Raises RuntimeError after the
        first item was read, and NotSupported for a server of zerorpc 0.6.
        """
        self._core.want_newest(self._channel)
        return self

    @property
    def dropped(self) -> int:
        """How many items were left out so far, because of ``latest``."""
        return self._inflow.dropped

    @property
    def metadata(self) -> dict[str, str | bytes]:
        """What the method has sent along with its first item (``current_call().reply_metadata``)."""
        return self._request.metadata

    @property
    def end_metadata(self) -> dict[str, str | bytes]:
        """What it has sent along with the end (``current_call().end_metadata``); empty before that was read."""
        return self._request.end_metadata

    def _wait(self) -> None:
        """Until the channel is readable. Raises what is to be raised instead."""
        if self._ended:
            raise StopIteration
        channel, reader = self._channel, object()
        try:
            self._core.wait_for_item(channel, self._is_ready, functools.partial(self._begin_reading, reader))
        except BaseException:
            if self._reader is reader:
                self._reader, self._ended = None, True
                self._core.abandon(channel)
            raise
        self._reader = None
        channel.end_wait()
        if self._ended:
            raise StopIteration
        if not self._inflow.inbox and channel.error is not None:  # else another thread was quicker
            self._ended = True
            self._request.complete_error()
            error, channel.error = channel.error, None  # or they would be a circle: error, traceback, frame, channel
            if error is None:  # another thread raises it
                raise StopIteration
            try:
                self._request.failed(error)
                raise error
            finally:
                del error

    def _begin_reading(self, reader: object, channel: ClientChannel, now: float) -> None:
        """With the hub's lock held."""
        if self._reader is not None:
            raise InUse(
                f"this stream of {channel.method} is being read by another thread, or by a call that a signal handler "
                "has interrupted: only one may wait for its items at a time"
            )
        self._reader = reader
        if (until := channel.begin_wait(now)) is not None:
            self._core.look_by(until)

    def _is_ready(self, channel: ClientChannel) -> bool:
        return self._ended or channel.readable

    def close(self) -> None:
        """Take no more items; a server of ours is told. A thread that waits for one gets StopIteration.

        Safe from any thread, and to call twice.
        """
        if not self._ended:
            self._ended = True
            self._core.abandon(self._channel)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._ended:
            self._core.drop(self._channel)
