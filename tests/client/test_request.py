"""A call's request and the meaning of its replies, with no connection under it."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest

import zerorpc
from zerorpc import Context, ProtocolError, RemoteError, SerializationError
from zerorpc.client.call_options import CallOptions, take_old_spelling
from zerorpc.client.request import Request
from zerorpc.protocol.client_peer import ClientPeer
from zerorpc.protocol.events import Event, WireEvent, decode, decode_header, encode
from zerorpc.remote_method import RemoteMethod


class Caller:
    """Notes what it is asked for."""

    timeout = 30.0
    old_spelling = ("timeout", "slots")

    def __init__(self, context: Context | None = None) -> None:
        self.context = context or Context()
        self.abandoned: list[Any] = []

    def make_stream(self, request: Request) -> str:
        return f"stream of {request.channel.method}"

    def abandon(self, channel: Any) -> None:
        self.abandoned.append(channel)


def replied(request: Request, name: str, args: Any, version: int = 3) -> Request:
    """The request, as if its reply had come."""
    data = encode({"message_id": b"x", "v": version, "response_to": b"y"}, name, args)
    event = decode(data)
    assert isinstance(event, WireEvent)
    ClientPeer(None, Context().new_msgid).open(request.channel, 0.0)
    request.channel.receive(event, data)
    return request


def make(context: Context | None = None, args: tuple[Any, ...] = (1, 2), method: str | bytes = "add") -> Request:
    return Request(Caller(context), method, args, {}, None, 0.0)


def hooked() -> Context:
    context = Context()
    context.register_middleware({"client_after_request": lambda *args: None})
    return context


BOTH = pytest.mark.parametrize("context", [Context, hooked])


@BOTH
@pytest.mark.parametrize("method", ["add", b"add"])
def test_a_request_is_what_every_zerorpc_server_expects(context: Any, method: str | bytes) -> None:
    request = make(context(), method=method)
    event = decode(request.channel.data)
    header = decode_header(request.channel.data)
    assert isinstance(event, WireEvent)
    assert (event.name, event.args) == ("add", [1, 2])
    assert set(header) == {"message_id", "v"}
    assert header["v"] == 3
    assert isinstance(header["message_id"], bytes)
    assert len(header["message_id"]) == 32
    assert b"\xc4\x20" + request.channel.message_id == bytes(event.header.message_id)


@BOTH
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"timeout": 5}, {"_zpc_timeout": 5}),
        ({"timeout": 0.25}, {"_zpc_timeout": 0.25}),
        ({"timeout": None}, {"_zpc_timeout": None}),
        ({"timeout": True}, {"_zpc_timeout": 1.0}),
        ({"timeout": Fraction(1, 2)}, {"_zpc_timeout": 0.5}),
        ({"timeout": 2**70}, {"_zpc_timeout": None}),
        ({"timeout": math.inf}, {"_zpc_timeout": None}),
        ({"timeout": -1}, {"_zpc_timeout": -1.0}),
        ({"timeout": 30}, {}),  # what every zerorpc client waits unless it is told otherwise
        ({"slots": 7}, {}),
    ],
)
def test_a_server_is_told_for_how_long_the_caller_waits(
    context: Any, options: dict[str, Any], expected: dict[str, Any]
) -> None:
    request = Request(Caller(context()), "add", (), {}, take_old_spelling(tuple(options), dict(options)), 0.0)
    header = decode_header(request.channel.data)
    told = {key: value for key, value in header.items() if key not in ("message_id", "v")}
    assert told.pop("_zpc_call") == {"options": [*options]}
    assert told == expected
    assert type(told.get("_zpc_timeout")) in (float, type(None))


def test_a_timeout_that_no_time_reaches_is_refused() -> None:
    with pytest.raises(ValueError, match="timeout has to be a number of seconds, or None, not nan"):
        take_old_spelling(("timeout",), {"timeout": math.nan})


@pytest.mark.parametrize("method", [5, None, ["add"], bytearray(b"add")])
def test_a_methods_name_is_a_text(method: Any) -> None:
    with pytest.raises(TypeError, match="a method's name has to be a str, not "):
        make(method=method)
    with zerorpc.Pusher() as pusher, pytest.raises(TypeError, match="a method's name has to be a str, not "):
        pusher(method)


@BOTH
def test_what_cant_be_sent_names_the_method(context: Any) -> None:
    with pytest.raises(SerializationError, match=r"the arguments of add can't be sent: .*object"):
        make(context(), args=(object(),))


@BOTH
@pytest.mark.parametrize(("args", "value"), [([7], 7), ([None], None), ([[1]], [1])])
def test_ok_is_the_value(context: Any, args: Any, value: Any) -> None:
    assert replied(make(context()), "OK", args).outcome() == value


@pytest.mark.parametrize(("args", "value"), [(7, 7), ([], []), (None, None)])
def test_ok_of_a_peer_that_forgot_the_array(args: Any, value: Any) -> None:
    assert replied(make(), "OK", args).outcome() == value


@BOTH
def test_err_is_raised(context: Any) -> None:
    with pytest.raises(RemoteError) as caught:
        replied(make(context()), "ERR", ["ValueError", "why", None]).outcome()
    assert (caught.value.name, caught.value.msg, caught.value.traceback) == ("ValueError", "why", None)


@BOTH
def test_err_of_protocol_one_is_a_text(context: Any) -> None:
    with pytest.raises(RemoteError, match=r"ValueError\('why'\)"):
        replied(make(context()), "ERR", ["ValueError('why')"], version=1).outcome()


@BOTH
@pytest.mark.parametrize("name", ["STREAM", "STREAM_DONE"])
def test_a_stream_is_made(context: Any, name: str) -> None:
    assert replied(make(context()), name, None).outcome() == "stream of add"


@BOTH
def test_a_reply_that_no_pattern_knows_gives_the_call_up(context: Any) -> None:
    caller = Caller(context())
    request = replied(Request(caller, "add", (1, 2), {}, None, 0.0), "WHATEVER", None)
    with pytest.raises(RuntimeError, match=r"Unable to find a pattern for: add .*'WHATEVER'"):
        request.outcome()
    assert caller.abandoned == [request.channel]


@BOTH
def test_items_and_the_end_of_a_stream(context: Any) -> None:
    request = make(context())
    header = {"message_id": b"x", "v": 3, "response_to": b"y"}

    def event(name: str, args: Any) -> tuple[WireEvent, bytes]:
        data = encode(header, name, args)
        wire = decode(data)
        assert isinstance(wire, WireEvent)
        return wire, data

    assert request.item(*event("STREAM", 7)) == (True, 7)
    assert request.item(*event("STREAM_DONE", None)) == (False, None)
    with pytest.raises(RemoteError, match="why"):
        request.item(*event("ERR", ["ValueError", "why", None]))


@BOTH
@pytest.mark.parametrize("name", ["OK", "WHATEVER"])
def test_what_has_no_place_in_a_stream_is_an_error(context: Any, name: str) -> None:
    request = replied(make(context()), "STREAM", 1)
    data = encode({"message_id": b"x", "v": 3, "response_to": b"y"}, name, [2])
    event = decode(data)
    assert isinstance(event, WireEvent)
    with pytest.raises(ProtocolError, match=f"'{name}' in the middle of the stream of add"):
        request.item(event, data)


def test_the_error_hook_may_decline() -> None:
    seen: list[Event] = []
    context = Context()
    context.register_middleware({"client_handle_remote_error": seen.append})
    with pytest.raises(RemoteError):
        replied(make(context), "ERR", ["ValueError", "why", None]).outcome()
    assert [event.args[0] for event in seen] == ["ValueError"]


def test_remote_methods_are_names_with_dots() -> None:
    calls: list[Any] = []
    method = RemoteMethod(lambda *call: calls.append(call), "robot")
    method(1, timeout=2)
    method.arm.move(3)
    assert calls == [("robot", (1,), {"timeout": 2}), ("robot.arm.move", (3,), {})]
    with pytest.raises(AttributeError):
        method.__iter__  # noqa: B018


@pytest.mark.parametrize(
    ("options", "timeout", "slots"),
    [
        ({}, 30.0, 100),
        ({"timeout": None}, None, 100),
        ({"timeout": 2, "slots": 7}, 2, 7),
        ({"slots": 0}, 30.0, 1),
        ({"slots": -5}, 30.0, 1),
    ],
)
def test_the_keywords_of_a_call(options: dict[str, Any], timeout: float | None, slots: int) -> None:
    channel = Request(Caller(), "add", (), {}, take_old_spelling(("timeout", "slots"), options), 5.0).channel
    assert (channel.timeout, channel.slots) == (timeout, slots)
    assert channel.deadline == (math.inf if timeout is None else 5.0 + timeout)


def test_what_is_no_option_stays_for_the_method() -> None:
    kwargs = {"timeout": 1, "colour": "red", "size": 2}
    assert take_old_spelling(("timeout", "slots"), kwargs) == CallOptions(timeout=1, spelt=("timeout",))
    assert kwargs == {"colour": "red", "size": 2}
    assert take_old_spelling(("timeout", "slots"), kwargs) is None
