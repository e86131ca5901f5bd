"""Who calls by HTTP, and what they may call."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import zerorpc
from tests.certificates import certificates
from tests.service.running import PATIENCE, TCP, Program, eventually, serving
from zerorpc.cli import main
from zerorpc.keys import KeyPair
from zerorpc.transport import authentication, endpoint_tls

HTTP, HTTPS = "http://127.0.0.1:0", "https://127.0.0.1:0"


class Robot:
    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.running = threading.Event()

    def who(self) -> str | None:
        """Who calls?"""
        call = zerorpc.current_call()
        assert call is not None
        return call.identity

    def shut_down(self) -> str:
        """Off."""
        return "off"

    async def ever(self) -> None:
        self.running.set()
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            self.cancelled.set()

    async def items(self) -> AsyncIterator[int]:
        try:
            yield 1
            self.running.set()
            await asyncio.sleep(PATIENCE)
        finally:
            self.cancelled.set()


PASSWORDS = {"alice": "wonderland", "bob": "ü:builder"}


def by_password(caller: zerorpc.Caller) -> str | None:
    if caller.token is not None:
        return {"t0ken": "carol"}.get(caller.token)
    return caller.user if caller.user is not None and PASSWORDS.get(caller.user) == caller.password else None


async def by_password_on_loop(caller: zerorpc.Caller) -> str | None:
    await asyncio.sleep(0)
    return by_password(caller)


def not_shut_down(identity: str, method: str) -> bool:
    return identity == "alice" or method != "shut_down"


@contextlib.contextmanager
def http_to(service: object, bind: str = HTTP, **settings: Any) -> Iterator[httpx.Client]:
    with serving(service, bind=bind, **settings) as server:
        with httpx.Client(base_url=server.endpoints[0], timeout=PATIENCE) as client:
            yield client


@pytest.mark.parametrize("authenticator", [by_password, by_password_on_loop])
def test_a_password_or_a_token(authenticator: Any, caplog: pytest.LogCaptureFixture) -> None:
    with http_to(Robot(), authenticator=authenticator) as http:
        for auth in (("alice", "wonderland"), ("bob", "ü:builder")):
            assert http.post("/call/who", auth=httpx.BasicAuth(*(part.encode() for part in auth))).json() == auth[0]
        assert http.post("/call/who", headers={"authorization": "bearer t0ken"}).json() == "carol"
        for shown in ({}, {"authorization": "Bearer other"}, {"authorization": "Negotiate xyz"}):
            refused = http.post("/call/who", headers=shown)
            assert (refused.status_code, refused.json()["title"], refused.json()["ran"]) == (401, "Unauthorized", False)
            ways = refused.headers.get_list("www-authenticate")
            assert ways == ['Basic realm="Robot", charset="UTF-8"', "Bearer"]
        assert http.post("/call/who", auth=("alice", "no")).status_code == 401
    assert "wonderland" not in caplog.text
    assert "refused <Caller http://127.0.0.1:" in caplog.text


@pytest.mark.parametrize("wrong", ["%%%", base64.b64encode(b"\xff:\xff").decode(), base64.b64encode(b"alice").decode()])
def test_what_is_no_password(wrong: str) -> None:
    with http_to(Robot(), authenticator=by_password) as http:
        refused = http.post("/call/who", headers={"authorization": f"Basic {wrong}"})
        assert (refused.status_code, refused.json()["title"]) == (400, "WrongCredentials")


def test_an_authenticator_that_raises_refuses(caplog: pytest.LogCaptureFixture) -> None:
    def authenticator(caller: zerorpc.Caller) -> str:
        raise SystemExit(caller.user)

    with http_to(Robot(), authenticator=authenticator) as http:
        assert http.post("/call/who").status_code == 401
    assert "the authenticator raised SystemExit" in caplog.text


def test_one_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    from zerorpc.doors.http import access

    async def authenticator(caller: zerorpc.Caller) -> str:
        await asyncio.sleep(PATIENCE)
        return "late"

    monkeypatch.setattr(access, "ANSWER_MAX", 0.05)
    with http_to(Robot(), authenticator=authenticator) as http:
        late = http.post("/call/who")
        assert (late.status_code, late.json()["title"], late.json()["ran"]) == (503, "TimeoutExpired", False)


def test_many_at_once_are_not_mixed_up() -> None:
    async def all_of(endpoint: str) -> list[Any]:
        async with httpx.AsyncClient(base_url=endpoint, timeout=PATIENCE) as http:
            auths = [("alice", "wonderland"), ("bob", "no"), ("carol", "none")] * 20
            answers = await asyncio.gather(*(http.post("/call/who", auth=auth) for auth in auths))
            return [answer.json() if answer.status_code == 200 else answer.status_code for answer in answers]

    with serving(Robot(), bind=HTTP, authenticator=by_password) as server:
        assert asyncio.run(all_of(server.endpoints[0])) == ["alice", 401, 401] * 20


# Rights


def test_what_a_caller_may_not_call() -> None:
    alice, token = ("alice", "wonderland"), {"authorization": "Bearer t0ken"}
    with http_to(Robot(), authenticator=by_password, authorizer=not_shut_down) as http:
        assert http.post("/call/shut_down", auth=alice).json() == "off"
        denied = http.post("/call/shut_down", headers=token)
        assert (denied.status_code, denied.json()["title"]) == (403, "PermissionDenied")
        assert denied.json()["detail"] == "carol may not call shut_down"
        assert http.post("/call/nothing", headers=token).status_code == 404
        assert http.post("/call/who", headers=token).json() == "carol"
        assert set(http.get("/openapi.json", auth=alice).json()["paths"]) == {
            "/call/who", "/call/shut_down", "/call/ever", "/call/items",
        }  # fmt: skip
        document = http.get("/openapi.json", headers=token).json()
        assert set(document["paths"]) == {"/call/who", "/call/ever", "/call/items"}
        assert set(document["components"]["securitySchemes"]) == {"bearer", "basic"}
        assert http.get("/openapi.json").status_code == 401
        assert [http.get(path).status_code for path in ("/livez", "/readyz")] == [200, 200], "probes have no password"


def test_what_may_not_be_listed_does_not_exist() -> None:
    with http_to(Robot(), authenticator=by_password, authorizer=lambda _, method: method == "who") as http:
        http.auth = httpx.BasicAuth("alice", "wonderland")
        assert http.post("/call/who").json() == "alice"
        assert http.post("/call/shut_down").status_code == http.post("/call/nothing").status_code == 404
        listing = http.get("/openapi.json")
        assert (listing.status_code, listing.json()["title"]) == (403, "PermissionDenied")


def test_a_file_of_rights(tmp_path: Path) -> None:
    path = tmp_path / "rights.toml"
    path.write_text('[identities.carol]\ntokens = ["t0ken"]\nroles = []\n[roles.all]\nallow = ["*"]\n')
    with pytest.raises(ValueError, match="sha256"):
        zerorpc.RightsFile(path)
    digest = f"sha256:{hashlib.sha256(b't0ken').hexdigest()}"
    path.write_text(f'[identities.carol]\ntokens = ["{digest}"]\nroles = ["all"]\n[roles.all]\nallow = ["*"]\n')
    rights = zerorpc.RightsFile(path)
    with http_to(Robot(), authenticator=rights.identify, authorizer=rights.permits) as http:
        assert http.post("/call/who", headers={"authorization": "Bearer t0ken"}).json() == "carol"
        assert http.post("/call/who", headers={"authorization": "Bearer t0ke"}).status_code == 401
        assert http.post("/call/who").status_code == 401


# Who is somebody else now


class Changing:
    """An authenticator that may say otherwise later."""

    def __init__(self) -> None:
        self.identity: str | None = "alice"
        self.has_changed = False

    def __call__(self, caller: zerorpc.Caller) -> str | None:
        return self.identity

    def changed(self) -> bool:
        said, self.has_changed = self.has_changed, False
        return said

    def change(self, identity: str | None) -> None:
        self.identity, self.has_changed = identity, True


@pytest.mark.parametrize("method", ["ever", "items"])
@pytest.mark.parametrize("now", [None, "bob"])
def test_what_runs_for_somebody_who_is_not_any_more_ends(
    method: str, now: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "_LOOK_EVERY", 0.01)
    robot, authenticator, answers = Robot(), Changing(), []
    with http_to(robot, authenticator=authenticator) as http:
        calling = threading.Thread(target=lambda: answers.append(http.post(f"/call/{method}")))
        calling.start()
        assert robot.running.wait(PATIENCE)
        authenticator.change(now)
        calling.join()
        assert robot.cancelled.wait(PATIENCE)
        if method == "ever":
            assert (answers[0].status_code, answers[0].json()["title"]) == (401, "Unauthorized")
        else:
            first, last = answers[0].text.splitlines()
            assert first == "1"
            assert '"title":"Unauthorized"' in last
        after = http.post("/call/who")
        assert after.status_code == 401 if now is None else after.json() == now


# TLS


def ours() -> zerorpc.Tls:
    return zerorpc.Tls(certificates().server, certificates().server_key)


def by_certificate(caller: zerorpc.Caller) -> str | None:
    return caller.certificate.common_name if caller.certificate is not None else None


def trusting(*, own: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificates().ca)
    if own is not None:
        context.load_cert_chain(own)
    return context


def test_tls() -> None:
    with serving(Robot(), bind=HTTPS, tls=ours()) as server:
        (endpoint,) = server.endpoints
        assert endpoint.startswith("https://127.0.0.1:")
        assert httpx.post(f"{endpoint}/call/who", verify=trusting(), timeout=PATIENCE).json() is None
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.post(f"{endpoint}/call/who", timeout=PATIENCE)
        with pytest.raises(httpx.TransportError):
            httpx.post(f"{endpoint.replace('https', 'http')}/call/who", timeout=PATIENCE)
        assert httpx.post(f"{endpoint}/call/who", verify=trusting(), timeout=PATIENCE).status_code == 200


@pytest.mark.parametrize("accepted", ["required", "accepted"])
def test_who_shows_a_certificate(accepted: str) -> None:
    tls = zerorpc.Tls(
        certificates().server, certificates().server_key, ca=certificates().ca, client_certificates=accepted
    )
    with serving(Robot(), bind=HTTPS, tls=tls, authenticator=by_certificate) as server:
        url = f"{server.endpoints[0]}/call/who"
        assert httpx.post(url, verify=trusting(own=certificates().client), timeout=PATIENCE).json() == "robot"
        with pytest.raises(httpx.TransportError):
            httpx.post(url, verify=trusting(own=certificates().strange_client), timeout=PATIENCE)
        if accepted == "required":
            with pytest.raises(httpx.TransportError):
                httpx.post(url, verify=trusting(), timeout=PATIENCE)
        else:
            assert httpx.post(url, verify=trusting(), timeout=PATIENCE).status_code == 401


def test_renewed_files_count_for_new_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_tls, "_EVERY", 0.0)
    files = certificates()
    certificate, key, ca = (str(tmp_path / name) for name in ("server.pem", "server.key", "ca.pem"))
    shutil.copy(files.server, certificate)
    shutil.copy(files.server_key, key)
    shutil.copy(files.other_ca, ca)
    given = zerorpc.Tls(certificate, key, ca=ca)
    strange = trusting(own=files.strange_client)

    def serial(endpoint: str, context: ssl.SSLContext) -> str:
        host, port = endpoint.removeprefix("https://").rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as plain:
            with context.wrap_socket(plain, server_hostname=host) as connection:
                connection.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                if not connection.recv(100):
                    raise ssl.SSLError("refused")
                told = connection.getpeercert()
                assert told is not None
                return str(told["serialNumber"])

    with serving(Robot(), bind=HTTPS, tls=given) as server:
        (endpoint,) = server.endpoints
        before = serial(endpoint, strange)
        with pytest.raises(OSError, match=r"refused|unknown ca|UNKNOWN_CA|reset"):
            serial(endpoint, trusting(own=files.client))
        new, new_key = files.issue("renewed", "localhost", "127.0.0.1")
        shutil.copy(new, certificate)
        shutil.copy(new_key, key)
        shutil.copy(files.ca, ca)
        assert serial(endpoint, trusting(own=files.client)) != before
        with pytest.raises(OSError, match=r"refused|unknown ca|UNKNOWN_CA|reset"):
            serial(endpoint, strange)


def test_a_context_of_the_programs() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates().server, certificates().server_key)
    with serving(Robot(), bind=TCP) as server:
        (endpoint,) = server.bind(HTTPS, tls=context)
        url = f"{endpoint}/call/who"
        eventually(lambda: httpx.post(url, verify=trusting(), timeout=PATIENCE).status_code == 200)


def test_endpoints_that_would_not_be_safe(tmp_path: Path) -> None:
    asking = zerorpc.Server(Robot(), authenticator=by_password)
    with pytest.raises(zerorpc.EndpointError, match="passwords and tokens in clear there: use https://"):
        asking.bind("http://0.0.0.0:0")
    asking.bind("http://0.0.0.0:0", plain=zerorpc.Plain(in_clear=True))
    asking.close()
    with pytest.raises(zerorpc.CertificateError, match="needs a certificate"):
        zerorpc.Server(Robot()).bind(HTTPS)
    with pytest.raises(zerorpc.EndpointError, match="tls= is for endpoints that begin with https://"):
        zerorpc.Server(Robot()).bind(HTTP, tls=ours())
    keys = zerorpc.Curve(KeyPair.generate().secret)
    for settings in ({"curve": keys}, {"curve": keys, "authenticator": zerorpc.AllowedKeys(tmp_path)}):
        server = zerorpc.Server(Robot(), **settings)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="show keys, by CURVE"):
            server.bind(HTTP)
        with pytest.raises(ValueError, match=r"which zerorpc\.asgi can't ask for"):
            zerorpc.asgi(server)


def test_a_server_with_keys_and_an_authenticator_that_knows_passwords_too() -> None:
    pair = KeyPair.generate()

    def by_either(caller: zerorpc.Caller) -> str | None:
        return "by key" if caller.key is not None else by_password(caller)

    with serving(Robot(), bind=TCP, curve=zerorpc.Curve(pair.secret), authenticator=by_either) as server:
        (endpoint,) = server.bind(HTTP)
        with zerorpc.Client(curve=zerorpc.Curve(server_key=pair.public), timeout=PATIENCE) as client:
            client.connect(server.endpoints[0])
            assert client.who() == "by key"

        def by_http() -> Any:
            return httpx.post(f"{endpoint}/call/who", auth=("alice", "wonderland"), timeout=PATIENCE).json()

        eventually(lambda: by_http() == "alice")


def test_no_warning_where_callers_are_asked(caplog: pytest.LogCaptureFixture) -> None:
    with zerorpc.Server(Robot(), authenticator=by_password, tls=ours()) as server:
        server.bind("https://0.0.0.0:0")
    assert "is open to the network" not in caplog.text
    with zerorpc.Server(Robot(), tls=ours()) as server:
        server.bind("https://0.0.0.0:0")
    assert "is open to the network" in caplog.text


PROCESSES = """
import sys, zerorpc
class Robot:
    def who(self):
        return zerorpc.current_call().identity
def authenticator(caller):
    return caller.token
server = zerorpc.Server(Robot(), processes=2, grace=0.1, authenticator=authenticator, tls=zerorpc.Tls(*sys.argv[1:]))
print(*server.bind("https://127.0.0.1:0"), flush=True)
server.run()
"""


def test_several_processes() -> None:
    with Program(PROCESSES, certificates().server, certificates().server_key) as program:
        endpoint = program.line()

        def who(**headers: str) -> int | str:
            answer = httpx.post(f"{endpoint}/call/who", headers=headers, verify=trusting(), timeout=PATIENCE)
            return str(answer.json()) if answer.status_code == 200 else answer.status_code

        asked: list[Callable[[], int | str]] = [who, lambda: who(authorization="Bearer a")]
        assert [ask() for ask in asked * 4] == [401, "a"] * 4


def test_the_command_line_serves_with_tls_and_rights(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"t0ken").hexdigest()
    rights = tmp_path / "rights.toml"
    rights.write_text(
        f'[identities.c]\ntokens = ["sha256:{digest}"]\nroles = ["r"]\n[roles.r]\nallow = ["sl*", "ti*"]\n'
    )
    flags = ["--tls-cert", certificates().server, "--tls-key", certificates().server_key, "--rights", str(rights)]
    program = [sys.executable, "-m", "zerorpc", "--server", "--bind", "https://127.0.0.1:0", *flags, "time"]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stderr is not None
            bound, told = serving.stderr.readline(), serving.stderr.readline()
            assert told == 'serving "time"\n'
            url = f"{bound.split(chr(34))[1]}/call/time"
            answers = [
                httpx.post(url, headers=shown, verify=trusting(), timeout=PATIENCE)
                for shown in ({"authorization": "Bearer t0ken"}, {})
            ]
            assert [answer.status_code for answer in answers] == [200, 401]
        finally:
            serving.terminate()


def test_files_for_tls_without_an_endpoint_for_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--server", "--bind", HTTP, "--tls-cert", certificates().server, "time"]) != 0
    assert "write https:// in place of http://" in capsys.readouterr().err
