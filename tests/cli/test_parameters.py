"""What a server tells of a method's parameters, whatever it tells."""

from __future__ import annotations

from typing import Any

import pytest

from zerorpc.cli.parameters import Parameters, parameters_of
from zerorpc.errors import RemoteError


def told(method: Any) -> Parameters | None:
    return parameters_of(lambda question: {"methods": {"m": method}}, "m")


def test_an_older_server_tells_the_names() -> None:
    found = told({"args": [{"name": "a"}, {"name": "b", "default": 1}], "doc": None})
    assert found is not None
    assert (found.has("a"), found.has("b"), found.has("c")) == (True, True, False)
    assert (found.at(0), found.of_name("a")) == ({}, {})


def test_stars() -> None:
    names = ["a", "*rest", "b", "**others"]
    schemas = {"a": {"type": "string"}, "rest": {"type": "array", "items": {"type": "integer"}}, "b": {"default": 1}}
    schema = {"arguments": {"properties": schemas, "additionalProperties": {"type": "null"}}}
    found = told({"args": [{"name": name} for name in names], "schema": schema})
    assert found is not None
    assert [found.at(place) for place in range(3)] == [{"type": "string"}, {"type": "integer"}, {"type": "integer"}]
    assert (found.of_name("b"), found.of_name("c"), found.has("c")) == ({}, {"type": "null"}, True)
    bare = told({"args": [{"name": "*"}, {"name": "b"}]})
    assert bare is not None
    assert (bare.has("b"), bare.has(""), bare.at(0)) == (True, False, {})


@pytest.mark.parametrize("answer", [None, [], "text", {"methods": 3}, {"methods": {"m": None}}, {"methods": {"m": {}}}])
def test_nonsense_tells_nothing(answer: Any) -> None:
    assert parameters_of(lambda question: answer, "m") is None


def test_nonsense_inside() -> None:
    found = told({"args": [3, {"name": 4}, {}], "schema": {"arguments": {"properties": {1: 2}}}})
    assert found is not None
    assert (found.at(0), found.has("a")) == ({}, False)


def test_a_server_that_refuses_tells_nothing() -> None:
    def refuse(question: str) -> None:
        raise RemoteError("TypeError", "no", None)

    assert parameters_of(refuse, "m") is None
