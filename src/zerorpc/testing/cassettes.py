"""Cassettes: a conversation with a real server, recorded once, and played from then on without it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Literal, TypeAlias, get_args

from zerorpc.client.asynchronous import AsyncClient
from zerorpc.client.blocking import Client
from zerorpc.compat.context import Context
from zerorpc.settings import HEARTBEAT, TIMEOUT
from zerorpc.testing.async_pair import AsyncPair
from zerorpc.testing.blocking_pair import BlockingPair
from zerorpc.testing.cassette_host import CassetteHost, Player, Recorder, misses_are_raised
from zerorpc.testing.redaction import SECRET_NAMES
from zerorpc.testing.tape import Tape

__all__ = ["Mode", "cassette"]

Mode: TypeAlias = Literal["once", "record", "replay"]


class cassette:  # noqa: N801 - called like the functions beside it
    """A client of a server that is recorded, or of the recording.

    ::

        with zerorpc.testing.cassette("cassettes/prices.json", "tcp://prices:4242") as prices:
            assert prices.of("apples") == 3

    The first time this calls the server at ``endpoint`` and keeps in the file what it says. From then on the same calls
    get the same answers from the file, and there need be no server. With ``async with`` it is an AsyncClient.

    Arguments: ``path`` of the file, whose folder is made if need be; ``endpoint`` of the server, or several, as for a
    Client. ``mode`` is ``"once"`` (record if there is no file, else replay), ``"record"`` (always, anew) or
    ``"replay"`` (never call the server). ``redact`` are parts of the names of arguments and keys whose values are
    not to be kept, in any case and with or without ``_`` and ``-``; by default ``SECRET_NAMES``. The others are as for
    ``zerorpc.Client``.

    A replay gives each recorded call once. One that the file doesn't have, or not once more, raises CassetteMiss, an
    AssertionError; so does the end of the block, if the program has swallowed that. Calls are told apart by method and
    arguments, not by their order. Streams are kept as far as they were read, errors as they came; a call without an
    outcome, since it was late, given up or its server lost, is not kept.

    A secret is ``"<redacted>"`` in the file, in whatever else it turns up too, and in what a replay returns; all
    secrets are the same to it. Arguments' names are asked of the server; where it can't tell, only keys count.

    The file is written when the block ends without an error, as a whole or not at all. Raises ValueError for another
    mode or a file that is no cassette, FileNotFoundError in a replay without one, and EndpointError. To be entered
    once. The client is as safe with threads as any other.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        endpoint: object = None,
        *,
        mode: Mode = "once",
        redact: Iterable[str] = SECRET_NAMES,
        context: Context | None = None,
        timeout: float | None = TIMEOUT,
        heartbeat: float | None = HEARTBEAT,
    ) -> None:
        if mode not in get_args(Mode):
            raise ValueError(f'mode is "once", "record" or "replay", not {mode!r}')
        self._tape = Tape(Path(path), redact)
        self._endpoint = endpoint
        self._mode: Mode = mode
        self._context = context
        self._timeout = timeout
        self._heartbeat = heartbeat
        self._records = False
        self._in_use = contextlib.ExitStack()
        self._blocking: BlockingPair | None = None
        self._asynchronous: AsyncPair | None = None

    def __enter__(self) -> Client:
        made = Client(None, self._context, self._timeout, self._heartbeat)
        self._blocking = BlockingPair(self._host(), made)
        self._blocking.open()
        self._in_use.enter_context(misses_are_raised())
        return self._blocking.client

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._blocking is not None
        with self._in_use:
            self._blocking.close()
        self._end(error)

    async def __aenter__(self) -> AsyncClient:
        made = AsyncClient(None, self._context, self._timeout, self._heartbeat)
        self._asynchronous = AsyncPair(self._host(), made)
        await self._asynchronous.open()
        self._in_use.enter_context(misses_are_raised())
        return self._asynchronous.client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._asynchronous is not None
        with self._in_use:
            await self._asynchronous.close()
        self._end(error)

    def _host(self) -> CassetteHost:
        """What answers. Raises what keeps it from doing so."""
        if self._blocking is not None or self._asynchronous is not None:
            raise RuntimeError("a cassette is entered once: make another one of the same file")
        tape = self._tape
        self._records = self._mode == "record" or (self._mode == "once" and not tape.path.exists())
        if not self._records:
            tape.load()
            return Player(tape)
        if not self._endpoint:
            raise ValueError(f"recording {tape.path} needs an endpoint: where the server is")
        return Recorder(tape, self._connect)

    def _connect(self, context: Context) -> AsyncClient:
        return AsyncClient(self._endpoint, context, None, self._heartbeat)

    def _end(self, error: BaseException | None) -> None:
        if error is not None:
            return
        if self._tape.misses:
            raise self._tape.misses[0]
        if self._records:
            self._tape.save()

    def __repr__(self) -> str:
        return f"<cassette {self._tape.path} {self._mode}>"
