"""What programs written for zerorpc 0.6 import from a module of this name."""

from __future__ import annotations

from zerorpc.client.asynchronous import AsyncClient
from zerorpc.client.blocking import Client
from zerorpc.compat.context import fork_task_context
from zerorpc.one_way.puller import Puller, Subscriber
from zerorpc.one_way.pusher import Publisher, Pusher
from zerorpc.server.server import Server

__all__ = ["AsyncClient", "Client", "Publisher", "Puller", "Pusher", "Server", "Subscriber", "fork_task_context"]
