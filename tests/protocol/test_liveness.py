"""Liveness of one connection by itself: what it asks, and when. ``test_peer.py`` has it between two peers."""

from __future__ import annotations

import pytest

from tests.zmtp.links import after_handshake, commands
from zerorpc.errors import LostRemote, ProtocolError
from zerorpc.protocol.liveness import FOREVER, HANDSHAKE_TIMEOUT, Liveness
from zerorpc.zmtp import Connection, SocketType
from zerorpc.zmtp.commands import Command

PERIOD = 5.0
PING = Command(b"PING", b"\0\0")


def agreed(level: int = 1) -> tuple[Liveness, Connection]:
    """After the handshake."""
    connection = after_handshake()
    liveness = Liveness(connection, PERIOD)
    liveness.opened(0.0)
    liveness.agreed(level)
    return liveness, connection


def test_a_handshake_has_its_time() -> None:
    liveness = Liveness(Connection(SocketType.ROUTER), PERIOD)
    assert liveness.opened(1.0) == 1.0 + HANDSHAKE_TIMEOUT
    assert liveness.sweep(2.0, 1.0, reads=True, busy=False) == 1.0 + HANDSHAKE_TIMEOUT
    with pytest.raises(ProtocolError, match="no ZMTP handshake within 30 s"):
        liveness.sweep(1.0 + HANDSHAKE_TIMEOUT, 1.0, reads=True, busy=False)


def test_it_asks_once_a_period_and_gives_up_after_two() -> None:
    liveness, connection = agreed()
    assert liveness.sweep(PERIOD, 0.1, reads=True, busy=True) == 2 * PERIOD
    assert commands(connection) == [PING]
    assert liveness.sweep(2 * PERIOD - 0.1, 0.1, reads=True, busy=True) == 2 * PERIOD
    with pytest.raises(LostRemote, match="Lost remote after 10s heartbeat"):
        liveness.sweep(2 * PERIOD + 0.1, 0.1, reads=True, busy=True)


def test_any_word_is_an_answer() -> None:
    liveness, connection = agreed()
    liveness.sweep(PERIOD, 0.1, reads=True, busy=True)
    liveness.sweep(2 * PERIOD, PERIOD + 0.1, reads=True, busy=True)
    assert commands(connection) == [PING, PING]


@pytest.mark.parametrize(("level", "busy"), [(0, True), (1, False)])
def test_nobody_is_asked_in_vain(level: int, busy: bool) -> None:
    """An older peer is asked in its channels; and nothing would end with one that is idle."""
    liveness, connection = agreed(level)
    assert liveness.sweep(100.0, 0.1, reads=True, busy=busy) == FOREVER
    assert commands(connection) == []


def test_a_peer_that_takes_what_stands_before_the_question_lives() -> None:
    liveness, _ = agreed()
    assert not liveness.progress(0, 1000, PERIOD, listens=True)
    liveness.sweep(PERIOD, 0.1, reads=False, busy=True)
    assert liveness.progress(500, 500, PERIOD + 1, listens=True)
    assert not liveness.progress(500, 500, PERIOD + 2, listens=True)
    assert not liveness.progress(1000, 0, PERIOD + 3, listens=True)  # now it has the question, and a period to answer
    assert liveness.sweep(2 * PERIOD, 0.1, reads=True, busy=True) == 2 * PERIOD + 3


def test_a_sweep_that_comes_late_forgives_so_much() -> None:
    liveness, _ = agreed()
    assert liveness.forgive(0.05, 10.0, 1.0) == 0.0
    assert liveness.forgive(1.0, 10.0, 1.0) == 1.1
    assert liveness.forgive(1.0, 10.0, 2.1) == 0.0  # the same silence
    assert liveness.forgive(4.0, 10.0, 2.1) == 4.1  # but more than a little


def test_an_older_peer_that_takes_nothing_is_given_up() -> None:
    liveness, connection = agreed(0)
    liveness.progress(0, 1000, PERIOD, listens=True)
    assert liveness.sweep(PERIOD, 0.1, reads=False, busy=False) == 4 * PERIOD
    liveness.progress(1, 999, 3 * PERIOD, listens=True)
    liveness.progress(1, 999, 5 * PERIOD, listens=True)
    assert liveness.sweep(5 * PERIOD, 0.1, reads=False, busy=True) == 6 * PERIOD
    with pytest.raises(LostRemote, match="Lost remote after 15s heartbeat"):
        liveness.sweep(6 * PERIOD, 5 * PERIOD, reads=False, busy=True)
    assert commands(connection) == []


def test_one_that_has_taken_everything_is_not() -> None:
    liveness, _ = agreed(0)
    liveness.progress(0, 1000, PERIOD, listens=True)
    liveness.progress(1000, 0, 100.0, listens=True)
    assert liveness.sweep(100.0, 0.1, reads=True, busy=True) == FOREVER
    liveness.progress(1000, 10, 200.0, listens=True)
    assert liveness.sweep(200.0, 0.1, reads=True, busy=True) == 200.0 + 3 * PERIOD


def test_an_older_peer_that_stops_in_the_middle_of_a_message_is_given_up() -> None:
    liveness, connection = agreed(0)
    connection.receive_data(b"\1\0")
    assert connection.decoder.in_message
    assert liveness.sweep(PERIOD, 0.1, reads=True, busy=False) == 0.1 + 3 * PERIOD
    with pytest.raises(LostRemote, match="Lost remote after 15s heartbeat"):
        liveness.sweep(0.1 + 3 * PERIOD, 0.1, reads=True, busy=False)


def test_time_in_which_we_did_not_run_is_not_an_older_peers_either() -> None:
    liveness, _ = agreed(0)
    liveness.progress(0, 1000, PERIOD, listens=True)
    late = liveness.forgive(100.0, 2 * PERIOD + 100.0, 0.1)
    assert liveness.sweep(2 * PERIOD + 100.0, 0.1 + late, reads=False, busy=True) == PERIOD + late + 3 * PERIOD


def test_its_repr_tells_how_far_it_is() -> None:
    liveness = Liveness(Connection(SocketType.ROUTER), PERIOD)
    assert repr(liveness) == "<Liveness handshake pinged=0 spoke=0>"
    liveness.agreed(0)
    assert repr(liveness) == "<Liveness no pings pinged=0 spoke=0>"
    liveness.agreed(1)
    liveness.answer(3.0)
    assert repr(liveness) == "<Liveness pings pinged=0 spoke=3>"
