"""A request that came by HTTP, as an ``Invocation``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from time import monotonic
from typing import ClassVar

from msgspec import field, msgpack

from zerorpc.doors.http.json_values import decode, encode
from zerorpc.doors.http.observer import Observer
from zerorpc.doors.http.problems import Problem, problem_of
from zerorpc.doors.http.reply import Reply
from zerorpc.doors.http.upload import Body
from zerorpc.errors import SerializationError
from zerorpc.protocol.structs import quick_to_change
from zerorpc.service.failure import Failure
from zerorpc.service.invocation import Invocation, Runner
from zerorpc.service.rights import Rights

__all__ = ["JSON", "OCTETS", "Caller", "HttpInvocation"]

JSON, OCTETS = "application/json", "application/octet-stream"

DEFAULT_PATIENCE = 30.0  # seconds; what callers wait who don't say it, as zerorpc's own do


class Caller:
    """Whoever calls from one address: what a server can do at once is shared out among these."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.open: int = 0  # its calls
        self.parked: int = 0

    def __repr__(self) -> str:
        return f"<Caller {self.name} open={self.open}>"


class _Request(Invocation, eq=False):
    reply: Reply
    sender: Caller
    sent_along: Mapping[str, str]  # its metadata


class _Seen(_Request, eq=False, kw_only=True):
    problem: Problem | None = None  # what became of it, if no value
    streamed: bool = False  # it gives items
    body: Body | None = None  # if an argument streams
    typed: bool = False  # the arguments are words, of a query
    size: int = 0  # octets of the body, or of what is before the items
    key: str | None = None  # by which it can be repeated
    takes_octets: bool = False  # a result of octets may come as it is
    kind: str = JSON  # of a result
    rights: Rights | None = None  # of whoever calls, if somebody was asked
    exists: bool = True  # there is a method of this name, for this caller or not
    observer: Observer | None = None  # who notes how it ended
    came: float = field(default_factory=monotonic)  # when, by ``time.monotonic()``
    failed: str = ""  # the name of its error


@quick_to_change
class HttpInvocation(_Seen, eq=False):
    """A request of an HTTP client. What it packs are bodies; the request's task sends them."""

    modules: ClassVar[tuple[str, ...]] = (*Invocation.modules, __name__)

    # Packing

    def begin_stream(self) -> None:
        self.streamed: bool = True
        if self.observer is not None:
            self.observer.streams(self)

    def result(self, value: object) -> bytes:
        if self.takes_octets and isinstance(value, (bytes, bytearray, memoryview)):
            self.kind: str = OCTETS
            return bytes(value)
        return self._packed("result", value)

    def item(self, value: object) -> bytes:
        self.streamed = True
        return self._packed("item", value)

    def _packed(self, what: str, value: object) -> bytes:
        try:
            return encode(value)
        except SerializationError as error:
            raise self.unsendable(what, error) from None

    def done(self) -> bytes:
        return b""

    def failure(self, failure: Failure) -> bytes:
        self.failed: str = failure.name if failure.refused is None else failure.refused.__name__
        if self.observer is not None:
            self.observer.failed(self, failure)
        self.problem: Problem | None = problem_of(failure, self.name)
        return self.problem.body

    def failure_in_short(self, name: str) -> bytes:
        self.failed = name
        self.problem = Problem.of(500, name, "")
        return self.problem.body

    # The way back

    @property
    def peer(self) -> str | None:
        return self.sender.name

    @property
    def identity(self) -> str | None:
        return None if self.rights is None else self.rights.identity

    def admits(self, name: str) -> bool:
        return self.rights is None or self.rights.admits(name)

    @property
    def denied(self) -> bool:
        return self.method is None and self.rights is not None and self.exists

    def tells_denial(self) -> bool:
        assert self.rights is not None
        return self.rights.tells_denial(self.name)

    def revoke(self) -> None:
        """The caller is somebody else now: its method is cancelled, and what would have been its result is an error."""
        self.cut_off(401, "Unauthorized", "this server no longer knows you")

    def cut_off(self, status: int, title: str, why: str, *headers: tuple[bytes, bytes]) -> None:
        """End it now, with an error: its method is cancelled, if it can be."""
        self.problem = Problem.of(status, title, why, *headers, method=self.name, ran=None)
        self.reply.cut_off(self.problem.body)

    @property
    def words(self) -> bool:
        return self.typed

    @property
    def metadata(self) -> Mapping[str, str | bytes]:
        return self.sent_along

    @property
    def closed(self) -> bool:
        return self.reply.closed

    @property
    def until(self) -> float:
        return self.reply.until

    @property
    def room(self) -> int:
        return self.reply.room

    @property
    def runner(self) -> Runner | None:
        return self.reply.runner

    @runner.setter
    def runner(self, runner: Runner | None) -> None:
        self.reply.runner = runner

    def send_item(self, data: bytes) -> None:
        self.reply.put(data)
        if self.observer is not None:
            self.observer.sent(len(data))

    def answer(self, data: bytes, flush: bool = True) -> None:
        gone = self.reply.closed
        self.reply.put(data, last=True)
        if self.observer is not None:
            self.observer.ended(self, gone, len(data))

    def gone(self) -> None:
        gone = self.reply.closed
        self.reply.put(b"", last=True)
        if self.observer is not None:
            self.observer.ended(self, gone, 0)

    def flush_soon(self) -> None: ...

    # With an idempotency key

    def for_key(self, end: Callable[[bytes, bool], None]) -> KeyedInvocation:
        reply = Reply(self.reply.timeout)
        reply.until = inf
        given = {name: getattr(self, name) for name in HttpInvocation.__struct_fields__}
        return KeyedInvocation(**{**given, "reply": reply, "observer": None}, end=end)

    @property
    def kept_as(self) -> str:
        return f"POST /call/{self.name}"

    def give(self, answer: bytes) -> None:
        status, kind, headers, body = _ANSWERS.decode(answer)
        if status == 200:
            self.kind = kind
        else:
            self.problem = Problem(status, body, headers)
            self.failed = str(decode(body)["title"])
        self.answer(body)

    # Waiting

    @property
    def caller(self) -> object:
        return self.sender

    @property
    def open_calls(self) -> int:
        return self.sender.open

    @property
    def parked_calls(self) -> int:
        return self.sender.parked

    def park(self, by: int) -> None:
        self.sender.parked += by

    @property
    def patience(self) -> float:
        return self.reply.timeout

    @property
    def octets(self) -> int:
        return self.size


class _Keyed(HttpInvocation, eq=False, kw_only=True):
    end: Callable[[bytes, bool], None]


@quick_to_change
class KeyedInvocation(_Keyed, eq=False):
    """What runs for an idempotency key, and for no caller. Nobody closes it."""

    def send_item(self, data: bytes) -> None:
        self.streamed: bool = True

    def answer(self, data: bytes, flush: bool = True) -> None:
        if self.streamed:
            why = f"{self.name}: an idempotency key is for methods that give one reply, and this one gave an iterator"
            self.problem: Problem | None = Problem.of(500, "TypeError", why, method=self.name, ran=True)
            data = self.problem.body
        ran = self.problem is None or self.ran is not False
        status, headers = (200, ()) if self.problem is None else (self.problem.status, self.problem.headers)
        self.end(msgpack.encode((status, self.kind, headers, data)), ran)


_ANSWERS = msgpack.Decoder(tuple[int, str, tuple[tuple[bytes, bytes], ...], bytes])
