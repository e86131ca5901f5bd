"""Each setting of clients and servers, declared once: its default, what a value has to be, and what it means.

The constructors take them one by one, and hand them down as one frozen object. The command line's flags and help, and
the tables in docs/guide.md, come from the same declarations.

Seconds and counts may be given as whatever kind of number. What is none is refused when it is given.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, NamedTuple, Self, TypeAlias, TypeVar, get_type_hints

from zerorpc.callers import Authenticator, Authorizer
from zerorpc.curve import Curve, curve_or_none
from zerorpc.exposure import patterns
from zerorpc.given import described, path_of
from zerorpc.limits import Limits, checked_limits
from zerorpc.number_checks import FOREVER, above_zero, count, not_negative, seconds
from zerorpc.plain import Plain, plain_or_none
from zerorpc.tls import TlsGiven, tls_or_none

__all__ = [
    "GRACE",
    "HEARTBEAT",
    "TIMEOUT",
    "Answers",
    "ClientSettings",
    "ConnectionEvent",
    "OnConnection",
    "ReadyCheck",
    "Retry",
    "ServerSettings",
    "Setting",
    "callable_or_none",
    "declared",
    "from_arguments",
    "retry_or_none",
]

TIMEOUT = 30  # s; of every client of zerorpc since its first version, so that a request says it only if it is another
HEARTBEAT = 5  # s; of every zerorpc peer, Node's too: the two sides of an older peer's connection need the same
GRACE = 10.0  # s; what ``docker stop`` gives before it kills. Kubernetes and systemd give more


class _RetryFields(NamedTuple):
    attempts: int
    backoff: float
    longest: float
    share: float
    per_second: float
    idempotent: bool


class Retry(_RetryFields):
    """How a client repeats calls that failed, within their timeout: ``Client(…, retry=Retry())``.

    A call that certainly did not run is made again; one that may have run only if its server says that the method is
    idempotent (``@zerorpc.idempotent``). What a method raises is its outcome, and never repeated, and neither is a
    stream that has begun.

    Arguments: ``attempts`` of one call, the first included. ``backoff`` seconds, at most, before the second one; twice
    that before the third, and so on, up to ``longest`` seconds; a random part of it is waited. The budget of a client:
    ``share`` of its calls of the last ten seconds may be repeated, and ``per_second`` besides; what goes beyond that
    fails as if there were no ``Retry``. ``idempotent``: all calls that are made with this may be repeated, whatever the
    server says, such as those to a server of zerorpc 0.6.

    A tuple, and so never changes. Raises TypeError or ValueError for other values.
    """

    __slots__ = ()

    def __new__(
        cls,
        attempts: int = 4,
        backoff: float = 0.05,  # about what a call over the internet takes, and many times what one in a house does
        longest: float = 2.0,  # within the 30 s of a usual call there are all four attempts, and some reserve
        share: float = 0.2,  # this and the next as Finagle's RetryBudget
        per_second: float = 10.0,
        idempotent: bool = False,
    ) -> Self:
        return super().__new__(
            cls,
            count("attempts", attempts),
            not_negative("backoff", backoff),
            not_negative("longest", longest),
            not_negative("share", share),
            not_negative("per_second", per_second),
            bool(idempotent),
        )


def retry_or_none(name: str, value: object) -> Retry | None:
    """A setting that is a Retry, or None for no retries. Raises TypeError for what isn't."""
    if value is not None and not isinstance(value, Retry):
        raise TypeError(f"{name} has to be a zerorpc.Retry, or None, not {described(value)}")
    return value


class _AnswersFields(NamedTuple):
    path: str | None
    seconds: float
    keys: int
    octets: int


class Answers(_AnswersFields):
    """How a server keeps its answers to calls with an idempotency key: ``Server(…, answers=Answers(path))``.

    Arguments: ``path`` of an SQLite database, which is made if there is none, so that the answers survive a restart and
    hold across ``processes``; None for in memory. An answer is kept for ``seconds``; of more than ``keys`` the oldest
    go, of more than ``octets`` the oldest answers, whose repeats get an error then.

    A tuple, and so never changes. Raises TypeError or ValueError for other values.
    """

    __slots__ = ()

    def __new__(
        cls,
        path: str | os.PathLike[str] | None = None,
        seconds: float = 3600.0,  # longer than any program repeats one call
        keys: int = 100_000,  # at 255 octets each, and 100 of ours, 36 MB
        octets: int = 64 * 1024 * 1024,  # half of the largest message
    ) -> Self:
        file = None if path is None else path_of("path", path)
        limits = above_zero("seconds", seconds), count("keys", keys), count("octets", octets)
        return super().__new__(cls, file, FOREVER if limits[0] is None else limits[0], *limits[1:])


def _answers_or_none(name: str, value: object) -> Answers | str | None:
    return value if value is None or isinstance(value, Answers) else path_of(name, value)


class Setting(NamedTuple):
    """What is declared of a setting besides its name, type and default."""

    check: Callable[[str, Any], object]  # the name and a value given; the value to use. Raises TypeError or ValueError
    meaning: str  # for the help of the command line, and for docs/guide.md
    unit: str = ""  # of the number that the command line takes; "" for a yes or a no; "function": it takes none
    without: str = ""  # what None means


def _yes_or_no(_: str, value: object) -> bool:
    return bool(value)


def _count_or_no_limit(name: str, value: object) -> int | None:
    return None if value is None else count(name, value, ", or None for no limit")


def callable_or_none(name: str, value: Any) -> Any:
    """A function, or None for none. Raises TypeError for what isn't."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} has to be a function, or None, not {described(value)}")
    return value


def functions_or_none(name: str, value: object) -> tuple[Callable[..., Any], ...] | None:
    """A function or several, as a tuple of them; None for none. Raises TypeError for what isn't."""
    if value is None:
        return None
    functions = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    for function in functions:
        if not callable(function):
            raise TypeError(f"{name} has to be a function, several of them, or None, not {described(function)}")
    return functions or None


ReadyCheck: TypeAlias = Callable[[], object | Awaitable[object]]


class ConnectionEvent(NamedTuple):
    """What ``on_connection`` is told: a connection is there, and may be used, or it is lost."""

    connected: bool
    side: str  # "server" or "client"
    endpoint: str  # where it was accepted, or the endpoint that the client is connected to
    peer: str  # the other side's address
    identity: str | None = None  # of a caller, as the server's ``authenticator`` has it
    why: str = ""  # it is lost


OnConnection: TypeAlias = Callable[[ConnectionEvent], object]

_OnCall: TypeAlias = Annotated[
    tuple[Callable[..., Any], ...] | None,
    Setting(
        functions_or_none, "a function, or several, around each call: it returns a context manager", "function", "none"
    ),
]
_OnConnection: TypeAlias = Annotated[
    OnConnection | None, Setting(callable_or_none, "is told of connections made and lost", "function", without="nobody")
]

_Heartbeat: TypeAlias = Annotated[
    float | None,
    Setting(
        functools.partial(above_zero, unless="None for none"),
        "seconds between heartbeats, the same on both ends",
        "seconds",
        without="no heartbeats",
    ),
]


_Curve: TypeAlias = Annotated[
    Curve | None,
    Setting(curve_or_none, "a `Curve`: the keys to encrypt and authenticate with, by CURVE", "key file", "neither"),
]


_Limits: TypeAlias = Annotated[Limits, Setting(checked_limits, "a `Limits`: what a peer may take", "limits")]


class ClientSettings(NamedTuple):
    """A client's. A tuple, since the command line is to start quickly: dataclasses import much."""

    timeout: Annotated[
        float | None,
        Setting(
            seconds,
            "seconds that a call may take to connect, send and get its first reply",
            "seconds",
            without="no limit",
        ),
    ] = TIMEOUT
    heartbeat: _Heartbeat = HEARTBEAT
    passive_heartbeat: Annotated[
        bool, Setting(_yes_or_no, "send heartbeats only after the server's first, as servers of zerorpc 0.6 want it")
    ] = False
    retry: Annotated[
        Retry | None, Setting(retry_or_none, "a `Retry`: how calls that failed are repeated; None: not at all")
    ] = None
    tls: Annotated[
        TlsGiven | None,
        Setting(tls_or_none, "a `Tls`, or an `ssl.SSLContext`, for `tls+tcp://`; None: trust whom the system trusts"),
    ] = None
    curve: _Curve = None
    plain: Annotated[
        Plain | None,
        Setting(plain_or_none, "a `Plain`: user and password, inside of TLS or by ipc", "function", without="none"),
    ] = None
    limits: _Limits = Limits()
    on_call: _OnCall = None
    on_connection: _OnConnection = None


class ServerSettings(NamedTuple):
    """A server's."""

    pool_size: Annotated[
        int | None,
        Setting(
            _count_or_no_limit,
            "how many methods may run at once; further requests wait for their turn",
            "count",
            without="no limit",
        ),
    ] = None
    max_wait: Annotated[
        float | None,
        Setting(
            above_zero,
            "seconds that a request may wait for its turn",
            "seconds",
            without="half of its caller's timeout",
        ),
    ] = None
    heartbeat: _Heartbeat = HEARTBEAT
    processes: Annotated[int, Setting(count, "how many processes serve", "count")] = 1
    grace: Annotated[
        float, Setting(not_negative, "seconds that running calls get when the server stops", "seconds or 0")
    ] = GRACE
    proxy_protocol: Annotated[
        bool, Setting(_yes_or_no, "all connections come from a proxy, which sends a PROXY protocol header, version 2")
    ] = False
    answers: Annotated[
        Answers | str | None,
        Setting(
            _answers_or_none,
            "an SQLite file to keep the answers to calls with a key in, or an `Answers`",
            "path",
            without="in memory",
        ),
    ] = None
    tls: Annotated[
        TlsGiven | None,
        Setting(tls_or_none, "a `Tls`, or an `ssl.SSLContext`, for `tls+tcp://`; None: each `bind` is given one"),
    ] = None
    allow: Annotated[
        tuple[str, ...] | str | None,
        Setting(
            patterns,
            "expose only the methods whose names match one of these patterns, such as `get_*`",
            "pattern",
            without="all methods",
        ),
    ] = None
    deny: Annotated[
        tuple[str, ...] | str | None,
        Setting(patterns, "expose no method whose name matches one of these patterns", "pattern", without="none"),
    ] = None
    tools: Annotated[
        tuple[str, ...] | str | None,
        Setting(
            patterns,
            "let language models call the exposed methods whose names match one of these patterns, by MCP",
            "pattern",
            without="those marked with @zerorpc.tool",
        ),
    ] = None
    anyone_may_call: Annotated[
        bool, Setting(_yes_or_no, "no warning that other machines may call, and that nobody is asked who they are")
    ] = False
    curve: _Curve = None
    plain: Annotated[
        Plain | None,
        Setting(
            plain_or_none,
            "a `Plain()`: callers show user and password, inside of TLS or by ipc",
            "function",
            without="none",
        ),
    ] = None
    authenticator: Annotated[
        Authenticator | None,
        Setting(callable_or_none, "says who a `Caller` is, or refuses it", "function", without="all may call"),
    ] = None
    authorizer: Annotated[
        Authorizer | None,
        Setting(callable_or_none, "says whether an identity may call a method", "function", without="all methods"),
    ] = None
    limits: _Limits = Limits()
    any_types: Annotated[
        bool, Setting(_yes_or_no, "take arguments of any type, whatever the methods' annotations say")
    ] = False
    strict_types: Annotated[
        bool, Setting(_yes_or_no, "take no natural forms, such as a text for a date, of what travels as itself")
    ] = False
    origins: Annotated[
        tuple[str, ...] | str | None,
        Setting(
            functools.partial(patterns, what='origins of web pages, as ["https://*.example.org"]'),
            "web pages of these origins may call by HTTP, such as `https://app.example.org`",
            "pattern",
            without="its own pages alone",
        ),
    ] = None
    check_results: Annotated[
        bool, Setting(_yes_or_no, "results too have to be what the methods' annotations say, or are an error")
    ] = False
    log_calls: Annotated[
        bool, Setting(_yes_or_no, "log each call: who called which method, how long that took, and how it ended")
    ] = False
    metrics: Annotated[bool, Setting(_yes_or_no, "count calls, for Prometheus to read at `/metrics` by HTTP")] = False
    console: Annotated[bool, Setting(_yes_or_no, "a web page to look at the service and call it, at `/` by HTTP")] = (
        True
    )
    ready: Annotated[
        ReadyCheck | None,
        Setting(callable_or_none, "says whether the server may be called just now", "function", without="it may"),
    ] = None
    on_call: _OnCall = None
    on_connection: _OnConnection = None


_Kind = TypeVar("_Kind", ClientSettings, ServerSettings)


def from_arguments(kind: type[_Kind], arguments: Mapping[str, Any]) -> _Kind:
    """Those among a function's arguments, as its ``locals()`` are at its start, that are settings; checked.

    So a constructor names each of its settings once. Raises TypeError or ValueError for the first that is refused.
    """
    return kind._make(each.check(name, arguments[name]) for name, each in declared(kind).items())


def declared(kind: type[ClientSettings | ServerSettings]) -> dict[str, Setting]:
    """What is declared of each setting, by name."""
    return _DECLARED[kind]


_DECLARED: dict[type, dict[str, Setting]] = {
    kind: {name: hint.__metadata__[0] for name, hint in get_type_hints(kind, include_extras=True).items()}
    for kind in (ClientSettings, ServerSettings)
}
