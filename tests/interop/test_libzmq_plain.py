"""PLAIN towards real libzmq, both roles: one connection by hand, since where zerorpc uses it is for others to say."""

from __future__ import annotations

import functools
import socket
from collections.abc import Iterator

import pytest
import zmq
from zmq.auth.thread import ThreadAuthenticator

from tests.interop.programs import PATIENCE
from tests.interop.raw_zmq import Sockets, carry, endpoint_of
from zerorpc.zmtp import Connection, SocketType, State
from zerorpc.zmtp.mechanisms import Credentials
from zerorpc.zmtp.mechanisms.plain import PlainClient, PlainServer


@pytest.fixture
def libzmq_server(sockets: Sockets) -> Iterator[zmq.Socket[bytes]]:
    authenticator = ThreadAuthenticator(sockets._context)
    authenticator.start()
    authenticator.configure_plain(domain="*", passwords={"me": "secret"})
    try:
        yield sockets.open(zmq.ROUTER, bind="tcp://127.0.0.1:*", options={zmq.PLAIN_SERVER: 1})
    finally:
        authenticator.stop()


def connected(server: zmq.Socket[bytes]) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(endpoint_of(server).rpartition(":")[2])), PATIENCE)


def test_a_client_of_ours(libzmq_server: zmq.Socket[bytes]) -> None:
    client = Connection(SocketType.DEALER, mechanism=functools.partial(PlainClient, b"me", b"secret"))
    with connected(libzmq_server) as sock:
        carry(client, sock, lambda _: client.state is State.TRAFFIC)
        client.send_delimited(b"hi")
        carry(client, sock, lambda _: True)
        sender, *message = libzmq_server.recv_multipart()
        assert message == [b"", b"hi"]
        libzmq_server.send_multipart([sender, b"", b"back"])
        assert carry(client, sock, bool) == [[b"", b"back"]]


def test_a_client_of_ours_with_a_wrong_password(libzmq_server: zmq.Socket[bytes]) -> None:
    client = Connection(SocketType.DEALER, mechanism=functools.partial(PlainClient, b"me", b"guess"))
    with connected(libzmq_server) as sock:
        carry(client, sock, lambda _: client.error)
    assert str(client.error) == "the peer refused the connection: 400"


@pytest.mark.parametrize("asks", [False, True])
def test_a_server_of_ours(sockets: Sockets, asks: bool) -> None:
    server = Connection(SocketType.ROUTER, mechanism=functools.partial(PlainServer, None if asks else knows))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        options = {zmq.PLAIN_USERNAME: b"me", zmq.PLAIN_PASSWORD: b"secret"}
        endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        client = sockets.open(zmq.DEALER, connect=endpoint, options=options)
        client.send_multipart([b"", b"hi"])
        with listener.accept()[0] as sock:
            if asks:
                carry(server, sock, lambda _: server.asking)
                assert server.credentials == Credentials("PLAIN", user=b"me", password=b"secret")
                server.admit()
            assert carry(server, sock, bool) == [[b"", b"hi"]]
            server.send_delimited(b"back")
            carry(server, sock, lambda _: True)
            assert client.recv_multipart() == [b"", b"back"]


def knows(user: bytes, password: bytes) -> bool:
    return (user, password) == (b"me", b"secret")
