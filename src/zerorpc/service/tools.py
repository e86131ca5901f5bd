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
def tool(*, destructive: bool | None = None) -> Callable[[_F], _F]: ...
def tool(function: Any = None, /, *, destructive: bool | None = None) -> Any:
    """``@zerorpc.tool``: language models may call this method, at ``/mcp`` of an ``http://`` endpoint and through
    ``zerorpc mcp``. Its docstring and annotations are what a model knows of it.

    MCP's clients show what is said of a tool, or ask their user by it. Argument: ``destructive``: what it changes may
    be lost; None: that isn't said, and clients assume the worst. That it changes nothing is said with
    ``@zerorpc.safe``, that to run it twice does no more than to run it once with ``@zerorpc.idempotent``.

    For methods of every kind. Returns the function; raises TypeError for what can't be marked, such as a built-in.
    """
    said = {} if destructive is None else {"destructive": bool(destructive)}

    def mark(function: _F) -> _F:
        inner = innermost(getattr(function, "__func__", function))  # of a staticmethod or classmethod
        try:
            inner._zerorpc_tool = said
        except (AttributeError, TypeError):
            raise TypeError(f"@zerorpc.tool: {inner!r} can't be marked; mark a function") from None
        return function

    return mark if function is None else mark(function)
