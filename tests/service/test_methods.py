"""Which callables are methods, and what kind each is."""

from __future__ import annotations

import functools
import math
import types
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import zerorpc
from zerorpc.service.methods import Kind, Method, Where


def plain() -> None:
    """What it does.

    And more.
    """


async def coroutine() -> None: ...


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


@zerorpc.process
def in_process() -> None: ...


class CallableInProcess:
    @zerorpc.process
    def __call__(self) -> None: ...


class CallableObject:
    """The object's."""

    def __call__(self) -> None:
        """The call's."""


class AsyncCallableObject:
    async def __call__(self) -> None: ...


class GeneratorObject:
    def __call__(self) -> Iterator[int]:
        yield 1


KINDS: list[tuple[Callable[..., Any], Kind, bool]] = [
    (plain, Kind.PLAIN, False),
    (coroutine, Kind.COROUTINE, False),
    (generator, Kind.GENERATOR, True),
    (async_generator, Kind.ASYNC_GENERATOR, True),
    (zerorpc.stream(plain), Kind.GENERATOR, True),
    (zerorpc.stream(generator), Kind.GENERATOR, True),
    (zerorpc.stream(async_generator), Kind.ASYNC_GENERATOR, True),
    (zerorpc.stream(coroutine), Kind.ASYNC_GENERATOR, True),
    (zerorpc.stream(AsyncCallableObject()), Kind.ASYNC_GENERATOR, True),
    (zerorpc.rep(plain), Kind.PLAIN, False),
    (zerorpc.rep(coroutine), Kind.COROUTINE, False),
    (zerorpc.rep(generator), Kind.PLAIN, False),
    (zerorpc.rep(async_generator), Kind.COROUTINE, False),
    (functools.partial(plain), Kind.PLAIN, False),
    (functools.partial(functools.partial(generator)), Kind.GENERATOR, True),
    (functools.partial(zerorpc.stream(coroutine)), Kind.COROUTINE, False),
    (CallableObject(), Kind.PLAIN, False),
    (AsyncCallableObject(), Kind.COROUTINE, False),
    (GeneratorObject(), Kind.GENERATOR, True),
    (math.sqrt, Kind.PLAIN, False),
    (int, Kind.PLAIN, False),
    (lambda: None, Kind.PLAIN, False),
    (in_process, Kind.PROCESS, False),
    (functools.partial(in_process), Kind.PROCESS, False),
    (zerorpc.rep(in_process), Kind.PROCESS, False),
    (functools.wraps(in_process)(lambda: None), Kind.PROCESS, False),
    (functools.wraps(in_process)(AsyncCallableObject.__call__), Kind.COROUTINE, False),
    (CallableInProcess(), Kind.PROCESS, False),
]


@pytest.mark.parametrize(("functor", "kind", "streams"), KINDS)
def test_kinds(functor: Callable[..., Any], kind: Kind, streams: bool) -> None:
    method = Method("name", functor)
    assert (method.kind, method.streams) == (kind, streams)
    assert repr(method) == f"<Method name {kind.value}>"


def test_what_runs_on_the_loop() -> None:
    quick = zerorpc.on_loop(lambda: None)
    assert Method("f", quick).where is Where.LOOP
    assert Method("f", functools.partial(quick)).where is Where.LOOP
    assert Method("f", zerorpc.rep(quick)).where is Where.LOOP
    assert Method("f", coroutine).where is Where.LOOP
    assert Method("f", async_generator).where is Where.LOOP
    assert Method("f", plain).where is not Where.LOOP
    assert Method("f", generator).where is not Where.LOOP


def test_documentation() -> None:
    assert Method("f", plain).doc == "What it does.\n\nAnd more."
    assert Method("f", functools.partial(plain)).doc == "What it does.\n\nAnd more."
    assert Method("f", zerorpc.stream(plain)).doc == "What it does.\n\nAnd more."
    assert Method("f", zerorpc.rep(generator)).doc is None
    assert Method("f", CallableObject()).doc == "The call's."
    assert Method("f", lambda: None).doc is None


# Decorators


class Decorated:
    @zerorpc.stream
    def items(self, n: int) -> list[int]:
        """Some items."""
        return list(range(n))

    @zerorpc.rep
    def one(self) -> Decorated:
        return self


def test_decorated_methods_are_still_methods() -> None:
    instance = Decorated()
    assert instance.items(2) == [0, 1]
    assert instance.one() is instance
    assert Decorated.items(instance, 1) == [0]
    assert instance.items.__doc__ == Decorated.items.__doc__ == "Some items."
    assert instance.items.__name__ == "items"


def test_decorated_functions_are_still_functions() -> None:
    assert zerorpc.stream(lambda n, k=1: [n, k])(2, k=3) == [2, 3]
    assert zerorpc.on_loop(plain) is plain
    del plain._zerorpc_on_loop  # type: ignore[attr-defined]


# Marked for a process


@pytest.mark.parametrize(
    ("functor", "why"),
    [
        (coroutine, "coroutine is async, and so runs on the event loop; mark a plain function"),
        (async_generator, "async_generator is async, and so runs on the event loop; mark a plain function"),
        (generator, "generator is a generator, and its reader could keep a process waiting for ever; return a list"),
        (lambda: None, "a worker process could not import <lambda>; define it with `def` in a module or class"),
        (functools.partial(plain), "marks functions, not functools.partial("),
        (math.sqrt, "marks functions, not <built-in function sqrt>"),
        (int, "marks functions, not <class 'int'>"),
        (zerorpc.stream(generator), "generator is a generator"),
    ],
)
def test_what_no_process_can_run(functor: Callable[..., Any], why: str) -> None:
    with pytest.raises(TypeError) as caught:
        zerorpc.process(functor)
    assert str(caught.value).startswith(f"@zerorpc.process: {why}")


def test_a_function_in_a_function_can_t_be_imported() -> None:
    def inner() -> None: ...

    with pytest.raises(TypeError, match=r"could not import test_a_function_in_a_function_.*<locals>\.inner"):
        zerorpc.process(inner)


def test_a_marked_function_is_that_function() -> None:
    assert isinstance(in_process, types.FunctionType)
    assert Method("f", in_process).where is not Where.LOOP


@pytest.mark.parametrize("other", [zerorpc.stream, zerorpc.on_loop])
def test_marks_that_don_t_go_together(other: Callable[..., Any]) -> None:
    copy = types.FunctionType(in_process.__code__, {}, "copy")
    marked = other(zerorpc.process(copy))
    with pytest.raises(TypeError, match=f"f: @zerorpc.process and @zerorpc.{other.__name__} don't go together"):
        Method("f", marked)
