"""Types in words, from what servers tell of them."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal

import pytest

from zerorpc.cli.type_names import type_of
from zerorpc.service.json_schema import json_schema
from zerorpc.service.methods import Method


@dataclasses.dataclass
class Point:
    x: float


class Colour(enum.Enum):
    RED = "red"


class Camera: ...


def returning(annotation: object) -> Callable[[], Any]:
    def function() -> Any: ...

    function.__annotations__["return"] = annotation
    return function


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        (int, "int"),
        (float, "float"),
        (str, "str"),
        (bytes, "bytes"),
        (bool, "bool"),
        (None, "None"),
        (str | None, "str | None"),
        (list[int], "list[int]"),
        (list, "list"),
        (set[uuid.UUID], "set[UUID]"),
        (tuple[int, str], "tuple[int, str]"),
        (tuple[int, ...], "list[int]"),
        (dict[str, list[float]], "dict[str, list[float]]"),
        (dict, "dict"),
        (datetime.date, "date"),
        (datetime.timedelta, "timedelta"),
        (Decimal, "Decimal"),
        (Literal["a"], "'a'"),
        (Point, "Point"),
        (list[Point], "list[Point]"),
        (Colour, "Colour"),
        (complex, "complex"),
        (Camera, "Camera"),
        (Any, ""),
        (object, "object"),
    ],
)
def test_a_schema_is_named_as_its_annotation(annotation: object, name: str) -> None:
    schema = json_schema(Method("m", returning(annotation)))
    assert schema is not None
    assert type_of(schema["result"]) == name


deep: Any = {"type": "integer"}
for _ in range(100_000):
    deep = {"type": "array", "items": deep}


@pytest.mark.parametrize(
    ("told", "name"),
    [
        (None, ""),
        ("text", ""),
        ({"type": 5}, ""),
        ({"type": "string", "format": []}, "str"),
        ({"type": ["string", "null"]}, "str | None"),
        ({"anyOf": []}, ""),
        ({"anyOf": [{}, {"type": "null"}]}, ""),
        ({"enum": [[]]}, ""),
        ({"$ref": 5}, ""),
        ({"description": "a long story"}, ""),
        (deep, "list[" * 8 + "list" + "]" * 8),
    ],
)
def test_nonsense(told: object, name: str) -> None:
    assert type_of(told) == name
