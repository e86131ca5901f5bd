"""Keys and their answers in a file: as in memory, and besides across processes and restarts."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from zerorpc.service import answers_file
from zerorpc.service.answers_file import LEASE, AnswersInFile
from zerorpc.service.idempotency import Claim, Claimed, digest_of
from zerorpc.settings import Answers

A, B, C = ("m", "a"), ("m", "b"), ("m", b"a")
ONE, OTHER = digest_of([1], None), digest_of([2], None)

Open = Callable[..., AnswersInFile]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens the file once more, as another process would."""
    with ExitStack() as stack:

        def more(**settings: Any) -> AnswersInFile:
            return stack.enter_context(closing(AnswersInFile(Answers(tmp_path / "answers.sqlite", **settings))))

        yield more


def test_a_key_runs_once_in_all_processes(opened: Open) -> None:
    here, there = opened(), opened()
    assert here.claim(A, ONE, 100.0) == Claimed(Claim.RUN)
    assert there.claim(A, ONE, 100.0) == Claimed(Claim.BUSY)
    assert there.claim(A, OTHER, 100.0) == Claimed(Claim.OTHER)
    there.answered(A, b"not its own", 101.0)
    there.free(A)
    here.answered(A, b"one", 101.0)
    assert there.claim(A, ONE, 102.0) == Claimed(Claim.ANSWERED, b"one")
    assert there.claim(A, OTHER, 102.0) == Claimed(Claim.OTHER)
    assert there.claim(C, OTHER, 102.0) == Claimed(Claim.RUN)  # octets, and no text
    there.free(C)
    assert here.claim(C, ONE, 103.0) == Claimed(Claim.RUN)
    assert here.id == there.id


def test_while_another_process_keeps_it_locked_all_keys_are_busy(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers_file, "_BUSY_MAX", 0.01)
    here = opened()
    with closing(sqlite3.connect(tmp_path / "answers.sqlite", isolation_level=None)) as stopped:
        stopped.execute("BEGIN IMMEDIATE")
        assert here.claim(A, ONE, 100.0) == Claimed(Claim.BUSY)
        stopped.execute("ROLLBACK")
    assert here.claim(A, ONE, 100.0) == Claimed(Claim.RUN)
    here._database.execute("DROP TABLE answers")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        here.claim(A, ONE, 100.0)


def test_it_survives_a_restart(opened: Open) -> None:
    first = opened()
    first.claim(A, ONE, 100.0)
    first.answered(A, b"one", 101.0)
    first.close()
    assert opened().claim(A, ONE, 102.0) == Claimed(Claim.ANSWERED, b"one")


def test_what_a_dead_process_ran_is_not_known_and_never_runs_again(opened: Open) -> None:
    dead, lives = opened(), opened()
    dead.claim(A, ONE, 100.0)
    dead.renew(105.0)
    assert lives.claim(A, ONE, 105.0 + LEASE) == Claimed(Claim.BUSY)
    assert lives.claim(A, ONE, 105.1 + LEASE) == Claimed(Claim.DIED)
    assert lives.claim(A, ONE, 200.0 + LEASE) == Claimed(Claim.DIED)
    dead.answered(A, b"it slept", 300.0)  # then it is known after all
    assert lives.claim(A, ONE, 300.0) == Claimed(Claim.ANSWERED, b"it slept")


def test_answers_are_forgotten_after_their_time(opened: Open) -> None:
    answers = opened(seconds=10)
    answers.claim(A, ONE, 100.0)
    answers.answered(A, b"one", 101.0)
    assert answers.claim(A, OTHER, 111.0) == Claimed(Claim.RUN)


def test_too_many_and_too_much(opened: Open) -> None:
    answers = opened(keys=100, octets=1000)
    keys = [("m", f"{n}") for n in range(320)]
    for now, key in enumerate(keys):
        answers.claim(key, ONE, now)
        answers.answered(key, b"x" * 15, now)  # 64 of them are looked at together: 320 is the fifth time
    assert answers.claim(keys[219], ONE, 320.0).claim is Claim.RUN
    assert answers.claim(keys[220], ONE, 320.0).claim is Claim.GONE
    assert answers.claim(keys[320 - 67], ONE, 320.0).claim is Claim.GONE
    assert answers.claim(keys[320 - 66], ONE, 320.0).claim is Claim.ANSWERED
    large = ("m", "large")
    answers.claim(large, ONE, 321.0)
    answers.answered(large, b"x" * 1001, 321.0)
    assert answers.claim(large, ONE, 322.0).claim is Claim.GONE
    assert repr(answers).startswith("<AnswersInFile ")


def test_settings_are_checked() -> None:
    for wrong in ({"seconds": 0}, {"keys": 0}, {"octets": -1}):
        with pytest.raises(ValueError, match="has to be"):
            Answers(**wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="path has to be a path, not a int"):
        Answers(7)  # type: ignore[arg-type]
    assert Answers(Path("x")) == ("x", 3600.0, 100_000, 64 * 1024 * 1024)
