"""Pushers and pullers that connect to a name with several addresses."""

from __future__ import annotations

import pytest

import zerorpc
from tests.service.running import TCP, eventually, on_thread
from tests.transport.resolver import NAME, Resolver, address_of


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    monkeypatch.setattr("zerorpc.transport.names._EVERY", 0.05)
    return Resolver(monkeypatch)


class Counting:
    def __init__(self) -> None:
        self.seen: list[int] = []

    def add(self, n: int) -> None:
        self.seen.append(n)


def test_a_pusher_spreads_over_all_addresses_and_leaves_those_that_are_gone(resolver: Resolver) -> None:
    one, other = Counting(), Counting()
    with zerorpc.Puller(one) as first, zerorpc.Puller(other) as second:
        addresses = [address_of(puller.bind(TCP)[0]) for puller in (first, second)]
        resolver.addresses = addresses
        with on_thread(first), on_thread(second), zerorpc.Pusher() as pusher:
            pusher.connect(NAME)
            sent = 0
            while not (one.seen and other.seen):
                pusher.add(sent)
                sent += 1
                eventually(lambda sent=sent: len(one.seen) + len(other.seen) == sent)
            resolver.addresses = addresses[:1]
            eventually(lambda: len(pusher._core.hub.links) == 1)
            before = len(other.seen)
            for n in range(10):
                pusher.add(n)
            eventually(lambda: len(one.seen) + before == sent + 10)
            assert len(other.seen) == before


def test_a_puller_takes_from_all_addresses_and_keeps_a_connection_whose_address_is_gone(resolver: Resolver) -> None:
    """What was sent there may be on its way: only its pusher ends it."""
    counting = Counting()
    with zerorpc.Pusher() as one, zerorpc.Pusher() as other, zerorpc.Puller(counting) as puller:
        addresses = [address_of(pusher.bind(TCP)[0]) for pusher in (one, other)]
        resolver.addresses = addresses
        puller.connect(NAME)
        with on_thread(puller):
            one.add(1)
            other.add(2)
            eventually(lambda: sorted(counting.seen) == [1, 2])
            resolver.addresses = addresses[:1]
            asked = resolver.asked
            eventually(lambda: resolver.asked > asked + 2)
            other.add(3)
            one.add(4)
            eventually(lambda: sorted(counting.seen) == [1, 2, 3, 4])
            other.close()
            eventually(lambda: len(puller._core.hub.links) == 1)
