"""Who gets a place, who waits for one, and who is refused."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from zerorpc.service.places import Places, Refusal, Waiting


class Caller:
    def __init__(self) -> None:
        self.open = 0
        self.parked = 0


class Request:
    """Its caller has it open until it is closed."""

    def __init__(self, caller: Caller, octets: int = 1, patience: float = inf) -> None:
        self.caller = caller
        self.octets = octets
        self.patience = patience
        self.closed = False
        self.may_begin = True
        caller.open += 1

    @property
    def open_calls(self) -> int:
        return self.caller.open

    @property
    def parked_calls(self) -> int:
        return self.caller.parked

    def close(self) -> None:
        self.closed = True
        self.caller.open -= 1


class Ground:
    """Places, and what has become of each request: "runs", "waits" or "refused"."""

    def __init__(self, count: int, **options: Any) -> None:
        self.places = Places(count, **options)
        self.now = 0.0
        self.waiting: dict[Request, Waiting] = {}

    def come(self, caller: Caller, **options: Any) -> tuple[Request, str]:
        request = Request(caller, **options)
        if self.places.has_room(request):
            self.places.running += 1
            return request, "runs"
        kept = self.places.let_wait(request, self.now)
        if isinstance(kept, Refusal):
            return request, "refused"
        self.waiting[request] = kept
        return request, "waits"

    def become_of(self, caller: Caller, count: int, **options: Any) -> list[str]:
        return [self.come(caller, **options)[1] for _ in range(count)]

    def begin(self) -> list[Caller]:
        """Whose requests have their turn now."""
        begun: list[Any] = []
        while (waiting := self.places.next(self.now)) is not None:
            if not waiting.request.closed:
                self.places.running += 1
                begun.append(waiting.request.caller)
        return begun

    def end(self, request: Request) -> None:
        request.close()
        self.places.running -= 1


def test_one_caller_leaves_a_quarter_of_the_places_to_others() -> None:
    ground, one, other = Ground(8), Caller(), Caller()
    assert ground.become_of(one, 8) == ["runs"] * 6 + ["waits"] * 2
    assert ground.begin() == []
    assert ground.become_of(other, 3) == ["runs"] * 2 + ["waits"]
    assert ground.begin() == []


def test_those_who_may_have_no_place_hold_up_nobody_however_long_they_wait() -> None:
    """By the pace of the turns that they get, others seemed to have to wait for as long, and were refused."""
    ground, one, other = Ground(8), Caller(), Caller()
    ground.become_of(one, 8)
    ground.now = 1000.0
    assert ground.become_of(other, 1, patience=0.1) == ["runs"]


def test_nobody_overtakes_those_who_may_have_a_place() -> None:
    ground, one, other = Ground(1), Caller(), Caller()
    running, _ = ground.come(one)
    assert ground.become_of(one, 1) == ["waits"]
    ground.end(running)
    assert ground.become_of(other, 1) == ["waits"]
    assert ground.become_of(one, 1) == ["waits"]
    assert ground.begin() == [one]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_of_few_places_one_caller_may_have_all(count: int) -> None:
    assert Ground(count).become_of(Caller(), count + 1) == ["runs"] * count + ["waits"]


def test_who_is_alone_may_have_all_places_as_long_as_it_is() -> None:
    ground, one, other = Ground(8, alone=True), Caller(), Caller()
    assert ground.become_of(one, 9) == ["runs"] * 8 + ["waits"]
    ground.places.alone = False
    (request, *_) = ground.waiting
    ground.places.running -= 1
    one.open -= 1
    assert ground.become_of(other, 1) == ["runs"]
    assert not request.closed


def test_those_who_wait_have_their_turns_in_a_circle() -> None:
    ground, many, few = Ground(1), Caller(), Caller()
    running, _ = ground.come(many)
    assert ground.become_of(many, 3) == ["waits"] * 3
    assert ground.become_of(few, 2) == ["waits"] * 2
    turns = []
    for _ in range(5):
        ground.places.running -= 1
        turns += ground.begin()
    assert turns == [many, few, many, few, many]
    assert not running.closed


def test_what_nobody_wants_any_more_gets_no_place_and_makes_none_for_its_caller() -> None:
    ground, one = Ground(8), Caller()
    requests = [ground.come(one)[0] for _ in range(12)]
    for request in requests[8:]:
        request.close()
        ground.waiting[request].wake()
        ground.waiting[request].wake()
    assert ground.begin() == []
    ground.end(requests[0])
    assert ground.begin() == [one]
    ground.end(requests[1])
    assert ground.begin() == [one]
    assert ground.places.waiting == 0
    ground.end(requests[2])
    assert ground.begin() == []


def test_to_be_woken_for_another_reason_changes_nothing() -> None:
    ground, one = Ground(8), Caller()
    requests = [ground.come(one)[0] for _ in range(8)]
    ground.waiting[requests[7]].wake()
    assert ground.begin() == []
    assert not ground.waiting[requests[7]].gone


def test_streams_that_wait_for_their_readers_need_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.service.places._PARKED_MAX", 8)
    one = Caller()
    ground = Ground(8, parked=lambda: one.parked)
    assert ground.become_of(one, 6) == ["runs"] * 6
    one.parked = 6
    assert ground.become_of(one, 6) == ["runs"] * 6
    one.parked = 12  # but no more than so many, and one caller's share of them
    assert ground.become_of(one, 1) == ["waits"]
    assert ground.become_of(Caller(), 1) == ["runs"]


def test_whose_caller_takes_no_answers_lets_others_have_their_turns() -> None:
    ground, one, other = Ground(1), Caller(), Caller()
    ground.come(one)
    request, _ = ground.come(one)
    assert ground.become_of(other, 1) == ["waits"]
    request.may_begin = False
    ground.places.running -= 1
    assert ground.begin() == [other]
    ground.places.running -= 1
    assert ground.begin() == []
    request.may_begin = True
    assert ground.begin() == [one]


def test_one_caller_has_its_share_of_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.limits.Limits.waiting", 4)
    ground, one, other = Ground(1), Caller(), Caller()
    assert ground.become_of(one, 5) == ["runs", *["waits"] * 3, "refused"]
    assert ground.become_of(other, 2) == ["waits", "refused"]


def test_and_of_the_octets_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.limits.Limits.waiting_octets", 100)
    ground, one, other = Ground(1), Caller(), Caller()
    assert ground.become_of(one, 4, octets=40) == ["runs", "waits", "waits", "refused"]
    assert ground.become_of(other, 2, octets=40) == ["waits", "refused"]
    ground.places.running -= 1
    assert len(ground.begin()) == 1
    assert ground.become_of(other, 1, octets=40) == ["waits"]


def test_whose_turn_would_come_too_late_is_refused_and_one_of_another_caller_is_not() -> None:
    ground, one, other = Ground(1), Caller(), Caller()
    assert ground.become_of(one, 11) == ["runs", *["waits"] * 10]
    ground.now = 10.0  # 1 s for each turn
    assert ground.become_of(one, 1, patience=19.0) == ["refused"]
    assert ground.become_of(other, 1, patience=19.0) == ["waits"]
    assert ground.places.wait_now(ground.now) == 11.0


def test_who_has_some_waiting_already_has_the_next_turn_after_all_others_who_may_come() -> None:
    ground, one, others = Ground(1), Caller(), [Caller() for _ in range(4)]
    assert ground.become_of(one, 2) == ["runs", "waits"]
    assert [ground.become_of(other, 1) for other in others] == [["waits"]] * 4
    ground.now = 10.0  # 1 s for each turn
    assert ground.become_of(one, 1, patience=17.0) == ["refused"]  # up to 9 s
    assert ground.become_of(one, 1, patience=19.0) == ["waits"]


def test_all_that_wait_can_be_taken_out() -> None:
    ground, one = Ground(1), Caller()
    requests = [ground.come(one)[0] for _ in range(3)]
    assert ground.places.clear() == requests[1:]
    assert repr(ground.places) == "<Places 1 of 1 taken, 0 waiting>"
    assert ground.places.next(0.0) is None
