"""The two directions of a channel and their credit."""

from __future__ import annotations

import pytest

from zerorpc.protocol.flow import CREDIT_MAX, Inflow, Outflow


def test_the_first_event_needs_no_grant_and_the_others_wait_in_order() -> None:
    outflow = Outflow()
    assert [outflow.admit(data) for data in (b"1", b"2", b"3", b"4")] == [True, False, False, False]
    assert outflow.next_admitted() is None
    outflow.add_credit(2)
    assert [outflow.next_admitted() for _ in range(3)] == [b"2", b"3", None]
    outflow.add_credit(5)
    assert outflow.next_admitted() == b"4"
    assert (outflow.credit, list(outflow.backlog or ())) == (4, [])


@pytest.mark.parametrize("count", [0, -1, True, 1.5, "7", None, [1]])
def test_credit_that_is_no_number_above_zero_is_ignored(count: object) -> None:
    outflow = Outflow()
    outflow.add_credit(count)
    assert outflow.credit == 1


def test_credit_has_an_end() -> None:
    outflow = Outflow()
    outflow.add_credit(2**62)
    outflow.add_credit(2**62)
    assert outflow.credit == CREDIT_MAX


def test_more_is_granted_when_half_is_used_up_and_all_of_it_at_once() -> None:
    inflow = Inflow(10, 5, granted=0)
    assert inflow.replenish() == 10
    for n in range(10):
        inflow.granted -= 1
        inflow.inbox.append((None, b"%d" % n))  # type: ignore[arg-type]
        assert inflow.replenish() == 0  # it came, and nobody has taken it
    for _ in range(4):
        inflow.inbox.popleft()
        assert inflow.replenish() == 0
    inflow.inbox.popleft()
    assert inflow.replenish() == 5
    assert inflow.granted == 5


def test_who_sends_twice_what_was_granted_floods() -> None:
    inflow = Inflow(10, 5, granted=10)
    inflow.granted -= 20
    assert not inflow.flooded
    inflow.granted -= 1
    assert inflow.flooded


def test_of_large_items_fewer_come_ahead() -> None:
    inflow = Inflow(100, 50)
    assert inflow.has_room(1024 * 1024)
    assert inflow.replenish() == 63  # and the one that it had been granted: 64 MiB
    assert inflow.has_room(40 * 1024 * 1024)
    assert (inflow.slots, inflow.low) == (1, 0)


def test_more_octets_than_may_wait_have_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.protocol.flow._KEPT_MAX", 250_000)
    inflow = Inflow(100, 50)
    for _ in range(2):
        assert inflow.has_room(100_000)
        inflow.inbox.append((None, bytes(100_000)))  # type: ignore[arg-type]
    assert not inflow.has_room(100_000)
    inflow.inbox.popleft()
    assert inflow.has_room(100_000)
