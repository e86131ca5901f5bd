"""PLAIN in both roles."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.zmtp.links import commands, cuts, exchange, octets, split
from zerorpc.errors import HandshakeFailed
from zerorpc.zmtp import Connection, SocketType, State
from zerorpc.zmtp.commands import Command, encode_metadata
from zerorpc.zmtp.greeting import Greeting
from zerorpc.zmtp.mechanisms.base import Credentials
from zerorpc.zmtp.mechanisms.plain import PlainClient, PlainServer

GREETING = Greeting("PLAIN").encode()


def knows(user: bytes, password: bytes) -> bool:
    return (user, password) == (b"me", b"secret")


def new_client(user: bytes = b"me", password: bytes = b"secret") -> Connection:
    return Connection(SocketType.DEALER, mechanism=functools.partial(PlainClient, user, password), identity=b"id")


def new_server(asks: bool = False) -> Connection:
    return Connection(SocketType.ROUTER, mechanism=functools.partial(PlainServer, None if asks else knows))


def test_its_commands_are_those_of_the_rfc() -> None:
    client, server = new_client(), new_server()
    assert octets(client) == GREETING
    client.receive_data(octets(server))
    server.receive_data(GREETING)
    kinds = ((b"DEALER", b"id"), (b"ROUTER", b""))
    metadata = [encode_metadata({"Socket-Type": kind, "Identity": name}) for kind, name in kinds]
    for source, target, expected in (
        (client, server, Command(b"HELLO", b"\2me\6secret")),
        (server, client, Command(b"WELCOME", b"")),
        (client, server, Command(b"INITIATE", metadata[0])),
        (server, client, Command(b"READY", metadata[1])),
    ):
        [command] = commands(source)
        assert command == expected
        target.receive_data(command.encode())
    assert [end.state for end in (client, server)] == [State.TRAFFIC] * 2
    assert server.credentials == Credentials("PLAIN", user=b"me", password=b"secret")
    assert client.credentials == Credentials("PLAIN")


@given(st.lists(st.binary(max_size=300), max_size=4), cuts)
def test_messages_go_through_in_clear(sent: list[bytes], cuts: list[int]) -> None:
    client, server = new_client(), new_server()
    assert exchange(client, server) == ([], [])
    for body in sent:
        client.send_delimited(body)
    assert [m for chunk in split(octets(client), cuts) for m in server.receive_data(chunk)] == [[b"", b] for b in sent]


def test_a_wrong_password_is_told() -> None:
    client, server = new_client(password=b"guess"), new_server()
    exchange(client, server)
    assert isinstance(server.error, HandshakeFailed)
    assert isinstance(client.error, HandshakeFailed)
    assert str(client.error) == "the peer refused the connection: wrong user or password"


def test_without_a_check_somebody_decides_and_the_password_is_forgotten_then() -> None:
    client, server = new_client(), new_server(asks=True)
    exchange(client, server)
    assert server.asking
    assert server.credentials == Credentials("PLAIN", user=b"me", password=b"secret")
    assert "secret" not in repr(server.credentials)
    server.admit()
    exchange(client, server)
    assert server.credentials == Credentials("PLAIN", user=b"me")
    assert [end.state for end in (client, server)] == [State.TRAFFIC] * 2


@pytest.mark.parametrize("hello", [b"", b"\2me", b"\2me\7secret", b"\2me\5secret", b"\2me\6secret!", b"\xff"], ids=repr)
def test_a_malformed_hello(hello: bytes) -> None:
    server = new_server()
    server.take_output()
    server.receive_data(GREETING + Command(b"HELLO", hello).encode())
    assert str(server.error) == "malformed HELLO"
    assert commands(server) == [Command.error("malformed HELLO")]


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        ([Command(b"INITIATE", b"")], "b'INITIATE' where HELLO was expected"),
        ([Command(b"HELLO", b"\2me\6secret")] * 2, "b'HELLO' where INITIATE was expected"),
        ([Command(b"HELLO", b"\2me\6secret"), Command(b"INITIATE", b"\1")], "malformed metadata"),
    ],
)
def test_what_a_client_may_not_send(sent: list[Command], why: str) -> None:
    server = new_server()
    server.receive_data(GREETING + b"".join(command.encode() for command in sent))
    assert why in str(server.error)


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        ([Command(b"WELCOME", b"x")], "malformed WELCOME"),
        ([Command(b"READY", b"")], "b'READY' where WELCOME was expected"),
        ([Command(b"WELCOME", b""), Command(b"WELCOME", b"")], "b'WELCOME' where READY was expected"),
        ([Command(b"HELLO", b"\0\0")], "both sides have the client's role in PLAIN"),
        ([Command.error("no")], "the peer refused the connection: no"),
    ],
)
def test_what_a_server_may_not_send(sent: list[Command], why: str) -> None:
    client = new_client()
    client.take_output()
    client.receive_data(GREETING)
    client.take_output()
    client.receive_data(b"".join(command.encode() for command in sent))
    assert why in str(client.error)
    assert b"ERROR" not in octets(client)


def test_libzmqs_error_has_another_name() -> None:
    client = new_client()
    client.receive_data(GREETING + b"\x04\x09^RROR\x03400")
    assert str(client.error) == "the peer refused the connection: 400"


def test_two_servers() -> None:
    ends = new_server(), new_server()
    exchange(*ends)
    assert "both sides have the server's role in PLAIN" in str(ends[0].error)


def test_a_password_that_is_too_long_and_a_command_after_the_last() -> None:
    with pytest.raises(ValueError, match="255 octets at most"):
        PlainClient(b"me", b"x" * 256)
    server = PlainServer(knows)
    server.receive(Command(b"HELLO", b"\2me\6secret"))
    server.receive(Command(b"INITIATE", b""))
    with pytest.raises(Exception, match="where nothing was expected"):
        server.receive(Command(b"INITIATE", b""))


def test_it_seals_nothing() -> None:
    client = PlainClient(b"", b"")
    assert not client.seals
    for call in (
        lambda: client.seal([b""]),
        lambda: client.seal_delimited(b""),
        lambda: client.seal_command(Command(b"PING", b"")),
        lambda: client.open([[b""]], []),
    ):
        with pytest.raises(NotImplementedError):
            call()
