"""Methods as tools, of servers of any age."""

from __future__ import annotations

from typing import Any

import pytest

from zerorpc.described import Kind, Method, Parameter, Service, read_answer
from zerorpc.exposure import Patterns
from zerorpc.mcp.tools import Tool, Tools

OLD = {"name": "old", "methods": {"add": {"args": [{"name": "left"}, {"name": "right", "default": 2}], "doc": "Add."}}}


def test_a_server_of_before() -> None:
    """zerorpc 0.6 tells no schema, and marks no tools."""
    service = read_answer(OLD)
    assert service is not None
    assert not Tools(service)
    tools = Tools(service, Patterns(["a*"], name="tools"))
    assert tools.named["add"].told == {
        "name": "add",
        "title": "Add",
        "description": "Add.",
        "inputSchema": {
            "type": "object",
            "properties": {"left": {}, "right": {"default": 2}},
            "additionalProperties": False,
            "required": ["left"],
        },
    }
    assert tools.named["add"].placed({"left": 1, "right": 3}) == ([1, 3], {})
    assert repr(tools) == "<Tools 'old' ['add']>"


def test_a_server_that_does_not_tell_what_a_method_takes() -> None:
    tool = Tool.of(Method("sleep"))
    assert tool.told["inputSchema"]["properties"] == {"args": {"type": "array", "description": "by position"}}
    assert tool.placed({"args": [1, 2]}) == ([1, 2], {})
    assert tool.placed({}) == ([], {})
    assert tool.placed({"args": 1}) == ([1], {})


PARAMETERS = (
    Parameter("a", Kind.POSITIONAL_ONLY),
    Parameter("b", required=False, default=5),
    Parameter("c", required=False, default=6),
    Parameter("more", Kind.VAR_POSITIONAL, required=False),
    Parameter("key", Kind.KEYWORD_ONLY, required=False, default=None),
    Parameter("others", Kind.VAR_KEYWORD, required=False),
)


@pytest.mark.parametrize(
    ("named", "args", "kwargs"),
    [
        ({"a": 1}, [1], {}),
        ({"a": 1, "b": 2, "c": 3, "more": [4, 5], "key": 6, "x": 7}, [1, 2, 3, 4, 5], {"key": 6, "x": 7}),
        ({"a": 1, "c": 3}, [1], {"c": 3}),
        ({"b": 3}, [], {"b": 3}),
        ({"a": 1, "c": 3, "more": [4]}, [1], {"c": 3, "more": [4]}),
    ],
)
def test_arguments_in_their_places(named: dict[str, Any], args: list[Any], kwargs: dict[str, Any]) -> None:
    assert Tool.of(Method("m", parameters=PARAMETERS)).placed(named) == (args, kwargs)


def test_octets_are_decoded_where_the_server_does_not() -> None:
    octets = {"type": "string", "contentEncoding": "base64"}
    tool = Tool.of(Method("m", parameters=(Parameter("a", schema=octets), Parameter("b"))))
    assert tool.placed({"a": "YWJj", "b": "YWJj"}, texts=True) == ([b"abc", "YWJj"], {})
    assert tool.placed({"a": "YWJj", "b": 1}) == (["YWJj", 1], {})
    assert tool.placed({"a": "no base64", "b": 1}, texts=True) == (["no base64", 1], {})


def test_results_that_are_defined_elsewhere() -> None:
    point = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Point"}}}
    parts = {"Point": point}
    method = Method("m", result={"$ref": "#/$defs/Point"}, definitions=parts)
    assert Tool.of(method).told["outputSchema"] == {**point, "$defs": parts}
    several = Tool.of(method._replace(streams=True))
    items = {"type": "array", "items": {"$ref": "#/$defs/Point"}}
    assert several.told["outputSchema"]["properties"] == {"result": items}
    assert several.told["outputSchema"]["$defs"] == parts
    assert several.wrapped


def test_a_long_first_line_is_no_title() -> None:
    told = Tool.of(Method("m", doc="x" * 81)).told
    assert "title" not in told
    assert told["description"] == "x" * 81


def test_what_is_said_of_a_tool() -> None:
    service = Service("s", {"m": Method("m", tool={"safe": True, "unknown": 1}, idempotent=True), "n": Method("n")})
    assert list(Tools(service).named) == ["m"]
    assert Tools(service).named["m"].told["annotations"] == {"readOnlyHint": True, "idempotentHint": True}


def test_what_no_json_can_tell_is_left_out() -> None:
    odd = Method("odd", tool={}, parameters=(Parameter("a", schema={"title": "\ud800"}),))
    assert list(Tools(Service("s", {"odd": odd, "n": Method("n", tool={})})).named) == ["n"]
