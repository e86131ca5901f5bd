"""Reversed roles and several addresses: clients that bind, servers that connect, old and new at one client."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import zerorpc
from tests.interop.old_programs.service import Service
from tests.interop.ours import CALLERS, AsyncService, Caller, Pending, our_server, take
from tests.interop.programs import HEARTBEAT, PATIENCE, Peer, old_client, old_server
from tests.service.running import eventually

TCP = "tcp://127.0.0.1:0"
BEAT = ("--heartbeat", HEARTBEAT)

every_caller = pytest.mark.parametrize("make_caller", CALLERS.values(), ids=CALLERS)
MakeCaller = Callable[..., Caller]


# One client that binds, one worker


@every_caller
def test_an_old_worker_serves_our_binding_client(make_caller: MakeCaller) -> None:
    with contextlib.closing(make_caller(heartbeat=HEARTBEAT)) as client:
        endpoint = client.bind(TCP)
        answer = client.start("who")  # it waits for its worker
        with old_server("--connect", endpoint, *BEAT, "--name", "worker"):
            assert answer.get() == "worker"
            assert client.items("count", 500) == list(range(500))
            with pytest.raises(zerorpc.RemoteError, match="boom"):
                client.call("fail", "boom")
            assert client.call("slow", HEARTBEAT * 4, "done") == "done"


@pytest.mark.parametrize("service", [Service, AsyncService])
def test_a_worker_of_ours_serves_the_old_binding_client(service: type[Service]) -> None:
    with old_client("--bind", TCP, *BEAT) as client:
        answer = client.start("who")
        with our_server(service("worker"), connect=client.endpoint, heartbeat=HEARTBEAT):
            assert answer.get() == "worker"
            assert client.call("count", 500) == list(range(500))
            assert client.call("slow", HEARTBEAT * 4, "done") == "done"


def test_a_worker_serves_an_old_client_and_a_new_one_at_once() -> None:
    with old_client("--bind", TCP, *BEAT) as old, zerorpc.Client(heartbeat=HEARTBEAT) as new:
        (endpoint,) = new.bind(TCP)
        with our_server(Service("worker"), connect=old.endpoint, heartbeat=HEARTBEAT) as worker:
            worker.connect(endpoint)
            assert (old.call("who"), new.who()) == ("worker", "worker")


# One client that binds, an old worker and a new one


class Both:
    """A binding client of ours with an old and a new worker, both connected."""

    def __init__(self, client: Caller, old: Peer) -> None:
        self.client = client
        self.old = old

    def wait_until_both_are_there(self) -> None:
        """A call takes the connection with the fewest calls open: two at once go to both, once there are both."""
        deadline = time.monotonic() + PATIENCE
        while self.names_of_two_calls() != {"old", "new"}:
            assert time.monotonic() < deadline, "two calls at once never went to both workers"

    def requests_have_left(self) -> bool:
        client: Any = self.client
        peers = client.client._core.calls.peers
        return all(peer.channels and not peer.connection.output for peer in tuple(peers))

    def names_of_two_calls(self) -> set[str]:
        return {answer.get() for answer in [self.client.start("who_slowly", 0.05) for _ in range(2)]}


@pytest.fixture(params=CALLERS.values(), ids=CALLERS)
def both(request: pytest.FixtureRequest) -> Iterator[Both]:
    with contextlib.closing(request.param(heartbeat=HEARTBEAT)) as client:
        endpoint = client.bind(TCP)
        with (
            old_server("--connect", endpoint, *BEAT, "--name", "old") as old,
            our_server(Service("new"), connect=endpoint, heartbeat=HEARTBEAT),
        ):
            both = Both(client, old)
            both.wait_until_both_are_there()
            yield both


def test_calls_at_once_go_to_both_workers_every_time(both: Both) -> None:
    assert [both.names_of_two_calls() for _ in range(10)] == [{"old", "new"}] * 10


def test_every_call_stays_with_its_worker_for_life(both: Both) -> None:
    # libzmq would spread the credit and the heartbeats of each call over both workers, and each call would hang.
    slow = [both.client.start("slow", HEARTBEAT * 4, number) for number in range(4)]
    streams = [both.client.each("count", 300) for _ in range(6)]
    assert [list(items) for items in zip(*streams, strict=True)] == [[number] * 6 for number in range(300)]
    assert [answer.get() for answer in slow] == [0, 1, 2, 3]


def test_an_abandoned_stream_at_either_worker_disturbs_no_call(both: Both) -> None:
    slow = [both.client.start("slow", HEARTBEAT * 4, number) for number in range(2)]
    streams = [both.client.each("endless") for _ in range(2)]
    assert [take(stream, 150) for stream in streams] == [list(range(150))] * 2
    assert [answer.get() for answer in slow] == [0, 1]
    assert both.names_of_two_calls() == {"old", "new"}


def test_a_killed_worker_loses_its_own_calls_only(both: Both) -> None:
    answers = [both.client.start("who_slowly", 1.0) for _ in range(2)]
    eventually(both.requests_have_left)  # one that hasn't would go to the other worker
    both.old.kill()
    assert sorted(outcome_of(answer) for answer in answers) == ["lost", "new"]
    assert [both.client.call("who") for _ in range(5)] == ["new"] * 5


def outcome_of(answer: Pending) -> str:
    try:
        name: str = answer.get()
    except zerorpc.LostRemote:
        return "lost"
    return name


# Several addresses


def test_one_server_of_ours_answers_old_clients_on_tcp_and_ipc(new_ipc: Callable[[], str]) -> None:
    with our_server(Service(), bind=TCP, heartbeat=HEARTBEAT) as server:
        server.bind(new_ipc())
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(old_client("--connect", end, *BEAT)) for end in server.endpoints]
            answers = [client.start("meet", 2) for client in clients]
            assert [answer.get() for answer in answers] == [2, 2]
            assert [client.call("count", 250) for client in clients] == [list(range(250))] * 2


@every_caller
def test_the_old_server_answers_our_clients_on_tcp_and_ipc(make_caller: MakeCaller, new_ipc: Callable[[], str]) -> None:
    with old_server("--bind", TCP, "--bind", new_ipc(), *BEAT) as server, contextlib.ExitStack() as stack:
        clients = [make_caller(endpoint, heartbeat=HEARTBEAT) for endpoint in server.endpoints]
        for client in clients:
            stack.enter_context(contextlib.closing(client))
        answers = [client.start("meet", 2) for client in clients]
        assert [answer.get() for answer in answers] == [2, 2]
        assert [client.items("count", 250) for client in clients] == [list(range(250))] * 2


@every_caller
def test_our_client_is_not_held_up_by_an_address_where_nobody_listens(
    make_caller: MakeCaller, new_ipc: Callable[[], str]
) -> None:
    # The old client loses every second message there [ran].
    with (
        old_server("--bind", TCP, *BEAT) as server,
        contextlib.closing(make_caller(new_ipc(), heartbeat=HEARTBEAT)) as client,
    ):
        client.connect(server.endpoint)
        assert [client.call("echo", number) for number in range(10)] == list(range(10))


def test_a_server_of_ours_binds_and_connects_at_the_same_time() -> None:
    with (
        old_client("--bind", TCP, *BEAT) as hub,
        our_server(Service("both"), bind=TCP, connect=hub.endpoint, heartbeat=HEARTBEAT) as server,
        old_client("--connect", server.endpoints[0], *BEAT) as caller,
    ):
        assert (hub.call("who"), caller.call("who")) == ("both", "both")
