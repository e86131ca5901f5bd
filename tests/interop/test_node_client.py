"""Node's client calls our server, whose handlers run on threads or on the loop.

Heartbeats are the usual 5 s: Node finds a peer lost when it did not run itself for two of them, and 0.3 s are too few
for that when two cores are busy. test_node_liveness.py has the short ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

import pytest

import zerorpc
from tests.interop.node.programs import UNDEFINED, Int64, Moment, NodeCallError, NodeClient, node_client
from tests.interop.node.values import same_to_node
from tests.interop.old_programs.service import Service
from tests.interop.ours import CALLERS, AsyncService, our_server
from tests.interop.programs import PATIENCE, old_client
from tests.interop.values import VALUES

TCP = "tcp://127.0.0.1:0"
SERVICES = {"threads": Service, "loop": AsyncService}

services = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


@pytest.fixture(scope="module", params=SERVICES.values(), ids=SERVICES)
def server(request: pytest.FixtureRequest) -> Iterator[zerorpc.Server]:
    with our_server(request.param(), bind=TCP, name="cooler") as server:
        yield server


@pytest.fixture(scope="module")
def shared_client(server: zerorpc.Server) -> Iterator[NodeClient]:
    with node_client("--connect", server.endpoints[0]) as client:
        yield client


@pytest.fixture
def client(shared_client: NodeClient) -> Iterator[NodeClient]:
    yield shared_client
    assert shared_client.surplus == [], "a callback came after the end of its call"
    assert "error event" not in shared_client.stderr(), "Node found an event of ours invalid"


# Values


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_value_comes_back_as_it_went(client: NodeClient, value: Any) -> None:
    assert same_to_node(client.call("echo", value), value)


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("Grüße", "'Grüße'"),
        (b"\xff", r"b'\xff'"),  # a Buffer
        (None, "None"),
        (UNDEFINED, "None"),
        ({"a": UNDEFINED, "b": [None]}, "{'a': None, 'b': [None]}"),
        ({"a": {"b": {"c": b"\0"}}, "": []}, r"{'a': {'b': {'c': b'\x00'}}, '': []}"),
        (1, "1"),
        (1.5, "1.5"),
        (2**31 - 1, "2147483647"),
        (-(2**31), "-2147483648"),
        # All that does not fit into 32 bits with a sign arrives as float64.
        (2**31, "2147483648.0"),
        (2**32, "4294967296.0"),
        (-(2**31) - 1, "-2147483649.0"),
        (2**53, "9007199254740992.0"),
        # Except what the caller packs with all its bits, by the package int64-buffer.
        (Int64(2**53 + 1), "9007199254740993"),
        (Int64(2**64 - 1), "18446744073709551615"),
        (Int64(-(2**63)), "-9223372036854775808"),
    ],
    ids=repr,
)
def test_we_see_the_types_that_node_sent(client: NodeClient, value: Any, seen: str) -> None:
    assert client.call("spelled", value) == seen


def test_an_extension_type_of_msgpack_comes_back_as_it_went(client: NodeClient) -> None:
    moment = client.call("echo", Moment(1_700_000_000_123))
    assert (type(moment), moment) == (Moment, 1_700_000_000_123)


def test_int_keys_of_ours_become_text_in_node(client: NodeClient) -> None:
    assert client.call("int_keys") == {"1": "one", "-2": "minus two"}


def test_a_method_that_returns_nothing_answers_null(client: NodeClient) -> None:
    assert client.call("nothing") is None


def test_default_arguments_are_used(client: NodeClient) -> None:
    assert client.call("add", 5) == 6
    assert client.call("add", 5, 6) == 11


def test_a_large_payload_goes_both_ways(client: NodeClient) -> None:
    assert client.call("echo", b"\xa5" * (8 << 20)) == b"\xa5" * (8 << 20)


# Errors


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (("fail", "Grüße"), "ValueError", "Grüße"),
        (("nosuch", 1), "NameError", "nosuch"),
        (("_name",), "NameError", "_name"),
        (("toString",), "NameError", "toString"),
        (("add",), "TypeError", "add"),
        (("add", 1, 2, 3), "TypeError", "add"),
        (("add", 1, "x"), "TypeError", "unsupported operand"),
        (("count",), "TypeError", "count"),
        (("unserialisable",), "TypeError", "unserialisable"),
    ],
    ids=str,
)
def test_an_error_arrives_with_name_and_message(
    client: NodeClient, call: tuple[Any, ...], kind: str, message: str
) -> None:
    with pytest.raises(NodeCallError) as caught:
        client.call(*call)
    assert caught.value.kind == kind
    assert message in caught.value.message
    assert client.call("echo", "at once") == "at once"


def test_the_traceback_is_the_errors_stack(client: NodeClient) -> None:
    with pytest.raises(NodeCallError) as caught:
        client.call("fail", "boom")
    assert caught.value.stack.startswith("Traceback (most recent call last):\n")
    assert caught.value.stack.rstrip().endswith("ValueError: boom")


# Streams


@pytest.mark.parametrize("length", [1, 2, 99, 100, 101, 5_000])
def test_a_stream_has_all_its_items_in_order(client: NodeClient, length: int) -> None:
    assert client.call("count", length) == list(range(length))


def test_an_empty_stream_is_a_single_undefined(client: NodeClient) -> None:
    # [ran] Node's client knows no other end: STREAM_DONE is a callback without a value and with more === false.
    assert client.call("count", 0) is UNDEFINED


@pytest.mark.parametrize("length", [0, 1, 50, 150])
def test_an_error_ends_a_stream_after_its_items(client: NodeClient, length: int) -> None:
    with pytest.raises(NodeCallError, match="stream broke") as caught:
        client.call("fail_after", length)
    assert (caught.value.kind, caught.value.items) == ("KeyError", list(range(length)))


def test_streams_side_by_side_do_not_mix(client: NodeClient) -> None:
    answers = [client.start("count", length) for length in range(480, 500)]
    assert [len(answer.get()) for answer in answers] == list(range(480, 500))


# Many calls


def test_five_hundred_calls_are_in_flight_at_once(client: NodeClient) -> None:
    # No answer comes before all of them are inside the method.
    assert [answer.get() for answer in [client.start("meet", 500) for _ in range(500)]] == [500] * 500


def test_a_call_that_takes_too_long_times_out_and_the_next_one_works(client: NodeClient) -> None:
    with pytest.raises(NodeCallError) as caught:
        client.call("slow", 2, timeout=1)
    assert caught.value.kind == "TimeoutExpired"
    assert client.call("echo", 1) == 1


class HasGate(Protocol):
    """A service whose stream stops halfway, says so, and goes on when the gate is opened."""

    halfway: threading.Semaphore
    gate: threading.Event


class Gated(Service):
    def __init__(self) -> None:
        super().__init__()
        self.halfway = threading.Semaphore(0)
        self.gate = threading.Event()

    def gated(self, stop: int) -> Iterator[int]:
        for number in range(stop):
            if number == stop // 2:
                self.halfway.release()
                self.gate.wait(PATIENCE)
            yield number


class AsyncGated(AsyncService):
    def __init__(self) -> None:
        super().__init__()
        self.halfway = threading.Semaphore(0)
        self.gate = threading.Event()

    async def gated(self, stop: int) -> AsyncIterator[int]:
        for number in range(stop):
            if number == stop // 2:
                self.halfway.release()
                await asyncio.to_thread(self.gate.wait, PATIENCE)
            yield number


@pytest.mark.parametrize("service", [Gated, AsyncGated], ids=SERVICES)
def test_long_streams_to_node_stop_no_other_client(service: type[HasGate]) -> None:
    # [ran] An old server is deaf to everybody after a stream of 300 to Node: Node's credit messages add up, and its
    # dispatcher waits for room in the queue of a channel that is closed.
    gated = service()
    with contextlib.ExitStack() as stack:
        endpoint = stack.enter_context(our_server(gated, bind=TCP)).endpoints[0]
        node = stack.enter_context(node_client("--connect", endpoint))
        others: list[Any] = [stack.enter_context(old_client("--connect", endpoint))]
        others += [caller(endpoint) for caller in CALLERS.values()]
        for caller in others[1:]:
            stack.callback(caller.close)

        def all_are_served() -> None:
            assert [other.call("echo", "here") for other in others] == ["here"] * 3
            assert [getattr(other, "items", other.call)("count", 300) for other in others] == [list(range(300))] * 3

        streams = [node.start("gated", 5_000) for _ in range(5)]
        for _ in streams:
            assert gated.halfway.acquire(timeout=PATIENCE)
        all_are_served()
        gated.gate.set()
        all_are_served()
        for stream in streams:
            assert stream.get() == list(range(5_000))
        all_are_served()
        assert node.call("echo", "here") == "here"


# Introspection


def test_ping_and_name_give_the_service_name(client: NodeClient) -> None:
    assert client.call("_zerorpc_ping") == ["pong", "cooler"]
    assert client.call("_zerorpc_name") == "cooler"


def test_inspect_has_what_node_tools_read(client: NodeClient) -> None:
    description = client.call("_zerorpc_inspect")
    assert description["name"] == "cooler"
    assert description["methods"]["add"]["args"] == [{"name": "left"}, {"name": "right", "default": 1}]
    assert description["methods"]["add"]["doc"] == "Add two numbers."


# Reversed


@services
def test_a_server_of_ours_may_connect_to_a_node_client(service: type[Service]) -> None:
    with (
        node_client("--bind", TCP) as client,
        our_server(service("worker"), connect=client.endpoint),
    ):
        assert client.call("who") == "worker"
        assert client.call("count", 250) == list(range(250))
