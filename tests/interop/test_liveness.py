"""Heartbeats between the old side and ours: who is alive, who is lost, and how soon that is known.

With a heartbeat of h the old side finds a silent peer lost at its third beat, so 2 h to 3 h after the last sign of
life. Ours promises two heartbeats, with one more of tolerance for old peers. Both get SLACK for
busy cores. All callers of one kind wait at once, each on a thread, since it is waiting that takes the time here.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import pytest

import zerorpc
from tests.interop.old_programs.service import Service
from tests.interop.ours import CALLERS, AsyncService, AsyncTicking, Caller, Ticking, our_server, results_of
from tests.interop.programs import (
    HEARTBEAT,
    PATIENCE,
    OldCallError,
    OldClient,
    Peer,
    old_client,
    old_holder,
    old_server,
    our_holder,
    our_server_process,
)
from tests.service.running import unused_tcp

TCP = "tcp://127.0.0.1:0"
BEAT = ("--heartbeat", HEARTBEAT)
LONG = HEARTBEAT * 4.5  # beyond three heartbeats, at which a peer without them would be lost
SLACK = 5.0
UNHURRIED = ("slow_count", 10_000, 0.05)  # a call that is under way for as long as its test
AT_ONCE = 8.0  # where heartbeats of 5 s would take 10 s or more

every_caller = pytest.mark.parametrize("make_caller", CALLERS.values(), ids=CALLERS)
MakeCaller = Callable[..., Caller]


class Stopwatch:
    seconds = 0.0


@contextlib.contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    watch, started = Stopwatch(), time.monotonic()
    yield watch
    watch.seconds = time.monotonic() - started


@contextlib.contextmanager
def our_callers(endpoint: str, **options: Any) -> Iterator[dict[str, Caller]]:
    """Both clients of ours, each with active and with passive heartbeats."""
    with contextlib.ExitStack() as stack:
        callers = {
            f"{kind} passive={passive}": make_caller(endpoint, passive_heartbeat=passive, **options)
            for kind, make_caller in CALLERS.items()
            for passive in (False, True)
        }
        for caller in callers.values():
            stack.callback(caller.close)
        yield callers


# Alive: slow handlers and slow callers


@pytest.mark.parametrize("service", [Service, AsyncService])
def test_a_slow_handler_of_ours_keeps_old_callers_active_and_passive(service: type[Service]) -> None:
    with (
        our_server(service(), bind=TCP, heartbeat=HEARTBEAT) as server,
        old_client("--connect", server.endpoints[0], *BEAT) as active,
        old_client("--connect", server.endpoints[0], *BEAT, "--passive") as passive,
    ):
        answers = [client.start("slow", LONG, "done") for client in (active, passive)]
        assert [answer.get() for answer in answers] == ["done", "done"]


def test_a_slow_old_handler_keeps_our_callers(aside: ThreadPoolExecutor) -> None:
    with old_server("--bind", TCP, *BEAT) as server, our_callers(server.endpoint, heartbeat=HEARTBEAT) as callers:
        waiting = {name: aside.submit(caller.call, "slow", LONG, name) for name, caller in callers.items()}
        started = {name: caller.start("slow", LONG, name) for name, caller in callers.items()}
        assert results_of(waiting) == {name: name for name in callers}
        assert {name: answer.get() for name, answer in started.items()} == {name: name for name in callers}


def test_without_heartbeats_a_slow_handler_of_ours_is_waited_for() -> None:
    # A passive client that has heartbeats waits for our first one, which must never come.
    with (
        our_server(Service(), bind=TCP, heartbeat=None) as server,
        old_client("--connect", server.endpoints[0], "--heartbeat", None) as without,
        old_client("--connect", server.endpoints[0], *BEAT, "--passive") as passive,
    ):
        answers = [client.start("slow", LONG, "done") for client in (without, passive)]
        assert [answer.get() for answer in answers] == ["done", "done"]


def test_without_heartbeats_a_slow_old_handler_is_waited_for(aside: ThreadPoolExecutor) -> None:
    with (
        old_server("--bind", TCP, "--heartbeat", None) as server,
        our_callers(server.endpoint, heartbeat=None) as callers,
    ):
        waiting = {name: aside.submit(caller.call, "slow", LONG, name) for name, caller in callers.items()}
        assert results_of(waiting) == {name: name for name in callers}


def test_a_caller_that_thinks_long_between_items_keeps_its_stream(aside: ThreadPoolExecutor) -> None:
    def thinking(caller: Caller) -> list[int]:
        items = []
        for item in caller.each("count", 300):
            items.append(item)
            if item in {0, 150}:
                time.sleep(LONG)  # what the caller does with its item takes this long
        return items

    with old_server("--bind", TCP, *BEAT) as server, our_callers(server.endpoint, heartbeat=HEARTBEAT) as callers:
        streams = {name: aside.submit(thinking, caller) for name, caller in callers.items()}
        assert results_of(streams) == {name: list(range(300)) for name in callers}


# Silent: the process is stopped, its connections stay open


def test_old_clients_find_our_stopped_server_lost() -> None:
    with (
        our_server_process("--bind", TCP, *BEAT) as server,
        old_client("--connect", server.endpoint, *BEAT) as active,
        old_client("--connect", server.endpoint, *BEAT, "--passive") as passive,
    ):
        answers = [client.start(*UNHURRIED) for client in (active, passive)]
        for client in (active, passive):
            client.call("slow", HEARTBEAT * 1.5)  # by then a first heartbeat has come in the calls above
        with stopwatch() as waited:
            server.pause()
            for answer in answers:
                with pytest.raises(OldCallError) as caught:
                    answer.get()
                assert caught.value.kind == "LostRemote"
        assert HEARTBEAT <= waited.seconds <= HEARTBEAT * 3 + SLACK
        server.resume()
        assert both_echo(active, passive) == ["again", "again"]


def both_echo(*clients: OldClient) -> list[str]:
    return [client.call("echo", "again") for client in clients]


def test_our_clients_find_the_stopped_old_server_lost(aside: ThreadPoolExecutor) -> None:
    def seconds_until_lost(action: Callable[..., Any], *args: Any) -> float:
        with pytest.raises(zerorpc.LostRemote):
            action(*args)
        return time.monotonic() - paused

    def read_all(caller: Caller) -> None:
        caller.items("slow_count", 10_000, HEARTBEAT / 4)

    with old_server("--bind", TCP, *BEAT) as server, our_callers(server.endpoint, heartbeat=HEARTBEAT) as callers:
        lost = {}
        for name, caller in callers.items():
            lost[f"call {name}"] = aside.submit(seconds_until_lost, caller.call, "slow", PATIENCE)
            lost[f"stream {name}"] = aside.submit(seconds_until_lost, read_all, caller)
        for caller in callers.values():
            caller.call("slow", HEARTBEAT * 1.5)  # by then a first heartbeat has come in the calls above
        paused = time.monotonic()
        server.pause()
        for seconds in results_of(lost).values():
            assert HEARTBEAT * 0.9 <= seconds <= HEARTBEAT * 3 + SLACK
        # [ran] No call after server.resume(): an old server that was stopped with several calls open wakes up deaf to
        # everybody every second time. Its dispatcher waits for room in the queue of a channel that is closed.


@pytest.mark.parametrize("service", [Ticking, AsyncTicking])
def test_our_server_closes_the_stream_of_a_stopped_old_client(service: type[Ticking]) -> None:
    ticking = service()
    with (
        our_server(ticking, bind=TCP, heartbeat=HEARTBEAT) as server,
        old_client("--connect", server.endpoints[0], *BEAT) as client,
    ):
        client.start("tick")
        assert ticking.began.wait(PATIENCE)
        with stopwatch() as waited:
            client.pause()
            assert ticking.ended.wait(PATIENCE)
        assert HEARTBEAT * 0.9 <= waited.seconds <= HEARTBEAT * 3 + SLACK


@pytest.mark.parametrize(
    ("serve", "hold"), [(old_server, our_holder), (our_server_process, old_holder)], ids=["ours stopped", "old stopped"]
)
def test_a_stopped_client_loses_its_stream_and_learns_of_it_when_it_goes_on(
    serve: Callable[..., AbstractContextManager[Peer]], hold: Callable[..., AbstractContextManager[Peer]]
) -> None:
    with (
        serve("--bind", TCP, *BEAT) as server,
        zerorpc.Client(server.endpoint, heartbeat=HEARTBEAT) as witness,
        hold("--connect", server.endpoint, *BEAT) as holder,
    ):
        assert holder.next_line() == {"began": True}
        with stopwatch() as waited:
            holder.pause()
            while not witness.streams_closed():
                assert list(witness.count(101)) == list(range(101))
        assert HEARTBEAT * 0.9 <= waited.seconds <= HEARTBEAT * 3 + SLACK
        holder.resume()
        assert holder.next_line() == {"lost": True}


# Gone: the process is killed, its connections are closed


@every_caller
def test_our_client_finds_a_killed_old_server_lost_at_once(make_caller: MakeCaller) -> None:
    with old_server("--bind", TCP) as server, contextlib.closing(make_caller(server.endpoint)) as client:
        answer = client.start("slow", PATIENCE)
        client.call("echo", "the call above has arrived")
        with stopwatch() as waited:
            server.kill()
            with pytest.raises(zerorpc.LostRemote):
                answer.get()
        assert waited.seconds < AT_ONCE


@pytest.mark.parametrize("service", [Ticking, AsyncTicking])
def test_our_server_closes_the_stream_of_a_killed_old_client_at_once(service: type[Ticking]) -> None:
    ticking = service()
    with our_server(ticking, bind=TCP) as server, old_client("--connect", server.endpoints[0]) as client:
        client.start("tick")
        assert ticking.began.wait(PATIENCE)
        with stopwatch() as waited:
            client.kill()
            assert ticking.ended.wait(PATIENCE)
        assert waited.seconds < AT_ONCE


# Back again


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_an_old_client_outlives_a_restart_of_our_server(transport: str, new_ipc: Callable[[], str]) -> None:
    with contextlib.ExitStack() as first_life:
        first = our_server(
            Service("first"), bind=unused_tcp() if transport == "tcp" else new_ipc(), heartbeat=HEARTBEAT
        )
        endpoint = first_life.enter_context(first).endpoints[0]
        with old_client("--connect", endpoint, *BEAT) as client:
            assert client.call("who") == "first"
            first_life.close()
            with our_server(Service("second"), bind=endpoint, heartbeat=HEARTBEAT):
                assert client.call("who") == "second"
                assert client.call("count", 250) == list(range(250))


@every_caller
@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_our_client_outlives_a_restart_of_the_old_server(
    make_caller: MakeCaller, transport: str, new_ipc: Callable[[], str]
) -> None:
    with contextlib.ExitStack() as first_life:
        first = old_server("--bind", unused_tcp() if transport == "tcp" else new_ipc(), *BEAT, "--name", "first")
        endpoint = first_life.enter_context(first).endpoint
        with contextlib.closing(make_caller(endpoint, heartbeat=HEARTBEAT)) as client:
            assert client.call("who") == "first"
            first_life.close()
            with old_server("--bind", endpoint, *BEAT, "--name", "second"):
                assert client.call("who") == "second"
                assert client.items("count", 250) == list(range(250))


@every_caller
def test_our_client_may_come_before_the_old_server(make_caller: MakeCaller, new_ipc: Callable[[], str]) -> None:
    endpoint = new_ipc()
    with contextlib.closing(make_caller(endpoint, heartbeat=HEARTBEAT)) as client:
        answer = client.start("who")
        with old_server("--bind", endpoint, *BEAT, "--name", "late"):
            assert answer.get() == "late"


def test_the_old_client_may_come_before_our_server(new_ipc: Callable[[], str]) -> None:
    endpoint = new_ipc()
    with old_client("--connect", endpoint, *BEAT) as client:
        answer = client.start("who")
        with our_server(Service("late"), bind=endpoint, heartbeat=HEARTBEAT):
            assert answer.get() == "late"
