"""The venvs of the peers: made when missing, kept under .venvs/, and known to be complete by a stamp."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.interop import old_venv

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".venvs"

OURS = "zerorpc"  # the interpreter that runs the benchmarks: the project's own venv
OLD = "zerorpc-0.6.3"  # the tests' venv of the old zerorpc
PLOTS = "plots"

PACKAGES = {
    "grpc": ["grpcio", "uvloop"],
    "pyro5": ["Pyro5", "msgpack"],
    "rpyc": ["rpyc"],
    "thriftpy2": ["thriftpy2"],
    "pycapnp": ["pycapnp", "uvloop"],
    "aiozmq": ["aiozmq", "pyzmq", "msgpack", "uvloop"],
    "fastapi": ["fastapi", "uvicorn", "httptools", "uvloop", "aiohttp"],
    PLOTS: ["matplotlib"],
}


class Unavailable(Exception):
    """A venv can't be made; the message says why, and names nothing of this machine."""


def python_of(venv: str) -> Path:
    """The interpreter of a venv, which is made first if it has to be. Raises Unavailable."""
    if venv == OURS:
        return Path(sys.executable)
    if venv == OLD:
        try:
            return Path(old_venv.old_python())
        except RuntimeError as error:
            raise Unavailable(last_words(str(error))) from None
    folder = FOLDER / f"bench-{venv}"
    if not _is_complete(folder, PACKAGES[venv]):
        _make(folder, PACKAGES[venv])
    return folder / "bin" / "python"


def exists(venv: str) -> bool:
    """Whether a venv is there, complete."""
    if venv == OLD:
        return (old_venv.VENV / "bin" / "python").exists() and old_venv.STAMP.exists()
    return venv == OURS or _is_complete(FOLDER / f"bench-{venv}", PACKAGES[venv])


def _is_complete(folder: Path, packages: list[str]) -> bool:
    stamp = folder / "installed.txt"
    return stamp.exists() and stamp.read_text() == _stamp(packages)


def _stamp(packages: list[str]) -> str:
    return f"{sys.version.split()[0]}: {' '.join(packages)}"


def _make(folder: Path, packages: list[str]) -> None:
    """All peers run on the version of Python that runs ours."""
    print(f"making {folder.relative_to(ROOT)}: {' '.join(packages)}", flush=True)
    _run(sys._base_executable, "-m", "venv", "--clear", str(folder))  # type: ignore[attr-defined]
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run(*pip, "--only-binary", ":all:", *packages)
    (folder / "installed.txt").write_text(_stamp(packages))


def _run(*command: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise Unavailable(last_words(done.stdout))


def last_words(output: str) -> str:
    """The last line of a program's output that tells of an error, without addresses and folders of this machine."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"\berror\b|Error:", line, re.IGNORECASE)]
    line = (errors or lines or ["it said nothing"])[-1]
    line = re.sub(r"\w+://\S+", "<address>", line.partition(" stack: ")[0])
    return re.sub(r"(?<![\w.<])/\S+/(?=\S)", "", line)
