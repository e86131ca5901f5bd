"""A middleware's header travels between the old side and ours, and every hook is called when the old one calls it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import zerorpc
from tests.interop.old_programs.service import TRACE, Service, Tracing
from tests.interop.ours import CALLERS, AsyncService, Caller, our_server
from tests.interop.programs import HEARTBEAT, OldCallError, OldClient, Peer, old_client, old_server

TCP = "tcp://127.0.0.1:0"
BEAT = ("--heartbeat", HEARTBEAT)


def traced_context() -> tuple[zerorpc.Context, Tracing]:
    context, tracing = zerorpc.Context(), Tracing()
    context.register_middleware(tracing)
    return context, tracing


# The old client, our server


class OurTraced:
    """A server of ours with a tracing middleware and an old client with another, in one hand."""

    def __init__(self, client: OldClient, tracing: Tracing) -> None:
        self.client = client
        self.tracing = tracing


@pytest.fixture(scope="module", params=[Service, AsyncService], ids=["threads", "loop"])
def our_traced(request: pytest.FixtureRequest) -> Iterator[OurTraced]:
    context, tracing = traced_context()
    with (
        our_server(request.param(), bind=TCP, heartbeat=HEARTBEAT, context=context) as server,
        old_client("--connect", server.endpoints[0], *BEAT, "--trace") as client,
    ):
        yield OurTraced(client, tracing)


@pytest.mark.parametrize(
    ("method", "args", "value", "reply"),
    [("trace", (), "abc", "OK"), ("traces", (3,), ["abc"] * 3, "STREAM_DONE")],
)
def test_the_old_callers_header_reaches_our_method_and_comes_back(
    our_traced: OurTraced, method: str, args: tuple[int, ...], value: Any, reply: str
) -> None:
    our_traced.tracing.take_events()
    answer = our_traced.client.start(method, *args, trace="abc")
    assert answer.get() == value
    assert answer.hooks == [["before_request", method, "abc"], ["after_request", method, reply, "abc", None]]
    assert our_traced.tracing.take_events() == [["before_exec", method], ["after_exec", method, reply]]


@pytest.mark.parametrize(("method", "error"), [("fail", "ValueError"), ("fail_after", "KeyError")])
def test_an_error_of_ours_is_inspected_and_carries_the_header(our_traced: OurTraced, method: str, error: str) -> None:
    our_traced.tracing.take_events()
    answer = our_traced.client.start(method, 2, trace="abc")
    with pytest.raises(OldCallError):
        answer.get()
    assert answer.hooks[-1] == ["after_request", method, "ERR", "abc", "RemoteError"]
    assert our_traced.tracing.take_events() == [
        ["before_exec", method],
        ["inspect_exception", method, "ERR", error],
    ]


def test_a_request_without_the_header_does_not_inherit_the_last_one(our_traced: OurTraced) -> None:
    assert our_traced.client.call("trace", trace="abc") == "abc"
    assert our_traced.client.call("trace") == ""


# Our clients, the old server


@pytest.fixture(scope="module")
def old_traced() -> Iterator[Peer]:
    with old_server("--bind", TCP, *BEAT, "--trace") as server:
        yield server


@pytest.fixture(params=CALLERS.values(), ids=CALLERS)
def traced_caller(request: pytest.FixtureRequest, old_traced: Peer) -> Iterator[tuple[Caller, Tracing]]:
    context, tracing = traced_context()
    with contextlib.closing(request.param(old_traced.endpoint, heartbeat=HEARTBEAT, context=context)) as caller:
        caller.call("hooks")  # what the server saw of the test before
        tracing.take_events()
        yield caller, tracing


@pytest.fixture
def trace() -> Iterator[str]:
    token = TRACE.set("xyz")
    yield "xyz"
    TRACE.reset(token)


def test_our_header_reaches_the_old_method_and_comes_back(traced_caller: tuple[Caller, Tracing], trace: str) -> None:
    caller, tracing = traced_caller
    assert caller.call("trace") == trace
    assert tracing.take_events() == [
        ["before_request", "trace", trace],
        ["after_request", "trace", "OK", trace, None],
    ]
    # The first entry is the end of the hooks() of the fixture.
    assert caller.call("hooks")[1:] == [
        ["before_exec", "trace"],
        ["after_exec", "trace", "OK"],
        ["before_exec", "hooks"],
    ]


def test_our_header_goes_with_a_stream(traced_caller: tuple[Caller, Tracing], trace: str) -> None:
    caller, tracing = traced_caller
    assert caller.items("traces", 3) == [trace] * 3
    assert tracing.take_events() == [
        ["before_request", "traces", trace],
        ["after_request", "traces", "STREAM_DONE", trace, None],
    ]


def test_the_old_servers_error_reaches_our_hooks(traced_caller: tuple[Caller, Tracing], trace: str) -> None:
    caller, tracing = traced_caller
    with pytest.raises(zerorpc.RemoteError):
        caller.call("fail", "boom")
    assert tracing.take_events()[-1] == ["after_request", "fail", "ERR", trace, "RemoteError"]


def test_a_timeout_reaches_our_hooks_without_a_reply(traced_caller: tuple[Caller, Tracing]) -> None:
    caller, tracing = traced_caller
    with pytest.raises(zerorpc.TimeoutExpired):
        caller.call("slow", 5, timeout=0.1)
    assert tracing.take_events()[-1] == ["after_request", "slow", None, "", "TimeoutExpired"]


def test_a_hook_of_ours_may_choose_the_exception_for_an_old_error(old_traced: Peer) -> None:
    def handle(event: Any) -> Exception:
        return LookupError(*event.args[:2])

    context = zerorpc.Context()
    context.register_middleware({"client_handle_remote_error": handle})
    with (
        zerorpc.Client(old_traced.endpoint, heartbeat=HEARTBEAT, context=context) as client,
        pytest.raises(LookupError, match="boom") as caught,
    ):
        client.fail("boom")
    assert caught.value.args == ("ValueError", "boom")


# All the way through


class Relay:
    """A service of ours whose methods ask the old server."""

    def __init__(self, ask: Callable[..., Any]) -> None:
        self._ask = ask

    def relayed(self) -> Any:
        return self._ask("trace")


def test_a_header_goes_from_old_to_ours_to_old(old_traced: Peer) -> None:
    context, _ = traced_context()
    with (
        zerorpc.Client(old_traced.endpoint, heartbeat=HEARTBEAT, context=context) as onwards,
        our_server(Relay(onwards), bind=TCP, heartbeat=HEARTBEAT, context=context) as relay,
        old_client("--connect", relay.endpoints[0], *BEAT, "--trace") as client,
    ):
        answers = [client.start("relayed", trace=f"t{number}") for number in range(20)]
        assert [answer.get() for answer in answers] == [f"t{number}" for number in range(20)]
