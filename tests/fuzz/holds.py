"""What holds for every peer at every moment, whatever has come."""

from __future__ import annotations

import math
from typing import Any

from zerorpc.protocol.peer import Peer
from zerorpc.zmtp import State

__all__ = ["check_peer", "receive_after_the_end", "sweep"]

SHORT = 255  # octets of a frame that only counts as one
HEAD = 4096  # octets that are kept of a frame that is too large


def check_peer(peer: Peer[Any, Any]) -> None:
    connection = peer.connection
    assert (connection.error is None) == (connection.state is not State.CLOSED)
    assert connection.error is None or peer.error is not None, "nobody was told of an error"
    # One that ends within the octets which end its handshake never gets ready; what came between is taken all the same.
    assert connection.peer_socket_type is not None or not peer.channels, "a channel before the handshake was over"
    assert not peer.ready or connection.peer_socket_type is not None
    assert peer.next_wake is None or -math.inf < peer.next_wake < math.inf
    decoder = connection.decoder
    assert len(decoder._rest) < 264
    limits = decoder._limits
    assert len(decoder._parts) < limits.frames or connection.error is not None  # that it has come so far
    assert sum(len(part) for part in decoder._parts if len(part) > SHORT) <= limits.message + HEAD * limits.frames
    assert len(decoder.body or b"") <= max(limits.message, limits.command, HEAD + 16 * 1024)
    assert not connection.publishes or connection.subscriptions._size <= 2 * 1024 * 1024


def sweep(peer: Peer[Any, Any], now: float) -> list[Any]:
    """Sweep it as a shell does, when it wants to be. From then on it wants something else, and later."""
    ended = peer.sweep(now)
    assert peer.error is not None or peer.next_wake is None or peer.next_wake > now, "it wants to be swept for ever"
    return ended


def receive_after_the_end(peer: Peer[Any, Any], data: bytes, now: float) -> None:
    """One whose connection has ended by an error takes nothing more, and has nothing to say."""
    error, output = peer.error, list(peer.connection.output)
    assert peer.receive_data(data, now) == []
    assert peer.connection.output == output, "it has answered after an error"
    assert peer.error is error
    assert peer.connection.state is State.CLOSED
