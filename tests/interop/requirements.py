"""Programs of the system that some tests need. Without one they are skipped, except where CI has to have them all."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))  # not in every user's PATH


def needs(program: str, package: str) -> str:
    """The program's path. Without it the test is skipped, and under CI=true fails; both name the Debian package."""
    path = shutil.which(program, path=_PATH)
    if path is None:
        missing(f"{program} is missing: apt-get install {package}")
    return path


def missing(what: str) -> NoReturn:
    """Something of the system isn't there: skip, or under CI=true fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)
