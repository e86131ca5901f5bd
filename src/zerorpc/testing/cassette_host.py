"""What answers the calls of a client that a cassette stands behind: the tape, or the real server and the tape listens.

It takes requests at the level of events, so that whatever a server says comes back as it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

from zerorpc.client.async_call import AsyncStream
from zerorpc.client.asynchronous import AsyncClient
from zerorpc.client.options import options
from zerorpc.compat.context import Context
from zerorpc.errors import SERVER_ERRORS, ProtocolError, RemoteError, SerializationError, ZeroRPCError
from zerorpc.logs import Logger, Sparing
from zerorpc.protocol.events import DONE, ERR, ERROR_KEY, OK, RAN_KEY, STREAM, BadEvent, decode_header, encode
from zerorpc.protocol.server_channel import ServerChannel
from zerorpc.protocol.server_peer import ServerPeer
from zerorpc.testing.host import NAME
from zerorpc.testing.memory import Lane, MemoryTransport
from zerorpc.testing.tape import CassetteMiss, Recorded, Tape
from zerorpc.transport.aio_link import AioLink
from zerorpc.transport.link import Owner
from zerorpc.zmtp.mechanisms import NewMechanism, Null

__all__ = ["Player", "Recorder", "misses_are_raised"]

logger: Logger = Logger("zerorpc.testing")

_PROTOCOLS_OWN = ("message_id", "v", "response_to")  # of a header


_raising = 0
_lock = threading.Lock()


@contextlib.contextmanager
def misses_are_raised() -> Iterator[None]:
    """While a cassette is in use clients know CassetteMiss among what a server itself may say."""
    global _raising  # noqa: PLW0603
    with _lock:
        _raising += 1
        SERVER_ERRORS[CassetteMiss.__name__] = CassetteMiss
    try:
        yield
    finally:
        with _lock:
            _raising -= 1
            if not _raising:
                del SERVER_ERRORS[CassetteMiss.__name__]


class CassetteHost:
    """Takes requests, and has ``answer`` deal with each, in a task of its own."""

    stale = False  # as a link's hub,
    admission = None  # which lets everybody in
    refused: Sparing = Sparing()

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.owner: Owner[AioLink, Any, Any] = self  # of the links, whose hub this is
        self.links: set[AioLink] = set()
        self._new_id = Context().next_msgid
        self._tasks: set[asyncio.Task[None]] = set()

    async def answer(self, call: Conversation) -> None:
        raise NotImplementedError

    serves = True

    async def start(self) -> None: ...

    def accept(self, incoming: Lane, outgoing: Lane) -> None:
        loop = asyncio.get_running_loop()
        MemoryTransport(loop, AioLink(loop, self, self.make_peer(), None, NAME), incoming, outgoing).open()

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # Told by the links

    def make_peer(self, mechanism: NewMechanism = Null) -> ServerPeer:
        return ServerPeer(None, self._new_id, mechanism=mechanism)

    def received(self, link: AioLink, touched: list[ServerChannel]) -> None:
        for channel in touched:
            if channel.runner is not None:
                channel.runner.wake()
            elif not channel.closed:
                call = Conversation(link, channel)
                channel.runner = call
                call.task = task = asyncio.ensure_future(self._answer(call))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _answer(self, call: Conversation) -> None:
        try:
            if isinstance(call.channel.event, BadEvent):
                raise ProtocolError(f"a request that can't be decoded: {call.channel.problem}")
            if call.unfit is not None:
                why = f"{call.method}: {call.unfit} has no place in a cassette"
                call.fail(("NotSupported", why, None), False, None)
                return
            await self.answer(call)
        except CassetteMiss as miss:
            call.fail((miss.name, miss.msg, miss.traceback), miss.ran, type(miss).__name__)
        except Exception as error:
            logger.error("the call of %.200s can't be dealt with", call.method, raised=error)
            call.fail((type(error).__name__, str(error), None), None, None)

    def peer_lost(self, link: AioLink, ended: list[ServerChannel]) -> None:
        for channel in ended:
            if channel.runner is not None:
                channel.runner.wake()

    def peer_ready(self, link: AioLink) -> None: ...

    def peer_leaves(self, link: AioLink) -> None: ...

    def peer_retires(self, link: AioLink) -> None: ...

    def is_idle(self, link: AioLink) -> bool:
        return not link.peer.channels

    def peer_writable(self, link: AioLink) -> None:
        for channel in list(link.peer.channels.values()):
            if channel.runner is not None:
                channel.runner.wake()

    def forked(self) -> None: ...


class Conversation:
    """A request that is being answered. It is its channel's runner."""

    def __init__(self, link: AioLink, channel: ServerChannel) -> None:
        self.channel = channel
        self.method: str = channel.name
        self.args: list[Any] = channel.args if isinstance(channel.args, list) else []
        said = channel.call  # besides
        self.kwargs: dict[str, Any] = (said.kwargs if said is not None else None) or {}
        self.metadata: dict[str, Any] | None = None if said is None else said.metadata
        self.unfit: str | None = None  # what can't be recorded of it
        if said is not None and said.stream is not None:
            self.unfit = "an argument that streams"
        elif said is not None and said.lends:
            self.unfit = "an argument that is passed by reference"
        self.task: asyncio.Task[None] | None = None
        self._link = link
        self._room = asyncio.Event()

    @property
    def context(self) -> dict[str, object]:
        """What middleware has put into the request's header."""
        header = decode_header(self.channel.data)
        return {key: value for key, value in header.items() if key not in _PROTOCOLS_OWN and key[:5] != "_zpc_"}

    def reply(self, name: str, args: object, last: bool, **header: object) -> None:
        channel = self.channel
        natural = channel.peer.level >= 1
        channel.send(encode({**channel.peer.event_header(channel), **header}, name, args, natural), last)
        self._link.flush_soon()

    def fail(self, error: tuple[str, str, str | None], ran: bool | None, kind: str | None) -> None:
        header: dict[str, object] = {RAN_KEY: ran} if kind is None else {RAN_KEY: ran, ERROR_KEY: kind}
        self.reply(ERR, error, True, **header)

    async def send_item(self, item: object) -> None:
        """Send one of a stream; returns when there is room for another."""
        self.reply(STREAM, item, False)
        while self.channel.room <= 0 or not self._link.peer.writable:
            self._room.clear()
            await self._room.wait()

    def lose(self, error: Exception) -> None:
        """The server is lost: so is this connection."""
        self._link.abort(error)

    def wake(self) -> None:
        """There is room, or the caller is gone."""
        if self.channel.closed and self.task is not None:
            self.task.cancel()
        self._room.set()


class Player(CassetteHost):
    """Answers from the tape."""

    async def answer(self, call: Conversation) -> None:
        played = self.tape.play(call.method, call.args, call.kwargs)
        for item in played.stream or ():
            await call.send_item(item)
        if played.error is not None:
            ran, kind = played.error.get("ran"), played.error.get("kind")
            call.fail(
                played.error_args, ran if isinstance(ran, bool) else None, kind if isinstance(kind, str) else None
            )
        elif played.stream is None:
            call.reply(OK, (played.result,), True)
        elif played.left:
            raise self.tape.beyond(played)
        else:
            call.reply(DONE, None, True)


class Recorder(CassetteHost):
    """Passes calls on to the real server, and keeps what it says. ``connect`` makes the client for that."""

    def __init__(self, tape: Tape, connect: Callable[[Context], AsyncClient]) -> None:
        super().__init__(tape)
        self._connect = connect
        self._client: AsyncClient | None = None
        self._asked = False
        self._passed_on: contextvars.ContextVar[dict[str, object]] = contextvars.ContextVar("passed_on")

    async def start(self) -> None:
        context = Context()
        context.register_middleware({"get_task_context": lambda: self._passed_on.get({})})
        self._client = self._connect(context)

    @property
    def _server(self) -> AsyncClient:
        assert self._client is not None
        return self._client

    async def stop(self) -> None:
        await super().stop()
        if self._client is not None:
            await self._client.aclose()

    async def answer(self, call: Conversation) -> None:
        self._passed_on.set(call.context)
        recorded = self.tape.record(call.method, call.args, call.kwargs)
        try:
            await self._learn_parameters()
            server = options(self._server, timeout=None, metadata=call.metadata or None)
            outcome = await server(call.method, *call.args, **call.kwargs)
            if isinstance(outcome, AsyncStream):
                await self._pass_items_on(outcome, recorded, call)
            else:
                call.reply(OK, (outcome,), True)
                recorded.result, recorded.over = outcome, True
        except RemoteError as error:
            kind = type(error).__name__ if type(error) in SERVER_ERRORS.values() else None
            recorded.fails(error, kind)
            call.fail((error.name, error.msg, error.traceback), error.ran, kind)
        except SerializationError as error:  # it is passed by reference
            call.fail(
                (type(error).__name__, f"{call.method}: it has no place in a cassette: {error}", None), True, None
            )
        except ZeroRPCError as error:  # lost, or what the protocol doesn't allow: no outcome to keep
            call.lose(error)

    async def _pass_items_on(self, items: AsyncStream, recorded: Recorded, call: Conversation) -> None:
        recorded.stream = []
        async with contextlib.aclosing(items):
            try:
                async for item in items:
                    recorded.stream.append(item)
                    await call.send_item(item)
            except asyncio.CancelledError:
                recorded.left = recorded.over = True
                raise
        recorded.over = True
        call.reply(DONE, None, True)

    async def _learn_parameters(self) -> None:
        """The names of all methods' arguments, to find secrets among them: once, when the first call comes."""
        if self._asked:
            return
        self._asked = True
        told: Any = None
        try:
            told = await self._server("_zerorpc_inspect", timeout=None)  # Node's doesn't even refuse _zerorpc_args
        except RemoteError:
            pass  # a server that doesn't tell
        except BaseException:
            self._asked = False
            raise
        methods = told.get("methods") if isinstance(told, dict) else None
        for name, method in methods.items() if isinstance(methods, dict) else ():
            self.tape.parameters[name] = _positional(method)


def _positional(method: Any) -> list[str]:
    """The names of a method's parameters that have a position, as _zerorpc_inspect tells them."""
    told = method.get("args") if isinstance(method, dict) else None
    names = [str(each.get("name")) for each in told or () if isinstance(each, dict)]
    if names and names[0] == "self":  # zerorpc 0.6 has it among them
        names = names[1:]
    return list(itertools.takewhile(lambda name: not name.startswith("*"), names))
