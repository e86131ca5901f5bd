"""Our command line against the old server, and the old command line against ours."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.interop.old_programs.service import Service
from tests.interop.old_venv import old_python
from tests.interop.ours import our_server
from tests.interop.programs import FOLDER, HEARTBEAT, PATIENCE, Program, environment_of, old_server, running

OUR_CLI = [sys.executable, "-m", "zerorpc"]


def old_program() -> str:
    return str(Path(old_python()).parent / "zerorpc")


def old_cli() -> list[str]:
    """The same program, able to print its results on today's Python."""
    return [old_python(), str(FOLDER / "cli.py")]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, check=False, env=environment_of(command[0])
    )


def printed_by(*command: str) -> str:
    """The standard output of a program that must succeed."""
    done = run(*command)
    assert done.returncode == 0, done.stderr
    return done.stdout


# The old command line, our server


@pytest.fixture(scope="module")
def our_endpoint() -> Iterator[str]:
    with our_server(Service(), bind="tcp://127.0.0.1:0", name="cooler") as server:
        yield server.endpoints[0]


def test_the_old_program_lists_our_methods(our_endpoint: str) -> None:
    header, *lines = printed_by(old_program(), our_endpoint).splitlines()
    assert header == "[cooler]"
    methods = dict(line.split(maxsplit=1) for line in lines)
    assert methods["add"] == "Add two numbers."
    assert methods["echo"] == "Return the value as it came."
    assert methods["nothing"] == "<undocumented>"


def test_the_old_program_shows_our_signatures(our_endpoint: str) -> None:
    header, *lines = printed_by(old_program(), "-?", our_endpoint).splitlines()
    assert header == "[cooler]"
    assert {"add(left, right=1)", "echo(value)", "count(stop)", "slow(seconds, value)"} <= set(lines)


def test_the_old_program_shows_one_method_of_ours(our_endpoint: str) -> None:
    assert (
        printed_by(old_program(), "-?", our_endpoint, "add") == "[cooler]\nadd(left, right=1)\n\nAdd two numbers.\n\n"
    )


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["echo", "%Y/%m/%d"], "'%Y/%m/%d'\n"),
        (["--json", "add", "1", "2"], "3\n"),
        (["--json", "echo", '{"a": [1, null, "ü"]}'], "{'a': [1, None, 'ü']}\n"),
        (["--json", "count", "3"], "0\n1\n2\n"),
        (["-j", "-pj", "count", "3"], "[0,1,2]"),
    ],
)
def test_the_old_command_line_calls_our_methods(our_endpoint: str, arguments: list[str], printed: str) -> None:
    assert printed_by(*old_cli(), "--connect", our_endpoint, *arguments) == printed


@pytest.mark.parametrize(("arguments", "said"), [(["fail", "boom"], "ValueError: boom"), (["nosuch"], "nosuch")])
def test_the_old_command_line_shows_our_errors(our_endpoint: str, arguments: list[str], said: str) -> None:
    done = run(*old_cli(), our_endpoint, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr


def test_the_old_command_line_binds_and_our_worker_answers(new_ipc: Callable[[], str]) -> None:
    endpoint = new_ipc()
    with running(Program("-m", "zerorpc", "--server", endpoint, "time", python=sys.executable)):
        assert printed_by(*old_cli(), "--bind", endpoint, "strftime", "%%").splitlines() == ["'%'"]


# Our command line, the old server


@pytest.fixture(scope="module")
def old_endpoint() -> Iterator[str]:
    with old_server("--bind", "tcp://127.0.0.1:0", "--name", "cooler") as server:
        yield server.endpoint


def test_our_program_lists_the_old_methods(old_endpoint: str) -> None:
    # [ran] On Python 3.11 the old server answers ERR to _zerorpc_inspect, so this asks in the older ways.
    header, *lines = printed_by(*OUR_CLI, old_endpoint).splitlines()
    assert header == "[cooler]"
    methods = dict(line.split(maxsplit=1) for line in lines)
    assert methods["add"] == "Add two numbers."
    assert methods["echo"] == "Return the value as it came."
    assert methods["nothing"] == "<undocumented>"
    assert set(methods) == {name for name in dir(Service) if not name.startswith("_")}


def test_our_program_writes_a_stub_of_the_old_methods(old_endpoint: str, tmp_path: Path) -> None:
    text = printed_by(*OUR_CLI, "stub", old_endpoint)
    compile(text, "stub", "exec")
    assert '    def add(self, *args: Any, **kwargs: Any) -> Any:\n        """Add two numbers."""\n' in text
    (tmp_path / "old.json").write_text(printed_by(*OUR_CLI, "schema", old_endpoint))
    same = run(*OUR_CLI, "diff", str(tmp_path / "old.json"), old_endpoint)
    assert (same.returncode, same.stdout) == (0, "")


def test_our_ping_and_health_know_the_old_server(old_endpoint: str) -> None:
    assert printed_by(*OUR_CLI, "ping", "-c", "1", old_endpoint).startswith('answer from "cooler": seq=1 time=')
    assert printed_by(*OUR_CLI, "health", old_endpoint).startswith(f"{old_endpoint} is healthy: ")


def test_our_program_shows_one_old_method(old_endpoint: str) -> None:
    printed = printed_by(*OUR_CLI, "-?", old_endpoint, "echo")
    assert printed.startswith("[cooler]\necho(")
    assert "Return the value as it came.\n\nA second paragraph" in printed


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["echo", "%Y/%m/%d"], "'%Y/%m/%d'\n"),
        (["--json", "add", "1", "2"], "3\n"),
        (["--json", "count", "3"], "0\n1\n2\n"),
        (["--json", "int_keys"], "{-2: 'minus two', 1: 'one'}\n"),
    ],
)
def test_our_command_line_calls_old_methods(old_endpoint: str, arguments: list[str], printed: str) -> None:
    assert printed_by(*OUR_CLI, "--connect", old_endpoint, *arguments) == printed


def test_our_command_line_prints_an_old_stream_as_json(old_endpoint: str) -> None:
    assert json.loads(printed_by(*OUR_CLI, "-j", "-pj", old_endpoint, "count", "250")) == list(range(250))


def test_our_command_line_shows_the_old_traceback(old_endpoint: str) -> None:
    done = run(*OUR_CLI, old_endpoint, "fail", "boom")
    assert (done.returncode, done.stdout) == (1, "")
    assert "raise ValueError(message)" in done.stderr
    assert done.stderr.rstrip().endswith("ValueError: boom")


def test_our_command_line_binds_and_the_old_worker_answers(new_ipc: Callable[[], str]) -> None:
    endpoint = new_ipc()
    with running(Program(old_program(), "--server", endpoint, "time")):
        assert printed_by(*OUR_CLI, "--bind", endpoint, "strftime", "%%").splitlines() == ["'%'"]


def test_the_readme_works_with_the_old_program_as_the_server(new_ipc: Callable[[], str]) -> None:
    endpoint = new_ipc()
    with running(Program(old_program(), "--server", "--bind", endpoint, "time")):
        assert printed_by(*OUR_CLI, "--connect", endpoint, "strftime", "%%").splitlines() == ["'%'"]
        assert "strftime" in printed_by(*OUR_CLI, endpoint)
        assert printed_by(*OUR_CLI, "--json", endpoint, "sleep", "0.1") == "None\n"
        wrong = run(*OUR_CLI, endpoint, "sleep", "3")
        assert wrong.returncode == 1
        assert "TypeError" in wrong.stderr


def test_a_slow_old_method_is_waited_for_though_our_heartbeats_are_passive() -> None:
    with old_server("--bind", "tcp://127.0.0.1:0", "--heartbeat", HEARTBEAT) as server:
        beat = ["--heartbeat", str(HEARTBEAT)]
        assert printed_by(*OUR_CLI, *beat, "--json", server.endpoint, "slow", "1.8", "7") == "7\n"
