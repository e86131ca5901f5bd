"""What a method looks like to callers: arguments, defaults, annotations, documentation."""

from __future__ import annotations

import inspect
from typing import Any

from zerorpc.errors import SerializationError
from zerorpc.protocol.events import encode
from zerorpc.service.methods import Method

__all__ = ["argspec", "describe", "misfit"]


def describe(method: Method) -> dict[str, Any]:
    """One method's entry in ``_zerorpc_inspect``: ``args`` is None where Python can't tell (some built-ins)."""
    return {"args": _arguments(method), "doc": method.doc, "streams": method.streams}


def _arguments(method: Method) -> list[dict[str, Any]] | None:
    signature = _signature(method)
    if signature is None:
        return None
    return [_argument(parameter) for parameter in signature.parameters.values()]


def _argument(parameter: inspect.Parameter) -> dict[str, Any]:
    described: dict[str, Any] = {"name": _STARS.get(parameter.kind, "") + parameter.name}
    if parameter.default is not parameter.empty:
        described["default"] = _sendable(parameter.default)
    if parameter.annotation is not parameter.empty:
        annotation = parameter.annotation
        described["type"] = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return described


_STARS: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def argspec(method: Method) -> list[Any] | None:
    """The answer of ``_zerorpc_args``: names, *args, **kwargs and defaults, as getargspec once gave them."""
    signature = _signature(method)
    if signature is None:
        return None
    parameters = signature.parameters.values()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    defaults = [_sendable(p.default) for p in positional if p.default is not p.empty]
    varargs = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
    keywords = next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), None)
    return [[p.name for p in positional], varargs, keywords, defaults or None]


def misfit(method: Method, args: list[Any]) -> str | None:
    """Why these arguments don't fit the method; None if they do, or if Python can't tell (some built-ins)."""
    signature = _signature(method)
    if signature is None:
        return None
    try:
        signature.bind(*args)
    except TypeError as error:
        return str(error)
    return None


def _signature(method: Method) -> inspect.Signature | None:
    try:
        return inspect.signature(method.functor)
    except (TypeError, ValueError):
        return None


def _sendable(value: Any) -> Any:
    """A default as it is, or described where MessagePack has no form for it."""
    try:
        encode({}, "", value)
    except SerializationError:
        return repr(value)
    return value
