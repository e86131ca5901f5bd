"""Keys and their answers, in memory: once, for the same arguments, as long and as much as there is room for."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

from tests.client.value_types import Point
from zerorpc.service.idempotency import AnswersInMemory, Claim, Claimed, digest_of
from zerorpc.settings import Answers

A, B, C = ("m", "a"), ("m", "b"), ("m", b"c")
ONE, OTHER = digest_of([1], None), digest_of([2], None)


def answered(answers: AnswersInMemory, *keys: tuple[str, str | bytes], now: float = 0.0, answer: bytes = b"x") -> None:
    for key in keys:
        assert answers.claim(key, ONE, now).claim is Claim.RUN
        answers.answered(key, answer, now)


def test_a_key_runs_once() -> None:
    answers = AnswersInMemory(Answers())
    assert answers.claim(A, ONE, 0.0) == Claimed(Claim.RUN)
    assert answers.claim(A, ONE, 0.0) == Claimed(Claim.BUSY)
    assert answers.claim(A, OTHER, 0.0) == Claimed(Claim.OTHER)
    answers.answered(A, b"one", 1.0)
    assert answers.claim(A, ONE, 2.0) == Claimed(Claim.ANSWERED, b"one")
    assert answers.claim(A, OTHER, 2.0) == Claimed(Claim.OTHER)
    assert answers.claim(("n", "a"), OTHER, 2.0) == Claimed(Claim.RUN)
    assert answers.claim(("m", b"a"), OTHER, 2.0) == Claimed(Claim.RUN)
    assert repr(answers) == "<AnswersInMemory running=2 answered=1 octets=3>"


def test_what_did_not_run_is_free_again() -> None:
    answers = AnswersInMemory(Answers())
    answers.claim(A, ONE, 0.0)
    answers.free(A)
    assert answers.claim(A, OTHER, 0.0) == Claimed(Claim.RUN)


def test_answers_are_forgotten_after_their_time_and_what_runs_is_not() -> None:
    answers = AnswersInMemory(Answers(seconds=10.0))
    answers.claim(A, ONE, 0.0)
    answered(answers, B, now=5.0)
    assert answers.claim(B, ONE, 14.9).claim is Claim.ANSWERED
    assert answers.claim(B, ONE, 15.0).claim is Claim.RUN
    assert answers.claim(A, ONE, 1e9).claim is Claim.BUSY


def test_of_too_many_the_oldest_is_forgotten() -> None:
    answers = AnswersInMemory(Answers(keys=2))
    answered(answers, A, B, C)
    assert answers.claim(A, OTHER, 0.0).claim is Claim.RUN
    assert answers.claim(B, ONE, 0.0).claim is Claim.ANSWERED


def test_of_too_much_the_oldest_answers_go_and_their_keys_stay() -> None:
    answers = AnswersInMemory(Answers(octets=10))
    answered(answers, A, B, answer=b"12345")
    assert answers.claim(A, ONE, 0.0).claim is Claim.ANSWERED
    answered(answers, C, answer=b"123456")
    assert answers.claim(A, ONE, 0.0) == Claimed(Claim.GONE)
    assert answers.claim(B, ONE, 0.0) == Claimed(Claim.GONE)
    assert answers.claim(C, ONE, 0.0) == Claimed(Claim.ANSWERED, b"123456")
    answered(answers, ("m", "d"), answer=b"12345678901")
    assert answers.claim(("m", "d"), ONE, 0.0) == Claimed(Claim.GONE)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (([1], None), ([1], {}), True),
        (([1], {"a": 1, "b": 2}), ([1], {"b": 2, "a": 1}), True),
        (([{"a": 1, "b": 2}], None), ([{"b": 2, "a": 1}], None), True),
        (([1], None), ([1.0], None), False),
        (([b"x"], None), (["x"], None), False),
        (([1, 2], None), ([1], {"a": 2}), False),
    ],
)
def test_which_arguments_are_the_same(one: tuple, other: tuple, same: bool) -> None:
    assert (digest_of(*one) == digest_of(*other)) is same


def test_arguments_of_types_that_messagepack_lacks() -> None:
    """Each tells itself from others, in every process alike: an array's middle isn't shown by its repr, a set has no
    order, and an object's repr is its place in memory.
    """
    array, other = np.zeros(10_000), np.zeros(10_000)
    other[5000] = 1
    assert digest_of([array], None) == digest_of([array.copy()], None) != digest_of([other], None)
    assert (
        digest_of([{"a", "b", (1, "c")}], None) == digest_of([{(1, "c"), "b", "a"}], None) != digest_of([{"a"}], None)
    )
    assert digest_of([Point(1, {2})], None) == digest_of([Point(1, {2})], None) != digest_of([Point(1, {3})], None)
    day = datetime.date(2026, 11, 28)
    assert digest_of([{day: 1}], None) == digest_of([{day: 1}], None) != digest_of([{str(day): 1}], None)
    assert digest_of([day], None) != digest_of([str(day)], None)
    assert digest_of([len], None) == digest_of([len], None)
