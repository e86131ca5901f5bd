"""The official SDK as a client: over HTTP, and over stdio with a process in between."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import mcp
from mcp.client.stdio import StdioServerParameters, stdio_client

from tests.service.running import PATIENCE, serving

WAYS = [(transport, mode) for transport in ("http", "stdio") for mode in ("legacy", "2026-07-28")]


@contextlib.asynccontextmanager
async def connected(transport: str, mode: str, service: object, *flags: str) -> AsyncIterator[Any]:
    with serving(service) as server:
        if transport == "http":
            (endpoint,) = server.bind("http://127.0.0.1:0")
            async with mcp.Client(f"{endpoint}/mcp", mode=mode) as client:
                yield client
            return
        (endpoint,) = server.bind("tcp://127.0.0.1:0")
        program = str(Path(sys.executable).parent / "zerorpc")
        flags = ("mcp", endpoint, "--timeout", str(PATIENCE), *flags)
        command = StdioServerParameters(command=program, args=list(flags), env=dict(os.environ))
        async with mcp.Client(stdio_client(command), mode=mode) as client:
            yield client
