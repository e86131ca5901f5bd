"""Calls with an idempotency key: the first one runs, and its answer is that of each repeat (docs/protocol.md).

The method runs for the key, and not for a caller: it goes on when the one that began it is gone, since a repeat will
want to know. What runs methods sees an invocation like any other, which its door has made by ``for_key``: its answer
goes to the store, and then to all that wait for it. A file is shared with other processes: one of them runs a key, and
the others look now and then whether there is an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from zerorpc.errors import WorkerDied, WrongArguments
from zerorpc.logs import Logger
from zerorpc.runtime.side_thread import SideThread
from zerorpc.service.failure import Failure
from zerorpc.service.idempotency import AnswersInMemory, Claim, Claimed, Key, digest_of
from zerorpc.service.invocation import Invocation
from zerorpc.settings import Answers, ServerSettings

__all__ = ["KeyedCalls", "Store"]

logger: Logger = Logger("zerorpc.server")

_T = TypeVar("_T")

_PAUSE_MIN, _PAUSE_MAX = 0.01, 0.25  # s; a look takes some 50 us
_RENEW_EVERY = 3.0  # s; a third of the lease, so that two may fail
_SETTLE_MAX = 5.0  # s that a database that is in use may take at the end
_OTHER = "its idempotency key was used before, with other arguments"


class Store(Protocol):
    """Where keys and answers are kept (``AnswersInMemory`` says what each does)."""

    id: str  # what tells these answers from others: a call is safe to repeat only where they are

    def claim(self, key: Key, digest: bytes, now: float, /) -> Claimed: ...

    def answered(self, key: Key, answer: bytes, now: float, /) -> None: ...

    def free(self, key: Key, /) -> None: ...

    def renew(self, now: float, /) -> None: ...

    def close(self) -> None: ...


class KeyedCalls:
    """The calls with a key of one server, which ``submit`` runs. On its loop; a file is used on a thread beside it."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, submit: Callable[[Invocation], None], settings: ServerSettings
    ) -> None:
        told = settings.answers
        answers = told if isinstance(told, Answers) else Answers(told)
        self._loop = loop
        self._submit = submit
        self._open: dict[Key, _Run] = {}
        self._side: SideThread | None = None
        self._time: Callable[[], float] = loop.time
        self._store: Store
        if answers.path is None:
            self._store = AnswersInMemory(answers)
        else:
            from zerorpc.service.answers_file import AnswersInFile  # with sqlite3, which others do without

            self._store, self._side, self._time = AnswersInFile(answers), SideThread("zerorpc-answers"), time.time
        # None: several processes with answers of their own keep none together
        self.id: str | None = self._store.id if answers.path is not None or settings.processes == 1 else None
        self._renewal: asyncio.TimerHandle | None = None

    def let_in(self, invocation: Invocation, key: str | bytes, digest: Callable[[], bytes] | None = None) -> None:
        """A request with a key: let it run, have it wait, or answer it. The caller flushes.

        ``digest`` tells its arguments from others, if what they have become doesn't.
        """
        method = invocation.method
        if method is None or type(invocation.args) is not list:
            self._submit(invocation)  # which refuses it
        elif method.streams:
            _refuse(invocation, "an idempotency key is for methods that give one reply, and this one streams")
        elif self.id is None:
            _refuse(invocation, "this server has several processes: keys hold across them with Server(answers=path)")
        else:
            try:
                said = digest_of(invocation.args, invocation.kwargs) if digest is None else digest()
            except RecursionError:
                _refuse(invocation, "its arguments are nested too deeply to be kept with an idempotency key")
                return
            self._use((invocation.kept_as, _own(key, invocation.identity)), said, invocation)

    def _use(self, key: Key, digest: bytes, invocation: Invocation) -> None:
        run = self._open.get(key)
        if run is None:
            invocation.runner = _WAITS
            run = self._open[key] = _Run(key, digest, [invocation])
            self._claim(run)
        elif run.digest == digest:
            invocation.runner = _WAITS
            run.waiting.append(invocation)
        else:
            _refuse(invocation, _OTHER)

    def _claim(self, run: _Run) -> None:
        self._with_store(
            lambda store, now: store.claim(run.key, run.digest, now), functools.partial(self._claimed, run)
        )

    def _claimed(self, run: _Run, claimed: Claimed | Exception) -> None:
        if isinstance(claimed, Exception):
            self._end_with(run, lambda invocation: _fail(invocation, claimed))
        elif claimed.claim is Claim.RUN:
            self._keep_lease()
            first = run.waiting[0]
            self._submit(first.for_key(functools.partial(self._ran, run)))
            first.flush_soon()
        elif claimed.claim is Claim.BUSY:  # in another process, which doesn't tell us when it is over
            run.pause = min(2 * run.pause, _PAUSE_MAX)
            self._loop.call_later(run.pause, self._claim, run)
        else:
            self._end_with(run, lambda invocation: _answer(invocation, claimed))

    def _ran(self, run: _Run, data: bytes, ran: bool) -> None:
        """What ran for a key has its outcome."""
        answers = functools.partial(self._end_with, run, lambda invocation: invocation.give(data))
        if ran:
            self._with_store(lambda store, now: store.answered(run.key, data, now), lambda _: answers())
        else:
            self._with_store(lambda store, _: store.free(run.key), lambda _: answers())

    def _end_with(self, run: _Run, answer: Callable[[Invocation], None]) -> None:
        del self._open[run.key]
        for invocation in run.waiting:
            if invocation.closed:
                invocation.gone()
            else:
                answer(invocation)
                invocation.flush_soon()

    def _keep_lease(self) -> None:
        """Renew it now and then, as long as anything runs."""
        if self._side is not None and self._renewal is None:
            self._renewal = self._loop.call_later(_RENEW_EVERY, self._renew)

    def _renew(self) -> None:
        self._renewal = None
        if self._open:
            self._with_store(lambda store, now: store.renew(now), lambda _: None)
            self._keep_lease()

    def _with_store(self, act: Callable[[Store, float], _T], then: Callable[[_T | Exception], object]) -> None:
        """Do something with the store, and go on with what comes of it: at once, if it is in memory."""
        if self._side is None:
            then(act(self._store, self._time()))
        else:
            self._side.post(functools.partial(self._beside, act, then))

    def _beside(self, act: Callable[[Store, float], _T], then: Callable[[_T | Exception], object]) -> None:
        found: _T | Exception
        try:
            found = act(self._store, self._time())
        except Exception as error:
            logger.error("the answers to calls with a key can't be kept: %r", self._store, raised=error)
            found = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server has stopped
            self._loop.call_soon_threadsafe(then, found)

    async def settle(self) -> None:
        """Until what has ended is kept, and answered."""
        if self._side is not None and self._open:
            settled = self._loop.create_future()
            self._with_store(lambda *_: None, settled.set_result)
            await asyncio.wait([settled], timeout=_SETTLE_MAX)

    def close(self) -> None:
        """The server has stopped."""
        if self._renewal is not None:
            self._renewal.cancel()
        if self._side is not None:
            self._side.post(self._store.close)

    def __repr__(self) -> str:
        return f"<KeyedCalls open={len(self._open)} {self._store!r}>"


def _answer(invocation: Invocation, claimed: Claimed) -> None:
    """It doesn't run: the first one did, or the key is for something else."""
    claim = claimed.claim
    if claimed.answer is not None:
        invocation.give(claimed.answer)
    elif claim is Claim.OTHER:
        _refuse(invocation, _OTHER)
    else:
        why = f"{invocation.name}: it began before with its idempotency key: {claim.value}"
        if claim is Claim.DIED:
            lost = WorkerDied("WorkerDied", why, None, ran=None, method=invocation.name)
            invocation.answer(invocation.refusal(lost), flush=False)
        else:
            invocation.answer(invocation.failure(Failure.of(LookupError(why), None, True, None)), flush=False)


def _fail(invocation: Invocation, error: Exception) -> None:
    """The key can't be looked up: nothing runs."""
    invocation.ran = False
    invocation.answer(invocation.error(error), flush=False)


def _refuse(invocation: Invocation, why: str) -> None:
    invocation.ran, invocation.refused = False, WrongArguments
    invocation.answer(invocation.error(TypeError(f"{invocation.name}: {why}")), flush=False)


class _Run:
    """What runs for a key, and those that wait for its answer."""

    __slots__ = ("digest", "key", "pause", "waiting")

    def __init__(self, key: Key, digest: bytes, waiting: list[Invocation]) -> None:
        self.key = key
        self.digest = digest
        self.waiting = waiting
        self.pause = _PAUSE_MIN  # s until it is looked again whether another process has the answer


def _own(key: str | bytes, identity: str | None) -> str | bytes:
    """The key of one caller: another one that uses the same gets nothing of its answer."""
    if identity is None:
        return key
    if isinstance(key, bytes):
        return f"{len(identity)}:{identity}:".encode(errors="surrogatepass") + key
    # A user of PLAIN need not be UTF-8, and a database takes nothing else.
    shown = identity.encode(errors="backslashreplace").decode()
    return f"{len(identity)}:{shown}:{key}"


class _Waits:
    """The runner of a request that waits for what runs with its key. Its caller may go: that doesn't end the run."""

    def wake(self) -> None: ...


_WAITS = _Waits()
