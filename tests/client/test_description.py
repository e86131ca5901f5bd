"""What servers tell of their methods, of any age and honesty, as Python's tools want it."""

from __future__ import annotations

from typing import Any

import pytest

from zerorpc.client.description import Description


def described(**facts: Any) -> tuple[str | None, str]:
    told = Description({"methods": {"m": facts}}).method("m")
    assert told is not None
    return None if told.signature is None else str(told.signature), told.doc


@pytest.mark.parametrize(
    ("args", "signature"),
    [
        ([], "()"),
        ([{"name": "a"}, {"name": "b", "default": None}], "(a, b=None)"),
        (
            [{"name": "a", "type": "int"}, {"name": "*"}, {"name": "b", "type": "list[int]"}],
            "(a: int, *, b: list[int])",
        ),
        ([{"name": "*rest"}, {"name": "b"}, {"name": "**more"}], "(*rest, b, **more)"),
        (None, None),
        ([{"name": "a", "default": 1}, {"name": "b"}], None),
        ([{"name": "a"}, {"name": "a"}], None),
        ([{"name": "not a name"}], None),
        ([{"name": 3}], None),
        (["a"], "(a)"),
        ([[]], None),
        ([{"name": "lambda"}], None),
    ],
)
def test_signatures(args: Any, signature: str | None) -> None:
    assert described(args=args)[0] == signature


def test_a_schema_says_more() -> None:
    facts: dict[str, Any] = {"args": [{"name": "a", "type": "Axis"}, {"name": "b", "default": 1}]}
    kinds = [{"name": "a", "kind": "positional-only"}, {"name": "b", "kind": "keyword-only"}]
    assert described(**facts, schema={"parameters": kinds})[0] == "(a: Axis, /, *, b=1)"
    later = [{"name": "a", "kind": "of a later version"}]
    assert described(**facts, schema={"parameters": later})[0] == "(a: Axis, b=1)"


def test_docs() -> None:
    assert described(doc="One.\n\n    Two.") == (None, "One.\n\nTwo.")
    assert described(doc="\x1b[2J") == (None, "\\x1b[2J")
    assert described(doc=None, args=[{"name": "a"}]) == ("(a)", "m(a)")
    assert described(doc=3) == (None, "3")
    assert described(doc=[]) == (None, "[]")


def test_version_2() -> None:
    told = Description({"methods": [["add", [["a", "b"], "rest", None, [1]], "Add."], ["odd", None, None], "name"]})
    add = told.method("add")
    assert (str(add.signature), add.doc) == ("(a, b=1, *rest)", "Add.") if add is not None else False
    assert told.below("") == ["add", "name", "odd"]


def test_names() -> None:
    told = Description(["b", "a.x", "a.y.z", "_hidden", "no name", 3, "a-b"])
    assert told.below("") == ["a", "b"]
    assert (told.below("a"), told.below("a.y"), told.below("b")) == (["x", "y"], ["z"], [])
    assert told.method("c") is None


@pytest.mark.parametrize("answer", [None, 3, "text", {}, {"methods": 3}, {"methods": {3: 4}}, [[]], [[[]]], b"m"])
def test_nonsense(answer: Any) -> None:
    assert Description(answer).below("") == []
