"""Our Client and our AsyncClient call the old server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import zerorpc
from tests.interop.ours import CALLERS, Caller, take
from tests.interop.programs import HEARTBEAT, Peer, old_server
from tests.interop.values import VALUES, same


@pytest.fixture(scope="module")
def server() -> Iterator[Peer]:
    with old_server("--bind", "tcp://127.0.0.1:0", "--heartbeat", HEARTBEAT, "--name", "cooler") as server:
        yield server


@pytest.fixture(scope="module", params=CALLERS.values(), ids=CALLERS)
def client(request: pytest.FixtureRequest, server: Peer) -> Iterator[Caller]:
    caller = request.param(server.endpoint, heartbeat=HEARTBEAT)
    yield caller
    caller.close()


# Values


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_value_comes_back_as_it_went(client: Caller, value: Any) -> None:
    assert same(client.call("echo", value), value)


@pytest.mark.parametrize("value", [1, "ü", b"\xff", None, [1], {"a": b"x"}], ids=repr)
def test_the_old_side_sees_the_types_that_were_sent(client: Caller, value: Any) -> None:
    assert client.call("spelled", value) == repr(value)


def test_a_tuple_comes_back_as_a_list(client: Caller) -> None:
    assert client.call("echo", (1, (2, 3))) == [1, [2, 3]]


def test_a_map_may_have_int_keys_on_its_way_to_us(client: Caller) -> None:
    assert client.call("int_keys") == {1: "one", -2: "minus two"}


def test_a_request_that_the_old_side_drops_times_out_and_the_next_one_works(client: Caller) -> None:
    # [ran] It logs the map with int keys as undecodable and says nothing.
    with pytest.raises(zerorpc.TimeoutExpired, match="echo"):
        client.call("echo", {1: 2}, timeout=0.2)
    assert client.call("echo", {"1": 2}) == {"1": 2}


def test_a_method_that_returns_nothing_answers_nil(client: Caller) -> None:
    assert client.call("nothing") is None


def test_default_arguments_are_used(client: Caller) -> None:
    assert client.call("add", 5) == 6


def test_a_large_payload_goes_both_ways(client: Caller) -> None:
    assert client.call("echo", b"\xa5" * (8 << 20)) == b"\xa5" * (8 << 20)


# Errors


def test_an_exception_arrives_with_name_message_and_traceback(client: Caller) -> None:
    with pytest.raises(zerorpc.RemoteError) as caught:
        client.call("fail", "Grüße")
    assert (caught.value.name, caught.value.msg) == ("ValueError", "Grüße")
    assert caught.value.traceback is not None
    assert "raise ValueError(message)" in caught.value.traceback
    assert str(caught.value) == caught.value.traceback


def test_an_unknown_method_is_a_name_error(client: Caller) -> None:
    with pytest.raises(zerorpc.RemoteError, match="nosuch") as caught:
        client.call("nosuch")
    assert caught.value.name == "NameError"
    assert (type(caught.value), caught.value.ran) == (zerorpc.RemoteError, None)  # it can't tell


def test_wrong_arguments_are_a_type_error(client: Caller) -> None:
    with pytest.raises(zerorpc.RemoteError, match="add") as caught:
        client.call("add")
    assert caught.value.name == "TypeError"


def test_a_result_that_cannot_be_packed_is_a_type_error(client: Caller) -> None:
    with pytest.raises(zerorpc.RemoteError, match="serialize") as caught:
        client.call("unserialisable")
    assert caught.value.name == "TypeError"


def test_an_argument_that_cannot_be_packed_is_our_error_and_sends_nothing(client: Caller) -> None:
    with pytest.raises(zerorpc.SerializationError, match="echo"):
        client.call("echo", object())
    assert client.call("echo", 1) == 1


# Streams


@pytest.mark.parametrize("length", [0, 1, 2, 99, 100, 101, 5_000])
def test_a_stream_has_all_its_items_in_order(client: Caller, length: int) -> None:
    assert client.items("count", length) == list(range(length))


@pytest.mark.parametrize("slots", [2, 3, 10, 1_000])
def test_the_window_that_the_caller_chose_is_granted(client: Caller, slots: int) -> None:
    assert client.items("count", 500, slots=slots) == list(range(500))


@pytest.mark.parametrize("length", [1, 50, 150])
def test_an_error_ends_a_stream_after_its_items(client: Caller, length: int) -> None:
    stream = client.each("fail_after", length)
    assert [next(stream) for _ in range(length)] == list(range(length))
    with pytest.raises(zerorpc.RemoteError, match="stream broke") as caught:
        next(stream)
    assert caught.value.name == "KeyError"


def test_streams_side_by_side_do_not_mix(client: Caller) -> None:
    streams = [client.each("count", 300) for _ in range(5)]
    assert [list(items) for items in zip(*streams, strict=True)] == [[number] * 5 for number in range(300)]


def test_an_abandoned_stream_is_given_up_by_the_old_server_and_the_client_goes_on(client: Caller) -> None:
    closed_before = client.call("streams_closed")
    slow = client.start("slow", HEARTBEAT * 5, "undisturbed")
    assert take(client.each("endless"), 150) == list(range(150))
    while client.call("streams_closed") == closed_before:  # until it notices that the heartbeats stopped
        assert client.items("count", 101) == list(range(101))
    assert slow.get() == "undisturbed"
    assert client.call("streams_closed") == closed_before + 1


# Many calls


def test_fifty_calls_are_in_flight_at_once(client: Caller) -> None:
    # No answer comes before all fifty are inside the method.
    assert [answer.get() for answer in [client.start("meet", 50) for _ in range(50)]] == [50] * 50


def test_a_call_started_without_waiting_gives_its_value_or_error_later(client: Caller) -> None:
    later, broken = client.start("slow", 0.1, "later"), client.start("fail", "boom")
    assert later.get() == "later"
    with pytest.raises(zerorpc.RemoteError, match="boom"):
        broken.get()


def test_a_call_that_takes_too_long_times_out_and_the_next_one_works(client: Caller) -> None:
    with pytest.raises(zerorpc.TimeoutExpired, match="slow"):
        client.call("slow", 5, timeout=0.1)
    assert client.call("echo", 1) == 1


# Introspection


def test_the_builtins_that_still_work_on_this_python_work(client: Caller) -> None:
    assert {"echo", "count"} <= set(client.call("_zerorpc_list"))
    assert client.call("_zerorpc_name") == "cooler"
    assert client.call("_zerorpc_ping") == ["pong", "cooler"]
    assert client.call("_zerorpc_help", "add") == "Add two numbers."
