"""The doors: how each makes a call, and how it tells what became of it."""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest

import zerorpc
from tests.cli.programs import Program
from tests.doors.same_calls.calls import Outcome
from tests.doors.same_calls.service import PASSWORD, USER
from tests.service.running import PATIENCE
from zerorpc.cli import main

PLAIN = zerorpc.Plain(USER, PASSWORD)
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


class Way(Protocol):
    """A door of one server."""

    def call(self, method: str, arguments: dict[str, Any], timeout: float = PATIENCE) -> Outcome: ...

    def begin(self, method: str) -> Callable[[], None]:
        """Begin a call; what comes back is how its caller goes away."""

    def as_told(self, outcome: Outcome) -> Outcome:
        """What of an outcome can be seen by this door."""


class ByZerorpc:
    """zerorpc's own, from Python."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    def call(self, method: str, arguments: dict[str, Any], timeout: float = PATIENCE) -> Outcome:
        items: list[Any] | None = None
        with zerorpc.Client(self._endpoint, plain=PLAIN, timeout=timeout, heartbeat=None) as client:
            try:
                value = zerorpc.options(client)(method, **arguments)
                if not isinstance(value, zerorpc.Stream):
                    return Outcome(_as_json(value))
                items = []
                for item in value:
                    items.append(_as_json(item))
            except zerorpc.RemoteError as error:
                name = error.name if type(error) is zerorpc.RemoteError else type(error).__name__
                return Outcome(items=items, error=name, message=error.msg)
            except zerorpc.ZeroRPCError as error:
                return Outcome(items=items, error=type(error).__name__)
        return Outcome(items=items)

    def begin(self, method: str) -> Callable[[], None]:
        client = zerorpc.Client(self._endpoint, plain=PLAIN, timeout=PATIENCE, heartbeat=None)
        zerorpc.options(client, async_=True)(method)
        return client.close

    def as_told(self, outcome: Outcome) -> Outcome:
        return outcome


def _as_json(value: object) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value) if isinstance(value, (datetime.date, decimal.Decimal)) else value


class ByHttp:
    """``POST /call/METHOD``."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    def call(self, method: str, arguments: dict[str, Any], timeout: float = PATIENCE) -> Outcome:
        headers = {"x-zerorpc-timeout": str(timeout), "authorization": BASIC}
        url = f"{self._endpoint}/call/{method}"
        answer = httpx.post(url, json=arguments, headers=headers, timeout=PATIENCE)
        kind = answer.headers["content-type"]
        if kind == "application/problem+json":
            problem = answer.json()
            assert problem["status"] == answer.status_code >= 400
            return Outcome(error=problem["title"], message=problem["detail"])
        assert answer.status_code == 200
        if kind == "application/json":
            return Outcome(answer.json())
        assert kind == "application/x-ndjson"
        items = [json.loads(line) for line in answer.text.split("\n") if line]
        if items and isinstance(items[-1], dict) and "error" in items[-1]:
            problem = items.pop()["error"]
            return Outcome(items=items, error=problem["title"], message=problem["detail"])
        return Outcome(items=items)

    def begin(self, method: str) -> Callable[[], None]:
        return _post(self._endpoint, f"/call/{method}", b"{}")

    def as_told(self, outcome: Outcome) -> Outcome:
        return outcome


def _post(endpoint: str, path: str, body: bytes) -> Callable[[], None]:
    """Returns how to go away."""
    host, _, port = endpoint.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)), timeout=PATIENCE)
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {BASIC}\r\nContent-Type: application/json\r\n"
    head += f"Accept: application/json, text/event-stream\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection.close


class ByMcp:
    """``tools/call`` at ``/mcp``, of 2025-11-25."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    def call(self, method: str, arguments: dict[str, Any], timeout: float = PATIENCE) -> Outcome:
        headers = {"x-zerorpc-timeout": str(timeout), "authorization": BASIC, "accept": "application/json"}
        headers["content-type"] = "application/json"
        body = self._message(method, arguments)
        answer = httpx.post(f"{self._endpoint}/mcp", content=body, headers=headers, timeout=PATIENCE).json()
        if "error" in answer:
            assert answer["error"]["code"] == -32602, "as the specification has it for unknown tools"
            return Outcome(error="UnknownMethod")
        result = answer["result"]
        texts = [block.get("text") for block in result["content"]]
        if result["isError"]:
            name, _, said = texts[0].partition(": ")
            return Outcome(json.loads(texts[1]) if texts[1:] else None, error=name, message=said)
        if "structuredContent" not in result:
            (block,) = result["content"]
            assert (block["type"], block["mimeType"]) == ("image", "image/png")
            return Outcome(block["data"])
        value = result["structuredContent"]
        return Outcome(value["result"] if value.keys() == {"result"} else value)

    def begin(self, method: str) -> Callable[[], None]:
        return _post(self._endpoint, "/mcp", self._message(method, {}))

    def _message(self, method: str, arguments: dict[str, Any]) -> bytes:
        params = {"name": method, "arguments": arguments}
        return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()

    def as_told(self, outcome: Outcome) -> Outcome:
        """A result has all items of a stream. A tool that the caller may not call isn't there."""
        value = outcome.value if outcome.items is None else outcome.items
        if outcome.error in ("UnknownMethod", "PermissionDenied"):
            return Outcome(error="UnknownMethod")
        return outcome._replace(value=value, items=None)


class ByCommandLine:
    """``zerorpc ADDRESS METHOD name=value``."""

    def __init__(
        self, endpoint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
    ) -> None:
        self._endpoint = endpoint
        self._capsys = capsys
        self._folder = folder
        monkeypatch.setenv("ZERORPC_PASSWORD", PASSWORD)
        monkeypatch.setattr("sys.argv", ["zerorpc"])

    def call(self, method: str, arguments: dict[str, Any], timeout: float = PATIENCE) -> Outcome:
        words = [f"{name}={json.dumps(value)}" for name, value in arguments.items()]
        flags = ["--user", USER, "--timeout", str(timeout), "--json", "--print-json"]
        self._capsys.readouterr()
        code = main([*flags, self._endpoint, method, *words])
        out, err = self._capsys.readouterr()
        value = json.loads(out) if out else None
        if code == 0:
            return Outcome(value)
        if code == 2:
            assert "the method has no parameter" in err
            return Outcome(error="a wrong command line")
        assert code == 1
        *_, last = err.splitlines()
        name, _, message = last.partition(": ")
        if name == "zerorpc":
            return Outcome(value, error=message.partition(" ")[0])
        return Outcome(value, error=name.rpartition(".")[2], message=message)

    def begin(self, method: str) -> Callable[[], None]:
        program = Program(
            "--user", USER, "--json", self._endpoint, method, folder=self._folder, ZERORPC_PASSWORD=PASSWORD
        )

        def go() -> None:
            program.interrupt(signal.SIGINT)
            assert program.finish().code == 130
            program.end()

        return go

    def as_told(self, outcome: Outcome) -> Outcome:
        """Items are printed as they come, as a list. An error is told by its name in Python, or in a sentence."""
        value = outcome.value if outcome.items is None else outcome.items
        if outcome.message.endswith("unexpected keyword argument 'c'"):
            return Outcome(error="a wrong command line")
        name = _TOLD.get(outcome.error or "", outcome.error)
        message = "" if outcome.error in ("UnknownMethod", "TimeoutExpired") else outcome.message
        return Outcome(value, error=name, message=message)


_TOLD = {
    "UnknownMethod": "there",  # is no method "adds"
    "TimeoutExpired": "timeout",  # after 0.2s
    "WrongArguments": "TypeError",
    "InvalidArguments": "TypeError",
    "PermissionDenied": "PermissionError",
}
