"""MCP's own conformance suite against `/mcp`: what passes, and what doesn't apply (tests/doors/mcp/conformance.md)."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.doors.mcp.conformance import Tools
from tests.interop.mcp_suite.set_up import suite
from tests.interop.programs import PATIENCE
from tests.service.running import serving

# What is about servers with tools, whole.
PASSING = [
    "server-initialize",
    "server-session-lifecycle",
    "ping",
    "tools-list",
    "tools-call-simple-text",
    "tools-call-image",
    "tools-call-embedded-resource",
    "tools-call-error",
    "tools-call-with-progress",
    "server-sse-multiple-streams",
    "dns-rebinding-protection",
    "http-header-validation",
]
# In part: the others want tools that ask their caller something, or that log; prompts and resources.
PARTLY = {"server-stateless": (21, 4), "caching": (4, 3)}


@pytest.mark.timeout(300)
def test_what_applies_of_the_suite_passes() -> None:
    command = suite()
    with serving(Tools(), tools="test_*") as server:
        (endpoint,) = server.bind("http://127.0.0.1:0")
        done = subprocess.run(
            [*command, "server", "--url", f"{endpoint}/mcp", "--suite", "all"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=8 * PATIENCE,
            check=False,
        )
    _, _, summary = done.stdout.partition("=== SUMMARY ===")
    told = re.findall(r"^\S ([\w-]+): (\d+) passed, (\d+) failed$", summary, re.MULTILINE)
    found = {name: (int(passed), int(failed)) for name, passed, failed in told}
    assert {name: found.get(name) for name in PARTLY} == PARTLY
    failed = [name for name in PASSING if name not in found or found[name][1] or not found[name][0]]
    assert failed == [], done.stdout
