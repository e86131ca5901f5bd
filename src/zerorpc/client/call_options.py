"""What a call may have of its own, and a view of a client whose calls have it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple, Protocol

from zerorpc.given import UNCHANGED
from zerorpc.not_picklable import NotPicklable
from zerorpc.number_checks import seconds
from zerorpc.protocol.channel import DEFAULT_SLOTS
from zerorpc.protocol.flow import CREDIT_MAX
from zerorpc.remote_method import Explored, RemoteMethod, ipython_asks
from zerorpc.settings import Retry

__all__ = [
    "UNCHANGED",
    "CallOptions",
    "CallView",
    "HasCore",
    "OptionsCore",
    "Target",
    "count_slots",
    "take_old_spelling",
]


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
    """What a call may have of its own. ``zerorpc.options`` says what each is."""

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
    out: Any = None
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


def take_old_spelling(known: tuple[str, ...], kwargs: dict[str, object]) -> CallOptions | None:
    """The options among a call's keywords, as zerorpc 0.6 spells them; they are taken from ``kwargs``."""
    spelt = tuple(name for name in known if name in kwargs)
    if not spelt:
        return None
    given = {name: kwargs.pop(name) for name in spelt}
    return CallOptions(
        seconds("timeout", given["timeout"]) if "timeout" in given else UNCHANGED,
        count_slots(given.get("slots", DEFAULT_SLOTS)),
        in_background=bool(given.get("async", given.get("async_", False))),
        spelt=spelt,
    )


def count_slots(slots: Any) -> int:
    """At least one, or nothing would ever come; and what a peer may be granted."""
    try:
        number = operator.index(slots)
    except Exception:
        raise TypeError(f"slots has to be a whole number, not a {type(slots).__name__}") from None
    return min(max(1, number), CREDIT_MAX)
