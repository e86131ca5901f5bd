"""``zerorpc.options``: the same client, with options of the program's for its calls."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple, Protocol

from zerorpc.given import UNCHANGED
from zerorpc.not_picklable import NotPicklable
from zerorpc.number_checks import above_zero, seconds
from zerorpc.protocol.call_header import KEY_MAX
from zerorpc.protocol.channel import DEFAULT_SLOTS
from zerorpc.protocol.flow import CREDIT_MAX
from zerorpc.remote_method import Explored, RemoteMethod, ipython_asks
from zerorpc.settings import Retry, retry_or_none

__all__ = ["UNCHANGED", "CallOptions", "CallView", "options", "take_old_spelling"]


class Target(Protocol):
    """What a server has passed by reference."""

    @property
    def peer(self) -> Hashable: ...

    @property
    def number(self) -> int: ...

    @property
    def hold(self) -> object:
        """As long as anything refers to this, the server keeps it."""


class SeenCall(Protocol):
    """A call as the client's hooks see it (``ClientCall``)."""

    headers: dict[str, object]
    request: Any  # once it is made


class CallOptions(NamedTuple):
    """What a call may have of its own. ``options`` says what each is."""

    timeout: float | None = UNCHANGED
    slots: int = DEFAULT_SLOTS
    deadline: float | None = None
    item_timeout: float | None = None
    metadata: Mapping[str, str | bytes] | None = None
    detached: bool = False
    in_background: bool = False
    retry: Retry | None = UNCHANGED
    key: str | bytes | None = None
    hedge: float | bool = False
    words: bool = False
    progress: Callable[..., object] | None = None
    call: SeenCall | None = None  # what hooks know of it
    on: Target | None = None  # what the server has passed by reference: the method is one of that
    spelt: tuple[str, ...] = ()  # keywords of the call itself that were taken for options


class OptionsCore(Protocol):
    """What stands behind a client."""

    old_spelling: tuple[str, ...]

    def call(
        self, method: str | bytes, args: tuple[object, ...], kwargs: dict[str, object], options: CallOptions | None, /
    ) -> object: ...


class HasCore(Protocol):
    """A client, or a view of one."""

    @property
    def _core(self) -> OptionsCore: ...


class CallView(NotPicklable):
    """A client, with options for each call that is made by it. Every keyword of such a call is the method's.

    Its attributes are the remote methods, as those of the client are; it has none of its own. Safe from any thread
    that may use the client, which it keeps open.
    """

    __slots__ = ("_core", "_options")

    def __init__(self, core: OptionsCore, options: CallOptions) -> None:
        self._core = core
        self._options = options

    def __call__(self, method: str | bytes, /, *args: object, **kwargs: object) -> Any:
        """Call a method by its name. Returns and raises what a call by the client does."""
        return self._core.call(method, args, kwargs, self._options)

    def __getattr__(self, name: str) -> RemoteMethod:
        if name.startswith("__") or (name == "getdoc" and ipython_asks()):
            raise AttributeError(name)
        return RemoteMethod(self._call, name)

    def _call(self, method: str, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        return self._core.call(method, args, kwargs, self._options)

    def __explored__(self, ask: bool) -> Explored | None:
        """What is known of the methods; None for what the server has passed by reference: of that nothing is told."""
        explore: Callable[[object, bool], Explored | None] | None = getattr(type(self._core), "__explored__", None)
        return None if explore is None else explore(self._core, ask)

    def __dir__(self) -> list[str]:
        explored = self.__explored__(True)
        return [*super().__dir__(), *(() if explored is None else explored.below(""))]

    def __repr__(self) -> str:
        changed = (f"{name}={value!r}" for name, value in self._options._asdict().items() if value != _DEFAULTS[name])
        return f"<CallView {', '.join(changed)}>"


_DEFAULTS = CallOptions()._asdict()


def options(
    client: HasCore,
    *,
    timeout: float | None = UNCHANGED,
    slots: int = UNCHANGED,
    deadline: float | None = UNCHANGED,
    item_timeout: float | None = UNCHANGED,
    metadata: Mapping[str, str | bytes] | None = UNCHANGED,
    detached: bool = UNCHANGED,
    async_: bool = UNCHANGED,
    retry: Retry | None = UNCHANGED,
    key: str | bytes | None = UNCHANGED,
    hedge: float | bool = UNCHANGED,
    words: bool = UNCHANGED,
    progress: Callable[[float, float | None, str], object] | None = UNCHANGED,
) -> CallView:
    """A view of a client for calls with these options, on which every keyword is the method's.

    ::

        zerorpc.options(client, timeout=5).move(x=1, y=2, timeout=0.5)   # this timeout is the method's

    Arguments: ``client`` a Client, an AsyncClient or such a view; what isn't given stays as it is there.
    ``timeout`` seconds to connect, send and get the first reply, None for no limit. ``slots`` how many items of a
    stream the server may send ahead of the reader (100). ``deadline`` seconds for the whole call, a stream's end
    included, None for no limit. ``item_timeout`` seconds that the reader waits for one item of a stream, None for no
    limit. ``metadata`` texts or bytes by name, which the method finds in ``current_call().metadata``; a server of
    zerorpc 0.6 can't take them: NotSupported. ``detached`` to heed neither the deadline nor the end of the call that
    the running code answers. ``async_`` to return at once, with an AsyncResult; not for an AsyncClient, whose calls
    always do. ``retry`` a ``zerorpc.Retry``, which says how calls that failed are repeated, None for not at all.
    ``key`` a text or bytes for one call and its repeats, which no other call has, such as ``uuid.uuid4().hex``: the
    server runs the method once for it, and answers repeats alike. It can't stream. A server of zerorpc 0.6 can't do
    it: NotSupported. ``hedge`` to try a slow call of an idempotent method at another server as well, and take the
    first answer: True for what is slower than 95% of the last 100 calls that were made so, or the seconds to wait.
    ``words`` to say that the arguments are texts that somebody typed: the server makes of each what its parameter's
    annotation says, of ``"3"`` a number. One of zerorpc 0.6, and a parameter without an annotation, takes the text.
    ``progress`` a function that is called with what the method reports by ``zerorpc.progress``: done, total (None if
    that isn't known) and a text; on a thread of the client's, of an AsyncClient in a task. Not with ``hedge``.

    Raises TypeError or ValueError for other values. Safe from any thread; costs no connection.
    """
    core: Any = None if isinstance(client, RemoteMethod) else getattr(client, "_core", None)
    if not hasattr(core, "old_spelling"):
        raise TypeError(
            f"options are for a Client, an AsyncClient, a view of one or a RemoteObject, not for {client!r}"
        )
    if async_ is not UNCHANGED and "async_" not in core.old_spelling:
        raise TypeError("async_ is for a blocking Client: the calls of an AsyncClient are awaited")
    before = client._options if isinstance(client, CallView) else CallOptions()
    given = {
        "timeout": timeout,
        "slots": slots,
        "deadline": deadline,
        "item_timeout": item_timeout,
        "metadata": metadata,
        "detached": detached,
        "in_background": async_,
        "retry": retry,
        "key": key,
        "hedge": hedge,
        "words": words,
        "progress": progress,
    }
    checked = {name: _CHECKS[name](value) for name, value in given.items() if value is not UNCHANGED}
    return CallView(core, before._replace(**checked))


def take_old_spelling(known: tuple[str, ...], kwargs: dict[str, object]) -> CallOptions | None:
    """The options among a call's keywords, as zerorpc 0.6 spells them; they are taken from ``kwargs``."""
    spelt = tuple(name for name in known if name in kwargs)
    if not spelt:
        return None
    given = {name: kwargs.pop(name) for name in spelt}
    return CallOptions(
        seconds("timeout", given["timeout"]) if "timeout" in given else UNCHANGED,
        _count_slots(given.get("slots", DEFAULT_SLOTS)),
        in_background=bool(given.get("async", given.get("async_", False))),
        spelt=spelt,
    )


def _count_slots(slots: Any) -> int:
    """At least one, or nothing would ever come; and what a peer may be granted."""
    try:
        number = operator.index(slots)
    except Exception:
        raise TypeError(f"slots has to be a whole number, not a {type(slots).__name__}") from None
    return min(max(1, number), CREDIT_MAX)


def _checked_metadata(metadata: Mapping[Any, Any] | None) -> dict[str, str | bytes] | None:
    if metadata is None:
        return None
    for name, value in metadata.items():
        if not isinstance(name, str) or not isinstance(value, (str, bytes)):
            raise TypeError(
                f"metadata has to be texts or bytes by name, not {type(name).__name__}: {type(value).__name__}"
            )
    return dict(metadata)


def _checked_key(key: Any) -> str | bytes | None:
    if key is None:
        return None
    if not isinstance(key, (str, bytes)):
        raise TypeError(f"key has to be a str or bytes, not a {type(key).__name__}")
    if not 0 < len(key) <= KEY_MAX:
        raise ValueError(f"key has to have 1 to {KEY_MAX} characters or bytes, not {len(key)}")
    return key


def _checked_progress(function: object) -> Callable[..., object] | None:
    if function is None or callable(function):
        return function
    raise TypeError(f"progress has to be a function, not a {type(function).__name__}")


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "timeout": functools.partial(seconds, "timeout"),
    "slots": _count_slots,
    "deadline": functools.partial(seconds, "deadline"),
    "item_timeout": functools.partial(seconds, "item_timeout"),
    "metadata": _checked_metadata,
    "detached": bool,
    "in_background": bool,
    "retry": functools.partial(retry_or_none, "retry"),
    "key": _checked_key,
    "words": bool,
    "progress": _checked_progress,
    "hedge": lambda hedge: hedge if isinstance(hedge, bool) else above_zero("hedge", hedge, "True or False") or False,
}
