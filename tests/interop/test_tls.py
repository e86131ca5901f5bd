"""TLS with other programs: HAProxy that ends it, passes it on, or does it anew, and what OpenSSL's client sees."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import zerorpc
from tests.certificates import certificates
from tests.interop.haproxy import haproxy
from tests.interop.requirements import needs
from tests.service.running import PATIENCE, Program, eventually, run, serving, unused_port

SERVER = """
import logging, sys, zerorpc
from zerorpc import current_call

logging.getLogger("zerorpc").addHandler(logging.NullHandler())  # nobody reads stderr while it runs

class Service:
    def echo(self, value):
        return value
    def caller(self):
        return current_call().peer

port, *tls = sys.argv[1:]
server = zerorpc.Server(Service(), heartbeat=30, proxy_protocol=True, tls=zerorpc.Tls(*tls) if tls else None)
server.bind(f"{'tls+' if tls else ''}tcp://127.0.0.1:{port}")
print("ready", flush=True)
server.run()
"""

SPEAKS_FIRST = """    tcp-response inspect-delay 4s
    tcp-response content accept if { res.payload(0,8) -m bin ff00000000000000 }
    tcp-response content reject
"""
CHECK_BY_TLS = {
    "tcp-check connect default": "tcp-check connect default ssl alpn zerorpc",
    "default-server check inter": "default-server check check-ssl verify none inter",
}


@pytest.fixture(params=["ends it", "passes it on", "does it anew"])
def endpoint(request: pytest.FixtureRequest) -> Iterator[str]:
    """Of a proxy that speaks TLS with clients, or lets them through to a server that does."""
    made, inside, outside = certificates(), unused_port(), unused_port()
    offers = f"bind 127.0.0.1:{outside}"
    tls: list[str] = []
    changes: dict[str, str] = {}
    if request.param != "passes it on":
        pem = made.folder / "for-haproxy.pem"
        pem.write_text(Path(made.server).read_text() + Path(made.server_key).read_text())
        offers += f" ssl crt {pem} alpn zerorpc"
    if request.param != "ends it":
        tls, changes = [made.server, made.server_key], dict(CHECK_BY_TLS)
    if request.param == "passes it on":
        changes[SPEAKS_FIRST] = ""
    if request.param == "does it anew":
        changes["default-server send-proxy-v2"] = f"default-server send-proxy-v2 ssl ca-file {made.ca} verify required"
        changes["default-server check inter"] = "default-server check inter"
        changes["tcp-check connect default"] = "tcp-check connect default"
    changes["frontend zerorpc\n"] = f"frontend zerorpc\n    {offers}\n"
    with Program(SERVER, str(inside), *tls) as program:
        assert program.line() == "ready"
        with haproxy({"one": inside, "two": unused_port()}, changes) as proxy:
            proxy.wait_until(one="UP")
            yield f"tls+tcp://localhost:{outside}"


def test_both_clients_by_way_of_haproxy(endpoint: str) -> None:
    body = bytes(range(256)) * 2000
    with zerorpc.Client(endpoint, timeout=PATIENCE, heartbeat=30, tls=certificates().trusts) as client:
        assert client.echo(body) == body
        (link,) = client._core.hub.links.values()
        host, port = link.sock.getsockname()
        assert client.caller() == f"tcp://{host}:{port}" or client.caller() == f"tls+tcp://{host}:{port}"

    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE, heartbeat=30, tls=certificates().trusts) as client:
            assert await client.echo(body) == body

    run(main())


@pytest.fixture
def asking() -> Iterator[zerorpc.Server]:
    with serving({"echo": lambda value: value}, bind="tls+tcp://127.0.0.1:0", tls=certificates().asks) as server:
        yield server


def s_client(server: zerorpc.Server, *options: str) -> Any:
    openssl = needs("openssl", "openssl")
    address = server.endpoints[0].removeprefix("tls+tcp://")
    return subprocess.run(
        [openssl, "s_client", "-connect", address, *options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=PATIENCE,
        check=False,
    )


def test_what_openssl_sees_of_the_handshake(asking: zerorpc.Server) -> None:
    made = certificates()
    common = ("-CAfile", made.ca, "-servername", "localhost", "-verify_hostname", "localhost", "-alpn", "zerorpc,h2")
    seen = s_client(asking, *common, "-cert", made.client, "-key", made.client)
    assert "New, TLSv1.3, Cipher is TLS_" in seen.stdout
    assert "ALPN protocol: zerorpc" in seen.stdout
    assert "Verify return code: 0 (ok)" in seen.stdout
    assert "Requested Signature Algorithms" in seen.stdout  # it was asked for a certificate
    assert "New Session Ticket" not in seen.stdout


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_1"])
def test_openssl_can_have_nothing_older(asking: zerorpc.Server, version: str) -> None:
    seen = s_client(asking, version)
    assert "Cipher is (NONE)" in seen.stdout
    assert "alert protocol version" in seen.stderr or "no protocols available" in seen.stderr


def test_openssl_renews_keys_in_the_middle_of_a_conversation() -> None:
    """``K`` on a line of its own has s_client send a KeyUpdate that asks for ours: RFC 8446, 4.6.3."""
    openssl = needs("openssl", "openssl")
    with serving({}, bind="tls+tcp://127.0.0.1:0", tls=certificates().serves) as server:
        address = server.endpoints[0].removeprefix("tls+tcp://")
        with subprocess.Popen(
            [openssl, "s_client", "-connect", address, "-msg", "-CAfile", certificates().ca],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as program:
            assert program.stdin is not None
            assert program.stdout is not None
            seen = b""
            while b"\xff\0\0\0\0\0\0\0" not in seen:  # our greeting: the handshake is over
                seen += program.stdout.read1(65536)  # type: ignore[attr-defined]
            program.stdin.write(b"K\n")
            program.stdin.flush()
            while seen.count(b"KeyUpdate") < 1:
                seen += program.stdout.read1(65536)  # type: ignore[attr-defined]
            assert len(server._core.hub.links) == 1
            program.kill()
            program.wait(PATIENCE)
        eventually(lambda: not server._core.hub.links)
