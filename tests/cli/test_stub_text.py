"""The text of a stub: of older servers, of names that mean something else, and of hostile ones."""

from __future__ import annotations

import ast
import copy
import typing
from typing import Any

import pytest

from zerorpc.cli.schema import schema_of
from zerorpc.cli.schema_diff import differences
from zerorpc.cli.stub_text import stub_of
from zerorpc.described import read_document


def stub(methods: Any, name: str = "stage") -> str:
    text = stub_of(read_document(schema_of({"name": name, "methods": methods})))
    ast.parse(text)
    return text


def told(result: Any = None, definitions: Any = None, streams: bool = False, **parameters: Any) -> dict[str, Any]:
    """A method as a server of ours tells of it."""
    return {
        "streams": streams,
        "schema": {
            "arguments": {"type": "object", "properties": parameters, "required": list(parameters)},
            "parameters": [{"name": name, "kind": "positional or keyword"} for name in parameters],
            "result": result or {},
            "$defs": definitions or {},
        },
    }


def test_of_older_servers() -> None:
    args = [
        {"name": "self"},
        {"name": "a"},
        {"name": "b", "default": 1},
        {"name": "*rest"},
        {"name": "c"},
        {"name": "**d"},
    ]
    text = stub({"add": {"args": args, "doc": "Add."}, "unknown": {"args": None}})
    assert "    def add(self, a: Any, b: Any = ..., *rest: Any, c: Any, **d: Any) -> Any:\n" in text
    assert (
        "    # the server doesn't tell what it takes\n    def unknown(self, *args: Any, **kwargs: Any) -> Any: ..."
        in text
    )
    assert "async def" not in text, "who calls it may await it or iterate over it: nobody knows whether it streams"


def test_what_is_no_name_is_left_out_with_a_comment() -> None:
    text = stub({"a-b": {}, "stage.move": {}, "class": {}, "_own": {}, "x\ny": {}, "good": told(**{"a b": {}})})
    for name in ("'a-b'", "'stage.move'", "'class'", "'_own'", r"'x\\ny'"):
        assert text.count(f"    # left out, since Python has no such name: {name}\n") == 2
    assert "    # Python can't write its parameter 'a b'\n    def good(self, *args: Any, **kwargs: Any)" in text


@pytest.mark.parametrize("name", ["list", "int", "Any", "Iterator", "Literal", "Protocol"])
def test_a_method_may_be_called_like_a_type(name: str) -> None:
    schema = {"type": "array", "items": {"enum": [1]}}
    text = stub(
        {name: told({"type": "integer"}, streams=True, a=schema, b={}), "other": told(schema, a={"type": "integer"})}
    )
    names: dict[str, Any] = {}
    exec(text, names)
    assert f"{name} as _{name}" in text
    assert f" {name}[" not in text


def test_classes_of_the_same_name_are_told_apart() -> None:
    def point(kind: str) -> dict[str, Any]:
        return {"Point": {"title": "Point", "type": "object", "properties": {"x": {"type": kind}}, "required": ["x"]}}

    reference = {"$ref": "#/$defs/Point"}
    text = stub({
        "a": told(reference, point("integer")),
        "b": told(reference, point("string")),
        "c": told(reference, point("integer")),
        "Point": {},
    })  # fmt: skip
    assert "class Point2(TypedDict):\n    x: int" in text
    assert "class Point3(TypedDict):\n    x: str" in text
    assert "def c(self) -> Point2: ..." in text


def test_a_class_may_refer_to_itself() -> None:
    tree = {
        "title": "Tree",
        "type": "object",
        "properties": {"below": {"items": {"$ref": "#/$defs/Tree"}, "type": "array"}},
    }
    assert "    below: NotRequired[list[Tree]]" in stub({"a": told({"$ref": "#/$defs/Tree"}, {"Tree": tree})})


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        ({"enum": [1, "a", None, True]}, 'Literal[1, "a", None, True]'),
        ({"enum": [1.5, 2]}, "float"),
        ({"enum": []}, "Any"),
        ({"type": ["integer", "null"]}, "int | None"),
        ({"anyOf": [{"type": "integer"}, {}]}, "Any"),
        ({"type": "array", "x-numpy": ""}, "NDArray[Any]"),
        ({"type": "array", "x-numpy": "os; import this"}, "NDArray[Any]"),
        ({"type": "array", "prefixItems": [{"type": "integer"}], "minItems": 0}, "list[Any]"),
        ({"type": "string", "format": "email"}, "str"),
        ({"$ref": "#/$defs/missing"}, "Any"),
        ({"$ref": "#/$defs/a"}, "Any"),
        ({"type": "nonsense"}, "Any"),
    ],
)
def test_types(schema: Any, shown: str) -> None:
    assert f"def f(self) -> {shown}: ..." in stub({"f": told(schema, {"a": {"$ref": "#/$defs/a"}})})


def test_of_nested_things_there_is_an_end() -> None:
    deep: Any = {"type": "integer"}
    for _ in range(200):
        deep = {"type": "array", "items": deep}
    stub({"f": told(deep)})


def test_of_references_to_references_there_is_an_end() -> None:
    def pair(name: str) -> dict[str, Any]:
        reference = {"$ref": f"#/$defs/{name}"}
        return {"type": "array", "prefixItems": [reference, reference], "minItems": 2}

    definitions = {f"d{n}": pair(f"d{n + 1}") for n in range(40)}
    described = told({"$ref": "#/$defs/d0"}, definitions, a={"$ref": "#/$defs/d0"})
    assert 10_000 < len(stub({"f": described})) < 1_000_000
    service = read_document(schema_of({"methods": {"f": described}}))
    assert differences(service, read_document(schema_of({"methods": {"f": copy.deepcopy(described)}}))) == []
    other = told({"$ref": "#/$defs/d0"}, {"d41": {}, **definitions}, a={"$ref": "#/$defs/d0"})
    again = read_document(schema_of({"methods": {"f": other}}))
    assert "too large to be compared" in str(differences(service, again)[0])


def test_what_is_only_taken_has_one_class() -> None:
    fields = {"a": {"type": "integer"}, "b": {"type": "integer", "default": 1}}
    point = {"title": "Point", "type": "object", "properties": fields, "required": ["a"]}
    line = {"title": "Line", "type": "object", "properties": {"end": {"$ref": "#/$defs/Point"}}, "required": ["end"]}
    definitions = {"Point": point, "Line": line}
    of_point, of_line = {"$ref": "#/$defs/Point"}, {"$ref": "#/$defs/Line"}
    text = stub({"f": told({"type": "null"}, definitions, a=of_line)})
    assert "class Point(TypedDict):\n    a: int\n    b: NotRequired[int]\n" in text
    assert "def f(self, a: Line) -> None: ..." in text
    text = stub({"f": told({"type": "null"}, definitions, a=of_line), "g": told(of_point, definitions)})
    assert "class Line(TypedDict):\n    end: Point | PointArgument\n" in text
    assert "def g(self) -> Point: ..." in text


@pytest.mark.parametrize("text", ["a'b", 'a"b', "'\"", "\U0001f600", "\u202e", "\x00", "\\"])
def test_texts_are_themselves(text: str) -> None:
    names: dict[str, Any] = {}
    exec(stub({"f": told({"type": "null"}, a={"enum": [text]})}), names)
    assert typing.get_type_hints(names["Stage"].f)["a"] == typing.Literal[text]


EVIL = 'x"""\nimport os; os.boom()\n\\"""\x1b[2J\\'


def test_what_a_hostile_server_tells_runs_nothing() -> None:
    fields = {"title": EVIL, "type": "object", "properties": {EVIL: {"type": "string"}}}
    method = told(fields, a={"enum": [EVIL]})
    method["schema"]["arguments"] = {"type": "object", "properties": {"a": {"default": EVIL}}}
    text = stub({EVIL: {}, "f": {**method, "doc": EVIL}, "g": told(**{EVIL: {}})}, name=EVIL)
    assert "\x1b" not in text
    names: dict[str, Any] = {}
    exec(text, names)  # would fail: there is no os.boom
    assert "os" not in names
