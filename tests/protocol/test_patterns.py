"""The patterns' halves at the client, with the hooks that they call, and the errors that travel."""

from __future__ import annotations

from typing import Any

import pytest

from zerorpc.errors import RemoteError
from zerorpc.protocol.events import Event
from zerorpc.protocol.patterns import ReqRep, ReqStream, patterns_list, remote_error, reply_value

REQUEST = Event("m", [], {})
ITEMS = object()


class Hooks:
    """Notes what a client's hook was told."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str | None]] = []

    def hook_client_after_request(
        self, request_event: Event, reply_event: Event | None, exception: BaseException | None = None
    ) -> None:
        assert request_event is REQUEST
        assert reply_event is not None
        self.seen.append((reply_event.name, None if exception is None else str(exception)))


class Channel:
    """Notes that it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True

    def iterate(self) -> object:
        return ITEMS


def handle(event: Event) -> BaseException:
    return ValueError(event.args[1])


def event(name: str, args: Any = None) -> Event:
    return Event(name, args, {"v": 3})


@pytest.mark.parametrize(
    ("name", "pattern"), [("OK", ReqRep), ("ERR", ReqRep), ("STREAM", ReqStream), ("STREAM_DONE", ReqStream)]
)
def test_a_first_reply_belongs_to_one_pattern(name: str, pattern: type) -> None:
    assert [type(one) for one in patterns_list if one.accept_answer(event(name))] == [pattern]


def test_no_pattern_takes_anything_else() -> None:
    assert not any(one.accept_answer(event("_zpc_more")) for one in patterns_list)


def test_a_reply_is_its_value() -> None:
    hooks, channel = Hooks(), Channel()
    assert ReqRep().process_answer(hooks, channel, REQUEST, event("OK", ["value"]), handle) == "value"
    assert hooks.seen == [("OK", None)]
    assert channel.closed


def test_an_error_is_raised_as_the_hook_made_it() -> None:
    hooks, channel = Hooks(), Channel()
    with pytest.raises(ValueError, match="oops"):
        ReqRep().process_answer(hooks, channel, REQUEST, event("ERR", ["E", "oops", ""]), handle)
    assert hooks.seen == [("ERR", "oops")]
    assert channel.closed


@pytest.mark.parametrize(
    ("args", "value"), [(["value"], "value"), ([None], None), ([[1]], [1]), ([], []), ("bare", "bare"), (None, None)]
)
def test_a_peer_that_forgot_the_array_is_understood(args: Any, value: Any) -> None:
    assert reply_value(args) == value
    assert ReqRep().process_answer(Hooks(), Channel(), REQUEST, event("OK", args), handle) == value


def test_a_stream_is_an_iterator_of_the_clients_kind() -> None:
    hooks, channel = Hooks(), Channel()
    assert ReqStream().process_answer(hooks, channel, REQUEST, event("STREAM", 1), handle) is ITEMS
    assert hooks.seen == []
    assert not channel.closed


def test_the_events_of_a_stream_and_one_hook_at_its_end() -> None:
    hooks, stream = Hooks(), ReqStream()
    assert stream.process_event(hooks, REQUEST, event("STREAM", [1]), handle) == (True, [1])
    assert hooks.seen == []
    assert stream.process_event(hooks, REQUEST, event("STREAM_DONE"), handle) == (False, None)
    assert hooks.seen == [("STREAM_DONE", None)]


def test_an_error_in_a_stream() -> None:
    hooks = Hooks()
    with pytest.raises(ValueError, match="oops"):
        ReqStream().process_event(hooks, REQUEST, event("ERR", ["E", "oops", ""]), handle)
    assert hooks.seen == [("ERR", "oops")]


def deep() -> Any:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("args", "version", "name", "message", "traceback"),
    [
        (["KeyError", "'x'", "Traceback"], 3, "KeyError", "'x'", "Traceback"),
        (["KeyError", "'x'", None], 2, "KeyError", "'x'", None),
        ([1, None, 2], 3, "1", "None", "2"),
        (["KeyError('x')"], 1, "RemoteError", "KeyError('x')", None),
        (["a", "b", "c"], 1, "RemoteError", "a, b, c", None),
        (["a", "b"], 3, "RemoteError", "a, b", None),
        ("text", 3, "RemoteError", "text", None),
        ([], 3, "RemoteError", "", None),
        (None, 3, "RemoteError", "None", None),
        ([deep(), "b", None], 3, "<a list>", "b", None),
        ([b"KeyError", b"caf\xe9", b"Trace"], 2, "KeyError", "caf\\xe9", "Trace"),
    ],
)
def test_the_error_that_err_carries(args: Any, version: int, name: str, message: str, traceback: str | None) -> None:
    error = remote_error(args, version)
    assert isinstance(error, RemoteError)
    assert (error.name, error.msg, error.traceback) == (name, message, traceback)
