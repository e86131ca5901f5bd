"""A trace passes an old service that stands between two of ours: its context is in a header that old peers ignore, and
that an old middleware can hand on.
"""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

import zerorpc
from tests.interop.ours import our_server
from tests.interop.programs import HEARTBEAT, PATIENCE, Peer, old_server, running
from zerorpc.otel import Traces

TCP = "tcp://127.0.0.1:0"
BEAT = ("--heartbeat", HEARTBEAT)


def test_one_trace_through_an_old_service() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    traces = Traces(provider)

    def plain() -> Any:
        return "done"

    with our_server({"plain": plain}, bind=TCP, heartbeat=HEARTBEAT, on_call=traces) as last:
        with running(Peer("between", last.endpoints[0], "--bind", TCP, *BEAT)) as between:
            with zerorpc.Client(between.endpoint, timeout=PATIENCE, heartbeat=HEARTBEAT, on_call=traces) as client:
                assert client.hand_on() == "done"
    ran, made = exporter.get_finished_spans()
    assert (made.name, made.kind, ran.name, ran.kind) == ("hand_on", SpanKind.CLIENT, "plain", SpanKind.SERVER)
    assert ran.parent is not None
    assert (ran.parent.trace_id, ran.parent.span_id) == (made.context.trace_id, made.context.span_id)


def test_an_old_server_is_called_with_a_trace_and_notices_nothing() -> None:
    traces = Traces(TracerProvider())
    with old_server("--bind", TCP, *BEAT, "--trace") as server:
        with zerorpc.Client(server.endpoint, timeout=PATIENCE, heartbeat=HEARTBEAT, on_call=traces) as client:
            assert client.add(1, 2) == 3
            assert list(client.count(3)) == [0, 1, 2]
