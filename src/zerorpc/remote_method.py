"""``client.robot.move``: a method by its name, ready to be called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zerorpc.not_picklable import NotPicklable

__all__ = ["RemoteMethod", "method_name"]


class RemoteMethod(NotPicklable):
    """``client.method``: call it, or go on with a dot (``client.robot.move`` is the method ``robot.move``).

    ``call(name, args, options)`` belongs to the client's core and not to the client, so that a client may keep its
    methods.
    """

    __slots__ = ("_call", "_name")

    def __init__(self, call: Callable[[str, tuple[object, ...], dict[str, object]], object], name: str) -> None:
        self._call = call
        self._name = name

    def __call__(self, *args: object, **options: object) -> Any:
        return self._call(self._name, args, options)

    def __getattr__(self, name: str) -> RemoteMethod:
        if name.startswith("__"):
            raise AttributeError(name)
        return RemoteMethod(self._call, f"{self._name}.{name}")

    def __repr__(self) -> str:
        return f"<RemoteMethod {self._name}>"


def method_name(method: object) -> str:
    """A method's name, which old programs give as bytes too. TypeError for anything else."""
    if isinstance(method, bytes):
        return method.decode("utf-8")
    if isinstance(method, str):
        return str.__str__(method)
    raise TypeError(f"a method's name has to be a str, not {method!r}")
