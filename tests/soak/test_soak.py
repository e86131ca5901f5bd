"""The load programs, each with a few connections for a moment: what they do is done, and nothing stays behind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

import zerorpc
from tests.soak.overload import Tally
from tests.soak.programs import Failure, Program

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with Program("service", "2", "null") as server:
        yield server.read()["endpoint"]
    assert server.end() == 0


@pytest.mark.parametrize("load", ["async_load", "blocking_load"])
def test_a_load_lets_go_of_everything(load: str) -> None:
    with Program("service", "null", "null") as server:
        endpoint = server.read()["endpoint"]
        with Program(load, endpoint) as program:
            program.tell({"connections": 5, "seconds": 0.5, "seed": 1})
            assert program.read() == {"held": True}
            program.tell({"all": "held"})
            answer = program.read(90)
        assert answer["ledger"]["calls"]
        assert answer["ledger"]["wrong"] == answer["ledger"]["hung"] == answer["state"]["complaints"] == []
        assert (answer["state"]["channels"], answer["state"]["links"]) == (0, 0)
        assert answer["state"]["threads"] == ["MainThread"]


@pytest.mark.parametrize("load", ["async_load", "blocking_load"])
def test_a_load_holds_on_until_all_others_stand(load: str, endpoint: str) -> None:
    with Program(load, endpoint) as program:
        program.tell({"connections": 5, "seconds": 0.0, "seed": 1})
        assert program.read() == {"held": True}
        assert program.end() == 1  # and 0, had it let go


@pytest.mark.parametrize("old", [False, True])
def test_callers_by_the_clock_and_at_once(endpoint: str, old: bool) -> None:
    with Program("overload", endpoint) as callers:
        callers.tell({"method": "wait", "seconds": 3, "at_once": 2, "old": old})  # on a busy machine, too
        at_once = callers.read()
        callers.tell({"method": "wait", "seconds": 0.5, "rate": 40, "old": old})
        by_the_clock = callers.read()
    assert at_once["goodput"] > 0
    assert at_once["good_ms"]["p50"] >= 20
    assert by_the_clock["offered"] == 40
    assert at_once["other"] == by_the_clock["other"] == []


async def _fail(error: Exception) -> None:
    raise error


def test_outcomes_are_told_apart() -> None:
    async def main() -> Tally:
        tally = Tally(float("inf"))
        await tally.count(asyncio.sleep(0), 0.0)
        await tally.count(_fail(zerorpc.RemoteError("ServerOverloaded", "", None)), 0.0)
        await tally.count(_fail(zerorpc.TimeoutExpired(1)), 0.0)
        await tally.count(_fail(zerorpc.RemoteError("ValueError", "", None)), 0.0)
        await tally.count(_fail(zerorpc.LostRemote("gone")), 0.0)
        return tally

    found = asyncio.run(main()).result(1.0)
    assert [found[name] for name in ("offered", "goodput", "refused", "late")] == [5, 1, 1, 1]
    assert found["other"] == ["RemoteError('ValueError', '', None)", "LostRemote('gone')"]


def test_a_program_that_ends_is_a_failure() -> None:
    with Program("victim") as program, pytest.raises(Failure, match="victim ended with exit code 1"):
        program.read()
