"""What programs written for zerorpc 0.6 import from a module of this name."""

from __future__ import annotations

from zerorpc.client.asynchronous import AsyncClient
from zerorpc.client.blocking import Client
from zerorpc.middleware import fork_task_context
from zerorpc.push_pull import Publisher, Puller, Pusher, Subscriber
from zerorpc.server import Server

__all__ = ["AsyncClient", "Client", "Publisher", "Puller", "Pusher", "Server", "Subscriber", "fork_task_context"]
