"""``zerorpc mcp``: the methods of a running service as tools for a language model, over stdin and stdout."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from typing import TYPE_CHECKING, BinaryIO

from zerorpc.cli.arguments import parse
from zerorpc.cli.asking import ask_service
from zerorpc.cli.calling import EXPOSURE, client_settings, connected
from zerorpc.cli.links import open_links
from zerorpc.cli.printing import OutputClosed, note, one_line, to_json
from zerorpc.cli.usage import UsageError, program_name
from zerorpc.errors import RemoteError, ZeroRPCError
from zerorpc.exposure import Patterns, patterns
from zerorpc.mcp.messages import Answer, Id
from zerorpc.mcp.protocol import respond
from zerorpc.mcp.tool_call import ToolCall
from zerorpc.mcp.tools import Tools

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zerorpc import AsyncClient
    from zerorpc.cli.arguments import Arguments


def mcp(argv: Sequence[str]) -> int:
    """Answer the messages of one client until it closes stdin, and return the exit code.

    Raises UsageError, and what zerorpc.Client raises.
    """
    arguments = parse(argv)
    if arguments.server or arguments.command is not None:
        raise UsageError("one address is needed, and nothing else", f"type: {program_name()} mcp tcp://robot:4242")
    output, sys.stdout = sys.stdout.buffer, sys.stderr  # nothing but messages may get there
    with connected(arguments) as client:
        tools = _tools(client, arguments)
    asyncio.run(_serve(arguments, tools, output))
    return 0


def _tools(client: object, arguments: Arguments) -> Tools:
    """Raises UsageError for a service that has none."""
    assert callable(client)
    chosen = patterns("tools", arguments.tools)
    tools = Tools(ask_service(client), None if chosen is None else Patterns(chosen, name="tools"))
    if not tools:
        why = "is marked with @zerorpc.tool" if chosen is None else f"matches {' or '.join(chosen)}"
        raise UsageError(f"no method of {tools.service.name or 'the service'} {why}", "name some: --tools 'get_*'")
    note(f"tools: {', '.join(tools.named)}")
    return tools


async def _serve(arguments: Arguments, tools: Tools, output: BinaryIO) -> None:
    from zerorpc import AsyncClient

    lines: asyncio.Queue[bytes] = asyncio.Queue()
    async with AsyncClient(**client_settings(arguments)) as client:
        open_links(client, arguments, EXPOSURE, told=False)
        reading = threading.Thread(target=_read, args=(asyncio.get_running_loop(), lines), daemon=True)
        reading.start()
        answering = _Answering(client, tools, output)
        while not answering.closed and (line := await lines.get()):
            if line.strip():
                answering.receive(line)
        await answering.end()
    if answering.closed:
        raise OutputClosed


def _read(loop: asyncio.AbstractEventLoop, lines: asyncio.Queue[bytes]) -> None:
    """On a thread of its own: a file can't be read on a loop. The empty line is the end.

    Without ``sys.stdin``: a thread that waits in it when the program ends is a fatal error of Python's.
    """
    parts: list[bytes] = []  # of the line that hasn't ended
    with contextlib.suppress(RuntimeError):  # the loop is closed
        while chunk := os.read(_STDIN, 65536):
            first, *more = chunk.split(b"\n")
            parts.append(first)
            for part in more:
                loop.call_soon_threadsafe(lines.put_nowait, b"".join(parts) + b"\n")
                parts = [part]
        for line in (b"".join(parts), b""):
            loop.call_soon_threadsafe(lines.put_nowait, line)


_STDIN = 0  # the file descriptor


class _Answering:
    """Each call of a tool is a task, so that others are answered meanwhile."""

    def __init__(self, client: AsyncClient, tools: Tools, output: BinaryIO) -> None:
        self.closed = False  # nobody reads the answers any more
        self._client = client
        self._tools = tools
        self._output = output
        self._running: dict[Id, asyncio.Task[None]] = {}

    def receive(self, line: bytes) -> None:
        step = respond(line, self._tools)
        if isinstance(step, Answer):
            self._write(step.data)
        elif isinstance(step, ToolCall):
            task = asyncio.ensure_future(self._run(step))
            self._running[step.request] = task
            task.add_done_callback(lambda _: self._forget(step.request, task))
        elif step is not None and (running := self._running.get(step.request)) is not None:
            running.cancel()  # which cancels the call, too

    def _forget(self, request: Id, task: asyncio.Task[None]) -> None:
        if self._running.get(request) is task:  # else the client has used an id twice
            del self._running[request]

    async def end(self) -> None:
        """What runs still is cancelled."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _run(self, call: ToolCall) -> None:
        try:
            answer = await self._called(call)
        except RemoteError as error:
            name = error.name if type(error) is RemoteError else type(error).__name__  # one of the server's own
            answer = call.failed(name, error.msg)
        except (ZeroRPCError, TypeError, ValueError) as error:  # such as an argument that can't be sent
            answer = call.failed(type(error).__name__, one_line(error))
        self._write(answer)

    async def _called(self, call: ToolCall) -> bytes:
        from zerorpc import AsyncStream, options

        def report(done: float, total: float | None, text: str) -> None:
            self._write(call.progress(done, total, text))

        args, kwargs = call.tool.placed(call.arguments, texts=True)
        listens = call.token is not None and not call.tool.method.streams  # of a stream its items tell how far it is
        calling = options(self._client, progress=report if listens else None)
        outcome = await calling(call.tool.method.name, *args, **kwargs)
        if not isinstance(outcome, AsyncStream):
            return call.result(outcome, _encode)
        async with contextlib.aclosing(outcome):
            async for item in outcome:
                self._write(call.item(item, _encode))
                if call.full:
                    break
        return call.collected()

    def _write(self, message: bytes | None) -> None:
        if message is None or self.closed:
            return
        try:
            self._output.write(message + b"\n")
            self._output.flush()
        except OSError:
            self.closed = True


def _encode(value: object) -> bytes:
    return to_json(value).encode()
