"""Heartbeats between the old side and ours: who is alive, who is lost, and how soon that is known.

With a heartbeat of h the old side finds a silent peer lost at its third beat, so 2 h to 3 h after the last sign of
life (wire.md section 5). Ours promises two heartbeats, with one more of tolerance for old peers. Both get SLACK for
busy cores.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

import zerorpc
from tests.interop.old_programs.service import Service
from tests.interop.ours import CALLERS, AsyncService, AsyncTicking, Caller, Ticking, our_server
from tests.interop.programs import (
    HEARTBEAT,
    PATIENCE,
    OldCallError,
    Peer,
    old_client,
    old_holder,
    old_server,
    our_holder,
    our_server_process,
)

TCP = "tcp://127.0.0.1:0"
BEAT = ("--heartbeat", HEARTBEAT)
LONG = HEARTBEAT * 4.5  # beyond three heartbeats, at which a peer without them would be lost
SLACK = 1.0
UNHURRIED = ("slow_count", 10_000, 0.05)  # a call that is under way for as long as its test
AT_ONCE = 2.0  # where heartbeats of 5 s would take 10 s or more

every_caller = pytest.mark.parametrize("make_caller", CALLERS.values(), ids=CALLERS)
MakeCaller = Callable[..., Caller]


class Stopwatch:
    seconds = 0.0


@contextlib.contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    watch, started = Stopwatch(), time.monotonic()
    yield watch
    watch.seconds = time.monotonic() - started


# Alive: slow handlers and slow callers


@pytest.mark.parametrize("service", [Service, AsyncService])
@pytest.mark.parametrize("passive", [(), ("--passive",)], ids=["active", "passive"])
def test_a_slow_handler_of_ours_keeps_the_old_caller(service: type[Service], passive: tuple[str, ...]) -> None:
    with (
        our_server(service(), bind=TCP, heartbeat=HEARTBEAT) as server,
        old_client("--connect", server.endpoints[0], *BEAT, *passive) as client,
    ):
        assert client.call("slow", LONG, "done") == "done"


@every_caller
@pytest.mark.parametrize("passive", [False, True], ids=["active", "passive"])
def test_a_slow_old_handler_keeps_our_caller(make_caller: MakeCaller, passive: bool) -> None:
    with old_server("--bind", TCP, *BEAT) as server:
        options = {"heartbeat": HEARTBEAT, "passive_heartbeat": passive}
        with contextlib.closing(make_caller(server.endpoint, **options)) as client:
            assert client.call("slow", LONG, "done") == "done"


def test_without_heartbeats_a_slow_handler_of_ours_is_waited_for() -> None:
    with our_server(Service(), bind=TCP, heartbeat=None) as server:
        # A passive client that has heartbeats waits for our first one, which must never come.
        for beat in (("--heartbeat", None), (*BEAT, "--passive")):
            with old_client("--connect", server.endpoints[0], *beat) as client:
                assert client.call("slow", HEARTBEAT * 3, "done") == "done"


@every_caller
def test_without_heartbeats_a_slow_old_handler_is_waited_for(make_caller: MakeCaller) -> None:
    with (
        old_server("--bind", TCP, "--heartbeat", None) as server,
        contextlib.closing(make_caller(server.endpoint, heartbeat=None)) as client,
    ):
        assert client.call("slow", HEARTBEAT * 4, "done") == "done"


@every_caller
def test_a_caller_that_thinks_long_between_items_keeps_its_stream(make_caller: MakeCaller) -> None:
    with (
        old_server("--bind", TCP, *BEAT) as server,
        contextlib.closing(make_caller(server.endpoint, heartbeat=HEARTBEAT)) as client,
    ):
        items = []
        for item in client.each("count", 300):
            items.append(item)
            if item in {0, 150}:
                time.sleep(LONG)  # what the caller does with its item takes this long
    assert items == list(range(300))


# Silent: the process is stopped, its connections stay open


def test_the_old_client_finds_our_stopped_server_lost() -> None:
    with (
        our_server_process("--bind", TCP, *BEAT) as server,
        old_client("--connect", server.endpoint, *BEAT) as client,
    ):
        answer = client.start(*UNHURRIED)
        client.call("echo", "the call above has arrived")
        server.pause()
        with stopwatch() as waited, pytest.raises(OldCallError) as caught:
            answer.get()
        server.resume()
        assert caught.value.kind == "LostRemote"
        assert HEARTBEAT <= waited.seconds <= HEARTBEAT * 3 + SLACK
        assert client.call("echo", "again") == "again"


def test_the_passive_old_client_finds_our_stopped_server_lost() -> None:
    with (
        our_server_process("--bind", TCP, *BEAT) as server,
        old_client("--connect", server.endpoint, *BEAT, "--passive") as client,
    ):
        answer = client.start(*UNHURRIED)
        client.call("slow", HEARTBEAT * 1.5)  # by then a first heartbeat has come in the call above
        server.pause()
        with stopwatch() as waited, pytest.raises(OldCallError) as caught:
            answer.get()
        assert caught.value.kind == "LostRemote"
        assert waited.seconds <= HEARTBEAT * 3 + SLACK


@every_caller
@pytest.mark.parametrize("passive", [False, True], ids=["active", "passive"])
def test_our_client_finds_the_stopped_old_server_lost(make_caller: MakeCaller, passive: bool) -> None:
    with old_server("--bind", TCP, *BEAT) as server:
        options = {"heartbeat": HEARTBEAT, "passive_heartbeat": passive}
        with contextlib.closing(make_caller(server.endpoint, **options)) as client:
            answer = client.start("slow", PATIENCE)
            client.call("slow", HEARTBEAT * 1.5)  # by then a first heartbeat has come in the call above
            server.pause()
            with stopwatch() as waited, pytest.raises(zerorpc.LostRemote):
                answer.get()
            server.resume()
            assert HEARTBEAT * 0.9 <= waited.seconds <= HEARTBEAT * 3 + SLACK
            assert client.call("echo", "again") == "again"


@every_caller
def test_our_client_finds_the_old_server_lost_in_the_middle_of_a_stream(make_caller: MakeCaller) -> None:
    with (
        old_server("--bind", TCP, *BEAT) as server,
        contextlib.closing(make_caller(server.endpoint, heartbeat=HEARTBEAT)) as client,
    ):
        stream = client.each("slow_count", 10_000, HEARTBEAT / 4)
        assert [next(stream) for _ in range(3)] == [0, 1, 2]
        server.pause()
        with stopwatch() as waited, pytest.raises(zerorpc.LostRemote):
            list(stream)
        assert HEARTBEAT * 0.9 <= waited.seconds <= HEARTBEAT * 3 + SLACK


@pytest.mark.parametrize("service", [Ticking, AsyncTicking])
def test_our_server_closes_the_stream_of_a_stopped_old_client(service: type[Ticking]) -> None:
    ticking = service()
    with (
        our_server(ticking, bind=TCP, heartbeat=HEARTBEAT) as server,
        old_client("--connect", server.endpoints[0], *BEAT) as client,
    ):
        client.start("tick")
        assert ticking.began.wait(PATIENCE)
        client.pause()
        with stopwatch() as waited:
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
        holder.pause()
        with stopwatch() as waited:
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
    with our_server(Service("first"), bind=TCP if transport == "tcp" else new_ipc(), heartbeat=HEARTBEAT) as server:
        endpoint = server.endpoints[0]
        client = old_client("--connect", endpoint, *BEAT)
        with client as caller:
            assert caller.call("who") == "first"
            server.stop()
            server.close()
            with our_server(Service("second"), bind=endpoint, heartbeat=HEARTBEAT):
                assert caller.call("who") == "second"
                assert caller.call("count", 250) == list(range(250))


@every_caller
@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_our_client_outlives_a_restart_of_the_old_server(
    make_caller: MakeCaller, transport: str, new_ipc: Callable[[], str]
) -> None:
    with contextlib.ExitStack() as first_life:
        first = old_server("--bind", TCP if transport == "tcp" else new_ipc(), *BEAT, "--name", "first")
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
