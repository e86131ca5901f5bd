"""Our Client and our AsyncClient call Node's server.

Heartbeats are the usual 5 s but where the test waits for them: see test_node_client.py.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import zerorpc
from tests.interop.node.programs import NodeProgram, from_json, node_server
from tests.interop.node.values import same_to_node
from tests.interop.ours import CALLERS, AsyncCaller, BlockingCaller, Caller, take
from tests.interop.programs import HEARTBEAT, PATIENCE
from tests.interop.values import VALUES, same

TCP = "tcp://127.0.0.1:0"
BEAT = ("--heartbeat", HEARTBEAT)


@pytest.fixture(scope="module")
def server() -> Iterator[NodeProgram]:
    with node_server("--bind", TCP, "--name", "cooler") as server:
        yield server


@pytest.fixture(scope="module", params=CALLERS.values(), ids=CALLERS)
def client(request: pytest.FixtureRequest, server: NodeProgram) -> Iterator[Caller]:
    with contextlib.closing(request.param(server.endpoint)) as caller:
        yield caller


@pytest.fixture(scope="module")
def hasty_server() -> Iterator[NodeProgram]:
    with node_server("--bind", TCP, *BEAT) as server:
        yield server


@pytest.fixture(scope="module", params=CALLERS.values(), ids=CALLERS)
def hasty_client(request: pytest.FixtureRequest, hasty_server: NodeProgram) -> Iterator[Caller]:
    with contextlib.closing(request.param(hasty_server.endpoint, heartbeat=HEARTBEAT)) as caller:
        yield caller


def seen_by_node(client: Caller, value: Any) -> Any:
    return from_json(json.loads(client.call("spelled", value)))


# Values


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_value_comes_back_as_it_went(client: Caller, value: Any) -> None:
    assert same_to_node(client.call("echo", value), value)


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_node_sees_what_was_sent(client: Caller, value: Any) -> None:
    assert same_to_node(seen_by_node(client, value), value)


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (2**31, "2147483648"),
        (2**53, "9007199254740992"),
        (-(2**53), "-9007199254740992"),
        # Beyond 53 bits it is the nearest double, as for all of JavaScript.
        (2**53 + 1, "9007199254740992"),
        (2**64 - 1, "18446744073709552000"),
        (-(2**63), "-9223372036854776000"),
        (b"\xff", '{"$":"bytes","base64":"/w=="}'),
        (bytearray(b"\xff"), '{"$":"bytes","base64":"/w=="}'),
        (None, "null"),
        ((1, (2, 3)), "[1,[2,3]]"),
        ({1: {2: "x"}}, '{"1":{"2":"x"}}'),
    ],
    ids=repr,
)
def test_node_sees_numbers_buffers_and_keys_as_javascript_has_them(client: Caller, value: Any, seen: str) -> None:
    assert client.call("spelled", value) == seen


@pytest.mark.parametrize(
    ("exponent", "value"), [(30, 2**30), (31, 2.0**31), (32, 2.0**32), (40, 2.0**40), (53, 2.0**53), (64, 2.0**64)]
)
def test_numbers_beyond_32_bits_come_from_node_as_floats(client: Caller, exponent: int, value: float) -> None:
    assert same(client.call("power", exponent), value)


def test_a_buffer_is_bytes(client: Caller) -> None:
    assert client.call("blob", 8 << 20) == b"\xa5" * (8 << 20)


def test_a_large_payload_goes_both_ways(client: Caller) -> None:
    assert client.call("echo", b"\xa5" * (8 << 20)) == b"\xa5" * (8 << 20)


def test_an_extension_type_of_msgpack_goes_back_as_it_came(client: Caller) -> None:
    date = client.call("moment", 1_700_000_000_123)
    assert seen_by_node(client, date) == 1_700_000_000_123


def test_a_method_that_returns_nothing_answers_none(client: Caller) -> None:
    assert client.call("nothing") is None


# Errors


@pytest.mark.parametrize(
    ("call", "name", "message"),
    [
        (("type_error",), "TypeError", "Cannot read properties of null"),
        (("throws", "Grüße"), "RangeError", "Grüße"),
        (("fail", "Grüße"), "Error", "Grüße"),
        (("fail_as_text", "Grüße"), "Error", "Grüße"),
        (("fail_as", "OutOfCoffee", "no beans"), "OutOfCoffee", "no beans"),
        (("fail_later", 0.05, "boom"), "Error", "boom"),
        (("add",), "TypeError", "not a function"),  # Node checks no arguments: the reply's function was in their place
    ],
    ids=str,
)
def test_an_error_arrives_with_name_message_and_stack(
    client: Caller, call: tuple[Any, ...], name: str, message: str
) -> None:
    with pytest.raises(zerorpc.RemoteError) as caught:
        client.call(*call)
    assert caught.value.name == name
    assert message in caught.value.msg
    assert caught.value.traceback is not None
    assert caught.value.traceback.startswith(f"{name}: {caught.value.msg}\n    at ")
    assert client.call("echo", "at once") == "at once"


def test_a_thrown_text_is_an_error_without_stack(client: Caller) -> None:
    # Node sends the text's own name, message and stack, and it has none of them.
    with pytest.raises(zerorpc.RemoteError) as caught:
        client.call("throws_text", "boom")
    assert (caught.value.name, caught.value.traceback) == ("Error", None)


def test_an_unknown_method_is_lost_after_the_heartbeats_that_never_came(hasty_client: Caller) -> None:
    # [ran] Node says nothing at all to such a request.
    slow = hasty_client.start("slow", HEARTBEAT * 4, "undisturbed")
    with pytest.raises(zerorpc.LostRemote):
        hasty_client.call("nosuch", 1)
    assert slow.get() == "undisturbed"


def test_an_unknown_method_ends_by_its_timeout_if_that_is_sooner(client: Caller) -> None:
    with pytest.raises(zerorpc.TimeoutExpired, match="nosuch"):
        client.call("nosuch", 1, timeout=0.1)
    assert client.call("echo", 1) == 1


def test_a_passive_client_that_gets_no_heartbeat_ends_by_its_timeout(hasty_server: NodeProgram) -> None:
    with zerorpc.Client(hasty_server.endpoint, heartbeat=HEARTBEAT, passive_heartbeat=True) as client:
        with pytest.raises(zerorpc.TimeoutExpired, match="nosuch"):
            client.nosuch(timeout=HEARTBEAT * 4)
        assert client.echo(1) == 1


# Streams


@pytest.mark.parametrize("length", [1, 2, 99, 100, 101, 5_000])
def test_a_stream_has_all_its_items_in_order(client: Caller, length: int) -> None:
    assert client.items("count", length) == list(range(length))


def test_an_empty_stream_is_none_to_the_blocking_client(server: NodeProgram) -> None:
    # [ran] It is OK [nil] on the wire, which no client can tell from a method that returns nothing.
    with zerorpc.Client(server.endpoint) as client:
        assert client.count(0) is None


def test_an_empty_stream_is_empty_for_async_for(server: NodeProgram) -> None:
    with contextlib.closing(AsyncCaller(server.endpoint)) as caller:
        assert caller.items("count", 0) == []


@pytest.mark.parametrize("length", [2, 100, 101, 5_000])
def test_the_end_may_come_along_with_the_last_item(client: Caller, length: int) -> None:
    assert client.items("count_briefly", length) == list(range(length))


def test_a_stream_may_have_items_that_are_null(client: Caller) -> None:
    assert client.items("nulls", 150) == [None] * 150


@pytest.mark.parametrize("slots", [1, 2, 3, 10, 1_000])
def test_the_window_that_the_caller_chose_is_granted(client: Caller, slots: int) -> None:
    # Node puts each grant in the place of what was left of the last: none may be so small that both sides wait.
    assert client.items("count", 500, slots=slots) == list(range(500))


@pytest.mark.parametrize("length", [1, 50, 150])
def test_an_error_ends_a_stream_after_its_items(client: Caller, length: int) -> None:
    stream = client.each("fail_after", length)
    assert [next(stream) for _ in range(length)] == list(range(length))
    with pytest.raises(zerorpc.RemoteError, match="stream broke"):
        next(stream)


def test_streams_side_by_side_do_not_mix(client: Caller) -> None:
    streams = [client.each("count", 300) for _ in range(5)]
    assert [list(items) for items in zip(*streams, strict=True)] == [[number] * 5 for number in range(300)]


def test_an_abandoned_stream_is_given_up_by_node_and_the_client_goes_on(hasty_client: Caller) -> None:
    closed_before = hasty_client.call("streams_closed")
    slow = hasty_client.start("slow", HEARTBEAT * 5, "undisturbed")
    assert take(hasty_client.each("endless"), 150) == list(range(150))
    while hasty_client.call("streams_closed") == closed_before:  # until it notices that the heartbeats stopped
        assert hasty_client.items("count", 101) == list(range(101))
    assert slow.get() == "undisturbed"
    assert hasty_client.call("streams_closed") == closed_before + 1


# Many calls


def test_five_hundred_calls_are_in_flight_at_once(client: Caller) -> None:
    # No answer comes before all of them are inside the method.
    assert [answer.get() for answer in [client.start("meet", 500) for _ in range(500)]] == [500] * 500


def test_a_call_that_takes_too_long_times_out_and_the_next_one_works(client: Caller) -> None:
    with pytest.raises(zerorpc.TimeoutExpired, match="slow"):
        client.call("slow", 5, None, timeout=0.1)
    assert client.call("echo", 1) == 1


# Introspection, and our command line


def test_the_builtins_that_node_has_work(client: Caller) -> None:
    assert client.call("_zerorpc_ping") == ["pong", ""]
    assert client.call("_zerorpc_inspect")["methods"]["add"]["args"] == [{"name": "left"}, {"name": "right"}]


def printed_by(*arguments: str) -> str:
    """The standard output of our command line, which must succeed."""
    command = [sys.executable, "-m", "zerorpc", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_our_program_lists_and_describes_nodes_methods(server: NodeProgram) -> None:
    header, *lines = printed_by(server.endpoint).splitlines()
    assert header == "[Object]"
    assert ["add", "(left,", "right)"] in [line.split() for line in lines]
    assert "add(left, right)" in printed_by("-?", server.endpoint, "add").splitlines()


def test_our_ping_and_health_know_node(server: NodeProgram) -> None:
    assert printed_by("ping", "-c", "1", server.endpoint).startswith("answer from the service: seq=1 time=")
    assert printed_by("health", server.endpoint).startswith(f"{server.endpoint} is healthy: ")


def test_our_program_calls_node_and_prints_a_stream(server: NodeProgram) -> None:
    assert printed_by(server.endpoint, "echo", "Grüße") == "'Grüße'\n"
    assert json.loads(printed_by("--json", "--print-json", server.endpoint, "count", "3")) == [0, 1, 2]


# Reversed


@pytest.mark.parametrize("make_caller", CALLERS.values(), ids=CALLERS)
def test_a_node_server_may_connect_to_a_client_of_ours(make_caller: type[BlockingCaller | AsyncCaller]) -> None:
    with contextlib.closing(make_caller()) as caller:
        endpoint = caller.bind(TCP)
        with node_server("--connect", endpoint, "--name", "worker"):
            assert caller.call("who") == "worker"
            assert caller.items("count", 250) == list(range(250))
