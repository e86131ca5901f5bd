"""Calls that no thread waits for: which of them are given their outcome when, by whom."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from tests.service.running import eventually
from zerorpc.transport.background import Background
from zerorpc.transport.leading import InUse, Leading
from zerorpc.transport.waking import Gate


class Hub:
    """Counts how often its keeper is woken."""

    def __init__(self) -> None:
        self.leading = Leading(SimpleNamespace(rest=lambda: None))  # type: ignore[arg-type]
        self.in_keeper = False
        self.woken = 0
        self.connects_here = False

    def check_may_wait(self) -> None:
        if self.connects_here:
            raise InUse("in the thread that connects it")

    def wake_keeper(self) -> None:
        self.woken += 1


class Call:
    """A call that a server may refuse a few times first."""

    def __init__(self, answered: bool = False, hooked: bool = False, refusals: int = 0) -> None:
        self.answered = answered
        self.hooked = hooked
        self.refusals = refusals
        self.cancelled = False
        self.finished: list[str] = []  # by which threads
        self.lost = 0

    def claim(self, cancelled: bool) -> bool:
        self.refusals -= 1
        return self.refusals < 0

    def finish(self) -> None:
        self.finished.append(threading.current_thread().name)

    def forked(self) -> None:
        self.lost += 1


HERE = threading.current_thread().name


@pytest.fixture
def hub() -> Hub:
    return Hub()


def background(hub: Hub, *calls: Call) -> Background:
    found = Background(hub)
    for call in calls:
        found.add(call)
    return found


def test_the_keeper_is_woken_by_a_call_unless_somebody_leads_and_by_its_end(hub: Hub) -> None:
    call, other = Call(), Call()
    found = background(hub, call)
    assert hub.woken == 1
    assert found.waits
    hub.leading.leader = 1
    found.add(other)
    assert hub.woken == 1
    found.tell(call)
    assert hub.woken == 2
    assert not found.waits, "there is something to do first"
    hub.in_keeper = True
    found.tell(other)
    assert hub.woken == 2, "it looks anyway"
    assert repr(found) == "<Background open=2 ended=2 finishing=0>"
    found.finish()
    assert (call.finished, other.finished) == ([HERE], [HERE])
    assert not found.open


def test_each_is_finished_once_however_often_it_is_told(hub: Hub) -> None:
    call = Call()
    found = background(hub, call)
    found.tell(call)
    found.tell(call)
    found.finish()
    found.tell(call)
    found.finish()
    assert call.finished == [HERE]


def test_one_that_is_refused_waits_for_another_server(hub: Hub) -> None:
    call = Call(refusals=1)
    found = background(hub, call)
    found.tell(call)
    found.finish()
    assert call.finished == []
    assert found.waits
    found.tell(call)
    found.finish()
    assert call.finished == [HERE]


def test_one_that_failed_at_once_or_was_not_told_is_found(hub: Hub) -> None:
    failed, untold = Call(answered=True), Call()
    found = background(hub, failed, untold)
    untold.answered = True
    found.finish()
    assert (failed.finished, untold.finished) == ([HERE], [])
    found.look()
    found.finish()
    assert untold.finished == [HERE]


def test_hooks_run_elsewhere(hub: Hub) -> None:
    call = Call(answered=True, hooked=True)
    found = background(hub, call)
    found.finish()
    eventually(lambda: call.finished == ["zerorpc-hooks"])
    eventually(lambda: repr(found) == "<Background open=0 ended=0 finishing=0>")


def test_waiting_is_refused_where_the_outcome_would_come_from(hub: Hub) -> None:
    gate = Gate()
    found = background(hub)
    with hub.leading.lock, pytest.raises(InUse):
        found.wait_for(Call(), gate, 0.0)
    found.wait_for(Call(), gate, 0.01)
    hub.in_keeper = True
    with pytest.raises(InUse, match="in the thread that has to finish it"):
        found.wait_for(Call(), gate, None)
    hub.in_keeper, hub.connects_here = False, True
    with pytest.raises(InUse, match="in the thread that connects it"):
        found.wait_for(Call(), gate, None)


def test_in_a_forked_child_all_that_is_not_finished_is_lost(hub: Hub) -> None:
    release = threading.Event()
    waits, finishing, finished = Call(), Call(hooked=True), Call()
    found = background(hub, waits, finishing, finished)
    finishing.finish = lambda: release.wait(10) and None  # type: ignore[method-assign]
    for call in (finishing, finished):
        found.tell(call)
    found.finish()
    with hub.leading.lock:
        forking = threading.Thread(target=found.forked)
        forking.start()
        forking.join(10)
        assert not forking.is_alive(), "it takes no lock"
    release.set()
    found.forked()
    assert [call.lost for call in (waits, finishing, finished)] == [1, 1, 0]
