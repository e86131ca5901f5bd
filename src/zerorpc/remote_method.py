"""``client.robot.move``: a method by its name, ready to be called."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from zerorpc.not_picklable import NotPicklable

if TYPE_CHECKING:
    import inspect

__all__ = ["Explored", "RemoteMethod", "ToldMethod", "ipython_asks", "method_name"]


class ToldMethod(Protocol):
    """What a server has told of one method."""

    @property
    def signature(self) -> inspect.Signature | None: ...

    @property
    def doc(self) -> str: ...


class Explored(Protocol):
    """What a server has told of its methods."""

    def method(self, name: str, /) -> ToldMethod | None: ...

    def below(self, name: str, /) -> list[str]:
        """The names that may follow this one and a dot; of "" those that a client's attributes have."""


class _Doc:
    """The ``__doc__`` of a class, and of its objects what the server says of each."""

    def __init__(self, own: str | None) -> None:
        self._own = own

    def __get__(self, method: RemoteMethod | None, kind: type | None = None) -> str | None:
        told = None if method is None else _told(method, _somebody_asks())
        return self._own if told is None else told.doc


class RemoteMethod(NotPicklable):
    """``client.method``: call it, or go on with a dot (``client.robot.move`` is the method ``robot.move``).

    ``call(name, args, options)`` belongs to the client's core and not to the client, so that a client may keep its
    methods. If its object has an ``__explored__``, that gives what the server has told of its methods, or None;
    given True, it asks the server first.
    """

    __slots__ = ("_call", "_name")

    __doc__ = _Doc(__doc__)

    def __init__(self, call: Callable[[str, tuple[object, ...], dict[str, object]], object], name: str) -> None:
        self._call = call
        self._name = name

    def __call__(self, *args: object, **options: object) -> Any:
        return self._call(self._name, args, options)

    def __getattr__(self, name: str) -> Any:
        """A further part of the name, and what functions have, here instead of in the class, which has its own."""
        if not name.startswith("__") and not (name == "getdoc" and ipython_asks()):
            return RemoteMethod(self._call, f"{self._name}.{name}")
        if name == "__name__":
            return self._name.rpartition(".")[2]
        if name == "__qualname__":
            return self._name
        if name == "__signature__":
            told = _told(self, ask=True)
            if told is not None and told.signature is not None:
                return told.signature
        raise AttributeError(name)

    def __dir__(self) -> list[str]:
        explored = _explored(self, ask=True)
        return [*super().__dir__(), *(() if explored is None else explored.below(self._name))]

    def __repr__(self) -> str:
        told = _told(self, ask=False)
        shown = "" if told is None or told.signature is None else str(told.signature)
        return f"<RemoteMethod {self._name}{shown}>"


def ipython_asks() -> bool:
    """Whether it is IPython's ``?`` that looks an attribute up: it calls ``getdoc()`` of what it is asked about, which
    would be the remote method of that name.
    """
    if "IPython" not in sys.modules:
        return False
    from inspect import currentframe

    asked = getattr(currentframe(), "f_back", None)  # our ``__getattr__``
    asking = getattr(asked, "f_back", None)
    return asking is not None and asking.f_globals.get("__name__") == "IPython.core.oinspect"


# Not methods of it: those names are the remote side's


def _explored(method: RemoteMethod, ask: bool) -> Explored | None:
    owner = getattr(method._call, "__self__", None)
    explore: Callable[[Any, bool], Explored | None] | None = getattr(type(owner), "__explored__", None)
    return None if explore is None else explore(owner, ask)


def _told(method: RemoteMethod, ask: bool) -> ToldMethod | None:
    explored = _explored(method, ask)
    return None if explored is None else explored.method(method._name)


def _somebody_asks() -> bool:
    """Whether a ``__doc__`` is read for a person: ``functools.wraps`` and others read it too, in any program."""
    if hasattr(sys, "ps1") or sys.flags.interactive or "IPython" in sys.modules:
        return True
    from inspect import currentframe  # only those who read a __doc__ need it

    frame = currentframe()
    while frame is not None and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    return frame is not None and frame.f_globals.get("__name__") in ("inspect", "pydoc")


def method_name(method: object) -> str:
    """A method's name, which old programs give as bytes too. TypeError for anything else."""
    if isinstance(method, bytes):
        return method.decode("utf-8")
    if isinstance(method, str):
        return str.__str__(method)
    raise TypeError(f"a method's name has to be a str, not {method!r}")
