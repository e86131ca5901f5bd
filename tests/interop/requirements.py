"""What some tests need of the system. Without it they are skipped, except where CI has to have all of it."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))  # not in every user's PATH


def needs(program: str, package: str, instead: str = "") -> str:
    """The program's path, or that of the one that will do ``instead``.

    Without them the test is skipped, and under CI=true fails; both name the Debian package. set_up.py reads the calls.
    """
    path = found(program) or found(instead)
    if path is None:
        missing(f"{program} is missing: apt-get install {package}")
    return path


def needs_root(what_for: str) -> None:
    """Without root's rights the test is skipped, and under CI=true fails; both say what they are for."""
    if os.geteuid() != 0:
        missing(f"only root may {what_for}")


def found(program: str) -> str | None:
    """The program's path, if it is there. No program has an empty name."""
    return shutil.which(program, path=_PATH)


def missing(complaint: str) -> NoReturn:
    """Skip the test, or fail it under CI=true."""
    if os.environ.get("CI") == "true":
        pytest.fail(complaint)
    pytest.skip(complaint)
