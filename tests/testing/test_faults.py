"""Faults on a connection in memory: with a clock that only the test moves they show without any waiting."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import zerorpc
import zerorpc.testing
from tests.service.running import PATIENCE, run
from tests.testing.services import Cooler


@pytest.fixture
def clock() -> zerorpc.testing.Clock:
    return zerorpc.testing.Clock()


@pytest.fixture
def faults() -> zerorpc.testing.Faults:
    return zerorpc.testing.Faults()


@pytest.fixture
def cooler() -> Iterator[Cooler]:
    service = Cooler()
    yield service
    service.blocked.set()


@pytest.fixture
def client(cooler: Cooler, clock: zerorpc.testing.Clock, faults: zerorpc.testing.Faults) -> Iterator[zerorpc.Client]:
    with zerorpc.testing.client(cooler, clock=clock, faults=faults) as made:
        yield made


@pytest.mark.parametrize("way", ["both", "to_server", "to_client"])
def test_a_half_open_connection_is_found_by_heartbeats(
    client: zerorpc.Client, clock: zerorpc.testing.Clock, faults: zerorpc.testing.Faults, way: Any
) -> None:
    assert client.add(1, 2) == 3
    faults.half_open(way)
    result = client.add(1, 2, async_=True)
    clock.advance(9.5)
    assert not result.ready()
    clock.advance(1)  # two heartbeats
    with pytest.raises(zerorpc.LostRemote, match="10s heartbeat"):
        result.get()
    faults.heal()
    assert client.add(1, 2) == 3


def test_the_server_finds_it_too(
    client: zerorpc.Client, cooler: Cooler, clock: zerorpc.testing.Clock, faults: zerorpc.testing.Faults
) -> None:
    result = client.hangs(async_=True, timeout=None)
    assert cooler.begun.wait(PATIENCE)
    faults.half_open()
    clock.advance(12)
    with pytest.raises(zerorpc.LostRemote):
        result.get()
    clock.advance(0)
    assert cooler.cancelled == ["hangs"]


def test_what_was_swallowed_is_not_delivered_later(
    client: zerorpc.Client, clock: zerorpc.testing.Clock, faults: zerorpc.testing.Faults
) -> None:
    faults.half_open("to_client")
    result = client.add(1, 2, async_=True, timeout=3)
    clock.advance(4)
    with pytest.raises(zerorpc.TimeoutExpired):
        result.get()
    faults.heal()
    assert client.add(2, 2) == 4


def test_a_lost_connection_ends_what_runs_and_comes_back(
    client: zerorpc.Client, cooler: Cooler, faults: zerorpc.testing.Faults
) -> None:
    result = client.hangs(async_=True)
    assert cooler.begun.wait(PATIENCE)
    faults.lose()
    with pytest.raises(zerorpc.LostRemote):
        result.get()
    assert client.add(1, 2) == 3
    assert cooler.cancelled == ["hangs"]


def test_a_call_that_begins_after_a_cut_is_sent_over_a_new_connection(
    client: zerorpc.Client, cooler: Cooler, faults: zerorpc.testing.Faults
) -> None:
    def waits() -> None:
        with pytest.raises(zerorpc.LostRemote):
            client.hangs()

    for _ in range(20):
        cooler.begun.clear()
        other = threading.Thread(target=waits)  # which waits for sockets, and so hears of the cut first
        other.start()
        assert cooler.begun.wait(PATIENCE)
        faults.lose()
        assert client.add(1, 2) == 3
        other.join()


def test_while_connections_are_refused_calls_wait(
    client: zerorpc.Client, clock: zerorpc.testing.Clock, faults: zerorpc.testing.Faults
) -> None:
    faults.refuse()
    late = client.add(1, 2, async_=True, timeout=30)
    patient = client.add(1, 2, async_=True, timeout=60)
    clock.advance(31)
    with pytest.raises(zerorpc.TimeoutExpired, match="no server was reached") as caught:
        late.get()
    assert caught.value.ran is False
    faults.heal()
    assert patient.get() == 3


def test_a_client_may_begin_without_a_connection(
    cooler: Cooler, clock: zerorpc.testing.Clock, faults: zerorpc.testing.Faults
) -> None:
    faults.refuse()
    with zerorpc.testing.client(cooler, clock=clock, faults=faults) as client:
        result = client.add(1, 2, async_=True)
        clock.advance(1)
        assert not result.ready()
        faults.heal()
        assert result.get() == 3


def test_delay(client: zerorpc.Client, clock: zerorpc.testing.Clock, faults: zerorpc.testing.Faults) -> None:
    faults.delay(2)
    results = [client.aecho(number, async_=True) for number in range(3)]
    clock.advance(3.9)
    assert not any(result.ready() for result in results)
    clock.advance(0.2)
    assert [result.get() for result in results] == [0, 1, 2]
    faults.heal()
    faults.delay(2, "to_server")
    result = client.aecho("x", async_=True)
    clock.advance(2.1)
    assert result.get() == "x"
    faults.heal()
    assert client.add(1, 2) == 3


def test_what_is_delayed_comes_when_it_is_healed(
    client: zerorpc.Client, clock: zerorpc.testing.Clock, faults: zerorpc.testing.Faults
) -> None:
    faults.delay(1000)
    result = client.echo("x", async_=True)
    clock.advance(0)
    faults.heal()
    assert result.get() == "x"


def test_a_slow_reader_makes_a_stream_wait(
    client: zerorpc.Client, clock: zerorpc.testing.Clock, faults: zerorpc.testing.Faults
) -> None:
    faults.slow(1000, "to_client")
    result = client.aecho(bytes(10_000), async_=True)
    clock.advance(9)
    assert not result.ready()
    clock.advance(2)
    assert result.get() == bytes(10_000)
    faults.heal()
    assert list(client.count(300)) == list(range(300))


def test_without_a_clock_faults_take_their_time(cooler: Cooler, faults: zerorpc.testing.Faults) -> None:
    with zerorpc.testing.client(cooler, faults=faults) as client:
        faults.delay(0.01)
        assert client.add(1, 2) == 3
        with pytest.raises(zerorpc.TimeoutExpired):
            client.add(1, 2, timeout=0.001)
        assert client.chills() == "chilled"


@pytest.mark.parametrize(
    ("method", "args", "error"),
    [
        ("delay", (-1,), ValueError),
        ("delay", ("1",), TypeError),
        ("slow", (0,), ValueError),
        ("half_open", ("sideways",), ValueError),
        ("delay", (1, "sideways"), ValueError),
    ],
)
def test_what_is_no_fault(
    faults: zerorpc.testing.Faults, method: str, args: tuple[Any, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        getattr(faults, method)(*args)


def test_what_is_wrong_shows() -> None:
    faults = zerorpc.testing.Faults()
    faults.delay(0.5, "to_server")
    faults.slow(100, "to_client")
    faults.half_open("to_client")
    assert repr(faults) == (
        "<Faults to_server=<Direction delay=0.5> to_client=<Direction delay=0 100 octets/s swallows>>"
    )


def test_coroutines_meet_the_same_faults(
    cooler: Cooler, clock: zerorpc.testing.Clock, faults: zerorpc.testing.Faults
) -> None:
    async def calls() -> None:
        async with zerorpc.testing.async_client(cooler, clock=clock, faults=faults) as client:
            assert await client.add(1, 2) == 3
            faults.half_open()
            call = asyncio.ensure_future(client.add(1, 2))
            await clock.async_advance(9.5)
            assert not call.done()
            await clock.async_advance(1)
            with pytest.raises(zerorpc.LostRemote):
                await call
            faults.heal()
            assert await client.add(1, 2) == 3
            faults.lose()
            assert await client.add(1, 2) == 3
            await asyncio.to_thread(faults.lose)
            assert await client.add(1, 2) == 3
            faults.slow(1000)
            call = asyncio.ensure_future(client.aecho(bytes(500)))
            await clock.async_advance(0.9)
            assert not call.done()
            await clock.async_advance(0.5)
            assert await call == bytes(500)

    run(calls())


def test_at_random_moments_no_fault_makes_a_call_hang(
    client: zerorpc.Client, clock: zerorpc.testing.Clock, faults: zerorpc.testing.Faults
) -> None:
    """Several threads call, while faults come and go."""
    chance = random.Random(7)
    ended: list[bool] = []

    def calls(number: int) -> None:
        for turn in range(40):
            try:
                ended.append(client.add(number, turn) == number + turn)
                ended.append(list(client.acount(50)) == list(range(50)))
                ended.append(client.aecho(turn, async_=True).get() == turn)
            except (zerorpc.LostRemote, zerorpc.TimeoutExpired):
                ended.append(True)

    def disturb() -> None:
        act = chance.choice([faults.lose, faults.half_open, faults.refuse, faults.heal, faults.heal, faults.heal])
        chance.choice([act, lambda: faults.delay(chance.random()), lambda: faults.slow(chance.randint(1000, 50_000))])()
        clock.advance(8 * chance.random())

    threads = [threading.Thread(target=calls, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PATIENCE
    while any(thread.is_alive() for thread in threads):
        assert time.monotonic() < deadline, f"{len(ended)} calls have ended, others hang"
        disturb()
    faults.heal()
    assert all(ended)
    assert client.add(1, 2) == 3
