"""Functions and objects that stay where they are, and are called from the other side of a connection.

A function is passed by reference without more ado, for there is no other way; an object, when ``by_reference`` says so.
What stands for it at the other side is a ``RemoteFunction`` or a ``RemoteObject``.
"""

from __future__ import annotations

import functools
import types
from typing import Any, Protocol

from zerorpc.not_picklable import NotPicklable
from zerorpc.remote_method import RemoteMethod

__all__ = ["ByReference", "Lease", "RemoteFunction", "RemoteObject", "by_reference", "name_if_function", "release"]


class ByReference:
    """An object that is to be passed by reference; ``by_reference`` makes it."""

    __slots__ = ("target",)

    def __init__(self, target: object) -> None:
        self.target: object = target

    def __repr__(self) -> str:
        return f"<ByReference {self.target!r}>"


def by_reference(target: object) -> Any:
    """Pass ``target`` by reference where it stands in an argument, a result or an item of a stream.

    The other side gets a ``RemoteObject``, on which it calls the methods that a ``Server(target)`` would expose; those
    run here, where ``target`` stays. An argument is lent for as long as the call goes on; what a method returns or
    yields, for as long as the connection lives and the caller keeps the RemoteObject. Functions and bound methods need
    none of this: they are always passed by reference.

    To a peer of zerorpc 0.6, or through a Pusher or Publisher, it can't be sent: NotSupported or SerializationError.
    """
    return ByReference(target)


class Lease(Protocol):
    """What is known here of one thing of the other side."""

    def call(self, name: str, args: tuple[object, ...], kwargs: dict[str, object], /) -> Any:
        """Call what it has under this name."""

    def release(self) -> None:
        """It is not needed any more. Safe to call twice, at any moment."""


class RemoteFunction(NotPicklable):
    """A function that the other side has passed: call it as if it were here.

    A call raises RemoteError if the function raised, Cancelled when the other side waits no longer, LostRemote when the
    connection is lost, and Closed when the lease is over: what a caller has passed ends with the call, what a method
    has returned with the connection, each of them with ``release``, or when nothing refers to it any more.

    In a coroutine method, and from an AsyncClient, the call is awaited. Safe from any thread otherwise.
    """

    __slots__ = ("__weakref__", "_lease", "_name")

    def __init__(self, lease: Lease, name: str) -> None:
        self._lease = lease
        self._name = name

    def __call__(self, *args: object, **kwargs: object) -> Any:
        return self._lease.call(self._name, args, kwargs)

    def release(self) -> None:
        """Say that it is not needed any more. Safe to call twice."""
        self._lease.release()

    def __repr__(self) -> str:
        return f"<RemoteFunction {self._name}>"


class RemoteObject(NotPicklable):
    """An object that the other side has passed with ``by_reference``. Its attributes are the methods of that.

    ``zerorpc.options(object, timeout=…)`` works on one that a method has returned, as on a client; ``zerorpc.release``
    gives it back. Calls raise what those of a RemoteFunction do.
    """

    __slots__ = ("__weakref__", "_core")

    def __init__(self, lease: Lease) -> None:
        self._core = lease  # the name under which ``zerorpc.options`` looks for what makes the calls

    def __getattr__(self, name: str) -> RemoteMethod:
        if name.startswith("__"):
            raise AttributeError(name)
        return RemoteMethod(self._core.call, name)

    def __repr__(self) -> str:
        return "<RemoteObject>"


def release(reference: RemoteFunction | RemoteObject) -> None:
    """Say that what the other side has passed is not needed any more; calls of it raise Closed from now on.

    Raises TypeError for anything but a RemoteFunction or RemoteObject. Safe to call twice, and from any thread.
    """
    if isinstance(reference, RemoteFunction):
        reference._lease.release()
    elif isinstance(reference, RemoteObject):
        reference._core.release()
    else:
        raise TypeError(f"only what the other side has passed by reference can be released, not {reference!r}")


_FUNCTIONS = (
    types.FunctionType,
    types.MethodType,
    types.BuiltinFunctionType,
    functools.partial,
    RemoteFunction,
    RemoteMethod,
)


def name_if_function(value: object) -> str | None:
    """The name of a function; None for what is none, a class and an object that may be called among them."""
    if not issubclass(type(value), _FUNCTIONS):
        return None
    if isinstance(value, functools.partial):
        return name_if_function(value.func) or "partial"
    if isinstance(value, (RemoteFunction, RemoteMethod)):
        return value._name
    name = getattr(value, "__name__", None)
    return name if isinstance(name, str) else type(value).__name__
