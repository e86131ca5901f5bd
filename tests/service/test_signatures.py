"""How methods are described to callers."""

from __future__ import annotations

import functools
import time
from typing import Any

import pytest

import zerorpc
from tests.service.running import joined
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
