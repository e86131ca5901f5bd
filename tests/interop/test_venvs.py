"""A venv that tests need is made when it has to be, and its stamp tells when."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop import venvs

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
