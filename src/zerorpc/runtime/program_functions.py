"""Functions of a program's that are asked from an event loop: a plain one on a thread, since it may block."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from typing import Any

from zerorpc.shown import name_of

__all__ = ["drop", "is_coroutine_function", "on_thread"]


def is_coroutine_function(function: Callable[..., object]) -> bool:
    """Also of an object that is called."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - its function is wanted
    )


def on_thread(
    post: Callable[[Callable[[], object]], None], function: Callable[..., object], *args: object
) -> tuple[asyncio.Future[Any], asyncio.Future[None]]:
    """What a function returns, which ``post`` runs on a thread; and when that thread is free again.

    That is when it has returned, and not when nobody waits for it any more. On the running loop; safe to cancel.
    """
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[Any] = loop.create_future()
    free: asyncio.Future[None] = loop.create_future()

    def run() -> None:
        value: object = None
        try:
            value = function(*args)
            settle = functools.partial(_answer, answered, value)
        except BaseException as error:
            settle = functools.partial(_fail, answered, error)
        try:
            loop.call_soon_threadsafe(settle)
            loop.call_soon_threadsafe(free.set_result, None)
        except RuntimeError:  # the loop is closed
            drop(value)

    post(run)
    return answered, free


def drop(value: object) -> None:
    """Nobody will await it, and Python would warn of that."""
    if inspect.iscoroutine(value):
        value.close()


def _answer(future: asyncio.Future[Any], value: object) -> None:
    if future.done():  # nobody waits any more
        drop(value)
    else:
        future.set_result(value)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        is_stop = issubclass(type(error), StopIteration)  # which a future doesn't take
        future.set_exception(RuntimeError(f"it raised {name_of(error)}") if is_stop else error)
