"""``on_connection``: what a program is told of connections, on both sides."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import zerorpc
from tests.service.running import PATIENCE, RawPeer, connect, eventually, run, serving
from zerorpc.runtime import forks
from zerorpc.transport.watching import ConnectionWatch

Event = zerorpc.ConnectionEvent


def blocking(endpoint: str, told: Callable[[Event], object]) -> None:
    with zerorpc.Client(endpoint, timeout=PATIENCE, on_connection=told) as client:
        assert client.one() == 1


def on_loop(endpoint: str, told: Callable[[Event], object]) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE, on_connection=told) as client:
            assert await client.one() == 1

    run(main())


EITHER = pytest.mark.parametrize("call", [blocking, on_loop])


@EITHER
def test_both_sides_are_told(call: Callable[..., None]) -> None:
    served: list[Event] = []
    calling: list[Event] = []
    with serving({"one": lambda: 1}, on_connection=served.append) as server:
        port = server.endpoints[0].rpartition(":")[2]
        call(f"tcp://localhost:{port}", calling.append)
        eventually(lambda: len(served) == len(calling) == 2)
    peer = served[0].peer
    here = f"tcp://127.0.0.1:{port}"
    why = f"the connection to {peer} was closed"
    assert served == [Event(True, "server", here, peer), Event(False, "server", here, peer, None, why)]
    name = f"tcp://localhost:{port}"
    assert calling == [
        Event(True, "client", name, calling[0].peer),
        Event(False, "client", name, calling[0].peer, None, "the client was closed"),
    ]
    assert calling[0].peer in (here, f"tcp://[::1]:{port}")


@EITHER
def test_by_ipc_and_inproc(call: Callable[..., None], tmp_path: Path) -> None:
    served: list[Event] = []
    with serving({"one": lambda: 1}, bind=f"ipc://{tmp_path}/sock", on_connection=served.append) as server:
        call(server.endpoints[0], lambda event: None)
        server.bind("inproc://watched")
        call("inproc://watched", lambda event: None)
        eventually(lambda: len(served) == 4)
    assert [event.endpoint for event in served] == [f"ipc://{tmp_path}/sock"] * 2 + [""] * 2
    assert {event.peer for event in served} == {"a peer on this machine"}


def test_a_server_that_goes() -> None:
    told: list[Event] = []
    with serving({"one": lambda: 1}) as server:
        client = zerorpc.Client(server.endpoints[0], timeout=PATIENCE, on_connection=told.append)
        assert client.one() == 1
    eventually(lambda: len(told) == 2)
    client.close()
    assert [event.connected for event in told] == [True, False]
    assert told[1].why


def test_who_it_is(tmp_path: Path) -> None:
    served: list[Event] = []

    def knows(caller: zerorpc.Caller) -> str | None:
        return "alice" if caller.process is not None and caller.process.uid == os.getuid() else None

    with serving(
        {"one": lambda: 1}, bind=f"ipc://{tmp_path}/sock", authenticator=knows, on_connection=served.append
    ) as server:
        blocking(server.endpoints[0], lambda event: None)
        eventually(lambda: len(served) == 2)
    assert [event.identity for event in served] == ["alice", "alice"]


def test_one_that_never_shook_hands_is_none() -> None:
    served: list[Event] = []
    with serving({"one": lambda: 1}, on_connection=served.append) as server:
        with RawPeer.to(server.endpoints[0]):
            eventually(lambda: len(served) == 1)
            connect(server.endpoints[0]).close()
            blocking(server.endpoints[0], lambda event: None)
        eventually(lambda: len(served) == 4)
    assert [event.connected for event in served].count(True) == 2


@EITHER
def test_what_it_raises_is_logged_and_breaks_nothing(
    call: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    def raises(event: Event) -> None:
        raise SystemExit(3)

    with serving({"one": lambda: 1}, on_connection=raises) as server:
        call(server.endpoints[0], raises)
        eventually(lambda: caplog.text.count("on_connection raised") == 4)


@EITHER
def test_one_that_takes_long_holds_nothing_up(call: Callable[..., None]) -> None:
    may_end = threading.Event()
    threads: list[str] = []

    def waits(event: Event) -> None:
        threads.append(threading.current_thread().name)
        assert may_end.wait(PATIENCE)

    with serving({"one": lambda: 1}, on_connection=waits) as server:
        for _ in range(3):
            call(server.endpoints[0], waits)
        may_end.set()
        eventually(lambda: len(threads) == 12)
    assert set(threads) == {"zerorpc-connections"}


def test_it_may_call_the_very_client() -> None:
    values: list[Any] = []

    def told(event: Event) -> None:
        if event.connected:
            values.append(client.one())

    with serving({"one": lambda: 1}) as server:
        with zerorpc.Client(timeout=PATIENCE, on_connection=told) as client:
            client.connect(server.endpoints[0])
            eventually(lambda: values == [1])


def test_a_forked_child_has_connections_of_its_own() -> None:
    told: list[Event] = []
    watch = ConnectionWatch(told.append, "client")
    link: Any = type("Link", (), {"dialer": None, "name": "tcp://127.0.0.1:1", "why": None})()
    watch.made(link, None)
    eventually(lambda: len(told) == 1)
    assert watch.forked in [thing.forked for ref in list(forks._watched) if (thing := ref()) is not None]
    watch.forked()
    watch.lost(link)  # the parent's
    other: Any = type("Link", (), {"dialer": None, "name": "tcp://127.0.0.1:2", "why": None})()
    watch.made(other, None)
    eventually(lambda: len(told) == 2)
    assert told[1].peer == "tcp://127.0.0.1:2"


def test_what_is_no_function() -> None:
    for kind in (zerorpc.Client, zerorpc.AsyncClient, zerorpc.Server):
        with pytest.raises(TypeError, match="on_connection has to be a function"):
            kind(on_connection="log")
