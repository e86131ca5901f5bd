"""Heartbeats between Node and us: who is alive, who is lost, and how soon that is known.

Node looks at each beat whether the last sign of life is two heartbeats old, so that it finds a peer lost 2 h to 3 h
after it, killed or only silent: it never hears of closed connections. Ours promises two heartbeats, with one more of
tolerance for old peers, and a closed connection is noticed at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import zerorpc
from tests.interop.node.programs import NodeAnswer, NodeCallError, NodeProgram, node_client, node_server
from tests.interop.old_programs.service import Service
from tests.interop.ours import CALLERS, AsyncService, AsyncTicking, Caller, Ticking, our_server, results_of
from tests.interop.programs import HEARTBEAT, PATIENCE, our_holder, our_server_process
from tests.service.running import unused_tcp

TCP = "tcp://127.0.0.1:0"
BEAT = ("--heartbeat", HEARTBEAT)
LONG = HEARTBEAT * 4.5  # beyond three heartbeats, at which a peer without them would be lost
SLACK = 5.0  # s for busy cores
LOST = (HEARTBEAT * 0.9, HEARTBEAT * 3 + SLACK)  # s from a peer's silence until it is found lost
AT_ONCE = 8.0  # s; where heartbeats of 5 s would take 10 s or more

every_caller = pytest.mark.parametrize("make_caller", CALLERS.values(), ids=CALLERS)
MakeCaller = Callable[..., Caller]


@contextlib.contextmanager
def takes(least: float, most: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert least <= time.monotonic() - started <= most


@contextlib.contextmanager
def our_callers(endpoint: str, heartbeat: float = HEARTBEAT) -> Iterator[dict[str, Caller]]:
    """Both clients of ours, each with active and with passive heartbeats."""
    with contextlib.ExitStack() as stack:
        callers = {}
        for name, make in CALLERS.items():
            for passive in (False, True):
                caller = make(endpoint, heartbeat=heartbeat, passive_heartbeat=passive)
                stack.callback(caller.close)
                callers[f"{name} {'passive' if passive else 'active'}"] = caller
        yield callers


def assert_lost(answer: NodeAnswer) -> None:
    with pytest.raises(NodeCallError) as caught:
        answer.get()
    assert caught.value.kind == "HeartbeatError"


# Alive: slow handlers and slow callers


@pytest.mark.parametrize("service", [Service, AsyncService])
def test_a_slow_handler_of_ours_keeps_node_waiting(service: type[Service]) -> None:
    with (
        our_server(service(), bind=TCP, heartbeat=HEARTBEAT) as server,
        node_client("--connect", server.endpoints[0], *BEAT) as client,
    ):
        answers = [client.start("slow", LONG, "done"), client.start("slow_count", 4, HEARTBEAT * 1.5)]
        assert [answer.get() for answer in answers] == ["done", [0, 1, 2, 3]]


def test_a_slow_node_handler_keeps_our_callers(aside: ThreadPoolExecutor) -> None:
    with node_server("--bind", TCP, *BEAT) as server, our_callers(server.endpoint) as callers:
        calls = {name: aside.submit(caller.call, "slow", LONG, name) for name, caller in callers.items()}
        streams = {name: aside.submit(caller.items, "slow_count", 4, LONG / 3) for name, caller in callers.items()}
        assert results_of(calls) == {name: name for name in callers}
        assert results_of(streams) == {name: [0, 1, 2, 3] for name in callers}


def test_a_caller_that_thinks_long_between_items_keeps_its_stream(aside: ThreadPoolExecutor) -> None:
    heartbeat = 1.5 * HEARTBEAT  # on a busy machine Node, which works for four callers here, was silent for 4.8 s

    def thinking(caller: Caller) -> list[int]:
        items = []
        for item in caller.each("count", 300):
            items.append(item)
            if item in {0, 150}:
                time.sleep(3.5 * heartbeat)  # what the caller does with its item takes this long
        return items

    with (
        node_server("--bind", TCP, "--heartbeat", heartbeat) as server,
        our_callers(server.endpoint, heartbeat) as callers,
    ):
        streams = {name: aside.submit(thinking, caller) for name, caller in callers.items()}
        assert results_of(streams, 3 * PATIENCE) == {name: list(range(300)) for name in callers}


# Given up


class Waiting:
    """A service of one method that never ends by itself and tells when it was cancelled."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    async def wait(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()


def test_a_call_that_node_gave_up_is_cancelled() -> None:
    # Node closes its side and says nothing: it is the heartbeats that stop.
    waiting = Waiting()
    with (
        our_server(waiting, bind=TCP, heartbeat=HEARTBEAT) as server,
        node_client("--connect", server.endpoints[0], *BEAT) as client,
    ):
        with pytest.raises(NodeCallError, match="Timeout after 1000ms"):
            client.call("wait", timeout=1)
        assert not waiting.ended.is_set()
        assert waiting.ended.wait(PATIENCE)
        assert client.call("_zerorpc_name") == "Waiting"


# Silent: the process is stopped, its connections stay open


def test_node_finds_our_stopped_server_lost_and_calls_it_again() -> None:
    with (
        our_server_process("--bind", TCP, *BEAT) as server,
        node_client("--connect", server.endpoint, *BEAT) as client,
    ):
        answers = [client.start("slow", PATIENCE), client.start("slow_count", 10_000, HEARTBEAT / 4)]
        assert client.call("echo", "the calls above have arrived")
        with takes(*LOST):
            server.pause()
            for answer in answers:
                assert_lost(answer)
        server.resume()
        assert client.call("echo", "again") == "again"
        server.kill()  # it would wait for its slow() until that returns


def test_our_clients_find_the_stopped_node_server_lost_and_call_it_again(aside: ThreadPoolExecutor) -> None:
    def seconds_until_lost(action: Callable[..., Any], *args: Any) -> float:
        with pytest.raises(zerorpc.LostRemote):
            action(*args)
        return time.monotonic() - paused

    with node_server("--bind", TCP, *BEAT) as server, our_callers(server.endpoint) as callers:
        lost = {}
        for name, caller in callers.items():
            lost[f"call {name}"] = aside.submit(seconds_until_lost, caller.call, "slow", PATIENCE, None)
            lost[f"stream {name}"] = aside.submit(seconds_until_lost, caller.items, "slow_count", 10_000, HEARTBEAT / 4)
        for caller in callers.values():
            caller.call("slow", HEARTBEAT * 1.5, None)  # by then a first heartbeat has come in the calls above
        paused = time.monotonic()
        server.pause()
        for seconds in results_of(lost).values():
            assert LOST[0] <= seconds <= LOST[1]
        server.resume()
        assert [caller.call("echo", "again") for caller in callers.values()] == ["again"] * 4


@pytest.mark.parametrize("service", [Ticking, AsyncTicking])
def test_our_server_closes_the_stream_of_a_stopped_node_client(service: type[Ticking]) -> None:
    ticking = service()
    with (
        our_server(ticking, bind=TCP, heartbeat=HEARTBEAT) as server,
        node_client("--connect", server.endpoints[0], *BEAT) as client,
    ):
        stream = client.start("tick")
        assert ticking.began.wait(PATIENCE)
        with takes(*LOST):
            client.pause()
            assert ticking.ended.wait(PATIENCE)
        client.resume()
        assert_lost(stream)
        assert client.call("_zerorpc_name") == service.__name__


# Gone: the process is killed, its connections are closed


def test_node_finds_our_killed_server_lost_and_outlives_its_restart() -> None:
    with contextlib.ExitStack() as first_life:
        server = first_life.enter_context(our_server_process("--bind", unused_tcp(), *BEAT, "--name", "first"))
        with node_client("--connect", server.endpoint, *BEAT) as client:
            answers = [client.start("slow", PATIENCE), client.start("slow_count", 10_000, HEARTBEAT / 4)]
            assert client.call("who") == "first"
            with takes(*LOST):
                server.kill()
                for answer in answers:
                    assert_lost(answer)
            with our_server_process("--bind", server.endpoint, *BEAT, "--name", "second"):
                assert client.call("who") == "second"
                assert client.call("count", 250) == list(range(250))


@every_caller
def test_our_client_finds_a_killed_node_server_lost_at_once_and_outlives_its_restart(make_caller: MakeCaller) -> None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(node_server("--bind", unused_tcp(), "--name", "first"))
        client = stack.enter_context(contextlib.closing(make_caller(server.endpoint)))
        answer = client.start("slow", PATIENCE, None)
        stream = client.each("slow_count", 10_000, 0.02)
        assert next(stream) == 0
        assert client.call("who") == "first"
        server.kill()
        with takes(0, AT_ONCE):
            with pytest.raises(zerorpc.LostRemote):
                answer.get()
            with pytest.raises(zerorpc.LostRemote):
                list(stream)
        stack.enter_context(node_server("--bind", server.endpoint, "--name", "second"))
        assert client.call("who") == "second"
        assert client.items("count", 250) == list(range(250))


@pytest.mark.parametrize("service", [Ticking, AsyncTicking])
def test_our_server_closes_the_stream_of_a_killed_node_client_at_once(service: type[Ticking]) -> None:
    ticking = service()
    with our_server(ticking, bind=TCP) as server, node_client("--connect", server.endpoints[0]) as client:
        client.start("tick")
        assert ticking.began.wait(PATIENCE)
        client.kill()
        with takes(0, AT_ONCE):
            assert ticking.ended.wait(PATIENCE)


def test_node_finds_our_killed_client_lost_and_serves_others() -> None:
    with (
        node_server("--bind", TCP, *BEAT) as server,
        zerorpc.Client(server.endpoint, heartbeat=HEARTBEAT) as witness,
        our_holder("--connect", server.endpoint, *BEAT) as holder,
    ):
        assert holder.next_line() == {"began": True}
        assert (witness.lost(), witness.streams_closed()) == (0, 0)
        with takes(*LOST):
            holder.kill()
            wait_until_closed(server, witness)
        assert witness.lost() == 1


def wait_until_closed(server: NodeProgram, witness: zerorpc.Client) -> None:
    """Until Node's endless() stream has found its caller gone; its callers are served all the while."""
    deadline = time.monotonic() + PATIENCE
    while not witness.streams_closed():
        assert time.monotonic() < deadline, f"never closed by {server}"
        assert list(witness.count(101)) == list(range(101))
