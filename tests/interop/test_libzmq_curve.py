"""CURVE towards real libzmq: both roles, whoever binds, each pattern, and who is refused."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq
from zmq.auth.thread import ThreadAuthenticator

import zerorpc
from tests.interop.old_programs.service import Service
from tests.interop.ours import CALLERS, Caller, our_server, serving
from tests.interop.programs import PATIENCE
from tests.interop.raw_zmq import RawClient, Socket, Sockets, carry, endpoint_of, pack, unpack
from zerorpc.keys import KeyPair, encode_z85
from zerorpc.transport.security import Security
from zerorpc.zmtp import Connection, SocketType

SERVER, CLIENT, OTHER = (KeyPair.generate() for _ in range(3))
TCP = "tcp://127.0.0.1:0"
LIBZMQ_TCP = "tcp://127.0.0.1:*"
AS_SERVER = zerorpc.Curve(SERVER.secret)
AS_CLIENT = zerorpc.Curve(CLIENT.secret, SERVER.public)
OURS = pytest.mark.parametrize("role", ["we are the server", "we are the client"])
BOTH_WAYS = pytest.mark.parametrize("binds", ["we bind", "libzmq binds"])


def z85(key: bytes) -> bytes:
    return encode_z85(key).encode()


def libzmqs(ours: zerorpc.Curve, keys: KeyPair = CLIENT, server: bytes = SERVER.public) -> dict[int, bytes | int]:
    """The options of the libzmq socket for the other role."""
    if ours.server is None:
        return {
            zmq.CURVE_PUBLICKEY: z85(keys.public),
            zmq.CURVE_SECRETKEY: z85(keys.secret),
            zmq.CURVE_SERVERKEY: z85(server),
        }
    return {zmq.CURVE_SERVER: 1, zmq.CURVE_SECRETKEY: z85(SERVER.secret)}


def curve_of(role: str) -> zerorpc.Curve:
    return AS_SERVER if role == "we are the server" else AS_CLIENT


def join(ours: Any, sockets: Sockets, kind: int, binds: str, options: dict[int, bytes | int]) -> Socket:
    """A libzmq socket, connected with ours."""
    if binds == "we bind":
        return sockets.open(kind, connect=ours.bind(TCP)[0], options=options)
    socket = sockets.open(kind, bind=LIBZMQ_TCP, options=options)
    ours.connect(endpoint_of(socket))
    return socket


@BOTH_WAYS
@OURS
@pytest.mark.parametrize("kind", [zmq.DEALER, zmq.REQ], ids=["DEALER", "REQ"])
def test_a_server_of_ours(sockets: Sockets, role: str, binds: str, kind: int) -> None:
    server = zerorpc.Server(Service(), curve=curve_of(role))
    client = RawClient.of(join(server, sockets, kind, binds, libzmqs(curve_of(role))), kind)
    with serving(server):
        assert client.ask("echo", "hi")[1:] == ("OK", ["hi"])
        large = "x" * 3_000_000
        assert client.ask("echo", large)[1:] == ("OK", [large])


class Who:
    def who(self) -> str | None:
        return zerorpc.current_call().identity


@BOTH_WAYS
@pytest.mark.parametrize("role", ["we are the server", "neither"])
def test_a_server_of_ours_that_asks_who_calls(sockets: Sockets, role: str, binds: str) -> None:
    """libzmq waits as long as we ask: it sends nothing before its handshake is over."""
    curve = None if role == "neither" else curve_of(role)
    asked, go_on = threading.Event(), threading.Event()

    def authenticate(caller: zerorpc.Caller) -> str:
        asked.set()
        go_on.wait(PATIENCE)
        return f"key {caller.key}"

    server = zerorpc.Server(
        Who(), curve=curve, authenticator=authenticate, authorizer=lambda _, method: method == "who"
    )
    client = join(server, sockets, zmq.DEALER, binds, {} if curve is None else libzmqs(curve))
    key = encode_z85(CLIENT.public) if role == "we are the server" else None
    with serving(server):
        assert asked.wait(PATIENCE)
        request = [b"", pack({"message_id": b"1", "v": 3}, "who", [])]
        if binds == "libzmq binds":
            with pytest.raises(zmq.Again):  # it has nobody to send to yet
                client.send_multipart(request, zmq.NOBLOCK)
            go_on.set()
            client.send_multipart(request)
        else:
            client.send_multipart(request)
            assert client.poll(100) == 0
            go_on.set()
        assert unpack(client.recv_multipart()[-1])[1:] == ("OK", [f"key {key}"])
        assert RawClient.of(client, zmq.DEALER).ask("_zerorpc_list")[2][0] == "NameError"


def test_a_libzmq_client_that_is_not_known(sockets: Sockets) -> None:
    server = zerorpc.Server(
        Who(), curve=AS_SERVER, authenticator=lambda caller: "ok" if caller.key == encode_z85(OTHER.public) else None
    )
    endpoint = server.bind(TCP)[0]
    with serving(server):
        stranger = RawClient(sockets, endpoint, options=libzmqs(AS_SERVER))
        stranger.offer(EVENT, "who", [])
        known = RawClient(sockets, endpoint, options=libzmqs(AS_SERVER, OTHER))
        assert known.ask("who")[1:] == ("OK", ["ok"])
        assert stranger.socket.poll(300) == 0


@pytest.mark.parametrize("make_caller", CALLERS.values(), ids=CALLERS)
@BOTH_WAYS
@OURS
def test_a_client_of_ours(sockets: Sockets, role: str, binds: str, make_caller: Callable[..., Caller]) -> None:
    ours = curve_of(role)
    options = libzmqs(ours)
    if binds == "libzmq binds":
        router = sockets.open(zmq.ROUTER, bind=LIBZMQ_TCP, options=options)
        caller = make_caller(endpoint_of(router), timeout=PATIENCE, curve=ours)
    else:
        caller = make_caller(timeout=PATIENCE, curve=ours)
        router = sockets.open(zmq.ROUTER, connect=caller.bind(TCP), options=options)
    answering = threading.Thread(target=answer, args=(router, 2))
    answering.start()
    try:
        assert caller.call("echo", "hi") == "hi"
        large = b"x" * 3_000_000
        assert caller.call("echo", large) == large
    finally:
        answering.join(PATIENCE)
        caller.close()


def answer(router: Socket, count: int) -> None:
    for _ in range(count):
        *routing, payload = router.recv_multipart()
        header, _, args = unpack(payload)
        router.send_multipart(
            [*routing, pack({"message_id": b"reply", "v": 3, "response_to": header["message_id"]}, "OK", args)]
        )


class Taken:
    """Methods that keep what they get."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.came = threading.Event()

    def take(self, value: Any) -> None:
        self.values.append(value)
        self.came.set()


EVENT = {"message_id": b"m", "v": 3}


@BOTH_WAYS
@OURS
def test_a_puller_of_ours(sockets: Sockets, role: str, binds: str) -> None:
    taken = Taken()
    puller = zerorpc.Puller(taken, curve=curve_of(role))
    pusher = join(puller, sockets, zmq.PUSH, binds, libzmqs(curve_of(role)))
    with serving(puller):
        pusher.send(pack(EVENT, "take", ["pushed"]))
        assert taken.came.wait(PATIENCE)
    assert taken.values == ["pushed"]


@BOTH_WAYS
@OURS
def test_a_pusher_of_ours(sockets: Sockets, role: str, binds: str) -> None:
    with zerorpc.Pusher(curve=curve_of(role)) as pusher:
        puller = join(pusher, sockets, zmq.PULL, binds, libzmqs(curve_of(role)))
        pusher.take("pushed")
        assert unpack(puller.recv())[1:] == ("take", ["pushed"])


@BOTH_WAYS
@OURS
def test_a_subscriber_of_ours(sockets: Sockets, role: str, binds: str) -> None:
    taken = Taken()
    subscriber = zerorpc.Subscriber(taken, curve=curve_of(role))
    publisher = join(subscriber, sockets, zmq.XPUB, binds, libzmqs(curve_of(role)))
    with serving(subscriber):
        assert publisher.recv() == b"\1"  # its subscription, to everything
        publisher.send(pack(EVENT, "take", ["published"]))
        assert taken.came.wait(PATIENCE)
    assert taken.values == ["published"]


@BOTH_WAYS
@OURS
def test_a_publisher_of_ours(sockets: Sockets, role: str, binds: str) -> None:
    with zerorpc.Publisher(curve=curve_of(role)) as publisher:
        subscriber = join(publisher, sockets, zmq.SUB, binds, libzmqs(curve_of(role)))
        subscriber.setsockopt(zmq.SUBSCRIBE, b"")
        subscriber.setsockopt(zmq.RCVTIMEO, 50)
        for _ in range(20 * int(PATIENCE)):  # what is sent before it has subscribed is lost
            publisher.take("published")
            try:
                event = unpack(subscriber.recv())
            except zmq.Again:
                continue
            break
        assert event[1:] == ("take", ["published"])


@OURS
def test_libzmqs_heartbeats_are_sealed_and_answered(sockets: Sockets, role: str) -> None:
    """A PONG that it can't open would end the connection."""
    options = libzmqs(curve_of(role)) | {zmq.HEARTBEAT_IVL: 20, zmq.HEARTBEAT_TIMEOUT: 1000 * int(PATIENCE)}
    mechanism = Security(curve_of(role)).mechanism
    connection = Connection(SocketType.DEALER, mechanism=mechanism)
    with connected(sockets, options) as (libzmq, sock):
        for _ in range(3):
            carry(connection, sock, lambda _: connection.news)  # a PING
            connection.news = False
            connection.send_pong()
        connection.send_delimited(b"hi")
        carry(connection, sock, lambda _: True)
        sender, *message = libzmq.recv_multipart()
        assert message == [b"", b"hi"]
        libzmq.send_multipart([sender, b"", b"back"])
        assert carry(connection, sock, bool) == [[b"", b"back"]]


@contextlib.contextmanager
def connected(sockets: Sockets, options: dict[int, bytes | int]) -> Iterator[tuple[Socket, socket.socket]]:
    """A ROUTER of libzmq, and a plain socket that it has connected to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        libzmq = sockets.open(zmq.ROUTER, connect=f"tcp://127.0.0.1:{listener.getsockname()[1]}", options=options)
        with listener.accept()[0] as sock:
            yield libzmq, sock


# Who is refused


@pytest.fixture
def authenticated(sockets: Sockets) -> Iterator[str]:
    """Where a libzmq server is that lets in ``CLIENT`` only."""
    authenticator = ThreadAuthenticator(sockets._context)
    authenticator.start()
    authenticator.configure_curve_callback(domain="*", credentials_provider=Only(z85(CLIENT.public)))
    options = libzmqs(AS_CLIENT) | {zmq.ZAP_DOMAIN: b"global"}
    router = sockets.open(zmq.ROUTER, bind=LIBZMQ_TCP, options=options)
    try:
        yield endpoint_of(router)
    finally:
        authenticator.stop()


class Only:
    def __init__(self, key: bytes) -> None:
        self._key = key

    def callback(self, domain: str, key: bytes) -> bool:
        return key == self._key


@pytest.mark.parametrize("make_caller", CALLERS.values(), ids=CALLERS)
def test_a_client_whose_key_libzmq_refuses_is_told_at_once(
    authenticated: str, make_caller: Callable[..., Caller]
) -> None:
    curve = zerorpc.Curve(OTHER.secret, SERVER.public)
    caller = make_caller(authenticated, timeout=2 * PATIENCE, curve=curve)
    try:
        for _ in range(2):
            with pytest.raises(zerorpc.HandshakeFailed, match=r"method echo: .*refused the connection: 400"):
                caller.call("echo", "hi")
    finally:
        caller.close()


@pytest.mark.parametrize("make_caller", CALLERS.values(), ids=CALLERS)
def test_a_client_with_another_servers_key_is_told_soon(sockets: Sockets, make_caller: Callable[..., Caller]) -> None:
    """libzmq closes the connection without a word."""
    router = sockets.open(zmq.ROUTER, bind=LIBZMQ_TCP, options=libzmqs(AS_CLIENT))
    endpoint = endpoint_of(router)
    caller = make_caller(endpoint, timeout=2 * PATIENCE, curve=zerorpc.Curve(CLIENT.secret, OTHER.public))
    try:
        with pytest.raises(zerorpc.HandshakeFailed, match="closed the connection in the handshake") as caught:
            caller.call("echo", "hi")
        assert caught.value.endpoint == endpoint
        assert caught.value.ran is False
    finally:
        caller.close()


def test_a_libzmq_client_with_another_servers_key_is_logged(sockets: Sockets, caplog: pytest.LogCaptureFixture) -> None:
    with our_server(Service(), bind=TCP, curve=AS_SERVER) as server:
        options = libzmqs(AS_SERVER, server=OTHER.public)
        RawClient(sockets, server.endpoints[0], options=options).offer(EVENT, "echo", ["no"])
        good = RawClient(sockets, server.endpoints[0], options=libzmqs(AS_SERVER))
        deadline = time.monotonic() + PATIENCE
        while "this server has another key" not in caplog.text and time.monotonic() < deadline:
            assert good.ask("echo", "hi")[1:] == ("OK", ["hi"])
    assert "this server has another key than the one that the client was given" in caplog.text


@pytest.mark.parametrize(
    ("curve", "wrong", "right"),
    [
        (AS_SERVER, {}, libzmqs(AS_SERVER)),
        (AS_SERVER, {zmq.PLAIN_USERNAME: b"me", zmq.PLAIN_PASSWORD: b"pw"}, libzmqs(AS_SERVER)),
        (None, libzmqs(AS_SERVER), {}),
    ],
    ids=["NULL to CURVE", "PLAIN to CURVE", "CURVE to NULL"],
)
def test_a_libzmq_client_with_another_mechanism_harms_nobody(
    sockets: Sockets, curve: zerorpc.Curve | None, wrong: dict[int, bytes | int], right: dict[int, bytes | int]
) -> None:
    """It closes the connection itself as soon as it sees what we want."""
    with our_server(Service(), bind=TCP, curve=curve) as server:
        RawClient(sockets, server.endpoints[0], options=wrong).offer(EVENT, "echo", ["no"])
        good = RawClient(sockets, server.endpoints[0], options=right)
        assert good.ask("echo", "hi")[1:] == ("OK", ["hi"])
