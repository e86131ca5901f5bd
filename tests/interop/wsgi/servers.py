"""gunicorn and uWSGI as processes of a test, with our application in them; and the venv that they are installed in.

`make test` makes the venv beforehand (set_up.py), so that no test's time limit pays.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.interop import venvs
from tests.interop.requirements import missing
from tests.service.running import PATIENCE, eventually, unused_port

HERE = Path(__file__).parent
SOURCE = Path(__file__).parents[3] / "src"
VENV = venvs.FOLDER / "wsgi"
PACKAGES = ["gunicorn[gevent]==27.0.1", "gevent==26.9.0", "pyuwsgi==2.0.30.post1"]  # pyuwsgi is uWSGI, built
PACKAGES += ["msgspec", "ormsgpack", "uvloop"]  # what zerorpc itself needs there

WRONG = re.compile(r"traceback|exception|error|segfault|killed by signal|DAMN|timeout", re.IGNORECASE)


def complaints_of_install() -> list[str]:
    """Make the venv, unless it is there; what to say when that fails. Not safe from two processes at once."""
    try:
        venvs.python_of(VENV, PACKAGES)
    except RuntimeError as error:
        return [f"gunicorn and uWSGI can't be installed: {str(error).splitlines()[-1]} (for tests/interop/wsgi)"]
    return []


class Program(NamedTuple):
    """How it is called for a port; and what it says of a worker that is begun, is ready, and will end."""

    command: Callable[[int], list[str]]
    workers: tuple[str, str, str]


class WebServer:
    """One of them, which answers at ``port``; ``said`` is what it has written."""

    def __init__(self, folder: Path, program: Program, environment: dict[str, str]) -> None:
        self.port = unused_port()
        self._program = program
        self._said = folder / "said"
        file, *options = program.command(self.port)
        self._misses_signals = file == "uwsgi"
        with self._said.open("w") as said:
            self._process = subprocess.Popen(
                [str(VENV / "bin" / file), *options],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=folder,
                env={**os.environ, **environment, "PYTHONPATH": f"{SOURCE}{os.pathsep}{HERE}"},
                process_group=0,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def said(self) -> str:
        return self._said.read_text(errors="replace")

    def workers(self) -> set[str]:
        """Those that take signals, once none is still on its way there; until then the empty set."""
        said = self.said()
        begun, ready, ending = (_numbers(pattern, said) for pattern in self._program.workers)
        return ready - ending if begun <= ready | ending else set()

    def complaints(self) -> list[str]:
        """The lines that tell of something wrong, of all that it has said.

        But for a crash of libuv's: at the exit of a forked child it waits for its parent's threads (uv_thread_join).
        """
        said = self.said()
        lines = [line for line in said.splitlines() if WRONG.search(line)]
        return [line for line in lines if "uwsgi_segfault" not in line or "uv_thread_join" not in said]

    def end(self) -> int:
        """Ask it to end; its exit code, once all of its workers have ended too.

        uWSGI more than once: it misses a signal that comes while it starts a worker anew. A second one would kill
        gunicorn at its end, when it has no handler any more.
        """
        for _ in range(int(PATIENCE)):
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(2.0 if self._misses_signals else PATIENCE)
                break
        code = self._process.wait(PATIENCE)
        eventually(lambda: not _group_exists(self.pid), "all workers have ended")
        return code

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(PATIENCE)


def _numbers(pattern: str, text: str) -> set[str]:
    return {number for match in re.finditer(pattern, text) for number in match.groups() if number}


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@contextlib.contextmanager
def web_server(program: Program, environment: dict[str, str]) -> Iterator[WebServer]:
    if not venvs.is_complete(VENV, PACKAGES):
        missing("gunicorn and uWSGI are missing: python -m tests.interop.set_up")
    with tempfile.TemporaryDirectory(prefix="zw-") as folder:
        server = WebServer(Path(folder), program, environment)
        try:
            yield server
        finally:
            server.kill()
            print(server.said())  # shown with a test that fails


def gunicorn(*options: str) -> Program:
    def command(port: int) -> list[str]:
        settings = ["--config", str(HERE / "gunicorn_settings.py"), "--no-control-socket", "--graceful-timeout", "20"]
        return ["gunicorn", *settings, "--bind", f"127.0.0.1:{port}", *options, "application:application"]

    ending = r"\[(\d+)\] \[INFO\] (?:Autorestarting|Worker exiting)"
    return Program(command, (r"Booting worker with pid: (\d+)", r"\[(\d+)\] \[INFO\] Ready", ending))


def uwsgi(*options: str) -> Program:
    def command(port: int) -> list[str]:
        settings = ["--master", "--die-on-term", "--need-app", "--disable-logging", "--min-worker-lifetime", "1"]
        settings += [
            "--reload-mercy",
            "5",
            "--worker-reload-mercy",
            "5",
        ]  # for who resets its handlers, as asyncio.run does
        return ["uwsgi", "--http-socket", f"127.0.0.1:{port}", *settings, *options, "--module", "application"]

    begun = r"pawned uWSGI worker \d+ \((?:new )?pid: (\d+)"
    ready = r"ready in \d+ seconds .*pid: (\d+)" if "--lazy-apps" in options else begun
    ending = r"The work of process (\d+) is done|worker \d+ \(pid: (\d+)\)\.\.\.|killed successfully \(pid: (\d+)"
    return Program(command, (begun, ready, ending))
