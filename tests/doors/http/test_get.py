"""GET for methods that are marked as safe."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate

import zerorpc
from tests.doors.http.test_access import http_to
from tests.service.running import PATIENCE, serving


class Library:
    @zerorpc.safe
    def find(self, name: str, limit: int = 3, since: datetime.date | None = None, *, tags: list[str] = []) -> list[Any]:  # noqa: B006
        """Find some."""
        return [name, limit, since, tags]

    @zerorpc.safe
    def anything(self, it: Any = None) -> Any:
        return it

    @zerorpc.safe
    async def count(self, stop: int) -> Any:
        for number in range(stop):
            yield number

    @zerorpc.safe
    def placed(self, a: int, /, *more: int) -> list[int]:
        return [a, *more]

    @zerorpc.idempotent
    def lend(self, name: str) -> str:
        return name


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with http_to(Library()) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "result"),
    [
        ("find?name=anna", ["anna", 3, None, []]),
        ("find?name=a%20b+c&limit=5&since=2026-11-28", ["a b c", 5, "2026-11-28", []]),
        ("find?name=5&tags=x&tags=y", ["5", 3, None, ["x", "y"]]),
        ('find?name=&tags=["x"]', ["", 3, None, ["x"]]),
        ("anything", None),
        ("anything?it=x", "x"),
        ("placed?a=1&more=2&more=3", [1, 2, 3]),
        ("placed?a=1&more=2", [1, 2]),
        ("placed?a=1", [1]),
    ],
)
def test_arguments_are_words(http: httpx.Client, path: str, result: Any) -> None:
    told = http.get(f"/call/{path}")
    assert (told.status_code, told.json()) == (200, result)
    assert told.headers["content-type"] == "application/json"


def test_a_stream(http: httpx.Client) -> None:
    assert http.get("/call/count?stop=3").text.split() == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("path", "status", "title"),
    [
        ("find", 400, "WrongArguments"),
        ("find?name=a&limit=x", 400, "InvalidArguments"),
        ("find?name=a&other=1", 400, "WrongArguments"),
        ("lend?name=a", 405, "MethodNotAllowed"),
        ("nothing", 405, "MethodNotAllowed"),
    ],
)
def test_what_goes_wrong(http: httpx.Client, path: str, status: int, title: str) -> None:
    told = http.get(f"/call/{path}")
    assert (told.status_code, told.json()["title"], told.json()["ran"]) == (status, title, False)


def test_post_works_as_well(http: httpx.Client) -> None:
    assert http.post("/call/find", json=["anna"]).json() == ["anna", 3, None, []]
    assert http.post("/call/lend", json=["a"]).json() == "a"
    assert http.put("/call/find", json=["anna"]).status_code == 405


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),  # a picture on a page of others
        ({"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 200),  # a link that somebody has followed
        ({"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}, 200),
        ({"sec-fetch-site": "none", "sec-fetch-mode": "navigate"}, 200),  # typed
    ],
)
def test_pages_of_others_get_nothing(http: httpx.Client, headers: dict[str, str], status: int) -> None:
    assert http.get("/call/find?name=a", headers=headers).status_code == status


def test_openapi(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    validate(document)
    find = document["paths"]["/call/find"]["get"]
    assert find["summary"] == "Find some."
    assert [(each["name"], each["required"]) for each in find["parameters"]] == [
        ("name", True), ("limit", False), ("since", False), ("tags", False),
    ]  # fmt: skip
    assert find["parameters"][1]["schema"] == {"type": "integer", "default": 3}
    assert "get" not in document["paths"]["/call/lend"]


def test_safe_methods_are_idempotent() -> None:
    with serving(Library()) as server, zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
        told = client("_zerorpc_inspect")["methods"]
        assert told["find"]["idempotent"] is told["lend"]["idempotent"] is True
    with pytest.raises(TypeError, match=r"@zerorpc\.safe: .* can't be marked"):
        zerorpc.safe(len)
