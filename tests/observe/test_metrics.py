"""What a server with ``metrics`` tells at ``/metrics``, of all kinds of calls and outcomes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import zerorpc
from tests.observe.scraping import HTTP, Samples, calls, read, scrape
from tests.service.running import PATIENCE, TCP, Program, eventually, run, serving
from zerorpc.doors.rpc_invocation import RpcInvocation


class Shop:
    def __init__(self) -> None:
        self.free = threading.Event()

    def add(self, a: int, b: int) -> int:
        return a + b

    async def soon(self) -> str:
        return "soon"

    @zerorpc.on_loop
    def quick(self) -> int:
        return 1

    def boom(self) -> None:
        raise ValueError("no luck")

    def odd(self) -> object:
        return object()

    def count(self, n: int) -> Iterator[int]:
        yield from range(n)

    async def acount(self, n: int) -> AsyncIterator[int]:
        for number in range(n):
            yield number

    def breaks(self) -> Iterator[int]:
        yield 1
        raise KeyError("halfway")

    async def ever(self) -> None:
        await asyncio.sleep(2 * PATIENCE)

    async def ever_streams(self) -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(2 * PATIENCE)

    def wait(self) -> None:
        assert self.free.wait(PATIENCE)

    def slow(self) -> None:
        time.sleep(0.12)

    @zerorpc.on_loop
    def blocks(self) -> None:
        time.sleep(0.3)

    @staticmethod
    @zerorpc.process
    def apart(n: int) -> int:
        return n

    @staticmethod
    @zerorpc.process
    def dies() -> None:
        os._exit(1)

    def total(self, numbers: Iterator[int]) -> int:
        return sum(numbers)

    @zerorpc.idempotent
    def counted_once(self) -> int:
        return 1

    @zerorpc.idempotent
    def fails_once(self) -> int:
        raise ValueError


@contextlib.contextmanager
def counting(**options: Any) -> Iterator[tuple[zerorpc.Client, str, Shop]]:
    """A client, where to scrape, and what is served."""
    shop = Shop()
    with serving(shop, metrics=True, **options) as server:
        (http,) = server.bind(HTTP)
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE, heartbeat=30.0) as client:
            yield client, http, shop
            shop.free.set()


def called(client: zerorpc.Client, method: str, *args: object) -> None:
    """Call it to its end, whatever that is."""
    with contextlib.suppress(zerorpc.RemoteError):
        answer = client(method, *args)
        if isinstance(answer, zerorpc.Stream):
            list(answer)


KINDS: list[tuple[str, tuple[object, ...], str, str]] = [
    ("add", (1, 2), "add", "ok"),
    ("soon", (), "soon", "ok"),
    ("quick", (), "quick", "ok"),
    ("boom", (), "boom", "raised"),
    ("odd", (), "odd", "raised"),
    ("count", (100,), "count", "ok"),
    ("acount", (100,), "acount", "ok"),
    ("breaks", (), "breaks", "raised"),
    ("add", (1,), "add", "WrongArguments"),
    ("add", (1, "x"), "add", "InvalidArguments"),
    ("dies", (), "dies", "WorkerDied"),
    ("apart", (3,), "apart", "ok"),
    ("no such method", (), "(other)", "UnknownMethod"),
    ("another", (), "(other)", "UnknownMethod"),
    ("_zerorpc_ping", (), "_zerorpc_ping", "ok"),
]


def expected() -> dict[tuple[str, str], int]:
    total: dict[tuple[str, str], int] = {}
    for _, _, method, outcome in KINDS:
        total[method, outcome] = total.get((method, outcome), 0) + 1
    return total


@pytest.mark.parametrize("hooked", [False, True])
@pytest.mark.parametrize("logged", [False, True])
def test_calls_of_all_kinds(hooked: bool, logged: bool) -> None:
    context = zerorpc.Context()
    if hooked:
        context.register_middleware(type("Hook", (), {"server_before_exec": lambda self, request: None})())
    with counting(context=context, log_calls=logged) as (client, http, _):
        for method, args, _, _ in KINDS:
            called(client, method, *args)
        eventually(lambda: calls(scrape(http)) == expected(), "all calls are counted")
        samples = scrape(http)
    assert samples["call_duration_seconds_count", "zerorpc", "add"] == 3
    assert samples["streams_open",] == 0
    assert samples["serving_processes",] == 1
    assert samples["process_workers",] >= 1


@pytest.mark.parametrize("logged", [False, True])
def test_calls_by_http_are_told_apart(logged: bool) -> None:
    with counting(log_calls=logged) as (client, http, _):
        client.add(1, 2)
        for method, body in (("add", [1, 2]), ("add", ["x", 1]), ("boom", []), ("nothing", []), ("count", [50])):
            httpx.post(f"{http}/call/{method}", json=body, timeout=PATIENCE).read()
        samples = scrape(http)
    assert calls(samples) == {("add", "ok"): 1}
    assert calls(samples, "http") == {
        ("add", "ok"): 1,
        ("add", "InvalidArguments"): 1,
        ("boom", "raised"): 1,
        ("(other)", "UnknownMethod"): 1,
        ("count", "ok"): 1,
    }
    assert samples["request_bytes_total", "http"] == len("[1,2]") + len('["x",1]') + 3 * len("[]") + len("[50]") - 2
    assert samples["reply_bytes_total", "http"] > sum(len(str(n)) for n in range(50))
    assert samples["connections", "http"] >= 1
    assert samples["connections", "zerorpc"] == 1


def test_callers_that_wait_no_longer() -> None:
    with counting() as (client, http, _):
        with pytest.raises(zerorpc.TimeoutExpired):
            client("ever", timeout=1.0)
        stream = client.ever_streams()
        assert next(stream) == 1
        assert scrape(http)["streams_open",] == 1
        stream.close()
        with pytest.raises(httpx.TimeoutException):
            httpx.post(f"{http}/call/ever", timeout=1.0)
        eventually(lambda: calls(scrape(http)) == {("ever", "gone"): 1, ("ever_streams", "gone"): 1})
        eventually(lambda: calls(scrape(http), "http") == {("ever", "gone"): 1})
        assert scrape(http)["streams_open",] == 0


def test_what_runs_and_waits_and_is_refused() -> None:
    with counting(pool_size=1, limits=zerorpc.Limits(waiting=1)) as (client, http, shop):
        held = client.wait(async_=True)
        eventually(lambda: scrape(http)["calls_running",] == 1)
        waits = client.add(1, 2, async_=True)
        eventually(lambda: scrape(http)["calls_waiting",] == 1)
        with pytest.raises(zerorpc.ServerOverloaded):
            client.add(1, 2)
        assert scrape(http)["threads",] == 1
        shop.free.set()
        held.get()
        assert waits.get() == 3
        eventually(lambda: scrape(http)["calls_running",] == 0)
        assert calls(scrape(http)) == {("wait", "ok"): 1, ("add", "ok"): 1, ("add", "ServerOverloaded"): 1}


def test_how_long_calls_take_and_how_late_the_loop_is() -> None:
    with counting() as (client, http, _):
        client.slow()
        client.blocks()
        eventually(lambda: scrape(http)["event_loop_lag_seconds_count",] > 0)
        samples = scrape(http)
    name = "call_duration_seconds"
    assert samples[f"{name}_sum", "zerorpc", "slow"] >= 0.12
    assert samples[f"{name}_bucket", "zerorpc", "slow", "0.1"] == 0
    assert samples[f"{name}_bucket", "zerorpc", "slow", "30.0"] == 1
    assert samples["event_loop_lag_seconds_sum",] >= 0.04, "its timer is due every 0.25 s"


def test_calls_with_a_key_count_each_for_itself() -> None:
    with counting() as (client, http, _):
        for _ in range(2):
            assert zerorpc.options(client, key="k").counted_once() == 1
            with pytest.raises(zerorpc.RemoteError):
                zerorpc.options(client, key="f").fails_once()
        with pytest.raises(zerorpc.RemoteError):
            zerorpc.options(client, key="k").add(1, 2, 3)
        told = calls(scrape(http))
    told.pop(("_zpc_methods", "ok"), None)
    assert told == {("counted_once", "ok"): 2, ("fails_once", "raised"): 2, ("add", "WrongArguments"): 1}


def test_calls_with_a_key_by_http_count_each_for_itself() -> None:
    with counting() as (_, http, _):
        for method in ("counted_once", "fails_once"):
            for _ in range(3):
                httpx.post(f"{http}/call/{method}", headers={"idempotency-key": method}, timeout=PATIENCE)
        httpx.post(f"{http}/call/counted_once", json=[1], headers={"idempotency-key": "counted_once"}, timeout=PATIENCE)
        assert calls(scrape(http), "http") == {
            ("counted_once", "ok"): 3,
            ("fails_once", "raised"): 3,
            ("counted_once", "WrongArguments"): 1,
        }


def test_an_argument_that_streams_by_http() -> None:
    with counting() as (_, http, _):
        lines = {"content-type": "application/x-ndjson"}
        told = httpx.post(f"{http}/call/total", content=b"{}\n1\n2\n", headers=lines, timeout=PATIENCE)
        assert told.json() == 3
        assert calls(scrape(http), "http") == {("total", "ok"): 1}


def test_metrics_are_for_those_who_may_know_the_methods() -> None:
    tokens = {"s3cret": "operator", "other": "caller"}
    allowed = {("operator", "_zerorpc_inspect"), ("caller", "add")}
    with serving(
        Shop(),
        bind=HTTP,
        metrics=True,
        authenticator=lambda caller: tokens.get(caller.token),
        authorizer=lambda who, method: (who, method) in allowed,
    ) as server:
        with httpx.Client(base_url=server.endpoints[0], timeout=PATIENCE) as client:

            def status(path: str, token: str | None = None) -> int:
                headers = {} if token is None else {"authorization": f"Bearer {token}"}
                return client.get(path, headers=headers).status_code

            assert [status("/metrics", token) for token in (None, "other", "s3cret")] == [401, 403, 200]
            assert [status(path) for path in ("/livez", "/readyz")] == [200, 200]


def test_methods_that_a_caller_may_not_call() -> None:
    authorize: Callable[[str, str], bool] = lambda who, method: method == "add"  # noqa: E731
    shop = Shop()
    server = zerorpc.Server(shop, metrics=True, authenticator=lambda caller: "alice", authorizer=authorize)

    async def act() -> None:
        (endpoint,) = server.bind(TCP)
        living = asyncio.ensure_future(server.serve())
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            assert await client.add(1, 2) == 3
            with pytest.raises(zerorpc.RemoteError):
                await client.soon()
        text = server._core.observation.metrics()
        assert text is not None
        assert calls(read(text.decode())) == {("add", "ok"): 1, ("(other)", "UnknownMethod"): 1}
        server.stop()
        await living

    run(act())


def test_off_it_says_how_to_switch_it_on() -> None:
    with serving(Shop(), bind=HTTP) as server:
        response = httpx.get(f"{server.endpoints[0]}/metrics", timeout=PATIENCE)
        assert server._core.observation.metering is None
        assert server._core.door._plain is RpcInvocation
    assert response.status_code == 404
    assert "Server(..., metrics=True)" in response.json()["detail"]
    assert "--metrics" in response.json()["detail"]


def test_in_an_asgi_program() -> None:
    async def act() -> None:
        server = zerorpc.Server(Shop(), metrics=True)
        transport = httpx.ASGITransport(zerorpc.asgi(server))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            assert (await http.post("/call/add", json=[1, 2])).json() == 3
            told = await http.get("/metrics")
            assert told.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert calls(read(told.text), "http") == {("add", "ok"): 1}
        server.stop()

    run(act())


def test_two_threads_scrape_while_calls_run() -> None:
    """Nothing that they read ever falls, and in the end each call is there."""
    with counting() as (client, http, _):
        done = threading.Event()
        fallen: list[tuple[str, ...]] = []

        def watch() -> None:
            before: Samples = {}
            while not done.is_set():
                now = scrape(http)
                fallen.extend(key for key in before if not is_gauge(key) and now[key] < before[key])
                before = now

        watching = [threading.Thread(target=watch) for _ in range(2)]
        for thread in watching:
            thread.start()
        for number in range(300):
            assert client.add(number, 1) == number + 1
            assert list(client.count(3)) == [0, 1, 2]
        done.set()
        for thread in watching:
            thread.join()
        assert fallen == []
        assert calls(scrape(http)) == {("add", "ok"): 300, ("count", "ok"): 300}


def is_gauge(key: tuple[str, ...]) -> bool:
    return not key[0].endswith(("_total", "_bucket", "_sum", "_count"))


# Several processes

PROGRAM = """
import os, zerorpc
class Service:
    def pid(self):
        return os.getpid()
    async def add(self, a, b):
        return a + b
    def held(self, fifo):
        open(fifo).close()  # waits until somebody opens it to write
server = zerorpc.Server(Service(), processes=2, grace=20, metrics=True)
print(*server.bind("tcp://127.0.0.1:0"), *server.bind("http://127.0.0.1:0"), flush=True)
server.run()
"""


@contextlib.contextmanager
def two_processes() -> Iterator[tuple[list[zerorpc.Client], str, Program]]:
    """Two clients, one of each process."""
    with Program(PROGRAM) as program, contextlib.ExitStack() as stack:
        endpoint, http = program.line().split()

        def new_client() -> zerorpc.Client:
            client = zerorpc.Client(endpoint, timeout=PATIENCE, heartbeat=30.0)
            return stack.enter_context(client)

        clients = [new_client()]
        first = clients[0].pid()
        eventually(lambda: clients.append(new_client()) or clients[-1].pid() != first)  # type: ignore[func-returns-value]
        yield [clients[0], clients[-1]], http, program


def total(http: str, method: str) -> float:
    return calls(scrape(http)).get((method, "ok"), 0)


def test_a_scrape_tells_the_sum_of_all_processes() -> None:
    with two_processes() as ((one, two), http, program):
        for client in (one, two):
            for _ in range(50):
                client.add(1, 2)
        eventually(lambda: total(http, "add") == 100)
        assert {total(http, "add") for _ in range(10)} == {100}, "whichever process is scraped"
        samples = scrape(http)
        assert samples["serving_processes",] == 2
        assert samples["connections", "zerorpc"] >= 2
        assert samples["call_duration_seconds_count", "zerorpc", "add"] == 100
        program.signal(signal.SIGTERM)
        assert program.end()[0] == 0


def test_counters_never_fall_when_a_process_is_killed_and_another_takes_its_place() -> None:
    with two_processes() as ((one, two), http, program):
        for _ in range(50):
            one.add(1, 2)
            two.add(1, 2)
        eventually(lambda: total(http, "add") == 100)
        victim = one.pid()
        os.kill(victim, signal.SIGKILL)
        seen = [total(http, "add")]
        eventually(lambda: one.pid() != victim)
        for _ in range(50):
            one.add(1, 2)
            seen.append(total(http, "add"))
        eventually(lambda: seen.append(total(http, "add")) or seen[-1] == 150)  # type: ignore[func-returns-value]
        assert seen == sorted(seen)
        assert seen[0] == 100
        eventually(lambda: scrape(http)["serving_processes",] == 2, "and of the killed one no gauge is left")
        program.signal(signal.SIGTERM)
        program.end()


def test_a_process_that_still_ends_and_the_one_in_its_place_both_count(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with two_processes() as ((one, two), http, program):
        pid = one.pid()
        held = one.held(str(fifo), async_=True)
        eventually(lambda: scrape(http)["calls_running",] == 1)
        os.kill(pid, signal.SIGTERM)
        eventually(lambda: scrape(http)["serving_processes",] == 3, "one more, as long as the call is held")
        for _ in range(20):
            two.add(1, 2)
        fifo.write_bytes(b"")
        held.get()
        eventually(lambda: scrape(http)["serving_processes",] == 2)
        eventually(lambda: total(http, "held") == 1)
        eventually(lambda: total(http, "add") == 20, "the other process has told what it counted")
        program.signal(signal.SIGTERM)
        program.end()
