"""What a server tells of itself as OpenAPI."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import httpx
import openapi_spec_validator
import pytest

import zerorpc
from tests.service.running import on_thread

Point = dataclasses.make_dataclass(
    "Point", [("x", float), ("below", list[Any], dataclasses.field(default_factory=list))]
)
OtherPoint = dataclasses.make_dataclass("Point", [("x", int)])


class Service:
    """Moves things."""

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


class Arm:
    """Lifts."""

    @zerorpc.idempotent
    def lift(self, to: Point) -> Point:  # type: ignore[valid-type]
        return to


@pytest.fixture
def document() -> Iterator[dict[str, Any]]:
    server = zerorpc.Server(Service(), name="stage")
    server.register(Arm(), "arm")
    server.bind("tcp://127.0.0.1:0")
    server.bind("inproc://stage")
    endpoint = server.bind("http://127.0.0.1:0")[0]
    with on_thread(server):
        yield {**httpx.get(f"{endpoint}/openapi.json").json(), "url": endpoint, "tcp": server.endpoints[0]}


def test_it_is_valid(document: dict[str, Any]) -> None:
    openapi_spec_validator.validate({key: told for key, told in document.items() if key not in ("url", "tcp")})
    assert document["info"]["title"] == "stage"
    assert set(document["paths"]) == {
        f"/call/{name}" for name in ("move", "look", "back", "path", "untyped", "arm.lift")
    }


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


def test_methods_with_a_prefix_are_where_it_says(document: dict[str, Any]) -> None:
    lift = document["paths"]["/call/arm.lift"]["post"]
    assert httpx.post(f"{document['url']}/call/arm.lift", json=[{"x": 1}]).json() == {"x": 1.0, "below": []}
    assert (lift["operationId"], lift["tags"]) == ("arm_lift", ["arm"])
    assert document["tags"] == [{"name": "arm", "description": "Lifts."}]
    assert document["info"]["description"] == "Moves things."
    assert "tags" not in document["paths"]["/call/move"]["post"]


def test_what_openapi_has_no_word_for(document: dict[str, Any]) -> None:
    assert document["x-endpoints"] == [document["tcp"]], "where clients connect from elsewhere"
    posts = {path.removeprefix("/call/"): told["post"] for path, told in document["paths"].items()}
    assert posts["path"]["x-items"] == {"$ref": "#/components/schemas/Point"}
    assert "x-items" not in posts["move"]
    assert [(each["name"], each["kind"]) for each in posts["untyped"]["x-parameters"]] == [
        ("a", "positional or keyword"), ("more", "variadic positional"), ("named", "variadic keyword"),
    ]  # fmt: skip
    assert {name for name, told in posts.items() if told.get("x-idempotent")} == {"arm.lift"}
