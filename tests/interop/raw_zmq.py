"""Hand-made zerorpc peers on real libzmq: each frame that goes out and comes in is in the test's hands."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
import zmq

from tests.interop.programs import PATIENCE
from zerorpc.zmtp import Connection, Message, State

PATIENCE_MS = 1000 * PATIENCE  # for one message, and then the test has failed
TCP = "tcp://127.0.0.1:*"
Event = tuple[dict[str, Any], str, Any]
Socket = zmq.Socket[bytes]


class Sockets:
    """libzmq sockets that wait no longer than PATIENCE_MS and are closed with the test, whatever is still unsent."""

    def __init__(self) -> None:
        self._context: zmq.Context[Socket] = zmq.Context()
        self._context.setsockopt(zmq.RCVTIMEO, PATIENCE_MS)
        self._context.setsockopt(zmq.SNDTIMEO, PATIENCE_MS)
        self._opened: list[Socket] = []

    def open(
        self, kind: int, *, bind: str = "", connect: str = "", options: Mapping[int, bytes | int] | None = None
    ) -> Socket:
        """``options`` are set before it binds or connects."""
        socket = self._context.socket(kind)
        self._opened.append(socket)
        for option, value in (options or {}).items():
            socket.setsockopt(option, value)
        if bind:
            socket.bind(bind)
        if connect:
            socket.connect(connect)
        return socket

    def close(self) -> None:
        for opened in self._opened:
            opened.close(linger=0)
        self._context.term()


def endpoint_of(socket: Socket) -> str:
    """Where it is bound, with the port that the system chose."""
    return socket.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")


def pack(header: Any, name: Any, args: Any) -> bytes:
    return msgspec.msgpack.encode([header, name, args])


def unpack(payload: bytes) -> Event:
    header, name, args = msgspec.msgpack.decode(payload)
    return header, name, args


class RawClient:
    """A DEALER (or REQ) that sends events packed by hand and shows what comes back, heartbeats apart."""

    def __init__(
        self,
        sockets: Sockets,
        endpoint: str,
        kind: int = zmq.DEALER,
        options: Mapping[int, bytes | int] | None = None,
    ) -> None:
        self._use(sockets.open(kind, connect=endpoint, options=options), kind)

    @classmethod
    def of(cls, socket: Socket, kind: int = zmq.DEALER) -> RawClient:
        """One for a socket that there is already."""
        client = cls.__new__(cls)
        client._use(socket, kind)
        return client

    def _use(self, socket: Socket, kind: int) -> None:
        self.socket = socket
        self.before = [] if kind == zmq.REQ else [b""]  # REQ puts the delimiter itself

    def send(self, header: Any, name: Any, args: Any) -> None:
        self.send_payload(pack(header, name, args))

    def send_payload(self, payload: bytes) -> None:
        self.socket.send_multipart([*self.before, payload])

    def offer(self, header: Any, name: Any, args: Any) -> None:
        """Sends an event to a server that may refuse it: once libzmq has learned that, it has nobody to send to."""
        with contextlib.suppress(zmq.Again):
            self.socket.send_multipart([*self.before, pack(header, name, args)], zmq.NOBLOCK)

    def recv(self) -> Event:
        """The next event of any kind."""
        *before, payload = self.socket.recv_multipart()
        assert before == self.before
        return unpack(payload)

    def reply(self) -> Event:
        """The next event that is no heartbeat."""
        event = self.recv()
        while event[1] == "_zpc_hb":
            event = self.recv()
        return event

    def ask(self, name: str, *args: Any, message_id: Any = b"ask") -> Event:
        """Makes one call as a v3 client and returns its reply."""
        self.send({"message_id": message_id, "v": 3}, name, args)
        return self.reply()

    def answer_to(self, message_id: Any) -> Event:
        """The next event of that channel that is no heartbeat; others are passed over."""
        event = self.reply()
        while event[0]["response_to"] != message_id:
            event = self.reply()
        return event


class RawServer:
    """A bound ROUTER that our client takes for a zerorpc server."""

    def __init__(self, sockets: Sockets) -> None:
        self.socket = sockets.open(zmq.ROUTER, bind=TCP)
        self.endpoint = endpoint_of(self.socket)
        self.peer = b""
        self.request: Event = ({}, "", ())

    def recv(self) -> Event:
        """The next event that is no heartbeat, of whichever client."""
        while True:
            self.peer, *between, payload = self.socket.recv_multipart()
            assert between == [b""]
            event = unpack(payload)
            if event[1] != "_zpc_hb":
                return event

    def accept(self) -> Event:
        """Takes a request; reply() and credit() then belong to it."""
        self.request = self.recv()
        return self.request

    def reply(self, name: str, args: Any, header: dict[str, Any] | None = None) -> None:
        fields = {"message_id": b"r", "v": 3, "response_to": self.request[0]["message_id"]}
        payload = pack(fields if header is None else header, name, args)
        self.socket.send_multipart([self.peer, b"", payload])

    def credit(self) -> int:
        """How much the client grants next."""
        header, name, args = self.recv()
        assert name == "_zpc_more"
        assert header["response_to"] == self.request[0]["message_id"]
        (granted,) = args
        assert isinstance(granted, int)
        return granted


@contextlib.contextmanager
def broker(sockets: Sockets) -> Iterator[tuple[str, str]]:
    """Clients connect to its first endpoint, workers to its second."""
    front, back = sockets.open(zmq.ROUTER, bind=TCP), sockets.open(zmq.DEALER, bind=TCP)
    with proxy(sockets, front, back):
        yield endpoint_of(front), endpoint_of(back)


@contextlib.contextmanager
def bridge(sockets: Sockets, worker_of: str, client_of: str) -> Iterator[None]:
    """Takes requests from one broker as its worker and puts them to another as its client."""
    front, back = sockets.open(zmq.ROUTER, connect=worker_of), sockets.open(zmq.DEALER, connect=client_of)
    with proxy(sockets, front, back):
        yield


@contextlib.contextmanager
def proxy(sockets: Sockets, front: Socket, back: Socket) -> Iterator[None]:
    """libzmq's own proxy on a thread."""
    name = f"inproc://proxy-{id(front)}"
    control, remote = sockets.open(zmq.PAIR, bind=name), sockets.open(zmq.PAIR, connect=name)
    thread = threading.Thread(target=zmq.proxy_steerable, args=(front, back, None, control), daemon=True)
    thread.start()
    try:
        yield
    finally:
        remote.send(b"TERMINATE")
        thread.join(PATIENCE)


def carry(connection: Connection, sock: socket.socket, until: Callable[[list[Message]], object]) -> list[Message]:
    """Carry octets both ways until that is so, or the connection is over; the messages that came."""
    received: list[Message] = []
    sock.settimeout(PATIENCE)
    while not until(received):
        sock.sendall(b"".join(connection.take_output()))
        if connection.state is State.CLOSED or not (data := sock.recv(4096)):
            break
        received += connection.receive_data(data)
    sock.sendall(b"".join(connection.take_output()))
    return received
