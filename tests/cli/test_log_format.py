"""The log lines of a server on the command line."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.programs import Program
from zerorpc.cli import main
from zerorpc.cli.log_format import JsonFormatter, json_note

SOME_PORT = "tcp://127.0.0.1:0"


def test_a_record_is_one_object_in_one_line() -> None:
    record = logging.LogRecord("a.b", logging.WARNING, "f", 1, "%s\n\x1b", ("é",), None)
    record.created = 0.5
    line = JsonFormatter().format(record)
    assert line.isascii()
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00.500Z",
        "level": "WARNING",
        "logger": "a.b",
        "message": "é\n\x1b",
    }


def test_an_exception_and_the_facts_of_a_call() -> None:
    try:
        raise ValueError("no")
    except ValueError:
        record = logging.LogRecord("a", logging.ERROR, "f", 1, "m", (), sys.exc_info())
    for name, value in {"caller": "c", "method": "m", "seconds": 0.5, "outcome": object, "other": 1}.items():
        setattr(record, name, value)
    told = json.loads(JsonFormatter().format(record))
    assert told["traceback"].endswith("ValueError: no")
    assert (told["caller"], told["method"], told["seconds"]) == ("c", "m", 0.5)
    assert told["outcome"] == "<class 'object'>"
    assert "other" not in told


@pytest.mark.parametrize(
    ("text", "level", "message"),
    [("serving a", "INFO", "serving a"), ("warning: open", "WARNING", "open"), ("two\nlines", "INFO", "two\nlines")],
)
def test_a_note(text: str, level: str, message: str) -> None:
    told = json.loads(json_note(text))
    assert (told["level"], told["logger"], told["message"]) == (level, "zerorpc.cli", message)


def served(folder: Path, *flags: str) -> list[str]:
    """What a server with these flags says until it is interrupted, when three calls have come."""
    server = Program("--server", "--bind", SOME_PORT, "operator", "--any-types", *flags, folder=folder)
    try:
        endpoint = server.wait_for(r"(tcp://127\.0\.0\.1:\d+)")[1]
        for arguments in (["add", "1", "2"], ["truediv", "1", "0"], ["nosuch"]):
            command = [sys.executable, "-m", "zerorpc", "--json", endpoint, *arguments]
            subprocess.run(command, capture_output=True, timeout=60, check=False)
        server.interrupt()
        return server.finish().err.splitlines()
    finally:
        server.end()


def test_json_lines_with_calls(tmp_path: Path) -> None:
    told = [json.loads(line) for line in served(tmp_path, "--log-calls", "--log-format", "json")]
    calls = [each for each in told if each["logger"] == "zerorpc.calls"]
    assert [(each["method"], each["outcome"]) for each in calls] == [
        ("add", "ok"),
        ("truediv", "ZeroDivisionError"),
        ("nosuch", "UnknownMethod"),
        ("_zerorpc_list", "ok"),  # for the nearest names
    ]
    assert all(each["caller"].startswith("tcp://127.0.0.1:") and each["seconds"] >= 0 for each in calls)
    assert 'serving "operator"' in [each["message"] for each in told]
    assert "ZeroDivisionError: division by zero" in next(each["traceback"] for each in told if "traceback" in each)


def test_text_lines_with_calls(tmp_path: Path) -> None:
    lines = [line for line in served(tmp_path, "--log-calls") if " zerorpc.calls: " in line]
    assert [line.split()[2] for line in lines] == ["INFO"] * 4
    assert lines[0].endswith(" ms ok")
    assert lines[1].endswith(" ms ZeroDivisionError")


def test_without_the_flags_it_is_as_ever(tmp_path: Path) -> None:
    lines = served(tmp_path)
    assert 'serving "operator"' in lines
    assert "ERROR:zerorpc.server:truediv raised ZeroDivisionError" in lines
    assert not any("zerorpc.calls" in line for line in lines)


def test_the_format_is_a_servers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--log-format", "json", "ipc://s", "m"]) == 2
    assert "--log-format is for servers" in capsys.readouterr().err
