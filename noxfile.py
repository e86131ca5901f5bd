"""`nox` runs the tests on every CPython that we support and that is found here, but not on $TESTED.

`make test` is one version, with linters and types; `make test-pythons` runs the others by nox, and on one of them
measures which lines the tests reach. One that is found is tested or fails, and never skipped.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nox

VERSIONS = ["3.11", "3.12", "3.13"]  # pyproject.toml names the same
WHEN_FOUND = ["3.14", "3.14t"]  # tested where they are, but no machine of our CI has had them yet: nothing is promised

# `make test` alone runs these, which can't depend on the version: what measures others, programs of other people whose
# interpreters are their own, and the packages. Beginnings of tests' names.
ONCE = [
    "tests/benchmarks/",
    "tests/packages/",
    "tests/doors/console/test_calling.py",
    "tests/doors/console/test_looks.py",
    "tests/doors/console/test_same_calls.py",
    "tests/interop/test_gevent.py",
    "tests/interop/test_mcp_suite.py",
    "tests/interop/test_wsgi.py",
    *[
        f"tests/conformance/test_conformance.py::test_{role}[{peer}"
        for role in ("client", "server")
        for peer in ("python-0.6.3", "node-0.9.8")
    ],
]

# Where pyenv and uv keep interpreters, which need not be in PATH.
KEPT = [
    (Path(os.environ.get("PYENV_ROOT", "~/.pyenv")) / "versions").expanduser(),
    Path("~/.local/share/uv/python").expanduser(),
]


def find(version: str) -> Path | None:
    """An interpreter of a version such as 3.12 or 3.14t. PATH's comes first, then the newest of pyenv's or uv's."""
    paths = (folder / f"python{version}" for folder in _folders())
    return next((path for path in paths if path.is_file() and _is_good(path, version)), None)


def _folders() -> Iterator[Path]:
    yield from map(Path, os.get_exec_path())
    for kept in KEPT:
        yield from sorted(kept.glob("*/bin"), key=_numbers, reverse=True)


def _numbers(folder: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", folder.parent.name)]


def _is_good(path: Path, version: str) -> bool:
    """Tried, not guessed: version managers leave programs that only complain, and Debian packs venv apart."""
    tell = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2] + sys.abiflags)"
    try:
        told = subprocess.run([path, "-c", tell], capture_output=True, text=True, check=False)
    except OSError:  # no program
        return False
    return told.returncode == 0 and told.stdout.strip() == version


EXTRAS = ".[cli,curve,http,numpy,otel]"  # the library with all that it may need
COVERED_WHOLLY = "*/zerorpc/zmtp/*,*/zerorpc/protocol/*,*/zerorpc/calls/*"

FOUND = {version: path for version in VERSIONS + WHEN_FOUND if (path := find(version))}
os.environ["PATH"] = os.pathsep.join([*(str(path.parent) for path in FOUND.values()), os.environ["PATH"]])

TESTED = os.environ.get("TESTED", "")
OTHERS = [version for version in FOUND if version != TESTED]
MEASURED = ([version for version in OTHERS if version in VERSIONS] or [TESTED or VERSIONS[0]])[-1]

nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = True
nox.options.reuse_venv = "yes"
nox.options.sessions = [f"tests-{version}" for version in OTHERS if version != MEASURED] + [f"coverage-{MEASURED}"]


@nox.session(python=VERSIONS + WHEN_FOUND)
def tests(session: nox.Session) -> None:
    """All tests but those of ONCE."""
    _set_up(session)
    session.run("python", "-m", "pytest", *_arguments(session))


@nox.session(python=[MEASURED])
def coverage(session: nox.Session) -> None:
    """The same, and which lines they reach. It takes half as long again, so that one version has to do.

    What the library needs comes in the oldest version that pyproject.toml allows and that has a wheel for this Python,
    unless something in the extra ``dev`` needs a newer one. Everywhere else it is the newest.
    """
    session.install("--only-binary", ":all:", "uv")
    oldest = ["--resolution", "lowest-direct", "--only-binary", ":all:"]
    session.run("uv", "pip", "install", "--python", session.virtualenv.location, *oldest, "--editable", EXTRAS)
    _set_up(session)
    session.run("coverage", "erase")
    newest_only = "--deselect=tests/test_costs.py"  # with uvloop 0.21 a call takes 3% more instructions
    session.run("coverage", "run", "-m", "pytest", newest_only, *_arguments(session))
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")
    session.run("coverage", "report", f"--include={COVERED_WHOLLY}", "--fail-under=100")


def _set_up(session: nox.Session) -> None:
    session.install("--only-binary", ":all:", "--editable", ".[dev]")
    session.run("python", "-m", "tests.interop.set_up")


def _arguments(session: nox.Session) -> list[str]:
    at_once = ["--numprocesses", "4", "--dist", "loadfile", "--no-loadscope-reorder"]
    once = [f"--deselect={beginning}" for beginning in ONCE]
    return [*at_once, *once, *session.posargs]
