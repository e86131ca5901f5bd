"""``zerorpc schema``."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.service.running import serving
from zerorpc.cli import main
from zerorpc.cli.schema import DIALECT, schema_of


def step(n: int, speed: float = 1.0) -> float:
    """Move."""
    return n * speed


def test_it_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with serving({"step": step}, name="stage") as server:
        assert main(["schema", server.endpoints[0]]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["$schema"], told["title"]) == (DIALECT, "stage")
    assert told["methods"]["step"] == {
        "description": "Move.",
        "arguments": {
            "type": "object",
            "properties": {"n": {"type": "integer"}, "speed": {"type": "number", "default": 1.0}},
            "required": ["n"],
            "additionalProperties": False,
        },
        "parameters": [
            {"name": "n", "kind": "positional or keyword"},
            {"name": "speed", "kind": "positional or keyword"},
        ],
        "result": {"type": "number"},
        "streams": False,
        "idempotent": False,
    }


@pytest.mark.parametrize("words", [[], ["tcp://a:1", "method"]])
def test_one_address_is_needed(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", *words]) == 2
    assert "address" in capsys.readouterr().err


@pytest.mark.parametrize("told", [None, [], "text", {"methods": 3}, {"methods": {"a": None}}, {"methods": {1: {}}}])
def test_nonsense(told: Any) -> None:
    assert schema_of(told)["$schema"] == DIALECT


def test_of_an_older_server_the_names_are_known() -> None:
    args = [{"name": "a"}, {"name": "b", "default": 1}, {"name": "*rest"}, {"name": 3}]
    told = schema_of({"name": "old", "methods": {"add": {"args": args, "doc": None}, "odd": {"args": None}}})
    assert told["methods"]["add"]["arguments"] == {
        "type": "object",
        "properties": {"a": {}, "b": {}},
        "required": ["a"],
    }
    assert told["methods"]["add"]["parameters"] == [
        {"name": "a", "kind": "positional or keyword"},
        {"name": "b", "kind": "positional or keyword"},
        {"name": "rest", "kind": "variadic positional"},
        {"name": "3", "kind": "keyword-only"},
    ]
    assert told["methods"]["add"]["streams"] is None, "it doesn't tell"
    assert told["methods"]["odd"]["arguments"]["properties"] == {}
    assert "parameters" not in told["methods"]["odd"]


def test_of_a_server_that_can_not_tell_the_names_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    with serving({"step": step}, name="stage") as server:
        for name in ("_zerorpc_inspect", "_zerorpc_args"):  # as of zerorpc 0.6 on Python 3.11 and later
            del server._core.registry.answering[name]
        assert main(["schema", server.endpoints[0]]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["methods"]["step"]["description"] == "Move."
    assert told["methods"]["step"]["arguments"] == {"type": "object", "properties": {}}
