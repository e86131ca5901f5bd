"""What happens to a test whose program is missing: skipped for a person, failed for CI, with the package's name."""

from __future__ import annotations

import os

import pytest

from tests.interop.requirements import needs, needs_root


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_without_a_program(ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", ci)
    program, package = "no-such-program", "some-package"
    with pytest.raises(outcome, match="no-such-program is missing: apt-get install some-package"):
        needs(program, package)


def test_with_it() -> None:
    assert needs("sh", "dash").endswith("/sh")
    assert needs("no-such-program", "some-package", instead="sh").endswith("/sh")


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_without_roots_rights(ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(outcome, match="only root may mount a file system"):
        needs_root("mount a file system")


def test_with_roots_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    needs_root("mount a file system")
