"""What kind of method a callable is, and the decorators that say it (``collecting`` finds the methods of a service)."""

from __future__ import annotations

import contextlib
import enum
import functools
import inspect
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from zerorpc.hooks import ProcessHooks
from zerorpc.remote_method import RemoteMethod
from zerorpc.service.schema import Schema, showing
from zerorpc.service.stream_parameters import stream_parameters, with_iterators
from zerorpc.shown import name_of, readable

__all__ = ["DecoratorBase", "Kind", "Method", "Where", "idempotent", "innermost", "on_loop", "process", "rep", "stream"]

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


if TYPE_CHECKING:  # a decorated function keeps its signature for type checkers

    def rep(functor: _F) -> _F:
        """``@zerorpc.rep``: the method answers with one reply. A generator's items are sent as one list.

        Other methods do so without it. Put it above other decorators; below one it has no effect.
        """
        return functor

    def stream(functor: _F) -> _F:
        """``@zerorpc.stream``: each item of the iterable that the method returns is sent as it comes.

        Generators and async generators stream without it. Put it above other decorators; below one it has no effect.
        """
        return functor

else:

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
    return _marked(function, "idempotent")


def safe(function: _F) -> _F:
    """``@zerorpc.safe``: this method changes nothing, so that it is idempotent, too.

    By HTTP it may be called by GET (RFC 9110, 9.2.1). Returns the function; raises what ``idempotent`` does.
    """
    return _marked(_marked(function, "safe"), "idempotent")


def _marked(function: _F, mark: str) -> _F:
    inner = innermost(getattr(function, "__func__", function))  # of a staticmethod or classmethod
    try:
        setattr(inner, f"_zerorpc_{mark}", True)
    except (AttributeError, TypeError):
        raise TypeError(f"@zerorpc.{mark}: {inner!r} can't be marked; mark a function") from None
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

    forwards = False  # to another server, whose errors are told as they are
    told: dict[str, Any] | None = None  # its JSON Schema, where that server has told it
    __slots__ = (
        "entered",
        "functor",
        "hooks",
        "idempotent",
        "kind",
        "name",
        "needs_no_place",
        "safe",
        "schema",
        "streams",
        "takes",
        "tool",
        "unary",
        "where",
    )

    def __init__(self, name: str, functor: Callable[..., Any]) -> None:
        said = functor if isinstance(functor, DecoratorBase) else None
        inner = innermost(functor)
        form = _kind(inner)
        if form is Kind.PROCESS:
            _check_marks(name, inner, said)
        self.name: str = name
        self.needs_no_place: bool = False  # what a server is asked to show that it lives runs however busy it is
        self.entered: Callable[..., Any] = said.functor if said else functor  # the program's own
        if isinstance(self.entered, RemoteMethod):
            self.entered = self.entered.__call__  # or another server would be asked for its signature, now
        self.functor: Callable[..., Any] = self.entered  # what is called: perhaps with something put around it
        self.hooks: ProcessHooks | None = None  # around one of a process; others have them in ``functor``
        self.kind: Kind = form
        if said is not None:
            self.kind, around = (_STREAMED if said.streams else _ANSWERED)[form]
            if around is not None:
                self.functor = around(self.entered)
        self.streams: bool = self.kind in _STREAMING
        self.unary: bool = said is not None and not said.streams  # said to be: then an iterator is a list to be
        self.idempotent: bool = getattr(inner, "_zerorpc_idempotent", False) is True
        self.safe: bool = getattr(inner, "_zerorpc_safe", False) is True
        self.tool: dict[str, bool] | None = getattr(inner, "_zerorpc_tool", None)  # what a language model is told of it
        self.where: Where = _WHERE[self.kind]
        if self.kind is Kind.PLAIN and getattr(inner, "_zerorpc_on_loop", False):
            self.where = Where.LOOP
        self.takes: dict[str, str] = {}  # the parameters that take a stream from the caller, and in which form
        if self.where is not Where.PROCESS and (takes := stream_parameters(self.entered)):
            self.takes = takes
            self.functor = with_iterators(self.functor, self.takes)
        self.schema: Schema | None = None  # of arguments that are checked

    def heed_annotations(self, results: bool, strict_types: bool = False) -> None:
        """Let arguments be what the annotations say, and ``results`` too. Once, before the first call."""
        schema = Schema(self.name, self.entered, self.takes, self.streams, strict_types)
        if not results:
            schema.result = None
        if schema.result is not None and self.where is not Where.PROCESS:
            self.functor = _CHECKED[self.kind](self.functor, schema)
        if schema.arguments and self.where is not Where.PROCESS:
            self.functor = schema.around(self.functor)
        if schema.arguments or schema.result is not None:
            self.schema = schema

    @property
    def doc(self) -> str | None:
        try:
            doc = getattr(innermost(self.entered), "__doc__", None)
            return readable(inspect.cleandoc(doc)) if isinstance(doc, str) else None
        except BaseException as error:  # a property of a program's may raise anything
            return f"<it can't be shown: {name_of(error)}>"

    def __repr__(self) -> str:
        return f"<Method {self.name} {self.kind.value}>"


def innermost(functor: object) -> Any:
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


def _checked(functor: Callable[..., Any], schema: Schema) -> Callable[..., Any]:
    """A method whose result is compared with its annotation."""

    def checked(*args: object, **kwargs: object) -> Any:
        return schema.check_result(functor(*args, **kwargs))

    return showing(checked, functor)


def _achecked(functor: Callable[..., Any], schema: Schema) -> Callable[..., Any]:
    async def checked(*args: object, **kwargs: object) -> Any:
        return schema.check_result(await functor(*args, **kwargs))

    return showing(checked, functor)


def _checked_items(functor: Callable[..., Any], schema: Schema) -> Callable[..., Any]:
    def checked(*args: object, **kwargs: object) -> Iterator[Any]:
        items = functor(*args, **kwargs)
        try:
            for item in items:
                yield schema.check_item(item)
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    return showing(checked, functor)


def _achecked_items(functor: Callable[..., Any], schema: Schema) -> Callable[..., Any]:
    async def checked(*args: object, **kwargs: object) -> AsyncIterator[Any]:
        async with contextlib.aclosing(functor(*args, **kwargs)) as items:
            async for item in items:
                yield schema.check_item(item)

    return showing(checked, functor)


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
# And what compares the results.
_CHECKED: dict[Kind, Callable[[Callable[..., Any], Schema], Callable[..., Any]]] = {
    Kind.PLAIN: _checked,
    Kind.COROUTINE: _achecked,
    Kind.GENERATOR: _checked_items,
    Kind.ASYNC_GENERATOR: _achecked_items,
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
