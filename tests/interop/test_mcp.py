"""``zerorpc mcp`` in front of zerorpc 0.6.3 and Node, which know nothing of tools."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.interop.programs import PATIENCE


def test_methods_of_an_older_server_are_tools(older: str) -> None:
    command = [sys.executable, "-m", "zerorpc", "mcp", older, "--tools", "add"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:  # it ends with its standard input
        assert program.stdin is not None
        assert program.stdout is not None

        def ask(method: str, **params: Any) -> Any:
            assert program.stdin is not None
            assert program.stdout is not None
            program.stdin.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}) + "\n")
            program.stdin.flush()
            return json.loads(program.stdout.readline())["result"]

        (tool,) = ask("tools/list")["tools"]
        names = list(tool["inputSchema"]["properties"])
        arguments = {"args": [1, 2]} if names == ["args"] else dict(zip(names, (1, 2), strict=True))
        assert ask("tools/call", name="add", arguments=arguments)["structuredContent"] == {"result": 3}
        program.communicate(timeout=PATIENCE)
        assert program.returncode == 0
