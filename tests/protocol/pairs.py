"""Peers under a fake clock: two of ours joined, or one of ours and a stranger that packs its events by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import msgspec

from tests.zmtp.links import octets
from zerorpc.protocol.channel import ClientChannel
from zerorpc.protocol.client_peer import ClientPeer
from zerorpc.protocol.events import OK, STREAM, VERSION, encode
from zerorpc.protocol.peer import Peer
from zerorpc.protocol.server_channel import ServerChannel
from zerorpc.protocol.server_peer import ServerPeer
from zerorpc.zmtp import Connection, Frame, SocketType, State

HEARTBEAT = 5.0


def pack(value: Any) -> bytes:
    return msgspec.msgpack.encode(value)


def new_ids() -> Callable[[], bytes]:
    counter = itertools.count()
    return lambda: b"%032d" % next(counter)


def call(method: str = "echo", *args: Any, timeout: float | None = 30, now: float = 0.0, slots: int = 100) -> Any:
    """A call as clients make it; not sent yet."""
    message_id = b"%032d" % next(_calls)
    header = {"message_id": message_id, "v": VERSION} | ({} if timeout == 30 else {"_zpc_timeout": timeout})
    data = encode(header, method, args)
    deadline = math.inf if timeout is None else now + timeout
    return ClientChannel(message_id, method, data, timeout, deadline, slots)


_calls = itertools.count(10**9)


def reply(channel: ServerChannel, value: Any) -> None:
    channel.send(encode(channel.peer.event_header(channel), OK, [value]), last=True)


def item(channel: ServerChannel, value: Any) -> None:
    channel.send(encode(channel.peer.event_header(channel), STREAM, value))


def end(channel: ServerChannel, name: str, args: Any = None) -> None:
    channel.send(encode(channel.peer.event_header(channel), name, args), last=True)


class Clock:
    """The time, and what happens when it passes: peers are swept exactly when they asked to be."""

    def __init__(self) -> None:
        self.now = 1000.0

    def advance(self, seconds: float, *peers: Peer, between: Callable[[], object] = lambda: None) -> list[Any]:
        """Let time pass; ``between`` runs after each sweep. What the sweeps ended."""
        until = self.now + seconds
        ended = []
        while True:
            due = [peer for peer in peers if peer.next_wake is not None and peer.next_wake <= until]
            if not due:
                break
            peer = min(due, key=lambda peer: peer.next_wake or 0.0)
            assert peer.next_wake is not None
            self.now = max(self.now, peer.next_wake)
            ended += peer.sweep(self.now)
            between()
            if peer.error is not None:
                return ended
        self.now = until
        return ended


class Pair:
    """A client and a server of ours, joined."""

    def __init__(self, heartbeat: float | None = HEARTBEAT, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.client = ClientPeer(heartbeat, new_ids())
        self.server = ServerPeer(heartbeat, new_ids())
        self.client.opened(self.clock.now)
        self.server.opened(self.clock.now)
        assert self.exchange() == ([], [])
        assert self.client.ready
        assert self.server.ready

    def exchange(self) -> tuple[list[Any], list[Any]]:
        """Carry what there is to send, both ways: what it touched at the client, and at the server."""
        at_client: list[Any] = []
        at_server: list[Any] = []
        while True:
            there, back = octets(self.client.connection), octets(self.server.connection)
            if there:
                at_server += self.server.receive_data(there, self.clock.now)
            if back:
                at_client += self.client.receive_data(back, self.clock.now)
            if not there and not back:
                return at_client, at_server

    def call(self, method: str = "echo", *args: Any, **options: Any) -> tuple[ClientChannel, ServerChannel]:
        """A call that has reached the server."""
        channel = call(method, *args, now=self.clock.now, **options)
        self.client.open(channel, self.clock.now)
        (request,) = self.exchange()[1]
        return channel, request

    def advance(self, seconds: float) -> list[Any]:
        return self.clock.advance(seconds, self.client, self.server, between=self.exchange)


class Stranger:
    """The other end of one of our peers, of another make: the events that it sends are packed by hand."""

    def __init__(self, ours: Peer, kind: SocketType, clock: Clock, **properties: bytes) -> None:
        self.ours = ours
        self.clock = clock
        self.connection = Connection(kind, properties=properties)
        self._received: list[list[Frame]] = []
        ours.opened(clock.now)
        self._carry()
        assert self.connection.state is State.TRAFFIC

    def _carry(self) -> list[Any]:
        touched: list[Any] = []
        while True:
            there, back = octets(self.connection), octets(self.ours.connection)
            if not there and not back:
                return touched
            if there:
                touched += self.ours.receive_data(there, self.clock.now)
            self._received += self.connection.receive_data(back)

    def send(self, header: Any, name: Any, args: Any = None, routing: tuple[bytes, ...] = ()) -> list[Any]:
        """Send an event; what it touched at our end."""
        return self.send_frames(*routing, b"", pack([header, name, args]))

    def send_frames(self, *frames: bytes) -> list[Any]:
        self.connection.send_message(frames)
        return self._carry()

    def messages(self) -> list[list[bytes]]:
        """The messages that came since the last look."""
        self._carry()
        received, self._received = self._received, []
        return [[bytes(frame) for frame in message] for message in received]

    def events(self) -> list[tuple[dict[str, Any], str, Any]]:
        """The same as events; each has come behind one delimiter."""
        events = []
        for delimiter, data in self.messages():
            assert delimiter == b""
            header, name, args = msgspec.msgpack.decode(data)
            events.append((header, name, args))
        return events

    def names(self) -> list[str]:
        return [name for _, name, _ in self.events()]


def old_client(
    clock: Clock, heartbeat: float | None = HEARTBEAT, kind: SocketType = SocketType.DEALER, **properties: bytes
) -> tuple[ServerPeer, Stranger]:
    """A server of ours and a client that is not."""
    server = ServerPeer(heartbeat, new_ids())
    return server, Stranger(server, kind, clock, **properties)


def old_server(
    clock: Clock, heartbeat: float | None = HEARTBEAT, passive: bool = False, **properties: bytes
) -> tuple[ClientPeer, Stranger]:
    """A client of ours and a server that is not."""
    client = ClientPeer(heartbeat, new_ids(), passive)
    return client, Stranger(client, SocketType.ROUTER, clock, **properties)
