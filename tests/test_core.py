"""The modules that programs written for zerorpc 0.6 import from."""

from __future__ import annotations

import importlib

import pytest

import zerorpc


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (
            "zerorpc.core",
            ["Server", "Client", "Pusher", "Puller", "Publisher", "Subscriber", "fork_task_context"],
        ),
        ("zerorpc.context", ["Context"]),
        ("zerorpc.decorators", ["stream", "rep"]),
        ("zerorpc.exceptions", ["TimeoutExpired", "RemoteError", "LostRemote"]),
    ],
)
def test_the_names_of_old_are_the_same_as_those_of_the_package(module: str, names: list[str]) -> None:
    old = importlib.import_module(module)
    for name in names:
        assert getattr(old, name) is getattr(zerorpc, name)
    assert set(names) <= set(old.__all__)


def test_the_root_of_the_decorators_is_there() -> None:
    from zerorpc.decorators import DecoratorBase

    assert isinstance(zerorpc.stream(iter), DecoratorBase)
    assert isinstance(zerorpc.rep(iter), DecoratorBase)
