"""What breaks callers, and what doesn't: a method before, the same method now, and the findings."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec
import pytest

import zerorpc
from zerorpc.cli.schema import schema_of
from zerorpc.cli.schema_diff import differences
from zerorpc.described import Service, read_document
from zerorpc.service.json_schema import json_schema
from zerorpc.service.methods import Method
from zerorpc.service.signatures import describe


class Axis(enum.Enum):
    X = "x"
    Y = "y"


class Axes(enum.Enum):
    X = "x"
    Y = "y"
    Z = "z"


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


@dataclasses.dataclass
class Flat:
    x: float


@dataclasses.dataclass
class Deep:
    x: float
    z: float
    y: float = 0.0


@dataclasses.dataclass
class Tree:
    n: int
    below: list[Tree] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class OtherTree:
    n: str
    below: list[OtherTree] = dataclasses.field(default_factory=list)


class Full(TypedDict):
    a: int


class Loose(TypedDict):
    a: NotRequired[int]


NAMES = {
    **globals(),
    "Literal": Literal,
    "Date": datetime.date,
    "Time": datetime.datetime,
    "Positive": Annotated[int, msgspec.Meta(ge=1)],
    "Large": Annotated[int, msgspec.Meta(ge=9)],
}

SAME: list[tuple[str, str]] = [
    ("a", "a"),
    ("a: int", "a: float"),
    ("a: int", "a: int | None"),
    ("a: int", "a"),
    ("a: int", "a: int = 3"),
    ("a", "a, b=1, *more, c=2, **others"),
    ("a, b", "a, *more, **others"),
    ("*, a, b", "*, b, a"),
    ("*, a", "a"),
    ("a, /", "a"),
    ("*, a", "**others"),
    ("a: Axis", "a: Axes"),
    ("a: Literal[1]", "a: int"),
    ("a: Point", "a: Point"),
    ("a: Flat", "a: Point"),
    ("a: Tree", "a: Tree"),
    ("a: list[int]", "a: list[float]"),
    ("a: dict[str, int]", "a: dict[str, float]"),
    ("a: tuple[int, int]", "a: list[int]"),
    ("a: tuple[int, str]", "a: tuple[float, str]"),
    ("a: Large", "a: Positive"),
    ("a: list[int]", "a: Iterator[int]"),
    ("a: int = 0", "a: int = 1"),
    ("a: int | None", "a: int = None"),
    ("a: int = None", "a: int | None = 3"),
    ("", "* , a=1"),
]

CHANGED: list[tuple[str, str, list[str]]] = [
    ("a, b", "a", ["WIRE f: parameter b was removed"]),
    ("a, b", "b", ["WIRE f: parameter a was removed"]),
    ("a", "a, b", ["WIRE f: parameter b is new and has no default"]),
    ("a", "a, *, b", ["WIRE f: parameter b is new and has no default"]),
    ("a, b=1", "a, b", ["WIRE f: parameter b has no default any more"]),
    ("a, b", "b, a", ["WIRE f: parameters have another order: (a, b) became (b, a)"]),
    ("a=1", "b=0, a=1", ["WIRE f: parameter b is new and stands before a"]),
    ("a", "b", ["SOURCE f: parameter a is called b now"]),
    ("a: int", "b: str", ["SOURCE f: parameter a is called b now", "WIRE f: parameter b: int became str"]),
    ("a, /", "b, /", []),
    ("a", "a, /", ["SOURCE f: parameter a can't be given by keyword any more"]),
    ("a", "*, a", ["WIRE f: parameter a can only be given by keyword now"]),
    ("*, a", "*, b", ["SOURCE f: parameter a is called b now"]),
    ("*, a: int", "*, b: str", ["WIRE f: parameter a was removed", "WIRE f: parameter b is new and has no default"]),
    ("*, a=1", "", ["WIRE f: parameter a was removed"]),
    ("a, b", "a, *more", ["SOURCE f: parameter b can't be given by keyword any more"]),
    ("a: int", "*more: str, **others", ["WIRE f: parameter *more: int became str"]),
    ("*, a: int", "**others: str", ["WIRE f: parameter **others: int became str"]),
    ("*more", "", ["WIRE f: parameter *more was removed: it takes no more arguments than it names"]),
    ("*more: int", "*more: str", ["WIRE f: parameter *more: int became str"]),
    ("**others", "", ["SOURCE f: parameter **others was removed: it takes no keywords but those that it names"]),
    ("a", "a: int", ["WIRE f: parameter a: anything became int"]),
    ("a: float", "a: int", ["WIRE f: parameter a: float became int"]),
    ("a: int | None", "a: int", ["WIRE f: parameter a: int | None became int"]),
    ("a: int | str", "a: int | None", ["WIRE f: parameter a: int | str became int | None"]),
    ("a: Axes", "a: Axis", ["WIRE f: parameter a: 'x' | 'y' | 'z' became 'x' | 'y'"]),
    ("a: str", "a: Axis", ["WIRE f: parameter a: str became 'x' | 'y'"]),
    ("a: Date", "a: str", ["WIRE f: parameter a: date became str"]),
    ("a: str", "a: Time", ["WIRE f: parameter a: str became datetime"]),
    ("a: str", "a: bytes", ["WIRE f: parameter a: str became bytes"]),
    ("a: list[float]", "a: list[int]", ["WIRE f: parameter a[]: float became int"]),
    ("a: list[int]", "a: set[int]", []),
    ("a: set[int]", "a: list[int]", []),
    ("a: complex", "a: float", ["WIRE f: parameter a: complex became float"]),
    ("a: list[int]", "a: tuple[int, int]", ["WIRE f: parameter a: list[int] became tuple[int, int]"]),
    ("a: tuple[int, str]", "a: tuple[int, int]", ["WIRE f: parameter a[1]: str became int"]),
    ("a: dict[str, int]", "a: dict[int, int]", ["WIRE f: parameter a: dict[str, int] became dict[int, int]"]),
    ("a: dict[str, float]", "a: dict[str, int]", ["WIRE f: parameter a[]: float became int"]),
    ("a: Positive", "a: Large", ["WIRE f: parameter a: minimum 1 became 9"]),
    ("a: int", "a: Large", ["WIRE f: parameter a: minimum none became 9"]),
    ("a: Point", "a: Flat", ["WIRE f: parameter a.y: is not read any more"]),
    ("a: Point", "a: Deep", ["WIRE f: parameter a.z: is new and has to be there"]),
    ("a: Loose", "a: Full", ["WIRE f: parameter a.a: has to be there now"]),
    ("a: list[Point]", "a: list[Flat]", ["WIRE f: parameter a[].y: is not read any more"]),
    ("a: Tree", "a: OtherTree", ["WIRE f: parameter a.n: int became str"]),
    ("a: Iterator[int]", "a: list[int]", ["WIRE f: parameter a takes no stream any more"]),
    ("a: Iterator[int]", "a: Iterator[str]", ["WIRE f: parameter a: int became str"]),
    ("a: int | None", "a: int = 3", ["WIRE f: parameter a: int | None became int"]),
    ("a: int = None", "a: int = 3", ["WIRE f: parameter a: int | None became int"]),
]  # fmt: skip

RESULTS: list[tuple[str, str, list[str]]] = [
    ("int", "int", []),
    ("float", "int", []),
    ("int | None", "int", []),
    ("Any", "int", []),
    ("Axes", "Axis", []),
    ("Flat", "Point", []),
    ("Point", "Point", []),
    ("Tree", "Tree", []),
    ("Full", "Full", []),
    ("int", "float", ["WIRE f: result: int became float"]),
    ("int", "int | None", ["WIRE f: result: int became int | None"]),
    ("int", "Any", ["WIRE f: result: int became anything"]),
    ("Axis", "Axes", ["WIRE f: result: 'x' | 'y' became 'x' | 'y' | 'z'"]),
    ("Point", "Flat", ["WIRE f: result.y: is gone"]),
    ("Full", "Loose", ["WIRE f: result.a: may be missing now"]),
    ("list[Point]", "list[Flat]", ["WIRE f: result[].y: is gone"]),
    ("list[int]", "set[int]", ["WIRE f: result: list[int] became set[int]"]),
    ("dict[str, Point]", "dict[str, Flat]", ["WIRE f: result[].y: is gone"]),
    ("Date", "str", ["WIRE f: result: date became str"]),
]


def made(source: str) -> Any:
    names: dict[str, Any] = {}
    exec(f"def f{source}: pass", NAMES, names)
    return names["f"]


def served(**functions: Any) -> Service:
    """As a server tells of these, and ``zerorpc schema`` has it."""
    methods = [Method(name, function) for name, function in functions.items()]
    told = {method.name: {**describe(method), "schema": json_schema(method)} for method in methods}
    return read_document(schema_of({"name": "s", "methods": told}))


def found(old: Any, new: Any) -> list[str]:
    return [str(each) for each in differences(served(f=old), served(f=new))]


@pytest.mark.parametrize(("old", "new"), SAME)
def test_what_no_caller_would_notice(old: str, new: str) -> None:
    assert found(made(f"({old})"), made(f"({new})")) == []


@pytest.mark.parametrize(("old", "new", "findings"), CHANGED)
def test_parameters(old: str, new: str, findings: list[str]) -> None:
    assert found(made(f"({old})"), made(f"({new})")) == findings


@pytest.mark.parametrize(("old", "new", "findings"), RESULTS)
def test_results(old: str, new: str, findings: list[str]) -> None:
    assert found(made(f"() -> {old}"), made(f"() -> {new}")) == findings


def test_items_of_streams() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    def texts() -> Iterator[str]:
        yield "a"

    def as_list() -> list[int]:
        return [1]

    assert found(numbers, texts) == ["WIRE f: item: int became str"]
    assert found(numbers, as_list) == ["WIRE f: it doesn't stream its result any more"]
    assert found(as_list, numbers) == ["WIRE f: it streams its result now"]


def test_methods() -> None:
    def plain() -> None: ...

    repeatable = zerorpc.idempotent(made("()"))
    assert [str(each) for each in differences(served(f=plain, g=plain), served(g=plain, h=plain))] == [
        "WIRE f: the method is gone"
    ]
    assert found(repeatable, made("()")) == [
        "WIRE f: it isn't idempotent any more: a client with retry= repeats it no longer"
    ]
    assert found(made("()"), repeatable) == []


def test_what_is_not_told_is_not_compared() -> None:
    assert found(max, made("(a, *, b: int) -> int")) == []
    assert found(made("(a, *, b: int)"), max) == []


def test_of_old_servers_the_names_are_compared() -> None:
    def old(*names: str) -> Service:
        args = [{"name": name} for name in names]
        return read_document(schema_of({"methods": {"f": {"args": args, "doc": None}}}))

    assert [str(each) for each in differences(old("self", "a", "b"), old("a"))] == ["WIRE f: parameter b was removed"]
    assert differences(old("a"), served(f=made("(a: int)")))[0].what == "parameter a: anything became int"
