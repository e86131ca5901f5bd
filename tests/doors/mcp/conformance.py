"""The server that the conformance suite of MCP wants to see, as far as its tools go: conformance.md says what passes.

``python -m tests.doors.mcp.conformance``, and then with Node 22::

    npx @modelcontextprotocol/conformance@0.2.0-alpha.12 server --url http://127.0.0.1:8377/mcp --suite all
"""

from __future__ import annotations

import base64

import zerorpc

ENDPOINT = "http://127.0.0.1:8377"
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Tools:
    """What the suite calls."""

    def test_simple_text(self) -> str:
        """Text."""
        return "This is a simple text response for testing."

    def test_image_content(self) -> bytes:
        """A picture."""
        return PIXEL

    def test_embedded_resource(self) -> bytes:
        """A resource."""
        return b"This is an embedded resource content."

    def test_error_handling(self) -> None:
        """An error."""
        raise RuntimeError("This tool intentionally returns an error for testing")

    async def test_tool_with_progress(self) -> str:
        """Progress."""
        import asyncio

        for done in (0, 50, 100):
            zerorpc.progress(done, 100)
            await asyncio.sleep(0.05)
        return "done"

    def test_multiple_content_types(self) -> bytes:
        """Not what the suite wants: a method returns one thing."""
        return PIXEL


if __name__ == "__main__":
    with zerorpc.Server(Tools(), tools="test_*") as server:
        server.bind(ENDPOINT)
        server.run()
