"""Messages that take too long to decode, or too much memory: refused, and their connection lives on."""

from __future__ import annotations

import pytest

import zerorpc
from tests.attacks.ground import ground
from tests.attacks.test_clients import hostile
from tests.client.ways import EITHER_CLIENT, Way
from tests.protocol.test_shape import KEYS, array_as_key, map_of
from tests.service.running import RawPeer
from zerorpc.protocol.events import encode

MANY_ARRAYS = map_of([array_as_key(number) for number in range(10_000)])
EMPTY_MAPS = b"\xdd" + (8 << 20).to_bytes(4, "big") + b"\x80" * (8 << 20)  # would take 800 MB


def event(header: dict[str, object], name: str, arg: bytes) -> bytes:
    """With one argument, which is packed already."""
    return encode(header, name, [None])[:-1] + arg


@pytest.mark.parametrize(("arg", "why"), [(MANY_ARRAYS, KEYS), (EMPTY_MAPS, "too many values")], ids=["keys", "values"])
def test_a_request_is_answered_with_an_error(arg: bytes, why: str) -> None:
    with ground("uvloop") as place, place.attacker() as peer:
        with place.innocent():
            before = place.figures()["resident"]
            peer.send_data(event({"message_id": b"1", "v": 3}, "echo", arg))
            name, _, trace = peer.next_event().args
            assert name == "TypeError"
            assert why in trace
            peer.send({"message_id": b"2", "v": 3}, "echo", ["alive"])
            assert peer.next_event().args == ["alive"]
        assert place.figures()["peak"] < before + 100


@EITHER_CLIENT
def test_a_reply_fails_its_call_only(way: Way) -> None:
    def answer(peer: RawPeer) -> None:
        for arg in (MANY_ARRAYS, b"\x07"):
            request = peer.next_event()
            peer.send_data(event({"message_id": b"r", "v": 3, "response_to": request.header.message_id}, "OK", arg))

    with hostile(answer) as endpoint, pytest.raises(zerorpc.ProtocolError, match=KEYS):
        way(endpoint, lambda client: client.first())
