"""Load for a server of ours that costs its client next to nothing: the octets of one real call, sent again and again.

A client of ours works as much for a call as the server does, so on two cores it couldn't keep two server processes
busy. The octets are taken from a Client's connection on their way to the server; only the message ids are changed.
"""

from __future__ import annotations

import re
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import zerorpc
from benchmarks.peers.harness import TEXT, Meter, Task

BATCH = 100  # calls sent together on each connection; the next ones when all are answered
CHUNK = 1 << 18
MESSAGE_ID = re.compile(rb"[0-9a-f]{32}")


class Recording(NamedTuple):
    """What goes over a connection."""

    handshake: bytes
    request: bytes
    handshake_reply: int  # octets
    reply: int  # octets


class Replay:
    """Takes part like other clients, for calls in flight only."""

    cannot: ClassVar[dict[str, str]] = {}

    @classmethod
    def perform(cls, endpoint: str, task: Task, _hold: Callable[[], object]) -> dict[str, Any]:
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        address = host, int(port)
        recording = record(address)
        connections = [Connection(address, recording) for _ in range(task.connections)]
        try:
            exchange(connections, task.warm_up)
            meter = Meter(task)
            return meter.result(exchange(connections, task.seconds))
        finally:
            for connection in connections:
                connection.socket.close()


class Connection:
    """One connection after its handshake, with a batch of calls to send."""

    def __init__(self, address: tuple[str, int], recording: Recording) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(recording.handshake)
        waiting = recording.handshake_reply
        while waiting:
            waiting -= len(self.socket.recv(waiting))
        ids = (b"%032x" % number for number in range(BATCH))
        self.batch = b"".join(MESSAGE_ID.sub(one, recording.request) for one in ids)
        self.answer = BATCH * recording.reply  # octets to a batch
        self.waiting = 0

    def send(self) -> None:
        self.waiting = self.answer
        self.socket.sendall(self.batch)

    def receive(self) -> bool:
        """Whether the whole batch is answered now."""
        data = self.socket.recv(CHUNK)
        if not data:
            raise RuntimeError("the server closed the connection")
        self.waiting -= len(data)
        if self.waiting < 0:
            raise RuntimeError("the server said something else, too")
        return not self.waiting


def exchange(connections: list[Connection], seconds: float) -> int:
    """Send batches for so long; how many calls were answered."""
    end = time.perf_counter() + seconds
    calls = 0
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.send()
        busy = len(connections)
        while busy:
            for key, _ in selector.select():
                connection = key.data
                if not connection.receive():
                    continue
                calls += BATCH
                if time.perf_counter() < end:
                    connection.send()
                else:
                    busy -= 1
    return calls


def record(address: tuple[str, int]) -> Recording:
    """Three calls of a Client through a relay: the first with the handshake before it, another one like it, and the one
    that is replayed. The first waits for the connection, and one with a timeout would say how much of it is left.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        relay = Relay(listener, address)
        with zerorpc.Client("tcp://{}:{}".format(*listener.getsockname()), heartbeat=None) as client:
            marks = []
            for options in ({"timeout": None}, {"timeout": None}, {}):
                client("echo", TEXT, **options)
                marks.append((len(relay.sent), len(relay.answered)))
        relay.join()
    (sent, answered), (sent_twice, answered_twice), (all_sent, all_answered) = marks
    handshake, handshake_reply = 2 * sent - sent_twice, 2 * answered - answered_twice
    request = relay.sent[sent_twice:all_sent]
    if len(MESSAGE_ID.findall(request)) != 1 or handshake <= 0:
        raise RuntimeError("what a call has on the wire isn't what this program expects")
    return Recording(bytes(relay.sent[:handshake]), bytes(request), handshake_reply, all_answered - answered_twice)


class Relay(threading.Thread):
    """Passes one connection's octets on in both directions, and keeps them."""

    def __init__(self, listener: socket.socket, address: tuple[str, int]) -> None:
        super().__init__(daemon=True)
        self.sent = bytearray()
        self.answered = bytearray()
        self._listener = listener
        self._address = address
        self.start()

    def run(self) -> None:
        client, _ = self._listener.accept()
        with client, socket.create_connection(self._address) as server, selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, (server, self.sent))
            selector.register(server, selectors.EVENT_READ, (client, self.answered))
            while True:
                for key, _ in selector.select():
                    to, kept = key.data
                    data = key.fileobj.recv(CHUNK)  # type: ignore[union-attr]  # both are sockets
                    if not data:
                        return
                    kept += data
                    to.sendall(data)
