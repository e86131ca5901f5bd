"""What a server exposes, by its names."""

from __future__ import annotations

import pytest

from zerorpc.service.methods import Method
from zerorpc.service.registry import Registry


def functor(method: Method | None) -> object:
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
