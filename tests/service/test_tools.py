"""``@zerorpc.tool``: what it marks, and what a service tells of it."""

from __future__ import annotations

import types
from typing import Any

import pytest

import zerorpc
from zerorpc.exposure import Patterns
from zerorpc.service.registry import Registry


class Stage:
    """A stage."""

    @zerorpc.tool
    def plain(self) -> None: ...

    @zerorpc.safe
    @zerorpc.tool
    @zerorpc.stream
    def items(self) -> list[int]:
        return [1]

    @zerorpc.tool(destructive=False)
    @classmethod
    def shared(cls) -> None: ...

    @zerorpc.rep
    @zerorpc.tool(destructive=True)
    @staticmethod
    def alone() -> None: ...

    def other(self) -> None: ...


def registered(*services: Any, tools: Patterns | None = None) -> dict[str, Any]:
    registry = Registry("lab", tools=tools)
    for service in services:
        registry.register(service, "", None)
    return registry.inspected()


def test_what_is_told() -> None:
    told = registered(Stage())
    assert {name: method["tool"] for name, method in told["methods"].items() if "tool" in method} == {
        "plain": {},
        "items": {"safe": True},
        "shared": {"destructive": False},
        "alone": {"destructive": True},
    }
    assert told["doc"] == "A stage."


def test_patterns_take_the_place_of_marks() -> None:
    told = registered(Stage(), tools=Patterns(["o*", "plain"], name="tools"))
    assert [name for name, method in told["methods"].items() if "tool" in method] == ["other", "plain"]


def test_a_pattern_that_matches_nothing_is_told(caplog: pytest.LogCaptureFixture) -> None:
    registry = Registry("lab", tools=Patterns(["x*"], name="tools"))
    registry.register(Stage(), "", None)
    registry.warn_of_idle_patterns()
    assert "no method of lab matches tools='x*'" in caplog.text


def test_the_documentation_is_that_of_the_first_with_tools() -> None:
    module = types.ModuleType("module", "A module.")
    module.__dict__.update(__all__=["add"], add=zerorpc.tool(lambda: 1))
    assert registered({"add": zerorpc.tool(lambda: 1)}).get("doc") is None
    assert registered({"one": lambda: 1}, module)["doc"] == "A module."
    assert "doc" not in registered({"one": lambda: 1})


def test_what_can_not_be_marked() -> None:
    with pytest.raises(TypeError, match=r"@zerorpc\.tool: <built-in function len> can't be marked"):
        zerorpc.tool(len)
