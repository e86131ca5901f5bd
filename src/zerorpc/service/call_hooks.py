"""The hooks of ``Server(…, on_call=…)``: they are put around a method when it is registered, wherever it then runs.

They run where the method does: on the loop, on its thread, and for a worker process on the server's thread that waits
for it. An async hook around what runs on a thread is entered and left on the loop, in one task.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import Any, NamedTuple, TypeAlias, TypeVar

from zerorpc.errors import Cancelled
from zerorpc.hooks import Around, Enter, HookedCall, Manager, enter_here, enter_on_loop, finish_now
from zerorpc.runtime.loops import running_loop
from zerorpc.scope import CURRENT
from zerorpc.service.coroutines import VALUES, listed
from zerorpc.service.current_call import CurrentCall
from zerorpc.service.invocation import Invocation
from zerorpc.service.methods import Kind, Method, Where
from zerorpc.service.schema import showing
from zerorpc.shown import trace_of

__all__ = ["CallHooks", "ServerCall", "ServerHook"]


class ServerCall(HookedCall, CurrentCall):
    """A call that a server answers, as its hooks see it: what ``CurrentCall`` has, and besides:

    - ``args``, a list, and ``kwargs``, a dict: as the method gets them, converted to what its annotations say.
    - ``result``, which a hook may set, ``answered`` and, of a stream, ``items`` and ``on_item``.
    - ``headers``: the keys of the request's header that aren't the protocol's own, such as ``traceparent``.
    - ``in_process``: for a method with ``@zerorpc.process``, a function that can be pickled: it is called in the worker
      process, and the method runs inside of the context manager that it returns.

    Of use as long as the call goes on. A hook may change ``args`` and ``kwargs``.
    """

    def __init__(self, invocation: Invocation, args: list[object], kwargs: dict[str, object]) -> None:
        HookedCall.__init__(self, args, kwargs)
        CurrentCall.__init__(self, invocation)
        self.args: Sequence[Any] = args
        self.kwargs: Mapping[str, Any] = kwargs
        self.in_process: Callable[[], AbstractContextManager[object]] | None = None
        self._invocation = invocation

    @property
    def headers(self) -> Mapping[str, object]:
        return self._invocation.headers


ServerHook: TypeAlias = Callable[[ServerCall], Manager]

_T = TypeVar("_T")


class ServerAround(Around[ServerCall]):
    """The hooks around one call: where they were entered, and whose call it is."""

    def __init__(self, hooks: Sequence[ServerHook], call: ServerCall, enter: Enter, invocation: Invocation) -> None:
        super().__init__(hooks, call, enter)
        self.on_loop: bool = enter is enter_on_loop
        self.invocation: Invocation = invocation

    async def fail(self, error: BaseException) -> bool:
        """Also where a hook has raised, so that the method didn't run."""
        try:
            raised = await super().fail(error) or not self.call.answered
        except BaseException as other:
            self._note(other)
            raise
        if raised:
            self._note(error)
        return raised

    def _note(self, error: BaseException) -> None:
        if not self.began:
            self.invocation.not_run(error)


class CallHooks:
    """Those of one server. ``loop`` is its own, once it serves."""

    def __init__(self, hooks: Sequence[ServerHook]) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self._hooks = hooks

    def put_around(self, method: Method) -> None:
        """Before the method is told to heed its annotations: so hooks see what it gets, and what they answer is checked
        like a result.
        """
        if method.where is Where.PROCESS:
            method.hooks = self
            return
        functor = method.functor
        if method.kind is Kind.ASYNC_GENERATOR:
            around = self._around_items(functor)
        elif method.where is Where.LOOP:
            around = self._around_on_loop(functor, method)
            method.kind = Kind.COROUTINE
        else:
            around = self._around_on_thread(functor, method)
        method.functor = showing(around, functor)

    # Where each kind runs

    def _around_on_thread(self, functor: Callable[..., object], method: Method) -> Callable[..., Any]:
        def called(*args: object, **kwargs: object) -> Any:
            around = self._begin(args, kwargs, self._enter_on_thread)
            return finish_now(self._run(around, functor, method))

        return called

    def _around_on_loop(self, functor: Callable[..., object], method: Method) -> Callable[..., Any]:
        async def called(*args: object, **kwargs: object) -> Any:
            around = self._begin(args, kwargs, enter_on_loop)
            return await self._run(around, functor, method)

        return called

    def _around_items(self, functor: Callable[..., object]) -> Callable[..., Any]:
        async def items(*args: object, **kwargs: object) -> AsyncIterator[Any]:
            around = self._begin(args, kwargs, enter_on_loop)
            async with contextlib.aclosing(self._each_async(around, functor)) as each:
                async for item in each:
                    yield item

        return items

    def run_process(
        self, args: Sequence[object], kwargs: dict[str, object], act: Callable[[ServerCall], object]
    ) -> Any:
        """For a worker process, from the server's thread that waits for it: ``act(call)`` has the method run there."""
        around = self._begin(args, kwargs, self._enter_on_thread)
        return finish_now(self._run(around, lambda *_, **__: act(around.call), None))

    # The steps

    def _begin(self, args: Sequence[object], kwargs: dict[str, object], enter: Enter) -> ServerAround:
        scope = CURRENT.get()
        invocation = None if scope is None else scope.answers
        assert isinstance(invocation, Invocation)  # nothing else calls what these are around
        return ServerAround(self._hooks, ServerCall(invocation, list(args), kwargs), enter, invocation)

    async def _run(self, around: ServerAround, functor: Callable[..., object], method: Method | None) -> Any:
        """Enter the hooks, call the method, leave them: what it returned, or what they have put in its place. If that
        is something to await or to iterate over, they are left when that has ended.
        """
        call = around.call
        try:
            await self._enter(around)
            value = call.result if call.answered else functor(*call.args, **call.kwargs)
            if method is not None and (type(value) not in VALUES or method.streams):
                if around.on_loop:
                    value = await _whole(value, method.unary)
                elif inspect.isawaitable(value) or (method.unary and isinstance(value, (Iterator, AsyncIterator))):
                    value = self._wait_for(around, value, method.unary)
                if not method.unary and (items := self._items_of(around, value, method)) is not None:
                    return items
            call.result = value
        except BaseException as error:
            if await around.fail(error):
                raise
        else:
            await around.leave()
        return call.result

    def _wait_for(self, around: ServerAround, value: object, unary: bool) -> object:
        """What a plain function has returned, as decorators do it, is awaited on the loop. The hooks stay where they
        are, and the thread with them.
        """
        if isinstance(value, Iterator):
            return list(value)
        assert self.loop is not None
        outcome = asyncio.run_coroutine_threadsafe(_whole(value, unary), self.loop)
        try:
            around.invocation.adopt(outcome)
            return outcome.result()
        except concurrent.futures.CancelledError:
            raise _gone(around.invocation) from None
        finally:
            outcome.cancel()

    @staticmethod
    async def _enter(around: ServerAround) -> None:
        if around.began:
            return
        await around.enter()
        if not around.on_loop and around.invocation.closed:  # on the loop that is a cancellation
            around.began = False
            raise _gone(around.invocation)

    def _items_of(self, around: ServerAround, value: object, method: Method) -> object:
        """Those of what a method has returned, with the hooks around them; None if it has none that come one by one."""
        async_kind, kind = (AsyncIterable, Iterable) if method.streams else (AsyncIterator, Iterator)
        if isinstance(value, async_kind):
            return self._each_async(around, lambda *_, **__: value)
        return self._each(around, value) if isinstance(value, kind) else None

    def _each(self, around: ServerAround, items: Iterable[object]) -> Iterator[Any]:
        """On a thread, to its end."""
        try:
            try:
                for item in items:
                    around.call.pass_item(item)
                    yield item
            finally:
                close = getattr(items, "close", None)
                if close is not None:
                    close()
        except BaseException as error:
            if self._finish(around, around.fail(error)):
                raise
        else:
            self._finish(around, around.leave())

    async def _each_async(self, around: ServerAround, functor: Callable[..., object]) -> AsyncGenerator[Any, None]:
        call = around.call
        try:
            await self._enter(around)
            items: Any = call.result if call.answered else functor(*call.args, **call.kwargs)
            try:
                async for item in items if isinstance(items, AsyncIterable) else _one_by_one(items):
                    call.pass_item(item)
                    yield item
            finally:
                close = getattr(items, "aclose", None)
                if close is not None:
                    await close()
        except BaseException as error:
            if await around.fail(error):
                raise
        else:
            await around.leave()

    def _finish(self, around: ServerAround, step: Coroutine[object, object, _T]) -> _T:
        """A last step, from a thread: of hooks that were entered on the loop it has to be there."""
        if not around.on_loop:
            return finish_now(step)
        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(step, self.loop).result()

    async def _enter_on_thread(self, stack: contextlib.AsyncExitStack, manager: object) -> None:
        if isinstance(manager, AbstractAsyncContextManager) and not isinstance(manager, AbstractContextManager):
            assert self.loop is not None
            scope = CURRENT.get()
            assert scope is not None
            assert isinstance(scope.answers, Invocation)
            await stack.enter_async_context(_OnLoop(manager, self.loop, scope.answers))
        else:
            await enter_here(stack, manager)


def _gone(invocation: Invocation) -> Cancelled:
    return Cancelled(f"the caller of {invocation.name} waits no longer")


async def _whole(value: Any, unary: bool) -> Any:
    """What comes of something to await, and the items of what gives one reply."""
    before: Any = None
    while inspect.isawaitable(value) and value is not before:  # a database's client may give itself
        before, value = value, await value
    return await listed(value) if unary else value


async def _one_by_one(items: Iterable[object]) -> AsyncIterator[object]:
    """Of a list that a hook has given."""
    for item in items:
        yield item


class _OnLoop:
    """An async context manager around what runs on a thread. It lives in one task of the loop, from its beginning to
    its end, and the context variables that it sets at its beginning are seen on the thread.
    """

    def __init__(
        self, manager: AbstractAsyncContextManager[object], loop: asyncio.AbstractEventLoop, invocation: Invocation
    ) -> None:
        self._manager = manager
        self._loop = loop
        self._invocation = invocation
        self._entered: concurrent.futures.Future[contextvars.Context] = concurrent.futures.Future()
        self._end: asyncio.Future[BaseException | None]
        self._task: concurrent.futures.Future[_Left]

    async def __aenter__(self) -> None:
        """On the thread, which waits."""
        self._task = asyncio.run_coroutine_threadsafe(self._live(), self._loop)
        self._task.add_done_callback(self._give_up)
        try:
            self._invocation.adopt(self)
        except Cancelled:
            self.cancel()
        for variable, value in self._entered.result().items():
            if variable.get(self) is not value:
                variable.set(value)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """On the thread, or on the loop, where what the method has returned was awaited."""
        if running_loop() is self._loop:
            self._set_end(error)
            left = await asyncio.wrap_future(self._task)
        else:
            self._loop.call_soon_threadsafe(self._set_end, error)
            left = self._task.result()
        if left.raised is not None and left.raised is not error:
            raise left.raised
        return left.swallowed

    def cancel(self) -> None:
        """The caller waits no longer: neither does the hook that is still being entered."""
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            self._entered.set_exception(_gone(self._invocation))
            self._task.cancel()

    def _set_end(self, error: BaseException | None) -> None:
        if not self._end.done():
            self._end.set_result(error)

    def _give_up(self, task: concurrent.futures.Future[_Left]) -> None:
        """The task is over: before the hook was entered if the loop has ended."""
        if not self._entered.done():
            self._entered.set_exception(RuntimeError("the server has ended"))

    async def _live(self) -> _Left:
        """What the hook raises goes to the thread, and never out of the task: a loop ends with some errors."""
        manager, self._end = self._manager, self._loop.create_future()
        cut: BaseException | None = None
        try:
            await manager.__aenter__()
            try:
                with contextlib.suppress(concurrent.futures.InvalidStateError):  # by ``cancel``, which ends the wait
                    self._entered.set_result(contextvars.copy_context())
                end = await self._end
            except BaseException as error:  # it was cancelled: by a timeout of the hook's, or with its caller
                cut = end = error
            how = (None, None, None) if end is None else (type(end), end, trace_of(end))
            swallowed = await manager.__aexit__(*how)
        except BaseException as error:
            with contextlib.suppress(concurrent.futures.InvalidStateError):
                self._entered.set_exception(error)
            return _Left(False, error)
        return _Left(bool(swallowed), None if swallowed else cut)


class _Left(NamedTuple):
    """How a hook was left."""

    swallowed: bool  # the error that ended the call
    raised: BaseException | None
