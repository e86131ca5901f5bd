"""Every exception that zerorpc raises, one tree.

::

    ZeroRPCError
    ├── EndpointError        (ValueError)       an endpoint that can't be understood or resolved
    ├── AddressInUse         (OSError)          bind: somebody else listens there
    ├── Closed               (RuntimeError)     used after close()
    ├── TimeoutExpired       (TimeoutError)     the deadline passed
    ├── LostRemote           (ConnectionError)  the peer went away in the middle of a call
    ├── RemoteError                             the remote method raised
    ├── SerializationError   (TypeError)        a value that can't be sent
    └── ProtocolError        (RuntimeError)     the peer sent what the protocol doesn't allow

Each also derives from the built-in exception that means the same, so that ``except TimeoutError`` works too.
"""

from __future__ import annotations

import errno
from typing import Any

__all__ = [
    "AddressInUse",
    "Closed",
    "EndpointError",
    "LostRemote",
    "ProtocolError",
    "RemoteError",
    "SerializationError",
    "TimeoutExpired",
    "ZeroRPCError",
]


class ZeroRPCError(Exception):
    """The root: catches everything that zerorpc itself raises."""


class EndpointError(ZeroRPCError, ValueError):
    """An endpoint is malformed, of an unknown scheme, can't be used on this machine, or isn't bound or connected.

    Attributes: ``endpoint`` (as given) and ``reason``.
    """

    FORMS = (
        "tcp://host:port, tcp://*:port, tcp://0:port, tcp://[::1]:port, ipc://path, ipc://@abstract-name, inproc://name"
    )

    def __init__(self, endpoint: object, reason: str) -> None:
        super().__init__(endpoint, reason)
        self.endpoint = endpoint
        self.reason = reason

    def __str__(self) -> str:
        return f"bad endpoint {self.endpoint!r}: {self.reason}; accepted forms: {self.FORMS}"


class AddressInUse(ZeroRPCError, OSError):
    """``bind`` found that the address is taken. Attribute: ``endpoint``; ``errno`` is EADDRINUSE."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(errno.EADDRINUSE, "address already in use", endpoint)
        self.endpoint = endpoint

    def __str__(self) -> str:
        return f"address already in use: {self.endpoint}"

    def __reduce__(self) -> tuple[Any, ...]:  # what args alone would give is not what __init__ takes
        return type(self), (self.endpoint,)


class Closed(ZeroRPCError, RuntimeError):
    """The object was used after ``close()``."""


class TimeoutExpired(ZeroRPCError, TimeoutError):
    """A deadline passed. Attributes: ``timeout`` in seconds and ``when`` (what was being done, or None)."""

    def __init__(self, timeout_s: float | None, when: str | None = None) -> None:
        self.timeout = timeout_s
        self.when = when
        message = f"timeout after {timeout_s}s"
        super().__init__(f"{message}, when {when}" if when else message)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.timeout, self.when)


class LostRemote(ZeroRPCError, ConnectionError):
    """The peer that a call ran on is gone: its connection closed (also by ``close`` or ``disconnect`` here), or it has
    been silent for two heartbeats.

    The method may or may not have run; zerorpc never sends a call twice.
    """


class RemoteError(ZeroRPCError):
    """The remote method raised, or the server couldn't run it. ``str()`` of it is the traceback, if there is one.

    Attributes: ``name`` of the exception's class, such as ``"ValueError"``, ``msg`` and ``traceback``, all strings
    (``traceback`` may be None). Names that the server itself gives: ``"NameError"`` for an unknown method,
    ``"ServerOverloaded"``, ``"WorkerDied"``, and ``"TypeError"`` for a result that can't be sent.
    """

    def __init__(self, name: str, human_msg: str, human_traceback: str | None) -> None:
        super().__init__(name, human_msg, human_traceback)
        self.name = name
        self.msg = human_msg
        self.traceback = human_traceback

    def __str__(self) -> str:
        if self.traceback is not None:
            return self.traceback
        return f"{self.name}: {self.msg}"


class SerializationError(ZeroRPCError, TypeError):
    """A value that MessagePack can't carry, or a message above 128 MiB. The text names the method and the reason."""


class ProtocolError(ZeroRPCError, RuntimeError):
    """The peer sent bytes or events that the protocol does not allow; its connection is closed, or the call ends."""
