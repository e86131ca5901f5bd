"""The console's page and its files, as they are sent: by which address, to whom, and what a browser is told of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import fastapi
import httpx
import pytest

import zerorpc
from tests.doors.console.robot import robot_server
from tests.service.running import PATIENCE, on_thread, run, serving
from zerorpc.callers import Certificate
from zerorpc.doors.console import page
from zerorpc.doors.http.asgi_messages import Connection

STATIC = Path(page.__file__).with_name("static")
HTTP = "http://127.0.0.1:0"
SHOWN = Certificate("alice", (), "us", "1", "", b"")
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "img-src": "'self' data: blob:",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
    "form-action": "'none'",
}


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    server = robot_server()
    server.bind(HTTP)
    with on_thread(server), httpx.Client(base_url=server.endpoints[0], timeout=PATIENCE) as client:
        yield client


def loaded_by(text: str, kind: str) -> list[str]:
    """The addresses of what a page or a module loads."""
    if "html" in kind:
        return re.findall(r'(?:src|href)="([^"#]+)"', text)
    return re.findall(r'(?:from|import)\s*\(?"(\.[^"\n]+\.js)"', text) if "javascript" in kind else []


def test_the_page_and_all_that_it_loads_is_there(http: httpx.Client) -> None:
    found: dict[str, str] = {}
    wanted = ["/"]
    while wanted:
        address = wanted.pop()
        if address in found:
            continue
        response = http.get(address)
        assert response.status_code == 200, address
        kind = response.headers["content-type"]
        found[address] = kind
        wanted += [urljoin(address, each) for each in loaded_by(response.text, kind)]
    files = {
        path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*.*") if path.suffix in (".js", ".css", ".svg")
    }
    assert set(found) == {"/"} | {f"/console/{name}" for name in files}, "a file is not used, or missing"
    kinds = {Path(name).suffix: kind for name, kind in found.items()}
    assert kinds == {
        "": "text/html; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".svg": "image/svg+xml",
    }


@pytest.mark.parametrize("address", ["/", "/console/app.js", "/console/vendor/uPlot.js"])
def test_what_a_browser_is_told(http: httpx.Client, address: str) -> None:
    headers = http.get(address).headers
    policy = dict(each.strip().split(" ", 1) for each in headers["content-security-policy"].split(";"))
    assert policy == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "private, no-cache"


def test_a_browser_that_has_it_gets_it_once(http: httpx.Client) -> None:
    first = http.get("/console/app.js")
    tag = first.headers["etag"]
    assert first.content
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = http.get("/console/app.js", headers={"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert "content-length" not in again.headers
        assert again.headers["content-security-policy"] == first.headers["content-security-policy"]
    assert http.get("/console/app.js", headers={"if-none-match": '"other"'}).content == first.content
    assert http.get("/console/style.css", headers={"if-none-match": tag}).status_code == 200


def test_head_has_the_headers_alone(http: httpx.Client) -> None:
    whole, head = http.get("/"), http.head("/")
    assert (head.status_code, head.content) == (200, b"")
    named = ("content-length", "content-type", "etag", "content-security-policy")
    assert [head.headers[name] for name in named] == [whole.headers[name] for name in named]


@pytest.mark.parametrize(
    "address",
    [
        "/console", "/console/", "/console/none.js", "/console/index.html", "/console/vendor/README.md",
        "/console/vendor/LICENSE.htm", "/console/../door.py", "/console/%2e%2e/page.py", "//console/app.js",
    ],
)  # fmt: skip
def test_nothing_else_is_there(http: httpx.Client, address: str) -> None:
    request = http.build_request("GET", "/")
    request.url = request.url.copy_with(raw_path=address.encode())
    assert http.send(request).status_code == 404


def test_it_is_only_looked_at(http: httpx.Client) -> None:
    assert http.post("/").status_code == 404
    assert http.put("/console/app.js").status_code == 404


def test_it_can_be_turned_off() -> None:
    with serving({"m": lambda: 1}, bind=HTTP, console=False) as server:
        with httpx.Client(base_url=server.endpoints[0], timeout=PATIENCE) as http:
            assert [http.get(address).status_code for address in ("/", "/console/app.js")] == [404, 404]
            assert http.get("/openapi.json").status_code == 200


# Who may see it


def by_name(caller: zerorpc.Caller) -> str | None:
    return caller.user


def answer_at(address: str, auth: tuple[str, str] | None = None, path: str = "/", **settings: Any) -> httpx.Response:
    """What a caller gets that reaches the server by this address of it."""

    async def ask() -> httpx.Response:
        server = zerorpc.Server({"m": lambda: 1}, name="shop", **settings)
        transport = httpx.ASGITransport(zerorpc.asgi(server))
        async with httpx.AsyncClient(transport=transport, base_url=address) as http:
            response = await http.get(path, auth=auth)
            server.stop()
            return response

    response = run(ask())
    assert isinstance(response, httpx.Response)
    return response


@pytest.mark.parametrize("path", ["/", "/console/app.js"])
def test_off_loopback_it_is_for_those_who_are_asked_who_they_are(path: str) -> None:
    others = "http://192.0.2.1:8080"
    refused = answer_at(others, path=path)
    assert (refused.status_code, refused.json()["title"]) == (403, "PermissionDenied")
    assert "authenticator" in refused.json()["detail"]
    assert answer_at("http://127.0.0.1:8080", path=path).status_code == 200
    assert answer_at("http://[::1]:8080", path=path).status_code == 200
    assert answer_at(others, path=path, anyone_may_call=True).status_code == 200
    assert answer_at(others, ("alice", ""), path=path, authenticator=by_name).status_code == 200


def test_a_browser_is_asked_for_a_password() -> None:
    for path in ("/", "/console/app.js"):
        refused = answer_at("http://127.0.0.1:8080", path=path, authenticator=lambda caller: None)
        assert refused.status_code == 401
        assert refused.headers.get_list("www-authenticate")[0] == 'Basic realm="shop", charset="UTF-8"'


@pytest.mark.parametrize("certificate", [None, SHOWN])
def test_a_certificate_shows_who_it_is(certificate: Any) -> None:
    """Where TLS asks for one, and nobody besides."""
    told: list[Any] = []

    async def ask() -> None:
        server = zerorpc.Server({"m": lambda: 1})
        door = server._core.http_endpoints().door
        scope: Any = {
            "type": "http",
            "method": "GET",
            "path": "/",
            "headers": [(b"host", b"192.0.2.1")],
            "scheme": "https",
        }
        scope |= {"server": ("192.0.2.1", 443), "client": ("192.0.2.2", 5000), "query_string": b""}

        async def receive() -> Any:
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            told.append(message)

        await door(scope, receive, send, Connection(verified=True, certificate=certificate))
        server.close()

    run(ask())
    assert told[0]["status"] == (403 if certificate is None else 200)


def test_it_works_where_it_is_mounted() -> None:
    async def ask() -> None:
        server = robot_server()
        app = fastapi.FastAPI()
        app.mount("/robot", zerorpc.asgi(server))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8080") as http:
            there = await http.get("/robot/")
            assert there.status_code == 200
            for address in loaded_by(there.text, "html"):
                assert not address.startswith("/"), "it would lead out of where it is mounted"
                assert (await http.get(urljoin("/robot/", address))).status_code == 200
        server.stop()

    run(ask())


# What the files are like


@pytest.mark.parametrize(
    "path", [path for path in STATIC.glob("*.*") if path.suffix in (".js", ".html")], ids=lambda path: path.name
)
def test_no_file_makes_html_or_code_of_text(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", " style="):
        assert word not in text


def test_others_files_have_their_version_and_licence_beside_them() -> None:
    vendor = STATIC / "vendor"
    told = (vendor / "README.md").read_text(encoding="utf-8")
    for path in vendor.iterdir():
        assert path.name == "README.md" or f"`{path.name}`" in told
    assert len(re.findall(r"\| (?:preact|htm|uplot) \d+\.\d+\.\d+:", told)) == 3


def test_a_server_that_nobody_looks_at_reads_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    read: Callable[[], Any] = lambda: pytest.fail("the files were read")  # noqa: E731
    monkeypatch.setattr(page, "_assets", read)
    with serving({"m": lambda: 1}, bind=HTTP) as server:
        with httpx.Client(base_url=server.endpoints[0], timeout=PATIENCE) as http:
            assert http.post("/call/m").json() == 1
