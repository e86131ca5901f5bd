"""Whatever a value does while it is packed: its sender is told, with the method's name, and nothing else is harmed."""

from __future__ import annotations

import array
import collections.abc
import dataclasses
import enum
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import msgspec
import pytest

import zerorpc
from tests.service.running import PATIENCE, joined, run, serving
from tests.service.services import remote_error


def released() -> memoryview:
    view = memoryview(b"abc")
    view.release()
    return view


class Index:
    def __init__(self, result: Any) -> None:
        self.result = result

    def __index__(self) -> int:
        if isinstance(self.result, Exception):
            raise self.result
        return self.result  # type: ignore[no-any-return]


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


class Class:
    @property
    def __class__(self) -> Any:
        raise LookupError("no class")

    @__class__.setter
    def __class__(self, value: Any) -> None: ...


class Mapping(collections.abc.Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        raise KeyError("iter")

    def __len__(self) -> int:
        raise ZeroDivisionError


@dataclasses.dataclass
class Data:
    field: Any


class Struct(msgspec.Struct):
    field: Any


class Enum(enum.Enum):
    MEMBER = object()


class Array:
    """As numpy's, which have ``__index__`` and refuse it but for a single integer."""

    def __index__(self) -> int:
        raise TypeError("only integer scalar arrays can be converted to a scalar index")


octets = memoryview(bytes(range(16)))

# Makers, since some can't be pickled for the command that runs tests in several processes.
UNSENDABLE: dict[str, tuple[Callable[[], Any], str]] = {
    "strided": (lambda: octets[::2], "memoryview: .*not C-contiguous"),
    "reversed": (lambda: octets[::-1], "memoryview: .*not C-contiguous"),
    "strided numbers": (lambda: memoryview(array.array("d", [1, 2, 3, 4]))[::2], "memoryview: .*not C-contiguous"),
    "released": (released, ".*released memoryview"),
    "like numpy's": (Array, "a value of type Array can't be sent: only integer scalar arrays"),
    "index raises": (
        lambda: Index(ZeroDivisionError("x")),
        "a value of type Index can't be sent: ZeroDivisionError: x",
    ),
    "index recurses": (lambda: Index(RecursionError("deep")), "a value of type Index can't be sent: deep"),
    "index silent": (lambda: Index(ValueError()), "a value of type Index can't be sent: ValueError"),
    "index unprintable": (lambda: Index(Unprintable()), "a value of type Index can't be sent: Unprintable"),
    "index is a text": (lambda: Index("text"), "a value of type Index can't be sent: .*returned non-int"),
    "class raises": (Class, "a value of type Class can't be sent: LookupError: .*no class"),
    "mapping": (Mapping, "a value of type Mapping can't be sent"),
    "dataclass": (lambda: Data(object()), "a value of type object can't be sent"),
    "struct": (lambda: Struct(object()), "a value of type object can't be sent"),
    "enum": (lambda: Enum.MEMBER, "a value of type object can't be sent"),
    "a class": (lambda: Data, "a value of type type can't be sent"),
    "generator": (lambda: (n for n in ()), "a value of type generator can't be sent"),
}
INSIDE: dict[str, Callable[[Any], Any]] = {
    "itself": lambda value: value,
    "inside": lambda value: [1, {"key": (value,)}],
}
ARGUMENTS = {(kind, place) for kind in UNSENDABLE for place in INSIDE} - {("generator", "itself")}  # which streams


@pytest.mark.parametrize(("kind", "place"), sorted(ARGUMENTS))
def test_an_argument(kind: str, place: str) -> None:
    inside = INSIDE[place]
    make, why = UNSENDABLE[kind]
    message = f"the arguments of m can't be sent: {why}"

    async def async_call() -> None:
        async with zerorpc.AsyncClient() as client:
            client.m(inside(make()))

    with zerorpc.Client() as client, zerorpc.Pusher() as pusher, zerorpc.Publisher() as publisher:
        for send in (client.m, pusher.m, publisher.m):
            with pytest.raises(zerorpc.SerializationError, match=message):
                send(inside(make()))
        with pytest.raises(zerorpc.SerializationError, match=message):
            run(async_call())


class Service:
    def plain(self, kind: str) -> Any:
        return UNSENDABLE[kind][0]()

    @zerorpc.on_loop
    def quick(self, kind: str) -> Any:
        return [UNSENDABLE[kind][0]()]

    async def coroutine(self, kind: str) -> Any:
        return {"a": UNSENDABLE[kind][0]()}

    def generator(self, kind: str) -> Iterator[Any]:
        yield 1
        yield UNSENDABLE[kind][0]()

    async def async_generator(self, kind: str) -> AsyncIterator[Any]:
        yield 1
        yield UNSENDABLE[kind][0]()


@pytest.mark.parametrize("hooked", [False, True])
def test_results_and_items(hooked: bool) -> None:
    context = zerorpc.Context()
    if hooked:
        context.register_middleware({"server_before_exec": lambda event: None})
    with (
        serving(Service(), pool_size=1, context=context) as server,
        zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client,
    ):
        for kind, (_, why) in UNSENDABLE.items():
            # of a plain method's result it is asked first whether it is an iterator, to be streamed
            asked = kind in ("class raises", "generator")
            for method in ("quick", "coroutine") if asked else ("plain", "quick", "coroutine"):
                error = remote_error(client, method, kind)
                assert error.name == "TypeError"
                assert_found(f"the result of {method} can't be sent: {why}", error.msg)
            for method in ("generator", "async_generator"):
                items = client(method, kind)
                assert next(items) == 1
                error = remote_error(next, items)
                assert error.name == "TypeError"
                assert_found(f"the item of {method} can't be sent: {why}", error.msg)


def assert_found(pattern: str, text: str) -> None:
    with pytest.raises(Exception, match=pattern):
        raise Exception(text)


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (octets, bytes(range(16))),
        (octets[2:5], b"\2\3\4"),
        (octets[:0], b""),
    ],
)
def test_memory_in_one_piece_is_sent_as_its_octets(value: memoryview, arrives: bytes) -> None:
    with joined({"echo": lambda value: value, "make": lambda: value, "each": iter_of(value)}) as client:
        assert client.echo(value) == arrives
        assert client.make() == arrives
        assert list(client.each()) == [arrives]


def iter_of(value: Any) -> Callable[[], Iterator[Any]]:
    def items() -> Iterator[Any]:
        yield value

    return items


def test_a_lack_of_memory_is_no_fault_of_the_value() -> None:
    with zerorpc.Client() as client, pytest.raises(MemoryError):
        client.m(Lacking())
    with joined({"make": Lacking}) as client:
        assert remote_error(client.make).name == "MemoryError"


class Lacking:
    def __index__(self) -> int:
        raise MemoryError
