"""Calls by HTTP that are safe to repeat: ``Idempotency-Key``."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import zerorpc
from tests.doors.http.test_access import HTTP, by_password, http_to
from tests.service.running import PATIENCE, TCP, Program, eventually, serving


class Shop:
    def __init__(self) -> None:
        self.runs = 0
        self.began = threading.Event()
        self.free = threading.Event()

    def buy(self, what: str, on: datetime.date | None = None) -> list[Any]:
        self.runs += 1
        return [what, on, self.runs]

    def receipt(self) -> bytes:
        self.runs += 1
        return b"%d" % self.runs

    def fail(self) -> None:
        self.runs += 1
        raise ValueError(f"sold out {self.runs}")

    def slow(self) -> int:
        self.runs += 1
        self.began.set()
        assert self.free.wait(PATIENCE)
        return self.runs

    def items(self) -> Iterator[int]:
        yield 1

    def odd(self) -> Any:
        self.runs += 1
        return iter([1, 2])


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def http(shop: Shop) -> Iterator[httpx.Client]:
    with http_to(shop) as client:
        yield client


def key(text: str) -> dict[str, str]:
    return {"idempotency-key": text}


def test_a_repeat_gets_the_same_answer(http: httpx.Client, shop: Shop) -> None:
    for told in (key("k1"), key('"k1"')):
        answer = http.post("/call/buy", json={"what": "tea", "on": "2026-11-28"}, headers=told)
        assert (answer.status_code, answer.json()) == (200, ["tea", "2026-11-28", 1])
        assert answer.headers["content-type"] == "application/json"
    assert http.post("/call/buy", json=["tea"], headers=key("k2")).json() == ["tea", None, 2]
    assert shop.runs == 2


def test_an_error_is_repeated_too(http: httpx.Client, shop: Shop) -> None:
    told = [http.post("/call/fail", headers=key("k")) for _ in range(2)]
    assert [(each.status_code, each.json()["detail"]) for each in told] == [(500, "sold out 1")] * 2
    assert {each.headers["content-type"] for each in told} == {"application/problem+json"}
    assert shop.runs == 1


def test_octets_stay_octets(http: httpx.Client) -> None:
    for accept in ("application/octet-stream", "application/json"):  # the repeat gets what the first has got
        answer = http.post("/call/receipt", headers={**key("k"), "accept": accept})
        assert (answer.headers["content-type"], answer.content) == ("application/octet-stream", b"1")


def test_what_did_not_run_can_be_tried_again(http: httpx.Client, shop: Shop) -> None:
    assert http.post("/call/buy", json=[1], headers=key("k")).json()["title"] == "InvalidArguments"
    assert http.post("/call/buy", json=[], headers=key("k")).json()["title"] == "WrongArguments"
    assert http.post("/call/nothing", json=[], headers=key("k")).status_code == 404
    assert http.post("/call/buy", json=["tea"], headers=key("k")).json() == ["tea", None, 1]


@pytest.mark.parametrize("wrong", ["", '""', "x" * 256])
def test_keys_that_are_none(http: httpx.Client, shop: Shop, wrong: str) -> None:
    told = http.post("/call/buy", json=["tea"], headers=key(wrong))
    assert (told.status_code, told.json()["title"], shop.runs) == (400, "WrongKey", 0)


def test_a_key_that_was_used_for_something_else(http: httpx.Client, shop: Shop) -> None:
    http.post("/call/buy", json=["tea"], headers=key("k"))
    other = http.post("/call/buy", json=["milk"], headers=key("k"))
    assert (other.status_code, other.json()["title"], other.json()["ran"]) == (400, "WrongArguments", False)
    assert "its idempotency key was used before, with other arguments" in other.json()["detail"]
    assert shop.runs == 1


def test_what_streams_has_no_key(http: httpx.Client, shop: Shop) -> None:
    told = http.post("/call/items", headers=key("k")).json()
    assert (told["title"], told["ran"]) == ("WrongArguments", False)
    told = http.post("/call/odd", headers=key("k")).json()
    assert (told["title"], told["ran"]) == ("TypeError", True)
    assert "this one gave an iterator" in told["detail"]


def test_a_repeat_while_the_first_runs_waits_for_it_even_if_its_caller_is_gone(shop: Shop) -> None:
    with serving(shop, bind=HTTP) as server:
        url = f"{server.endpoints[0]}/call/slow"
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(url, headers=key("k"), timeout=httpx.Timeout(PATIENCE, read=1.0))
        assert shop.began.wait(PATIENCE), "it runs for the key"
        answers: list[Any] = []
        again = threading.Thread(
            target=lambda: answers.append(httpx.post(url, headers=key("k"), timeout=PATIENCE).json())
        )
        again.start()
        keyed = server._core.keyed
        eventually(lambda: any(len(run.waiting) >= 2 for run in keyed._open.values()))
        shop.free.set()
        again.join()
        assert (answers, shop.runs) == ([1], 1)
        assert httpx.post(url, headers=key("k"), timeout=PATIENCE).json() == 1


def test_keys_belong_to_who_calls(shop: Shop) -> None:
    with http_to(shop, authenticator=by_password) as http:
        alice, carol = {"auth": ("alice", "wonderland")}, {"headers": {**key("k"), "authorization": "Bearer t0ken"}}
        assert http.post("/call/buy", json=["tea"], headers=key("k"), **alice).json() == ["tea", None, 1]  # type: ignore[arg-type]
        assert http.post("/call/buy", json=["tea"], **carol).json() == ["tea", None, 2]  # type: ignore[arg-type]


def test_a_key_means_something_else_at_each_door(shop: Shop) -> None:
    with serving(shop, bind=TCP) as server:
        (url,) = server.bind(HTTP)
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
            assert zerorpc.options(client, key="k").buy("tea") == ["tea", None, 1]
            assert zerorpc.options(client, key="http:k").buy("tea") == ["tea", None, 2]
            eventually(lambda: httpx.get(f"{url}/livez").status_code == 200)
            answer = httpx.post(f"{url}/call/buy", json=["tea"], headers=key("k"), timeout=PATIENCE)
            assert (answer.status_code, answer.json()) == (200, ["tea", None, 3])


FILE = """
import sys, zerorpc
class Shop:
    runs = 0
    def buy(self, what: str) -> list:
        Shop.runs += 1
        return [what, Shop.runs]
server = zerorpc.Server(Shop(), answers=sys.argv[1], grace=0.1)
print(*server.bind("http://127.0.0.1:0"), flush=True)
server.run()
"""


def test_answers_in_a_file_outlive_the_server(tmp_path: Path) -> None:
    for _ in range(2):
        with Program(FILE, str(tmp_path / "answers")) as program:
            url = f"{program.line()}/call/buy"
            assert httpx.post(url, json=["tea"], headers=key("k"), timeout=PATIENCE).json() == ["tea", 1]
