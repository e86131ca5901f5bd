"""Traces by OpenTelemetry: ``Server(…, on_call=Traces())``, ``Client(…, on_call=Traces())``. Needs the extra ``otel``.

Spans are those of OpenTelemetry's semantic conventions for RPC
(https://opentelemetry.io/docs/specs/semconv/rpc/rpc-spans/, release candidate of 2026). Their context travels in the
request's header, as ``traceparent`` and ``tracestate`` (W3C Trace Context), which peers of zerorpc 0.6 ignore.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TracerProvider,
    set_span_in_context,
)
from opentelemetry.trace import Tracer as OtelTracer
from opentelemetry.util.types import AttributeValue

import zerorpc
from zerorpc.runtime import forks

__all__ = ["Traces"]

SYSTEM = "zerorpc"  # rpc.system.name
_LEFT = ("Cancelled", "CancelledError", "GeneratorExit")  # asyncio's, or that of concurrent.futures

_Call: TypeAlias = "zerorpc.ServerCall | zerorpc.ClientCall"
_Attributes: TypeAlias = dict[str, AttributeValue]


class Traces:
    """A hook that makes a span of each call, for servers and clients: ``on_call=Traces()``.

    A client's span (kind CLIENT) begins before the request is sent, a server's (kind SERVER) where the method runs, as
    its child. The span is current inside: in the method, on its thread, in its worker process, and in what it calls.
    That of a stream lasts until the end, with an event for the first item, and one for the end with their number.
    Attributes: ``rpc.system.name``, ``rpc.method``, ``server.address`` and ``server.port`` (of a client),
    ``network.peer.address`` and ``network.peer.port`` (of a server), ``error.type``; of repeated calls
    ``zerorpc.attempts`` (of a client) and ``zerorpc.attempt`` (of a server).

    ``provider``: a TracerProvider, or a function that makes one: it is called once in each process, when the first call
    comes there, so that the threads of exporters belong to it. None: the global one.

    One object may be used by several servers and clients. Safe from any thread, and after a fork.
    """

    def __init__(self, provider: TracerProvider | Callable[[], TracerProvider] | None = None) -> None:
        self._provider = provider
        self._tracer: OtelTracer | None = None
        self._lock = threading.Lock()
        forks.watch(self)

    def forked(self) -> None:
        """For the library: this is a forked child."""
        self._lock = threading.Lock()
        if callable(self._provider):
            self._tracer = None

    def __call__(self, call: _Call) -> contextlib.AbstractContextManager[None]:
        return self._around_client(call) if isinstance(call, zerorpc.ClientCall) else self._around_server(call)

    def _tracer_here(self) -> OtelTracer:
        with self._lock:
            if self._tracer is None:
                provider = self._provider() if callable(self._provider) else self._provider
                self._tracer = trace.get_tracer(SYSTEM, zerorpc.__version__, provider)
            return self._tracer

    @contextlib.contextmanager
    def _around_client(self, call: zerorpc.ClientCall) -> Iterator[None]:
        attributes = {"rpc.system.name": SYSTEM, "rpc.method": call.method}
        span = self._tracer_here().start_span(call.method, kind=SpanKind.CLIENT, attributes=attributes)
        context = set_span_in_context(span)
        carrier: dict[str, str] = {}
        propagate.inject(carrier, context)
        call.headers.update(carrier)
        with _current(span, context, call):
            try:
                yield
            finally:
                span.set_attributes(_address("server", call.endpoint))
                if call.attempts > 1:
                    span.set_attribute("zerorpc.attempts", call.attempts)

    @contextlib.contextmanager
    def _around_server(self, call: zerorpc.ServerCall) -> Iterator[None]:
        attributes: _Attributes = {"rpc.system.name": SYSTEM, "rpc.method": call.method}
        attributes.update(_address("network.peer", call.peer))
        if call.attempt > 1:
            attributes["zerorpc.attempt"] = call.attempt
        above = propagate.extract(_texts({**call.headers, **call.metadata}))
        span = self._tracer_here().start_span(call.method, above, SpanKind.SERVER, attributes)
        found = span.get_span_context()
        call.in_process = functools.partial(_in_process, found.trace_id, found.span_id, int(found.trace_flags))
        with _current(span, set_span_in_context(span, above), call):
            yield

    def __repr__(self) -> str:
        return f"<Traces {self._provider or 'by the global provider'}>"


@contextlib.contextmanager
def _current(span: Span, context: Context, call: _Call) -> Iterator[None]:
    """The span is the current one, until it ends."""
    token = contexts.attach(context)
    if span.is_recording():
        _note_first_item(span, call)
    try:
        yield
    except BaseException as error:
        _note_error(span, error)
        raise
    finally:
        contexts.detach(token)
        if call.items:
            span.add_event("zerorpc.end", {"zerorpc.items": call.items})
        span.end()


def _note_first_item(span: Span, call: _Call) -> None:
    others = call.on_item

    def first(item: object) -> None:
        span.add_event("zerorpc.first_item")
        call.on_item = others
        if others is not None:
            others(item)

    call.on_item = first


def _note_error(span: Span, error: BaseException) -> None:
    """By the name that it has where it was raised first. It is nobody's fault if the caller waits no longer."""
    if type(error).__name__ in _LEFT:
        span.set_attribute("error.type", "Cancelled")
        return
    plain = type(error) is zerorpc.RemoteError
    name = error.name if plain and isinstance(error, zerorpc.RemoteError) else type(error).__name__
    span.set_attribute("error.type", name)
    span.record_exception(error)
    message = error.msg if isinstance(error, zerorpc.RemoteError) else str(error)
    span.set_status(Status(StatusCode.ERROR, f"{name}: {message}"))


@contextlib.contextmanager
def _in_process(trace_id: int, span_id: int, flags: int) -> Iterator[None]:
    """In a worker process: the server's span is current, and ends there."""
    span = NonRecordingSpan(SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags)))
    token = contexts.attach(set_span_in_context(span))
    try:
        yield
    finally:
        contexts.detach(token)


def _texts(found: Mapping[str, object]) -> dict[str, str]:
    """What propagators read. An old peer's texts may be octets."""
    texts = {}
    for name, value in found.items():
        if isinstance(value, bytes):
            value = value.decode("ascii", "replace")
        if isinstance(value, str):
            texts[name.lower()] = value
    return texts


def _address(prefix: str, endpoint: str | None) -> _Attributes:
    """Of ``tcp://host:port``, a path, or a host alone, as HTTP has it; in the words of the conventions."""
    if endpoint is None or " " in endpoint:  # "a peer on this machine"
        return {}
    scheme, _, rest = endpoint.rpartition("://")
    host, colon, port = rest.rpartition(":")
    if scheme.endswith("tcp") and colon and port.isdigit():
        return {f"{prefix}.address": host.strip("[]"), f"{prefix}.port": int(port)}
    return {f"{prefix}.address": rest}
