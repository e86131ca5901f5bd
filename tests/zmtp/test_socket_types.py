"""Socket types: who may talk to whom."""

from __future__ import annotations

import itertools

import pytest

from zerorpc.zmtp import SocketType

# RFC 37, "Socket-Type", as pairs that work both ways.
PAIRS = """REQ-REP REQ-ROUTER REP-DEALER DEALER-DEALER DEALER-ROUTER ROUTER-ROUTER
PUSH-PULL PUB-SUB PUB-XSUB XPUB-SUB XPUB-XSUB"""
ALLOWED = {frozenset(pair.split("-")) for pair in PAIRS.split()}


@pytest.mark.parametrize(("one", "other"), list(itertools.product(SocketType, repeat=2)))
def test_the_pairs_of_rfc_37_and_no_others(one: SocketType, other: SocketType) -> None:
    assert one.may_talk_to(other) is (frozenset((one.value, other.value)) in ALLOWED)


def test_who_publishes_and_who_subscribes() -> None:
    assert {kind.value for kind in SocketType if kind.publishes} == {"PUB", "XPUB"}
    assert {kind.value for kind in SocketType if kind.subscribes} == {"SUB", "XSUB"}
