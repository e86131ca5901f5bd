"""Which callables of an object are methods of a service, and what kind each is."""

from __future__ import annotations

import contextlib
import enum
import functools
import inspect
import types
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar

from zerorpc.service.stream_parameters import stream_parameters, with_iterators
from zerorpc.shown import name_of, readable

__all__ = [
    "DecoratorBase",
    "Kind",
    "Method",
    "Where",
    "collect",
    "idempotent",
    "on_loop",
    "process",
    "rep",
    "service_name",
    "stream",
]

_F = TypeVar("_F", bound=Callable[..., Any])


class DecoratorBase:
    """A method with its pattern said; binds like a function when it stands in a class."""

    streams = False

    def __init__(self, functor: Callable[..., Any]) -> None:
        self._functor = functor
        functools.update_wrapper(self, functor, updated=())

    def __get__(self, instance: object, owner: type | None = None) -> DecoratorBase:
        if instance is None:
            return self
        return type(self)(self._functor.__get__(instance, owner))

    def __call__(self, *args: object, **kwargs: object) -> Any:
        return self._functor(*args, **kwargs)

    @property
    def functor(self) -> Callable[..., Any]:
        """The decorated callable, bound if this is."""
        return self._functor


class rep(DecoratorBase):  # noqa: N801 - a decorator, and the name that programs use
    """``@zerorpc.rep``: the method answers with one reply. A generator's items are sent as one list.

    Other methods do so without it. Put it above other decorators; below one it has no effect.
    """


class stream(DecoratorBase):  # noqa: N801 - a decorator, and the name that programs use
    """``@zerorpc.stream``: each item of the iterable that the method returns is sent as it comes.

    Generators and async generators stream without it. Put it above other decorators; below one it has no effect.
    """

    streams = True


def on_loop(function: _F) -> _F:
    """``@zerorpc.on_loop``: run this plain function on the server's event loop, not on a thread.

    For functions that return in microseconds: it saves the hand-off to a thread, 1.3 to 2 us under load. While it runs
    the server does nothing else. A Puller or Subscriber runs it where it runs coroutine methods. Returns the function.
    """
    function._zerorpc_on_loop = True  # type: ignore[attr-defined]
    return function


def idempotent(function: _F) -> _F:
    """``@zerorpc.idempotent``: to run this method twice does no more than to run it once.

    Servers publish it, and a client with ``retry=`` repeats a call of such a method even where nobody knows whether the
    first attempt ran. For methods of every kind. Returns the function; raises TypeError for what can't be marked, such
    as a built-in.
    """
    inner = _innermost(getattr(function, "__func__", function))  # of a staticmethod or classmethod
    try:
        inner._zerorpc_idempotent = True
    except (AttributeError, TypeError):
        raise TypeError(f"@zerorpc.idempotent: {inner!r} can't be marked; mark a function") from None
    return function


def process(function: _F) -> _F:
    """``@zerorpc.process``: run this plain function in one of the server's worker processes.

    For work that keeps a core busy, which on a thread would slow down everything else. Its result, exception and
    traceback come back as any other's; when its caller gives up or is gone, the process is ended. If the process
    crashes, the caller gets a WorkerDied. If you call the function yourself, it runs where you call it; it also does in
    a Puller or Subscriber. Arguments and results have to be picklable.

    The function has to be one of a module or class, so that a worker process can import it. A method's object is
    pickled for each call: the method gets a copy, and what it changes there is lost. Raises TypeError for anything
    else: generators, coroutines, and functions inside of functions.
    """
    inner: Any = getattr(function, "__func__", function)  # of a staticmethod or classmethod
    if isinstance(inner, DecoratorBase):
        inner = inner.functor
    problem = _unfit_for_process(inner)
    if problem is not None:
        raise TypeError(f"@zerorpc.process: {problem}")
    inner._zerorpc_process = True
    return function


def _unfit_for_process(function: object) -> str | None:
    """Why a function can't run in a worker process; None if it can."""
    if not inspect.isfunction(function):
        return f"marks functions, not {function!r}"
    name = function.__qualname__
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return f"{name} is async, and so runs on the event loop; mark a plain function"
    if inspect.isgeneratorfunction(function):
        return f"{name} is a generator, and its reader could keep a process waiting for ever; return a list"
    if "<" in name:  # <locals> or <lambda>
        return f"a worker process could not import {name}; define it with `def` in a module or class"
    return None


class Kind(enum.Enum):
    """What a method does when it is called."""

    PLAIN = "plain"
    COROUTINE = "coroutine"
    GENERATOR = "generator"
    ASYNC_GENERATOR = "async generator"
    PROCESS = "process"  # a plain function that wants a process


class Where(enum.Enum):
    """Where a method runs."""

    LOOP = "on the event loop"
    THREAD = "on a worker thread"
    PROCESS = "in a worker process"


class Method:
    """One exposed callable."""

    __slots__ = ("entered", "functor", "idempotent", "kind", "name", "streams", "takes", "unary", "where")

    def __init__(self, name: str, functor: Callable[..., Any]) -> None:
        said = functor if isinstance(functor, DecoratorBase) else None
        inner = _innermost(functor)
        form = _kind(inner)
        if form is Kind.PROCESS:
            _check_marks(name, inner, said)
        self.name: str = name
        self.entered: Callable[..., Any] = said.functor if said else functor  # the program's own
        self.functor: Callable[..., Any] = self.entered  # what is called: perhaps with something put around it
        self.kind: Kind = form
        if said is not None:
            self.kind, around = (_STREAMED if said.streams else _ANSWERED)[form]
            if around is not None:
                self.functor = around(self.entered)
        self.streams: bool = self.kind in _STREAMING
        self.unary: bool = said is not None and not said.streams  # said to be: then an iterator is a list to be
        self.idempotent: bool = getattr(inner, "_zerorpc_idempotent", False) is True
        self.where: Where = _WHERE[self.kind]
        if self.kind is Kind.PLAIN and getattr(inner, "_zerorpc_on_loop", False):
            self.where = Where.LOOP
        self.takes: dict[str, str] = {}  # the parameters that take a stream from the caller, and in which form
        if self.where is not Where.PROCESS:
            self.takes = stream_parameters(self.entered)
        if self.takes:
            self.functor = with_iterators(self.functor, self.takes)

    @property
    def doc(self) -> str | None:
        try:
            doc = getattr(_innermost(self.functor), "__doc__", None)
            return readable(inspect.cleandoc(doc)) if isinstance(doc, str) else None
        except BaseException as error:  # a property of a program's may raise anything
            return f"<it can't be shown: {name_of(error)}>"

    def __repr__(self) -> str:
        return f"<Method {self.name} {self.kind.value}>"


def _innermost(functor: object) -> Any:
    """The callable that was written: without our decorators, partial(), or a callable object around it."""
    while True:
        if isinstance(functor, DecoratorBase):
            functor = functor.functor
        elif isinstance(functor, functools.partial):
            functor = functor.func
        else:
            break
    if not inspect.isroutine(functor) and not inspect.isclass(functor):
        call = getattr(functor, "__call__", None)  # noqa: B004 - its function is wanted
        if inspect.ismethod(call):
            return call
    return functor


def _check_marks(name: str, inner: object, said: DecoratorBase | None) -> None:
    """Raises TypeError for a method of a process that is also marked to be something else."""
    other = "stream" if said is not None and said.streams else "on_loop"
    if other == "stream" or hasattr(inner, "_zerorpc_on_loop"):
        raise TypeError(f"{name}: @zerorpc.process and @zerorpc.{other} don't go together")


def _kind(functor: object) -> Kind:
    if inspect.iscoroutinefunction(functor):
        return Kind.COROUTINE
    if inspect.isasyncgenfunction(functor):
        return Kind.ASYNC_GENERATOR
    if inspect.isgeneratorfunction(functor):
        return Kind.GENERATOR
    return Kind.PROCESS if getattr(functor, "_zerorpc_process", False) is True else Kind.PLAIN


def _listing(functor: Callable[..., Any]) -> Callable[..., Any]:
    """``@rep`` on a generator: all items as one list."""

    @functools.wraps(functor)
    def collected(*args: object, **kwargs: object) -> list[Any]:
        return list(functor(*args, **kwargs))

    return collected


def _alisting(functor: Callable[..., Any]) -> Callable[..., Any]:
    """The same for an async generator."""

    @functools.wraps(functor)
    async def collected(*args: object, **kwargs: object) -> list[Any]:
        return [item async for item in functor(*args, **kwargs)]

    return collected


def _streaming(functor: Callable[..., Any]) -> Callable[..., Any]:
    """``@stream`` on a coroutine: the items of what it returns."""

    @functools.wraps(functor)
    async def streamed(*args: object, **kwargs: object) -> AsyncIterator[Any]:
        items = await functor(*args, **kwargs)
        if isinstance(items, AsyncGenerator):
            async with contextlib.aclosing(items):  # ended in this task, not by the garbage collector in another
                async for item in items:
                    yield item
        elif isinstance(items, AsyncIterable):
            async for item in items:
                yield item
        else:
            for item in items:
                yield item

    return streamed


_Around: TypeAlias = "tuple[Kind, Callable[[Callable[..., Any]], Callable[..., Any]] | None]"

# What each kind becomes, and what is put around it for that,
_ANSWERED: dict[Kind, _Around] = {  # with @rep
    Kind.PLAIN: (Kind.PLAIN, None),
    Kind.COROUTINE: (Kind.COROUTINE, None),
    Kind.GENERATOR: (Kind.PLAIN, _listing),
    Kind.ASYNC_GENERATOR: (Kind.COROUTINE, _alisting),
    Kind.PROCESS: (Kind.PROCESS, None),
}
_STREAMED: dict[Kind, _Around] = {  # with @stream
    Kind.PLAIN: (Kind.GENERATOR, None),  # the items of what it returns
    Kind.COROUTINE: (Kind.ASYNC_GENERATOR, _streaming),
    Kind.GENERATOR: (Kind.GENERATOR, None),
    Kind.ASYNC_GENERATOR: (Kind.ASYNC_GENERATOR, None),
}
_STREAMING = (Kind.GENERATOR, Kind.ASYNC_GENERATOR)
# Where each kind runs; a plain one that is marked with @on_loop on the loop.
_WHERE = {
    Kind.PLAIN: Where.THREAD,
    Kind.COROUTINE: Where.LOOP,
    Kind.GENERATOR: Where.THREAD,
    Kind.ASYNC_GENERATOR: Where.LOOP,
    Kind.PROCESS: Where.PROCESS,
}


def collect(service: object, hidden_base: type | None = None) -> dict[str, Method]:
    """The methods of an object, module, or dict (or any other mapping).

    Public callables are exposed. Properties are not, and are not even read: on an instrument, reading one can move
    something. ``hidden_base`` is the class of ours that the service is a subclass of: what it defines is not exposed.

    Raises TypeError for what can't be meant, such as a class whose methods need an instance.
    """
    if isinstance(service, Mapping):
        return {name: Method(name, functor) for name, functor in map(_checked_item, service.items())}
    _check_service(service)
    hidden = _names_of(hidden_base, service) if hidden_base is not None else set()
    return {name: Method(name, functor) for name, functor in _public_callables(service) if name not in hidden}


def _checked_item(item: tuple[Any, Any]) -> tuple[str, Callable[..., Any]]:
    """A name and a function of a dict of methods."""
    name, functor = item
    if not isinstance(name, str):
        raise TypeError(f"a method's name has to be a str, not {name!r}")
    if not callable(functor):
        raise TypeError(f"the method {name!r} has to be a function, not a value of type {type(functor).__name__}")
    return str.__str__(name), functor


def _check_service(service: object) -> None:
    """Raises TypeError for what is no service; it says what to give instead."""
    if isinstance(service, type):
        _check_class(service)
    elif isinstance(service, DecoratorBase) or type(service).__module__ in ("builtins", "functools"):
        if isinstance(service, types.ModuleType):
            return
        if callable(service):
            remedy = 'give a function its name, as {"name": function}'
        elif isinstance(service, str):
            remedy = "import a module, and give it itself"
        else:
            remedy = 'functions of several objects fit into a dict, as {"name": one.method}'
        kind = type(service).__name__
        raise TypeError(f"methods come from an object, a module or a dict, not from a value of type {kind}: {remedy}")


def _check_class(service: type) -> None:
    """A class is one only if its methods need no instance."""
    needs_none = (staticmethod, classmethod, type)
    names = [name for name, _ in _public_callables(service)]
    needy = [name for name in names if not isinstance(inspect.getattr_static(service, name), needs_none)]
    if needy or not names:
        why = f"its method {needy[0]} needs" if needy else "its methods need"
        kind = service.__name__
        raise TypeError(f"{kind} is a class, and {why} an instance: give {kind}(), or mark methods with @staticmethod")


# What zerorpc 0.6 never exposed of a subclass of its Server, Puller or Subscriber.
_ALWAYS_HIDDEN = {"bind", "close", "connect", "debug", "disconnect", "run", "stop"}


def _names_of(base: type, service: object) -> set[str]:
    """The names that ``service`` has from ``base``. One that 0.6 didn't have is exposed if the subclass defines it."""
    return _ALWAYS_HIDDEN | {
        name for name in dir(base) if inspect.getattr_static(service, name, None) is inspect.getattr_static(base, name)
    }


def _public_callables(service: object) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name in dir(service):
        if name.startswith("_"):
            continue
        if isinstance(inspect.getattr_static(service, name, None), (property, functools.cached_property)):
            continue
        functor = getattr(service, name, None)
        if callable(functor):
            yield name, functor


def service_name(service: object) -> str:
    """The name of a service that wasn't given one: the module's or the class's."""
    try:
        name = getattr(service, "__name__", None)
    except Exception:  # one that answers for any attribute may raise anything, or give anything
        name = None
    return name if isinstance(name, str) and name else type(service).__name__
