"""zerorpc's main job, for real: every command below is run as it is printed, as a process of its own.

Run it by ``make demo``; ``PORT=4321 make demo`` takes another port than 1234. It ends by itself, and everything that
it started ends with it. The exit code is 1 when a command fails or says something else than it should.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent  # of the venv that this runs in
PORT = os.environ.get("PORT", "1234")
TCP = f"tcp://0:{PORT}"
HTTP = f"http://127.0.0.1:{PORT}"
IPC = "ipc:///tmp/time"
PATIENCE = 30.0  # seconds for a command to say what it should, or to end; a loaded machine is slow


class Failure(Exception):
    """The demo can't go on; the message is one line."""


def main() -> None:
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    started: list[Command] = []
    try:
        check_surroundings()
        show(Terminal(started))
    except Failure as failure:
        sys.exit(f"demo: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        for command in started:
            command.end()


def check_surroundings() -> None:
    """The two things that a demo most often lacks: its programs, and its port."""
    for program in ("zerorpc-client", "python"):
        if shutil.which(program, path=str(BIN)) is None:
            raise Failure(f"{program} is not in {BIN}: type `make setup`")
    if not (PORT.isascii() and PORT.isdigit() and 0 < int(PORT) <= 0xFFFF):
        raise Failure(f"PORT={PORT} is not a port number")
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("", int(PORT)))
    except OSError as error:
        raise Failure(
            f"port {PORT} can't be had ({error.strerror}): free it, or choose another: PORT=4321 make demo"
        ) from None


def show(terminal: Terminal) -> None:
    serve_a_module(terminal)
    reverse_the_roles(terminal)
    stream(terminal)
    types_keywords_and_arrays(terminal)
    by_http(terminal)
    listen_twice(terminal)
    measure(terminal)


def serve_a_module(terminal: Terminal) -> None:
    terminal.say("Turn Python's own time module into a service, in a first terminal:")
    server = terminal.start(f"zerorpc-client --server --bind {TCP} time", until='serving "time"')
    call_it(terminal)
    terminal.say("Meanwhile, in the first terminal:")
    expect("TypeError" in terminal.interrupt(server), "the TypeError in the server's log")


def call_it(terminal: Terminal) -> None:
    terminal.say("Call it from another; all three are the same:")
    for options in ("--client --connect ", "--connect ", ""):
        today = {time.strftime("'%Y/%m/%d'")}
        said = terminal.run(f"zerorpc-client {options}{TCP} strftime %Y/%m/%d")
        today.add(time.strftime("'%Y/%m/%d'"))  # midnight may have passed
        expect(said.splitlines()[-1] in today, f"the date, {today}")

    terminal.say("Ask it what it can do:")
    said = terminal.run(f"zerorpc-client {TCP}")
    for line in (r"^\[time\]$", r"^strftime +strftime\(format", r"^sleep +sleep\(seconds"):
        expect(re.search(line, said, re.MULTILINE), f"a line like {line}")

    terminal.say("Words are text, and sleep wants a number:")
    said = terminal.run(f"zerorpc-client {TCP} sleep 3", code=1)
    expect("TypeError" in said, "a TypeError")

    terminal.say("With --json they are what JSON says; this takes three seconds:")
    start = time.monotonic()
    terminal.run(f"zerorpc-client --json {TCP} sleep 3")
    expect(time.monotonic() - start >= 3, "three seconds to pass")


def reverse_the_roles(terminal: Terminal) -> None:
    terminal.say("Reversed roles: here the client binds, and waits for somebody to do its work...")
    client = terminal.start(f"zerorpc-client --bind {TCP} localtime", until="can take the call")
    terminal.say("...and a worker connects to it, in a second terminal:")
    worker = terminal.start(f"zerorpc-client --server {TCP} time", until='serving "time"')
    terminal.say("Now the client has its answer, and ends:")
    said = terminal.wait(client)
    expect(re.search(rf"^\[{time.localtime().tm_year // 1000}\d\d\d(, \d+){{8}}\]$", said, re.MULTILINE), "a time")
    terminal.say("The worker goes on, until we end it too:")
    terminal.interrupt(worker)


def stream(terminal: Terminal) -> None:
    terminal.say("A class of our own, examples/cooler.py; its method countdown is an async generator:")
    server = terminal.start(f"zerorpc-client --server --bind {TCP} examples.cooler:Cooler", until="serving")
    terminal.say("Its items are printed as they arrive:")
    said = terminal.run(f"zerorpc-client --json {TCP} countdown 5")
    expect(said.splitlines()[-5:] == ["5", "4", "3", "2", "1"], "5 4 3 2 1")
    terminal.say("In the first terminal:")
    terminal.interrupt(server)


def types_keywords_and_arrays(terminal: Terminal) -> None:
    terminal.say("A camera, examples/instrument.py; its methods say what they take and return:")
    server = terminal.start(f"zerorpc-client --server --bind {TCP} examples.instrument:Camera", until="serving")
    terminal.say("Keywords are the method's own, and an array arrives as an array:")
    calls = f"import zerorpc; print(zerorpc.Client('{TCP}').picture(rows=2, columns=3))"
    said = terminal.run(f'python -c "{calls}"')
    expect(re.fullmatch(r"\[\[( *\d+){3}\]\n \[( *\d+){3}\]\]\n", said), "two rows of three numbers")
    terminal.say("A typed client: dataclasses and enums on both sides, and what doesn't fit is refused:")
    said = terminal.run(f"python examples/instrument.py measure {TCP}")
    for line in ("gain=<Gain.LOW: 1>", "one picture: (480, 640) uint16", "expected float, got str"):
        expect(line in said, line)
    terminal.say("In the first terminal:")
    terminal.interrupt(server)


def by_http(terminal: Terminal) -> None:
    terminal.say("The same camera for programs of other languages, by HTTP:")
    server = terminal.start(f"zerorpc-client --server --bind {HTTP} examples.instrument:Camera", until="serving")
    said = terminal.run(post("picture", '{"rows": 2, "columns": 3}'))
    expect(re.fullmatch(r"\[(\[\d+,\d+,\d+\],?){2}\]\s*", said), "two rows of three numbers")
    terminal.say("What doesn't fit is a problem as RFC 9457 has it:")
    said = terminal.run(post("picture", '{"rows": "two"}'))
    expect('"status":400' in said and "expected int, got str" in said, "the status 400, and why")
    terminal.say("In the first terminal:")
    terminal.interrupt(server)


def post(method: str, arguments: str) -> str:
    """The command line of a call by HTTP."""
    if shutil.which("curl") is None:
        call = f"import httpx; print(httpx.post('{HTTP}/call/{method}', json={arguments}).text)"
        return f"python -c {shlex.quote(call)}"
    return f"curl -s {HTTP}/call/{method} -H 'Content-Type: application/json' -d {shlex.quote(arguments)}"


def listen_twice(terminal: Terminal) -> None:
    terminal.say("One server on two addresses, TCP and a local socket:")
    server = terminal.start(f"zerorpc-client --server --bind {TCP} --bind {IPC} time", until='serving "time"')
    terminal.say("Both lead to it:")
    for endpoint in (TCP, IPC):
        said = terminal.run(f"zerorpc-client {endpoint} time")
        expect(abs(float(said.splitlines()[-1]) - time.time()) < PATIENCE, "the time, in seconds since 1970")
    terminal.say("In the first terminal:")
    terminal.interrupt(server)


def measure(terminal: Terminal) -> None:
    terminal.say("How fast is it, here and now?")
    said = terminal.run("python benchmarks/echo.py --one-line")
    expect(re.search(r"[\d,]+ calls a second", said), "calls a second")


def expect(condition: object, what: str) -> None:
    if not condition:
        raise Failure(f"that is not what was expected: {what}")


class Terminal:
    """Prints commands and what they say."""

    def __init__(self, started: list[Command]) -> None:
        self._started = started

    def say(self, text: str) -> None:
        print(f"\n# {text}", flush=True)

    def run(self, line: str, code: int = 0) -> str:
        """Run a command to its end; returns what it said. It has to exit with ``code``."""
        return self.wait(self._start(line), code)

    def start(self, line: str, until: str) -> Command:
        """Start a command that goes on; returns once it has said ``until``."""
        command = self._start(line)
        command.show(until)
        return command

    def wait(self, command: Command, code: int = 0) -> str:
        """Show the rest of what a command says; returns all of it."""
        command.show()
        if command.exit_code() != code:
            raise Failure(f"`{command.line}` exited with {command.exit_code()}, not with {code}")
        return command.said

    def interrupt(self, command: Command) -> str:
        """Type Ctrl-C to a command; it has to end well. Returns all that it said."""
        print("^C", flush=True)
        command.interrupt()
        return self.wait(command)

    def _start(self, line: str) -> Command:
        print(f"$ {line}", flush=True)
        self._started.append(Command(line))
        return self._started[-1]


class Command:
    """One process. What it says is kept in ``said`` once it was shown."""

    def __init__(self, line: str) -> None:
        self.line = line
        self.said = ""
        self._process = subprocess.Popen(
            shlex.split(line),
            cwd=ROOT,
            env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,  # Ctrl-C is for the demo, which then ends what it started
            text=True,
            errors="replace",
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout
        with self._process.stdout as output:
            for line in output:
                self._lines.put(line)
        self._lines.put(None)

    def show(self, until: str | None = None) -> None:
        """Print what it says, up to a line that contains ``until``, or up to its end."""
        deadline = time.monotonic() + PATIENCE
        while until is None or until not in self.said:
            try:
                line = self._lines.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                waited_for = "did not end" if until is None else f"did not say {until!r}"
                raise Failure(f"`{self.line}` {waited_for} in {PATIENCE:g} s") from None
            if line is None:
                if until is not None:
                    raise Failure(f"`{self.line}` ended without {until!r}")
                return
            print(line, end="", flush=True)
            self.said += line

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def exit_code(self) -> int:
        try:
            return self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failure(f"`{self.line}` did not end in {PATIENCE:g} s") from None

    def end(self) -> None:
        """Make sure that nothing of it is left. Safe to call twice."""
        if self.ended:
            return
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


if __name__ == "__main__":
    main()
