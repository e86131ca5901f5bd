"""``zerorpc.otel``: a span for each call on both sides, and one trace through all of them."""

from __future__ import annotations

import asyncio
import http.server
import json
import logging
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import zerorpc
from tests.service.process_services import traced_in_process
from tests.service.running import PATIENCE, Program, eventually, run, serving
from zerorpc.otel import Traces


class Spans:
    """A provider, and what it has exported."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.traces = Traces(self.provider)

    def ended(self, count: int) -> list[ReadableSpan]:
        """So many of them, when they have ended, the last to end last."""
        eventually(lambda: len(self.exporter.get_finished_spans()) >= count)
        spans = self.exporter.get_finished_spans()
        assert len(spans) == count
        self.exporter.clear()
        return list(spans)

    def pair(self) -> tuple[ReadableSpan, ReadableSpan]:
        """The client's and the server's of one call, in one trace."""
        spans = self.ended(2)
        client = next(span for span in spans if span.kind is SpanKind.CLIENT)
        server = next(span for span in spans if span.kind is SpanKind.SERVER)
        assert server.parent is not None
        assert (server.parent.trace_id, server.parent.span_id) == (client.context.trace_id, client.context.span_id)
        assert server.parent.is_remote
        return client, server


def here() -> str:
    """The trace and the span that are current."""
    found = trace.get_current_span().get_span_context()
    return f"{found.trace_id:032x} {found.span_id:016x}"


class Service:
    def plain(self) -> str:
        return here()

    async def coroutine(self) -> str:
        await asyncio.sleep(0)
        return here()

    @zerorpc.on_loop
    def quick(self) -> str:
        return here()

    def generator(self) -> Iterator[str]:
        yield here()
        yield here()

    async def async_generator(self) -> AsyncIterator[str]:
        yield here()
        yield here()

    def fails(self) -> None:
        raise KeyError("sugar")

    def endless(self) -> Iterator[int]:
        yield from iter(int, 1)

    in_process = staticmethod(traced_in_process)

    def logs(self) -> None:
        logging.getLogger("tests.otel").warning("said in a method")

    def bag(self) -> Any:
        return baggage.get_baggage("user")


@pytest.fixture
def spans() -> Spans:
    return Spans()


@contextmanager
def traced(spans: Spans, service: Any = None, **settings: Any) -> Iterator[zerorpc.Client]:
    with serving(service or Service(), on_call=spans.traces) as server:
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE, on_call=spans.traces, **settings) as client:
            yield client


@pytest.mark.parametrize("method", ["plain", "coroutine", "quick", "generator", "async_generator", "in_process"])
def test_a_span_on_each_side_and_the_servers_is_current(spans: Spans, method: str) -> None:
    streams = "generator" in method
    with traced(spans) as client:
        value = client(method)
        found = list(value) if streams else [value]
        made, ran = spans.pair()
    assert set(found) == {f"{ran.context.trace_id:032x} {ran.context.span_id:016x}"}
    assert made.name == ran.name == method
    for span in (made, ran):
        assert span.attributes is not None
        assert span.attributes["rpc.system.name"] == "zerorpc"
        assert span.attributes["rpc.method"] == method
        assert span.status.status_code is StatusCode.UNSET
        assert [event.name for event in span.events] == (["zerorpc.first_item", "zerorpc.end"] if streams else [])
    assert made.attributes is not None
    assert ran.attributes is not None
    assert made.attributes["server.address"] == ran.attributes["network.peer.address"] == "127.0.0.1"
    assert isinstance(made.attributes["server.port"], int)
    assert isinstance(ran.attributes["network.peer.port"], int)
    if streams:
        assert dict(made.events[1].attributes or {}) == dict(ran.events[1].attributes or {}) == {"zerorpc.items": 2}


def test_an_error_is_told_on_both_sides(spans: Spans) -> None:
    with traced(spans) as client:
        with pytest.raises(zerorpc.RemoteError, match="KeyError"):
            client.fails()
        for span in spans.pair():
            assert span.attributes is not None
            assert span.attributes["error.type"] == "KeyError"
            assert span.status.status_code is StatusCode.ERROR
            assert span.status.description == "KeyError: 'sugar'"
            assert [event.name for event in span.events] == ["exception"]
        with pytest.raises(zerorpc.UnknownMethod):
            client.nonsense()
        (span,) = spans.ended(1)
        assert span.attributes is not None
        assert span.attributes["error.type"] == "UnknownMethod"


def test_a_stream_that_is_left_is_no_error(spans: Spans) -> None:
    with traced(spans) as client:
        for _ in client.endless():
            break
        made, ran = spans.pair()
    assert made.attributes is not None
    assert ran.attributes is not None
    assert "error.type" not in made.attributes
    assert ran.attributes["error.type"] == "Cancelled"
    assert made.status.status_code is ran.status.status_code is StatusCode.UNSET


def test_an_async_client_and_calls_in_the_background(spans: Spans) -> None:
    async def main(endpoint: str) -> list[str]:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE, on_call=spans.traces) as client:
            with spans.provider.get_tracer("test").start_as_current_span("outer"):
                return await asyncio.gather(*(client.coroutine() for _ in range(3)))

    with serving(Service(), on_call=spans.traces) as server:
        found = run(main(server.endpoints[0]))
        ended = spans.ended(7)
        assert len({text.split()[0] for text in found}) == 1
        assert len({text.split()[1] for text in found}) == 3
        outer = next(span for span in ended if span.name == "outer")
        clients = [span for span in ended if span.kind is SpanKind.CLIENT]
        assert {span.parent and span.parent.span_id for span in clients} == {outer.context.span_id}
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE, on_call=spans.traces) as client:
            assert client.plain(async_=True).get().split()[1] == f"{spans.pair()[1].context.span_id:016x}"


def test_repeats_are_one_span_which_says_how_many(spans: Spans) -> None:
    refusals = iter([True, False])

    @contextmanager
    def refuse_once(call: zerorpc.ServerCall) -> Iterator[None]:
        if next(refusals):
            raise zerorpc.ServerOverloaded("not yet")
        yield

    with serving(Service(), on_call=[spans.traces, refuse_once]) as server:
        settings: dict[str, Any] = {"on_call": spans.traces, "retry": zerorpc.Retry(backoff=0.001)}
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE, **settings) as client:
            client.plain()
    first, second, made = spans.ended(3)
    assert made.attributes is not None
    assert second.attributes is not None
    assert first.attributes is not None
    assert made.attributes["zerorpc.attempts"] == second.attributes["zerorpc.attempt"] == 2
    assert first.attributes["error.type"] == "ServerOverloaded"
    assert "zerorpc.attempt" not in first.attributes


def test_logs_know_the_span(spans: Spans) -> None:
    found: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(here())

    handler = Handler()
    logging.getLogger("tests.otel").addHandler(handler)
    try:
        with traced(spans) as client:
            client.logs()
            ran = spans.pair()[1]
    finally:
        logging.getLogger("tests.otel").removeHandler(handler)
    assert found == [f"{ran.context.trace_id:032x} {ran.context.span_id:016x}"]


def test_baggage_travels_along(spans: Spans) -> None:
    token = context.attach(baggage.set_baggage("user", "alice"))
    try:
        with traced(spans) as client:
            assert client.bag() == "alice"
    finally:
        context.detach(token)


def test_another_hooks_on_item_is_called_as_well(spans: Spans) -> None:
    items: list[Any] = []

    @contextmanager
    def note(call: zerorpc.ServerCall) -> Iterator[None]:
        call.on_item = items.append
        yield

    with serving({"count": lambda: iter([1, 2, 3])}, on_call=[note, spans.traces]) as server:
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
            assert list(client.count()) == items == [1, 2, 3]
    assert [event.name for event in spans.ended(1)[0].events] == ["zerorpc.first_item", "zerorpc.end"]


# From door to door, to a collector


class Collector:
    """Takes OTLP by HTTP, as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        spans = self.spans

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = ExportTraceServiceRequest()
                request.ParseFromString(self.rfile.read(int(self.headers["content-length"])))
                for resource in request.resource_spans:
                    pid = {each.key: each.value.string_value for each in resource.resource.attributes}.get("pid")
                    for scope in resource.scope_spans:
                        spans.extend((pid, span) for span in scope.spans)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: object) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/v1/traces"

    def __enter__(self) -> Collector:
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


def post(address: str, method: str) -> Any:
    headers = {"content-type": "application/json", "traceparent": f"00-{TRACE_ID}-{PARENT}-01"}
    request = urllib.request.Request(f"{address}/call/{method}", b"[]", headers)
    with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
        return json.loads(reply.read())


def test_a_collector_sees_one_trace_from_http_through_two_services() -> None:
    with Collector() as collector:
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(collector.address)))
        traces = Traces(provider)
        with serving(Service(), on_call=traces) as kitchen:
            with zerorpc.Client(kitchen.endpoints[0], timeout=PATIENCE, on_call=traces) as client:

                def order() -> Any:
                    return client.plain()

                with serving({"order": order}, on_call=traces) as waiter:
                    assert post(waiter.bind("http://127.0.0.1:0")[0], "order").split()[0] == TRACE_ID
        eventually(lambda: len(collector.spans) == 3)
        provider.shutdown()
    spans = {(span.name, span.kind): span for _, span in collector.spans}
    order, call, ran = spans["order", 2], spans["plain", 3], spans["plain", 2]
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE_ID}
    assert order.parent_span_id.hex() == PARENT
    assert call.parent_span_id == order.span_id
    assert ran.parent_span_id == call.span_id
    peer = {each.key: each.value.string_value for each in order.attributes}
    assert peer["network.peer.address"] == "127.0.0.1"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_each_of_several_processes_has_a_provider_of_its_own() -> None:
    program = """
    import os, sys
    import zerorpc
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from zerorpc.otel import Traces

    def provider():
        made = TracerProvider(resource=Resource({"pid": str(os.getpid())}))
        made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(sys.argv[1]), schedule_delay_millis=600_000))
        return made

    with zerorpc.Server({"pid": os.getpid}, processes=2, on_call=Traces(provider)) as server:
        print(server.bind("tcp://127.0.0.1:0")[0], flush=True)
        server.run()
    """
    with Collector() as collector, Program(program, collector.address) as serves:
        endpoint = serves.line()
        pids: set[str] = set()

        def both_have_answered() -> bool:
            with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
                pids.add(str(client.pid()))
            return len(pids) == 2

        eventually(both_have_answered)
        assert collector.spans == []  # they are sent every ten minutes, and when the process ends
        serves.signal(15)
        code, _, error = serves.end()
        assert (code, error) == (0, "")
        assert {pid for pid, _ in collector.spans} == pids


# What it costs others


def test_it_is_imported_only_when_chosen() -> None:
    program = """
    import sys, zerorpc
    zerorpc.Server, zerorpc.Client, zerorpc.AsyncClient, zerorpc.ServerCall, zerorpc.ClientCall
    print([name for name in sys.modules if name.startswith("opentelemetry")])
    """
    lines = "\n".join(line.strip() for line in program.splitlines())
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_global_provider_is_used_when_there_is_none() -> None:
    assert repr(Traces()) == "<Traces by the global provider>"
    with serving(Service(), on_call=Traces()) as server:  # the global one of these tests makes no spans
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE, on_call=Traces()) as client:
            assert client.plain() == f"{0:032x} {0:016x}"


def test_after_a_fork_a_function_is_asked_again(spans: Spans) -> None:
    made: list[int] = []

    def provider() -> TracerProvider:
        made.append(1)
        return spans.provider

    traces = Traces(provider)
    with serving(Service(), on_call=traces) as server, zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
        client.plain()
        client.plain()
        assert len(made) == 1
        traces.forked()
        client.plain()
        assert len(made) == 2
