"""What README.md, CONTRIBUTING.md, docs/ and examples/ show is run here, as printed.

Each section of a page (from one ``##`` to the next) is one test in a folder of its own, and its code blocks are
played in order:

- ``python`` whose first line is ``# name.py``: written to that file; any other is run. What is printed has to contain
  the comments that follow ``print(...)`` on the same line, in order.
- ``console``: each line after ``$`` is run; the lines below it have to be among what it says, in order, where ``...``
  stands for anything, and a date or time for any other. A command with an error among them, or a change that would
  break a caller, has to fail, others not. A line with ``>`` is for a shell.
- After ``<!-- keeps running -->`` a command goes on while the rest is played; those that connect to it are run once it
  listens. Then it is asked to end, unless it has ended, and what it said is looked at.

Ports and ipc paths are replaced, so that tests don't meet programs of others.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.service.running import eventually, unused_port
from zerorpc import cli

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PATIENCE = 120.0  # seconds for a command to end or to say what it should; on a loaded machine a venv took over 60
NOBODY = "tcp://127.0.0.1:9"  # the pages' address where nobody listens
STRICT_PYTHON = ("python", "-W", "error", "-W", "ignore::DeprecationWarning:uvloop")  # as pyproject.toml has it

BLOCK = re.compile(
    r"^(?P<keeps><!-- keeps running -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
PRINTED = re.compile(r"^ *print\(.*\)  # (.*)$", re.MULTILINE)
FAILS = re.compile(r"^(\w+Error: |zerorpc-client: |fault    |WIRE |SOURCE )", re.MULTILINE)
CHANGING = (
    (re.compile(r"\b\d{4}/\d\d/\d\d\b"), "<date>"),
    (re.compile(r"\[\d{4}(, \d+){8}\]"), "<time>"),
    (re.compile(r"(still (?:trying|waiting), for) \d+ s$", re.MULTILINE), r"\1 <seconds>"),  # less, if it is told late
)


class Block(NamedTuple):
    """One fenced code block."""

    kind: str
    text: str
    keeps_running: bool


class Section(NamedTuple):
    """The blocks under one heading."""

    page: str
    title: str
    blocks: list[Block]

    def __str__(self) -> str:
        return f"{self.page}: {self.title}"


def sections() -> Iterator[Section]:
    for page in PAGES:
        for part in re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
            title = part.partition("\n")[0].strip("# ")
            blocks = [Block(m["kind"], m["text"], bool(m["keeps"])) for m in BLOCK.finditer(part)]
            if blocks:
                yield Section(page.name, title, blocks)


class Surroundings:
    """A folder, addresses that are free, and the commands that were started, with what they were to say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ports: dict[str, str] = {}
        self._started: list[tuple[Command, str | None]] = []

    def moved(self, text: str) -> str:
        """The text with its ports and ipc paths replaced by free ones."""
        text = re.sub(r"(tcp://[^\s:\"]+:)([1-9]\d*)", lambda m: m[1] + self._port(m[0], m[2]), text)
        return text.replace("ipc:///tmp/", f"ipc://{self.folder}/")

    def _port(self, endpoint: str, port: str) -> str:
        if endpoint == NOBODY:
            return port
        if port not in self._ports:
            self._ports[port] = str(unused_port())
        return self._ports[port]

    def wait_for_listeners(self, text: str) -> None:
        """Until what was started before listens where this command connects to: a reader begins it afterwards."""
        goes_on = any(says is not None for _, says in self._started)
        for port in re.findall(r"tcp://[^\s:\"]+:(\d+)", text) if goes_on and "bind" not in text else ():
            if port in self._ports.values():
                eventually(functools.partial(listens, int(port)), f"a listener for `{text}`")

    def start(self, *command: str, says: str | None = None) -> Command:
        """Start a command; ``says`` for one that goes on, what it is to say until it is asked to end."""
        self._started.append((Command(*command, folder=self.folder), says))
        return self._started[-1][0]

    def check_started(self) -> None:
        """What goes on has to say what the page shows, and to end well when asked to."""
        for command, says in self._started:
            if says is not None:
                command.wait_for(says)
                command.interrupt()
                assert command.finish() in (0, -signal.SIGINT, 130), command  # 130: it was about to end

    def end(self) -> None:
        for command, _ in self._started:
            command.end()


class Command:
    """One process; ``said`` is what it wrote so far, to stdout and stderr."""

    def __init__(self, *command: str, folder: Path) -> None:
        self.line = shlex.join(command)
        self._output = tempfile.NamedTemporaryFile()  # noqa: SIM115 - closed by end()
        try:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONFAULTHANDLER": "1"},
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        except BaseException:
            self._output.close()
            raise

    @property
    def said(self) -> str:
        return Path(self._output.name).read_text(encoding="utf-8", errors="replace")

    def wait_for(self, expected: str) -> None:
        """Wait until it has said what is expected. There is no event for a file that grows: look again and again."""
        deadline = time.monotonic() + PATIENCE
        while (missing := first_missing(expected, self.said)) is not None:
            assert time.monotonic() < deadline, f"{missing!r} was not said by {self}"
            time.sleep(0.02)

    def interrupt(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def finish(self) -> int:
        """Wait for its end; the exit code. One that doesn't end says where its threads are."""
        try:
            return self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGABRT)
            self._process.wait(PATIENCE)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # what it had started
            raise AssertionError(f"it did not end: {self}") from None

    def end(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._output.close()

    def __repr__(self) -> str:
        return f"`{self.line}` (exit code {self._process.poll()}):\n{self.said}"


@pytest.fixture
def surroundings() -> Iterator[Surroundings]:
    short = "/tmp" if Path("/tmp").is_dir() else None  # an ipc path has 107 bytes at most
    with tempfile.TemporaryDirectory(prefix="zerorpc-", dir=short) as folder:
        surroundings = Surroundings(Path(folder))
        yield surroundings
        surroundings.end()


@pytest.mark.timeout(300)  # a section is several programs, one after the other
@pytest.mark.parametrize("section", list(sections()), ids=str)
def test_a_section_does_what_it_shows(section: Section, surroundings: Surroundings) -> None:
    for block in section.blocks:
        play(block, surroundings)
    surroundings.check_started()


def play(block: Block, surroundings: Surroundings) -> None:
    text = surroundings.moved(block.text)
    if block.kind == "console":
        for line, expected in commands(text):
            play_command(line, expected, block.keeps_running, surroundings)
    elif block.kind == "python":
        play_python(text, surroundings)
    else:
        assert block.kind == "text", f"nobody runs {block.kind} blocks"


def play_command(line: str, expected: str, keeps_running: bool, surroundings: Surroundings) -> None:
    command = shlex.split(line) if ">" not in line else ["sh", "-c", line]
    if command[0] == "make":  # would run this test again; that there is such a target can be seen
        subprocess.run([*command, "--dry-run"], cwd=ROOT, check=True, capture_output=True)
        return
    if command[:2] == [".", "venv/bin/activate"]:  # for a shell; these commands have a venv before them in PATH
        assert (surroundings.folder / command[1]).is_file()
        return
    if command[:2] == ["pip", "install"]:  # tests/packages do it, in fresh venvs
        assert set(re.findall(r"(?<=\[)[^],]+", line)) <= extras(), line
        return
    if not keeps_running:
        surroundings.wait_for_listeners(line)
    started = surroundings.start(*command, says=expected if keeps_running else None)
    if not keeps_running:
        assert bool(started.finish()) == bool(FAILS.search(expected)), started
        assert first_missing(expected, started.said) is None, started


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def extras() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return set(project["optional-dependencies"])


def play_python(text: str, surroundings: Surroundings) -> None:
    named = re.match(r"# (\w+\.py)\n", text)
    if named:
        (surroundings.folder / named[1]).write_text(text, encoding="utf-8")
        return
    (surroundings.folder / "snippet.py").write_text(text, encoding="utf-8")
    surroundings.wait_for_listeners(text)
    started = surroundings.start(*STRICT_PYTHON, "snippet.py")
    assert started.finish() == 0, started
    assert first_missing("\n".join(PRINTED.findall(text)), started.said) is None, started


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block, with the lines that it is to say."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        line, _, expected = part.partition("\n")
        yield line, expected


def first_missing(expected: str, said: str) -> str | None:
    """The first expected line that is not found, in order, among those said; None when all are."""
    lines = iter(steady(said).splitlines())
    for line in steady(expected).splitlines():
        pattern = re.compile(".*".join(map(re.escape, line.split("..."))))
        if line != "..." and not any(pattern.fullmatch(candidate) for candidate in lines):
            return line
    return None


def steady(text: str) -> str:
    for pattern, stands in CHANGING:
        text = pattern.sub(stands, text)
    return text


def test_the_readme_installs_before_it_shows_anything() -> None:
    titles = [section.title for section in sections() if section.page == "README.md"]
    assert titles[:3] == ["Install", "A first service", "From the command line"]


def test_the_readme_names_the_python_the_extras_and_the_exit_codes_that_there_are() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"CPython {project['requires-python'].removeprefix('>=')} or newer" in text
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == extras() - {"dev", "docs", "fuzz"}
    for needed in project["dependencies"]:
        assert f"[{re.split('[^a-z]', needed)[0]}](https://pypi.org/" in text
    codes = {cli.SUCCESS, cli.FAILURE, cli.USAGE, cli.INTERRUPTED, cli.OUTPUT_CLOSED}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)} == codes


# Examples


def example(name: str, *arguments: str) -> tuple[str, ...]:
    return (*STRICT_PYTHON, str(ROOT / "examples" / f"{name}.py"), *arguments)


def run_example(surroundings: Surroundings, name: str, *arguments: str) -> list[str]:
    """Run one to its end; the lines that it printed."""
    command = surroundings.start(*example(name, *arguments))
    assert command.finish() == 0, command
    return command.said.splitlines()


def test_the_cooler_answers_both_clients(surroundings: Surroundings) -> None:
    endpoint = surroundings.moved("tcp://127.0.0.1:4242")
    surroundings.start(
        *example("cooler", endpoint), says=f"listening on {endpoint}\nZeroDivisionError: division by zero"
    )
    assert run_example(surroundings, "blocking_client", endpoint) == [
        "hi, man!",
        "[0, 1, 2, 3, 4]",
        "43",
        "rested",
        "ZeroDivisionError: division by zero",
    ]
    assert run_example(surroundings, "async_client", endpoint) == ["1000 chilled", "enough at 3"]
    surroundings.check_started()


def test_workers_do_the_boss_s_work(surroundings: Surroundings) -> None:
    endpoint = surroundings.moved("tcp://127.0.0.1:4242")
    for _ in range(2):
        surroundings.start(*example("workers", "worker", endpoint))
    assert run_example(surroundings, "workers", "boss", endpoint) == ["[0, 1, 4, 9, 16, 25, 36, 49, 64, 81]"]


@pytest.mark.parametrize("arguments", [(), ("nobody",)])
def test_an_example_that_needs_an_argument_says_so(surroundings: Surroundings, arguments: tuple[str, ...]) -> None:
    command = surroundings.start(*example("workers", *arguments))
    assert command.finish() == 2
    assert command.said == "usage: python workers.py worker|boss [endpoint]\n"


def test_news_are_read(surroundings: Surroundings) -> None:
    assert run_example(surroundings, "news") == ["page 1: zerorpc made anew", "page 2: gevent no longer needed"]


def test_the_trace_id_travels(surroundings: Surroundings) -> None:
    assert run_example(surroundings, "tracing") == ["hot soup, please", "table-7 order", "table-7 cook"]


def test_every_example_is_run_here_or_in_test_examples() -> None:
    here = {"async_client", "blocking_client", "cooler", "news", "tracing", "workers"}
    there = {"instrument", "notebook", "test_cooler", "web"}
    found = {path.stem for path in (ROOT / "examples").iterdir() if path.is_file() and path.name != "README.md"}
    assert found == here | there


def test_the_parts_that_contributing_names_are_there() -> None:
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE)
    names = re.findall(r"`([^`]+)`", " ".join(rows))
    assert len(names) > 5
    assert [name for name in names if not (ROOT / "src" / "zerorpc" / name).exists()] == []


def test_links_to_our_own_files_lead_somewhere() -> None:
    for page in [*PAGES, ROOT / "SECURITY.md"]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
