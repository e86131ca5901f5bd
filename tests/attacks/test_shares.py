"""One caller takes whatever it can get of a server's places, threads and memory: others find some left."""

from __future__ import annotations

import pytest

import zerorpc
from tests.attacks.ground import Ground, ground
from tests.service.running import PATIENCE, RawPeer, eventually

MB = 1_000_000


def call_again_and_again(peer: RawPeer, count: int, method: str, *args: object) -> None:
    for number in range(count):
        peer.connection.send_delimited(
            zerorpc.protocol.events.encode({"message_id": b"%032d" % number, "v": 3}, method, args)
        )
    peer.sock.sendall(b"".join(peer.connection.take_output()))


@pytest.mark.parametrize("method", ["block", "sleep"])
def test_calls_that_never_end(method: str) -> None:
    with ground("uvloop") as place, place.attacker() as peer:
        call_again_and_again(peer, 60_000 if method == "sleep" else 2_000, method, 1000)
        check_that_others_are_served(place)


def check_that_others_are_served(place: Ground) -> None:
    with zerorpc.Client(place.endpoint, timeout=PATIENCE) as client:
        assert client.plain(1) == 1
        assert client.echo(2) == 2
        assert list(zip(range(2), client.plain_items(), strict=False)) == [(0, 0), (1, 1)]


@pytest.mark.parametrize("method", ["block", "sleep"])
def test_calls_that_never_end_where_places_are_few(method: str) -> None:
    with ground("uvloop", "pool_size=4") as place, place.attacker() as peer:
        place.figures()  # another connection is there
        call_again_and_again(peer, 100, method, 1000)
        with zerorpc.Client(place.endpoint, timeout=PATIENCE) as client:
            assert client.plain(1) == 1
            assert client.echo(2) == 2


def test_a_server_with_one_place_that_is_taken_shows_that_it_lives() -> None:
    with ground("uvloop", "pool_size=1") as place, place.attacker() as peer:
        call_again_and_again(peer, 1, "sleep", 1000)
        with zerorpc.Client(place.endpoint, timeout=PATIENCE) as client:
            assert client._zerorpc_ping() == ["pong", "Service"]
            assert "echo" in client._zerorpc_list()


def test_streams_that_nobody_reads() -> None:
    """Each keeps a thread, up to a limit."""
    with ground("uvloop") as place, place.attacker() as peer:
        place.client.begin()
        call_again_and_again(peer, 2_000, "plain_items")
        eventually(lambda: place.figures()["threads"] > 1_000)
        check_that_others_are_served(place)
        assert place.figures()["threads"] < 1_800


def test_answers_that_nobody_reads() -> None:
    """12,000 requests for 100 kB each: nothing further begins as long as their caller takes nothing. What threads had
    begun by then, 512 at most, make their answers.
    """
    with ground("uvloop") as place, place.attacker() as peer:
        before = place.figures()["resident"]
        call_again_and_again(peer, 12_000, "blob", MB // 10)
        check_that_others_are_served(place)
        assert place.figures()["peak"] < before + 600
        for _ in range(20):  # it goes on when it is read
            assert len(peer.next_event().args[0]) == MB // 10


def test_an_older_peer_that_takes_nothing_is_given_up() -> None:
    with ground("uvloop", "heartbeat=0.3") as place, place.attacker(ours=False) as peer:
        call_again_and_again(peer, 1, "blob", 50 * MB)
        eventually(lambda: place.client.connections() == 1)


def test_and_one_that_stops_in_the_middle_of_a_message() -> None:
    with ground("uvloop", "heartbeat=0.3") as place, place.attacker(ours=False) as peer:
        peer.sock.sendall(b"\1\0")
        eventually(lambda: place.client.connections() == 1)
