"""Messages in, what is to be done out: without any transport."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from zerorpc.described import Method, Service
from zerorpc.mcp.messages import Answer
from zerorpc.mcp.protocol import LEGACY, MODERN, VERSION_KEY, Cancel, respond
from zerorpc.mcp.tool_call import ToolCall
from zerorpc.mcp.tools import Tools

TOOLS = Tools(Service("lab", {"add": Method("add", tool={})}, doc="A lab."))
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"


def step(method: str, meta: dict[str, Any] | None = None, **params: Any) -> Any:
    params |= {} if meta is None else {"_meta": meta}
    return respond(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode(), TOOLS)


def test_both_forms_of_the_protocol() -> None:
    begun = json.loads(step("initialize", protocolVersion=LEGACY[1]).data)["result"]
    assert begun == {
        "protocolVersion": LEGACY[1],
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "lab", "version": "1"},
        "instructions": "A lab.",
    }
    meta = {VERSION_KEY: MODERN[0], CAPABILITIES: {}}
    discovered = json.loads(step("server/discover", meta).data)["result"]
    assert discovered["supportedVersions"] == list(MODERN)
    legacy = json.loads(step("tools/list").data)["result"]
    modern = json.loads(step("tools/list", meta).data)["result"]
    assert modern["tools"] == legacy["tools"]
    assert set(modern) - set(legacy) == {"resultType", "_meta", "ttlMs", "cacheScope"}


@pytest.mark.parametrize(("token", "known"), [("t", "t"), (3, 3), (True, None), ([], None), (None, None)])
def test_a_call(token: object, known: object) -> None:
    call = step("tools/call", {"progressToken": token}, name="add", arguments={"a": 1})
    assert isinstance(call, ToolCall)
    assert (call.request, call.arguments, call.token) == (1, {"a": 1}, known)
    assert step("tools/call", name="add").arguments == {}


@pytest.mark.parametrize(("request_id", "is_one"), [(3, True), ("x", True), (None, False), ([], False), (True, False)])
def test_cancellation(request_id: object, is_one: bool) -> None:
    message = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": request_id}}
    found = respond(json.dumps(message).encode(), TOOLS)
    assert found == (Cancel(request_id) if is_one else None)  # type: ignore[arg-type] # it is a text or a number


values = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False, allow_infinity=False) | some.text(),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(), inner, max_size=3),
    max_leaves=5,
)
methods = some.sampled_from(["initialize", "ping", "tools/list", "tools/call", "server/discover"])
metas = some.fixed_dictionaries({}, optional={VERSION_KEY: values, CAPABILITIES: values, "progressToken": values})
params = some.fixed_dictionaries(
    {}, optional={"_meta": metas | values, "name": values, "arguments": values, "cursor": values}
)
messages = some.fixed_dictionaries(
    {"jsonrpc": some.just("2.0")}, optional={"id": values, "method": methods | values, "params": params | values}
)


@given(some.binary() | (messages | values).map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_has_an_answer_that_is_a_message(data: bytes) -> None:
    found = respond(data, TOOLS)
    if isinstance(found, Answer):
        answer = json.loads(found.data)
        assert b"\n" not in found.data
        assert answer["jsonrpc"] == "2.0"
        assert ("result" in answer) != ("error" in answer)
