"""When a call counts as slow: by what the last ones took, or by what the caller says."""

from __future__ import annotations

import pytest

from tests.protocol.pairs import Pair, call, reply
from zerorpc.calls.dispatch import Calls
from zerorpc.calls.hedging import Hedges, Twin, TwinWaiter
from zerorpc.errors import LostRemote
from zerorpc.protocol.channel import STATE_DONE, STATE_REFUSED, STATE_SENT


def test_slow_is_what_takes_longer_than_95_of_the_last_100() -> None:
    hedges = Hedges()
    for n in range(19):
        hedges.measure("echo", n)
    assert hedges.watch(call(), True, 0.0) is None  # of so few nothing is known
    for n in range(19, 100):
        hedges.measure("echo", n)
    assert hedges.watch(call(), True, 1000.0) == 1095.0
    for _ in range(100):
        hedges.measure("echo", 1.0)
    assert hedges.watch(call(), True, 1000.0) == 1001.0
    assert hedges.watch(call("other"), True, 1000.0) is None


def test_the_caller_may_say_it() -> None:
    assert Hedges().watch(call(), 0.25, 1000.0) == 1000.25


def test_only_those_are_due_that_wait_still() -> None:
    hedges = Hedges()
    calls = [call() for _ in range(4)]
    for n, each in enumerate(calls):
        each.state = STATE_SENT
        hedges.watch(each, float(n + 1), 0.0)
    calls[1].state = STATE_DONE
    assert hedges.take_due(3.5) == [calls[0], calls[2]]
    assert hedges.take_due(3.5) == []
    assert hedges.due[0][0] == 4.0


@pytest.mark.parametrize("answers", [True, False])
def test_an_answer_right_after_the_first_attempt_was_lost_is_the_calls(answers: bool) -> None:
    """Both are read in one turn: whoever waits for the call hasn't looked yet, and would begin a third attempt."""
    hedges, told = Hedges(), []
    hedges.won = lambda channel, loser: told.append((channel, loser))
    first, second = Pair(), Pair()
    channel, _ = first.call()
    twin = Twin.of(channel, b"%032d" % 7, 2)
    twin.waiter = TwinWaiter(hedges, channel, twin, second.client)
    second.client.open(twin, second.clock.now)
    (there,) = second.exchange()[1]
    channel.refuse(LostRemote("cut"))
    if answers:
        reply(there, "the second's")
        second.exchange()
    else:
        twin.fail(LostRemote("cut, too"))
    twin.waiter.set_result(None)
    if answers:
        assert told == [(channel, None)]
        assert channel.state is STATE_DONE
        assert channel.reply is not None
        assert channel.reply.args == ["the second's"]
        assert channel.error is None
        assert not Calls().retry(channel, second.clock.now)  # somebody looks too late
        assert channel.state is STATE_DONE
    else:
        assert not told
        assert channel.state is STATE_REFUSED
