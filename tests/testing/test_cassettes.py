"""Cassettes: what a server said once, a test hears again without the server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import zerorpc
import zerorpc.testing
from tests.service.running import PATIENCE, run, serving
from zerorpc import errors
from zerorpc.testing import CassetteMiss, cassette


class Shop:
    def __init__(self) -> None:
        self.calls = 0
        self.traces: list[object] = []

    def teller(self) -> Any:
        return lambda: 1

    def price(self, what: str) -> int:
        self.calls += 1
        return self.calls

    def echo(self, value: Any) -> Any:
        return value

    def fails(self) -> None:
        raise ValueError("sold out")

    def count(self, stop: int) -> Iterator[int]:
        yield from range(stop)

    def breaks(self) -> Iterator[int]:
        yield 1
        raise KeyError("gone")

    def login(self, user: str, password: str) -> dict[str, str]:
        if password == "wrong password":
            raise ValueError(f"{user} can't log in with {password}")
        return {"user": user, "token": f"token-of-{user}"}

    def order(self, what: str, *, count: int = 1, api_key: str = "") -> str:
        return f"{count} {what}"

    def noted(self) -> str:
        return str(zerorpc.current_call().metadata["note"])

    def basket(self, session: str) -> str:
        return f"the basket of {session}"

    async def hangs(self) -> None:
        await asyncio.Event().wait()


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def endpoint(shop: Shop) -> Iterator[str]:
    with serving(shop) as server:
        yield server.endpoints[0]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cassettes" / "shop.json"


def kept(path: Path) -> list[dict[str, Any]]:
    """The calls in a file."""
    calls = json.loads(path.read_text(encoding="utf-8"))["calls"]
    assert isinstance(calls, list)
    return calls


def test_what_was_recorded_is_played_without_a_server(shop: Shop, endpoint: str, path: Path) -> None:
    def asks(client: zerorpc.Client) -> list[Any]:
        first = client.price("apples")
        values = [client.echo(value) for value in (b"\x00\xff", {1: 2.5}, [None, "ä"], float("inf"))]
        return [first, client.price("pears"), client.price("apples"), values, list(client.count(300))]

    with cassette(path, endpoint) as client:
        first = asks(client)
    assert shop.calls == 3
    with cassette(path, "tcp://127.0.0.1:9") as client:
        assert asks(client) == first
    with cassette(path) as client:  # in another order
        assert client.price("pears") == 2
        assert [client.price("apples"), client.price("apples")] == [1, 3]
    assert shop.calls == 3


def test_the_file_reads_well(endpoint: str, path: Path) -> None:
    with cassette(path, endpoint) as client:
        client.price("äpples")
        list(client.count(2))
    assert (
        path.read_text(encoding="utf-8")
        == """{
  "format": "zerorpc cassette",
  "version": 1,
  "parameters": {
    "count": [
      "stop"
    ],
    "price": [
      "what"
    ]
  },
  "calls": [
    {
      "method": "price",
      "args": [
        "äpples"
      ],
      "result": 1
    },
    {
      "method": "count",
      "args": [
        2
      ],
      "stream": [
        0,
        1
      ]
    }
  ]
}
"""
    )
    assert [file.name for file in path.parent.iterdir()] == ["shop.json"]


def test_errors_come_back_as_they_were(endpoint: str, path: Path) -> None:
    seen: list[Any] = []
    for _ in range(2):
        with cassette(path, endpoint) as client:
            for call in (client.fails, client.nothing, client.price, lambda: list(client.breaks())):
                with pytest.raises(zerorpc.RemoteError) as caught:
                    call()
                error = caught.value
                seen.append((type(error), error.name, error.msg, error.traceback, error.ran, error.method))
    assert seen[:4] == seen[4:]
    assert [kind for kind, *_ in seen[:4]] == [
        zerorpc.RemoteError,
        zerorpc.UnknownMethod,
        zerorpc.WrongArguments,
        zerorpc.RemoteError,
    ]


def test_a_call_that_is_not_there_is_a_miss(endpoint: str, path: Path) -> None:
    with cassette(path, endpoint) as client:
        client.price("apples")
        client.echo(1)
    with pytest.raises(CassetteMiss) as caught, cassette(path) as client:
        client.price("pears")
    text = str(caught.value)
    assert isinstance(caught.value, AssertionError)
    assert "price('pears') was called" in text
    assert str(path) in text
    assert "  price('apples')" in text
    assert "echo" not in text  # calls of the same method, if there are any
    assert 'mode="record"' in text
    assert caught.value.ran is False
    with pytest.raises(CassetteMiss, match=r"(?s)brew\(\) was called.*  price\('apples'\)\n  echo\(1\)"):
        with cassette(path) as client:
            client.brew()


@pytest.mark.parametrize("value", [1.0, True, "1", [1], None])
def test_arguments_are_told_apart_by_type(endpoint: str, path: Path, value: Any) -> None:
    with cassette(path, endpoint) as client:
        client.echo(1)
    with pytest.raises(CassetteMiss), cassette(path) as client:
        client.echo(value)


def test_the_order_of_keys_tells_nothing(endpoint: str, path: Path) -> None:
    with cassette(path, endpoint) as client:
        client.echo({"a": 1, "b": 2})
    with cassette(path) as client:
        assert client.echo({"b": 2, "a": 1}) == {"a": 1, "b": 2}


def test_a_call_is_played_as_often_as_it_was_recorded(endpoint: str, path: Path) -> None:
    with cassette(path, endpoint) as client:
        assert [client.price("apples"), client.price("apples")] == [1, 2]
    with cassette(path) as client:
        assert [client.price("apples"), client.price("apples")] == [1, 2]
    with pytest.raises(CassetteMiss, match=r"(?s)more than 2 times.*\(played already\)"), cassette(path) as client:
        [client.price("apples") for _ in range(3)]


def test_a_program_can_not_hide_a_miss(endpoint: str, path: Path) -> None:
    with cassette(path, endpoint) as client:
        client.price("apples")

    def hides(client: zerorpc.Client) -> None:
        with contextlib.suppress(zerorpc.RemoteError):
            client.price("pears")
        assert client.price("apples") == 1

    def fails(client: zerorpc.Client) -> None:
        hides(client)
        raise KeyError

    with pytest.raises(CassetteMiss, match="pears"), cassette(path) as client:
        hides(client)
    with pytest.raises(KeyError), cassette(path) as client:  # unless there is another error
        fails(client)


def test_a_long_cassette_is_not_listed_in_full(endpoint: str, path: Path) -> None:
    with cassette(path, endpoint) as client:
        for number in range(30):
            client.echo(number)
        client.echo("x" * 1000)
    with pytest.raises(CassetteMiss, match="and 11 more") as caught, cassette(path) as client:
        client.echo("y" * 1000)
    assert len(str(caught.value)) < 2000


def test_modes(shop: Shop, endpoint: str, path: Path) -> None:
    with pytest.raises(FileNotFoundError), cassette(path, endpoint, mode="replay"):
        pass
    with cassette(path, endpoint, mode="record") as client:
        assert client.price("apples") == 1
    with cassette(path, endpoint, mode="replay") as client:
        assert client.price("apples") == 1
    with cassette(path, endpoint, mode="record") as client:
        assert client.price("apples") == 2
    assert [call["result"] for call in kept(path)] == [2]
    with pytest.raises(ValueError, match="mode"):
        cassette(path, endpoint, mode="always")  # type: ignore[arg-type]
    path.unlink()
    with pytest.raises(ValueError, match="needs an endpoint"), cassette(path):
        pass
    with pytest.raises(zerorpc.EndpointError), cassette(path, "nowhere"):
        pass


def test_a_block_that_fails_keeps_nothing(endpoint: str, path: Path) -> None:
    with pytest.raises(KeyError), cassette(path, endpoint) as client:
        raise KeyError(client.price("apples"))
    assert not path.exists()
    with cassette(path, endpoint) as client:
        assert client.price("apples") == 2
    with pytest.raises(KeyError), cassette(path, endpoint, mode="record") as client:
        raise KeyError(client.price("pears"))
    assert [call["args"] for call in kept(path)] == [["apples"]]


def test_clients_know_of_misses_only_meanwhile(endpoint: str, path: Path) -> None:
    with cassette(path, endpoint), cassette(path.with_name("other.json"), endpoint):
        assert "CassetteMiss" in errors.SERVER_ERRORS
    assert "CassetteMiss" not in errors.SERVER_ERRORS


def test_it_is_entered_once(endpoint: str, path: Path) -> None:
    made = cassette(path, endpoint)
    with made as client:
        client.price("apples")
    with pytest.raises(RuntimeError, match="once"), made:
        pass
    assert repr(made) == f"<cassette {path} once>"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": "zerorpc cassette", "version": 2, "calls": []}',
        '{"format": "zerorpc cassette", "version": 1}',
        '{"format": "zerorpc cassette", "version": 1, "calls": [5]}',
        '{"format": "zerorpc cassette", "version": 1, "calls": [{"method": "a", "args": [{"$what": 1}]}]}',
        '{"format": "zerorpc cassette", "version": 1, "calls": [], "parameters": 5}',
    ],
)
def test_what_is_no_cassette(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"shop\.json can't be used"), cassette(path):
        pass


def test_secrets_are_not_kept(endpoint: str, path: Path) -> None:
    def logs_in(client: zerorpc.Client, password: str) -> str:
        session = client.login("joe", password)
        return str(client.basket(session["token"]))

    with cassette(path, endpoint) as client:
        assert logs_in(client, "hunter2-hunter2") == "the basket of token-of-joe"  # itself hidden from nobody
        with pytest.raises(zerorpc.RemoteError, match="wrong password"):
            client.login("ann", "wrong password")
        client.echo({"nested": [{"api-key": "1234567890"}], "header": b"key=1234567890"})
    text = path.read_text(encoding="utf-8")
    for secret in ("hunter2", "token-of-joe", "wrong password", "1234567890"):
        assert secret not in text
    with cassette(path) as client:
        assert logs_in(client, "another password") == "the basket of <redacted>"
        with pytest.raises(zerorpc.RemoteError, match="ann can't log in with <redacted>"):
            client.login("ann", "yet another one")
        client.echo({"nested": [{"api-key": "secret-of-today"}], "header": b"key=secret-of-today"})


def test_what_is_secret_may_be_chosen(endpoint: str, path: Path) -> None:
    with cassette(path, endpoint, redact=(*zerorpc.testing.SECRET_NAMES, "user")) as client:
        client.login("joe", "hunter2!")
    assert kept(path)[0]["args"] == ["<redacted>", "<redacted>"]
    path.unlink()
    with cassette(path, endpoint, redact=()) as client:
        client.login("joe", "hunter2!")
    assert kept(path)[0]["args"] == ["joe", "hunter2!"]


def test_keyword_arguments_are_kept_and_matched(endpoint: str, path: Path) -> None:
    with cassette(path, endpoint) as client:
        assert client.order("pears", count=3, api_key="0123456789") == "3 pears"
        assert client.order("pears", count=4) == "4 pears"
    assert kept(path)[0]["kwargs"] == {"count": 3, "api_key": "<redacted>"}
    with cassette(path) as client:
        assert client.order("pears", count=4) == "4 pears"
        assert client.order("pears", api_key="another key", count=3) == "3 pears"
    with pytest.raises(CassetteMiss, match=r"order\('pears', count=5\) was called"), cassette(path) as client:
        client.order("pears", count=5)


def test_metadata_reaches_the_server(endpoint: str, path: Path) -> None:
    with cassette(path, endpoint) as client:
        assert zerorpc.options(client, metadata={"note": "urgent"}).noted() == "urgent"


def test_an_argument_that_streams_is_refused(shop: Shop, endpoint: str, path: Path) -> None:
    with cassette(path, endpoint) as client:
        with pytest.raises(zerorpc.RemoteError, match="has no place in a cassette") as caught:
            client.price(iter("apples"))
        assert caught.value.ran is False
        with pytest.raises(zerorpc.RemoteError, match="passed by reference has no place in a cassette"):
            client.price(print)
    assert shop.calls == 0


def test_a_function_as_a_result_is_refused(endpoint: str, path: Path) -> None:
    with cassette(path, endpoint) as client:
        with pytest.raises(zerorpc.RemoteError, match="RemoteFunction"):
            client.teller()


def test_a_stream_is_kept_as_far_as_it_was_read(endpoint: str, path: Path) -> None:
    def reads(client: zerorpc.Client) -> list[int]:
        with client.count(10**9, slots=3) as stream:
            return [next(stream) for _ in range(20)]

    with cassette(path, endpoint) as client:
        assert reads(client) == list(range(20))
    (call,) = kept(path)
    assert call["left"] is True
    assert 20 <= len(call["stream"]) < 30
    with cassette(path) as client:
        assert reads(client) == list(range(20))
    with pytest.raises(CassetteMiss, match="nobody wanted more"), cassette(path) as client:
        list(client.count(10**9))


def test_a_call_without_an_outcome_is_not_kept(endpoint: str, path: Path) -> None:
    with cassette(path, endpoint) as client:
        with pytest.raises(zerorpc.TimeoutExpired):
            client.hangs(timeout=0.05)
        client.price("apples")
    assert [call["method"] for call in kept(path)] == ["price"]


def test_a_lost_server_is_lost(shop: Shop, path: Path) -> None:
    with serving(shop) as server, cassette(path, server.endpoints[0]) as client:
        result = client.hangs(async_=True)
        assert client.price("apples") == 1
        server.stop()
        with pytest.raises((zerorpc.LostRemote, zerorpc.RemoteError)):
            result.get()


def test_no_server_is_a_timeout(path: Path) -> None:
    with cassette(path, "tcp://127.0.0.1:9") as client, pytest.raises(zerorpc.TimeoutExpired):
        client.price("apples", timeout=0.1)


def test_middleware_reaches_the_server(shop: Shop, path: Path) -> None:
    context, seen = zerorpc.Context(), zerorpc.Context()
    context.register_middleware({"get_task_context": lambda: {"trace": 7}})
    seen.register_middleware({"load_task_context": lambda header: shop.traces.append(header.get("trace"))})
    with serving(shop, context=seen) as server, cassette(path, server.endpoints[0], context=context) as client:
        client.price("apples")
    assert set(shop.traces) == {7}


def test_background_calls_and_threads(endpoint: str, path: Path) -> None:
    with cassette(path, endpoint) as client:
        results = [client.echo(number, async_=True) for number in range(20)]
        assert [result.get(timeout=PATIENCE) for result in results] == list(range(20))
    with cassette(path) as client:
        results = [client.echo(number, async_=True) for number in reversed(range(20))]
        assert [result.get(timeout=PATIENCE) for result in results] == list(reversed(range(20)))


def test_coroutines_record_and_replay(endpoint: str, path: Path) -> None:
    async def asks(where: str) -> list[Any]:
        async with cassette(path, where) as client:
            with pytest.raises(zerorpc.RemoteError, match="sold out"):
                await client.fails()
            prices = await asyncio.gather(*(client.price(what) for what in "abc"))
            return [sorted(prices), [item async for item in client.count(500)]]

    assert run(asks(endpoint)) == run(asks("tcp://127.0.0.1:9")) == [[1, 2, 3], list(range(500))]

    async def misses() -> None:
        async with cassette(path) as client:
            await client.price("d")

    with pytest.raises(CassetteMiss):
        run(misses())
