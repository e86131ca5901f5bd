"""``_zerorpc_status`` and ``GET /status``: how a server is, and that it counts only while somebody asks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

import zerorpc
from tests.service.running import PATIENCE, TCP, Program, RawPeer, connect, eventually, run, serving
from zerorpc.doors.rpc_invocation import RpcInvocation
from zerorpc.server import status

STATUS = "_zerorpc_status"
HTTP = "http://127.0.0.1:0"
REMOTE = "203.0.113.9"


class Shop:
    def __init__(self) -> None:
        self.free = threading.Event()

    def add(self, a: int, b: int) -> int:
        return a + b

    def boom(self) -> None:
        raise ValueError("no luck")

    def wait(self) -> None:
        assert self.free.wait(PATIENCE)

    async def ever(self) -> None:
        await asyncio.sleep(2 * PATIENCE)

    async def ever_streams(self) -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(2 * PATIENCE)

    @staticmethod
    @zerorpc.process
    def dies() -> None:
        os._exit(1)


@contextlib.contextmanager
def asked(**options: Any) -> Iterator[tuple[zerorpc.Client, str, Shop, zerorpc.Server]]:
    shop = Shop()
    with serving(shop, **options) as server:
        (http,) = server.bind(HTTP)
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE, heartbeat=30.0) as client:
            yield client, http, shop, server
            shop.free.set()


def get(http: str, **headers: str) -> httpx.Response:
    return httpx.get(f"{http}/status", headers=headers, timeout=PATIENCE)


def method(told: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in told["methods"] if each["name"] == name)
    return found


def is_counting(server: zerorpc.Server) -> bool:
    return server._core.door._plain is not RpcInvocation


# What it tells


def test_what_was_called_since_it_was_first_asked() -> None:
    with asked(name="Robot") as (client, http, _, _):
        client.add(1, 2)
        before = client(STATUS)
        assert method(before, "add")["calls"] == 0, "nobody had asked before"
        for _ in range(3):
            client.add(1, 2)
        for name in ("boom", "dies", "add", "unknown"):
            with pytest.raises(zerorpc.RemoteError):
                client(name)
        httpx.post(f"{http}/call/add", json=[1, 2], timeout=PATIENCE)
        httpx.post(f"{http}/call/boom", json=[], timeout=PATIENCE)
        eventually(lambda: client(STATUS)["connections"] == 1, "those by HTTP have ended")
        told = client(STATUS)
    add, boom = method(told, "add"), method(told, "boom")
    assert (add["calls"], add["errors"], add["refused"], add["running"]) == (5, 0, 1, 0)
    assert (boom["calls"], boom["errors"], boom["refused"]) == (2, 2, 0)
    assert (method(told, "dies")["errors"], method(told, "dies")["refused"]) == (1, 0)
    assert method(told, "(other)")["refused"] == 1
    assert len(add["seconds"]["counts"]) == len(add["seconds"]["bounds"]) + 1
    assert sum(add["seconds"]["counts"]) == 5
    assert (told["name"], told["pid"], told["version"]) == ("Robot", os.getpid(), zerorpc.__version__)
    assert (told["processes"], told["streams"]) == (1, 0)
    assert 0 < before["uptime"] < told["uptime"] < PATIENCE
    assert before["counting_since"] == told["counting_since"] <= before["time"] <= told["time"] <= time.time()
    assert not [each for each in told["methods"] if each["name"].startswith("_")]


def test_the_newest_errors_with_their_tracebacks() -> None:
    with asked() as (client, http, _, _):
        client(STATUS)
        for _ in range(status.KEPT + 3):
            with pytest.raises(zerorpc.RemoteError):
                client.boom()
        httpx.post(f"{http}/call/boom", json=[], timeout=PATIENCE)
        with pytest.raises(zerorpc.RemoteError):
            client.add(1, 2, 3)
        told = client(STATUS)["errors"]
    assert len(told) == status.KEPT
    assert {each["method"] for each in told} == {"boom"}, "what was refused is no error of a method"
    newest = told[0]
    assert newest["caller"].startswith("http://127.0.0.1")
    assert told[1]["caller"].startswith("tcp://127.0.0.1:")
    assert (newest["error"], newest["message"]) == ("ValueError", "no luck")
    assert newest["traceback"].splitlines()[-2].strip() in ('raise ValueError("no luck")', "^" * 28)
    assert time.time() - PATIENCE < told[-1]["when"] <= newest["when"] <= time.time()


def test_calls_that_run_and_wait_and_how_old_they_are() -> None:
    """Also those that came before anybody asked: their callers say how long they wait."""
    with asked(pool_size=1, limits=zerorpc.Limits(waiting=1)) as (client, http, _, server):
        held = client.wait(async_=True)
        eventually(lambda: server._core.running.running == 1)
        client.add(1, 2, async_=True)
        eventually(lambda: server._core.running.gauges().waiting == 1)
        with pytest.raises(zerorpc.ServerOverloaded):
            client.add(1, 2)
        began = time.monotonic()
        told = client(STATUS)
        assert (told["running"], told["waiting"], told["streams"]) == (1, 1, 0), "itself doesn't count"
        assert [(each["method"], each["state"]) for each in told["calls"]] == [("wait", "running"), ("add", "waiting")]
        assert all(each["caller"].startswith("tcp://127.0.0.1:") for each in told["calls"])
        assert not any(each["at_least"] for each in told["calls"])
        assert method(told, "wait")["running"] == 1
        assert method(told, "add")["running"] == 0, "it waits"
        first = told["calls"][0]["seconds"]
        assert 0 < first < PATIENCE
        later = get(http).json()["calls"][0]["seconds"]
        assert 0 < later - first <= time.monotonic() - began
        assert not held.ready()


def test_a_stream_and_a_call_by_http() -> None:
    with asked() as (client, http, _, _):
        stream = client.ever_streams()
        next(stream)
        with httpx.Client(timeout=PATIENCE) as other, other.stream("POST", f"{http}/call/ever_streams") as response:
            lines = response.iter_lines()
            next(lines)
            told = client(STATUS)
            callers = sorted(each["caller"].partition(":")[0] for each in told["calls"])
            assert callers == ["http", "tcp"]
            assert {each["state"] for each in told["calls"]} == {"running"}
            assert told["streams"] == 2, "they began before it was asked"
        stream.close()
        eventually(lambda: client(STATUS)["streams"] == 0)


def test_the_age_of_an_old_clients_call_counts_from_when_it_was_first_seen() -> None:
    with asked() as (client, _, _, server), RawPeer.to(server.endpoints[0]) as peer:
        peer.send({"message_id": "m", "v": 3}, "ever", [])
        eventually(lambda: server._core.running.running == 1)
        (first,) = client(STATUS)["calls"]
        assert (first["method"], first["at_least"], first["seconds"]) == ("ever", True, 0.0)
        eventually(lambda: client(STATUS)["calls"][0]["seconds"] > 0)


def test_of_many_calls_the_oldest() -> None:
    with asked() as (client, _, _, server):
        held = [client.ever(async_=True, timeout=PATIENCE + number) for number in range(status.CALLS_MAX + 5)]
        eventually(lambda: server._core.running.running == len(held))
        told = client(STATUS)
        assert (told["running"], len(told["calls"])) == (len(held), status.CALLS_MAX)
        assert method(told, "ever")["running"] == len(held)
        ages = [each["seconds"] for each in told["calls"]]
        assert ages == sorted(ages, reverse=True)


def test_an_old_client_may_ask_too() -> None:
    with asked() as (_, _, _, server), RawPeer.to(server.endpoints[0]) as peer:
        peer.send({"message_id": "m", "v": 3}, STATUS, [])
        event = peer.next_event()
        assert event.name == "OK"
        assert event.args[0]["pid"] == os.getpid()


# It counts only while somebody asks


def test_counting_ends_when_nobody_asks_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "_UNASKED", 1.0)
    with asked() as (client, http, _, server):
        httpx.post(f"{http}/call/add", json=[1, 2], timeout=PATIENCE)
        assert not is_counting(server)
        assert watchers() == 0
        client(STATUS)
        assert is_counting(server)
        assert watchers() == 1
        late = client.wait(async_=True)
        eventually(lambda: server._core.running.running == 1)
        eventually(lambda: not is_counting(server), "it was asked no more")
        eventually(lambda: watchers() == 0)
        door = server._core.http_endpoints().door
        assert door._calls.noted is door._mcp.noted is None
        assert server._core.observation.metrics() is None
        client.add(1, 2)
        assert method(client(STATUS), "add")["calls"] == 0
        assert is_counting(server), "and again"
        assert not late.ready()


def test_a_call_that_outlives_the_counting_ends_well(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(status, "_UNASKED", 0.1)
    with asked() as (client, _, shop, server):
        client(STATUS)
        held = client.wait(async_=True)
        stream = client.ever_streams()
        next(stream)
        eventually(lambda: not is_counting(server))
        shop.free.set()
        assert held.get() is None
        stream.close()
        assert client.add(1, 2) == 3
    assert [record.message for record in caplog.records] == []


def test_with_metrics_it_counts_from_the_start_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "_UNASKED", 0.1)
    with asked(metrics=True) as (client, http, _, _):
        client.add(1, 2)
        assert method(client(STATUS), "add")["calls"] == 1
        eventually(lambda: watchers() == 0)
        client.add(1, 2)
        assert method(get(http).json(), "add")["calls"] == 2
        assert 'method="add",outcome="ok"} 2' in httpx.get(f"{http}/metrics").text


@pytest.mark.parametrize("metrics", [False, True])
def test_who_asks_is_told_however_long_that_takes(monkeypatch: pytest.MonkeyPatch, metrics: bool) -> None:
    """The time after which nobody counts as asking is over before the answer is there, as on a machine that sleeps."""
    monkeypatch.setattr(status, "_UNASKED", 0.0)
    with asked(metrics=metrics) as (client, http, _, _):
        for _ in range(2):
            assert client(STATUS)["processes"] == 1
            assert get(http).json()["processes"] == 1


def test_metrics_stay_off_while_the_status_is_asked_for() -> None:
    with asked() as (client, http, _, _):
        client(STATUS)
        assert httpx.get(f"{http}/metrics").status_code == 404


def test_an_endpoint_that_is_bound_while_somebody_asks_counts_too() -> None:
    with serving(Shop()) as server, zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
        client(STATUS)
        (http,) = server.bind(HTTP)
        httpx.post(f"{http}/call/add", json=[1, 2], timeout=PATIENCE)
        assert method(client(STATUS), "add")["calls"] == 1


def test_many_ask_and_call_at_once() -> None:
    """Nobody is told of a call that wasn't made, nor misses one."""
    with asked() as (client, http, _, _):
        client(STATUS)

        def work() -> None:
            for number in range(12):
                assert client.add(number, 1) == number + 1
                assert client(STATUS)["pid"] == get(http).json()["pid"]

        workers = [threading.Thread(target=work) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert method(client(STATUS), "add")["calls"] == 48


def watchers() -> int:
    return sum(thread.name == "zerorpc-loop-watch" for thread in threading.enumerate())


# Who may ask


def proxied(source: str) -> bytes:
    """A PROXY protocol header, version 2, of a connection by TCP over IPv4."""
    address = bytes(map(int, source.split("."))) + bytes((127, 0, 0, 1)) + (4000).to_bytes(2, "big") * 2
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + len(address).to_bytes(2, "big") + address


@pytest.mark.parametrize(("source", "may"), [("127.0.0.1", True), (REMOTE, False)])
@pytest.mark.parametrize("anyone", [False, True])
def test_who_comes_from_another_machine_may_not(source: str, may: bool, anyone: bool) -> None:
    with serving(Shop(), proxy_protocol=True, anyone_may_call=anyone) as server:
        sock = connect(server.endpoints[0])
        sock.sendall(proxied(source))
        with RawPeer(sock) as peer:
            peer.handshake()
            peer.send({"message_id": "m", "v": 3}, STATUS, [])
            event = peer.next_event()
        assert event.name == ("OK" if may else "ERR")
        assert is_counting(server) is may
        if not may:
            name, message, trace = event.args
            assert name == "PermissionError"
            assert "only callers on its own machine" in message
            assert "registry" not in trace, "no frame of ours"


def test_a_denied_client_gets_permission_denied() -> None:
    with asked() as (client, _, _, server):
        server._core.registry.answering[STATUS].functor = denied
        with pytest.raises(zerorpc.PermissionDenied, match="not you") as caught:
            client(STATUS)
        assert caught.value.ran is False


def denied() -> None:
    from zerorpc.service.rights import DeniedError

    raise DeniedError("not you")


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
def test_who_comes_through_a_proxy_by_http_may_not(header: str) -> None:
    with asked() as (_, http, _, _):
        assert get(http).status_code == 200
        told = get(http, **{header: f"for={REMOTE}"})
        assert told.status_code == 403
        assert (told.json()["title"], told.json()["status"]) == ("PermissionDenied", 403)
        assert "only callers on its own machine" in told.json()["detail"]


def test_who_comes_from_another_machine_by_http_may_not() -> None:
    async def act() -> None:
        server = zerorpc.Server(Shop(), anyone_may_call=True)
        for client, status_code in ((REMOTE, 403), ("127.0.0.1", 200), ("::1", 200)):
            transport = httpx.ASGITransport(zerorpc.asgi(server), client=(client, 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
                assert (await http.get("/status")).status_code == status_code
        server.stop()

    run(act())


def test_the_authorizer_says_who_may_know_it() -> None:
    tokens = {"s3cret": "operator", "other": "caller"}
    allowed = {("operator", STATUS), ("caller", "add"), ("caller", "_zerorpc_inspect")}
    with serving(
        Shop(),
        bind=HTTP,
        authenticator=lambda caller: tokens.get(caller.token),
        authorizer=lambda who, method: (who, method) in allowed,
    ) as server:
        found = {}
        for token in (None, "other", "s3cret"):
            headers = {} if token is None else {"authorization": f"Bearer {token}"}
            found[token] = get(server.endpoints[0], **headers).status_code
        assert found == {None: 401, "other": 403, "s3cret": 200}


@pytest.mark.parametrize("may", [False, True])
def test_the_authorizer_says_it_at_the_own_door_too(may: bool) -> None:
    authorize: Callable[[str, str], bool] = lambda who, method: method != STATUS or may  # noqa: E731
    with serving(Shop(), authenticator=lambda caller: "alice", authorizer=authorize) as server:
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
            if may:
                assert client(STATUS)["calls"] == []
            else:
                with pytest.raises(zerorpc.PermissionDenied):
                    client(STATUS)


def test_by_ipc_it_is_told(tmp_path: Any) -> None:
    with serving(Shop(), bind=f"ipc://{tmp_path}/s") as server:
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
            assert client(STATUS)["connections"] == 1


# Several processes

SEVERAL = """
import asyncio, os, time, zerorpc
class Shop:
    def pid(self):
        return os.getpid()
    def boom(self):
        raise ValueError("no luck")
    async def block(self):
        time.sleep(0.3)
    async def ever(self):
        await asyncio.sleep(60)
server = zerorpc.Server(Shop(), processes=2, grace=1, heartbeat=30.0)
print(*server.bind("tcp://127.0.0.1:0"), flush=True)
server.run()
"""


def pids(client: zerorpc.Client, key: str) -> list[int]:
    return [each["pid"] for each in client(STATUS)[key]]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are several processes only where there is fork()")
def test_each_of_several_processes_tells_what_all_have_counted() -> None:
    with Program(SEVERAL) as program, contextlib.ExitStack() as stack:
        endpoint = program.line()
        clients: dict[int, zerorpc.Client] = {}
        while len(clients) < 2:
            client = stack.enter_context(zerorpc.Client(endpoint, timeout=PATIENCE, heartbeat=30.0))
            clients[client.pid()] = client
        one, two = clients.values()
        one(STATUS)
        eventually(lambda: one(STATUS)["processes"] == 2, "asking one has the other count too")
        before = method(one(STATUS), "pid")["calls"]
        for _ in range(3):
            one.pid()
            two.pid()
        eventually(lambda: method(one(STATUS), "pid")["calls"] == before + 6)
        two.ever(async_=True)
        one.ever(async_=True)
        with pytest.raises(zerorpc.RemoteError):
            two.boom()
        other = list(clients)[1]
        eventually(lambda: pids(one, "errors") == [other], "what went wrong in the other one")
        eventually(lambda: two.block() or other in pids(one, "blocked"))
        eventually(lambda: sorted(pids(one, "calls")) == sorted(clients))
        eventually(lambda: method(one(STATUS), "ever")["running"] == one(STATUS)["running"] == 2)
        assert [each(STATUS)["pid"] for each in (one, two)] == list(clients)
        program.signal(signal.SIGTERM)
        assert program.end()[0] == 0


def test_a_server_on_asyncios_own_loop() -> None:
    async def act() -> None:
        server = zerorpc.Server(Shop())
        (endpoint,) = server.bind(TCP)
        living = asyncio.ensure_future(server.serve())
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            await client(STATUS)
            assert await client.add(1, 2) == 3
            assert method(await client(STATUS), "add")["calls"] == 1
        server.stop()
        await living
        assert not server._core.observation._status.is_asked  # type: ignore[union-attr]
        eventually(lambda: watchers() == 0)

    run(act())
