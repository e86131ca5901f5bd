"""Functions of a program's around each call: ``Server(…, on_call=hook)``, ``Client(…, on_call=hook)``.

A hook gets the call, and returns a context manager: what stands before its ``yield`` runs before the call, what stands
behind it afterwards. Several nest, in their order. All steps are coroutines, so that they are written once; where there
is no event loop, and nothing waits, ``finish_now`` runs them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from zerorpc.shown import trace_of

__all__ = ["Around", "Enter", "HookedCall", "Manager", "ProcessHooks", "enter_here", "enter_on_loop", "finish_now"]

_T = TypeVar("_T")
_Call = TypeVar("_Call", bound="HookedCall")

Manager: TypeAlias = AbstractContextManager[object] | AbstractAsyncContextManager[object]
Enter: TypeAlias = Callable[[contextlib.AsyncExitStack, object], Coroutine[object, object, None]]


class HookedCall:
    """What hooks of both sides know of a call, and may do to it."""

    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    on_item: Callable[[Any], object] | None = None

    def __init__(self, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
        self.args = args
        self.kwargs = kwargs
        self._answered = False
        self._result: Any = None
        self._items = 0

    @property
    def result(self) -> Any:
        """What the method has returned; None before that, and for a stream.

        Set before the ``yield``, the method isn't called: this is its result, or of a stream the items. Set after it,
        it takes the place of what was returned, or of the error that was raised at the ``yield``.
        """
        return self._result

    @result.setter
    def result(self, value: object) -> None:
        self._result, self._answered = value, True

    @property
    def answered(self) -> bool:
        """Whether there is a ``result``."""
        return self._answered

    @property
    def items(self) -> int:
        """How many items of a stream have come so far.

        A function that is set as ``on_item`` is called with each of them.
        """
        return self._items

    def pass_item(self, item: object) -> None:
        """For the library: an item comes."""
        self._items += 1
        if self.on_item is not None:
            self.on_item(item)


class Around(Generic[_Call]):
    """The hooks around one call."""

    def __init__(self, hooks: Sequence[Callable[[_Call], Manager]], call: _Call, enter_one: Enter) -> None:
        self.call: _Call = call
        self.began: bool = False  # all hooks were entered, or one has answered
        self._hooks = hooks
        self._enter_one = enter_one
        self._stack = contextlib.AsyncExitStack()

    async def enter(self) -> None:
        """Enter one after the other, until one answers. What one raises is for ``fail``."""
        for hook in self._hooks:
            await self._enter_one(self._stack, hook(self.call))
            if self.call.answered:
                break
        self.began = True

    async def leave(self) -> None:
        """The call has ended without an error. Raises what a hook raises."""
        await self._stack.__aexit__(None, None, None)

    async def fail(self, error: BaseException) -> bool:
        """It has ended with this, which a hook may have raised; whether that is to be raised. Raises what a hook raises
        instead.
        """
        return not await self._stack.__aexit__(type(error), error, trace_of(error))

    def __repr__(self) -> str:
        return f"<Around {self.call!r}>"


class ProcessHooks(Protocol):
    """The hooks around a method that runs in a worker process."""

    def run_process(
        self, args: Sequence[object], kwargs: dict[str, object], act: Callable[[Any], object], /
    ) -> Any: ...


# How a context manager is entered


async def enter_on_loop(stack: contextlib.AsyncExitStack, manager: object) -> None:
    """Where the loop is: of either kind."""
    if isinstance(manager, AbstractAsyncContextManager):
        await stack.enter_async_context(manager)
    else:
        await enter_here(stack, manager)


async def enter_here(stack: contextlib.AsyncExitStack, manager: object) -> None:
    """Where nothing can wait. Raises TypeError for what is no context manager, or an async one."""
    if isinstance(manager, AbstractContextManager):
        stack.enter_context(manager)
        return
    if isinstance(manager, AbstractAsyncContextManager):
        raise TypeError("an async hook needs an event loop: an AsyncClient can have it, a blocking Client can't")
    raise TypeError(
        f"a hook has to return a context manager, and this one returned a {type(manager).__name__}: mark it with "
        "@contextlib.contextmanager or @contextlib.asynccontextmanager"
    )


def finish_now(coroutine: Coroutine[object, object, _T]) -> _T:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: _T = end.value
        return result
    coroutine.close()
    raise RuntimeError("a hook can't wait for an event loop here")
