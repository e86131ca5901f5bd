"""``zerorpc bench``: its command line, and measurements of real servers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.programs import SCRIPTS, Outcome, Program
from tests.interop.programs import old_server
from zerorpc.cli import bench as bench_module
from zerorpc.cli import main
from zerorpc.cli.arguments import command_of
from zerorpc.cli.bench import PING, parse
from zerorpc.cli.usage import UsageError

HERE = "tcp://127.0.0.1:4242"
BRIEFLY = ("--warmup", "0", "--duration", "0.1")
SELDOM = ("--rate", "100")  # what raises: the server logs each error, and nobody reads that before its pipe is full


@pytest.fixture(autouse=True)
def typed_zerorpc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["zerorpc"])


# When it is meant…


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        (f"bench {HERE}", True),
        (f"bench {HERE} method --connect-me", True),
        ("bench --help", True),
        ("bench", True),
        (f"bench {HERE} echo -- --connect", True),
        (f"--json bench {HERE}", False),
        (f"{HERE} bench", False),
        (f"bench --connect {HERE}", False),  # as ever: the method bench of the service there
        (f"bench --connect={HERE}", False),
        (f"bench --bind {HERE} 1", False),
        (f"bench --server --bind {HERE}", False),
        ("", False),
    ],
)
def test_bench_is_a_command_where_it_can_be_no_method_or_module(line: str, meant: bool) -> None:
    assert command_of(line.split()) == ("bench" if meant else None)
    assert command_of(line.replace("bench", "keygen").split()) == ("keygen" if meant else None)


def test_a_method_called_bench_can_be_called_as_ever(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--timeout", "0.01", "--connect", "ipc:///nobody/listens/here"]) == 1
    assert "_zerorpc_ping" not in capsys.readouterr().err
    assert main(["bench", "--connect", "nowhere"]) == 2
    assert "'nowhere' is no endpoint" in capsys.readouterr().err


# …and what is meant.


def test_defaults() -> None:
    arguments = parse([HERE])
    assert (arguments.address, arguments.method, arguments.params) == (HERE, PING, [])
    assert (arguments.concurrency, arguments.rate, arguments.connections, arguments.payload) == (10, None, 1, 0)
    assert (arguments.duration, arguments.warmup, arguments.timeout, arguments.heartbeat) == (10, 1, 30, 5)
    assert arguments.report == "text"
    assert parse([HERE, "--rate", "5"]).concurrency == 1000


def test_the_usual_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZERORPC_ADDRESS", HERE)
    assert (parse([]).address, parse([]).method) == (HERE, PING)
    assert (parse(["add", "1"]).address, parse(["add", "1"]).params) == (HERE, ["1"])
    assert parse(["ipc://s", "add"]).address == "ipc://s"


def test_flags_and_words_in_any_position() -> None:
    line = "--rate 1.5e3 {0} -c 7 add --json 1 --connections 3 -2 --duration 2 --warmup 0 --payload 64KiB"
    arguments = parse([*line.format(HERE).split(), "--timeout=1", "--heartbeat", "2", "--report", "json"])
    assert (arguments.address, arguments.method, arguments.params) == (HERE, "add", [1, -2])
    assert (arguments.concurrency, arguments.rate, arguments.connections, arguments.payload) == (7, 1500, 3, 65536)
    assert (arguments.duration, arguments.warmup, arguments.timeout, arguments.heartbeat) == (2, 0, 1, 2)
    assert arguments.report == "json"


@pytest.mark.parametrize(
    ("size", "octets"),
    [
        ("0", 0),
        ("17", 17),
        ("1B", 1),
        ("2k", 2048),
        ("2KiB", 2048),
        ("2kB", 2000),
        ("1MiB", 2**20),
        ("3 MB", 3 * 10**6),
    ],
)
def test_sizes(size: str, octets: int) -> None:
    assert parse([HERE, "echo", "--payload", size]).payload == octets


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "no address given"),
        ("{0} --payload 1KiB", "--payload needs a method that takes it"),
        ("{0} echo --payload 1KiBi", "argument --payload: '1KiBi' is not a size; 1000, 64KiB and 1MB are"),
        ("{0} echo --payload -1", "argument --payload: '-1' is not a size; 1000, 64KiB and 1MB are"),
        ("{0} --rate 0", "argument -r/--rate: '0' is not a number of calls above 0"),
        ("{0} --warmup -1", "argument --warmup: '-1' is not a number of seconds above 0"),
        ("{0} --concurrency 0", "argument -c/--concurrency: '0' is not a whole number above 0"),
        ("{0} --server", "unrecognized arguments: --server"),
        ("{0} -j echo {{", "parameter 1 is not JSON: {{ "),
    ],
)
def test_wrong_command_lines_are_told(line: str, problem: str) -> None:
    with pytest.raises(UsageError, match=re.escape(problem.format())) as raised:
        parse(line.format(HERE).split())
    assert raised.value.remedy


def test_the_remedy_names_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench"]) == 2
    assert capsys.readouterr().err.endswith("type: zerorpc bench tcp://127.0.0.1:4242 [method [parameter ...]]\n")
    assert main(["bench", HERE, "--concurrency"]) == 2
    assert capsys.readouterr().err.endswith("type: zerorpc bench --help\n")


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: zerorpc bench [options] address [method [parameter ...]]")
    assert main(["--help"]) == 0
    assert "zerorpc bench [options] address" in capsys.readouterr().out


# Measured for real…

SERVICE = """
import asyncio, os

class Service:
    def __init__(self):
        self.calls = 0

    async def echo(self, *values):
        return values

    async def only_text(self, text):
        self.calls += 1
        if not isinstance(text, str):
            raise TypeError("text, please")

    async def every_other(self):
        self.calls += 1
        if self.calls % 2:
            raise ValueError("odd")

    async def count(self, n):
        for number in range(n):
            yield number

    async def ever(self):
        while True:
            yield 1
            await asyncio.sleep(0)

    async def size(self, octets):
        if len(octets) != 1000:
            raise ValueError(len(octets))

    async def never(self):
        await asyncio.sleep(1000)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    (folder / "service.py").write_text(SERVICE)
    return folder


@pytest.fixture(scope="module")
def endpoint(folder: Path) -> Iterator[str]:
    server = Program("--server", "--bind", "tcp://127.0.0.1:0", "service.Service", folder=folder)
    try:
        server.wait_for(r"^serving")
        yield server.wait_for(r'^binding to "(.*)"$')[1]
    finally:
        server.end()


Start = Callable[..., Program]


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    started: list[Program] = []

    def start(*arguments: str, **environ: str) -> Program:
        started.append(Program("bench", *arguments, folder=folder, script="zerorpc", **environ))
        return started[-1]

    yield start
    for program in started:
        program.end()


Measured = Callable[..., dict[str, object]]


@pytest.fixture
def measured(start: Start, endpoint: str) -> Measured:
    """Measures the service and returns the report for programs."""

    def measured(*arguments: str, **options: Any) -> dict[str, object]:
        return report_of(start, endpoint, *arguments, **options)

    return measured


def report_of(
    start: Start, endpoint: str, *arguments: str, code: int = 0, wanted: tuple[str, int] = ("calls", 1)
) -> dict[str, object]:
    """Measure until there is what is ``wanted``, and so many: on a busy machine a short time may be too short."""
    for duration in ("0.1", "1", "10"):
        timing = ("--warmup", "0", "--duration", duration)
        outcome = start(endpoint, *arguments, *timing, "--report", "json").finish()
        told: dict[str, object] = json.loads(outcome.out)
        found = told[wanted[0]]
        if outcome.code == code and (len(found) if isinstance(found, dict) else int(str(found))) >= wanted[1]:
            return told
    raise AssertionError(outcome)


def test_any_service_can_be_measured_without_a_method(start: Start, endpoint: str) -> None:
    for duration in ("0.1", "1", "10"):  # in a short time a busy machine may begin no call
        outcome: Outcome = start(endpoint, "--warmup", "0", "--duration", duration).finish()
        assert outcome.err == f'Connecting to "{endpoint}"\nmeasuring "{PING}" for {duration} s: 10 calls at once\n'
        found = re.search(r"calls +([\d,]+)  in \d+\.\d s\n", outcome.out)
        if found and int(found[1].replace(",", "")) > 10:
            break
    else:
        raise AssertionError(outcome)
    assert outcome.code == 0
    for line in ("calls/s", "errors +0", "p50", "p99.9", "max", ".*█"):
        assert re.search(f"^ *{line}", outcome.out, re.MULTILINE), line


def test_a_method_with_parameters(measured: Measured) -> None:
    told = measured("echo", "--json", "1", '{"a": 2}')
    assert told["params"] == [1, {"a": 2}]
    assert told["calls"]
    assert told["errors"] == {}


def test_a_rate_on_several_connections(measured: Measured) -> None:
    told = measured("--rate", "200", "--connections", "3")
    assert (told["calls"], told["unsent"], told["rate_held"]) == (20, 0, True)


def test_a_payload(measured: Measured) -> None:
    assert measured("size", "--payload", "1kB")["errors"] == {}


def test_a_stream(measured: Measured) -> None:
    told = measured("count", "-j", "5", "--concurrency", "1")
    assert told["calls"] == told["streams"]
    calls = int(str(told["calls"]))
    assert told["items"] in range(5 * (calls - 1), 5 * calls + 1)  # the last one was cut short by the end


def test_an_endless_stream(measured: Measured) -> None:
    told = measured("ever", "--concurrency", "2", wanted=("items", 3))
    assert (told["calls"], told["unfinished"]) == (2, 0)


def test_errors_of_some_calls(measured: Measured) -> None:
    told = measured("every_other", *SELDOM, wanted=("errors", 1))
    assert told["calls"]
    (kind,) = told["errors"].items()  # type: ignore[attr-defined]
    assert (kind[0], kind[1]["first"]) == ("ValueError", "odd")


def test_errors_of_all_calls_are_an_exit_code(measured: Measured) -> None:
    told = measured("only_text", "-j", "1", *SELDOM, code=1, wanted=("errors", 1))
    assert told["calls"] == 0
    assert told["errors"]["TypeError"]["first"] == "text, please"  # type: ignore[index]


def test_ctrl_c_ends_it_with_a_report(start: Start, endpoint: str) -> None:
    program = start(endpoint, "never", "--rate", "50", "--report", "json")
    program.wait_for("^measuring")
    program.interrupt()
    outcome = program.finish()
    assert outcome.code == 130
    assert json.loads(outcome.out)["interrupted"] is True


def test_ctrl_c_while_connecting(start: Start) -> None:
    program = start("tcp://127.0.0.1:9")
    program.wait_for("^Connecting")
    program.interrupt(signal.SIGINT)
    outcome = program.finish()
    assert (outcome.code, outcome.out) == (130, "")
    assert "Traceback" not in outcome.err


def test_ctrl_c_while_waiting_for_an_answer_frees_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    async def reach(client: object, timeout: float) -> None:
        asyncio.get_running_loop().call_soon(interrupt)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("reach")

    monkeypatch.setattr(bench_module, "_reach", reach)
    assert main(["bench", "tcp://127.0.0.1:9"]) == 130
    assert ended == ["reach"]


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_where_no_signal_can_be_had(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], endpoint: str, loop: str
) -> None:
    """In another thread, as on Windows; there uvloop is missing too."""
    if loop == "asyncio":
        monkeypatch.setitem(sys.modules, "uvloop", None)
    codes: list[int] = []
    call = ("bench", endpoint, "--rate", "200", *BRIEFLY, "--report", "json")
    thread = threading.Thread(target=lambda: codes.append(main(call)))
    thread.start()
    thread.join()
    assert codes == [0]
    assert json.loads(capsys.readouterr().out)["calls"] == 20


def test_a_service_that_is_not_there(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(bench_module, "PATIENCE", 0.1)
    assert main(["bench", "ipc:///nobody/listens/here", "--connections", "2"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "no server was reached (ipc:///nobody/listens/here" in captured.err


def test_the_shell_completes_its_flags(start: Start, folder: Path) -> None:
    completions = folder / "completions"
    line = "zerorpc bench --conc"
    environ = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": str(completions)}
    start(**environ, COMP_LINE=line, COMP_POINT=str(len(line)), COMP_TYPE="9").finish()
    assert "--concurrency" in completions.read_text()


class Terminal:
    """A stderr that is a terminal."""

    def __init__(self) -> None:
        self.said = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> None:
        self.said += text

    def flush(self) -> None:
        pass


def test_a_terminal_is_told_how_it_goes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], endpoint: str
) -> None:
    monkeypatch.setattr("zerorpc.cli.bench_load.PROGRESS_EVERY", 0.02)
    call = ("only_text", "-j", "1", *SELDOM)
    progress = re.compile(r"\r\x1b\[K\d+\.\d s: [\d,.]+ calls/s, [\d,]+ errors\r")
    for seconds in (0.1, 1, 10):  # in a short time a busy machine may tell nothing
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        code = main(["bench", endpoint, *call, "--warmup", str(seconds / 2), "--duration", str(seconds)])
        assert code == 1
        assert terminal.said.endswith("\r\x1b[K")
        if "\r\x1b[Kwarming up\r" in terminal.said and progress.search(terminal.said):
            return
    raise AssertionError(terminal.said)


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal is POSIX's")
def test_in_a_terminal_of_40_columns_every_line_fits(endpoint: str) -> None:
    said = in_a_terminal(40, "bench", endpoint, "--duration", "1", "--warmup", "0")
    measuring = said[said.index("measuring") :]  # before stand addresses, which are as long as they are
    lines = re.split(r"[\r\n]+", measuring)
    assert max(map(len, lines)) <= 40
    assert lines[0] == 'measuring "_zerorpc_ping" for 1 s: 10'
    assert "…" not in said
    assert any(re.fullmatch(r" *[\d.]+ [µm]?s – [\d.]+ [µm]?s +[\d,]+  █+", line) for line in lines)


def in_a_terminal(columns: int, *arguments: str) -> str:
    """What the program shows there, without colours."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environ = {**os.environ, "PYTHONIOENCODING": "utf-8", "TERM": "xterm"}
    for name in ("COLUMNS", "LINES"):
        environ.pop(name, None)
    with subprocess.Popen(
        [str(SCRIPTS / "zerorpc-client"), *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environ
    ) as process:
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # EIO: all have left the terminal
            while chunk := os.read(ours, 65536):
                said += chunk
        os.close(ours)
    assert process.returncode == 0, said
    return re.sub(r" *$", "", re.sub(r"\x1b\[[\d;]*[mK]", "", said.decode()).replace("\r\n", "\n"), flags=re.MULTILINE)


def test_nobody_else_is_told(capsys: pytest.CaptureFixture[str], endpoint: str) -> None:
    assert main(["bench", endpoint, *SELDOM, *BRIEFLY]) == 0
    assert "\x1b" not in capsys.readouterr().err


# …that of zerorpc 0.6.3 too.


def test_the_old_implementation_can_be_measured(start: Start) -> None:
    with old_server("--bind", "tcp://127.0.0.1:0") as server:
        (endpoint,) = server.endpoints
        for call in ([], ["count", "-j", "3"], ["--payload", "10KiB", "echo"]):
            told = report_of(start, endpoint, *call)
            assert told["calls"]
            assert (told["errors"], told["unfinished"]) == ({}, 0)
        assert told["payload"] == 10240
