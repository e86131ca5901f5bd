"""A server that connects to its clients, by a name with several addresses."""

from __future__ import annotations

import threading

import pytest

import zerorpc
from tests.service.running import PATIENCE, TCP, eventually, serving
from tests.transport.resolver import NAME, Resolver, address_of


class Work:
    def __init__(self) -> None:
        self.began = threading.Event()
        self.go_on = threading.Event()

    def echo(self, value: object) -> object:
        return value

    def held(self) -> str:
        self.began.set()
        assert self.go_on.wait(PATIENCE)
        return "done"


def test_a_worker_serves_all_addresses_and_leaves_one_that_is_gone_when_its_calls_have_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zerorpc.transport.names._EVERY", 0.05)
    resolver, work = Resolver(monkeypatch), Work()
    with zerorpc.Client(timeout=PATIENCE) as stays, zerorpc.Client(timeout=PATIENCE) as goes:
        resolver.addresses = addresses = [address_of(client.bind(TCP)[0]) for client in (stays, goes)]
        with serving(work, connect=NAME) as server:
            assert [client.echo(1) for client in (stays, goes)] == [1, 1]
            under_way = goes.held(async_=True)
            assert work.began.wait(PATIENCE)
            resolver.addresses = addresses[:1]
            eventually(lambda: not goes._core.calls.peers, "the client is told")
            with pytest.raises(zerorpc.TimeoutExpired):
                goes.echo(1, timeout=0.05)
            assert stays.echo(2) == 2
            work.go_on.set()
            assert under_way.get() == "done"
            eventually(lambda: len(server._core.hub.links) == 1)
            assert stays.echo(3) == 3
