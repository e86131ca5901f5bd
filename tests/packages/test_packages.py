"""What is published works without the checkout; where only the library is asked for, only the library comes."""

from __future__ import annotations

import json
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.packages.venvs import PATIENCE, Venv, run

pytestmark = pytest.mark.timeout(2 * PATIENCE)

ROOT = Path(__file__).parents[2]
HERE = "tcp://127.0.0.1:0"
IN_THE_SDIST = ["LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "Makefile", "noxfile.py"]

SERVER = """
import zerorpc
with zerorpc.Server({"hello": lambda name: f"Hello, {name}!"}) as server:
    print(server.bind("tcp://127.0.0.1:0")[0], flush=True)
    server.run()
"""
CLIENT = """
import asyncio, sys, zerorpc
with zerorpc.Client(sys.argv[1]) as client:
    print(client.hello("blocking"))
async def call():
    async with zerorpc.AsyncClient(sys.argv[1]) as client:
        print(await client.hello("async"))
asyncio.run(call())
"""
METADATA = """
import importlib.metadata, json
about = importlib.metadata.distribution("zerorpc")
print(json.dumps({**about.metadata.json, "files": [str(path) for path in about.files]}))
"""


class Built(NamedTuple):
    """The files to publish."""

    wheel: Path
    sdist: Path


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT), folder=folder)
    (wheel,) = folder.glob("*.whl")
    (sdist,) = folder.glob("*.tar.gz")
    return Built(wheel, sdist)


@pytest.fixture(scope="session", params=Built._fields)
def library(request: pytest.FixtureRequest, built: Built, tmp_path_factory: pytest.TempPathFactory) -> Venv:
    """A venv where nothing else was asked for."""
    venv = Venv(tmp_path_factory.mktemp("library"))
    venv.install(str(getattr(built, request.param)))
    return venv


@pytest.fixture(scope="session")
def with_extra(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Venv:
    """A venv with what README's line installs."""
    venv = Venv(tmp_path_factory.mktemp("with_extra"))
    venv.install(f"{built.wheel}[cli]")
    return venv


# The library alone


def test_it_brings_what_it_needs_and_no_more(library: Venv) -> None:
    found = {each["name"] for each in json.loads(library.run("python", "-m", "pip", "list", "--format", "json"))}
    assert found - {"pip", "setuptools"} == {"zerorpc", "msgspec", "ormsgpack", "uvloop"}
    library.run("python", "-m", "pip", "check")


def test_it_is_typed_and_has_its_licence(library: Venv) -> None:
    about = json.loads(library.run("python", "-c", METADATA))
    assert about["license_expression"] == "MIT AND Apache-2.0"
    assert "zerorpc/py.typed" in about["files"]
    assert any(path.endswith(".dist-info/licenses/LICENSE") for path in about["files"])
    assert about["requires_python"] == ">=3.11"


def test_a_client_calls_a_server(library: Venv) -> None:
    server = library.start("python", "-W", "error", "-c", SERVER)
    try:
        endpoint = server.wait_for("tcp://.*", "out")[0]
        assert library.run("python", "-W", "error", "-c", CLIENT, endpoint) == "Hello, blocking!\nHello, async!\n"
        server.interrupt()
        assert server.finish().code in (0, 130)
    finally:
        server.end()


@pytest.fixture
def math(library: Venv) -> Iterator[str]:
    """Where the library's own command line serves the module math."""
    server = library.start("zerorpc", "--server", "--bind", HERE, "math")
    yield server.wait_for('binding to "(.*)"')[1]
    server.end()


def test_its_command_line_works_without_the_extra(library: Venv, math: str) -> None:
    assert library.outcome("zerorpc-client", "-j", math, "hypot", "3", "4").out == "5.0\n"
    measured = library.outcome("zerorpc", "bench", math, "--duration", "0.2", "--warmup", "0", FORCE_COLOR="1")
    assert measured.code == 0, measured
    assert measured.out.split()[0] == "calls"
    assert "\x1b" not in measured.out


def test_completion_says_what_to_install(library: Venv) -> None:
    asked = library.outcome("zerorpc", _ARGCOMPLETE="1", COMP_LINE="zerorpc --heart", COMP_POINT="15")
    assert asked.code != 0
    assert "pip install argcomplete" in asked.err


# With the extra


def test_colours_and_completion(with_extra: Venv) -> None:
    server = with_extra.start("zerorpc", "--server", "--bind", HERE, "math")
    try:
        endpoint = server.wait_for('binding to "(.*)"')[1]
        call = ("bench", endpoint, "--duration", "0.2", "--warmup", "0")
        assert "\x1b[1m" in with_extra.outcome("zerorpc", *call, FORCE_COLOR="1", TERM="xterm").out
    finally:
        server.end()
    assert "zerorpc" in with_extra.run("register-python-argcomplete", "zerorpc")
    completions = with_extra.folder / "completions"
    line = "zerorpc --heart"
    environ = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": str(completions)}
    with_extra.outcome("zerorpc", **environ, COMP_LINE=line, COMP_POINT=str(len(line)), COMP_TYPE="9")
    assert "--heartbeat" in completions.read_text()


# What is in the files


def test_the_wheel_has_the_package_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert tops == {"zerorpc", f"{built.wheel.name.removesuffix('-py3-none-any.whl')}.dist-info"}


def test_the_wheel_has_the_console_with_the_licences_of_others(built: Built) -> None:
    folder = ROOT / "src" / "zerorpc" / "doors" / "console" / "static"
    with zipfile.ZipFile(built.wheel) as wheel:
        found = set(wheel.namelist())
    files = {path.relative_to(ROOT / "src").as_posix() for path in folder.rglob("*") if path.is_file()}
    assert len(files) > 30
    assert files <= found
    for package in ("preact", "htm", "uplot"):
        assert any(name.endswith(f"/static/vendor/LICENSE.{package}") and ".dist-info/" in name for name in found)


@pytest.fixture
def unpacked(built: Built, tmp_path: Path) -> Path:
    """The folder of the sdist."""
    with tarfile.open(built.sdist) as sdist:
        sdist.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    return folder


def test_the_sdist_has_all_tests_and_what_they_need(unpacked: Path) -> None:
    assert [name for name in IN_THE_SDIST if not (unpacked / name).is_file()] == []
    assert ids_of_tests(unpacked) == ids_of_tests(ROOT)


def ids_of_tests(folder: Path) -> set[str]:
    collect = (sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    said = run(*collect, folder=folder, PYTHONPATH=str(folder / "src"))
    found = {line for line in said.splitlines() if "::" in line}
    assert found, said
    return found
