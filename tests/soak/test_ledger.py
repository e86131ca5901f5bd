"""Calls end as they should and in time, or the ledger tells."""

from __future__ import annotations

import asyncio

import pytest

import zerorpc
from tests.soak import ledger
from tests.soak.ledger import Ledger, total


def test_calls_that_end_as_they_should() -> None:
    book = Ledger()
    with book.entry("plain", 10.0):
        pass
    with book.entry("failing", 10.0):
        raise zerorpc.RemoteError("ValueError", "on purpose", None)
    with book.entry("unknown", 10.0):
        raise zerorpc.UnknownMethod("NameError", "m", None)
    with book.entry("late", 10.0):
        raise zerorpc.TimeoutExpired(1)
    with book.entry("cancelled", 10.0):
        raise asyncio.CancelledError
    book.end()
    found = book.as_dict()
    assert found["calls"] == {"cancelled": 1, "failing": 1, "late": 1, "plain": 1, "unknown": 1}
    assert found["wrong"] == found["hung"] == []


@pytest.mark.parametrize(
    ("kind", "error", "what"),
    [
        ("plain", zerorpc.LostRemote("gone"), "plain, after 0 s: LostRemote('gone')"),
        ("plain", AssertionError("another value"), "plain, after 0 s: AssertionError('another value')"),
        (
            "failing",
            zerorpc.RemoteError("KeyError", "why", None),
            "failing, after 0 s: RemoteError('KeyError', 'why', None)",
        ),
        ("late", None, "late, after 0 s: a result"),
    ],
)
def test_calls_that_do_not(kind: str, error: Exception | None, what: str) -> None:
    book = Ledger()
    with book.entry(kind, 10.0):
        if error is not None:
            raise error
    assert book.as_dict()["wrong"] == [what]


def test_calls_that_end_too_late_or_never() -> None:
    book = Ledger()
    with book.entry("plain", -ledger.SLACK - 1):
        pass
    never = book.entry("stream", 10.0)
    never.__enter__()
    book.end()
    book.hang("another")
    assert book.as_dict()["hung"] == ["plain: 3.0 s past its deadline", "stream: never ended", "another"]
    assert book.as_dict()["latest"] == pytest.approx(3.0, abs=0.5)


def test_the_total_of_several() -> None:
    one = {"calls": {"plain": 1, "late": 2}, "wrong": ["a"], "hung": [], "latest": 0.5}
    two = {"calls": {"plain": 3}, "wrong": [], "hung": ["b"], "latest": 0.25}
    assert total([one, two]) == {"calls": {"late": 2, "plain": 4}, "wrong": ["a"], "hung": ["b"], "latest": 0.5}
