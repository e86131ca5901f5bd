"""Web pages that call."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

import zerorpc
from tests.certificates import certificates
from tests.doors.http.test_access import HTTP, HTTPS, http_to, trusting
from tests.service.running import PATIENCE, serving


class Service:
    def add(self, a: int, b: int = 2) -> int:
        return a + b


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with http_to(Service()) as client:
        yield client


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://{host}"}, 200),
        ({"origin": "null"}, 403),
        ({"host": "evil.example", "origin": "http://evil.example"}, 403),
        ({"host": "evil.example:80", "sec-fetch-site": "same-origin"}, 403),
        ({"host": "localhost:80", "sec-fetch-site": "same-origin"}, 200),
        ({"host": "[::1]:80", "origin": "http://[::1]:80"}, 200),
        ({"host": "robot.example"}, 200),  # no browser has sent this
    ],
)
def test_pages_of_others_may_not_call(http: httpx.Client, headers: dict[str, str], status: int) -> None:
    host = http.base_url.netloc.decode()
    told = {name: value.replace("{host}", host) for name, value in headers.items()}
    assert http.post("/call/add", json=[1], headers=told).status_code == status


def test_with_tls_of_ours_the_name_is_verified() -> None:
    tls = zerorpc.Tls(certificates().server, certificates().server_key)
    with serving(Service(), bind=HTTPS, tls=tls) as server:
        url = f"{server.endpoints[0]}/call/add"
        for origin, status in (("https://robot.example", 200), ("https://evil.example", 403)):
            headers = {"host": "robot.example", "origin": origin}
            told = httpx.post(url, json=[1], headers=headers, verify=trusting(), timeout=PATIENCE)
            assert told.status_code == status


def test_what_a_proxy_says_of_tls_proves_nothing() -> None:
    headers = {"host": "evil.example", "origin": "https://evil.example", "x-forwarded-proto": "https"}
    with http_to(Service()) as http:
        assert http.post("/call/add", json=[1], headers=headers).status_code == 403


ALLOWED = ["https://app.example.org", "http://*.lab"]


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://app.example.org", True),
        ("http://robot.lab", True),
        ("http://app.example.org", False),
        ("https://app.example.org.evil.example", False),
        ("null", False),
    ],
)
def test_origins_that_are_named(origin: str, allowed: bool) -> None:
    with http_to(Service(), origins=ALLOWED) as http:
        told = http.post("/call/add", json=[1], headers={"origin": origin})
        asked = {"access-control-request-method": "POST", "access-control-request-headers": "content-type,x-a"}
        before = http.options("/call/add", headers={"origin": origin, **asked})
        if allowed:
            assert told.json() == 3
            assert told.headers["access-control-allow-origin"] == origin
            assert told.headers["vary"] == "origin"
            assert (before.status_code, before.content) == (204, b"")
            assert before.headers["access-control-allow-origin"] == origin
            assert before.headers["access-control-allow-headers"] == "content-type,x-a"
            assert "POST" in before.headers["access-control-allow-methods"]
        else:
            assert told.status_code == before.status_code == 403
            assert "access-control-allow-origin" not in told.headers


def test_errors_can_be_read_by_pages_too() -> None:
    with http_to(Service(), origins=ALLOWED, authenticator=lambda caller: caller.token) as http:
        origin = {"origin": "http://a.lab"}
        asked = {"access-control-request-method": "POST"}
        assert http.options("/call/add", headers={**origin, **asked}).status_code == 204, "browsers show no password"
        refused = http.post("/call/add", json=[1], headers=origin)
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "http://a.lab")


def test_no_origins_are_named_usually() -> None:
    with serving(Service(), bind=HTTP) as server:
        asked = {"origin": "http://a.lab", "access-control-request-method": "POST"}
        told = httpx.options(f"{server.endpoints[0]}/call/add", headers=asked, timeout=PATIENCE)
        assert told.status_code == 403
    with pytest.raises(TypeError, match="origins has to be origins of web pages"):
        zerorpc.Server(Service(), origins=3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/openapi.json", 403), ("/call/look", 403), ("/livez", 200), ("/readyz", 200), ("/metrics", 200)],
)
def test_a_get_may_come_from_a_page_that_says_nothing(path: str, status: int) -> None:
    """Browsers tell neither origin nor Sec-Fetch-Site there (DNS rebinding)."""

    class Safe:
        @zerorpc.safe
        def look(self) -> str:
            return "secret"

    with http_to(Safe(), metrics=True) as http:
        assert http.get(path, headers={"host": "evil.example:80"}).status_code == status
        assert http.get(path).status_code == 200
    with http_to(Safe(), metrics=True, origins="http://robot.lan:8080") as http:
        assert http.get(path, headers={"host": "robot.lan:8080"}).status_code == 200


def test_what_is_no_origin_matches_no_pattern() -> None:
    with http_to(Service(), origins="https://*.example.org") as http:
        for odd in ("https://evil.com/.example.org", "https://evil.com?.example.org", "https://a@b.example.org"):
            assert http.post("/call/add", json=[1], headers={"origin": odd}).status_code == 403
