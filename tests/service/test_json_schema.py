"""A method's schema: what it takes, by name, and what it returns, as JSON Schema has it."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import enum
import pathlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any, Literal, NamedTuple

import jsonschema
import msgspec
import numpy as np
import pydantic
import pytest
from numpy.typing import NDArray

import zerorpc
from tests.service.running import joined
from zerorpc.service.json_schema import json_schema
from zerorpc.service.methods import Method


class Axis(enum.Enum):
    X = "x"
    Y = "y"


class Mixed(enum.Enum):
    ONE = 1
    B = "b"


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


class Model(pydantic.BaseModel):
    n: int


class Motor:
    pass


POINT = {"$ref": "#/$defs/Point"}
WHEN = {"type": "string", "format": "date-time"}


class Bits(enum.Flag):
    A = 1
    B = 2


TEXT, NUMBER, WHOLE = {"type": "string"}, {"type": "number"}, {"type": "integer"}
# msgspec tells from 0.23 which texts the keys of a map may be
NAMES: dict[str, Any] = {}
if "propertyNames" in msgspec.json.schema(dict[Axis, int]):
    NAMES = {"propertyNames": {"$ref": "#/$defs/Axis"}}
TOLD: list[tuple[Any, Any]] = [
    (int, WHOLE),
    (float, NUMBER),
    (int | None, {"anyOf": [WHOLE, {"type": "null"}]}),
    (list[int], {"type": "array", "items": WHOLE}),
    (Axis, {"$ref": "#/$defs/Axis"}),
    (Mixed, {"title": "Mixed", "enum": [1, "b"]}),
    (Literal[1, "a"], {"enum": [1, "a"]}),
    (Point, POINT),
    (dict[str, list[Point]], {"type": "object", "additionalProperties": {"type": "array", "items": POINT}}),
    (datetime.date, {"type": "string", "format": "date"}),
    (datetime.datetime, WHEN),
    (datetime.time, {"type": "string", "format": "time"}),
    (datetime.datetime | None, {"anyOf": [WHEN, {"type": "null"}]}),
    (list[datetime.datetime], {"type": "array", "items": WHEN}),
    (
        tuple[int, datetime.datetime],
        {"type": "array", "minItems": 2, "maxItems": 2, "items": False} | {"prefixItems": [WHOLE, WHEN]},
    ),
    (dict[int, datetime.datetime], {"type": "object", "additionalProperties": WHEN, "x-keys": WHOLE}),
    (dict[Axis, int], {"type": "object", **NAMES, "additionalProperties": WHOLE, "x-keys": {}}),
    (Annotated[int, msgspec.Meta(ge=3)], {"type": "integer", "minimum": 3}),
    (Annotated[int, pydantic.Field(gt=3)], {"type": "integer", "exclusiveMinimum": 3}),
    (Model, {"title": "Model", "type": "object", "properties": {"n": {"title": "N", **WHOLE}}, "required": ["n"]}),
    (pathlib.Path, TEXT),
    (pathlib.Path | int, {"anyOf": [TEXT, WHOLE]}),
    (collections.deque, {"type": "array"}),
    (complex, {"type": "number", "format": "complex"}),
    (np.complex64, {"type": "number", "format": "complex"}),
    (np.int8, WHOLE),
    (Bits, {"title": "Bits", "type": "integer"}),
    (np.float32, NUMBER),
    (NDArray[np.float32], {"type": "array", "x-numpy": "float32"}),
    (NDArray[np.bool_], {"type": "array", "x-numpy": "bool_"}),
    (np.ndarray, {"type": "array", "x-numpy": ""}),
    (Motor, {"description": "a Motor"}),
    (Callable[[int], int], {"description": "a Callable"}),
    (Any, {}),
    ("NoSuchName", {}),
    (3, {}),
]


def of(function: Any) -> dict[str, Any]:
    told = json_schema(Method("method", function))
    assert told is not None
    for part in ("arguments", "result"):
        if part in told:
            jsonschema.Draft202012Validator.check_schema({**told[part], "$defs": told.get("$defs", {})})
    return told


@pytest.mark.parametrize(("annotation", "schema"), TOLD, ids=[str(annotation) for annotation, _ in TOLD])
def test_what_an_annotation_says(annotation: Any, schema: Any) -> None:
    def method(it):  # type: ignore[no-untyped-def]
        return it

    method.__annotations__ = {"it": annotation, "return": annotation}
    told = of(method)
    assert told["arguments"]["properties"]["it"] == schema
    assert told["result"] == schema


def test_the_arguments_by_name() -> None:
    def path(points: list[Point], /, *more: Point, speed: float = 1.0, **marks: datetime.date) -> None: ...

    told = of(path)
    assert told["arguments"] == {
        "type": "object",
        "properties": {
            "points": {"type": "array", "items": POINT},
            "more": {"type": "array", "items": POINT},
            "speed": {"type": "number", "default": 1.0},
        },
        "required": ["points"],
        "additionalProperties": {"type": "string", "format": "date"},
    }
    assert told["parameters"] == [
        {"name": "points", "kind": "positional-only"},
        {"name": "more", "kind": "variadic positional"},
        {"name": "speed", "kind": "keyword-only"},
        {"name": "marks", "kind": "variadic keyword"},
    ]
    assert told["$defs"]["Point"]["required"] == ["x"]
    assert told["result"] == {"type": "null"}


def test_what_says_nothing() -> None:
    told = of(lambda a, b=b"octets", c=None: a)
    assert told == {
        "arguments": {
            "type": "object",
            "properties": {"a": {}, "b": {}, "c": {"default": None}},  # JSON has no octets
            "required": ["a"],
            "additionalProperties": False,
        },
        "parameters": [{"name": name, "kind": "positional or keyword"} for name in "abc"],
    }
    assert json_schema(Method("max", max)) is None


@dataclasses.dataclass
class Visit:
    at: datetime.datetime
    before: Visit | None = None
    notes: list[str] = dataclasses.field(default_factory=list)


class Stay(NamedTuple):
    begin: datetime.datetime
    point: Point


class Left(msgspec.Struct, tag=True):
    at: datetime.datetime


class Right(msgspec.Struct, tag=True):
    at: datetime.time


class Sparse(msgspec.Struct, omit_defaults=True):
    a: int = 1


def test_times_in_what_has_fields() -> None:
    def method(a: list[Visit], b: Stay, c: Left | Right | int) -> Visit | None: ...

    told = of(method)["$defs"]
    assert told["Visit"]["properties"]["at"] == WHEN
    assert told["Visit"]["properties"]["notes"] == {"type": "array", "items": TEXT, "default": []}
    assert told["Stay"]["prefixItems"] == [WHEN, POINT]
    assert told["Left"]["properties"]["at"] == WHEN
    assert told["Right"]["properties"]["at"] == {"type": "string", "format": "time"}
    assert told["Point"]["properties"]["x"] == NUMBER


def test_a_key_that_may_be_missing_from_results_has_no_default() -> None:
    def method() -> Sparse: ...

    assert of(method)["$defs"]["Sparse"]["properties"] == {"a": WHOLE}


def test_defaults_are_what_callers_could_send() -> None:
    def method(axis: Axis = Axis.Y, path: pathlib.Path = pathlib.Path("x"), n: int = 3) -> None: ...

    told = of(method)["arguments"]["properties"]
    assert told["axis"] == {"$ref": "#/$defs/Axis", "default": "y"}
    assert told["path"] == TEXT
    assert told["n"] == {**WHOLE, "default": 3}


def test_streams_both_ways() -> None:
    def takes(numbers: Iterator[int]) -> Iterator[Point]:
        yield from ()

    async def atakes(numbers: AsyncIterator[int]) -> AsyncIterator[Point]:
        for each in ():
            yield each

    for told in (of(takes), of(atakes)):
        assert told["arguments"]["properties"] == {"numbers": {"type": "array", "items": WHOLE}}
        assert told["parameters"] == [{"name": "numbers", "kind": "positional or keyword", "streams": True}]
        assert told["result"] == POINT, "of each item"
    assert of(zerorpc.rep(takes))["result"] == {"type": "array", "items": POINT}
    assert of(zerorpc.stream(lambda: [1]))["arguments"]["properties"] == {}


def test_what_can_not_be_told_of_is_anything() -> None:
    class Evil:
        def __getattr__(self, name: str) -> Any:
            raise SystemExit(name)

    def method(it: Any) -> None: ...

    method.__annotations__ = {"it": Evil()}
    assert of(method)["arguments"]["properties"] == {"it": {}}


def test_servers_tell_it_beside_what_they_always_told() -> None:
    def step(axis: Axis, n: int = 1) -> float:
        """Move."""
        return n

    step.__annotations__ = {"axis": Axis, "n": int, "return": float}
    with joined({"step": step}) as client:
        told = client._zerorpc_inspect()["methods"]["step"]
    assert told["doc"] == "Move."
    assert [arg["name"] for arg in told["args"]] == ["axis", "n"]
    assert told["schema"] == json_schema(Method("step", step))
    jsonschema.validate({"axis": "x"}, {**told["schema"]["arguments"], "$defs": told["schema"]["$defs"]})
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"axis": "z"}, {**told["schema"]["arguments"], "$defs": told["schema"]["$defs"]})
