"""ZeroMQ's wire protocol, ZMTP 3.1 (RFC 37/ZMTP), pure: bytes in, messages out.

Nothing here knows what a socket, a loop, a thread or a clock is, nor what zerorpc puts into the messages.
"""

from __future__ import annotations

from zerorpc.zmtp.connection import Connection, State
from zerorpc.zmtp.frames import Frame, Limits, Message
from zerorpc.zmtp.socket_types import SocketType

__all__ = ["Connection", "Frame", "Limits", "Message", "SocketType", "State"]
