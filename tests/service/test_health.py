"""A program's own check whether its server may be called."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.service.running import PATIENCE, run
from zerorpc.service import health
from zerorpc.service.health import Health


def asked(check: Callable[[], Any] | None) -> str:
    return str(run(Health(check).problem()))


class Check:
    async def __call__(self) -> bool:
        return False


async def yes() -> bool:
    await asyncio.sleep(0)
    return True


async def no() -> bool:
    return False


def yes_later() -> Any:
    return yes()


def no_later() -> Any:
    return no()


async def breaks() -> None:
    raise ConnectionError("db.internal:5432")


def plain_breaks() -> None:
    raise OSError("secret")


def stops() -> None:
    raise StopIteration


def exits() -> None:
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("check", "problem"),
    [
        (None, ""),
        (yes, ""),
        (lambda: True, ""),
        (lambda: None, ""),  # a check that raises if anything is wrong need not return anything
        (yes_later, ""),
        (no, "its check says no"),
        (lambda: False, "its check says no"),
        (Check(), "its check says no"),
        (no_later, "its check says no"),
        (breaks, "its check raised ConnectionError"),
        (plain_breaks, "its check raised OSError"),
        (stops, "its check raised RuntimeError"),
        (exits, "its check raised SystemExit"),
    ],
)
def test_what_a_check_may_say(check: Callable[[], Any] | None, problem: str) -> None:
    assert asked(check) == problem


def test_a_plain_check_does_not_hold_up_the_loop_and_runs_once_for_all_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    free, runs = threading.Event(), []

    def check() -> bool:
        runs.append(threading.current_thread())
        return free.wait(PATIENCE)

    async def act() -> None:
        watched = Health(check)
        both = [asyncio.ensure_future(watched.problem()) for _ in range(2)]
        await asyncio.sleep(0)
        free.set()
        assert await asyncio.gather(*both) == ["", ""]
        assert len(runs) == 1
        assert runs[0] is not threading.current_thread()
        assert await watched.problem() == ""
        assert len(runs) == 2

    monkeypatch.setattr(health, "_LONGEST", PATIENCE)
    run(act())


def test_a_check_that_hangs(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    free, begun, cancelled = threading.Event(), [], []

    def hangs() -> None:
        begun.append(1)
        free.wait(PATIENCE)

    async def ever() -> None:
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            cancelled.append(1)

    async def act() -> None:
        watched = Health(hangs)
        for _ in range(3):
            assert await watched.problem() == "its check has not answered in 0.05 s"
        assert len(begun) == 1, "the next one begins when this one has ended"
        free.set()
        with pytest.MonkeyPatch.context() as longer:
            longer.setattr(health, "_LONGEST", PATIENCE)
            assert await watched.problem() == ""
        other = Health(ever)
        assert await other.problem() == "its check has not answered in 0.05 s"
        assert await other.problem() == "its check has not answered in 0.05 s"
        assert len(cancelled) >= 1
        other.close()

    monkeypatch.setattr(health, "_LONGEST", 0.05)
    run(act())
    told = [record.getMessage() for record in caplog.records]
    assert told[:2] == [
        "this server is not ready: its check has not answered in 0.05 s",
        "this server is ready again",
    ]


def test_who_asks_is_told_no_secrets_and_the_log_everything_once(caplog: pytest.LogCaptureFixture) -> None:
    async def act() -> None:
        watched = Health(breaks)
        for _ in range(3):
            assert "5432" not in await watched.problem()
        assert repr(watched) == "<Health its check raised ConnectionError>"

    run(act())
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "db.internal:5432" in caplog.text
