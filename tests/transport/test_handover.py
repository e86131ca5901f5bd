"""Both ends of the way that connections take from a parent to its server processes, joined in one process."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from zerorpc.transport import handover
from zerorpc.transport.handover import Intake, Outlet


class FakeLoop:
    """Keeps what an intake asks of a loop, for the test to do."""

    def __init__(self) -> None:
        self.readers: dict[int, Any] = {}
        self.later: list[Any] = []

    def add_reader(self, fileno: int, read: Any) -> None:
        self.readers[fileno] = read

    def remove_reader(self, fileno: int) -> None:
        self.readers.pop(fileno, None)

    def call_later(self, delay: float, act: Any) -> None:
        self.later.append(act)

    def turn(self) -> None:
        """One turn: everybody reads, then what was to be done later is done."""
        for read in list(self.readers.values()):
            read()
        later, self.later = self.later, []
        for act in later:
            act()


class Pair:
    """An outlet and an opened intake."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.outlet = Outlet(ours)
        self.intake = Intake(theirs)
        self.loop = FakeLoop()
        self.asked: list[str] = []
        self.adopted: list[socket.socket] = []
        self.listeners: list[int] = []  # where each came
        self.outcome: bool | BaseException = True
        self.intake.obey(*(functools.partial(self.asked.append, what) for what in ("stop", "force", "watch")))
        self.intake.open(self.loop, self.adopt)  # type: ignore[arg-type]  # the fake loop
        self.opened = [ours, theirs]

    def adopt(self, sock: socket.socket, listener: int) -> Any:
        self.adopted.append(sock)
        self.listeners.append(listener)
        return Adopted(self.outcome)

    def connection(self) -> tuple[socket.socket, socket.socket]:
        """The client's end and the one that was accepted."""
        ends = socket.socketpair()
        self.opened += ends
        return ends

    def give(self, listener: int = 0) -> socket.socket:
        """Hand over a connection; returns the client's end."""
        client, accepted = self.connection()
        assert self.outlet.give(accepted, listener)
        return client

    def turn(self) -> None:
        self.loop.turn()
        self.outlet.read()


class Adopted:
    """A task that is done."""

    def __init__(self, outcome: bool | BaseException) -> None:
        self._outcome = outcome

    def add_done_callback(self, callback: Any) -> None:
        callback(self)

    def cancelled(self) -> bool:
        return isinstance(self._outcome, asyncio.CancelledError)

    def exception(self) -> BaseException | None:
        return self._outcome if isinstance(self._outcome, BaseException) else None

    def result(self) -> bool:
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    assert not pair.outlet.has_room
    pair.outlet.read()
    assert pair.outlet.has_room
    yield pair
    pair.intake.close()
    pair.outlet.close()
    for sock in (*pair.opened, *pair.adopted):
        sock.close()


def test_a_connection_goes_over_and_works(pair: Pair) -> None:
    client = pair.give()
    assert repr(pair.outlet) == "<Outlet ready connections=0+1>"
    pair.turn()
    assert repr(pair.outlet) == "<Outlet ready connections=1+0>"
    pair.adopted[0].sendall(b"hello")
    assert client.recv(5) == b"hello"
    assert not pair.adopted[0].get_inheritable()
    pair.adopted[0].close()
    assert client.recv(1) == b""  # nobody else keeps it open
    pair.intake.lost()
    pair.turn()
    assert pair.outlet.connections == 0


@pytest.mark.parametrize("outcome", [False, asyncio.CancelledError(), SystemExit()], ids=repr)
def test_one_of_no_use_is_not_counted(pair: Pair, outcome: bool | BaseException) -> None:
    pair.outcome = outcome
    pair.give()
    pair.turn()
    assert pair.outlet.connections == 0


def test_a_process_is_told_where_a_connection_came(pair: Pair) -> None:
    for listener in (0, 1, handover.LISTENERS_MAX - 1):
        pair.give(listener)
    pair.turn()
    assert pair.listeners == [0, 1, handover.LISTENERS_MAX - 1]


def test_what_a_process_did_not_take_before_it_died_can_go_elsewhere(pair: Pair) -> None:
    taken = pair.give()
    pair.turn()
    client = pair.give()
    pair.intake.close()  # as its end would
    assert pair.outlet.read() is False
    assert not pair.outlet.has_room
    [(back, _)] = pair.outlet.take_back()
    back.sendall(b"hello")
    assert client.recv(5) == b"hello"
    assert pair.outlet.take_back() == []
    taken.setblocking(False)
    with pytest.raises(BlockingIOError):  # it is alive as long as its owner is
        taken.recv(1)
    back.close()


def test_a_process_that_leaves_takes_no_more(pair: Pair) -> None:
    pair.intake.alone = True
    pair.intake.leave()
    pair.give()
    pair.turn()
    assert (pair.outlet.leaving, pair.outlet.stops_all, pair.adopted) == (True, False, [])
    assert len(pair.outlet.take_back()) == 1
    assert pair.outlet.read()  # it isn't gone yet
    assert repr(pair.intake) == "<Intake leaving>"


def test_a_process_may_want_all_to_stop(pair: Pair) -> None:
    pair.intake.leave()
    pair.turn()
    assert (pair.outlet.leaving, pair.outlet.stops_all) == (True, True)


def test_commands(pair: Pair) -> None:
    pair.give()
    pair.outlet.stop()
    pair.outlet.force()
    pair.outlet.watch()
    pair.turn()
    assert pair.asked == ["stop", "force", "watch"]
    assert len(pair.adopted) == 1  # it was given before


def test_a_process_that_is_watched_says_so_and_goes_on(pair: Pair) -> None:
    pair.intake.watched()
    pair.turn()
    assert (pair.outlet.is_watched, pair.outlet.leaving) == (True, False)
    pair.give()
    pair.turn()
    assert len(pair.adopted) == 1


def test_the_end_of_the_parent_means_stop(pair: Pair) -> None:
    pair.outlet.close()
    pair.loop.turn()
    assert pair.asked == ["stop"]
    assert pair.loop.readers == {}  # or the loop would spin
    pair.intake.lost()  # nobody to tell: no error


def test_without_descriptors_a_connection_goes_back_and_a_process_has_a_rest(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover.socket, "recv_fds", lambda sock, size, _: (sock.recv(size), [], 0, None))
    for _ in range(2):
        pair.give()
    pair.loop.readers[next(iter(pair.loop.readers))]()
    pair.outlet.read()
    assert repr(pair.outlet) == "<Outlet not ready connections=0+0>"
    assert len(pair.outlet.take_back()) == 2
    assert len(pair.loop.later) == 1
    pair.turn()
    assert pair.outlet.has_room


def test_one_that_leaves_during_that_rest_stays_away(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(handover.socket, "recv_fds", lambda sock, size, _: (sock.recv(size), [], 0, None))
        pair.give()
        pair.loop.readers[next(iter(pair.loop.readers))]()
    pair.intake.leave()
    pair.turn()
    assert not pair.outlet.ready


def test_a_process_that_does_not_answer_gets_no_more_than_some(pair: Pair) -> None:
    for _ in range(handover._UNANSWERED_MAX):
        assert pair.outlet.has_room
        pair.give()
    assert not pair.outlet.has_room
    pair.turn()
    assert pair.outlet.has_room


def test_nothing_that_a_process_says_gets_lost_while_its_parent_does_not_listen(pair: Pair) -> None:
    pair.give()
    pair.turn()
    with contextlib.suppress(BlockingIOError):  # no room for a single octet
        while True:
            pair.opened[1].send(b"-" * 4096)
    pair.outlet._heed = lambda said: None  # type: ignore[method-assign]  # that was only to fill it
    pair.intake.lost()
    pair.intake.leave()
    pair.outlet.read()
    del pair.outlet._heed
    assert not pair.outlet.leaving
    pair.turn()
    pair.turn()
    assert repr(pair.outlet) == "<Outlet leaving connections=0+0>"


def test_giving_to_one_that_is_gone(pair: Pair) -> None:
    pair.intake.close()
    _, accepted = pair.connection()
    assert not pair.outlet.give(accepted)
    assert pair.outlet.leaving
    assert accepted.fileno() >= 0  # it stays the caller's
    pair.outlet.stop()  # no error


def test_more_descriptors_under_way_than_the_system_allows(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> int:
        raise OSError("Too many references")

    monkeypatch.setattr(handover.socket, "send_fds", refuse)
    _, accepted = pair.connection()
    assert not pair.outlet.give(accepted)
    assert pair.outlet.has_room  # later, perhaps


def test_on_a_real_loop() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        outlet, intake = Outlet(ours), Intake(theirs)
        stopped = asyncio.Event()
        intake.obey(stopped.set, stopped.clear, stopped.clear)
        intake.open(asyncio.get_running_loop(), lambda _: asyncio.Future())
        outlet.stop()
        await asyncio.wait_for(stopped.wait(), 10)
        outlet.close()
        intake.close()
        intake.close()

    asyncio.run(main())
