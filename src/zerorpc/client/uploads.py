"""Arguments that stream to the server: which they are, and the thread that sends one for a blocking client."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import io
import threading
from collections.abc import AsyncIterator, Iterator
from time import monotonic
from typing import Any, Protocol

from zerorpc.protocol.channel import ClientChannel
from zerorpc.protocol.events import CALL_KEY, DONE, ERR, STREAM
from zerorpc.protocol.upload import Upload
from zerorpc.runtime import threads
from zerorpc.shown import message_of, name_of, traceback_of

__all__ = ["END", "ThreadUpload", "in_chunks", "take_stream", "tell_failure"]

CHUNK = 64 * 1024  # octets of a file that are sent at once
END: Any = object()


def take_stream(
    method: str, header: dict[str, object], args: tuple[object, ...]
) -> tuple[Upload | None, tuple[object, ...]]:
    """The one argument that streams, and the others, with None in its place; the header then says which it is.

    If there is no such argument, they stay as they are. Raises TypeError for a second one.
    """
    call: Any = header.get(CALL_KEY) or {}
    kwargs: dict[str, object] = call.get("kwargs") or {}
    places: list[int | str] = [place for place, value in enumerate(args) if _streams(value)]
    places += [name for name, value in kwargs.items() if _streams(value)]
    if not places:
        return None, args
    if len(places) > 1:
        raise TypeError(f"{method}: one argument of a call can stream, and these are iterators: {places}")
    place = places[0]
    if isinstance(place, int):
        source, args = args[place], (*args[:place], None, *args[place + 1 :])
        header[CALL_KEY] = {**call, "stream": place}
    else:
        source = kwargs[place]
        header[CALL_KEY] = {**call, "kwargs": {**kwargs, place: None}, "stream": place}
    return Upload(source), args


def _streams(value: object) -> bool:
    return issubclass(type(value), (Iterator, AsyncIterator, io.IOBase))  # isinstance asks the value itself, too


def in_chunks(source: Any) -> Iterator[object]:
    """The items of what isn't async; of a binary file its octets, in chunks."""
    if isinstance(source, (io.RawIOBase, io.BufferedIOBase)):
        return iter(functools.partial(source.read, CHUNK), b"")
    return iter(source)


def tell_failure(channel: ClientChannel, error: BaseException, now: float) -> None:
    """The program's iterator raised: the method's raises it too, and the caller gets it when the method has ended."""
    upload = channel.upload
    assert upload is not None
    if upload.error is None:
        upload.error = error
    if not channel.over and not upload.ended:
        text, _ = traceback_of(error, error.__traceback__)
        channel.send_item(ERR, [name_of(error), message_of(error), text], now)


class UploadCaller(Protocol):
    """What a blocking client knows of its peers."""

    @property
    def lock(self) -> threading.RLock: ...

    def send(self, channel: ClientChannel, /) -> None:
        """Send what a call has to send, and look after its deadline. With the lock held."""


class ThreadUpload:
    """Sends one call's argument. The program's iterator runs in this thread, in a copy of the caller's context."""

    def __init__(self, core: UploadCaller, channel: ClientChannel) -> None:
        assert channel.upload is not None
        self._core = core
        self._channel = channel
        self._upload = channel.upload
        self._nudged = threading.Lock()
        self._nudged.acquire()
        self._upload.sender = self

    def start(self) -> None:
        """Raises RuntimeError if there can be no further thread, and TypeError for an async iterator."""
        source = self._upload.source
        if isinstance(source, AsyncIterator):
            raise TypeError(f"{self._channel.method}: an AsyncClient sends async iterators; a Client takes plain ones")
        work = functools.partial(contextvars.copy_context().run, self._run)
        threads.start(threading.Thread(target=work, name="zerorpc-upload", daemon=True))

    def wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # awake already
            self._nudged.release()

    def _run(self) -> None:
        core, channel = self._core, self._channel
        try:
            if not self._wait_for_room():
                return
            items = in_chunks(self._upload.source)  # not before: if it raises, the server has to be there to be told
            self._upload.source = None  # it goes with this thread
            more = True
            while more and self._wait_for_room():
                item = next(items, END)
                more = item is not END
                with core.lock:
                    if channel.over:
                        return
                    name, args = (STREAM, item) if more else (DONE, None)
                    channel.send_item(name, args, monotonic())
                    core.send(channel)
        except BaseException as error:
            with core.lock:
                tell_failure(channel, error, monotonic())
                core.send(channel)

    def _wait_for_room(self) -> bool:
        """Until a further item may go; False if none is wanted any more."""
        while True:
            with self._core.lock:
                if self._channel.over:
                    return False
                if self._channel.may_send(monotonic()):
                    return True
                self._core.send(self._channel)
            self._nudged.acquire()
