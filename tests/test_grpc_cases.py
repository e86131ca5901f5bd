"""gRPC's interoperability cases, by name, with both clients over tcp.

What each asks for is in https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md. The cases of gRPC's
compression, credentials and load balancers are left out.
"""

from __future__ import annotations

import contextlib
import functools
import queue
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

import zerorpc
from tests.grpc_faces import Blocking, Face, OnLoop, Told
from tests.grpc_service import INITIAL, TRAILING, GrpcService
from tests.service.running import TCP, eventually, on_thread

UP, DOWN = 271_828, 314_159  # octets of large_unary
SIZES = [31_415, 9, 2_653, 58_979]  # of responses
PAYLOADS = [27_182, 8, 1_828, 45_904]  # octets of requests
METADATA = {INITIAL: "test_initial_metadata_value", TRAILING: b"\xab\xab\xab"}
SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"

HEARTBEAT = 1.5  # s, of long_lived_channel
INTERVAL = 3.5  # s between its calls: more than two heartbeats


class Served(NamedTuple):
    """A running service, and a client of it; ``new_client`` makes others, to be closed."""

    service: GrpcService
    new_client: Callable[..., Face]
    client: Face


@pytest.fixture(params=[Blocking, OnLoop])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    service = GrpcService()
    heartbeat = HEARTBEAT if "long_lived" in request.node.name else 30.0
    server = zerorpc.Server(heartbeat=heartbeat, on_connection=service.connections.append)
    server.register(service, prefix="TestService")
    (endpoint,) = server.bind(TCP)
    new_client = functools.partial(request.param, endpoint)
    with on_thread(server), contextlib.closing(new_client()) as client:
        yield Served(service, new_client, client)


def large_unary(client: Face) -> None:
    assert client.call("unary_call", bytes(UP), response_size=DOWN) == bytes(DOWN)


def test_empty_unary(served: Served) -> None:
    assert served.client.call("empty_call") == {}


def test_large_unary(served: Served) -> None:
    large_unary(served.client)


def test_client_streaming(served: Served) -> None:
    assert served.client.call("streaming_input_call", map(bytes, PAYLOADS)) == 74_922


def test_server_streaming(served: Served) -> None:
    assert served.client.call("streaming_output_call", SIZES) == [bytes(size) for size in SIZES]


def test_ping_pong(served: Served) -> None:
    requests = [(bytes(size), response_size) for size, response_size in zip(PAYLOADS, SIZES, strict=True)]
    for number, response in enumerate(served.client.ping_pong("full_duplex_call", requests)):
        assert len(response) == SIZES[number]
        assert served.service.received == PAYLOADS[: number + 1]
    assert number == 3


def test_empty_stream(served: Served) -> None:
    assert served.client.call("streaming_output_call", []) == []


def test_empty_stream_both_ways(served: Served) -> None:
    assert served.client.call("full_duplex_call", iter([])) == []
    assert served.client.call("streaming_input_call", iter([])) == 0
    assert served.service.running == 0


def test_cancel_after_begin(served: Served) -> None:
    served.client.call("empty_call")
    served.client.cancel_at_once("sleeping_call")
    assert served.client.call("empty_call") == {}  # which comes after it
    eventually(lambda: served.service.running == 0)


def test_cancel_after_begin_of_a_stream_from_the_client(served: Served) -> None:
    payloads: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    served.client.cancel_at_once("streaming_input_call", iter(payloads.get, None))
    assert served.client.call("empty_call") == {}
    eventually(lambda: served.service.running == 0)
    payloads.put(None)


def test_cancel_after_first_response(served: Served) -> None:
    assert served.client.cancel_after_first("sleeping_stream", SIZES[:1]) == bytes(SIZES[0])
    eventually(lambda: served.service.running == 0)


def test_cancel_after_first_response_of_both_ways(served: Served) -> None:
    requests: queue.SimpleQueue[tuple[bytes, int] | None] = queue.SimpleQueue()
    requests.put((bytes(PAYLOADS[0]), SIZES[0]))
    assert served.client.cancel_after_first("full_duplex_call", iter(requests.get, None)) == bytes(SIZES[0])
    eventually(lambda: served.service.running == 0)
    requests.put(None)


@pytest.mark.parametrize("bound", ["timeout", "deadline"])
@pytest.mark.parametrize(("method", "args"), [("sleeping_call", ()), ("sleeping_stream", ([],))])
def test_timeout_on_sleeping_server(served: Served, method: str, args: tuple[Any, ...], bound: str) -> None:
    served.client.call("empty_call")
    with pytest.raises(
        zerorpc.TimeoutExpired, match=rf"after 0\.001s, when calling remote method TestService.{method}"
    ):
        served.client.call_within({bound: 0.001}, method, *args)
    assert served.client.call("empty_call") == {}
    eventually(lambda: served.service.running == 0)


def test_timeout_on_sleeping_server_of_both_ways(served: Served) -> None:
    """It waits for a request that doesn't come."""
    requests: queue.SimpleQueue[tuple[bytes, int] | None] = queue.SimpleQueue()
    with pytest.raises(zerorpc.TimeoutExpired, match=r"after 0\.001s, when calling remote method TestService.full_du"):
        served.client.call_within({"deadline": 0.001}, "full_duplex_call", iter(requests.get, None))
    assert served.client.call("empty_call") == {}
    eventually(lambda: served.service.running == 0)
    requests.put(None)


def test_custom_metadata(served: Served) -> None:
    back = ({INITIAL: METADATA[INITIAL]}, {TRAILING: METADATA[TRAILING]})
    for method, args, kwargs, value in (
        ("unary_call", (bytes(UP),), {"response_size": DOWN}, bytes(DOWN)),
        ("streaming_output_call", ([DOWN],), {}, [bytes(DOWN)]),
        ("full_duplex_call", (iter([(bytes(UP), DOWN)]),), {}, [bytes(DOWN)]),
    ):
        assert served.client.tell(METADATA, method, *args, **kwargs) == Told(value, *back)


@pytest.mark.parametrize("method", ["unary_call", "streaming_output_call", "full_duplex_call"])
def test_status_code_and_message(served: Served, method: str) -> None:
    check_status(served.client, method, "test status message")


@pytest.mark.parametrize("method", ["unary_call", "streaming_output_call", "full_duplex_call"])
def test_special_status_message(served: Served, method: str) -> None:
    check_status(served.client, method, SPECIAL)


def check_status(client: Face, method: str, message: str) -> None:
    with pytest.raises(zerorpc.RemoteError) as caught:
        client.call(method, iter([]) if "duplex" in method else [] if "stream" in method else b"", message=message)
    assert (type(caught.value), caught.value.name) == (zerorpc.RemoteError, "Status")
    assert (caught.value.msg, caught.value.ran) == (message, True)


@pytest.mark.parametrize("name", ["TestService.unimplemented_call", "UnimplementedService.unimplemented_call"])
def test_unimplemented_method_and_unimplemented_service(served: Served, name: str) -> None:
    with pytest.raises(zerorpc.UnknownMethod) as caught:
        served.client.unknown(name)
    assert (caught.value.method, caught.value.msg, caught.value.ran) == (name, name, False)


def test_concurrent_large_unary(served: Served) -> None:
    assert served.client.call_at_once(1_000, "unary_call", bytes(UP), response_size=DOWN) == {DOWN}
    assert len(served.service.peers) == 1_000
    assert len(set(served.service.peers)) == 1


def test_rpc_soak(served: Served) -> None:
    """One channel. As many calls as make test has time for; tests/soak goes on for hours."""
    for _ in range(1_000):
        large_unary(served.client)
    assert len(set(served.service.peers)) == 1


def test_channel_soak(served: Served) -> None:
    """A channel for each call."""
    large_unary(served.client)
    for _ in range(100):
        with contextlib.closing(served.new_client()) as client:
            large_unary(client)
    # not by their ports: the system gives one again after a second
    eventually(lambda: sum(not event.connected for event in served.service.connections) == 100)
    assert sum(event.connected for event in served.service.connections) == 101


def test_long_lived_channel(served: Served) -> None:
    """It is idle for longer than the heartbeats of an open call may be missing."""
    with contextlib.closing(served.new_client(heartbeat=HEARTBEAT)) as client:
        for _ in range(2):
            large_unary(client)
            client.pause(INTERVAL)
        large_unary(client)
    assert len(set(served.service.peers)) == 1
