"""What a server exposes, by its names."""

from __future__ import annotations

import datetime
import types
from typing import Any

import pytest

from zerorpc.service import signatures
from zerorpc.service.methods import Method
from zerorpc.service.registry import Registry


def functor(method: Method | None) -> Any:
    assert method is not None
    return method.functor()


def test_methods_by_their_names_and_prefixes() -> None:
    registry = Registry("lab")
    registry.register({"move": lambda: 1}, "", None)
    registry.register({"move": lambda: 2}, "arm", None)
    assert {name: functor(method) for name, method in registry.methods.items()} == {"move": 1, "arm.move": 2}
    assert functor(registry.answering["arm.move"]) == 2
    assert repr(registry) == "<Registry 'lab' ['move', 'arm.move']>"


def test_a_name_is_taken_once() -> None:
    registry = Registry("lab")
    registry.register({"move": lambda: 1}, "", None)
    with pytest.raises(ValueError, match="'move' is exposed already; give register"):
        registry.register({"move": lambda: 2}, "", None)
    assert functor(registry.known("move")) == 1


def test_what_every_service_answers_is_not_exposed() -> None:
    registry = Registry("lab")
    assert functor(registry.answering["_zerorpc_ping"]) == ["pong", "lab"]
    assert registry.methods == {}
    with pytest.raises(NameError):
        registry.known("_zerorpc_ping")


def test_what_a_program_exposes_under_the_name_of_a_builtin_answers_in_its_place() -> None:
    registry = Registry("lab")
    registry.register({"_zerorpc_name": lambda: "mine"}, "", None)
    assert functor(registry.answering["_zerorpc_name"]) == "mine"
    assert functor(registry.answering["_zerorpc_list"]) == []


# What peers ask again and again


def asked(registry: Registry, question: str) -> Any:
    return functor(registry.answering[question])


@pytest.mark.parametrize("question", ["_zerorpc_inspect", "_zpc_methods"])
def test_methods_are_described_once(question: str, monkeypatch: pytest.MonkeyPatch) -> None:
    described: list[str] = []

    def describe(method: Method) -> dict[str, Any]:
        described.append(method.name)
        return signatures.describe(method)

    monkeypatch.setattr("zerorpc.service.registry.describe", describe)
    registry = Registry("lab")
    registry.register({"move": lambda x: x, "stop": lambda: 1}, "", None)
    first = asked(registry, question)
    assert asked(registry, question) == first
    assert described == ["move", "stop"]
    registry.register({"move": lambda y: y}, "arm", None)
    assert asked(registry, question)["methods"]["arm.move"]["args"] == [{"name": "y"}]
    assert described == ["move", "stop", "move", "stop", "move"]


def test_who_changes_an_answer_changes_no_other() -> None:
    """A hook may hide what its caller shall not see."""
    registry = Registry("lab")
    registry.register({"move": lambda x: x}, "", None)
    first = asked(registry, "_zerorpc_inspect")
    first["methods"]["move"]["args"].clear()
    first["methods"].clear()
    assert asked(registry, "_zerorpc_inspect")["methods"]["move"]["args"] == [{"name": "x"}]


def test_defaults_of_all_sorts_survive() -> None:
    defaults = [None, 1.5, b"\x00", (1, (2,)), {1: {"a": None}, (1, 2): 3}, datetime.datetime(2026, 1, 2), 2**64, float]

    def move(x: Any) -> None: ...

    registry = Registry("lab")
    for number, default in enumerate(defaults):
        changed = types.FunctionType(move.__code__, {}, "move", (default,))
        registry.register({f"move{number}": changed}, "", None)
    told = asked(registry, "_zerorpc_inspect")["methods"]
    shown = [told[f"move{number}"]["args"][0]["default"] for number in range(len(defaults))]
    assert shown[:4] == [None, 1.5, b"\x00", [1, [2]]]
    assert shown[4] == {1: {"a": None}, (1, 2): 3}
    assert shown[6:] == [str(2**64), repr(float)]
