"""Event loops: uvloop's where there is one, asyncio's otherwise; everything works on both."""

from __future__ import annotations

import asyncio
import sys

import pytest

from tests.service.running import joined
from tests.service.services import Cooler
from zerorpc.runtime.loops import new_event_loop, running_loop


def test_uvloops_where_it_is_installed() -> None:
    pytest.importorskip("uvloop", reason="uvloop is not made for this platform")
    loop = new_event_loop()
    assert type(loop).__module__.startswith("uvloop")
    loop.close()


def test_asyncios_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)  # importing it fails
    loop = new_event_loop()
    assert type(loop).__module__.startswith("asyncio")
    loop.close()
    with joined(Cooler()) as client:  # the server's run() makes its own
        assert client.add_man("without uvloop") == "without uvloop, man!"


def test_the_running_loop() -> None:
    async def both() -> bool:
        return running_loop() is asyncio.get_running_loop()

    assert running_loop() is None
    assert asyncio.run(both())
    assert running_loop() is None
