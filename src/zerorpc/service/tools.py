"""``@zerorpc.tool``: which methods language models may call, by MCP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from zerorpc.service.methods import innermost

__all__ = ["tool"]

_F = TypeVar("_F", bound=Callable[..., Any])


@overload
def tool(function: _F, /) -> _F: ...
@overload
def tool(*, safe: bool | None = None, destructive: bool | None = None) -> Callable[[_F], _F]: ...
def tool(function: Any = None, /, *, safe: bool | None = None, destructive: bool | None = None) -> Any:
    """``@zerorpc.tool``: language models may call this method, at ``/mcp`` of an ``http://`` endpoint and through
    ``zerorpc mcp``. Its docstring and annotations are what a model knows of it.

    Arguments, which MCP's clients show, or ask their user by: ``safe``: it changes nothing. ``destructive``: what it
    changes may be lost. None: that isn't said, and clients assume the worst. That to run it twice does no more than
    to run it once is said with ``@zerorpc.idempotent``.

    For methods of every kind. Returns the function; raises TypeError for what can't be marked, such as a built-in, and
    ValueError for what is both safe and destructive.
    """
    if safe and destructive:
        raise ValueError("@zerorpc.tool: what is safe isn't destructive")
    hints = {"safe": safe, "destructive": destructive}
    said = {name: bool(value) for name, value in hints.items() if value is not None}

    def mark(function: _F) -> _F:
        inner = innermost(getattr(function, "__func__", function))  # of a staticmethod or classmethod
        try:
            inner._zerorpc_tool = said
        except (AttributeError, TypeError):
            raise TypeError(f"@zerorpc.tool: {inner!r} can't be marked; mark a function") from None
        return function

    return mark if function is None else mark(function)
