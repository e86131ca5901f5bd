"""Endpoints: every accepted form, and an error that helps for everything else."""

from __future__ import annotations

import socket
import sys
from typing import Any

import pytest

from zerorpc.errors import EndpointError
from zerorpc.transport.endpoints import Endpoint, is_literal, parse, resolve


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("tcp://127.0.0.1:4242", "127.0.0.1", 4242),
        ("tcp://example.org:1", "example.org", 1),
        ("tcp://*:4242", "*", 4242),
        ("tcp://0:4242", "0", 4242),
        ("tcp://[::1]:4242", "::1", 4242),
        ("tcp://[fe80::1%lo]:65535", "fe80::1%lo", 65535),
        ("tcp://host:0", "host", 0),
        ("tls+tcp://example.org:1", "example.org", 1),
        ("tls+tcp://[::1]:4242", "::1", 4242),
        ("tcp://host:*", "host", 0),
    ],
)
def test_tcp(text: str, host: str, port: int) -> None:
    assert parse(text) == Endpoint(text.partition(":")[0], text, host, port)


def test_ipc_and_inproc() -> None:
    assert parse("ipc:///tmp/s") == Endpoint("ipc", "ipc:///tmp/s", path="/tmp/s")
    assert parse("ipc://relative").unix_address == "relative"
    assert parse("inproc://any name://at all") == Endpoint(
        "inproc", "inproc://any name://at all", path="any name://at all"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names exist on Linux only")
def test_abstract_ipc() -> None:
    assert parse("ipc://@name").unix_address == "\0name"


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        (None, "expected a string, not NoneType"),
        (4242, "expected a string, not int"),
        (b"tcp://127.0.0.1:1", "expected a string, not bytes"),
        ("", "no scheme"),
        ("127.0.0.1:4242", "no scheme, such as tcp://"),
        ("tcp:/127.0.0.1:4242", "no scheme"),
        ("tcp://", "nothing after the scheme"),
        ("ipc://", "nothing after the scheme"),
        ("inproc://", "nothing after the scheme"),
        ("udp://host:1", "unknown scheme 'udp'"),
        ("http://host:1", "only a server's bind() takes http://"),
        ("https://host:1", "only a server's bind() takes http://"),
        ("TCP://host:1", "unknown scheme 'TCP'"),
        ("://host:1", "unknown scheme ''"),
        ("tcp://host", "no port"),
        ("tcp://[::1]", "no port"),
        ("tcp://:4242", "no host"),
        ("tcp://[]:4242", "no host"),
        ("tcp://::1:4242", "needs brackets, as in tcp://[::1]:4242"),
        ("tcp://host:", "the port '' is not a number from 0 to 65535, nor *"),
        ("tcp://host:http", "the port 'http' is not a number"),
        ("tcp://host:-1", "the port '-1'"),
        ("tcp://host:65536", "the port '65536'"),
        ("tcp://host:1 ", "the port '1 '"),
        ("tcp://host:٤٢", "the port '٤٢'"),
        ("tcp://host:" + "9" * 5000, "is not a number from 0 to 65535"),
        ("ipc:///tmp/\0", "the path has a null character"),
    ],
)
def test_what_is_no_endpoint_is_explained(endpoint: Any, reason: str) -> None:
    with pytest.raises(EndpointError) as caught:
        parse(endpoint)
    assert caught.value.endpoint == endpoint
    assert reason in str(caught.value)
    assert repr(endpoint) in str(caught.value)
    for form in ("tcp://host:port", "tcp://*:port", "tcp://0:port", "tcp://[::1]:port", "ipc://path", "inproc://name"):
        assert form in str(caught.value)


def test_a_path_that_the_system_has_no_room_for_says_so() -> None:
    with pytest.raises(EndpointError, match=r"'ipc://x+': it can't be used here: the path is longer than 10\d octets"):
        parse("ipc://" + "x" * 200)


def test_a_system_without_ipc_or_abstract_names_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(EndpointError, match="abstract names exist on Linux only"):
        parse("ipc://@name")
    monkeypatch.delattr(socket, "AF_UNIX")
    with pytest.raises(EndpointError, match="this system has no ipc sockets"):
        parse("ipc:///tmp/s")


@pytest.mark.parametrize("host", ["*", "0", "0.0.0.0"])
def test_all_interfaces(host: str) -> None:
    endpoint = parse(f"tcp://{host}:4242")
    assert resolve(endpoint, passive=True) == [(socket.AF_INET, ("0.0.0.0", 4242))]
    assert resolve(endpoint) == [(socket.AF_INET, ("127.0.0.1", 4242))]  # where a connection can go


def test_all_interfaces_in_ipv6() -> None:
    assert resolve(parse("tcp://[::]:4242"), passive=True)[0][1][:2] == ("::", 4242)
    assert resolve(parse("tcp://[::]:4242"))[0][1][:2] == ("::1", 4242)


def test_unix_addresses() -> None:
    assert resolve(parse("ipc:///tmp/s")) == [(socket.AF_UNIX, "/tmp/s")]


def test_ipv4_comes_first_to_bind_and_the_systems_order_counts_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 1, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
    endpoint = parse("tcp://both:1")
    assert [family for family, _ in resolve(endpoint, passive=True)] == [socket.AF_INET, socket.AF_INET6]
    assert [family for family, _ in resolve(endpoint)] == [socket.AF_INET6, socket.AF_INET]


@pytest.mark.parametrize(
    "error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label empty or too long")]
)
def test_unknown_names(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    endpoint = parse("tcp://nowhere:1")
    with pytest.raises(EndpointError, match="the name 'nowhere' can't be resolved"):
        resolve(endpoint, passive=True)
    with pytest.raises(OSError, match="the name 'nowhere' can't be resolved"):  # it may become known
        resolve(endpoint)


def test_connecting_needs_a_port() -> None:
    with pytest.raises(EndpointError, match="connecting needs a port number"):
        resolve(parse("tcp://127.0.0.1:0"))


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("tcp://127.0.0.1:1", True),
        ("tcp://[::1]:1", True),
        ("tcp://[fe80::1%lo]:1", True),
        ("tcp://*:1", True),
        ("tcp://0:1", True),
        ("ipc://x", True),
        ("tcp://localhost:1", False),
    ],
)
def test_which_endpoints_need_no_look_up(text: str, literal: bool) -> None:
    assert is_literal(parse(text)) is literal
