"""One call that a gateway makes for its caller."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from math import inf
from time import monotonic
from typing import Any

from zerorpc.client.async_call import AsyncStream
from zerorpc.client.asynchronous import AsyncClient
from zerorpc.client.call_options import CallOptions
from zerorpc.described import BY_PLACE, Method
from zerorpc.errors import RemoteError, TimeoutExpired, UnknownMethod, WrongArguments
from zerorpc.scope import current_scope
from zerorpc.service.invocation import Invocation

__all__ = ["call"]

_SHORTEST = 0.001  # s: the caller's time is over, and it will be told so
_NEAR = 0.05  # s from the caller's end, at which both may be over
_CALLERS_OWN = 1.0  # s that the caller has to tell itself: what a gateway says of its time would be a RemoteError there


async def call(
    client: AsyncClient, method: Method, args: tuple[object, ...], kwargs: dict[str, object], is_old: bool, listed: bool
) -> Any:
    """What a method of the other server returns: a value, or its items as they come. It says only then which.

    ``is_old``: it is of an older protocol. ``listed``: it has told that there is this method. Raises what a call does;
    an older server's errors as one of ours would tell them, as far as that can be known.
    """
    if is_old and (missing := _missing(method, args, kwargs)):
        why = f"{method.name}(): missing arguments: {', '.join(missing)}"
        raise WrongArguments("TypeError", why, None, ran=False, method=method.name)
    scope = current_scope()
    served = None if scope is None else scope.answers
    invocation = served if isinstance(served, Invocation) else None  # None: the program calls, by the server's object
    options = CallOptions(detached=True) if invocation is None else _options(invocation, client.timeout, is_old)
    made = client._core.call(method.name, args, kwargs, options)
    try:
        value = await made
    except RemoteError as error:
        if is_old:
            raise _as_ours(error, method, args, kwargs, listed) from None
        _pass_on(invocation, {}, error.metadata)
        raise
    except TimeoutExpired:
        if invocation is not None and monotonic() >= invocation.until - _NEAR:
            await asyncio.sleep(_CALLERS_OWN)  # the caller's own time is over: it finds out itself, which cancels this
        raise
    if is_old:
        return value
    _pass_on(invocation, made.metadata, made.end_metadata)
    return _items(value, invocation) if isinstance(value, AsyncStream) else value


def _missing(method: Method, args: tuple[object, ...], kwargs: Mapping[str, object]) -> list[str]:
    """Which parameters of an older server's method have no argument. One of Node's would never answer."""
    places = [each for each in method.parameters or () if each.kind in BY_PLACE]
    return [each.name for each in places[len(args) :] if each.required and each.name not in kwargs]


def _options(invocation: Invocation, timeout: float | None, is_old: bool) -> CallOptions:
    """The call ends when its caller waits no longer, or after the client's ``timeout``.

    It is ``detached``: the time that its scope has is that for the first reply, and would end a stream; and when the
    caller is gone, the task of the call is cancelled.
    """
    now = monotonic()
    left = min(invocation.until - now, inf if timeout is None else timeout)
    end = invocation.stream_until - now
    extras = invocation.extras
    reports = extras is not None and extras.report is not None and not is_old
    return CallOptions(
        timeout=None if left == inf else max(left, _SHORTEST),
        deadline=None if end == inf else max(end, _SHORTEST),
        metadata=None if is_old else dict(invocation.metadata),
        detached=True,
        words=invocation.words,
        progress=invocation.report if reports else None,
    )


def _as_ours(
    error: RemoteError, method: Method, args: tuple[object, ...], kwargs: Mapping[str, object], listed: bool
) -> RemoteError:
    """That there is no such method, or that it takes fewer arguments, an older server says as if the method did."""
    kind: type[RemoteError] | None = None
    if error.name == "NameError" and error.msg == method.name and not listed:
        kind = UnknownMethod
    elif error.name == "TypeError" and method.parameters is not None and not kwargs:
        all_have_places = all(each.kind in BY_PLACE for each in method.parameters)
        kind = WrongArguments if all_have_places and len(args) > len(method.parameters) else None
    if kind is None:
        return error
    return kind(error.name, error.msg, error.traceback, ran=error.ran, method=error.method)


def _pass_on(
    invocation: Invocation | None, metadata: Mapping[str, str | bytes], end_metadata: Mapping[str, str | bytes]
) -> None:
    """Send along what the other server has sent along."""
    if invocation is None:
        return
    if metadata:
        invocation.reply_metadata.update(metadata)
    if end_metadata:
        invocation.end_metadata.update(end_metadata)


async def _items(stream: AsyncStream, invocation: Invocation | None) -> AsyncIterator[Any]:
    """The items, and then what the method has sent along with the end."""
    async with contextlib.aclosing(stream):
        try:
            async for item in stream:
                yield item
        except RemoteError as error:
            _pass_on(invocation, {}, error.metadata)
            raise
    _pass_on(invocation, {}, stream.end_metadata)
