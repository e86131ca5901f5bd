"""A gateway in front of zerorpc 0.6.3 and of Node."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

import zerorpc
from tests.doors.http.test_calls import problem
from tests.forwarding.gateways import Front, in_front_of
from tests.interop.either_peer import EACH_SERVER
from tests.interop.programs import HEARTBEAT, old_client, old_server
from tests.service.running import PATIENCE, eventually, run, unused_port


@pytest.fixture(scope="module")
def front(older: str) -> Iterator[Front]:
    with in_front_of(older) as front:
        yield front


@pytest.mark.parametrize(
    ("method", "arguments", "status", "answer"),
    [
        ("add", [1, 2], 200, 3),
        ("add", {"right": 2, "left": 1}, 200, 3),
        ("move", {"x": 1, "y": 5, "note": "n"}, 200, [1, 5, "n"]),
        ("echo", {"value": {"a": [1, None, "ü"]}}, 200, {"a": [1, None, "ü"]}),
        ("nothing", [], 200, None),
        ("add", {"right": 2}, 400, "add(): missing arguments: left"),
        ("add", {"left": 1, "right": 1, "middle": 2}, 400, "middle can't be given by position"),
        ("echo", [], 400, "echo(): missing arguments: value"),
        ("echo", [1, 2], 400, ""),
        ("no_such_method", [], 404, "no_such_method"),
        ("fail", ["a message"], 500, "a message"),
    ],
)
def test_by_http(front: Front, method: str, arguments: Any, status: int, answer: Any) -> None:
    response = front.http.post(f"/call/{method}", json=arguments)
    assert response.status_code == status
    if status == 200:
        assert response.json() == answer
    else:
        assert answer in problem(response)["detail"]
        assert problem(response)["ran"] in ((None,) if status == 500 else (False, None))


def test_a_call_gives_a_value_or_a_stream_and_the_answer_follows(front: Front) -> None:
    told = front.http.post("/call/count", json=[3])
    assert (told.headers["content-type"], told.text) == ("application/x-ndjson", "0\n1\n2\n")
    told = front.http.post("/call/echo", json=[3])
    assert (told.headers["content-type"], told.text) == ("application/json", "3")
    told = front.http.post("/call/count", json=[2], headers={"accept": "text/event-stream"})
    assert told.text == "data: 0\n\ndata: 1\n\nevent: end\ndata: null\n\n"
    *items, error = front.http.post("/call/fail_after", json=[2]).text.splitlines()
    assert items == ["0", "1"]
    assert "stream broke" in error


def test_openapi_has_the_parameters_by_name(front: Front) -> None:
    paths = front.http.get("/openapi.json").json()["paths"]
    schema = paths["/call/add"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert list(schema["properties"]) == ["left", "right"]
    assert schema["required"][0] == "left"
    assert "/call/_zerorpc_list" not in paths


def test_by_zerorpc(front: Front) -> None:
    assert front.client.add(1, 2) == 3
    assert front.client.move(note="n", x=1, y=2) == [1, 2, "n"]
    assert list(front.client.count(3)) == [0, 1, 2]
    with pytest.raises(zerorpc.RemoteError, match="a message") as caught:
        front.client.fail("a message")
    assert caught.value.ran is None
    with pytest.raises(zerorpc.UnknownMethod):
        front.client.no_such_method()
    with pytest.raises(zerorpc.WrongArguments, match="missing arguments: value"):
        front.client.echo()
    with pytest.raises(zerorpc.WrongArguments, match="is a stream, which the method doesn't take there"):
        front.client.echo(iter([1]))
    assert zerorpc.options(front.client, metadata={"a": "b"}).add(1, 2) == 3
    assert zerorpc.options(front.client, words=True).echo("3") == "3"


def test_an_old_client(front: Front) -> None:
    with old_client("--connect", front.server.endpoints[0]) as client:
        assert client.call("add", 1, 2) == 3
        assert client.call("count", 3, take=3) == [0, 1, 2]


@EACH_SERVER
def test_an_endless_stream_ends_when_its_reader_has_gone(start_server: Any) -> None:
    """An older server finds it out by its heartbeats."""
    with start_server("--bind", "tcp://127.0.0.1:0", "--heartbeat", HEARTBEAT) as server:
        with in_front_of(zerorpc.AsyncClient(server.endpoint, heartbeat=HEARTBEAT)) as front:
            with front.http.stream("POST", "/call/endless") as response:
                lines = response.iter_lines()
                assert [next(lines) for _ in range(50)] == [str(n) for n in range(50)]
            stream = front.client.endless()
            assert next(stream) == 0
            stream.close()
            eventually(lambda: front.client.streams_closed() == 2)


def test_many_calls_at_once(front: Front) -> None:
    async def act() -> None:
        limits = httpx.Limits(max_connections=50)
        async with (
            zerorpc.AsyncClient(front.server.endpoints[0], timeout=PATIENCE) as client,
            httpx.AsyncClient(base_url=front.http.base_url, timeout=PATIENCE, limits=limits) as http,
        ):
            posts = [http.post("/call/meet", json=[50]) for _ in range(25)]
            calls = [client.meet(50) for _ in range(25)]
            both = await asyncio.gather(*calls, *posts)
        assert both[:25] == [50] * 25
        assert [each.json() for each in both[25:]] == [50] * 25

    run(act())


@EACH_SERVER
def test_one_that_is_killed_and_comes_again(start_server: Any) -> None:
    where = f"tcp://127.0.0.1:{unused_port()}"
    with in_front_of(where) as front:
        assert problem(front.http.post("/call/add", json=[1, 2]))["status"] == 503
        with start_server("--bind", where) as server:
            eventually(lambda: front.http.get("/readyz").status_code == 200)
            with front.http.stream("POST", "/call/slow_count", json=[1000, 0.01]) as response:
                lines = response.iter_lines()
                assert next(lines) == "0"
                server.kill()
                *_, last = lines
            assert '"LostRemote"' in last
        assert '"ran":true' in last
        eventually(lambda: front.http.get("/readyz").status_code == 503)
        told = problem(front.http.post("/call/add", json=[1, 2]))
        assert (told["status"], told["title"], told["ran"]) == (503, "LostRemote", False)
        with start_server("--bind", where):
            eventually(lambda: front.http.get("/readyz").status_code == 200)
            assert front.http.post("/call/add", json=[1, 2]).json() == 3


def test_one_that_cant_tell_its_parameters() -> None:
    """zerorpc 0.6.3 on Python 3.11 and later."""
    with old_server("--bind", "tcp://127.0.0.1:0") as server, in_front_of(server.endpoint) as front:
        assert front.http.post("/call/add", json=[1, 2]).json() == 3
        told = problem(front.http.post("/call/add", json={"left": 1}))
        assert (told["status"], told["ran"]) == (400, False)
        assert "the server doesn't tell what the method takes" in told["detail"]
        assert "Add two numbers." in front.client("_zerorpc_help", "add")
        assert "/call/count" in front.http.get("/openapi.json").json()["paths"]
        assert problem(front.http.post("/call/no_such_method"))["status"] == 404
