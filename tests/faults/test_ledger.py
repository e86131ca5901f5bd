"""The ledger: entries of several writers at once; and the checker catches each kind of contradiction."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.ledger import DEFINITE, Ledger, Outcome, Outcomes, Tally, Violation, check, read_ledger
from zerorpc import errors


def outcomes(*ends: Outcome, asked: tuple[int, ...] = (1, 2)) -> Outcomes:
    seen = Outcomes()
    seen.asked += asked
    seen.ends += ends
    return seen


def ended(call_id: int, at: float = 0.0) -> Outcome:
    """With its result."""
    return Outcome(call_id, answer=call_id, at=at)


def failed(call_id: int, error: str = "LostRemote", remote: str = "") -> Outcome:
    return Outcome(call_id, error, remote)


# The handler's side


def test_enters_ids_in_order(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    assert ledger.enter(7) == 7
    ledger.enter(3)
    ledger.close()
    assert read_ledger(tmp_path / "ledger") == [7, 3]


def test_an_entry_is_there_although_nobody_closes(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    ledger.enter(7)
    assert read_ledger(tmp_path / "ledger") == [7]
    ledger.close()


def test_nothing_ran(tmp_path: Path) -> None:
    Ledger(tmp_path / "ledger").close()
    assert read_ledger(tmp_path / "ledger") == []


def test_an_entry_that_is_torn_shows(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_bytes(b"1\n2")
    with pytest.raises(AssertionError, match="middle of an entry"):
        read_ledger(tmp_path / "ledger")


def test_threads_share_one(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    writers = [threading.Thread(target=lambda n=n: [ledger.enter(n * 1000 + i) for i in range(500)]) for n in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    ledger.close()
    assert sorted(read_ledger(tmp_path / "ledger")) == sorted(n * 1000 + i for n in range(8) for i in range(500))


def enter_many(path: Path, ids: range) -> None:
    ledger = Ledger(path)
    for call_id in ids:
        ledger.enter(call_id)
    ledger.close()


def test_processes_share_one(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    context = multiprocessing.get_context("spawn")
    parts = [range(first, first + 1000) for first in range(0, 3000, 1000)]
    writers = [context.Process(target=enter_many, args=(path, part)) for part in parts]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        writer.close()
    assert sorted(read_ledger(path)) == list(range(3000))


def test_programs_that_a_handler_starts_do_not_inherit_it(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    assert not os.get_inheritable(ledger._fileno)
    ledger.close()


# The caller's side


def test_notes_how_blocking_calls_end() -> None:
    seen = Outcomes()
    error = errors.WrongArguments("KeyError", "salt", None, ran=False)  # whatever its kind

    def method(call_id: int) -> int:
        if call_id == 2:
            raise error
        return call_id

    seen.call(1, method)
    seen.call(2, method)
    assert seen.asked == [1, 2]
    assert seen.ends[0][:5] == (1, "", "", "", 1)
    assert seen.ends[1][:5] == (2, "RemoteError", "KeyError", "salt", None)
    assert (seen.ends[0].ran, seen.ends[1].ran) == (None, False)
    assert seen.ends[0].at <= seen.ends[1].at


def test_notes_how_awaited_calls_end() -> None:
    seen = Outcomes()

    async def method(call_id: int) -> int:
        if call_id == 2:
            raise errors.LostRemote("gone")
        return call_id

    async def main() -> None:
        await asyncio.gather(*(seen.acall(call_id, method) for call_id in (1, 2)))

    asyncio.run(main())
    assert seen.asked == [1, 2]
    assert {end[:4] for end in seen.ends} == {(1, "", "", ""), (2, "LostRemote", "", "gone")}


def test_a_cancelled_call_is_noted_and_stays_cancelled() -> None:
    seen = Outcomes()

    async def main() -> None:
        task = asyncio.create_task(seen.acall(1, lambda _: asyncio.Event().wait()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert [end.error for end in seen.ends] == ["CancelledError"]


def test_outcomes_travel_as_a_line() -> None:
    seen = outcomes(ended(1, at=0.5), failed(2))
    line = seen.dump()
    assert "\n" not in line
    again = Outcomes.load(line)
    assert (again.asked, again.ends) == (seen.asked, seen.ends)


def test_outcomes_of_several_callers_add_up() -> None:
    seen = outcomes(ended(1), asked=(1,))
    seen += outcomes(ended(2), asked=(2,))
    assert check(seen, [1, 2]).answered == 2


# The checker


def test_a_run_in_which_nothing_is_wrong() -> None:
    seen = outcomes(ended(1, at=0.5), failed(2), failed(3), failed(4, "RemoteError", "MemoryError"), asked=(1, 2, 3, 4))
    tally = check(seen, [1, 3, 4])
    assert tally == Tally(4, 1, {"LostRemote": 2, "MemoryError": 1}, 3, 0.5)
    assert tally.figures == {"asked": 4, "answered": 1, "failed": {"LostRemote": 2, "MemoryError": 1}, "run": 3}


def test_no_call_at_all_is_no_contradiction() -> None:
    assert check(outcomes(asked=()), []) == Tally(0, 0, {}, 0, 0.0)


WRONG: dict[str, tuple[Outcomes, list[int], str]] = {
    "asked twice": (outcomes(ended(1), asked=(1, 1)), [1], r"asked twice, .*: 1, \[1\]"),
    "without an end": (outcomes(ended(1)), [1, 2], r"never ended: 1, \[2\]"),
    "result and error": (outcomes(ended(1), ended(2), failed(2)), [1, 2], r"ended more than once: 1, \[2\]"),
    "two results": (outcomes(ended(1), ended(2), ended(2)), [1, 2], r"ended more than once: 1, \[2\]"),
    "two errors": (outcomes(ended(1), failed(2), failed(2)), [1], r"ended more than once: 1, \[2\]"),
    "end of nothing": (outcomes(ended(1), ended(2), failed(3)), [1, 2], r"ended without having been asked: 1, \[3\]"),
    "run twice": (outcomes(ended(1), ended(2)), [1, 2, 1], r"ran more than once: 1, \[1\]"),
    "run twice, and failed": (outcomes(failed(1), ended(2)), [1, 1, 2], r"ran more than once: 1, \[1\]"),
    "run of nothing": (outcomes(ended(1), ended(2)), [1, 2, 3], r"ran without having been asked: 1, \[3\]"),
    "result of no run": (outcomes(ended(1), ended(2)), [2], r"answered without having run: 1, \[1\]"),
    "crossed": (outcomes(Outcome(1, answer=2), Outcome(2, answer=1)), [1, 2], r"got another's answer: 2, \[\(1, 2\)"),
    "a built-in error": (outcomes(ended(1), failed(2, "OSError")), [1], r"no definite error: 1, \[\(2, 'OSError'"),
    "cancelled": (outcomes(ended(1), failed(2, "CancelledError")), [1], r"ended with no definite error: 1"),
    "the root": (outcomes(ended(1), failed(2, "ZeroRPCError")), [1], r"ended with no definite error: 1"),
    "refused, but run": (
        outcomes(ended(1), failed(2, "RemoteError", "ServerOverloaded")),
        [1, 2],
        r"ran, though the error says it didn't: 1, \[\(2, 'ServerOverloaded'\)\]",
    ),
    "not run, but run": (
        outcomes(ended(1), Outcome(2, "LostRemote", text="gone", ran=False)),
        [1, 2],
        r"ran, though the error says it didn't: 1, \[\(2, 'gone'\)\]",
    ),
    "run, but not run": (
        outcomes(ended(1), Outcome(2, "LostRemote", text="gone", ran=True)),
        [1],
        r"didn't run, though the error says it did: 1, \[\(2, 'gone'\)\]",
    ),
    "never sent, but run": (
        outcomes(ended(1), Outcome(2, "TimeoutExpired", text="timeout after 1s: no server was reached (...)")),
        [1, 2],
        r"ran, though the error says it didn't: 1, \[\(2, 'timeout after 1s: no server",
    ),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG.keys())
def test_a_contradiction_is_caught(case: tuple[Outcomes, list[int], str]) -> None:
    seen, runs, message = case
    with pytest.raises(Violation, match=message) as caught:
        check(seen, runs)
    assert str(caught.value).count("\n") == 0, "one wrong thing is one line"


def test_an_error_that_this_fault_cannot_bring_about() -> None:
    seen = outcomes(ended(1), failed(2))
    check(seen, [1], allowed=["LostRemote"])
    with pytest.raises(Violation, match=r"doesn't belong here: 1, \[\(2, 'LostRemote'"):
        check(seen, [1], allowed=["TimeoutExpired"])


def test_a_remote_error_may_be_named_by_what_it_carries() -> None:
    seen = outcomes(ended(1), failed(2, "RemoteError", "MemoryError"))
    check(seen, [1], allowed=["MemoryError"])
    check(seen, [1], allowed=["RemoteError"])
    with pytest.raises(Violation, match="doesn't belong here"):
        check(seen, [1], allowed=["KeyError"])


def test_all_that_is_wrong_is_named() -> None:
    seen = outcomes(ended(1), ended(1), asked=(1, 2))
    with pytest.raises(Violation, match=r"(?s)never ended: 1, \[2\].ended more than once: 1, \[1\].answered without"):
        check(seen, [])


def test_answers_may_be_something_else() -> None:
    double: Callable[[int], int] = lambda call_id: 2 * call_id  # noqa: E731
    seen = outcomes(Outcome(1, answer=2), Outcome(2, answer=4))
    assert check(seen, [1, 2], answer=double).answered == 2


def test_an_idempotent_method_may_run_twice_and_its_call_ends_once_all_the_same() -> None:
    even: Callable[[int], bool] = lambda call_id: call_id % 2 == 0  # noqa: E731
    assert check(outcomes(ended(1), ended(2)), [1, 2, 2], repeatable=even).run == 3
    with pytest.raises(Violation, match=r"ran more than once: 1, \[1\]"):
        check(outcomes(ended(1), ended(2)), [1, 1, 2, 2], repeatable=even)
    with pytest.raises(Violation, match=r"ended more than once: 1, \[2\]"):
        check(outcomes(ended(1), ended(2), ended(2)), [1, 2, 2], repeatable=even)


def test_every_leaf_of_the_tree_is_definite() -> None:
    tree = {name for name in errors.__all__ if issubclass(getattr(errors, name), errors.ZeroRPCError)}
    assert tree - {"ZeroRPCError"} == DEFINITE
