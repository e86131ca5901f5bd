"""Writes down what other programs say to each other, into ``recorded/``: ``python -m tests.fuzz.record``.

zerorpc 0.6.3 with itself, Node's zerorpc with itself, and libzmq with itself: they don't change any more, so this was
run once. It needs what ``python -m tests.interop.set_up`` makes.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import socket
import threading
from collections.abc import Iterator

import zmq

from tests.fuzz.sources import RECORDED
from tests.interop.node.programs import NodeCallError, node_client, node_server
from tests.interop.programs import HEARTBEAT, OldCallError, old_client, old_server
from tests.interop.raw_zmq import RawClient, RawServer, Sockets

PATH = re.compile(rb"/(?:[\w.+@-]+/)+[\w.+@-]+")
CALLS: list[tuple[str, tuple[object, ...]]] = [
    ("echo", (None,)),
    ("echo", ([1, -2, 2.5, "text", {"key": [True, False]}],)),
    ("echo", ("x" * 300,)),
    ("add", (1, 2)),
    ("fail", ("no",)),
    ("no_such_method", ()),
    ("_zerorpc_list", ()),
    ("count", (3,)),
    ("count", (130,)),  # more than there is credit for at first
    ("fail_after", (2,)),
    ("slow", (2 * HEARTBEAT,)),
    ("_zerorpc_inspect", ()),
]


def main() -> None:
    RECORDED.mkdir(exist_ok=True)
    with old_server("--bind", "tcp://127.0.0.1:0", "--heartbeat", HEARTBEAT) as server:
        with recorded("zerorpc-0.6.3", server.endpoint) as endpoint:
            with old_client("--connect", endpoint, "--heartbeat", HEARTBEAT) as client:
                for method, args in CALLS:
                    with contextlib.suppress(OldCallError):
                        client.call(method, *args)
    with node_server("--bind", "tcp://127.0.0.1:0", "--heartbeat", HEARTBEAT) as server:
        with recorded("node-0.9.8", server.endpoint) as endpoint:
            with node_client("--connect", endpoint, "--heartbeat", HEARTBEAT) as client:
                for method, args in CALLS:
                    with contextlib.suppress(NodeCallError):
                        client.call(method, *args)
    with contextlib.closing(Sockets()) as sockets:
        for kind, name in ((zmq.DEALER, "libzmq-dealer"), (zmq.REQ, "libzmq-req")):
            libzmq(sockets, kind, name)


def libzmq(sockets: Sockets, kind: int, name: str) -> None:
    """Calls with a routing id, and with ZMTP's own heartbeats."""
    server = RawServer(sockets)
    with recorded(name, server.endpoint) as endpoint:
        options: dict[int, bytes | int] = {zmq.ROUTING_ID: b"robot", zmq.HEARTBEAT_IVL: 100, zmq.HEARTBEAT_TTL: 1000}
        client = RawClient(sockets, endpoint, kind, options)
        for number, (method, args) in enumerate(CALLS):
            client.send({"message_id": b"%d" % number, "v": 3}, method, args)
            server.accept()
            server.reply("OK", [number])
            client.reply()
        client.socket.close(0)


@contextlib.contextmanager
def recorded(name: str, endpoint: str) -> Iterator[str]:
    """An endpoint that leads to another one; what is said on the one connection through it is written down."""
    told: dict[str, list[bytes]] = {"heard": [], "answered": []}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        proxy = threading.Thread(target=carry, args=(listener, (host, int(port)), told), daemon=True)
        proxy.start()
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    proxy.join(10)
    told = {way: without_paths(chunks) for way, chunks in told.items()}
    path = RECORDED / f"{name}.json"
    in_hex = {way: [chunk.hex() for chunk in chunks] for way, chunks in told.items()}
    path.write_text(json.dumps(in_hex, indent=0) + "\n", encoding="utf-8")
    print(f"{path.name}: {len(told['heard'])} chunks heard, {len(told['answered'])} answered")


def without_paths(chunks: list[bytes]) -> list[bytes]:
    """The same without the names of this machine's folders, which are in tracebacks: others of the same length."""
    data = PATH.sub(lambda found: b"/" + b"x" * (len(found[0]) - 1), b"".join(chunks))
    ends = list(itertools.accumulate(map(len, chunks)))
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def carry(listener: socket.socket, address: tuple[str, int], told: dict[str, list[bytes]]) -> None:
    client, _ = listener.accept()
    server = socket.create_connection(address)
    ways = [threading.Thread(target=pour, args=(client, server, told["heard"]), daemon=True)]
    ways += [threading.Thread(target=pour, args=(server, client, told["answered"]), daemon=True)]
    for way in ways:
        way.start()
    for way in ways:
        way.join(5)
    client.close()
    server.close()


def pour(source: socket.socket, target: socket.socket, told: list[bytes]) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            told.append(data)
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    main()
