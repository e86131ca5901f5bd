"""Repeats, several servers, functions by reference and the testing aid, with zerorpc 0.6.3 or Node at the other end.

The table of all points is in test_older_peers.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import zerorpc
import zerorpc.testing
from tests.client.ways import EACH_WAY, Way
from tests.interop.either_peer import EACH_CALLER, EACH_CLIENT, EACH_SERVER, ERRORS, SERVERS, begin
from tests.interop.old_programs.service import Service
from tests.interop.ours import BlockingCaller, Caller, our_server
from tests.interop.programs import PATIENCE
from tests.interop.test_keywords_and_options import refused
from tests.service.running import eventually, unused_port

TCP = "tcp://127.0.0.1:0"
SHORT = 0.3  # s
QUICK = zerorpc.Retry(backoff=0.01)


@EACH_CALLER
@EACH_SERVER
def test_what_may_have_run_is_made_again_only_where_the_caller_vouches_for_it(
    start_server: Any, make_caller: Callable[..., Caller]
) -> None:
    endpoint = f"tcp://127.0.0.1:{unused_port()}"
    vouching = zerorpc.Retry(backoff=0.01, idempotent=True)
    with start_server("--bind", endpoint) as first, contextlib.closing(make_caller(endpoint, timeout=PATIENCE)) as us:
        doubtful = begin(us, lambda client: client.slow(PATIENCE, None), retry=QUICK)
        vouched = begin(us, lambda client: client.slow(1, "again"), retry=vouching)
        assert us.call("echo", "both are sent") == "both are sent"
        first.kill()
        with start_server("--bind", endpoint):
            with pytest.raises(zerorpc.LostRemote) as caught:
                doubtful()
            assert caught.value.ran is None
            assert vouched() == "again"


@EACH_WAY
def test_an_idempotency_key_is_refused(older: str, way: Way) -> None:
    for options in ({"key": "k"}, {"key": b"k", "retry": QUICK}):
        assert "no idempotency keys" in str(refused(way, older, lambda client: client.move(1), **options))


@EACH_CALLER
@EACH_SERVER
def test_nothing_is_hedged(start_server: Any, make_caller: Callable[..., Caller]) -> None:
    """``meet(2)`` waits for another call of it on the same server."""
    with start_server("--bind", TCP) as one, start_server("--bind", TCP) as other:
        with contextlib.closing(make_caller(timeout=PATIENCE)) as us:
            us.connect(one.endpoint)
            us.connect(other.endpoint)
            us.call("who")
            eventually(lambda: len(us.client._core.calls.peers) == 2)
            call = begin(us, lambda client: client.meet(2), hedge=0.05, timeout=1.5)
            with pytest.raises(zerorpc.TimeoutExpired):
                call()
        met = [_meets(server.endpoint) for server in (one, other)]
    assert sorted(met) == [False, True]


def _meets(endpoint: str) -> bool:
    """Whether ``meet`` was called there before."""
    with zerorpc.Client(endpoint) as client:
        client.who()
        try:
            return bool(client.meet(2, timeout=3.0))
        except zerorpc.TimeoutExpired:
            return False


class Priced:
    @zerorpc.idempotent
    def price(self) -> int:
        return zerorpc.current_call().attempt


@EACH_CLIENT
def test_an_idempotent_method_is_one_like_any_other(start_client: Any) -> None:
    with our_server(Priced(), bind=TCP) as server, start_client("--connect", server.endpoints[0]) as client:
        assert client.call("price") == 1
        assert client.call("_zerorpc_inspect")["methods"]["price"]["args"] == []


@EACH_CLIENT
def test_an_overloaded_server_is_an_error_of_that_name(start_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.limits.Limits.waiting", 0)
    release = threading.Event()
    with our_server({"wait": lambda: release.wait(PATIENCE)}, bind=TCP, pool_size=1) as server:
        with start_client("--connect", server.endpoints[0]) as client:
            running = client.start("wait")
            eventually(lambda: "running=1" in repr(server._core.runners))
            with pytest.raises(ERRORS) as caught:
                client.call("wait")
            error = caught.value
            assert "ServerOverloaded" in (error.kind, getattr(error, "name", None))
            assert "1 calls are running and 0 waiting" in error.message
            release.set()
            assert running.get() is True


# Several servers


@contextlib.contextmanager
def mixed() -> Iterator[dict[str, Any]]:
    """One of ours, one of 0.6.3 and one of Node."""
    with our_server(Service("ours"), bind=TCP) as ours, contextlib.ExitStack() as stack:
        started = {name: stack.enter_context(start("--bind", TCP, "--name", name)) for name, start in SERVERS.items()}
        yield {"ours": ours, **started}


def _connect(caller: Caller, servers: dict[str, Any]) -> None:
    for server in servers.values():
        caller.connect(server.endpoints[0])
    caller.call("who")
    eventually(lambda: len(caller.client._core.calls.peers) == len(servers))


@EACH_CALLER
def test_servers_of_all_kinds_share_the_calls_and_one_may_go(make_caller: Callable[..., Caller]) -> None:
    with mixed() as servers, contextlib.closing(make_caller(timeout=PATIENCE)) as us:
        _connect(us, servers)
        assert {us.call("who") for _ in range(30)} == servers.keys()
        servers["0.6.3"].kill()
        eventually(lambda: len(us.client._core.calls.peers) == 2)
        assert {us.call("who") for _ in range(30)} == {"ours", "Node"}


@EACH_CALLER
def test_every_server_is_asked_and_says_what_it_cannot_do(make_caller: Callable[..., Caller]) -> None:
    with mixed() as servers, contextlib.closing(make_caller(timeout=PATIENCE)) as us:
        _connect(us, servers)
        assert {outcome.value for outcome in outcomes_of_all(us)} == servers.keys()
        told = outcomes_of_all(us, metadata={"trace": "abc"})
        assert [outcome.value for outcome in told if outcome.error is None] == ["ours"]
        assert [type(outcome.error) for outcome in told if outcome.error is not None] == [zerorpc.NotSupported] * 2


def outcomes_of_all(caller: Caller, **options: Any) -> list[Any]:
    asked = zerorpc.every(zerorpc.options(caller.client, **options)).who
    if isinstance(caller, BlockingCaller):
        return [outcome for _, outcome in asked()]

    async def act() -> list[Any]:
        return [outcome async for _, outcome in asked()]

    return asyncio.run_coroutine_threadsafe(act(), caller._loop).result(PATIENCE)  # type: ignore[no-any-return]


@EACH_CLIENT
def test_two_of_ours_share_the_calls_of_their_client(start_client: Any) -> None:
    with our_server(Service("one"), bind=TCP) as one, our_server(Service("other"), bind=TCP) as other:
        links = itertools.chain(*(("--connect", server.endpoints[0]) for server in (one, other)))
        with start_client(*links) as client:
            eventually(lambda: {client.call("who") for _ in range(4)} == {"one", "other"})


# Functions by reference


@EACH_WAY
def test_a_function_as_an_argument_is_refused(older: str, way: Way) -> None:
    error = refused(way, older, lambda client: client.move(print))
    assert "speaks an older protocol, which has no" in str(error)
    error = refused(way, older, lambda client: client.move(1, 2, [zerorpc.by_reference(Service())]))
    assert "speaks an older protocol, which has no" in str(error)


class Gives:
    def give(self) -> Any:
        return len

    async def items(self) -> AsyncIterator[Any]:
        yield 1
        yield zerorpc.by_reference(Service())


@EACH_CLIENT
def test_a_function_as_a_result_is_an_error(start_client: Any) -> None:
    with our_server(Gives(), bind=TCP) as server, start_client("--connect", server.endpoints[0]) as client:
        for method in ("give", "items"):
            with pytest.raises(ERRORS, match=method):
                client.call(method)
        assert client.call("_zerorpc_name") == "Gives"


# The testing aid


def test_a_cassette(older: str, tmp_path: Path) -> None:
    def use(client: Any) -> list[Any]:
        found = [client.echo("text"), client.add(2, right=40), list(client.count(3)), list(client.count(0) or [])]
        with pytest.raises(zerorpc.RemoteError) as caught:
            client.fail("why")
        return [*found, caught.value.name, caught.value.msg]

    path = tmp_path / "cassette.json"
    with zerorpc.testing.cassette(path, older) as client:
        recorded = use(client)
    assert recorded[:3] == ["text", 42, [0, 1, 2]]
    with zerorpc.testing.cassette(path, "tcp://127.0.0.1:1", mode="replay") as client:
        assert use(client) == recorded


def test_faults_between(older: str) -> None:
    with zerorpc.testing.proxy(older) as link, zerorpc.Client(link.endpoint, timeout=PATIENCE) as client:
        nap = client.slow(PATIENCE, None, async_=True)
        assert client.echo("sent") == "sent"
        link.lose()
        with pytest.raises(zerorpc.LostRemote):
            nap.get()
        assert client.echo("again") == "again"
        link.half_open("to_client")
        with pytest.raises(zerorpc.TimeoutExpired) as caught:
            client.echo("lost", timeout=SHORT)
        assert caught.value.ran is None
        link.heal()
        assert zerorpc.options(client, retry=zerorpc.Retry(idempotent=True)).echo("healed") == "healed"
