"""zerorpc: any object as a network service, called as if it were local.

``Server``, ``Client`` and ``AsyncClient`` are where to start.
"""

from __future__ import annotations

from zerorpc import exceptions
from zerorpc.client import AsyncClient
from zerorpc.errors import (
    AddressInUse,
    Closed,
    EndpointError,
    LostRemote,
    ProtocolError,
    RemoteError,
    SerializationError,
    TimeoutExpired,
    ZeroRPCError,
)
from zerorpc.middleware import Context, fork_task_context
from zerorpc.push_pull import Publisher, Puller, Pusher, Subscriber
from zerorpc.server import Server
from zerorpc.service.methods import on_loop, rep, stream
from zerorpc.sync import Client

__version__ = "1.0.0a1"

__all__ = [
    "AddressInUse",
    "AsyncClient",
    "Client",
    "Closed",
    "Context",
    "EndpointError",
    "LostRemote",
    "ProtocolError",
    "Publisher",
    "Puller",
    "Pusher",
    "RemoteError",
    "SerializationError",
    "Server",
    "Subscriber",
    "TimeoutExpired",
    "ZeroRPCError",
    "__version__",
    "exceptions",
    "fork_task_context",
    "on_loop",
    "rep",
    "stream",
]
