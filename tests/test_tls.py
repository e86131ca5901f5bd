"""TLS from end to end: servers and clients of both kinds, Python's own TLS as a foreign peer, and what goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

import pytest

import zerorpc
import zerorpc.testing
from tests.certificates import certificates
from tests.service.running import PATIENCE, Program, RawPeer, eventually, on_thread, run, serving
from tests.service.services import answer
from zerorpc.runtime.loops import new_event_loop
from zerorpc.transport.aio_tls import TlsAioLink
from zerorpc.transport.blocking_tls import TlsBlockingLink
from zerorpc.zmtp import SocketType

TLS = "tls+tcp://127.0.0.1:0"


class Service:
    def echo(self, value: Any) -> Any:
        return value

    @zerorpc.on_loop
    def quick(self, value: Any) -> Any:
        return value

    def count(self, n: int) -> Iterator[int]:
        yield from range(n)

    def add(self, numbers: Iterator[int]) -> int:
        return sum(numbers)

    def call_back(self, function: Callable[[int], int]) -> int:
        return function(20) + 1

    def checksum(self, data: bytes) -> int:
        return zlib.crc32(data)

    def pid(self) -> int:
        return os.getpid()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with serving(Service(), bind=TLS, tls=certificates().serves) as server:
        yield server.endpoints[0]


def client_of(endpoint: str, tls: Any = None, **options: Any) -> zerorpc.Client:
    return zerorpc.Client(endpoint, timeout=PATIENCE, heartbeat=30, tls=tls or certificates().trusts, **options)


def async_client_of(endpoint: str, tls: Any = None) -> zerorpc.AsyncClient:
    return zerorpc.AsyncClient(endpoint, timeout=PATIENCE, heartbeat=30, tls=tls or certificates().trusts)


def on_loops(main: Callable[[], Any]) -> None:
    """Run a coroutine on asyncio's loop, and on uvloop's where there is one."""
    run(main())
    loop = new_event_loop()
    try:
        loop.run_until_complete(asyncio.wait_for(main(), 2 * PATIENCE))
    finally:
        loop.close()


# One call, and everything else


def test_a_blocking_client(endpoint: str) -> None:
    assert endpoint.startswith("tls+tcp://127.0.0.1:")
    with client_of(endpoint) as client:
        assert client.echo("hi") == "hi"
        assert list(client.count(300)) == list(range(300))
        assert client.add(iter(range(100))) == 4950
        assert client.call_back(lambda n: n * 2) == 41
        assert client.echo(5, async_=True).get() == 5
        (link,) = client._core.hub.links.values()
        assert isinstance(link, TlsBlockingLink)
        assert link.certificate is not None
        assert ("DNS", "localhost") in link.certificate.names
        assert link.name == endpoint


def test_an_async_client(endpoint: str) -> None:
    async def main() -> None:
        async with async_client_of(endpoint) as client:
            assert await client.echo("hi") == "hi"
            assert [n async for n in client.count(300)] == list(range(300))
            assert await client.add(iter(range(100))) == 4950
            assert await asyncio.gather(*(client.quick(n) for n in range(5000))) == list(range(5000))
            (link,) = client._core.hub.links
            assert isinstance(link, TlsAioLink)
            assert link.certificate is not None

    on_loops(main)


def test_large_bodies_there_and_back(endpoint: str) -> None:
    sizes = (16_383, 16_384, 70_000, 1 << 20, 5_000_001)
    bodies = [(bytes(range(256)) * 20_000)[:size] for size in sizes]
    with client_of(endpoint) as client:
        for body in bodies:
            assert client.echo(body) == body

    async def main() -> None:
        async with async_client_of(endpoint) as client:
            assert await asyncio.gather(*map(client.quick, bodies)) == bodies

    on_loops(main)


def test_100_mebibytes(endpoint: str) -> None:
    body = bytes(range(256)) * (100 << 12)
    with client_of(endpoint) as client:
        assert client.checksum(body) == zlib.crc32(body)


def test_many_threads_use_one_client(endpoint: str) -> None:
    failures: list[object] = []

    def work(n: int) -> None:
        body = bytes((n,)) * 50_000
        failures.extend(n for _ in range(20) if client.quick(body) != body)

    with client_of(endpoint) as client:
        threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert failures == []


def test_a_name_is_looked_up_and_is_what_the_certificate_has_to_name(endpoint: str) -> None:
    port = endpoint.rpartition(":")[2]
    with client_of(f"tls+tcp://localhost:{port}") as client:
        assert client.echo(1) == 1
        (link,) = client._core.hub.links.values()
        assert link.name == endpoint


def test_one_server_is_bound_in_clear_to_ipc_and_with_tls_at_once(ipc_endpoint: str) -> None:
    other = zerorpc.Tls(certificates().strange_server)
    with serving(Service(), tls=certificates().serves) as server:
        server.bind(ipc_endpoint)
        server.bind(TLS)
        (strange,) = server.bind(TLS, tls=other)
        for endpoint in server.endpoints[:2]:
            with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
                assert client.echo(endpoint) == endpoint
        with client_of(server.endpoints[2]) as client:
            assert client.echo(1) == 1
            client.connect(strange, tls=zerorpc.Tls(ca=certificates().other_ca))
            eventually(lambda: len(client._core.hub.links) == 2)
            assert {client.echo(n) for n in range(10)} == set(range(10))


def test_a_blocking_client_that_is_bound_and_a_server_that_connects() -> None:
    with zerorpc.Client(timeout=PATIENCE, tls=certificates().serves) as client:
        (bound,) = client.bind(TLS)
        with serving(Service(), connect=bound, tls=certificates().trusts):
            assert client.echo(3) == 3
            (link,) = client._core.hub.links.values()
            assert link.name.startswith("tls+tcp://127.0.0.1:")
            body = bytes(300_000)
            assert client.echo(body) == body


def test_pushers_pullers_publishers_and_subscribers() -> None:
    got: list[object] = []
    for sender, receiver in ((zerorpc.Pusher, zerorpc.Puller), (zerorpc.Publisher, zerorpc.Subscriber)):
        pull = receiver({"take": got.append}, tls=certificates().serves)
        (bound,) = pull.bind(TLS)
        with on_thread(pull), sender(tls=certificates().trusts) as push:
            push.connect(bound)
            eventually(lambda push=push: (push.take(1), got)[1])
        got.clear()


def test_a_server_in_several_processes() -> None:
    source = """
        import sys, zerorpc
        from tests.test_tls import Service
        server = zerorpc.Server(Service(), processes=2, tls=zerorpc.Tls(sys.argv[1], sys.argv[2]))
        print(*server.bind("tls+tcp://127.0.0.1:0"), *server.bind("tcp://127.0.0.1:0"), flush=True)
        server.run()
    """
    made = certificates()
    with Program(source, made.server, made.server_key) as program, contextlib.ExitStack() as stack:
        secure, clear = program.line().split()
        pids: set[int] = set()
        eventually(lambda: pids.add(stack.enter_context(client_of(secure)).pid()) or len(pids) == 2)  # type: ignore[func-returns-value]
        assert stack.enter_context(zerorpc.Client(clear, timeout=PATIENCE)).pid() in pids


def test_the_command_lines_server_and_client() -> None:
    made = certificates()
    command = [sys.executable, "-m", "zerorpc", "--tls-ca", made.ca]
    with tempfile.TemporaryFile("w+") as said:
        server = [*command, "--tls-cert", made.server, "--tls-key", made.server_key, "--server", "--bind", TLS, "math"]
        with subprocess.Popen(server, stderr=said) as program:
            try:
                eventually(lambda: "serving" in _text(said), "the server is ready")
                (endpoint,) = re.findall(r'binding to "(tls\+tcp://.*)"', _text(said))
                call = [*command, "--json", endpoint, "sqrt", "16"]
                with_certificate = [*call[:3], "--tls-cert", made.client, *call[3:]]
                assert _output(with_certificate) == (0, "4.0\n")
                assert _output([*call[:3], "--timeout", "1", *call[3:]])[0] == 1
                assert _output([*command[:3], "--tls-key", made.client, endpoint])[0] == 2
            finally:
                program.terminate()


def _text(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def _output(command: list[str]) -> tuple[int, str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    return done.returncode, done.stdout


# Who is let in


def test_a_server_that_wants_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Service(), bind=TLS, tls=certificates().asks) as server:
        bound = server.endpoints[0]
        with client_of(bound, certificates().shows) as client:
            assert client.echo(1) == 1
            (link,) = server._core.hub.links
            assert link.certificate is not None
            assert link.certificate.common_name == "robot"
            assert link.name.startswith("tls+tcp://127.0.0.1:")
        for tls, why in (
            (certificates().trusts, "the server wants a certificate of us"),
            (
                zerorpc.Tls(certificates().strange_client, ca=certificates().ca),
                "the peer doesn't trust our certificate",
            ),
            (zerorpc.Tls(certificates().expired_client, ca=certificates().ca), "it has expired"),
        ):
            for call in (_call, _async_call):
                with pytest.raises(zerorpc.HandshakeFailed, match=why):
                    call(bound, tls)


def _call(endpoint: str, tls: Any = None) -> object:
    with zerorpc.Client(endpoint, timeout=PATIENCE, tls=tls) as client:
        return client.echo(1)


def _async_call(endpoint: str, tls: Any = None) -> object:
    async def main() -> object:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE, tls=tls) as client:
            return await client.echo(1)

    return run(main())


@pytest.mark.parametrize("call", [_call, _async_call])
def test_servers_that_are_not_to_be_trusted(call: Any) -> None:
    made = certificates()
    for tls, why in (
        (zerorpc.Tls(made.strange_server), "unable to get local issuer certificate"),
        (zerorpc.Tls(made.expired), "certificate has expired"),
        (zerorpc.Tls(made.misnamed), "IP address mismatch, certificate is not valid for '127.0.0.1'"),
    ):
        with serving(Service(), bind=TLS, tls=tls) as server:
            bound = server.endpoints[0]
            with pytest.raises(zerorpc.HandshakeFailed, match=why) as caught:
                call(bound, made.trusts)
            assert f"{bound}: the server's certificate can't be trusted: " in str(caught.value)
            assert caught.value.ran is False


def test_who_isnt_vouched_for_by_the_system_is_not_trusted(endpoint: str) -> None:
    with pytest.raises(zerorpc.HandshakeFailed, match="the server's certificate can't be trusted"):
        _call(endpoint)


@pytest.mark.parametrize("call", [_call, _async_call])
def test_tls_at_one_end_only(call: Any, endpoint: str) -> None:
    clear = endpoint.replace("tls+tcp", "tcp")
    with pytest.raises(zerorpc.HandshakeFailed, match="the peer speaks TLS, not ZMTP 3"):
        call(clear)
    with serving(Service()) as server:
        wrong = f"tls+{server.endpoints[0]}"
        with pytest.raises(zerorpc.HandshakeFailed, match="expected TLS, but the peer speaks ZMTP in clear"):
            call(wrong, certificates().trusts)


def test_what_does_not_go_together_is_refused_at_once() -> None:
    made = certificates()
    with pytest.raises(zerorpc.EndpointError, match=r"not encrypted, but tls= was given: write tls\+tcp://"):
        client_of("tcp://127.0.0.1:1")
    with zerorpc.Client() as client:
        for endpoint in ("tcp://127.0.0.1:1", "inproc://x", "ipc:///tmp/x"):
            for act in (client.bind, client.connect):
                with pytest.raises(zerorpc.EndpointError, match=r"tls= is for endpoints that begin with tls\+tcp://"):
                    act(endpoint, tls=made.trusts)
        with pytest.raises(zerorpc.CertificateError, match="needs a certificate"):
            client.bind(TLS)
        with pytest.raises(zerorpc.CertificateError, match="a server needs a certificate"):
            client.bind(TLS, tls=made.trusts)
        with pytest.raises(zerorpc.EndpointError, match="connecting needs a port number"):
            client.connect(TLS)
        with pytest.raises(TypeError, match=r"tls has to be a zerorpc.Tls, an ssl.SSLContext, or None, not a str"):
            client.connect("tls+tcp://127.0.0.1:1", tls="server.pem")  # type: ignore[arg-type]
        assert client._core.hub.listeners == client._core.hub.dialers == {}
    with pytest.raises(TypeError, match="tls has to be"):
        zerorpc.Pusher(tls=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="tls has to be"):
        zerorpc.Puller({}, tls=1)  # type: ignore[arg-type]


# Foreign peers


def test_a_context_of_the_programs_own() -> None:
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_side.load_cert_chain(certificates().server, certificates().server_key)
    client_side = ssl.create_default_context(cafile=certificates().ca)
    with serving(Service(), bind=TLS, tls=server_side) as server, client_of(server.endpoints[0], client_side) as client:
        assert client.echo(1) == 1


def test_pythons_own_tls_as_a_client(endpoint: str) -> None:
    context = ssl.create_default_context(cafile=certificates().ca)
    host, port = endpoint.removeprefix("tls+tcp://").split(":")
    with socket.create_connection((host, int(port)), PATIENCE) as sock:
        with context.wrap_socket(sock, server_hostname="localhost") as wrapped, RawPeer(wrapped) as peer:
            assert wrapped.version() == "TLSv1.3"
            peer.handshake()
            peer.send({"message_id": b"1", "v": 3}, "echo", ["hello"])
            assert peer.next_event().args == ["hello"]


def test_pythons_own_tls_as_a_server() -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates().server, certificates().server_key)  # and tickets for its clients
    asked: list[str | None] = []
    context.sni_callback = lambda _, name, __: asked.append(name)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with client_of(f"tls+tcp://localhost:{port}") as client:
            later = client.echo("hi", async_=True)
            accepted, _ = listener.accept()
            with context.wrap_socket(accepted, server_side=True) as wrapped:
                with RawPeer(wrapped, SocketType.ROUTER, {"X-Zerorpc": b"1"}) as server:
                    server.handshake()
                    answer(server)
                    assert later.get(PATIENCE) is None
    assert asked == ["localhost"]


# Connections that end


def test_faults_of_a_network_are_those_of_any_connection(endpoint: str) -> None:
    with zerorpc.testing.proxy(endpoint) as network, client_of(network.endpoint) as client:
        assert client.echo("before") == "before"
        network.delay(0.01)
        body = bytes(range(256)) * 500
        assert client.echo(body) == body
        network.lose()
        eventually(lambda: _answers(client))
        assert client.echo("after") == "after"


def _answers(client: zerorpc.Client) -> bool:
    with contextlib.suppress(zerorpc.LostRemote):
        return bool(client.echo("x") == "x")
    return False


def test_a_server_that_stops_ends_its_connections_and_is_found_again() -> None:
    with client_of(TLS.replace(":0", ":1")) as client:
        client.disconnect(TLS.replace(":0", ":1"))
        with serving(Service(), bind=TLS, tls=certificates().serves) as server:
            bound = server.endpoints[0]
            client.connect(bound)
            assert client.echo(1) == 1
        with serving(Service(), bind=bound, tls=certificates().serves):
            assert client.echo(2) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_makes_connections_of_its_own(endpoint: str) -> None:
    with client_of(endpoint) as client:
        assert client.echo("parent") == "parent"
        child = os.fork()
        if not child:
            status = 1
            with contextlib.suppress(BaseException):
                status = 0 if client.echo(b"x" * 100_000) == b"x" * 100_000 else 2
            os._exit(status)
        assert client.echo("still") == "still"
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert client.echo("after") == "after"
        assert len(client._core.hub.links) == 1


def test_a_plain_program_does_without_ssl() -> None:
    source = """
        import sys, zerorpc
        zerorpc.Client("tcp://127.0.0.1:1").close()
        print("ssl" in sys.modules, flush=True)
    """
    with Program(source) as program:
        assert program.line() == "False"
