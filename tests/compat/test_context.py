"""The middleware hooks, all ten: when they are called, with what, in which order and in which thread.

What programs of zerorpc 0.6 rely on, with threads where those had greenlets.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import zerorpc
from tests.service.running import PATIENCE, TCP, Program, RawPeer, eventually, on_thread, run, serving, unused_port
from tests.transport.forking import EACH_WAY
from zerorpc.protocol.events import Event


class Service:
    """Each way of being a method, and each way to end."""

    def echo(self, value: Any) -> Any:
        return value

    def thread(self) -> str:
        return threading.current_thread().name

    async def echo_async(self, value: Any) -> Any:
        await asyncio.sleep(0)
        return value

    @zerorpc.on_loop
    def echo_on_loop(self, value: Any) -> Any:
        return value

    @zerorpc.stream
    def echoes(self, value: Any) -> Iterator[Any]:
        for _ in range(3):
            yield value

    async def echoes_async(self, value: Any) -> AsyncIterator[Any]:
        for _ in range(3):
            yield value

    def crash(self, message: str) -> None:
        raise RuntimeError(message)

    async def crash_async(self, message: str) -> None:
        raise RuntimeError(message)

    @zerorpc.stream
    def crash_streaming(self, message: str) -> Iterator[int]:
        raise RuntimeError(message)

    def crash_later(self, message: str) -> Iterator[int]:
        yield 1
        raise RuntimeError(message)

    def slow(self) -> None:
        threading.Event().wait(0.3)


VALUES = ["echo", "echo_async", "echo_on_loop"]
STREAMS = ["echoes", "echoes_async"]
CRASHES = ["crash", "crash_async", "crash_streaming", "crash_later"]


class Log:
    """A middleware that writes down every hook that is called, and where."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []
        self.threads: dict[str, str] = {}

    def _add(self, hook: str, *what: Any) -> None:
        self.lines.append((hook, *what))
        self.threads[hook] = threading.current_thread().name

    def resolve_endpoint(self, endpoint: str) -> str:
        self._add("resolve_endpoint", endpoint)
        return endpoint

    def load_task_context(self, event_header: dict[str, Any]) -> None:
        assert event_header["v"] == 3
        self._add("load_task_context")

    def get_task_context(self) -> dict[str, Any]:
        self._add("get_task_context")
        return {"trace": "abc"}

    def server_before_exec(self, request_event: Event) -> None:
        self._add("server_before_exec", request_event.name, list(request_event.args))

    def server_after_exec(self, request_event: Event, reply_event: Event | None) -> None:
        self._add("server_after_exec", request_event.name, reply_event and reply_event.name)

    def server_inspect_exception(
        self, request_event: Event, reply_event: Event | None, task_context: dict[str, Any], exc_info: Any
    ) -> None:
        assert task_context == {"trace": "abc"}
        assert isinstance(exc_info[2], type(exc_info[1].__traceback__))
        text = "".join(traceback.format_exception(*exc_info))
        assert str(exc_info[1]) in text
        self._add("server_inspect_exception", request_event.name, reply_event and reply_event.name, exc_info[0])

    def client_handle_remote_error(self, event: Event) -> None:
        assert event.name == "ERR"
        self._add("client_handle_remote_error", event.args[:2])

    def client_before_request(self, event: Event) -> None:
        self._add("client_before_request", event.name, list(event.args))

    def client_after_request(self, request: Event, reply: Event | None, exception: BaseException | None) -> None:
        self._add("client_after_request", request.name, reply and reply.name, type(exception))

    def client_patterns_list(self, patterns: list[Any]) -> list[Any]:
        self._add("client_patterns_list")
        return patterns


class Pair:
    """A server and a client, each with a context of its own."""

    def __init__(self) -> None:
        self.server_context, self.client_context = zerorpc.Context(), zerorpc.Context()
        self.client: zerorpc.Client
        self.endpoint = ""


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    with serving(Service(), context=pair.server_context) as server:
        pair.endpoint = server.endpoints[0]
        with zerorpc.Client(pair.endpoint, context=pair.client_context, timeout=PATIENCE) as pair.client:
            yield pair


@pytest.fixture
def logs(pair: Pair) -> tuple[Log, Log]:
    """The server's and the client's."""
    logs = Log(), Log()
    assert pair.server_context.register_middleware(logs[0]) == 10
    assert pair.client_context.register_middleware(logs[1]) == 10
    return logs


# Order and arguments


@pytest.mark.parametrize("method", VALUES)
def test_the_hooks_of_a_call_in_order(pair: Pair, logs: tuple[Log, Log], method: str) -> None:
    assert pair.client(method, 7) == 7
    assert logs[1].lines == [
        ("get_task_context",),
        ("client_before_request", method, [7]),
        ("client_patterns_list",),
        ("client_after_request", method, "OK", type(None)),
    ]
    assert logs[0].lines == [
        ("load_task_context",),
        ("server_before_exec", method, [7]),
        ("get_task_context",),
        ("server_after_exec", method, "OK"),
    ]


@pytest.mark.parametrize("method", STREAMS)
def test_the_hooks_of_a_stream_in_order(pair: Pair, logs: tuple[Log, Log], method: str) -> None:
    items = pair.client(method, 7)
    assert next(items) == 7
    assert "client_after_request" not in dict.fromkeys(line[0] for line in logs[1].lines)
    assert list(items) == [7, 7]
    assert logs[1].lines == [
        ("get_task_context",),
        ("client_before_request", method, [7]),
        ("client_patterns_list",),
        ("client_after_request", method, "STREAM_DONE", type(None)),
    ]
    assert logs[0].lines == [
        ("load_task_context",),
        ("server_before_exec", method, [7]),
        ("get_task_context",),
        ("server_after_exec", method, "STREAM_DONE"),
    ]


@pytest.mark.parametrize("method", CRASHES)
def test_the_hooks_of_a_call_that_raises_in_order(pair: Pair, logs: tuple[Log, Log], method: str) -> None:
    with pytest.raises(zerorpc.RemoteError, match="why") as caught:
        list(pair.client(method, "why"))
    assert caught.value.name == "RuntimeError"
    assert logs[1].lines == [
        ("get_task_context",),
        ("client_before_request", method, ["why"]),
        ("client_patterns_list",),
        ("client_handle_remote_error", ["RuntimeError", "why"]),
        ("client_after_request", method, "ERR", zerorpc.RemoteError),
    ]
    streams = "streaming" in method or "later" in method
    assert logs[0].lines == [
        ("load_task_context",),
        ("server_before_exec", method, ["why"]),
        *([("get_task_context",)] if streams else []),
        ("get_task_context",),  # for the reply's header,
        ("get_task_context",),  # and for the hook
        ("server_inspect_exception", method, "ERR", RuntimeError),
    ]


def test_a_method_that_does_not_exist_is_inspected_too(pair: Pair, logs: tuple[Log, Log]) -> None:
    with pytest.raises(zerorpc.RemoteError, match="NameError"):
        pair.client.nothing()
    assert ("server_inspect_exception", "nothing", "ERR", NameError) in logs[0].lines
    assert "server_before_exec" not in logs[0].threads


def test_the_hooks_run_where_the_method_and_the_caller_run(pair: Pair, logs: tuple[Log, Log]) -> None:
    worker = pair.client.thread()
    server, client = logs
    assert worker != threading.current_thread().name
    assert set(server.threads.values()) == {worker}
    assert set(client.threads.values()) == {threading.current_thread().name}
    server.threads.clear()
    with pytest.raises(zerorpc.RemoteError):
        pair.client.crash("why")
    assert all(thread.startswith("zerorpc-worker") for thread in server.threads.values())
    assert len(set(server.threads.values())) == 1


def test_after_request_is_called_for_a_timeout_and_a_lost_server(pair: Pair) -> None:
    log = Log()
    pair.client_context.register_middleware(log)
    with pytest.raises(zerorpc.TimeoutExpired):
        pair.client.slow(timeout=0.02)
    assert log.lines[-1] == ("client_after_request", "slow", None, zerorpc.TimeoutExpired)
    call = pair.client.slow(async_=True)
    eventually(lambda: sum(len(peer.channels) for peer in pair.client._core.calls.peers))
    pair.client.close()
    with pytest.raises(zerorpc.LostRemote):
        call.get(timeout=PATIENCE)
    assert log.lines[-1] == ("client_after_request", "slow", None, zerorpc.LostRemote)


def test_after_request_is_called_for_a_stream_whose_server_is_lost() -> None:
    context, log = zerorpc.Context(), Log()
    context.register_middleware(log)
    gate = threading.Event()

    def stream() -> Iterator[int]:
        yield 1
        gate.wait(PATIENCE)

    with serving({"stream": stream}) as server, zerorpc.Client(server.endpoints[0], context=context) as client:
        items = client.stream()
        assert next(items) == 1
        client.disconnect(server.endpoints[0])
        with pytest.raises(zerorpc.LostRemote):
            next(items)
        gate.set()
    assert log.lines[-1] == ("client_after_request", "stream", None, zerorpc.LostRemote)


@pytest.mark.parametrize("method", [*VALUES, *STREAMS])
def test_hooks_tell_the_callers_apart(pair: Pair, method: str) -> None:
    seen: list[Any] = []
    pair.server_context.register_middleware({"server_before_exec": lambda event: seen.append(event.identity)})
    with zerorpc.Client(pair.endpoint, timeout=PATIENCE) as another:
        for client in (pair.client, another, pair.client):
            result = client(method, 1)
            assert result == 1 or list(result) == [1, 1, 1]
    assert all(type(identity) is list for identity in seen)
    assert all(type(frame) is bytes and frame for identity in seen for frame in identity)
    assert seen[0] == seen[2] != seen[1]


@pytest.mark.parametrize("method", [*VALUES, *STREAMS, *CRASHES])
def test_hooks_see_where_a_request_comes_from(pair: Pair, method: str) -> None:
    seen: list[Any] = []
    note = {
        "server_before_exec": lambda event: seen.append(event.caller),
        "server_inspect_exception": lambda event, *_: seen.append(event.caller),
    }
    pair.server_context.register_middleware(note)
    with RawPeer.to(pair.endpoint) as peer:
        peer.send({"message_id": b"1" * 32, "v": 3}, method, ["why"])
        assert peer.next_event().name in ("OK", "ERR", "STREAM")
        assert set(seen) == {f"tcp://127.0.0.1:{peer.sock.getsockname()[1]}"}


@pytest.mark.parametrize("method", CRASHES)
def test_a_hook_gets_what_was_raised_as_a_list_of_three(pair: Pair, method: str) -> None:
    seen: list[Any] = []
    pair.server_context.register_middleware({"server_inspect_exception": lambda *args: seen.append(args)})
    with pytest.raises(zerorpc.RemoteError, match="why"):
        list(pair.client(method, "why"))
    ((request, _, _, exc_info),) = seen
    assert type(exc_info) is list
    kind, error, trace = exc_info
    assert (kind, str(error), trace) == (RuntimeError, "why", error.__traceback__)
    assert type(request.identity) is list


# What hooks may change


def test_headers_travel_both_ways(pair: Pair) -> None:
    seen: list[Any] = []
    pair.server_context.register_middleware(
        {"get_task_context": lambda: {"from": "server"}, "load_task_context": lambda h: seen.append(h["from"])}
    )
    pair.client_context.register_middleware(
        {
            "get_task_context": lambda: {"from": "client"},
            "client_after_request": lambda request, reply, error: seen.append(reply.header["from"]),
        }
    )
    assert pair.client.echo(1) == 1
    assert list(pair.client.echoes(1)) == [1, 1, 1]
    assert seen == ["client", "server"] * 2


def test_hooks_may_change_requests_and_replies(pair: Pair) -> None:
    def before(event: Event) -> None:
        event.args = ("changed",)

    def after(request: Event, reply: Event) -> None:
        reply.args = (reply.args[0] + " twice",)

    pair.client_context.register_middleware({"client_before_request": before})
    pair.server_context.register_middleware({"server_after_exec": after})
    assert pair.client.echo("original") == "changed twice"


@pytest.mark.parametrize("method", CRASHES)
def test_a_hook_may_replace_the_remote_error(pair: Pair, method: str) -> None:
    ended: list[BaseException | None] = []
    pair.client_context.register_middleware(
        {
            "client_handle_remote_error": lambda event: RuntimeError(f"local {event.args[1]}"),
            "client_after_request": lambda request, reply, error: ended.append(error),
        }
    )
    with pytest.raises(RuntimeError, match="local why"):
        list(pair.client(method, "why"))
    assert [type(error) for error in ended] == [RuntimeError]


def test_a_hook_may_bring_patterns_of_its_own(pair: Pair) -> None:
    class Shout:
        def accept_answer(self, event: Event) -> bool:
            return event.name == "OK"

        def process_answer(self, context: Any, channel: Any, request: Event, reply: Event, handle: Any) -> Any:
            channel.close()
            return reply.args[0].upper()

    pair.client_context.register_middleware({"client_patterns_list": lambda patterns: [Shout(), *patterns]})
    assert pair.client.echo("quiet") == "QUIET"
    assert list(pair.client.echoes(1)) == [1, 1, 1]
    with pytest.raises(zerorpc.RemoteError):
        pair.client.crash("why")


def test_without_a_pattern_the_call_fails_by_name(pair: Pair) -> None:
    pair.client_context.register_middleware({"client_patterns_list": lambda patterns: []})
    with pytest.raises(RuntimeError, match="Unable to find a pattern for: echo"):
        pair.client.echo(1)


def test_hooks_that_raise_end_the_call_and_nothing_else(pair: Pair) -> None:
    broken: list[str] = []

    def maybe(name: str) -> Callable[..., Any]:
        def hook(*args: Any) -> Any:
            if name in broken:
                raise LookupError(name)
            return {} if name == "get_task_context" else None

        return hook

    server = ["load_task_context", "get_task_context", "server_before_exec", "server_after_exec"]
    server.append("server_inspect_exception")
    pair.server_context.register_middleware({name: maybe(name) for name in server})
    pair.client_context.register_middleware({"client_before_request": maybe("client_before_request")})
    for name in server[:-1]:
        broken[:] = [name]
        for method in (*VALUES, *STREAMS):
            with pytest.raises(zerorpc.RemoteError, match=name):
                list(pair.client(method, 1))
    broken[:] = ["server_inspect_exception"]
    for method in CRASHES:
        with pytest.raises(zerorpc.RemoteError, match="RuntimeError: why"):
            list(pair.client(method, "why"))
    broken[:] = ["client_before_request"]
    with pytest.raises(LookupError):
        pair.client.echo(1)
    broken.clear()
    assert pair.client.echo("still") == "still"


# Endpoints


def test_resolve_endpoint(ipc_endpoint: str) -> None:
    context = zerorpc.Context()
    assert context.register_middleware({"resolve_endpoint": lambda e: ipc_endpoint if e == "some_service" else e}) == 1
    assert context.hook_resolve_endpoint("some_service") == ipc_endpoint
    assert context.hook_resolve_endpoint("another") == "another"
    with zerorpc.Server(Service()) as plain, pytest.raises(zerorpc.EndpointError):
        plain.bind("some_service")
    with serving(Service(), bind="some_service", context=context):
        with zerorpc.Client("some_service", context=context) as client:
            assert client.echo("hello") == "hello"


def test_resolvers_are_chained() -> None:
    context = zerorpc.Context()
    context.register_middleware({"resolve_endpoint": lambda e: "b" if e == "a" else e})

    class Second:
        def resolve_endpoint(self, endpoint: str) -> str:
            return "c" if endpoint == "b" else endpoint

    context.register_middleware(Second())
    assert context.hook_resolve_endpoint("a") == "c"
    assert zerorpc.Context().hook_resolve_endpoint("a") == "a"


def test_a_resolver_may_name_several(ipc_endpoint: str) -> None:
    context = zerorpc.Context()
    many: list[Any] = [[ipc_endpoint], ("inproc://resolved",)]
    context.register_middleware({"resolve_endpoint": lambda e: many if e == "many" else e})
    with serving(Service(), bind="many", context=context) as server:
        assert server.endpoints == [ipc_endpoint, "inproc://resolved"]
        with zerorpc.Client(context=context) as client:
            assert client.connect("many") == [ipc_endpoint, "inproc://resolved"]
            assert client.echo(1) == 1
            client.disconnect("many")
            with pytest.raises(zerorpc.EndpointError):
                client.disconnect(ipc_endpoint)
            with pytest.raises(zerorpc.EndpointError):
                client.connect("many", resolve=False)
        server.unbind("many")
        assert server.endpoints == []


# Task context, as a tracer uses it


class Tracer:
    """A trace id for each thread, made when there is none."""

    _ids = itertools.count()

    def __init__(self) -> None:
        self._local = threading.local()
        self.log: list[tuple[str, str | None]] = []

    @property
    def trace_id(self) -> str | None:
        return getattr(self._local, "trace_id", None)

    def load_task_context(self, event_header: dict[str, Any]) -> None:
        self._local.trace_id = event_header.get("trace_id")
        self.log.append(("load", self.trace_id))

    def get_task_context(self) -> dict[str, Any]:
        if self.trace_id is None:
            self._local.trace_id = f"<{next(self._ids)}>"
            self.log.append(("new", self.trace_id))
        else:
            self.log.append(("reuse", self.trace_id))
        return {"trace_id": self.trace_id}


def traced() -> tuple[zerorpc.Context, Tracer]:
    context, tracer = zerorpc.Context(), Tracer()
    assert context.register_middleware(tracer) == 2
    return context, tracer


def test_a_trace_goes_with_calls_and_streams() -> None:
    (server_context, server_tracer), (client_context, client_tracer) = traced(), traced()
    with serving(Service(), context=server_context) as server:
        with zerorpc.Client(server.endpoints[0], context=client_context) as client:
            assert client.echo("hello") == "hello"
            assert list(client.echoes(42)) == [42, 42, 42]
    ours = client_tracer.trace_id
    assert ours is not None
    assert client_tracer.log == [("new", ours), ("reuse", ours)]
    assert server_tracer.log == [("load", ours), ("reuse", ours)] * 2


@pytest.mark.parametrize("forked", [False, True])
def test_a_trace_goes_through_a_relay(forked: bool) -> None:
    """The relay calls on from the method itself, or from a thread that takes the task context with it."""
    (server_context, server_tracer), (client_context, client_tracer) = traced(), traced()
    relay_context, relay_tracer = traced()

    class Relay:
        def __init__(self, client: zerorpc.Client) -> None:
            self.client = client

        def echo(self, value: str) -> str:
            if not forked:
                return str(self.client.echo("relay " + value))
            results: list[str] = []
            work = zerorpc.fork_task_context(lambda v: results.append(self.client.echo(v)), relay_context)
            thread = threading.Thread(target=work, args=("relay " + value,))
            thread.start()
            thread.join(PATIENCE)
            return results[0]

    with (
        serving(Service(), context=server_context) as server,
        zerorpc.Client(server.endpoints[0], context=relay_context) as onward,
        serving(Relay(onward), context=relay_context) as relay,
        zerorpc.Client(relay.endpoints[0], context=client_context) as client,
    ):
        assert client.echo("hello") == "relay hello"
    ours = client_tracer.trace_id
    assert client_tracer.log == [("new", ours)]
    there = [("load", ours), ("reuse", ours)]
    assert server_tracer.log == there
    assert relay_tracer.log == ([*there, *there, ("reuse", ours)] if forked else [*there, ("reuse", ours)])


def test_fork_task_context_passes_arguments_and_result_and_knows_the_shared_context() -> None:
    work = zerorpc.fork_task_context(lambda a, b=2: (a, b))
    assert work(1) == (1, 2)
    assert work(1, b=3) == (1, 3)


@pytest.mark.parametrize(("sends", "takes"), [("Pusher", "Puller"), ("Publisher", "Subscriber")])
def test_a_trace_goes_with_one_way_events(sends: str, takes: str) -> None:
    (in_context, in_tracer), (out_context, out_tracer) = traced(), traced()
    arrived = threading.Event()
    receiver = getattr(zerorpc, takes)({"echo": lambda value: arrived.set()}, context=in_context)
    endpoint = receiver.bind(TCP)[0]
    with on_thread(receiver), getattr(zerorpc, sends)(context=out_context) as sender:
        sender.connect(endpoint)

        def heard() -> bool:
            sender.echo("hello")
            return arrived.is_set()

        eventually(heard)
    assert out_tracer.log[0] == ("new", out_tracer.trace_id)
    assert in_tracer.log[0] == ("load", out_tracer.trace_id)


def test_the_hooks_of_a_puller() -> None:
    context, log = zerorpc.Context(), Log()
    context.register_middleware(log)
    puller = zerorpc.Puller(Service(), context=context)
    endpoint = puller.bind(TCP)[0]
    with on_thread(puller), zerorpc.Pusher() as pusher:
        pusher.connect(endpoint)
        pusher.echo(7)
        pusher.crash("why")
        pusher.nothing()
        eventually(lambda: ("server_inspect_exception", "nothing", None, NameError) in log.lines)
    assert [line for line in log.lines if line[0] not in ("resolve_endpoint", "get_task_context")] == [
        ("load_task_context",),
        ("server_before_exec", "echo", [7]),
        ("server_after_exec", "echo", None),
        ("load_task_context",),
        ("server_before_exec", "crash", ["why"]),
        ("server_inspect_exception", "crash", None, RuntimeError),
        ("server_inspect_exception", "nothing", None, NameError),
    ]
    assert log.threads["server_before_exec"] == "under test"


def test_a_hook_that_raises_while_a_pullers_error_is_handled(caplog: pytest.LogCaptureFixture) -> None:
    def broken(*args: Any) -> None:
        raise LookupError("broken hook")

    context, taken = zerorpc.Context(), threading.Event()
    context.register_middleware({"server_inspect_exception": broken})
    puller = zerorpc.Puller({"fail": lambda: 1 / 0, "take": taken.set}, context=context)
    endpoint = puller.bind(TCP)[0]
    with on_thread(puller), zerorpc.Pusher() as pusher:
        pusher.connect(endpoint)
        pusher.fail()
        pusher.take()
        assert taken.wait(PATIENCE)
    assert "broken hook" in caplog.text


# AsyncClient


def test_the_hooks_of_the_async_client(pair: Pair) -> None:
    log = Log()
    context = zerorpc.Context()
    context.register_middleware(log)

    async def main() -> None:
        async with zerorpc.AsyncClient(pair.endpoint, context=context) as client:
            assert await client.echo(7) == 7
            assert [item async for item in client.echoes_async(7)] == [7, 7, 7]
            with pytest.raises(zerorpc.RemoteError):
                await client.crash("why")
            with pytest.raises(zerorpc.TimeoutExpired):
                await client.slow(timeout=0.02)

    run(main())
    assert [line[0:1] + line[1:] for line in log.lines if line[0].startswith("client_a")] == [
        ("client_after_request", "echo", "OK", type(None)),
        ("client_after_request", "echoes_async", "STREAM_DONE", type(None)),
        ("client_after_request", "crash", "ERR", zerorpc.RemoteError),
        ("client_after_request", "slow", None, zerorpc.TimeoutExpired),
    ]
    assert log.lines[0] == ("resolve_endpoint", pair.endpoint)


def test_a_stream_of_the_async_client_whose_server_is_lost(pair: Pair) -> None:
    log, context = Log(), zerorpc.Context()
    context.register_middleware(log)

    async def endless() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(PATIENCE * 10)

    async def main() -> None:
        with serving({"endless": endless}) as server:
            async with zerorpc.AsyncClient(server.endpoints[0], context=context) as client:
                items = await client.endless()
                assert await items.__anext__() == 1
                client.disconnect(server.endpoints[0])
                with pytest.raises(zerorpc.LostRemote):
                    await items.__anext__()

    run(main())
    assert log.lines[-1] == ("client_after_request", "endless", None, zerorpc.LostRemote)


# Contexts


def test_registering_counts_hooks_and_works_while_calls_run(pair: Pair) -> None:
    assert pair.client.echo(1) == 1
    called: list[str] = []
    assert pair.server_context.register_middleware({"server_before_exec": lambda e: called.append(e.name)}) == 1
    assert pair.client_context.register_middleware({"unknown": print}) == 0
    assert pair.client_context.register_middleware(object()) == 0
    assert pair.client.echo(2) == 2
    assert called == ["echo"]
    assert repr(pair.client_context) == "<Context middlewares=2>"


def test_a_subclass_of_context_may_override_hooks() -> None:
    class Mine(zerorpc.Context):
        def __init__(self) -> None:
            super().__init__()
            self.called: list[str] = []

        def hook_client_before_request(self, event: Event) -> None:
            self.called.append("before " + event.name)
            super().hook_client_before_request(event)

        def hook_server_after_exec(self, request_event: Event, reply_event: Event | None) -> None:
            self.called.append("after " + request_event.name)
            super().hook_server_after_exec(request_event, reply_event)

    context = Mine()
    with serving(Service(), context=context) as server:
        with zerorpc.Client(server.endpoints[0], context=context) as client:
            assert client.echo(1) == 1
    assert context.called == ["before echo", "after echo"]


def test_a_subclass_of_context_may_make_message_ids() -> None:
    seen: list[Any] = []

    class Mine(zerorpc.Context):
        def new_msgid(self) -> bytes:
            return b"M" + super().new_msgid()[1:]

    server_context = zerorpc.Context()
    server_context.register_middleware({"load_task_context": lambda header: seen.append(header["message_id"])})
    with serving(Service(), context=server_context) as server:
        with zerorpc.Client(server.endpoints[0], context=Mine()) as client:
            assert client.echo(1) == 1
    assert seen[0][:1] == b"M"


def test_what_is_made_without_a_context_shares_one() -> None:
    assert zerorpc.Context.get_instance() is zerorpc.Context.get_instance()
    assert zerorpc.Context() is not zerorpc.Context.get_instance()


def test_message_ids_are_32_octets_and_unique() -> None:
    contexts = [zerorpc.Context() for _ in range(50)]
    ids = [context.new_msgid() for context in contexts for _ in range(200)]
    assert len(set(ids)) == len(ids)
    assert all(isinstance(each, bytes) and len(each) == 32 and int(each, 16) >= 0 for each in ids)
    assert len({each[:20] for each in ids}) == 50


def test_message_ids_are_unique_over_threads() -> None:
    context, ids = zerorpc.Context(), []
    threads = [threading.Thread(target=lambda: ids.extend(context.new_msgid() for _ in range(2000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 8000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("shared", [True, False])
def test_a_forked_child_makes_other_message_ids(shared: bool) -> None:
    context = zerorpc.Context.get_instance() if shared else zerorpc.Context()
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(theirs, context.new_msgid())
        os._exit(0)
    os.close(theirs)
    os.waitpid(pid, 0)
    with os.fdopen(ours, "rb") as pipe:
        assert pipe.read() != context.new_msgid()


def test_hooks_of_calls_that_never_reach_a_server() -> None:
    context, log = zerorpc.Context(), Log()
    context.register_middleware(log)
    with zerorpc.Client(f"tcp://127.0.0.1:{unused_port()}", context=context, timeout=0.02) as client:
        with pytest.raises(zerorpc.TimeoutExpired):
            client.echo(1)
    assert [line[0] for line in log.lines] == [
        "resolve_endpoint",
        "get_task_context",
        "client_before_request",
        "client_after_request",
    ]


def test_ids_survive_an_exception_at_any_point() -> None:
    """Begun at each depth near the limit of recursion, which is where an id may be refused."""
    context = zerorpc.Context()
    ids: list[bytes] = []
    refused = 0

    def down(depth: int) -> None:
        if depth:
            down(depth - 1)
        else:
            ids.append(context.next_msgid())

    frame, used = sys._getframe(), 0
    while frame is not None:
        frame, used = frame.f_back, used + 1
    for _ in range(600):
        for headroom in range(4):
            try:
                down(sys.getrecursionlimit() - used - headroom)
            except RecursionError:
                refused += 1
    assert refused
    ids += [context.new_msgid() for _ in range(1000)]
    assert len(set(ids)) == len(ids)
    assert all(len(bytes.fromhex(each.decode())) == 16 for each in ids)


def test_ids_go_on_past_each_power_of_256() -> None:
    context = zerorpc.Context()
    ids = {context.new_msgid() for _ in range(200_000)}
    assert len(ids) == 200_000
    assert {len(each) for each in ids} == {32}


def test_a_contexts_own_ids() -> None:
    context = zerorpc.Context()
    context.new_msgid = lambda: b"0" * 32  # type: ignore[method-assign]
    assert context.next_msgid() == b"0" * 32
    context.forked()
    assert context.next_msgid() == b"0" * 32


@EACH_WAY
def test_a_forked_child_has_ids_of_its_own(fork: str) -> None:
    text = """
    import os, zerorpc
    contexts = [zerorpc.Context.get_instance(), zerorpc.Context()]
    reading, writing = os.pipe()
    if {fork}() == 0:
        os.write(writing, b"".join(context.new_msgid() for context in contexts))
        os._exit(0)
    os.wait()
    assert os.read(reading, 1000) != b"".join(context.new_msgid() for context in contexts)
    """
    with Program(text.replace("{fork}", fork)) as program:
        code, _, err = program.end()
    assert code == 0, err
