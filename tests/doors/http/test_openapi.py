"""What a server tells of itself as OpenAPI."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import httpx
import openapi_spec_validator
import pytest

from tests.service.running import serving

Point = dataclasses.make_dataclass(
    "Point", [("x", float), ("below", list[Any], dataclasses.field(default_factory=list))]
)
OtherPoint = dataclasses.make_dataclass("Point", [("x", int)])


class Service:
    def move(self, to: Point, speed: float = 1.0) -> Point:  # type: ignore[valid-type]
        """Go there.

        Slowly."""
        return to

    def look(self, at: list[OtherPoint]) -> None: ...  # type: ignore[valid-type]

    def back(self, to: Point) -> None: ...  # type: ignore[valid-type]

    def path(self) -> Iterator[Point]:  # type: ignore[valid-type]
        yield Point(1.0)

    def untyped(self, a, *more, **named):  # type: ignore[no-untyped-def]
        return a


@pytest.fixture
def document() -> Iterator[dict[str, Any]]:
    with serving(Service(), bind="http://127.0.0.1:0", name="stage") as server:
        yield httpx.get(f"{server.endpoints[0]}/openapi.json").json()


def test_it_is_valid(document: dict[str, Any]) -> None:
    openapi_spec_validator.validate(document)
    assert document["info"]["title"] == "stage"
    assert set(document["paths"]) == {f"/call/{name}" for name in ("move", "look", "back", "path", "untyped")}


def test_a_method(document: dict[str, Any]) -> None:
    move = document["paths"]["/call/move"]["post"]
    assert (move["summary"], move["description"]) == ("Go there.", "Go there.\n\nSlowly.")
    assert move["requestBody"] == {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "to": {"$ref": "#/components/schemas/Point"},
                        "speed": {"type": "number", "default": 1.0},
                    },
                    "required": ["to"],
                    "additionalProperties": False,
                }
            }
        },
    }
    assert move["responses"]["200"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Point"}
    assert set(move["responses"]) == {"200", "400", "500", "503", "504"}


def test_two_things_of_one_name_stay_two(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert set(schemas) == {"Problem", "Point", "Point2"}
    kinds = {name: schemas[name]["properties"]["x"]["type"] for name in ("Point", "Point2")}
    assert sorted(kinds.values()) == ["integer", "number"]


def test_a_stream(document: dict[str, Any]) -> None:
    told = document["paths"]["/call/path"]["post"]["responses"]["200"]
    assert list(told["content"]) == ["application/x-ndjson"]
