"""Exceptions and results that raise when they are looked at, each in its own way. Worker processes import this."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NoReturn

import zerorpc

Made = Callable[[], BaseException]


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """Nothing can be assigned, not even a traceback."""

    code: int


class ApiError(Exception):
    """Looked at for __notes__, it raises KeyError."""

    def __init__(self, info: dict[str, Any]) -> None:
        self.info = info

    def __getattr__(self, name: str) -> Any:
        return self.info[name]


def _raising(error: BaseException) -> Callable[..., NoReturn]:
    def method(*_: Any) -> NoReturn:
        raise error

    return method


def _endless(self: Any, *args: Any) -> Any:
    return _endless(self, *args)


def _evil(name: str, *args: Any, bases: tuple[type, ...] = (Exception,), **attributes: Any) -> Made:
    """Makes an exception of a class of that name; it can be found where pickle looks for it."""
    kind: Any = type(name, bases, {"__module__": __name__, **attributes})
    globals()[name] = kind
    return lambda: kind(*args)


class _NamelessMeta(type):
    """Classes whose name can't be looked up."""

    def __getattribute__(cls, name: str) -> Any:
        raise KeyError(name)

    def __repr__(cls) -> str:
        raise KeyError("no text")


class Nameless(Exception, metaclass=_NamelessMeta):
    pass


class Surrogate(Exception):
    def __init__(self, text: str = "half a character: \ud800") -> None:
        super().__init__(text)
        self.__notes__ = ["another: \udfff"]


class _OddText(str):
    """A text whose methods raise."""

    __len__ = __getitem__ = encode = __str__ = __format__ = __add__ = _raising(KeyError("odd"))


class Chained(Exception):
    pass


def _chain_of(length: int, link: str) -> Made:
    def make() -> BaseException:
        last = first = Chained("the outermost")
        for number in range(length):
            inner = Chained(str(number))
            setattr(last, link, inner)
            last = inner
        return first

    return make


def _cycle() -> BaseException:
    a, b, c = Chained("a"), Chained("b"), Chained("c")
    a.__cause__, b.__context__, c.__cause__ = b, c, a
    b.__cause__ = b
    return a


def _deep_group() -> BaseException:
    error: BaseException = ValueError("innermost")
    for _ in range(1500):
        error = BaseExceptionGroup("group", [error])
    return error


def _evil_group() -> BaseException:
    return BaseExceptionGroup("group", [make() for make in (EVIL["BadStr"], EVIL["Frozen"], EVIL["ApiError"])])


def _deep() -> BaseException:
    """Raised thousands of frames deep."""

    def down(depth: int) -> None:
        if depth:
            return down(depth - 1)
        raise Chained("deep")

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(5_000)
    try:
        down(2_000)
    except Chained as error:
        return error
    finally:
        sys.setrecursionlimit(limit)
    raise AssertionError


class NeverInited(Exception):
    """What __init__ would have set is missing."""

    def __init__(self, needed: str) -> None:
        self.needed = needed

    def __str__(self) -> str:
        return self.needed

    def __reduce__(self) -> Any:
        return type(self).__new__, (type(self),)


_RAISES = _raising(RuntimeError("looked at"))
_EXITS = _raising(SystemExit("looked at"))
_INTERRUPTS = _raising(KeyboardInterrupt())

EVIL: dict[str, Made] = {
    "Frozen": lambda: Frozen(3),
    "ApiError": lambda: ApiError({}),
    "BadStr": _evil("BadStr", __str__=_RAISES),
    "ExitingStr": _evil("ExitingStr", __str__=_EXITS, __repr__=_EXITS),
    "InterruptingStr": _evil("InterruptingStr", __str__=_INTERRUPTS, __repr__=_INTERRUPTS),
    "EndlessStr": _evil("EndlessStr", __str__=_endless, __repr__=_endless),
    "NumberStr": _evil("NumberStr", __str__=lambda self: 1),
    "OddStr": _evil("OddStr", __str__=lambda self: _OddText("odd")),
    "BadRepr": _evil("BadRepr", __repr__=_RAISES),
    "BadArgument": lambda: Chained(EVIL["EndlessStr"]()),
    "BadSetattr": _evil("BadSetattr", __setattr__=_RAISES, __delattr__=_RAISES),
    "EndlessSetattr": _evil("EndlessSetattr", __setattr__=_endless),
    "BadGetattribute": _evil("BadGetattribute", __getattribute__=_RAISES),
    "ExitingGetattribute": _evil("ExitingGetattribute", __getattribute__=_EXITS),
    "EndlessGetattribute": _evil("EndlessGetattribute", __getattribute__=_endless),
    "BadClass": _evil("BadClass", __class__=property(_RAISES)),
    "OtherClass": _evil("OtherClass", __class__=property(lambda self: int)),
    "BadWithTraceback": _evil("BadWithTraceback", with_traceback=_EXITS),
    "BadTraceback": _evil("BadTraceback", __traceback__=property(_RAISES)),
    "BadCause": _evil("BadCause", __cause__=property(_RAISES), __context__=property(_EXITS)),
    "OddCause": _evil("OddCause", __cause__="text", __context__=7, __suppress_context__=None),
    "BadNotes": _evil("BadNotes", __notes__=property(_RAISES)),
    "OddNotes": _evil("OddNotes", __notes__=7),
    "OddNote": _evil("OddNote", __notes__=[None, 7, {}]),
    "BadArgs": _evil("BadArgs", args=property(_RAISES)),
    "BadDict": _evil("BadDict", __dict__=property(_RAISES)),
    "BadBool": _evil("BadBool", __bool__=_RAISES),
    "Empty": _evil("Empty", "empty, and no error less", __len__=lambda self: 0),
    "BadEq": _evil("BadEq", __eq__=_RAISES, __hash__=_RAISES),
    "Nameless": Nameless,
    "BadReduce": _evil("BadReduce", __reduce_ex__=_RAISES),
    "ExitingReduce": _evil("ExitingReduce", __reduce_ex__=_EXITS),
    "EndlessReduce": _evil("EndlessReduce", __reduce_ex__=_endless),
    "NonsenseReduce": _evil("NonsenseReduce", __reduce_ex__=lambda *_: 7),
    "OtherReduce": _evil("OtherReduce", __reduce_ex__=lambda *_: (dict, ())),
    "GlobalReduce": _evil("GlobalReduce", __reduce_ex__=lambda *_: "nowhere"),
    "ExitsOnArrival": _evil("ExitsOnArrival", __reduce_ex__=lambda *_: (sys.exit, (3,))),
    "RaisesOnArrival": _evil("RaisesOnArrival", __reduce_ex__=lambda *_: (_throw, ())),
    "NeverInited": lambda: NeverInited("x"),
    "SyntaxErrorOdd": lambda: SyntaxError("odd", ("file", "line", "column", 7)),  # type: ignore[arg-type]
    "SyntaxErrorNone": lambda: SyntaxError(None, (None, None, None, None)),  # type: ignore[call-overload]
    "SyntaxErrorHuge": lambda: SyntaxError("odd", ("file", 10**30, -(10**30), "text")),
    "UnicodeErrorOdd": _evil(
        "UnicodeErrorOdd",
        bases=(UnicodeDecodeError,),
        __init__=lambda *_: None,
        __new__=UnicodeDecodeError.__new__,
    ),
    "OSErrorOdd": lambda: OSError(EVIL["BadStr"](), EVIL["BadStr"](), EVIL["BadStr"]()),
    "Surrogate": Surrogate,
    "LongContext": _chain_of(600, "__context__"),
    "LongCause": _chain_of(1500, "__cause__"),
    "Cycle": _cycle,
    "Deep": _deep,
    "RecursionError": lambda: RecursionError("maximum recursion depth exceeded"),
    "MemoryError": MemoryError,
    "CancelledError": asyncio.CancelledError,
    "SystemExit": lambda: SystemExit(EVIL["BadStr"]()),
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "DeepGroup": _deep_group,
    "EvilGroup": _evil_group,
}


def _throw() -> NoReturn:
    raise KeyboardInterrupt


def name_of(name: str) -> str:
    """What callers are told."""
    found: str = type.__dict__["__name__"].__get__(type(EVIL[name]()))
    return found


class Huge(Exception):
    """Its message is over the limit of what can be sent."""

    def __str__(self) -> str:
        return f"begin {'x' * 140_000_000} end"


# Those that take a while
SLOW: dict[str, Made] = {"Huge": Huge, "Chained": _chain_of(5000, "__context__")}


def _made(name: str) -> BaseException:
    return (EVIL.get(name) or SLOW[name])()


# Every kind of method that can raise one


def plain(name: str) -> None:
    raise _made(name)


@zerorpc.on_loop
def quick(name: str) -> None:
    raise _made(name)


async def coroutine(name: str) -> None:
    raise _made(name)


async def waiting(name: str) -> None:
    await asyncio.sleep(0)
    raise _made(name)


def wrapper(name: str) -> Any:
    return waiting(name)


def generator(name: str) -> Iterator[int]:
    yield 1
    raise _made(name)


async def async_generator(name: str) -> AsyncIterator[int]:
    yield 1
    raise _made(name)


@zerorpc.rep
def collected(name: str) -> Iterator[int]:
    yield 1
    raise _made(name)


@zerorpc.rep
async def acollected(name: str) -> AsyncIterator[int]:
    yield 1
    raise _made(name)


@zerorpc.stream
def streamed(name: str) -> Any:
    return generator(name)


@zerorpc.stream
async def astreamed(name: str) -> Any:
    return async_generator(name)


@zerorpc.process
def process(name: str) -> None:
    raise _made(name)


METHODS: dict[str, Any] = {
    each: globals()[each]
    for each in (
        *("plain", "quick", "coroutine", "waiting", "wrapper", "generator", "async_generator"),
        *("collected", "acollected", "streamed", "astreamed", "process"),
    )
}


# Results that can't be sent, each for a reason that nobody thinks of


class Result:
    """One whose pickling or packing raises what it was made with."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error

    def _fail(self) -> NoReturn:
        if self.error is None:
            self._fail()
        raise self.error

    def __index__(self) -> int:  # noqa: PLE0305
        self._fail()

    def __reduce__(self) -> Any:
        self._fail()


class Arriving:
    """One that raises when it is unpickled."""

    def __reduce__(self) -> Any:
        return _throw, ()


RESULTS: dict[str, Callable[[], Any]] = {
    "RuntimeError": lambda: Result(RuntimeError("looked at")),
    "SystemExit": lambda: Result(SystemExit(3)),
    "KeyboardInterrupt": lambda: Result(KeyboardInterrupt()),
    "RecursionError": lambda: Result(None),
    "ExitingStr": lambda: Result(EVIL["ExitingStr"]()),
    "Arriving": Arriving,
}


def result(name: str) -> Any:
    return RESULTS[name]()


@zerorpc.on_loop
def result_quick(name: str) -> Any:
    return RESULTS[name]()


async def result_coroutine(name: str) -> Any:
    return RESULTS[name]()


async def result_waiting(name: str) -> Any:
    await asyncio.sleep(0)
    return RESULTS[name]()


def result_generator(name: str) -> Iterator[Any]:
    yield 1
    yield RESULTS[name]()


async def result_async_generator(name: str) -> AsyncIterator[Any]:
    yield 1
    yield RESULTS[name]()


@zerorpc.process
def result_process(name: str) -> Any:
    return RESULTS[name]()


RESULT_METHODS: dict[str, Any] = {
    each: globals()[each]
    for each in (
        *("result", "result_quick", "result_coroutine", "result_waiting"),
        *("result_generator", "result_async_generator", "result_process"),
    )
}


class Stateful:
    """An object whose method runs in a process, if the object can be pickled."""

    def __init__(self, how: str) -> None:
        self.how = how

    def __reduce__(self) -> Any:
        if self.how == "arrives":
            return _throw, ()
        if self.how == "endless":
            return self.__reduce__()
        raise EVIL[self.how]()

    @zerorpc.process
    def method(self) -> None:
        """Never reached."""
