"""Each pair of socket types with real libzmq on the other side, and each side once bound and once connected."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import zmq

import zerorpc
from tests.service.running import eventually, on_thread

PATIENCE_MS = 10_000
ENDPOINT = "tcp://127.0.0.1:0"
EITHER_BINDS = pytest.mark.parametrize("we_bind", [True, False], ids=["ours bound", "libzmq bound"])
pack, unpack = msgspec.msgpack.encode, msgspec.msgpack.decode


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    with zmq.Context() as made:
        made.linger = 0
        yield made


def foreign(context: zmq.Context[zmq.Socket[bytes]], kind: int) -> zmq.Socket[bytes]:
    """A libzmq socket that waits with patience."""
    made = context.socket(kind)
    made.rcvtimeo = made.sndtimeo = PATIENCE_MS
    return made


def join(ours: Any, theirs: zmq.Socket[bytes], we_bind: bool) -> None:
    if we_bind:
        theirs.connect(ours.bind(ENDPOINT)[0])
    else:
        theirs.bind("tcp://127.0.0.1:*")
        ours.connect(theirs.getsockopt_string(zmq.LAST_ENDPOINT))


@EITHER_BINDS
@pytest.mark.parametrize("kind", [zmq.DEALER, zmq.REQ], ids=["DEALER", "REQ"])
def test_our_server(context: zmq.Context[zmq.Socket[bytes]], kind: int, we_bind: bool) -> None:
    server = zerorpc.Server({"add": lambda a, b: a + b})
    with foreign(context, kind) as caller:
        join(server, caller, we_bind)
        with on_thread(server):
            for number in range(3):
                request = pack([{"message_id": number, "v": 3}, "add", [number, 1]])
                caller.send_multipart([b"", request] if kind == zmq.DEALER else [request])
                header, name, args = unpack(caller.recv_multipart()[-1])
                assert (header["response_to"], name, args) == (number, "OK", [number + 1])


@EITHER_BINDS
@pytest.mark.parametrize("kind", [zmq.ROUTER, zmq.REP], ids=["ROUTER", "REP"])
def test_our_client(context: zmq.Context[zmq.Socket[bytes]], kind: int, we_bind: bool) -> None:
    with foreign(context, kind) as answerer, zerorpc.Client(heartbeat=None, timeout=10) as client:
        join(client, answerer, we_bind)
        thread = threading.Thread(target=answer, args=(answerer, 3))
        thread.start()
        try:
            assert [client.double(number) for number in range(3)] == [0, 2, 4]
        finally:
            thread.join()


def answer(answerer: zmq.Socket[bytes], count: int) -> None:
    """Double what is asked, by hand."""
    for _ in range(count):
        *routing, request = answerer.recv_multipart()
        header, _, (number,) = unpack(request)
        answerer.send_multipart(
            [*routing, pack([{"message_id": b"x", "v": 3, "response_to": header["message_id"]}, "OK", [2 * number]])]
        )


@EITHER_BINDS
def test_our_pusher(context: zmq.Context[zmq.Socket[bytes]], we_bind: bool) -> None:
    with foreign(context, zmq.PULL) as puller, zerorpc.Pusher() as pusher:
        join(pusher, puller, we_bind)
        for number in range(5):
            pusher.take(number)
        assert [unpack(puller.recv())[1:] for _ in range(5)] == [["take", [number]] for number in range(5)]


@EITHER_BINDS
@pytest.mark.parametrize(
    ("kind", "ours"), [(zmq.PUSH, zerorpc.Puller), (zmq.PUB, zerorpc.Subscriber)], ids=["PUSH", "PUB"]
)
def test_our_puller_and_subscriber(
    context: zmq.Context[zmq.Socket[bytes]], kind: int, ours: type[zerorpc.Puller], we_bind: bool
) -> None:
    taken: list[int] = []
    puller = ours({"take": taken.append})
    with foreign(context, kind) as sender:
        join(puller, sender, we_bind)
        with on_thread(puller):

            def sent_and_taken() -> bool:
                sender.send(pack([{"message_id": b"x", "v": 3}, "take", [7]]))  # a PUB's first ones find nobody
                return bool(taken)

            eventually(sent_and_taken)
    assert set(taken) == {7}


@EITHER_BINDS
def test_our_publisher_sends_to_whom_it_concerns(context: zmq.Context[zmq.Socket[bytes]], we_bind: bool) -> None:
    with foreign(context, zmq.SUB) as all_of_it, foreign(context, zmq.SUB) as nothing, zerorpc.Publisher() as publisher:
        join(publisher, all_of_it, we_bind)
        join(publisher, nothing, we_bind)
        all_of_it.subscribe(b"\x93")  # how every event begins: an array of three
        nothing.subscribe(b"something else")

        def published_and_received() -> bool:
            publisher.news(1)
            return bool(all_of_it.poll(20))

        eventually(published_and_received)
        publisher.news("last")
        seen = []
        while seen[-1:] != ["last"]:  # what was published so far is out
            seen += unpack(all_of_it.recv())[2]
        assert set(seen) == {1, "last"}
        nothing.subscribe(b"\x93")  # now it does; and the first that it gets is what is published from here on

        def later_received() -> bool:
            publisher.news(2)
            return bool(nothing.poll(20))

        eventually(later_received)
        assert unpack(nothing.recv())[1:] == ["news", [2]]
