"""``/mcp`` as HTTP: what isn't a message, versions and headers, sessions, and who may not call."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import httpx
import pytest

import zerorpc
from tests.doors.mcp.lab import Lab
from tests.service.running import PATIENCE, eventually_async, run, serving

MODERN = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}


def post(message: object, **headers: str) -> httpx.Response:
    """To a server of its own."""
    with serving(Lab()) as server:
        (endpoint,) = server.bind("http://127.0.0.1:0")
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        told = {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.post(f"{endpoint}/mcp", content=body, headers=told, timeout=PATIENCE)


def request(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}


def modern(method: str, version: str = MODERN, **params: Any) -> dict[str, Any]:
    return request(method, _meta={**META, "io.modelcontextprotocol/protocolVersion": version}, **params)


def test_nothing_is_a_tool_unless_it_is_marked() -> None:
    class Plain:
        def add(self, a: int) -> int:
            return a

    with serving(Plain()) as server:
        (endpoint,) = server.bind("http://127.0.0.1:0")
        answer = httpx.post(f"{endpoint}/mcp", json=request("tools/list"), timeout=PATIENCE)
    assert answer.status_code == 404
    assert answer.json()["detail"] == "no method is a tool: mark one with @zerorpc.tool, or give Server(tools=)"


def test_a_pattern_chooses_tools() -> None:
    class Plain:
        def get_one(self) -> int:
            return 1

        @zerorpc.tool
        def marked(self) -> int:
            return 2

    with serving(Plain(), tools="get_*") as server:
        (endpoint,) = server.bind("http://127.0.0.1:0")
        answer = httpx.post(f"{endpoint}/mcp", json=request("tools/list"), timeout=PATIENCE)
    assert [tool["name"] for tool in answer.json()["result"]["tools"]] == ["get_one"]


@pytest.mark.parametrize(
    ("message", "code", "why"),
    [
        (b"{", -32700, "this is no JSON"),
        (b"[" * 100_000, -32700, "nested too deeply"),
        ([request("ping")], -32600, "MCP has no batches"),
        ({"id": 1, "method": "ping"}, -32600, "no message of JSON-RPC 2.0"),
        ({"jsonrpc": "2.0", "id": None, "method": "ping"}, -32600, "an id is a text or an integer"),
        ({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}, -32600, "params that are an object"),
    ],
)
def test_what_is_no_message(message: object, code: int, why: str) -> None:
    answer = post(message)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == code
    assert why in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("message", "status", "code", "why"),
    [
        (request("nothing"), 200, -32601, "there is no method nothing"),
        (request("tools/list", cursor="x"), 200, -32602, "no such cursor"),
        (request("tools/call", name="add", arguments=[1]), 200, -32602, "arguments are an object"),
        (request("tools/call", name=["add"]), 200, -32602, "there is no tool"),
        (modern("ping"), 404, -32601, "there is no method ping"),
        (modern("initialize"), 404, -32601, "there is no method initialize"),
        (modern("tools/list", "2031-01-01"), 400, -32022, "Unsupported protocol version"),
        (request("server/discover"), 400, -32602, "clientCapabilities"),
    ],
)
def test_requests_that_can_not_be_answered(message: dict[str, Any], status: int, code: int, why: str) -> None:
    version = message["params"].get("_meta", {}).get("io.modelcontextprotocol/protocolVersion")
    headers = {"mcp_method": message["method"]} | ({"mcp_protocol_version": version} if version else {})
    answer = post(message, **headers)
    assert (answer.status_code, answer.json()["error"]["code"], answer.json()["id"]) == (status, code, 7)
    assert why in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("wanted", "given"), [("2025-11-25", "2025-11-25"), ("2025-06-18", "2025-06-18"), ("2024-11-05", "2025-11-25")]
)
def test_the_version_is_negotiated(wanted: str, given: str) -> None:
    info = {"name": "a test", "version": "1"}
    answer = post(request("initialize", protocolVersion=wanted, capabilities={}, clientInfo=info))
    assert answer.json()["result"]["protocolVersion"] == given
    assert len(answer.headers["mcp-session-id"]) == 32


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 200), ({"mcp_protocol_version": "2025-06-18"}, 200), ({"mcp_protocol_version": "2024-11-05"}, 400)],
)
def test_a_version_too_old_is_refused(headers: dict[str, str], status: int) -> None:
    assert post(request("ping"), **headers).status_code == status


RIGHT = {"mcp_protocol_version": MODERN, "mcp_method": "tools/call", "mcp_name": "add"}


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({}, 200),
        ({"mcp_name": "=?base64?" + base64.b64encode(b"add").decode() + "?="}, 200),
        ({"mcp_name": "=?base64?*?="}, 400),
        ({"mcp_name": "move"}, 400),
        ({"mcp_method": "tools/list"}, 400),
        ({"mcp_protocol_version": "2025-11-25"}, 400),
    ],
)
def test_headers_say_what_the_body_says(changed: dict[str, str], status: int) -> None:
    answer = post(modern("tools/call", name="add", arguments={"a": 1}), **{**RIGHT, **changed})
    assert answer.status_code == status
    if status == 400:
        assert answer.json()["error"]["code"] == -32020
    else:
        assert answer.json()["result"]["resultType"] == "complete"


@pytest.mark.parametrize("missing", RIGHT)
def test_headers_that_are_missing(missing: str) -> None:
    headers = {name: value for name, value in RIGHT.items() if name != missing}
    answer = post(modern("tools/call", name="add", arguments={"a": 1}), **headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32020)


def test_discovery() -> None:
    headers = {"mcp_protocol_version": MODERN, "mcp_method": "server/discover"}
    result = post(modern("server/discover"), **headers).json()["result"]
    assert result["supportedVersions"] == [MODERN]
    assert result["instructions"].startswith("A lab with a stage")
    assert result["capabilities"] == {"tools": {}}
    assert result["_meta"] == {"io.modelcontextprotocol/serverInfo": {"name": "Lab", "version": "1"}}


@pytest.mark.parametrize(
    "message",
    [
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 3}},
        {"jsonrpc": "2.0", "id": 1, "result": {}},
    ],
)
def test_notifications_have_no_answer(message: object) -> None:
    answer = post(message)
    assert (answer.status_code, answer.content) == (202, b"")


def test_other_ways_to_ask() -> None:
    with serving(Lab()) as server:
        (endpoint,) = server.bind("http://127.0.0.1:0")
        for method in ("GET", "DELETE"):
            answer = httpx.request(method, f"{endpoint}/mcp", timeout=PATIENCE)
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert post(request("ping"), content_type="text/plain").status_code == 415
    assert post(request("ping"), origin="http://elsewhere.example").status_code == 403
    assert post(request("ping"), origin="http://rebound.example", host="rebound.example").status_code == 403


def test_a_legacy_client_cancels_in_its_session_only() -> None:
    async def act() -> None:
        lab = Lab()
        with serving(lab) as server:
            (endpoint,) = server.bind("http://127.0.0.1:0")
            async with httpx.AsyncClient(base_url=endpoint, timeout=PATIENCE) as http:
                cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
                mine, other = {"mcp-session-id": "mine"}, {"mcp-session-id": "other"}
                call = request("tools/call", name="waits", arguments={})
                waiting = asyncio.ensure_future(http.post("/mcp", json=call, headers=mine))
                await eventually_async(lab.running.is_set)
                for headers in ({}, other):
                    assert (await http.post("/mcp", json=cancel, headers=headers)).status_code == 202
                assert not lab.stopped.is_set()
                await http.post("/mcp", json=cancel, headers=mine)
                await eventually_async(lab.stopped.is_set)
                answer = await waiting
                assert (answer.headers["content-type"], answer.content) == ("text/event-stream", b"")

    run(act())


def test_a_call_that_takes_too_long() -> None:
    answer = post(request("tools/call", name="waits", arguments={}), x_zerorpc_timeout="0.1")
    result = answer.json()["result"]
    assert result["isError"]
    assert result["content"][0]["text"] == "TimeoutExpired: waits: no reply in 0.1 s"


def test_mounted_in_another_program() -> None:
    async def act() -> None:
        server = zerorpc.Server(Lab())
        transport = httpx.ASGITransport(zerorpc.asgi(server))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            answer = await http.post("/mcp", json=request("tools/call", name="add", arguments={"a": 1}))
            assert answer.json()["result"]["structuredContent"] == {"result": 3}
        server.stop()
        await eventually_async(lambda: not server._core.life.serving)

    run(act())


def test_rights_hold_for_tools_too() -> None:
    class Arm:
        @zerorpc.tool
        def position(self) -> str | None:
            call = zerorpc.current_call()
            assert call is not None
            return call.identity

        @zerorpc.tool
        def let_go(self) -> str:
            return "gone"

    def authorizer(identity: str, method: str) -> bool:
        return identity == "alice" or method in {"bob": ("position", "_zerorpc_inspect")}.get(identity, ())

    settings: dict[str, Any] = {"authenticator": lambda caller: caller.token, "authorizer": authorizer}
    with serving(Arm(), bind="http://127.0.0.1:0", **settings) as server:
        with httpx.Client(base_url=server.endpoints[0], timeout=PATIENCE) as http:

            def ask(token: str, method: str, **params: Any) -> Any:
                told = {"authorization": f"Bearer {token}"}
                return http.post("/mcp", json=request(method, **params), headers=told).json()

            def listed(token: str) -> list[str]:
                return [tool["name"] for tool in ask(token, "tools/list")["result"]["tools"]]

            assert http.post("/mcp", json=request("tools/list")).status_code == 401
            assert ask("carol", "tools/list")["title"] == "PermissionDenied", "she may not list"
            assert listed("alice") == ["let_go", "position"]
            assert listed("bob") == ["position"]
            assert ask("bob", "tools/call", name="position")["result"]["structuredContent"] == {"result": "bob"}
            assert ask("alice", "tools/call", name="let_go")["result"]["structuredContent"] == {"result": "gone"}
            denied, unknown = (ask("bob", "tools/call", name=name)["error"] for name in ("let_go", "nothing"))
            assert denied["code"] == unknown["code"]
            assert denied["message"].replace("let_go", "nothing") == unknown["message"], "it doesn't exist for bob"


def test_calls_of_tools_are_logged_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "zerorpc.calls")

    class Arm:
        @zerorpc.tool
        def add(self, a: int) -> int:
            return a + 1

        @zerorpc.tool
        def fail(self) -> None:
            raise ValueError("no")

    with serving(Arm(), bind="http://127.0.0.1:0", log_calls=True, metrics=True) as server:
        with httpx.Client(base_url=server.endpoints[0], timeout=PATIENCE) as http:
            http.post("/mcp", json=request("tools/call", name="add", arguments={"a": 1}))
            http.post("/mcp", json=request("tools/call", name="fail"))
            http.post("/mcp", json=request("tools/call", name="add", arguments={"a": "x"}))
            counted = http.get("/metrics").text
    lines = [record for record in caplog.records if record.name == "zerorpc.calls"]
    assert [(line.method, line.outcome) for line in lines] == [  # type: ignore[attr-defined]
        ("add", "ok"), ("fail", "ValueError"), ("add", "InvalidArguments"),
    ]  # fmt: skip
    for method, outcome in (("add", "ok"), ("fail", "raised"), ("add", "InvalidArguments")):
        assert f'zerorpc_calls_total{{door="http",method="{method}",outcome="{outcome}"}} 1\n' in counted
