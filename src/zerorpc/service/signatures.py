"""What a method looks like to callers: arguments, defaults, annotations, documentation."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any, TypeVar

from zerorpc.protocol.events import encode
from zerorpc.service.methods import Method
from zerorpc.shown import LONGEST, text_of

__all__ = ["argspec", "cannot_begin", "describe", "misfit", "no_array", "own_parameters", "sendable"]

_T = TypeVar("_T")


def describe(method: Method) -> dict[str, Any]:
    """One method's entry in ``_zerorpc_inspect``: ``args`` is None where Python can't tell (some built-ins)."""
    told: dict[str, Any] = {"args": _of_signature(method, _arguments), "doc": method.doc, "streams": method.streams}
    if method.idempotent:
        told["idempotent"] = True
    if method.tool is not None:
        told["tool"] = {**method.tool, "safe": True} if method.safe else method.tool
    return told


def argspec(method: Method) -> list[Any] | None:
    """The answer of ``_zerorpc_args``: names, *args, **kwargs and defaults, as getargspec once gave them."""
    return _of_signature(method, _argspec)


def misfit(method: Method, args: list[Any], kwargs: dict[str, Any]) -> str | None:
    """Why these arguments don't fit the method; None if they do, or if Python can't tell (some built-ins)."""

    def why(signature: inspect.Signature) -> str | None:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            return str(error)
        return None

    return _of_signature(method, why)


def cannot_begin(method: Method, args: list[Any], kwargs: dict[str, Any]) -> bool:
    """Whether these arguments certainly keep the method's code from being entered.

    By what Python itself goes by. What ``misfit`` goes by is what the method shows, which a decorator may have chosen.
    """
    function: object = method.entered
    if isinstance(function, MethodType):
        args = [function.__self__, *args]
        function = function.__func__
    if not isinstance(function, FunctionType) or "__signature__" in vars(function):
        return False
    signature = inspect.signature(function, follow_wrapped=False)
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return True
    return False


def no_array(method: str, args: object) -> str:
    """What to tell the caller whose arguments are no array, in MessagePack's words."""
    came = _KINDS.get(type(args), "a value of another type")
    return f"the arguments of {method} have to be an array, such as [1, 2] or [], but {came} came"


_KINDS: dict[type, str] = {
    type(None): "nil",
    bool: "a boolean",
    int: "an integer",
    float: "a float",
    str: "a string",
    bytes: "a string of octets",
    dict: "a map",
}


def own_parameters(method: Method, names: list[str]) -> list[str]:
    """Those of the names that are parameters of the method, to be given by keyword."""

    def found(signature: inspect.Signature) -> list[str]:
        parameters = signature.parameters
        return [n for n in names if n in parameters and parameters[n].kind in _BY_KEYWORD]

    return _of_signature(method, found) or []


_BY_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _of_signature(method: Method, tell: Callable[[inspect.Signature], _T]) -> _T | None:
    """What can be told of a method's signature. None if there is none: a program's own may raise anything."""
    try:
        return tell(inspect.signature(method.functor))
    except BaseException:
        return None


def _arguments(signature: inspect.Signature) -> list[dict[str, Any]]:
    """With a bare ``*`` where Python writes one: what stands behind it has no position."""
    described, starred = [], False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            described.append({"name": "*"})
        starred = starred or parameter.kind in (parameter.VAR_POSITIONAL, parameter.KEYWORD_ONLY)
        described.append(_argument(parameter))
    return described


def _argument(parameter: inspect.Parameter) -> dict[str, Any]:
    described: dict[str, Any] = {"name": _STARS.get(parameter.kind, "") + parameter.name}
    if parameter.default is not parameter.empty:
        described["default"] = sendable(parameter.default)
    if parameter.annotation is not parameter.empty:
        described["type"] = text_of(parameter.annotation, _annotation)
    return described


_STARS: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def _annotation(annotation: object) -> str:
    if isinstance(annotation, str):
        return annotation
    return _FORWARD.sub(r"\2", inspect.formatannotation(annotation))


_FORWARD = re.compile(r"""ForwardRef\((['"])(.*?)\1(?:, [^()]*)?\)""")  # as typing shows what stands in quotes


def _argspec(signature: inspect.Signature) -> list[Any]:
    parameters = signature.parameters.values()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    defaults = [sendable(p.default) for p in positional if p.default is not p.empty]
    varargs = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
    keywords = next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), None)
    return [[p.name for p in positional], varargs, keywords, defaults or None]


def sendable(value: object) -> Any:
    """A default as it is, or described where MessagePack has no form for it, or one that is too long."""
    try:
        if len(encode({}, "", value)) <= LONGEST:
            return value
    except BaseException:
        pass
    return text_of(value)
