"""Which callables are methods, and what kind each is."""

from __future__ import annotations

import collections
import functools
import math
import types
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import zerorpc
from zerorpc.service.methods import Kind, Method, Where, collect, service_name


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


# Collecting


def names(service: Any, hidden: type | None = None) -> list[str]:
    return sorted(collect(service, hidden))


def test_an_objects_public_callables() -> None:
    class Service:
        number = 1

        class Inner: ...

        def method(self) -> None: ...

        @staticmethod
        def static() -> None: ...

        @classmethod
        def for_class(cls) -> None: ...

        def _private(self) -> None: ...

        def __init__(self) -> None:
            self.own = print

    assert names(Service()) == ["Inner", "for_class", "method", "own", "static"]


def test_a_modules_public_callables() -> None:
    module = types.ModuleType("some_module")
    module.f = plain  # type: ignore[attr-defined]
    module._g = plain  # type: ignore[attr-defined]
    module.number = 1  # type: ignore[attr-defined]
    assert names(module) == ["f"]
    assert service_name(module) == "some_module"


def test_a_dict_as_it_is() -> None:
    class Name(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "another"

    assert names({"f": plain, "_g": plain, Name("h"): plain}) == ["_g", "f", "h"]
    assert names(collections.OrderedDict(f=plain)) == ["f"]


@pytest.mark.parametrize("kind", [types.MappingProxyType, collections.UserDict, collections.ChainMap])
def test_any_other_mapping_as_if_it_were_a_dict(kind: Any) -> None:
    """And not its own methods, ``clear`` among them."""
    assert names(kind({"f": plain})) == ["f"]


def test_an_object_that_answers_for_any_attribute_is_named_by_its_class() -> None:
    class Raises:
        def __getattr__(self, name: str) -> Any:
            raise KeyError(name)

    class Answers:
        def __getattr__(self, name: str) -> Any:
            return plain

    assert service_name(Raises()) == "Raises"
    assert service_name(Answers()) == "Answers"


class NeedsInstance:
    @staticmethod
    def static() -> None: ...

    def method(self) -> None: ...


class NeedsNone:
    @staticmethod
    def static() -> str:
        return "static"

    @classmethod
    def for_class(cls) -> str:
        return cls.__name__

    class Inner: ...


NO_SERVICES: list[tuple[Any, str]] = [
    (NeedsInstance, r"NeedsInstance is a class, and its method method needs an instance: give NeedsInstance\(\)"),
    (Decorated, r"Decorated is a class, and its method items needs an instance: give Decorated\(\)"),
    (type("Empty", (), {}), r"Empty is a class, and its methods need an instance: give Empty\(\)"),
    (zerorpc.Server, r"Server is a class, .* an instance: give Server\(\)"),
    (int, r"int is a class, .* an instance: give int\(\)"),
    ("time", "not from a value of type str: import a module, and give it itself"),
    (b"time", "not from a value of type bytes"),
    (5, "not from a value of type int"),
    (True, "not from a value of type bool"),
    (None, "not from a value of type NoneType"),
    ([plain], "not from a value of type list: functions of several objects fit into a dict"),
    ((plain,), "not from a value of type tuple"),
    ({plain}, "not from a value of type set"),
    (object(), "not from a value of type object"),
    (lambda: 1, "not from a value of type function: give a function its name"),
    (math.sqrt, "not from a value of type builtin_function_or_method: give a function its name"),
    (NeedsInstance().method, "not from a value of type method: give a function its name"),
    (functools.partial(plain), "not from a value of type partial: give a function its name"),
    (functools.lru_cache(plain), "not from a value of type _lru_cache_wrapper: give a function its name"),
    (zerorpc.stream(plain), "not from a value of type stream: give a function its name"),
    ((n for n in ()), "not from a value of type generator"),
    ({"a": 1}, "the method 'a' has to be a function, not a value of type int"),
    ({"f": plain, "a": None}, "the method 'a' has to be a function, not a value of type NoneType"),
    ({"a": {"b": plain}}, "the method 'a' has to be a function, not a value of type dict"),
    ({3: plain}, "a method's name has to be a str, not 3"),
    ({b"f": plain}, "a method's name has to be a str, not b'f'"),
    ({None: plain}, "a method's name has to be a str, not None"),
]


@pytest.mark.parametrize(("service", "why"), NO_SERVICES)
def test_what_is_no_service_is_refused_at_once(service: Any, why: str) -> None:
    takers: list[Callable[[Any], Any]] = [collect, zerorpc.Server().register]
    if service is not None:  # which stands for "its own methods"
        takers += [zerorpc.Server, zerorpc.Puller, zerorpc.Subscriber]
    for take in takers:
        with pytest.raises(TypeError, match=why):
            take(service)


def test_a_class_that_needs_no_instance() -> None:
    assert names(NeedsNone) == ["Inner", "for_class", "static"]
    assert zerorpc.Server(NeedsNone)("for_class") == "NeedsNone"


def test_objects_of_all_sorts_are_services() -> None:
    class Stack(list[int]):
        """As one's own class."""

    class OwnModule(types.ModuleType): ...

    module = OwnModule("own")
    module.f = plain  # type: ignore[attr-defined]
    assert "append" in names(Stack())
    assert names(types.SimpleNamespace(f=plain, number=1)) == ["f"]
    assert names(module) == ["f"]
    assert names(CallableObject()) == []
    assert names(zerorpc.Server({})) != []
    with zerorpc.Server() as empty:  # all is registered later
        empty.register({})


def test_what_raises_when_it_is_looked_at_is_left_out() -> None:
    class Service:
        def __getattr__(self, name: str) -> Any:
            raise AttributeError(name)

        def __dir__(self) -> list[str]:
            return ["ghost", "method"]

        def method(self) -> None: ...

    assert names(Service()) == ["method"]


def test_properties_are_not_read() -> None:
    class Service:
        @property
        def dangerous(self) -> Any:
            raise AssertionError

        @functools.cached_property
        def cached(self) -> Any:
            raise AssertionError

    assert names(Service()) == []


def test_names() -> None:
    assert service_name(Decorated()) == "Decorated"
    assert service_name(Decorated) == "Decorated"
    assert service_name({}) == "dict"
