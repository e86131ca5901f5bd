"""Waiting for sockets: select.poll, and the same over select.select for systems without it."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator

import pytest

from zerorpc.transport.poller import READABLE, WRITABLE, Poller, SelectPoller, new_poller


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.mark.parametrize("make", [new_poller, SelectPoller])
def test_what_is_ready_is_reported(make: Callable[[], Poller], pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    poller = make()
    poller.register(ours.fileno(), READABLE)
    assert poller.poll(0) == []
    assert poller.poll(1) == []
    theirs.send(b"x")
    assert poller.poll(None) == [(ours.fileno(), READABLE)]
    poller.modify(ours.fileno(), READABLE | WRITABLE)
    assert poller.poll(1000) == [(ours.fileno(), READABLE | WRITABLE)]
    poller.modify(ours.fileno(), WRITABLE)
    assert poller.poll(1000) == [(ours.fileno(), WRITABLE)]
    poller.unregister(ours.fileno())
    assert poller.poll(0) == []


def test_which_one_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "poll", raising=False)
    assert isinstance(new_poller(), SelectPoller)
