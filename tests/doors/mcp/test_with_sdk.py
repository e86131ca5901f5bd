"""Tools as the official SDK sees them: by both transports, and by both forms of the protocol."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from typing import Any

import mcp
import pytest

from tests.doors.mcp.clients import WAYS, connected
from tests.doors.mcp.lab import PIXEL, Lab
from tests.service.running import eventually_async, run
from zerorpc.mcp.tool_call import ITEMS_MAX

ways = pytest.mark.parametrize(("transport", "mode"), WAYS)


@ways
def test_what_a_model_is_told(transport: str, mode: str) -> None:
    async def act() -> None:
        async with connected(transport, mode, Lab()) as client:
            assert client.protocol_version == ("2025-11-25" if mode == "legacy" else mode)
            if mode == "legacy":  # a client that pins a modern version asks for nothing before its first request
                assert client.instructions == "A lab with a stage and a lamp.\n\nHome the stage before you move it."
                assert client.server_info.name == "Lab"
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert "secret" not in tools
            add, move, picture = tools["add"], tools["move"], tools["picture"]
            assert add.title == "Add two numbers"
            assert add.description == "Add two numbers.\n\nThey may be negative."
            assert add.input_schema == {
                "type": "object",
                "properties": {"a": {"type": "integer"}, "b": {"type": "integer", "default": 2}},
                "additionalProperties": False,
                "required": ["a"],
            }
            assert add.output_schema["properties"] == {"result": {"type": "integer"}}
            assert add.annotations.model_dump(exclude_none=True) == {"read_only_hint": True, "idempotent_hint": True}
            hints = {"destructive_hint": True, "idempotent_hint": True}
            assert move.annotations.model_dump(exclude_none=True) == hints
            assert move.output_schema == {"type": "object", "additionalProperties": {"type": "number"}}
            assert picture.output_schema is None

    run(act())


@ways
def test_methods_of_each_kind(transport: str, mode: str) -> None:
    async def act() -> None:
        async with connected(transport, mode, Lab()) as client:
            added = await client.call_tool("add", {"a": 1})
            assert (text(added), added.structured_content, added.is_error) == ("3", {"result": 3}, False)
            moved = await client.call_tool("move", {"to": {"x": 1.5}})
            assert json.loads(text(moved)) == {"x": 1.5}
            assert moved.structured_content == {"x": 1.5}
            for name in ("count", "acount"):
                counted = await client.call_tool(name, {"stop": 3})
                assert counted.structured_content == {"result": [0, 1, 2]}
            octets = base64.b64encode(b"four").decode()
            apart = await client.call_tool("apart", {"octets": octets})
            assert not apart.is_error, text(apart)
            process, length = apart.structured_content["result"]
            assert (process != os.getpid(), length) == (True, 4)

    run(act())


@ways
def test_octets(transport: str, mode: str) -> None:
    async def act() -> None:
        async with connected(transport, mode, Lab()) as client:
            (image,) = (await client.call_tool("picture")).content
            assert (image.type, image.mime_type, base64.b64decode(image.data)) == ("image", "image/png", PIXEL)
            several = await client.call_tool("pictures")
            assert [block.type for block in several.content] == ["image", "image"]
            given = base64.b64encode(b"abc").decode()
            (block,) = (await client.call_tool("reversed", {"octets": given})).content
            assert base64.b64decode(block.resource.blob) == b"cba"
            assert block.resource.mime_type == "application/octet-stream"

    run(act())


@ways
def test_errors(transport: str, mode: str) -> None:
    async def act() -> None:
        async with connected(transport, mode, Lab()) as client:
            failed = await client.call_tool("fail")
            assert (failed.is_error, text(failed)) == (True, "ValueError: no such luck")
            wrong = await client.call_tool("add", {"a": "x"})
            assert wrong.is_error
            assert text(wrong) == "InvalidArguments: add(): a: expected int, got str"
            missing = await client.call_tool("add", {})
            assert missing.is_error
            assert "WrongArguments: " in text(missing)
            broken = await client.call_tool("breaks")
            assert broken.is_error
            assert [block.text for block in broken.content] == ["ValueError: in the middle", "[1]"]
            for name in ("secret", "_zerorpc_list", "nothing"):
                with pytest.raises(mcp.MCPError, match=f"there is no tool {name}"):
                    await client.call_tool(name)

    run(act())


@ways
def test_progress(transport: str, mode: str) -> None:
    async def act() -> None:
        lab, told = Lab(), []

        async def listen(done: float, total: float | None, message: str | None) -> None:
            told.append((done, total, message))
            if total is not None:
                lab.free.set()  # only now, or the report might come too late to be told

        async with connected(transport, mode, lab) as client:
            assert text(await client.call_tool("reports", progress_callback=listen)) == "done"
            assert told == [(1, 2, "half")]
            told.clear()
            await client.call_tool("count", {"stop": 3}, progress_callback=listen)
            await eventually_async(lambda: len(told) == 3)
            assert told == [(1, None, "0"), (2, None, "1"), (3, None, "2")]

    run(act())


@ways
def test_a_stream_without_an_end(transport: str, mode: str) -> None:
    async def act() -> None:
        lab = Lab()
        async with connected(transport, mode, lab) as client:
            counted = await client.call_tool("count", {"stop": 10**9})
            assert counted.structured_content == {"result": list(range(ITEMS_MAX))}
            assert counted.content[-1].text == f"The stream was ended here: these are the first {ITEMS_MAX} items."
            assert text(await client.call_tool("add", {"a": 1})) == "3"
            assert lab.made < 10**6

    run(act())


@ways
def test_a_call_that_is_given_up_is_cancelled(transport: str, mode: str) -> None:
    async def act() -> None:
        lab = Lab()
        async with connected(transport, mode, lab) as client:
            waiting = asyncio.ensure_future(client.call_tool("waits"))
            await eventually_async(lab.running.is_set)
            assert text(await client.call_tool("add", {"a": 1})) == "3", "two at once on one connection"
            waiting.cancel()
            await eventually_async(lab.stopped.is_set)
            assert text(await client.call_tool("add", {"a": 2})) == "4"

    run(act())


def text(result: Any) -> str:
    return str(result.content[0].text)
