"""Callers that do what others don't, and servers that stop in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

import zerorpc
from tests.doors.http.test_access import HTTP, http_to
from tests.service.running import PATIENCE, eventually, serving


class Service:
    def __init__(self) -> None:
        self.began = threading.Event()
        self.ended = threading.Event()
        self.free = threading.Event()

    async def ever(self) -> None:
        self.began.set()
        try:
            await asyncio.sleep(4 * PATIENCE)
        finally:
            self.ended.set()

    async def streams(self) -> AsyncIterator[int]:
        try:
            while True:
                self.began.set()
                yield 1
                await asyncio.sleep(0)
        finally:
            self.ended.set()

    async def reads_nothing(self, items: AsyncIterator[int]) -> None:
        await self.ever()

    async def streams_and_reads_nothing(self, items: AsyncIterator[int]) -> AsyncIterator[int]:
        async for item in self.streams():
            yield item

    async def total(self, numbers: AsyncIterator[int]) -> int:
        return sum([number async for number in numbers])

    def blocks(self) -> str:
        self.began.set()
        assert self.free.wait(PATIENCE)
        return "done"

    def echo(self, it: Any) -> Any:
        return it

    @zerorpc.safe
    def look(self, words: Any = None) -> Any:
        return words


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.free.set()


def connected(server: zerorpc.Server) -> socket.socket:
    host, port = server.endpoints[0].removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE)


def post(method: str, body: bytes = b"", kind: str = "application/json", length: int | None = None) -> bytes:
    """Its caller waits for ever: no deadline is to end what nobody else does."""
    head = f"POST /call/{method} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {kind}\r\nx-zerorpc-timeout: inf\r\n"
    return head.encode() + b"content-length: %d\r\n\r\n" % (len(body) if length is None else length) + body


# Who goes away is noticed


@pytest.mark.parametrize("method", ["reads_nothing", "streams_and_reads_nothing"])
def test_by_one_whose_items_nobody_reads(service: Service, method: str) -> None:
    with serving(service, bind=HTTP) as server, connected(server) as sock:
        body = b"{}\n" + b"1234567\n" * 100_000
        threading.Thread(target=_send, args=(sock, post(method, body, "application/x-ndjson", 10 * len(body)))).start()
        assert service.began.wait(PATIENCE)
        sock.shutdown(socket.SHUT_RDWR)
        assert service.ended.wait(PATIENCE)


def _send(sock: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):  # the test has closed it
        sock.sendall(data)


@pytest.mark.parametrize("method", ["ever", "streams"])
def test_by_one_that_has_asked_for_more_already(service: Service, method: str) -> None:
    with serving(service, bind=HTTP) as server:
        with connected(server) as sock:
            sock.sendall(post(method) + post("echo", b"[9]"))
            assert service.began.wait(PATIENCE)
        assert service.ended.wait(PATIENCE)


def test_by_one_that_is_gone_before_it_is_known_who_it_was(service: Service) -> None:
    asked, go = threading.Event(), threading.Event()

    def authenticator(caller: zerorpc.Caller) -> str:
        asked.set()
        assert go.wait(PATIENCE)
        return "alice"

    with serving(service, bind=HTTP, authenticator=authenticator) as server:
        with connected(server) as sock:
            sock.sendall(post("ever"))
            assert asked.wait(PATIENCE)
        serving_http = next(iter(server._core.http_endpoints()._serving.values()))
        eventually(lambda: not serving_http.connections)
        go.set()
        eventually(lambda: not server._core.http_endpoints().door._open)
        assert not service.began.is_set() or service.ended.wait(PATIENCE)
        eventually(lambda: server._core.running.running == 0)


def test_requests_at_once_are_answered_in_order(service: Service) -> None:
    with serving(service, bind=HTTP) as server, connected(server) as sock, sock.makefile("rb") as reader:
        sock.sendall(b"".join(post("echo", b"[%d]" % n) for n in range(5)))
        bodies: list[int] = []
        while len(bodies) < 5:
            if (line := reader.readline()) == b"\r\n":
                bodies.append(int(reader.read(1)))
            assert line
        assert bodies == list(range(5))


# What takes more than its share


def test_headers_without_end(service: Service) -> None:
    with serving(service, bind=HTTP) as server, connected(server) as sock:
        sock.sendall(b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\n")
        sent = 0
        with contextlib.suppress(OSError):  # it hangs up
            while sent < 10_000_000:
                sent += sock.send(b"a: vvvvvvvvvv\r\n" * 1000)
        assert sent < 10_000_000
        assert httpx.get(f"{server.endpoints[0]}/livez", timeout=PATIENCE).status_code == 200


def test_a_query_of_many_words(service: Service) -> None:
    with http_to(service) as http:
        told = http.get(f"/call/look?{'words=&' * 8000}")
        assert (told.status_code, told.json()["detail"]) == (400, "a query has 1000 words at most")
        assert http.get("/call/look?words=1&words=2").json() == ["1", "2"]


def test_a_deep_argument_with_a_key(service: Service) -> None:
    deep = b'{"it":' + b"[" * 600 + b"]" * 600 + b"}"
    with http_to(service) as http:
        told = {"content-type": "application/json", "idempotency-key": "k"}
        answer = http.post("/call/echo", content=deep, headers=told)
        assert answer.status_code in (200, 400), "as deep as Python's stack allows"
        if answer.status_code == 400:
            assert (answer.json()["title"], answer.json()["ran"]) == ("WrongArguments", False)


# A server that stops, or leaves an endpoint


def test_what_runs_longer_than_the_grace(service: Service) -> None:
    answers: list[httpx.Response] = []
    with serving(service, bind=HTTP, grace=0.1) as server:
        endpoint = server.endpoints[0]
        thread = threading.Thread(
            target=lambda: answers.append(httpx.post(f"{endpoint}/call/blocks", timeout=PATIENCE))
        )
        thread.start()
        assert service.began.wait(PATIENCE)
        server.stop()
        thread.join()
        service.free.set()
    told = answers[0]
    assert (told.status_code, told.json()["title"], told.json()["ran"]) == (503, "ServerStopping", None)
    assert told.headers["content-type"] == "application/problem+json"
    assert "retry-after" in told.headers


@pytest.mark.parametrize(
    "half",
    [post("echo", b'{"it":', length=100), post("total", b"", "application/x-ndjson", 100)],
    ids=["a body", "no first line"],
)
def test_half_a_request(service: Service, half: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with serving(service, bind=HTTP, grace=0.1) as server, connected(server) as sock, sock.makefile("rb") as reader:
        sock.sendall(half)
        eventually(lambda: server._core.http_endpoints().door._open)
        server.stop()
        answer = reader.read()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 503 " in head.partition(b"\r\n")[0]
    assert (json.loads(body)["title"], json.loads(body)["ran"]) == ("ServerStopping", False)
    assert "Traceback" not in caplog.text


def test_what_runs_at_an_endpoint_that_is_left_is_answered(service: Service) -> None:
    answers: list[Any] = []
    with serving(service, bind=HTTP, grace=0.0) as server:
        endpoint = server.endpoints[0]
        thread = threading.Thread(
            target=lambda: answers.append(httpx.post(f"{endpoint}/call/blocks", timeout=PATIENCE).json())
        )
        thread.start()
        assert service.began.wait(PATIENCE)
        server.unbind(endpoint)
        time.sleep(1.5)  # longer than uvicorn would wait
        service.free.set()
        thread.join()
    assert answers == ["done"]
