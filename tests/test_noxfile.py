"""Which interpreters `nox` and CI run the tests on: all that we promise, wherever they are kept."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.conformance.implementations import IMPLEMENTATIONS

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def loaded() -> Iterator[ModuleType]:
    """The noxfile as a module: once, since nox warns of a session that comes again."""
    spec = importlib.util.spec_from_file_location("noxfile", ROOT / "noxfile.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.environ["PATH"])  # it puts the folders of interpreters in front
        spec.loader.exec_module(module)
        yield module


@pytest.fixture
def noxfile(loaded: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """It, where no folder has an interpreter yet."""
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(loaded, "KEPT", [tmp_path / "pyenv"])
    return loaded


def pretend(path: Path, command: str) -> Path:
    """A program in place of an interpreter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{command}\n")
    path.chmod(0o755)
    return path


def test_what_is_tested_is_what_is_promised(noxfile: ModuleType) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    promised = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert promised == noxfile.VERSIONS
    assert project["requires-python"] == f">={promised[0]}"
    assert project["optional-dependencies"]["dev"][0] == noxfile.EXTRAS.replace(".", "zerorpc")


def test_what_runs_once_is_still_called_so(noxfile: ModuleType) -> None:
    files, peers = zip(*[re.split(r"::|$", beginning, maxsplit=1) for beginning in noxfile.ONCE], strict=True)
    assert [file for file in files if not (ROOT / file).exists()] == []
    assert {peer.partition("[")[2] for peer in peers if peer} < set(IMPLEMENTATIONS)


def test_one_in_path_comes_first(noxfile: ModuleType, tmp_path: Path) -> None:
    in_path = pretend(tmp_path / "path" / "python3.12", "echo 3.12")
    pretend(tmp_path / "pyenv" / "3.12.10" / "bin" / "python3.12", "echo 3.12")
    assert noxfile.find("3.12") == in_path


def test_pyenvs_newest_is_found_behind_a_program_that_only_complains(noxfile: ModuleType, tmp_path: Path) -> None:
    pretend(tmp_path / "path" / "python3.12", "echo 'pyenv: python3.12: command not found' >&2; exit 127")
    older, newer = (tmp_path / "pyenv" / f"3.12.{patch}" / "bin" / "python3.12" for patch in (9, 10))
    pretend(older, "echo 3.12")
    pretend(newer, "echo 3.12")
    assert noxfile.find("3.12") == newer
    assert noxfile.find("3.13") is None


def test_a_free_threaded_one_is_another_version(noxfile: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "pyenv" / "3.14.0t" / "bin"
    free_threaded = pretend(folder / "python3.14t", "echo 3.14t")
    pretend(folder / "python3.14", "echo 3.14t")
    assert noxfile.find("3.14t") == free_threaded
    assert noxfile.find("3.14") is None


def test_what_is_no_program_is_none(noxfile: ModuleType, tmp_path: Path) -> None:
    pretend(tmp_path / "path" / "python3.12", "echo 3.12").chmod(0o644)
    assert noxfile.find("3.12") is None


def test_an_interpreter_without_venv_is_none(noxfile: ModuleType, tmp_path: Path) -> None:
    pretend(tmp_path / "path" / "python3.12", "echo \"No module named 'ensurepip'\" >&2; exit 1")
    assert noxfile.find("3.12") is None


def nox(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run nox; its venvs in that folder, since these tests may themselves be run by nox."""
    return subprocess.run(
        [sys.executable, "-m", "nox", "--non-interactive", "--envdir", str(folder / "nox"), *arguments],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=25,
        check=False,
    )


# Those are not the version that runs this test, which nox finds anywhere, and could really use.
OURS = f"{sys.version_info.major}.{sys.version_info.minor}"
TESTED, OTHER = [version for version in ("3.11", "3.12", "3.13") if version != OURS][:2]


@pytest.fixture
def only_these(tmp_path: Path) -> dict[str, str]:
    """An environment in which two versions are found, which can do nothing but tell what they are."""
    for version in (TESTED, OTHER):
        pretend(tmp_path / f"python{version}", f'[ "$1" = -c ] && echo {version}')
    return {"TESTED": TESTED, "PATH": str(tmp_path), "HOME": str(tmp_path), "PYENV_ROOT": str(tmp_path)}


def test_all_that_are_found_are_run_but_the_one_that_was_tested(only_these: dict[str, str], tmp_path: Path) -> None:
    """The newest of them measures which lines the tests reach."""
    assert sessions(tmp_path, **only_these) == [f"coverage-{OTHER}"]
    pretend(tmp_path / f"python{OURS}", f'[ "$1" = -c ] && echo {OURS}')
    older, newer = sorted([OURS, OTHER])
    assert sessions(tmp_path, **only_these) == [f"coverage-{newer}", f"tests-{older}"]


def test_where_there_is_no_other_the_same_measures(only_these: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / f"python{OTHER}").unlink()
    assert sessions(tmp_path, **only_these) == [f"coverage-{TESTED}"]


def test_one_that_is_found_and_cannot_be_used_fails(only_these: dict[str, str], tmp_path: Path) -> None:
    """It is not skipped."""
    ended = nox(tmp_path, **only_these)
    assert ended.returncode != 0
    assert f"coverage-{OTHER}" in ended.stderr


def sessions(folder: Path, **environ: str) -> list[str]:
    """Those that nox would run."""
    return sorted(re.findall(r"^\* ([\w.-]+)", nox(folder, "--list", **environ).stdout, re.MULTILINE))
