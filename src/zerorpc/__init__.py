"""zerorpc: any object as a network service, called as if it were local.

``Server``, ``Client`` and ``AsyncClient`` are where to start.

What a name needs is imported when it is first used: who calls with a blocking ``Client`` never waits for asyncio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zerorpc import exceptions
from zerorpc.errors import (
    AddressInUse,
    Cancelled,
    CertificateError,
    Closed,
    EndpointError,
    HandshakeFailed,
    InvalidArguments,
    InvalidResult,
    LostRemote,
    NotSupported,
    PermissionDenied,
    ProtocolError,
    RemoteError,
    SerializationError,
    ServerOverloaded,
    ServerStopping,
    TimeoutExpired,
    UnknownMethod,
    UnknownService,
    WorkerDied,
    WrongArguments,
    ZeroRPCError,
)
from zerorpc.version import VERSION

if TYPE_CHECKING:
    from zerorpc.allowed_keys import AllowedKeys
    from zerorpc.callers import Authenticator, Authorizer, Caller
    from zerorpc.client.async_call import AsyncStream, Call
    from zerorpc.client.asynchronous import AsyncClient
    from zerorpc.client.background import AsyncResult
    from zerorpc.client.blocking import Client
    from zerorpc.client.call_hooks import ClientCall
    from zerorpc.client.call_options import CallView
    from zerorpc.client.every import every
    from zerorpc.client.health import Health, health, watch_health
    from zerorpc.client.options import options
    from zerorpc.client.stream import Stream
    from zerorpc.client.typed import typed
    from zerorpc.compat.context import Context, fork_task_context
    from zerorpc.curve import Curve
    from zerorpc.forwarding.remote_service import RemoteService
    from zerorpc.known_servers import known_server
    from zerorpc.limits import Limits
    from zerorpc.one_way.puller import Puller, Subscriber
    from zerorpc.one_way.pusher import Publisher, Pusher
    from zerorpc.plain import Plain
    from zerorpc.protocol.values import register_type
    from zerorpc.remote_objects import RemoteFunction, RemoteObject, by_reference, release
    from zerorpc.rights_file import RightsFile
    from zerorpc.scope import deadline
    from zerorpc.server.asgi import asgi
    from zerorpc.server.server import Server
    from zerorpc.service.call_hooks import ServerCall
    from zerorpc.service.current_call import CurrentCall, current_call, progress
    from zerorpc.service.methods import idempotent, on_loop, process, rep, safe, stream
    from zerorpc.service.stream_parameters import takes_stream
    from zerorpc.service.tools import tool
    from zerorpc.settings import Answers, ConnectionEvent, Retry
    from zerorpc.tls import Tls

__version__ = VERSION

__all__ = [
    "AddressInUse",
    "AllowedKeys",
    "Answers",
    "AsyncClient",
    "AsyncResult",
    "AsyncStream",
    "Authenticator",
    "Authorizer",
    "Call",
    "CallView",
    "Caller",
    "Cancelled",
    "CertificateError",
    "Client",
    "ClientCall",
    "Closed",
    "ConnectionEvent",
    "Context",
    "CurrentCall",
    "Curve",
    "EndpointError",
    "HandshakeFailed",
    "Health",
    "InvalidArguments",
    "InvalidResult",
    "Limits",
    "LostRemote",
    "NotSupported",
    "PermissionDenied",
    "Plain",
    "ProtocolError",
    "Publisher",
    "Puller",
    "Pusher",
    "RemoteError",
    "RemoteFunction",
    "RemoteObject",
    "RemoteService",
    "Retry",
    "RightsFile",
    "SerializationError",
    "Server",
    "ServerCall",
    "ServerOverloaded",
    "ServerStopping",
    "Stream",
    "Subscriber",
    "TimeoutExpired",
    "Tls",
    "UnknownMethod",
    "UnknownService",
    "WorkerDied",
    "WrongArguments",
    "ZeroRPCError",
    "__version__",
    "asgi",
    "by_reference",
    "current_call",
    "deadline",
    "every",
    "exceptions",
    "fork_task_context",
    "health",
    "idempotent",
    "known_server",
    "on_loop",
    "options",
    "process",
    "progress",
    "register_type",
    "release",
    "rep",
    "safe",
    "stream",
    "takes_stream",
    "tool",
    "typed",
    "watch_health",
]

# Where those under TYPE_CHECKING really come from
_MODULES = {
    "AllowedKeys": "zerorpc.allowed_keys",
    "Answers": "zerorpc.settings",
    "AsyncClient": "zerorpc.client.asynchronous",
    "AsyncResult": "zerorpc.client.background",
    "AsyncStream": "zerorpc.client.async_call",
    "Authenticator": "zerorpc.callers",
    "Authorizer": "zerorpc.callers",
    "Call": "zerorpc.client.async_call",
    "CallView": "zerorpc.client.call_options",
    "Caller": "zerorpc.callers",
    "Client": "zerorpc.client.blocking",
    "ClientCall": "zerorpc.client.call_hooks",
    "ConnectionEvent": "zerorpc.settings",
    "Context": "zerorpc.compat.context",
    "CurrentCall": "zerorpc.service.current_call",
    "Curve": "zerorpc.curve",
    "Health": "zerorpc.client.health",
    "Limits": "zerorpc.limits",
    "Plain": "zerorpc.plain",
    "Publisher": "zerorpc.one_way.pusher",
    "Puller": "zerorpc.one_way.puller",
    "Pusher": "zerorpc.one_way.pusher",
    "RemoteFunction": "zerorpc.remote_objects",
    "RemoteObject": "zerorpc.remote_objects",
    "RemoteService": "zerorpc.forwarding.remote_service",
    "Retry": "zerorpc.settings",
    "RightsFile": "zerorpc.rights_file",
    "Server": "zerorpc.server.server",
    "ServerCall": "zerorpc.service.call_hooks",
    "Stream": "zerorpc.client.stream",
    "Subscriber": "zerorpc.one_way.puller",
    "Tls": "zerorpc.tls",
    "asgi": "zerorpc.server.asgi",
    "by_reference": "zerorpc.remote_objects",
    "current_call": "zerorpc.service.current_call",
    "deadline": "zerorpc.scope",
    "every": "zerorpc.client.every",
    "fork_task_context": "zerorpc.compat.context",
    "health": "zerorpc.client.health",
    "idempotent": "zerorpc.service.methods",
    "known_server": "zerorpc.known_servers",
    "on_loop": "zerorpc.service.methods",
    "options": "zerorpc.client.options",
    "process": "zerorpc.service.methods",
    "progress": "zerorpc.service.current_call",
    "register_type": "zerorpc.protocol.values",
    "release": "zerorpc.remote_objects",
    "rep": "zerorpc.service.methods",
    "safe": "zerorpc.service.methods",
    "stream": "zerorpc.service.methods",
    "takes_stream": "zerorpc.service.stream_parameters",
    "tool": "zerorpc.service.tools",
    "typed": "zerorpc.client.typed",
    "watch_health": "zerorpc.client.health",
}

if not TYPE_CHECKING:  # type checkers would take any misspelt name for one that this finds

    def __getattr__(name: str) -> object:
        """Import a public name at its first use."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = globals()[name] = getattr(import_module(_MODULES[name]), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
