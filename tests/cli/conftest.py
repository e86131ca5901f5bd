"""For all tests of the command line."""

from __future__ import annotations

import pytest

from zerorpc.cli import waiting


@pytest.fixture(autouse=True)
def say_nothing_while_a_call_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine one may wait for longer than a second, and what is on stderr is compared."""
    monkeypatch.setattr(waiting, "SILENT", 60.0)
