"""An argument that streams, by HTTP: a body of lines."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import httpx
import pytest

import zerorpc
from tests.doors.http.test_access import HTTP, http_to
from tests.service.running import PATIENCE, eventually, serving

NDJSON = {"content-type": "application/x-ndjson"}


class Service:
    def __init__(self) -> None:
        self.read = 0
        self.first = threading.Event()
        self.free = threading.Event()
        self.ended: list[str] = []

    def total(self, numbers: Iterator[int], start: int = 0) -> int:
        return start + sum(numbers)

    async def atotal(self, numbers: AsyncIterator[Decimal], *, start: int = 0) -> Decimal:
        found = Decimal(start)
        async for number in numbers:
            found += number
        return found

    def placed(self, numbers: Iterator[int], /, start: int = 0) -> int:
        return start + sum(numbers)

    def doubled(self, numbers: Iterator[int]) -> Iterator[int]:
        for number in numbers:
            yield 2 * number

    async def adoubled(self, numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        async for number in numbers:
            yield 2 * number

    def head(self, numbers: Iterator[int]) -> int:
        return next(numbers)

    def shared(self, numbers: Iterator[int]) -> list[int]:
        with ThreadPoolExecutor(4) as pool:
            return sorted(item for part in pool.map(list, [numbers] * 4) for item in part)

    async def ashared(self, numbers: AsyncIterator[int]) -> list[int]:
        async def some() -> list[int]:
            return [number async for number in numbers]

        return sorted(item for part in await asyncio.gather(*(some() for _ in range(4))) for item in part)

    def slow(self, texts: Iterator[str]) -> int:
        for _ in texts:
            self.read += 1
            self.first.set()
            assert self.free.wait(PATIENCE)
        return self.read

    def ends(self, numbers: Iterator[int]) -> None:
        try:
            for _ in numbers:
                self.first.set()
        except zerorpc.Cancelled as error:
            self.ended.append(str(error))

    async def aends(self, numbers: AsyncIterator[int]) -> None:
        try:
            async for _ in numbers:
                self.first.set()
        except (zerorpc.Cancelled, asyncio.CancelledError) as error:
            self.ended.append(type(error).__name__)
            raise

    def two(self, a: Iterator[int], b: Iterator[int]) -> int:
        return sum(a) + sum(b)

    def none(self, a: int) -> int:
        return a

    @zerorpc.on_loop
    def blocks(self, numbers: Iterator[int]) -> int:
        return sum(numbers)

    @staticmethod
    @zerorpc.process
    def apart(numbers: Iterator[int]) -> int:
        return sum(numbers)


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def http(service: Service) -> Iterator[httpx.Client]:
    with http_to(service, limits=zerorpc.Limits(message=100_000)) as client:
        yield client


def lines(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


@pytest.mark.parametrize(
    ("method", "body", "result"),
    [
        ("total", lines({"start": 1}, 2, 3), 6),
        ("total", lines({}, 2, 3)[:-1], 5),
        ("total", b"\n" + lines({}) + b"\r\n\n" + lines(2), 2),
        ("total", lines({}), 0),
        ("total", b"", 0),
        ("atotal", lines({"start": 1}, "0.5", 2), "3.5"),
        ("placed", lines({"start": 2}, 1), 3),
        ("shared", lines({}, *range(1000)), list(range(1000))),
        ("ashared", lines({}, *range(1000)), list(range(1000))),
    ],
)
def test_items_are_lines(http: httpx.Client, method: str, body: bytes, result: Any) -> None:
    told = http.post(f"/call/{method}", content=body, headers=NDJSON)
    assert (told.status_code, told.json()) == (200, result)


@pytest.mark.parametrize(
    ("method", "arguments", "items", "result"),
    [
        ("total", {}, range(100_000), sum(range(100_000))),
        ("atotal", [], [1] * 50_000, "50000"),
        ("head", {}, range(100_000), 0),
    ],
    ids=["total", "atotal", "head"],
)
def test_there_may_be_many(http: httpx.Client, method: str, arguments: Any, items: Sequence[int], result: Any) -> None:
    test_items_are_lines(http, method, lines(arguments, *items), result)


@pytest.mark.parametrize("method", ["doubled", "adoubled"])
def test_both_ways_at_once(service: Service, method: str) -> None:
    """An item goes back before the next one is sent."""
    with serving(service, bind=HTTP) as server:
        host, port = server.endpoints[0].removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as sock, sock.makefile("rb") as reader:
            head = f"POST /call/{method} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/x-ndjson\r\n"
            sock.sendall(head.encode() + b"transfer-encoding: chunked\r\n\r\n" + chunk(lines({})))
            for number in range(5):
                sock.sendall(chunk(lines(number)))
                assert next(line for line in reader if line.strip() == b"%d" % (2 * number) and line.endswith(b"\n"))
            sock.sendall(b"0\r\n\r\n")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@pytest.mark.parametrize(
    ("method", "body", "status", "title", "detail", "ran"),
    [
        ("total", lines({}) + b"x\n", 500, "TypeError", "item 1 is no JSON", True),
        ("total", lines({}, 1, "x"), 500, "TypeError", "numbers[1]: expected int, got str", True),
        ("atotal", lines({}, 1) + b"x\n", 500, "TypeError", "item 2 is no JSON", True),
        ("total", lines({"start": "x"}, 1), 400, "InvalidArguments", "start: expected int, got str", False),
        ("total", lines({"numbers": [1]}, 1), 400, "WrongArguments", "numbers streams: its items are further", False),
        ("total", b"x\n", 400, "WrongArguments", "the body is no JSON", False),
        ("total", lines(3), 400, "WrongArguments", "arguments are a map", False),
        ("two", lines({}, 1), 400, "WrongArguments", "two: it has 2 parameters that take a stream", False),
        ("none", lines({"a": 1}), 400, "WrongArguments", "none: it has 0 parameters that take a stream", False),
        ("blocks", lines({}, 1), 400, "WrongArguments", "annotate it as AsyncIterator", False),
        ("apart", lines({}, 1), 400, "WrongArguments", "apart: it has 0 parameters that take a stream", False),
        ("nothing", lines({}, 1), 404, "UnknownMethod", "nothing", False),
        ("total", b"[" + b" " * 200_000, 413, "TooLarge", "a line of the body is longer than 100000 octets", False),
        ("total", lines({}) + b" " * 200_000, 500, "TypeError", "a line of the body is longer than 100000", True),
    ],
)
def test_what_goes_wrong(
    http: httpx.Client, method: str, body: bytes, status: int, title: str, detail: str, ran: bool
) -> None:
    told = http.post(f"/call/{method}", content=body, headers=NDJSON).json()
    assert (told["status"], told["title"], told["ran"]) == (status, title, ran)
    assert detail in told["detail"]
    assert http.post("/call/total", json=[[1, 2]]).json() == 3


def test_a_key_and_a_stream(http: httpx.Client) -> None:
    told = http.post("/call/total", content=lines({}, 1), headers={**NDJSON, "idempotency-key": "k"}).json()
    assert (told["title"], told["ran"]) == ("WrongArguments", False)


def test_no_more_is_read_than_the_method_reads(service: Service) -> None:
    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        yield lines({})
        while sent < 2000:
            sent += 1
            yield lines("x" * 50_000)

    with serving(service, bind=HTTP) as server:
        answers: list[Any] = []

        def call() -> None:
            answer = httpx.post(f"{server.endpoints[0]}/call/slow", content=body(), headers=NDJSON, timeout=PATIENCE)
            answers.append(answer.json())

        thread = threading.Thread(target=call)
        thread.start()
        assert service.first.wait(PATIENCE)
        before = -1
        while sent != before:  # until it comes to a stop
            before = sent
            threading.Event().wait(0.3)
        assert sent < 1000, "100 MB would be all"
        service.free.set()
        thread.join()
    assert answers == [2000]


@pytest.mark.parametrize("method", ["ends", "aends"])
def test_a_client_that_goes_in_the_middle(service: Service, method: str) -> None:
    with serving(service, bind=HTTP) as server:
        host, port = server.endpoints[0].removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as sock:
            head = f"POST /call/{method} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/x-ndjson\r\n"
            sock.sendall(head.encode() + b"content-length: 1000\r\n\r\n" + lines({}, 1))
            assert service.first.wait(PATIENCE)
        eventually(lambda: service.ended)
    assert service.ended[0].startswith("Cancelled") or "sends no more" in service.ended[0]


def test_openapi_tells_of_it(http: httpx.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    assert "application/x-ndjson" in paths["/call/total"]["post"]["requestBody"]["content"]
    assert "application/x-ndjson" not in paths["/call/none"]["post"]["requestBody"]["content"]
