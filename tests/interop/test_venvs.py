"""A venv that tests need is made when it has to be, and its stamp tells when."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.interop import old_venv, venvs

BASE = """#!/bin/sh
# Stands for `python -m venv --clear FOLDER`, and what it makes for `pip install`.
if [ "$2" = venv ]; then mkdir -p "$4/bin" && cp "$0" "$4/bin/python"; fi
echo "$@" >>"$(dirname "$0")/said"
"""


@pytest.fixture
def base(tmp_path: Path) -> str:
    program = tmp_path / "base"
    program.write_text(BASE)
    program.chmod(0o755)
    return str(program)


def test_it_is_made_once_and_anew_for_other_packages(tmp_path: Path, base: str) -> None:
    venv = tmp_path / "venv"
    for packages in (["one", "two==2"], ["one", "two==2"], ["three"]):
        assert venvs.python_of(venv, packages, lambda: base) == venv / "bin" / "python"
        assert venvs.is_complete(venv, packages)
    installed = [line.partition(":all: ")[2] for line in (venv / "bin" / "said").read_text().splitlines()]
    assert installed == ["one two==2", "three"]


def test_what_fails_is_an_error_with_its_output(tmp_path: Path, base: str) -> None:
    Path(base).write_text("#!/bin/sh\necho no room for $4\nexit 1\n")
    with pytest.raises(RuntimeError, match=r"could not make .*venv: (?s:.*)no room for .*venv"):
        venvs.python_of(tmp_path / "venv", ["one"], lambda: base)
    assert not venvs.is_complete(tmp_path / "venv", ["one"])


# Which Python zerorpc 0.6.3 gets


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of all programs that there are, and in which pyenv would keep others."""
    monkeypatch.setattr(os, "get_exec_path", lambda: [str(tmp_path)])
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(old_venv, "old_python", lambda: "the usual one")
    monkeypatch.setattr(venvs, "python_of", lambda venv, packages, base: f"{venv.name} of {base()}")
    return tmp_path


def test_without_an_old_one_it_is_the_usual_one(found: Path) -> None:
    assert old_venv.telling_python() == "the usual one"


@pytest.mark.parametrize("folder", [".", "pyenv/versions/3.9.18/bin", ".local/share/uv/python/cpython-3.9/bin"])
def test_an_old_one_is_found(found: Path, base: str, folder: str) -> None:
    program = found / folder / "python3.9"
    program.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(base, program)
    assert old_venv.telling_python() == f"zerorpc-0.6.3-telling of {program}"


def test_one_that_only_complains_is_passed_over(found: Path) -> None:
    complains = found / "python3.10"
    complains.write_text("#!/bin/sh\nexit 127\n")
    complains.chmod(0o755)
    assert old_venv.telling_python() == "the usual one"
