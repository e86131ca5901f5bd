"""How methods are described to callers."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from typing import Any

import pytest

import zerorpc
from tests.service.running import joined
from tests.service.services import remote_error
from zerorpc.service.json_schema import json_schema
from zerorpc.service.methods import Method
from zerorpc.service.signatures import argspec, describe

MARKER = object()


def full(a, /, b: int, c: "str" = "x", *rest: Any, d: bool = True, **options: Any) -> None:  # type: ignore[no-untyped-def]  # noqa: UP037
    """Does it all."""


def odd(value: object = MARKER, nested: object = ((1, {2}), MARKER)) -> None: ...


class Service:
    def method(self, a: int = 1) -> None: ...


@pytest.mark.parametrize(
    ("functor", "args"),
    [
        (lambda: None, []),
        (Service().method, [{"name": "a", "default": 1, "type": "int"}]),
        (functools.partial(full, 1), None),
        (
            full,
            [
                {"name": "a"},
                {"name": "b", "type": "int"},
                {"name": "c", "default": "x", "type": "str"},
                {"name": "*rest", "type": "Any"},
                {"name": "d", "default": True, "type": "bool"},
                {"name": "**options", "type": "Any"},
            ],
        ),
        (odd, [{"default": repr(MARKER), "name": "value", "type": "object"}, None]),
    ],
)
def test_arguments(functor: Any, args: Any) -> None:
    described = describe(Method("f", functor))["args"]
    if args is None:
        assert [argument["name"] for argument in described] == ["b", "c", "*rest", "d", "**options"]
    elif None in args:
        assert described[0] == args[0]
        assert described[1]["default"] == repr(((1, {2}), MARKER))
    else:
        assert [
            {key.strip(): value.strip("'\"") if key == "type" else value for key, value in each.items()}
            for each in described
        ] == args


def test_a_star_stands_where_python_writes_one() -> None:
    def bare(x: int, *, y: int = 2, z: int) -> None: ...

    args = describe(Method("f", bare))["args"]
    assert [argument["name"] for argument in args] == ["x", "*", "y", "z"]
    assert args[1] == {"name": "*"}


def test_annotations_that_are_no_strings() -> None:
    def typed(a, b): ...  # type: ignore[no-untyped-def]

    typed.__annotations__ = {"a": int, "b": list[int]}
    assert [argument["type"] for argument in describe(Method("f", typed))["args"]] == ["int", "list[int]"]


def test_built_in_functions_without_a_signature() -> None:
    described = describe(Method("strftime", time.strftime))
    assert described["args"] is None
    assert described["doc"].splitlines()[0].startswith("strftime(format")
    assert argspec(Method("strftime", time.strftime)) is None


def test_streams_are_marked() -> None:
    assert describe(Method("f", zerorpc.stream(full)))["streams"] is True
    assert describe(Method("f", full)) == {**describe(Method("f", full)), "streams": False, "doc": "Does it all."}


def test_argspec_is_what_getargspec_gave() -> None:
    assert argspec(Method("f", full)) == [["a", "b", "c"], "rest", "options", ["x"]]
    assert argspec(Method("f", lambda: None)) == [[], None, None, None]


def test_defaults_that_cant_be_sent_are_described() -> None:
    marker = object()

    def method(a: object = marker) -> None: ...

    with joined({"method": method}) as client:
        assert client._zerorpc_inspect()["methods"]["method"]["args"][0]["default"] == repr(marker)
        assert client._zerorpc_args("method") == [["a"], None, None, [repr(marker)]]


# What raises when it is looked at


class Evil:
    """A default or an annotation."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error

    def __repr__(self) -> str:
        if self.error is None:
            return repr(self)
        raise self.error


class Signed:
    """A callable whose attribute of a name raises."""

    def __init__(self, name: str, error: BaseException) -> None:
        self.name = name
        self.error = error

    @staticmethod  # or it would be the documentation of this that is shown
    def __call__(a: int = 1) -> int:
        return a

    def __getattribute__(self, name: str) -> Any:
        if name in ("__signature__", "__doc__") and name == object.__getattribute__(self, "name"):
            raise object.__getattribute__(self, "error")
        return object.__getattribute__(self, name)


def with_default(default: object) -> Any:
    def method(first: int, evil: object = default) -> int:
        """Says what it got."""
        return first

    return method


def annotated(annotation: object) -> Any:
    def method(first: int) -> int:
        return first

    method.__annotations__ = {"first": annotation}
    return method


class Doc:
    """Documentation that is a property."""

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        raise KeyError("no doc")

    def __call__(self, first: int) -> int:
        return first


EVIL_METHODS = {
    "default": with_default(Evil(RuntimeError())),
    "exiting_default": with_default(Evil(SystemExit())),
    "endless_default": with_default(Evil(None)),
    "nested_default": with_default([Evil(KeyboardInterrupt())]),
    "huge_default": with_default("x" * 140_000_000),
    "surrogate_default": with_default("\ud800"),
    "annotation": annotated(Evil(RuntimeError())),
    "exiting_annotation": annotated(Evil(SystemExit())),
    "surrogate_annotation": annotated("\ud800"),
    "signature": Signed("__signature__", RuntimeError()),
    "exiting_signature": Signed("__signature__", SystemExit()),
    "doc": Signed("__doc__", KeyError("no doc")),
    "exiting_doc": Signed("__doc__", SystemExit()),
    "property_doc": Doc(),
}


@pytest.fixture(scope="module")
def evil() -> Iterator[zerorpc.Client]:
    with joined({**EVIL_METHODS, "healthy": full}) as client:
        yield client


def test_inspect_answers_for_all_methods(evil: zerorpc.Client) -> None:
    told = evil._zerorpc_inspect()["methods"]
    assert set(told) == {*EVIL_METHODS, "healthy"}
    assert told["healthy"] == {**describe(Method("healthy", full)), "schema": json_schema(Method("healthy", full))}
    assert all("arguments" in each["schema"] for name, each in told.items() if "schema" in each)
    assert told["default"]["doc"] == "Says what it got."
    assert told["default"]["args"][0] == {"name": "first", "type": "int"}
    assert told["default"]["args"][1]["default"] == "<it can't be shown: RuntimeError>"
    assert told["endless_default"]["args"][1]["default"] == "<it can't be shown: RecursionError>"
    assert told["nested_default"]["args"][1]["default"] == "<it can't be shown: KeyboardInterrupt>"
    assert len(told["huge_default"]["args"][1]["default"]) < 2_000_000
    assert told["surrogate_default"]["args"][1]["default"] == "'\\ud800'"
    assert told["annotation"]["args"][0]["type"] == "<it can't be shown: RuntimeError>"
    assert told["surrogate_annotation"]["args"][0]["type"] == "\\ud800"
    assert told["signature"]["args"] is None
    assert told["exiting_doc"]["doc"] == "<it can't be shown: SystemExit>"


@pytest.mark.parametrize("name", EVIL_METHODS)
def test_arguments_and_help_of_each_are_told(evil: zerorpc.Client, name: str) -> None:
    told = evil._zerorpc_args(name)
    assert told is None or told[0][:1] in (["first"], ["a"], [])
    assert evil._zerorpc_help(name) is None or isinstance(evil._zerorpc_help(name), str)
    assert evil(name, 7) == 7


def test_wrong_arguments_are_told_all_the_same(evil: zerorpc.Client) -> None:
    for name in EVIL_METHODS:
        assert remote_error(evil, name, 1, 2, 3).name == "TypeError"
