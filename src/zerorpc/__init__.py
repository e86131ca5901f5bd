"""zerorpc: any object as a network service, called as if it were local.

See https://www.zerorpc.io for the protocol's home; ``Server``, ``Client`` and ``AsyncClient`` are where to start.
"""

from __future__ import annotations

from zerorpc.client import AsyncClient
from zerorpc.errors import LostRemote, RemoteError, TimeoutExpired
from zerorpc.middleware import Context, fork_task_context
from zerorpc.server import Server
from zerorpc.service.methods import on_loop, rep, stream
