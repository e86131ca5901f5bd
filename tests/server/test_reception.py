"""Who gets a connection to a server in several processes, and when nobody accepts one."""

from __future__ import annotations

import errno
import selectors
import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from zerorpc.server.reception import Reception
from zerorpc.transport.handover import Accepted, Outlet
from zerorpc.transport.sockets import Listener


class Connection:
    """An accepted socket."""

    closed = False

    def close(self) -> None:
        self.closed = True


class FakeListener:
    """Where so many connections wait."""

    def __init__(self, waiting: int = 0, error: int = errno.EAGAIN) -> None:
        self._sock, self._other = socket.socketpair()
        self.fileno = self._sock.fileno
        self.waiting = waiting
        self.error = error

    def accept(self) -> Connection:
        if not self.waiting:
            raise OSError(self.error, "nobody waits")
        self.waiting -= 1
        return Connection()

    def close(self) -> None:
        self._sock.close()
        self._other.close()


class FakeOutlet:
    """A process that takes what it is given, or not."""

    def __init__(self, connections: int = 0, has_room: bool = True, takes: bool = True) -> None:
        self.connections = connections
        self.has_room = has_room
        self.takes = takes
        self.last_turn = 0

    def give(self, connection: Connection, listener: int) -> bool:
        self.connections += self.takes
        return self.takes


class Scene:
    """A reception, and all that it knows."""

    def __init__(self) -> None:
        self.listener = FakeListener()
        self.outlets: list[FakeOutlet] = []
        self.starting: list[float] = []
        self.selector = selectors.DefaultSelector()
        self.reception = Reception(
            [cast(Listener, self.listener)],
            self.selector,
            lambda: cast("list[Outlet]", self.outlets),
            lambda: self.starting,
        )

    @property
    def listens(self) -> bool:
        return bool(self.selector.get_map())

    def connect(self, count: int) -> None:
        """So many clients come."""
        self.listener.waiting += count
        for key in list(self.selector.get_map().values()):
            cast("Callable[[], Any]", key.data)()

    def close(self) -> None:
        self.selector.close()
        self.listener.close()


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.close()


def test_nobody_listens_without_a_process_that_has_room(scene: Scene) -> None:
    scene.reception.listen(0.0)
    assert not scene.listens
    scene.outlets.append(FakeOutlet(has_room=False))
    scene.reception.listen(0.0)
    assert not scene.listens
    scene.outlets[0].has_room = True
    scene.reception.listen(0.0)
    assert scene.listens
    assert repr(scene.reception) == "<Reception listening unassigned=0>"


def test_the_one_with_the_fewest_gets_the_next(scene: Scene) -> None:
    scene.outlets = [FakeOutlet(3), FakeOutlet(1)]
    scene.reception.listen(0.0)
    scene.connect(4)
    assert [outlet.connections for outlet in scene.outlets] == [4, 4]


def test_connections_wait_a_moment_for_a_process_that_starts(scene: Scene) -> None:
    scene.outlets = [FakeOutlet()]
    scene.starting = [10.0]
    scene.reception.listen(11.0)
    assert not scene.listens
    assert scene.reception.due(11.0) == [12.0]
    scene.reception.listen(12.0)
    assert scene.listens
    assert scene.reception.due(12.0) == []


def test_one_that_no_process_takes_is_tried_again_and_no_other_accepted_until_then(scene: Scene) -> None:
    scene.outlets = [FakeOutlet(takes=False)]
    scene.reception.listen(0.0)
    scene.connect(3)
    assert scene.listener.waiting == 2
    scene.reception.listen(1.0)
    assert not scene.listens
    assert scene.reception.due(1.0) == [1.05]
    scene.outlets[0].takes = True
    scene.reception.assign()
    assert scene.outlets[0].connections == 1
    scene.reception.listen(1.05)
    assert scene.listens


def test_out_of_descriptors_it_accepts_again_after_a_pause(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 5.0)
    scene.outlets = [FakeOutlet()]
    scene.reception.listen(5.0)
    scene.listener.error = errno.EMFILE
    scene.connect(0)
    scene.reception.listen(5.0)
    assert not scene.listens
    assert scene.reception.due(5.0) == [5.1]
    scene.reception.listen(5.1)
    assert scene.listens


def test_what_a_process_did_not_take_goes_to_another(scene: Scene) -> None:
    left = Connection()
    scene.outlets = [FakeOutlet()]
    scene.reception.take_back([Accepted(cast(socket.socket, left))])
    scene.reception.assign()
    assert scene.outlets[0].connections == 1
    assert not left.closed


def test_at_the_end_nobody_listens_and_what_no_process_takes_is_closed(scene: Scene) -> None:
    scene.outlets = [FakeOutlet()]
    scene.reception.listen(0.0)
    scene.reception.end()
    assert not scene.listens
    scene.reception.listen(100.0)
    assert not scene.listens
    left = Connection()
    scene.outlets = []
    scene.reception.take_back([Accepted(cast(socket.socket, left))])
    scene.reception.assign()
    assert left.closed
    assert repr(scene.reception) == "<Reception ended unassigned=0>"
