"""One call: progress, items and results, as messages."""

from __future__ import annotations

import json
from math import inf, nan
from typing import Any

import pytest

from zerorpc.described import Method
from zerorpc.doors.http.json_values import encode
from zerorpc.mcp.tool_call import OCTETS_MAX, ToolCall
from zerorpc.mcp.tools import Tool


def call(token: str | None = "t", **said: Any) -> ToolCall:
    return ToolCall(1, Tool.of(Method("m", **said)), {}, token, {})


def test_progress_grows() -> None:
    one = call()
    assert json.loads(one.progress(1, 2, "half") or b"") == {
        "jsonrpc": "2.0",
        "method": "notifications/progress",
        "params": {"progressToken": "t", "progress": 1, "total": 2, "message": "half"},
    }
    assert one.progress(1, 2, "") is None
    assert one.progress(nan, 2, "") is None
    assert json.loads(one.progress(1.5, inf, "") or b"")["params"] == {"progressToken": "t", "progress": 1.5}
    one.result(None, encode)
    assert one.progress(2, 2, "too late") is None
    assert call(token=None).progress(1, 2, "") is None


@pytest.mark.parametrize(
    ("result", "value", "text", "structured"),
    [
        ({}, {"a": 1}, '{"a":1}', {"a": 1}),
        ({}, [1], "[1]", {"result": [1]}),
        ({}, "text", "text", {"result": "text"}),
        ({"type": "null"}, None, "null", {"result": None}),
        ({"anyOf": [{"type": "object"}, {"type": "null"}]}, {"a": 1}, '{"a":1}', {"result": {"a": 1}}),
        ({"type": "object"}, {"result": 1}, '{"result":1}', {"result": 1}),
    ],
)
def test_a_value_as_content(result: dict[str, Any], value: object, text: str, structured: object) -> None:
    told = json.loads(call(result=result).result(value, encode))["result"]
    assert told == {
        "content": [{"type": "text", "text": text}],
        "structuredContent": structured,
        "isError": False,
    }


def test_items_up_to_so_many_octets() -> None:
    one = call(streams=True)
    one.item("x" * OCTETS_MAX, encode)
    assert one.full
    assert repr(one) == "<ToolCall m 1 items=1>"
    assert json.loads(one.collected())["result"]["content"][1]["text"].startswith("The stream was ended here")


def test_items_of_octets_and_others() -> None:
    one = call(streams=True)
    message = json.loads(one.item(b"\xff\xd8\xff", encode) or b"")["params"]["message"]
    assert message == "image/jpeg, 3 octets"
    one.item(1, encode)
    told = json.loads(one.collected())["result"]
    assert told["structuredContent"] == {"result": ["/9j/", 1]}
    assert [block["type"] for block in told["content"]] == ["text"]


def test_an_error_is_a_text_that_can_be_sent() -> None:
    told = json.loads(call().failed("ValueError", "\ud800" + "x" * 10_000))["result"]
    assert told["isError"]
    assert told["content"][0]["text"].startswith("ValueError: ")
    assert len(told["content"][0]["text"]) == 4096
