"""Subscriptions: a counted set of prefixes, of bounded size."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerorpc.errors import ProtocolError
from zerorpc.zmtp.subscriptions import Subscriptions

prefixes = st.binary(max_size=3)


@given(st.lists(st.tuples(st.booleans(), prefixes)), st.binary(max_size=4))
def test_like_a_counted_set(changes: list[tuple[bool, bytes]], topic: bytes) -> None:
    subscriptions, model = Subscriptions(10_000), Counter[bytes]()
    for added, prefix in changes:
        if added:
            subscriptions.add(prefix)
            model[prefix] += 1
        else:
            subscriptions.remove(prefix)
            model[prefix] -= model[prefix] > 0
        assert subscriptions.match(topic) is any(topic.startswith(wanted) for wanted in +model)
        assert len(subscriptions) == len(+model)


def test_nothing_matches_before_the_first_and_everything_with_the_empty_one() -> None:
    subscriptions = Subscriptions(1000)
    assert not subscriptions.match(b"news")
    subscriptions.add(b"")
    assert subscriptions.match(b"news")
    assert subscriptions.match(bytearray(b""))


def test_the_limit_is_for_what_is_held_and_not_for_what_was_asked() -> None:
    subscriptions = Subscriptions(1000)
    for _ in range(1000):
        subscriptions.add(b"again")
        subscriptions.add(b"on and off")
        subscriptions.remove(b"on and off")
        subscriptions.remove(b"never asked")
    with pytest.raises(ProtocolError, match="more than 1000 octets"):
        subscriptions.add(b"x" * 1000)


def test_a_hundred_thousand_changes_take_no_quadratic_time() -> None:
    """It would be 10,000,000,000 steps: the time limit would end it."""
    subscriptions = Subscriptions(100_000_000)
    for number in range(100_000):
        subscriptions.add(number.to_bytes(4, "big"))
    assert subscriptions.match((99_999).to_bytes(4, "big"))


def test_it_shows_what_it_holds() -> None:
    subscriptions = Subscriptions(1000)
    subscriptions.add(b"a")
    assert repr(subscriptions) == "<Subscriptions [b'a']>"


@pytest.mark.parametrize("message", [[b"news"], [b""], [b"\x02news"], [b"\x01", b"news"]])
def test_a_message_that_is_no_subscription_is_left_to_others(message: list[bytes]) -> None:
    subscriptions = Subscriptions(1000)
    assert not subscriptions.receive_message(message)
    assert len(subscriptions) == 0


def test_subscriptions_by_message() -> None:
    subscriptions = Subscriptions(1000)
    assert subscriptions.receive_message([b"\x01news"])
    assert subscriptions.match(b"news of today")
    assert subscriptions.receive_message([memoryview(b"\x00news")])
    assert len(subscriptions) == 0
