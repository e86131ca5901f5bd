"""``zerorpc mcp``: what may come on stdin, and that nothing but messages goes to stdout. Tools: tests/doors/mcp."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from typing import Any

import pytest

import zerorpc
from tests.cli.programs import SCRIPTS
from tests.service.running import PATIENCE, TCP, eventually, serving
from zerorpc.cli import main


class Service:
    """For a test."""

    def __init__(self) -> None:
        self.cancelled = False

    @zerorpc.tool
    async def wait(self) -> None:
        import asyncio

        try:
            await asyncio.sleep(PATIENCE)
        finally:
            self.cancelled = True

    @zerorpc.tool
    def add(self, a: int, b: int = 2) -> int:
        return a + b

    def secret(self) -> None: ...


def request(id: int, method: str, **params: Any) -> dict[str, Any]:  # noqa: A002 - JSON-RPC's word
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": params}


def started(endpoint: str, *flags: str) -> subprocess.Popen[bytes]:
    """For a ``with`` statement: the program ends with its standard input."""
    command = [str(SCRIPTS / "zerorpc"), "mcp", endpoint, *flags]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def answers(service: object, *lines: object, flags: tuple[str, ...] = ()) -> tuple[list[Any], str]:
    """What comes on stdout, line for line, and on stderr."""
    with serving(service) as server, started(server.bind(TCP)[0], *flags) as process:
        data = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
        process_in = process.stdin
        assert process_in is not None
        assert process.stdout is not None
        process_in.write(data)
        process_in.flush()
        wanted = sum(not isinstance(line, dict) or "id" in line for line in lines if line != b"")
        told = [json.loads(process.stdout.readline()) for _ in range(wanted)]
        rest, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, rest) == (0, b"")
        return told, err.decode()


def test_what_is_no_message_and_notifications() -> None:
    notification = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    told, err = answers(Service(), b"{", [request(1, "ping")], notification, b"", request(2, "ping"))
    assert [each.get("error", {}).get("code") for each in told] == [-32700, -32600, None]
    assert told[-1] == {"jsonrpc": "2.0", "id": 2, "result": {}}
    assert "tools: add, wait" in err


def test_patterns_choose_in_place_of_marks() -> None:
    told, _ = answers(Service(), request(1, "tools/list"), flags=("--tools", "sec*", "--tools", "a??"))
    assert [tool["name"] for tool in told[0]["result"]["tools"]] == ["add", "secret"]


def test_two_calls_at_once_and_one_that_is_given_up() -> None:
    service = Service()
    cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    with serving(service) as server, started(server.bind(TCP)[0]) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for message in (
            request(1, "tools/call", name="wait"),
            request(2, "tools/call", name="add", arguments={"a": 1}),
        ):
            process.stdin.write(json.dumps(message).encode() + b"\n")
            process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        assert (answer["id"], answer["result"]["structuredContent"]) == (2, {"result": 3})
        process.stdin.write(json.dumps(cancel).encode() + b"\n")
        process.stdin.flush()
        eventually(lambda: service.cancelled)
        rest, _ = process.communicate(timeout=PATIENCE)
        assert (process.returncode, rest) == (0, b"")


def test_what_runs_ends_with_stdin() -> None:
    service = Service()
    with serving(service) as server, started(server.bind(TCP)[0]) as process:
        rest, _ = process.communicate(json.dumps(request(1, "tools/call", name="wait")).encode() + b"\n", PATIENCE)
        assert (process.returncode, rest) == (0, b"")


def test_a_server_that_goes_away_is_an_error_that_the_model_reads() -> None:
    with contextlib.ExitStack() as stack:
        with serving(Service()) as server:
            process = stack.enter_context(started(server.bind(TCP)[0], "--timeout", "5"))  # for its start, too
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(request(1, "ping")).encode() + b"\n")
            process.stdin.flush()
            process.stdout.readline()
        process.stdin.write(json.dumps(request(2, "tools/call", name="add", arguments={"a": 1})).encode() + b"\n")
        process.stdin.flush()
        result = json.loads(process.stdout.readline())["result"]
        assert result["isError"]
        assert result["content"][0]["text"].startswith(("TimeoutExpired: ", "LostRemote: "))
        process.communicate(timeout=PATIENCE)


@pytest.mark.parametrize(
    ("flags", "why"),
    [([], "is marked with @zerorpc.tool"), (["--tools", "x*"], "matches x*")],
)
def test_a_service_without_tools(flags: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    with serving({"add": lambda a: a}, name="plain") as server:
        assert main(["mcp", server.bind(TCP)[0], *flags]) == 2
    assert f"no method of plain {why}\nname some: --tools 'get_*'" in capsys.readouterr().err


def test_more_than_an_address(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mcp", "tcp://127.0.0.1:1", "add"]) == 2
    assert "one address is needed, and nothing else" in capsys.readouterr().err


def test_ctrl_c() -> None:
    with serving(Service()) as server, started(server.bind(TCP)[0]) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(request(1, "ping")).encode() + b"\n")
        process.stdin.flush()
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130
        assert b"Traceback" not in err
