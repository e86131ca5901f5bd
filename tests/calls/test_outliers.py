"""Servers that fail five times in a row get no calls for a while, and then one to prove themselves."""

from __future__ import annotations

from typing import Any

import pytest

from tests.calls.test_dispatch import peer
from tests.protocol.pairs import call, pack
from tests.zmtp.links import encoded
from zerorpc.calls.dispatch import Calls
from zerorpc.calls.outliers import FAILURES
from zerorpc.errors import LostRemote
from zerorpc.protocol.client_peer import ClientPeer

TIMEOUT = 1.0


class Fleet:
    """A client's calls under a fake clock, to servers that answer or don't."""

    def __init__(self, count: int) -> None:
        self.now = 0.0
        self.calls = Calls()
        self.peers = [self.connect(f"tcp://{n}") for n in range(count)]

    def connect(self, server: str | None) -> ClientPeer:
        one = peer()
        self.calls.add(one, server)
        return one

    def start(self, timeout: float | None = TIMEOUT) -> tuple[Any, ClientPeer]:
        channel = call(timeout=timeout, now=self.now)
        taken = self.calls.start(channel, self.now)
        assert taken is not None
        return channel, taken

    def fail(self, one: ClientPeer) -> None:
        """The calls that it has get no reply in time."""
        self.now += TIMEOUT
        one.sweep(self.now)

    def fail_to_ejection(self, one: ClientPeer) -> None:
        for _ in range(FAILURES):
            one.open(call(timeout=TIMEOUT, now=self.now), self.now)
            self.fail(one)

    def reply(self, one: ClientPeer, name: str = "OK") -> None:
        """To each call that it has."""
        for message_id in list(one.channels):
            args = [1] if name == "OK" else ["Error", "raised", None]
            data = pack([{"response_to": message_id, "message_id": b"r" * 32, "v": 3}, name, args])
            one.receive_data(encoded([b"", data]), self.now)

    def taken(self, count: int = 8) -> set[int]:
        """Who gets calls, by number; each is answered before the next."""
        found = set()
        for _ in range(count):
            _, one = self.start()
            found.add(self.peers.index(one))
            self.reply(one)
        return found


def test_five_calls_without_a_reply_in_a_row_eject_a_server_for_30_s() -> None:
    fleet = Fleet(3)
    fleet.fail_to_ejection(fleet.peers[0])
    assert fleet.taken() == {1, 2}
    assert repr(fleet.calls.outliers) == "<Outliers {'tcp://0': <ejected ejections=1>}>"
    fleet.now += 29.9
    assert fleet.taken() == {1, 2}
    fleet.now += 0.1
    assert fleet.taken() == {0, 1, 2}
    assert repr(fleet.calls.outliers) == "<Outliers {}>"


@pytest.mark.parametrize("name", ["OK", "ERR", "STREAM"])
def test_any_reply_in_between_begins_the_count_anew(name: str) -> None:
    """What a method raises is no failure of its server."""
    fleet = Fleet(2)
    bad = fleet.peers[0]
    for _ in range(FAILURES - 1):
        bad.open(call(timeout=TIMEOUT, now=fleet.now), fleet.now)
        fleet.fail(bad)
    bad.open(call(), fleet.now)
    fleet.reply(bad, name)
    for _ in range(FAILURES - 1):
        bad.open(call(timeout=TIMEOUT, now=fleet.now), fleet.now)
        fleet.fail(bad)
    assert {fleet.start()[1] for _ in range(6)} == set(fleet.peers)


def test_the_last_one_is_never_ejected() -> None:
    fleet = Fleet(2)
    for one in fleet.peers:
        fleet.fail_to_ejection(one)
    assert len(fleet.taken()) == 1
    assert len(fleet.calls.outliers.doubted) == 1


def test_an_ejected_one_is_used_when_all_others_are_gone_or_take_no_data() -> None:
    fleet = Fleet(2)
    bad, good = fleet.peers
    fleet.fail_to_ejection(bad)
    assert fleet.taken() == {1}
    good.writable = False
    assert fleet.taken() == {0}
    good.writable = True
    assert fleet.taken() == {1}
    fleet.calls.remove(good)
    assert fleet.taken() == {0}


def test_an_ejected_one_keeps_its_open_calls() -> None:
    fleet = Fleet(2)
    bad, good = fleet.peers
    kept = call(timeout=None)
    bad.open(kept, 0.0)
    for _ in range(3):
        good.open(call(timeout=None), 0.0)
    fleet.fail_to_ejection(bad)
    assert fleet.taken() == {1}
    fleet.reply(bad)
    assert kept.reply is not None
    assert fleet.taken() == {1}, "it stays ejected"


def test_it_is_probed_with_one_call_and_then_normal() -> None:
    fleet = Fleet(2)
    bad, good = fleet.peers
    fleet.fail_to_ejection(bad)
    assert fleet.taken() == {1}
    fleet.now += 31
    takers = [fleet.start()[1] for _ in range(6)]
    assert takers.count(bad) == 1, "no more before that one is answered"
    fleet.reply(bad)
    fleet.reply(good)
    assert fleet.taken() == {0, 1}


def test_a_failed_probe_ejects_for_longer_up_to_300_s() -> None:
    fleet = Fleet(2)
    bad, good = fleet.peers
    fleet.fail_to_ejection(bad)
    fleet.taken()
    for times in [*range(1, 12), 11]:
        out_for = min(30.0 * times, 300.0)
        fleet.now += out_for - 0.5
        assert fleet.taken() == {1}
        fleet.now += 0.6
        while fleet.start(timeout=TIMEOUT)[1] is not bad:
            pass
        fleet.fail(bad)
        fleet.reply(good)
        assert fleet.taken() == {1}


def test_a_probe_that_was_given_up_is_followed_by_another() -> None:
    fleet = Fleet(2)
    bad, good = fleet.peers
    fleet.fail_to_ejection(bad)
    fleet.taken()
    for _ in range(3):
        fleet.now += 31
        probes = [channel for channel, one in (fleet.start() for _ in range(6)) if one is bad]
        assert len(probes) == 1
        probes[0].abandon()
        fleet.reply(good)
        assert fleet.taken() == {1}


def test_good_time_makes_the_next_ejection_shorter() -> None:
    fleet = Fleet(2)
    bad = fleet.peers[0]
    for _ in range(3):
        fleet.fail_to_ejection(bad)
        fleet.taken()
        fleet.now += 300
        assert fleet.taken() == {0, 1}
        assert fleet.calls.outliers._records["tcp://0"].ejections == 1
        fleet.now += 30
    fleet.fail_to_ejection(bad)
    fleet.taken()
    assert fleet.calls.outliers.doubted["tcp://0"].ejections == 1
    fleet.now += 31
    fleet.taken()
    fleet.fail_to_ejection(bad)  # at once
    fleet.taken()
    assert fleet.calls.outliers.doubted["tcp://0"].ejections == 2


def test_a_server_whose_connections_are_lost_with_calls_open_is_ejected() -> None:
    """However many calls each of them had: that is one failure."""
    fleet = Fleet(1)
    for _ in range(FAILURES):
        one = fleet.connect("tcp://bad")
        for _ in range(10):
            one.open(call(), 0.0)
        fleet.calls.remove(one, failed=bool(one.close(LostRemote("gone"))))
    fleet.peers.append(fleet.connect("tcp://bad"))
    assert fleet.taken() == {0}
    fleet.calls.remove(fleet.peers.pop())
    fleet.peers.append(fleet.connect("tcp://bad"))
    assert fleet.taken() == {0}, "it stays ejected when it is connected anew"
    fleet.now += 31
    assert fleet.taken() == {0, 1}


def test_an_idle_connection_that_ends_is_no_failure() -> None:
    fleet = Fleet(1)
    for _ in range(2 * FAILURES):
        one = fleet.connect("tcp://other")
        fleet.calls.remove(one, failed=bool(one.close(LostRemote("gone"))))
    fleet.peers.append(fleet.connect("tcp://other"))
    assert fleet.taken() == {0, 1}


def test_a_worker_that_connects_to_us_is_a_new_one_with_each_connection() -> None:
    fleet = Fleet(1)
    one = fleet.connect(None)
    fleet.peers.append(one)
    fleet.fail_to_ejection(one)
    assert fleet.taken() == {0}
    fleet.calls.remove(fleet.peers.pop(), failed=True)
    fleet.peers.append(fleet.connect(None))
    assert fleet.taken() == {0, 1}
    assert not fleet.calls.outliers._records


def test_many_servers_that_come_and_go_are_not_remembered_for_ever() -> None:
    fleet = Fleet(1)
    for number in range(3000):
        fleet.calls.remove(fleet.connect(f"tcp://gone-{number}"), failed=True)
    assert len(fleet.calls.outliers._records) == 1024


def test_of_many_the_failing_ones_get_no_calls() -> None:
    fleet = Fleet(40)
    for one in fleet.peers[:10]:
        fleet.fail_to_ejection(one)
    fleet.taken(400)
    assert fleet.taken(400) <= set(range(10, 40))
