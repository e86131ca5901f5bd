"""Retries under a fake clock: which failures are repeated, when, how often, and within which budget."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.protocol.pairs import call
from zerorpc.calls.retry import Attempts, Budget, backoff
from zerorpc.protocol.channel import ClientState
from zerorpc.protocol.terms import Terms
from zerorpc.settings import Retry

PLENTY = Budget(1.0, 1000.0)


def attempts(**settings: Any) -> Attempts:
    return Attempts(Retry(**settings), lambda: 1.0)


def following(tried: Attempts, others: bool = True, left: float = 100.0, budget: Budget = PLENTY) -> float | None:
    return tried.next(budget, 0.0, left, others)


# Which failures


@pytest.mark.parametrize(
    ("ran", "kind", "leaves", "mended"),
    [
        (False, "ServerOverloaded", False, True),
        (False, "ServerStopping", True, True),
        (False, "WorkerDied", False, True),
        (None, "WorkerDied", False, True),
        (False, "UnknownMethod", False, False),
        (False, "UnknownMethod", True, True),  # a server that leaves is no judge of what the others have
        (False, "WrongArguments", False, False),
        (None, None, False, False),
        (True, None, False, False),
        (True, "ServerOverloaded", False, False),
        ("yes", "ServerOverloaded", False, False),
        (None, 7, True, False),
    ],
)
def test_which_errors_another_attempt_may_mend(ran: Any, kind: Any, leaves: bool, mended: bool) -> None:
    tried = attempts()
    assert tried.refused(ran, kind, None, leaves) is mended
    assert tried.doubtful is (mended and ran is None)


def test_what_has_not_run_goes_to_another_server_at_once_and_as_often_as_it_takes() -> None:
    tried, none = attempts(attempts=1), Budget(0.0, 0.0)
    for number in range(2, 9):
        tried.lost(not_sent=True)
        assert following(tried, budget=none) == 0.0
        assert tried.number == number
    tried.lost(not_sent=True)
    assert following(tried, others=False, budget=none) is None
    assert not tried.doubtful


def test_what_may_have_run_stays_doubtful() -> None:
    tried = attempts()
    tried.lost(not_sent=False)
    assert tried.unsure
    assert following(tried) == 0.05
    tried.refused(False, "ServerOverloaded", 1.0, False)
    assert tried.unsure
    assert repr(tried) == "<Attempts 2 of 4, doubtful>"
    vouched = attempts(idempotent=True)
    vouched.lost(not_sent=False)
    assert not vouched.unsure
    assert vouched.doubtful


# When, and how often


def test_the_wait_doubles_up_to_the_longest_with_full_jitter() -> None:
    retry = Retry(backoff=0.1, longest=1.0)
    assert [backoff(retry, n, 1.0) for n in range(1, 7)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert backoff(retry, 10_000, 1.0) == 1.0
    chance = random.Random(7)
    waits = sorted(backoff(retry, 3, chance.random()) for _ in range(1000))
    assert waits[0] < 0.01
    assert waits[-1] > 0.39
    assert 0.18 < waits[500] < 0.22


def test_there_are_so_many_attempts() -> None:
    tried = attempts(attempts=3)
    waits = []
    for _ in range(3):
        tried.lost(not_sent=False)
        waits.append(following(tried))
    assert waits == [0.05, 0.1, None]
    assert tried.number == 3


def test_an_overloaded_server_says_how_long_to_wait_at_least() -> None:
    tried = attempts()
    tried.refused(False, "ServerOverloaded", 3.0, False)
    assert following(tried) == 3.05
    tried.lost(not_sent=False)
    assert following(tried) == 0.1


def test_an_attempt_that_would_come_after_the_deadline_is_not_waited_for() -> None:
    tried = attempts()
    tried.refused(False, "ServerOverloaded", 3.0, False)
    assert following(tried, left=3.0) is None
    assert following(tried, left=0.0) is None
    assert tried.number == 1


# The budget


def test_a_budget_is_a_share_of_the_calls_and_so_many_a_second() -> None:
    budget = Budget(0.2, 10.0)
    assert sum(budget.take(0.5) for _ in range(1000)) == 100
    for _ in range(1000):
        budget.count(1.0)
    assert sum(budget.take(1.5) for _ in range(1000)) == 200
    assert repr(budget) == "<Budget 300 retries of 1000 calls within 10 s>"
    assert sum(budget.take(10.2) for _ in range(1000)) == 100  # the first hundred is over
    assert sum(budget.take(100.0) for _ in range(1000)) == 100  # and so is everything


def test_in_a_long_outage_retries_are_a_fifth_of_the_calls_and_ten_a_second() -> None:
    budget = Budget(0.2, 10.0)
    now, taken = 0.0, 0
    for _ in range(60_000):  # 1,000 calls a second, each of which fails
        budget.count(now)
        taken += budget.take(now)
        now += 0.001
    assert 60 * (200 + 10) - 250 <= taken <= 60 * (200 + 10) + 250


def test_without_budget_a_call_fails_as_if_there_were_no_retries() -> None:
    tried = attempts()
    tried.lost(not_sent=False)
    assert following(tried, budget=Budget(0.0, 0.0)) is None


# What is kept of the last one


def test_giving_up_after_all_leaves_what_refused_the_last_attempt() -> None:
    tried = attempts()
    channel = call()
    channel.terms = Terms(attempts=tried)
    lost = ConnectionError("lost")
    channel.refuse(lost)
    tried.keep(channel)
    channel.try_again()
    assert channel.error is None
    tried.give_up(channel)
    assert (channel.error, channel.state, channel.answered) == (lost, ClientState.DONE, True)


# The settings


def test_settings_are_checked_and_never_change() -> None:
    assert Retry() == Retry(4, 0.05, 2.0, 0.2, 10.0, False)
    assert repr(Retry(attempts=2)).startswith("Retry(attempts=2, backoff=0.05, ")
    for wrong in ({"attempts": 0}, {"backoff": -1}, {"share": float("nan")}):
        with pytest.raises(ValueError, match="has to be"):
            Retry(**wrong)
    with pytest.raises(TypeError, match="attempts has to be a whole number"):
        Retry(attempts="many")  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        Retry().attempts = 5  # type: ignore[misc]
