"""The old client calls our server, whose handlers run on threads or on the loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import zerorpc
from tests.interop.old_programs.service import Service
from tests.interop.ours import AsyncService, our_server
from tests.interop.programs import HEARTBEAT, OldCallError, OldClient, old_client
from tests.interop.values import VALUES, same

PUBLIC = {name for name in dir(Service) if not name.startswith("_")}


@pytest.fixture(scope="module", params=[Service, AsyncService], ids=["threads", "loop"])
def server(request: pytest.FixtureRequest) -> Iterator[zerorpc.Server]:
    with our_server(request.param(), bind="tcp://127.0.0.1:0", name="cooler", heartbeat=HEARTBEAT) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: zerorpc.Server) -> Iterator[OldClient]:
    with old_client("--connect", server.endpoints[0], "--heartbeat", HEARTBEAT) as client:
        yield client


# Values


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_value_comes_back_as_it_went(client: OldClient, value: Any) -> None:
    assert same(client.call("echo", value), value)


def test_a_tuple_comes_back_as_a_list(client: OldClient) -> None:
    assert client.call("echo", (1, (2, 3))) == [1, [2, 3]]


@pytest.mark.parametrize("value", [{1: 2}, {-1: {2**40: "x"}}, {b"bytes": 1}, {1.5: 1}, {True: 1}, {None: 1}], ids=repr)
def test_a_map_may_have_any_keys_on_its_way_to_us(client: OldClient, value: Any) -> None:
    # On its way back the old client would drop it [ran].
    assert client.call("spelled", value) == repr(value)


def test_a_method_that_returns_nothing_answers_nil(client: OldClient) -> None:
    assert client.call("nothing") is None


def test_default_arguments_are_used(client: OldClient) -> None:
    assert client.call("add", 5) == 6
    assert client.call("add", 5, 6) == 11


@pytest.mark.parametrize("size", [8 << 20, (8 << 20) + 1])
def test_a_large_payload_goes_both_ways(client: OldClient, size: int) -> None:
    assert client.call("echo", b"\xa5" * size) == b"\xa5" * size


# Errors


def test_an_exception_arrives_with_name_message_and_traceback(client: OldClient) -> None:
    with pytest.raises(OldCallError) as caught:
        client.call("fail", "Grüße")
    assert (caught.value.kind, caught.value.name, caught.value.message) == (
        "RemoteError",
        "ValueError",
        "Grüße",
    )
    assert caught.value.traceback is not None
    assert caught.value.traceback.startswith("Traceback (most recent call last):\n")
    assert "raise ValueError(message)" in caught.value.traceback
    assert caught.value.traceback.rstrip().endswith("ValueError: Grüße")


def test_an_unknown_method_is_a_name_error_that_names_it(client: OldClient) -> None:
    with pytest.raises(OldCallError, match="nosuch") as caught:
        client.call("nosuch", 1)
    assert (caught.value.kind, caught.value.name) == ("RemoteError", "NameError")


@pytest.mark.parametrize("private", ["_name", "__init__", "__class__", ""])
def test_what_is_private_is_unknown(client: OldClient, private: str) -> None:
    with pytest.raises(OldCallError) as caught:
        client.call(private)
    assert (caught.value.kind, caught.value.name) == ("RemoteError", "NameError")


@pytest.mark.parametrize("args", [(), (1, 2, 3)], ids=["too few", "too many"])
def test_wrong_arguments_are_a_type_error_that_names_the_method(client: OldClient, args: tuple[int, ...]) -> None:
    with pytest.raises(OldCallError, match="add") as caught:
        client.call("add", *args)
    assert (caught.value.kind, caught.value.name) == ("RemoteError", "TypeError")


def test_wrong_arguments_of_a_stream_are_a_type_error(client: OldClient) -> None:
    with pytest.raises(OldCallError, match="count") as caught:
        client.call("count")
    assert (caught.value.kind, caught.value.name) == ("RemoteError", "TypeError")


def test_a_result_that_cannot_be_packed_is_an_error_and_no_silence(client: OldClient) -> None:
    with pytest.raises(OldCallError) as caught:
        client.call("unserialisable")
    assert caught.value.kind == "RemoteError"
    assert client.call("echo", 1) == 1


# Streams


@pytest.mark.parametrize("length", [0, 1, 2, 99, 100, 101, 5_000])
def test_a_stream_has_all_its_items_in_order(client: OldClient, length: int) -> None:
    assert client.call("count", length) == list(range(length))


@pytest.mark.parametrize("slots", [2, 3, 10, 1_000])
def test_the_window_that_the_caller_chose_is_kept(client: OldClient, slots: int) -> None:
    # With slots=1 the old client never grants anything [ran].
    assert client.call("count", 500, slots=slots) == list(range(500))


@pytest.mark.parametrize("length", [0, 1, 50, 150])
def test_an_error_ends_a_stream(client: OldClient, length: int) -> None:
    with pytest.raises(OldCallError, match="stream broke") as caught:
        client.call("fail_after", length)
    assert (caught.value.kind, caught.value.name) == ("RemoteError", "KeyError")


def test_streams_side_by_side_do_not_mix(client: OldClient) -> None:
    answers = [client.start("count", length) for length in range(480, 500)]
    assert [len(answer.get()) for answer in answers] == list(range(480, 500))


def test_an_abandoned_stream_is_closed_and_disturbs_nobody(server: zerorpc.Server, client: OldClient) -> None:
    # [ran] The old client that abandons a stream with items still on their way hangs for good, by its own fault (the
    # dispatcher waits for room in the closed channel's queue). So it is another one, and only the others must work.
    closed_before = client.call("streams_closed")
    with old_client("--connect", server.endpoints[0], "--heartbeat", HEARTBEAT) as deserter:
        slow = client.start("slow", HEARTBEAT * 5, "undisturbed")
        assert deserter.call("endless", take=150) == list(range(150))
        while client.call("streams_closed") == closed_before:  # until the heartbeats that stopped are noticed
            assert client.call("count", 101) == list(range(101))
        assert slow.get() == "undisturbed"
    assert client.call("streams_closed") == closed_before + 1


def test_a_quiet_stream_may_be_abandoned_and_its_client_goes_on(client: OldClient) -> None:
    """So quiet that no item is on its way when it is abandoned, however busy the machine is: see above."""
    slow = client.start("slow", HEARTBEAT * 4, "undisturbed")
    assert client.call("slow_count", 1_000, 1.0, take=2) == [0, 1]
    assert client.call("echo", "at once") == "at once"
    assert slow.get() == "undisturbed"
    assert client.call("echo", "later") == "later"


# Many calls


def test_fifty_calls_are_in_flight_at_once(client: OldClient) -> None:
    # No answer comes before all fifty are inside the method.
    assert [answer.get() for answer in [client.start("meet", 50) for _ in range(50)]] == [50] * 50


def test_an_async_call_gives_its_value(client: OldClient) -> None:
    assert client.call("echo", "later", **{"async": True}) == "later"


def test_an_async_call_gives_a_stream(client: OldClient) -> None:
    assert client.call("count", 250, **{"async": True}) == list(range(250))


def test_an_async_call_gives_its_error(client: OldClient) -> None:
    with pytest.raises(OldCallError, match="boom"):
        client.call("fail", "boom", **{"async": True})


def test_a_call_that_takes_too_long_times_out_and_the_next_one_works(client: OldClient) -> None:
    with pytest.raises(OldCallError) as caught:
        client.call("slow", 2, timeout=0.1)
    assert caught.value.kind == "TimeoutExpired"
    assert client.call("echo", 1) == 1


# Introspection, in the shapes that the old command line reads


def test_list_has_every_public_method(client: OldClient) -> None:
    assert set(client.call("_zerorpc_list")) == PUBLIC


def test_name_and_ping_give_the_service_name(client: OldClient) -> None:
    assert client.call("_zerorpc_name") == "cooler"
    assert client.call("_zerorpc_ping") == ["pong", "cooler"]


def test_help_is_the_cleaned_docstring_or_nil(client: OldClient) -> None:
    assert client.call("_zerorpc_help", "add") == "Add two numbers."
    assert client.call("_zerorpc_help", "nothing") is None


def test_help_of_an_unknown_method_is_an_error_that_names_it(client: OldClient) -> None:
    with pytest.raises(OldCallError, match="nosuch") as caught:
        client.call("_zerorpc_help", "nosuch")
    assert caught.value.kind == "RemoteError"


def test_args_are_an_argspec(client: OldClient) -> None:
    names, varargs, keywords, defaults = client.call("_zerorpc_args", "add")
    assert [name for name in names if name != "self"] == ["left", "right"]
    assert (varargs, keywords, defaults) == (None, None, [1])


def test_inspect_describes_every_method(client: OldClient) -> None:
    description = client.call("_zerorpc_inspect")
    assert set(description) == {"name", "methods"}
    assert description["name"] == "cooler"
    assert set(description["methods"]) == PUBLIC
    # More keys are no harm: the old command line and Node read these two.
    assert all({"args", "doc"} <= set(details) for details in description["methods"].values())


def test_inspect_tells_arguments_and_defaults(client: OldClient) -> None:
    details = client.call("_zerorpc_inspect")["methods"]["add"]
    assert details["args"] == [{"name": "left"}, {"name": "right", "default": 1}]
    assert details["doc"] == "Add two numbers."
