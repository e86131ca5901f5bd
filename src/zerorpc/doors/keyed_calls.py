"""Calls with an idempotency key: the first one runs, and its answer is that of each repeat (docs/protocol.md).

The method runs for the key, and not for a caller: it goes on when the one that began it is gone, since a repeat will
want to know. What runs methods sees an invocation like any other. Its channel is a ``KeyedChannel``, whose answer goes
to the store, and to all that wait for it.
"""

from __future__ import annotations

import asyncio
import functools
import secrets
from collections.abc import Callable
from math import inf

from msgspec import structs

from zerorpc.doors.rpc_invocation import RpcInvocation
from zerorpc.errors import WrongArguments
from zerorpc.protocol.call_header import readdressed
from zerorpc.protocol.channel import ServerChannel
from zerorpc.protocol.events import ERR, RAN_KEY, decode_header, encode
from zerorpc.service.failure import Failure
from zerorpc.service.idempotency import AnswersInMemory, Claim, Claimed, Key, digest_of
from zerorpc.service.invocation import Invocation
from zerorpc.settings import ServerSettings

__all__ = ["KeyedCalls", "KeyedChannel"]


class KeyedCalls:
    """The calls with a key of one server, which ``submit`` runs. On its loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, submit: Callable[[Invocation], None], settings: ServerSettings
    ) -> None:
        self._loop = loop
        self._submit = submit
        self._answers = AnswersInMemory()
        self._open: dict[Key, _Run] = {}
        # What tells these answers from any other server's: only where they are is a call safe to repeat. None: nowhere
        self.id: str | None = secrets.token_hex(8) if settings.processes == 1 else None

    def let_in(self, invocation: RpcInvocation, key: str | bytes) -> None:
        """A request with a key: let it run, have it wait, or answer it. The caller flushes."""
        method = invocation.method
        if method is None or type(invocation.args) is not list:
            self._submit(invocation)  # which refuses it
        elif method.streams:
            _refuse(invocation, "an idempotency key is for methods that give one reply, and this one streams")
        elif self.id is None:
            _refuse(invocation, "idempotency keys don't hold across the several processes of this server")
        else:
            self._use((invocation.name, key), invocation)

    def _use(self, key: Key, invocation: RpcInvocation) -> None:
        digest = digest_of(invocation.args, invocation.kwargs)
        run = self._open.get(key)
        if run is not None and run.digest == digest:
            invocation.runner = _WAITS
            run.waiting.append(invocation)
            return
        claimed = self._answers.claim(key, digest, self._loop.time())
        if claimed.claim is Claim.RUN:
            invocation.runner = _WAITS
            run = self._open[key] = _Run(key, digest, [invocation])
            channel = KeyedChannel.of(invocation.channel, functools.partial(self._end, run))
            self._submit(structs.replace(invocation, channel=channel))
        else:
            self._answer(invocation, claimed)

    def _answer(self, invocation: RpcInvocation, claimed: Claimed) -> None:
        """It doesn't run: the first one did, or the key is for something else."""
        if claimed.answer is not None:
            _give(invocation, claimed.answer)
        elif claimed.claim is Claim.OTHER:
            _refuse(invocation, "its idempotency key was used before, with other arguments")
        else:
            error = LookupError(f"{invocation.name}: it ran before with its idempotency key: {claimed.claim.value}")
            invocation.answer(invocation.failure(Failure.of(error, None, True, None)), flush=False)

    def _end(self, run: _Run, data: bytes, ran: bool) -> None:
        """What ran for a key has its outcome."""
        del self._open[run.key]
        if ran:
            self._answers.answered(run.key, data, self._loop.time())
        else:
            self._answers.free(run.key)
        for invocation in run.waiting:
            if not invocation.closed:
                _give(invocation, data)
                invocation.flush_soon()

    def __repr__(self) -> str:
        return f"<KeyedCalls open={len(self._open)} {self._answers!r}>"


def _give(invocation: RpcInvocation, answer: bytes) -> None:
    channel = invocation.channel
    invocation.answer(readdressed(answer, channel.peer.event_header(channel)), flush=False)


def _refuse(invocation: RpcInvocation, why: str) -> None:
    invocation.ran, invocation.refused = False, WrongArguments
    invocation.answer(invocation.error(TypeError(f"{invocation.name}: {why}")), flush=False)


class _Run:
    """What runs for a key, and those that wait for its answer."""

    __slots__ = ("digest", "key", "waiting")

    def __init__(self, key: Key, digest: bytes, waiting: list[RpcInvocation]) -> None:
        self.key = key
        self.digest = digest
        self.waiting = waiting


class _KeyedFields(ServerChannel, eq=False, kw_only=True):
    end: Callable[[bytes, bool], None]  # with the answer, and whether the method has run
    streamed: bool = False


class KeyedChannel(_KeyedFields, eq=False):
    """The channel of what runs for a key. Nobody closes it."""

    @classmethod
    def of(cls, channel: ServerChannel, end: Callable[[bytes, bool], None]) -> KeyedChannel:
        made = cls(channel.peer, channel.key, channel.event, channel.data, channel.routing, end=end)
        made.call, made.until = channel.call, inf
        return made

    def send(self, data: bytes, last: bool = False) -> None:
        if not last:
            self.streamed = True  # what a plain method returned is an iterator
            return
        self.finished = True
        if self.streamed:
            why = f"{self.name}: an idempotency key is for methods that give one reply, and this one gave an iterator"
            data = encode(
                {**self.peer.event_header(self), RAN_KEY: True}, ERR, ("TypeError", why, f"{_HEAD}TypeError: {why}\n")
            )
        self.end(data, decode_header(data).get(RAN_KEY) is not False)


_HEAD = "Traceback (most recent call last):\n"


class _Waits:
    """The runner of a request that waits for what runs with its key. Its caller may go: that doesn't end the run."""

    def wake(self) -> None: ...


_WAITS = _Waits()
