"""Calls by HTTP, with httpx and with plain sockets."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import json
import signal
import socket
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import httpx
import numpy as np
import pytest

import zerorpc
from tests.service.running import PATIENCE, Program, eventually, eventually_async, run, serving, unused_port

HTTP = "http://127.0.0.1:0"


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


class Service:
    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.free = threading.Event()
        self.made = 0

    def add(self, a: int, b: int = 2) -> int:
        """Add two numbers.

        Slowly."""
        return a + b

    async def move(self, to: Point, *, speed: Decimal = Decimal(1)) -> Point:
        return Point(to.x * float(speed), to.y)

    def placed(self, a: int, /, b: int, *more: int, **named: int) -> list[Any]:
        return [a, b, list(more), named]

    def only_placed(self, a: int, b: int = 5, /) -> list[int]:
        return [a, b]

    def echo(self, it: Any) -> Any:
        return it

    def octets(self, it: bytes) -> bytes:
        return it[::-1]

    def total(self, numbers: Iterator[int]) -> int:
        return sum(numbers)

    @zerorpc.rep
    def kept(self) -> Iterator[int]:
        yield 1

    @zerorpc.on_loop
    def quick(self, day: datetime.date) -> datetime.date:
        return day

    @staticmethod
    @zerorpc.process
    def apart(day: datetime.date, octets: bytes) -> list[Any]:
        return [day, octets]

    def borrows(self, function: Callable[[int], int]) -> int:
        return function(1)

    def many(self) -> dict[str, Any]:
        return {
            "day": datetime.date(2026, 11, 28),
            "set": {1},
            "id": uuid.UUID(int=7),
            "complex": 1 + 2j,
            "array": np.array([[1, 2]], np.float32),
            "nan": float("nan"),
            "point": Point(1.0),
        }

    def opaque(self) -> Any:
        return object()

    def fail(self) -> None:
        raise ValueError("no such luck")

    def count(self, stop: int) -> Iterator[int]:
        for n in range(stop):
            self.made = n + 1
            yield n

    async def acount(self, stop: int) -> AsyncIterator[int]:
        for n in range(stop):
            yield n

    def breaks_at_once(self) -> Iterator[int]:
        raise ValueError("broken")
        yield

    def odd(self) -> list[Any]:
        class Text(str):
            __slots__ = ()

        return [Text("a"), memoryview(b"abc"), memoryview(b"abcd").cast("B", (2, 2)), Fraction(1, 2).numerator]

    def breaks(self) -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    async def ever(self) -> None:
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            self.cancelled.set()

    async def ever_streams(self) -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.sleep(PATIENCE)
        finally:
            self.cancelled.set()

    def held(self) -> str:
        assert self.free.wait(PATIENCE)
        return "done"

    def who(self) -> dict[str, Any]:
        call = zerorpc.current_call()
        assert call is not None
        return {"peer": call.peer, "metadata": dict(call.metadata), "remaining": call.remaining()}


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def http(service: Service) -> Iterator[httpx.Client]:
    with serving(service, bind=HTTP, name="stage") as server:
        with httpx.Client(base_url=server.endpoints[0], timeout=PATIENCE) as client:
            yield client


def running(server: zerorpc.Server) -> int:
    """How many methods run."""
    runners = server._core.runners
    return 0 if runners is None else runners.running


def problem(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = response.json()
    assert told["status"] == response.status_code
    return told


@pytest.mark.parametrize(
    ("method", "arguments", "result"),
    [
        ("add", {"a": 3}, 5),
        ("add", [3, 4], 7),
        ("add", {"b": 1, "a": 1}, 2),
        ("move", {"to": {"x": 2}, "speed": "1.5"}, {"x": 3.0, "y": 0.0}),
        ("placed", {"a": 1, "b": 2}, [1, 2, [], {}]),
        ("placed", {"a": 1, "b": 2, "more": [3, 4], "c": 5}, [1, 2, [3, 4], {"c": 5}]),
        ("placed", [1, 2, 3], [1, 2, [3], {}]),
        ("only_placed", {"a": 1}, [1, 5]),
        ("only_placed", {"a": 1, "b": 2}, [1, 2]),
        ("echo", {"it": [1, {"a": None}, "ü", 1.5, True]}, [1, {"a": None}, "ü", 1.5, True]),
        ("octets", ["YWJj"], "Y2Jh"),
        ("total", {"numbers": [1, 2, 3]}, 6),
        ("kept", [], [1]),
        ("quick", {"day": "2026-11-28"}, "2026-11-28"),
        ("apart", {"day": "2026-11-28", "octets": "YWJj"}, ["2026-11-28", "YWJj"]),
    ],
)
def test_a_call(http: httpx.Client, method: str, arguments: Any, result: Any) -> None:
    response = http.post(f"/call/{method}", json=arguments)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.json() == result


def test_octets_come_as_they_are_to_who_accepts_them(http: httpx.Client) -> None:
    accepts = {"accept": "application/octet-stream, application/json"}
    told = http.post("/call/octets", json=["YWJj"], headers=accepts)
    assert (told.headers["content-type"], told.content) == ("application/octet-stream", b"cba")
    other = http.post("/call/add", json=[1], headers=accepts)
    assert (other.headers["content-type"], other.json()) == ("application/json", 3)


def test_values_that_json_lacks_come_in_their_natural_form(http: httpx.Client) -> None:
    assert http.post("/call/many").json() == {
        "day": "2026-11-28",
        "set": [1],
        "id": str(uuid.UUID(int=7)),
        "complex": [1.0, 2.0],
        "array": [[1.0, 2.0]],
        "nan": None,
        "point": {"x": 1.0, "y": 0.0},
    }


@pytest.mark.parametrize(
    ("method", "arguments", "status", "title", "detail", "ran"),
    [
        ("add", {"a": "x"}, 400, "InvalidArguments", "add(): a: expected int, got str", False),
        ("octets", ["no base64"], 400, "InvalidArguments", "octets(): it: expected bytes, got str", False),
        ("add", {}, 400, "WrongArguments", "missing", False),
        ("add", {"c": 3}, 400, "WrongArguments", "unexpected keyword argument", False),
        ("placed", {"a": 1, "b": 2, "more": 3}, 400, "WrongArguments", "more is a list of further arguments", False),
        ("add", 3, 400, "WrongArguments", 'arguments are a map, {"x": 1}, or a list, [1]', False),
        ("borrows", [1], 400, "InvalidArguments", "expected a function, got int", False),
        ("nothing", [], 404, "UnknownMethod", "nothing", False),
        ("_zerorpc_list", [], 404, "UnknownMethod", "_zerorpc_list", False),
        ("fail", [], 500, "ValueError", "no such luck", True),
        ("opaque", [], 500, "TypeError", "the result of opaque can't be sent: a value of type object", True),
    ],
)
def test_an_error(
    http: httpx.Client, method: str, arguments: Any, status: int, title: str, detail: str, ran: bool
) -> None:
    told = problem(http.post(f"/call/{method}", json=arguments))
    assert (told["status"], told["title"], told["ran"]) == (status, title, ran)
    assert detail in told["detail"]


def test_what_is_no_call(http: httpx.Client) -> None:
    assert problem(http.get("/nothing"))["status"] == 404
    assert problem(http.get("/call/add"))["status"] == 405
    assert problem(http.post("/call/add", content="{"))["status"] == 415
    json_type = {"content-type": "application/json; charset=utf-8"}
    assert "is no JSON" in problem(http.post("/call/add", content="{", headers=json_type))["detail"]
    deep = problem(http.post("/call/echo", content="[" * 100_000, headers=json_type))
    assert deep["status"] == 400
    for wrong in ("x", "0", "-1", "nan"):
        assert problem(http.post("/call/add", json=[1], headers={"x-zerorpc-timeout": wrong}))["status"] == 400
    assert http.post("/call/add", json=[1]).json() == 3


# Streams


@pytest.mark.parametrize("method", ["count", "acount"])
def test_a_stream_comes_line_by_line(http: httpx.Client, method: str) -> None:
    with http.stream("POST", f"/call/{method}", json=[100]) as response:
        assert response.headers["content-type"] == "application/x-ndjson"
        assert [json.loads(line) for line in response.iter_lines()] == list(range(100))
    with http.stream("POST", f"/call/{method}", json=[0]) as response:
        assert (response.status_code, response.read()) == (200, b"")


def test_a_stream_as_server_sent_events(http: httpx.Client) -> None:
    response = http.post("/call/count", json=[2], headers={"accept": "text/event-stream"})
    assert response.headers["content-type"] == "text/event-stream"
    assert response.text == "data: 0\n\ndata: 1\n\nevent: end\ndata: null\n\n"


def test_a_stream_that_breaks_before_its_first_item(http: httpx.Client) -> None:
    told = problem(http.post("/call/breaks_at_once"))
    assert (told["status"], told["title"]) == (500, "ValueError")


def test_odd_values(http: httpx.Client) -> None:
    assert http.post("/call/odd").json() == ["a", "YWJj", "YWJjZA==", 1]


def test_a_body_that_is_too_large(service: Service) -> None:
    with serving(service, bind=HTTP, limits=zerorpc.Limits(message=1024)) as server:
        told = problem(httpx.post(f"{server.endpoints[0]}/call/echo", json=["x" * 2000], timeout=PATIENCE))
    assert (told["status"], told["ran"]) == (413, False)


def test_a_stream_that_breaks(http: httpx.Client) -> None:
    one, error = [json.loads(line) for line in http.post("/call/breaks").text.splitlines()]
    assert one == 1
    assert (error["error"]["title"], error["error"]["detail"]) == ("ValueError", "broken")
    events = http.post("/call/breaks", headers={"accept": "text/event-stream"}).text
    assert events.startswith('data: 1\n\nevent: error\ndata: {"error":')


def test_no_more_is_made_than_is_read(http: httpx.Client, service: Service) -> None:
    with http.stream("POST", "/call/count", json=[10_000_000]) as response:
        lines = response.iter_lines()
        assert next(lines) == "0"
        eventually(lambda: service.made > 1)
    assert service.made < 10_000_000


# Callers that wait no longer


@pytest.mark.parametrize("method", ["ever", "ever_streams"])
def test_who_goes_away_cancels(http: httpx.Client, service: Service, method: str) -> None:
    with pytest.raises(httpx.TimeoutException), http.stream("POST", f"/call/{method}", timeout=1.5) as response:
        response.read()
    assert service.cancelled.wait(PATIENCE)


def test_a_deadline(http: httpx.Client, service: Service) -> None:
    told = problem(http.post("/call/ever", headers={"x-zerorpc-timeout": "0.3"}))
    assert (told["status"], told["title"], told["ran"]) == (504, "TimeoutExpired", None)
    assert service.cancelled.wait(PATIENCE)
    assert http.post("/call/who", headers={"x-zerorpc-timeout": "20"}).json()["remaining"] == pytest.approx(20, abs=10)


def test_what_a_method_can_know(http: httpx.Client) -> None:
    headers = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x-zerorpc-meta-tenant": "a"}
    told = http.post("/call/who", headers=headers).json()
    assert told["peer"] == "http://127.0.0.1"
    assert told["metadata"] == {"traceparent": headers["traceparent"], "tenant": "a"}


def test_overload(service: Service) -> None:
    with serving(service, bind=HTTP, pool_size=1, limits=zerorpc.Limits(waiting=1)) as server:
        endpoint = server.endpoints[0]

        def hold() -> None:
            held.append(httpx.post(f"{endpoint}/call/held", timeout=PATIENCE).json())

        held: list[str] = []
        thread = threading.Thread(target=hold)
        thread.start()
        eventually(lambda: running(server) == 1)
        waits = threading.Thread(target=hold)
        waits.start()
        eventually(lambda: sum(places.waiting for places in server._core.running._all_places) == 1)
        told = httpx.post(f"{endpoint}/call/add", json=[1], timeout=PATIENCE)
        service.free.set()
        thread.join()
        waits.join()
    assert held == ["done", "done"]
    assert (problem(told)["status"], problem(told)["title"], problem(told)["ran"]) == (503, "ServerOverloaded", False)
    assert int(told.headers["retry-after"]) >= 1


# The server's life


def test_what_runs_is_answered_when_the_server_stops(service: Service) -> None:
    answers: list[Any] = []
    with serving(service, bind=HTTP, grace=PATIENCE) as server:
        endpoint = server.endpoints[0]

        def call() -> None:
            answers.append(httpx.post(f"{endpoint}/call/held", timeout=PATIENCE).json())

        thread = threading.Thread(target=call)
        thread.start()
        eventually(lambda: running(server) == 1)
        server.stop()
        service.free.set()
        thread.join()
    assert answers == ["done"]
    with pytest.raises(httpx.ConnectError):
        httpx.get(endpoint)


def test_blanks_around_the_value_of_a_header_are_none_of_it() -> None:
    with serving({"told": lambda: zerorpc.current_call().metadata["who"]}, bind=HTTP) as server:  # type: ignore[union-attr]
        host, _, port = server.endpoints[0].removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
            head = b"POST /call/told HTTP/1.1\r\nhost: 127.0.0.1 \r\ncontent-type: application/json \r\n"
            head += b"x-zerorpc-meta-who: \t anna \t \r\nconnection: close \r\ncontent-length: 2 \r\n\r\n[]"
            connection.sendall(head)
            with connection.makefile("rb") as reader:
                assert reader.read().endswith(b'\r\n\r\n"anna"')


@pytest.mark.parametrize("runs", [True, False])
def test_who_has_just_connected_is_answered_when_the_server_stops(
    service: Service, runs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A balancer would tell its own caller of a connection that ended without a word (RFC 9112, 9.6)."""
    monkeypatch.setattr("zerorpc.server.http_serving._FIRST_REQUEST", PATIENCE)
    monkeypatch.setattr("zerorpc.server.http_serving._LAST_ANSWERS", PATIENCE)
    with serving(service, bind=HTTP, grace=PATIENCE) as server, contextlib.ExitStack() as stack:
        host, _, port = server.endpoints[0].removeprefix("http://").partition(":")
        if runs:
            held = threading.Thread(target=httpx.post, args=[f"{server.endpoints[0]}/call/held"])
            held.start()
            stack.callback(held.join)
            eventually(lambda: running(server) == 1)
        http = server._core.http
        assert http is not None
        before = http.connections
        fresh = stack.enter_context(socket.create_connection((host, int(port)), timeout=PATIENCE))
        eventually(lambda: http.connections == before + 1)
        server.stop()
        (uvicorn,) = [each._server for each in http._serving.values()]
        eventually(lambda: any(each.leaving for each in uvicorn.server_state.connections))  # type: ignore[union-attr]
        head = b"POST /call/add HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 3"
        fresh.sendall(head + b"\r\n\r\n[1]")
        with fresh.makefile("rb") as reader:
            answer = reader.read().lower()
        service.free.set()
    assert answer.startswith(b"http/1.1 503 ")
    assert b"connection: close\r\n" in answer
    assert b"retry-after: 1\r\n" in answer


def test_who_has_just_connected_and_says_nothing_holds_no_server(service: Service) -> None:
    with serving(service, bind=HTTP) as server:
        host, _, port = server.endpoints[0].removeprefix("http://").partition(":")
        http = server._core.http
        assert http is not None
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as silent:
            eventually(lambda: http.connections == 1)
            server.stop()
            assert silent.recv(1) == b""


def test_probes(service: Service) -> None:
    async def act() -> None:
        server = zerorpc.Server(service, grace=PATIENCE)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(zerorpc.asgi(server)), base_url="http://h") as http:
            assert [(await http.get(path)).status_code for path in ("/livez", "/readyz")] == [200, 200]
            held = asyncio.ensure_future(http.post("/call/held"))
            await eventually_async(lambda: running(server) == 1)
            server.stop()
            await eventually_async(lambda: server._core.running.stopping)
            assert [(await http.get(path)).status_code for path in ("/livez", "/readyz")] == [200, 503]
            assert problem(await http.post("/call/add", json=[1]))["title"] == "ServerStopping"
            service.free.set()
            assert (await held).json() == "done"

    run(act())


def test_bound_and_unbound_while_serving(service: Service) -> None:
    with serving(service) as server:
        (endpoint,) = server.bind(HTTP)
        assert server.endpoints[1:] == [endpoint]
        eventually(lambda: httpx.post(f"{endpoint}/call/add", json=[1]).json() == 3)
        with pytest.raises(zerorpc.AddressInUse):
            server.bind(endpoint)
        server.unbind(endpoint)
        assert len(server.endpoints) == 1
        with pytest.raises(zerorpc.EndpointError):
            server.unbind(endpoint)

        def gone() -> bool:
            try:
                httpx.get(endpoint)
            except httpx.TransportError:
                return True
            return False

        eventually(gone)


def test_bound_and_unbound_before_the_loop_has_a_turn() -> None:
    async def act() -> None:
        server = zerorpc.Server(Service())
        serving = asyncio.ensure_future(server.serve())
        await eventually_async(lambda: server._core.runners is not None)
        (endpoint,) = server.bind(f"http://127.0.0.1:{unused_port()}")
        server.unbind(endpoint)
        assert server.bind(endpoint) == [endpoint], "nothing listens there any more"
        server.stop()
        await serving

    run(act())


@pytest.mark.parametrize("wrong", ["http://", "http://127.0.0.1", "http://127.0.0.1:x", "http://[::1:1"])
def test_endpoints_that_are_none(wrong: str) -> None:
    server = zerorpc.Server(Service())
    with pytest.raises(zerorpc.EndpointError):
        server.bind(wrong)


def test_what_has_no_meaning_there() -> None:
    with pytest.raises(ValueError, match="mode= does nothing at http"):
        zerorpc.Server(Service()).bind(HTTP, mode=0o600)


def test_a_warning_where_other_machines_reach_it(caplog: pytest.LogCaptureFixture) -> None:
    server = zerorpc.Server(Service())
    server.bind("http://0.0.0.0:0")
    server.close()
    assert "is open to the network" in caplog.text


PROCESSES = """
import os, sys, zerorpc
class Service:
    def pid(self):
        return os.getpid()
    def ever(self):
        import time
        time.sleep(30)
server = zerorpc.Server(Service(), processes=2, grace=0.1)
print(*server.bind("http://127.0.0.1:0"), flush=True)
server.run()
"""


def test_several_processes() -> None:
    with Program(PROCESSES) as program:
        endpoint = program.line()

        def pids() -> set[int]:
            return {httpx.post(f"{endpoint}/call/pid", timeout=PATIENCE).json() for _ in range(5)}

        found: set[int] = set()
        eventually(lambda: len(found.update(pids()) or found) == 2)  # type: ignore[func-returns-value]
        assert program.process.pid not in found
        program.signal(signal.SIGTERM)
        assert program.end()[0] == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(endpoint)
