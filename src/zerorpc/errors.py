"""Every exception that zerorpc raises, one tree.

::

    ZeroRPCError
    ├── EndpointError        (ValueError)       what is no endpoint, or one that can't be used here
    ├── CertificateError     (ValueError)       a certificate, key or list of authorities that can't be used
    ├── AddressInUse         (OSError)          bind: somebody else listens there
    ├── Closed               (RuntimeError)     used after close()
    ├── TimeoutExpired       (TimeoutError)     the deadline passed
    ├── Cancelled            (RuntimeError)     the call that this code answers was given up by its caller
    ├── LostRemote           (ConnectionError)  the peer went away in the middle of a call
    ├── RemoteError                             the remote method raised, or the server didn't run it:
    │   ├── UnknownMethod    (LookupError)      it has no method of that name
    │   ├── PermissionDenied (PermissionError)  the caller may not call it
    │   ├── WrongArguments   (TypeError)        they don't fit the method
    │   │   └── InvalidArguments                one of them isn't what the method's annotation says
    │   ├── ServerOverloaded                    the method's turn would come too late
    │   ├── ServerStopping                      the server is shutting down
    │   └── WorkerDied                          the process of a @zerorpc.process method ended
    ├── InvalidResult        (TypeError)        it isn't what the annotation of a typed client says
    ├── SerializationError   (TypeError)        a value that can't be sent
    ├── NotSupported         (TypeError)        the call needs what an older peer can't do
    ├── UnknownService       (LookupError)      health: the server has no service of that name
    └── ProtocolError        (RuntimeError)     the peer sent what the protocol doesn't allow
        └── HandshakeFailed  (PermissionError)  the peer refuses this side, or this side the peer: a wrong key, perhaps

Each also derives from the built-in exception that means the same, so that ``except TimeoutError`` works too.

Each has ``ran``, which tells whether the method that was called has run: False (certainly not, so that the call may be
made again without its being done twice), True (at least in part), or None (not known, or not about a call).
"""

from __future__ import annotations

import errno

__all__ = [
    "AddressInUse",
    "Cancelled",
    "CertificateError",
    "Closed",
    "EndpointError",
    "HandshakeFailed",
    "InvalidArguments",
    "InvalidResult",
    "LostRemote",
    "NotSupported",
    "PermissionDenied",
    "ProtocolError",
    "RemoteError",
    "SerializationError",
    "ServerOverloaded",
    "ServerStopping",
    "TimeoutExpired",
    "UnknownMethod",
    "UnknownService",
    "WorkerDied",
    "WrongArguments",
    "ZeroRPCError",
]


class ZeroRPCError(Exception):
    """The root: catches everything that zerorpc itself raises.

    Attributes of each exception: ``ran`` tells whether the method that was called has run: False, True (at least in
    part), or None where that is not known. ``method`` is the name of that method, None if it isn't about a call.
    """

    ran: bool | None = None
    method: str | None = None


class EndpointError(ZeroRPCError, ValueError):
    """An endpoint is malformed, or well-formed and can't be used: not on this machine, or it isn't bound or connected.

    Attributes: ``endpoint`` (as given), ``reason``, and ``malformed``: whether no machine could use it.
    """

    FORMS = (
        "tcp://host:port, tcp://*:port, tcp://0:port, tcp://[::1]:port, the same with tls+tcp, ipc://path, "
        "ipc://@abstract-name, inproc://name; to bind to, fd://3; for a server http://host:port"
    )

    def __init__(self, endpoint: object, reason: str, *, malformed: bool = False) -> None:
        super().__init__(endpoint, reason)
        self.endpoint = endpoint
        self.reason = reason
        self.malformed = malformed

    def __str__(self) -> str:
        if self.malformed:
            return f"{self.endpoint!r} is no endpoint: {self.reason}; accepted forms: {self.FORMS}"
        return f"endpoint {self.endpoint!r}: {self.reason}"


class AddressInUse(ZeroRPCError, OSError):
    """``bind`` found that the address is taken. Attribute: ``endpoint``; ``errno`` is EADDRINUSE."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(errno.EADDRINUSE, "address already in use", endpoint)
        self.endpoint = endpoint

    def __str__(self) -> str:
        return f"address already in use: {self.endpoint}"

    def __reduce__(self) -> tuple[type[AddressInUse], tuple[str], dict[str, object]]:
        return type(self), (self.endpoint,), self.__dict__  # args alone are not what __init__ takes


class CertificateError(ZeroRPCError, ValueError):
    """A file of a ``Tls`` can't be used, or is missing: the text says which, and why. By ``bind`` and ``connect``.

    A certificate of the peer that can't be trusted is a HandshakeFailed.
    """


class Closed(ZeroRPCError, RuntimeError):
    """The object was used after ``close()``, or a call still waited for a server at that moment.

    ``ran`` is False: nothing was sent.
    """

    ran: bool | None = False


class TimeoutExpired(ZeroRPCError, TimeoutError):
    """A deadline passed. Attributes: ``timeout`` in seconds and ``when`` (what was being done, or None).

    ``ran`` is False if no server was reached in time, and None if the request was sent.
    """

    def __init__(self, timeout_s: float | None, when: str | None = None) -> None:
        self.timeout = timeout_s
        self.when = when
        message = f"timeout after {timeout_s if timeout_s is None else round(timeout_s, 3)}s"
        super().__init__(f"{message}, when {when}" if when else message)

    def __reduce__(self) -> tuple[type[TimeoutExpired], tuple[float | None, str | None], dict[str, object]]:
        return type(self), (self.timeout, self.when), self.__dict__


class Cancelled(ZeroRPCError, RuntimeError):
    """The call that this code answers was given up by its caller, so that calls made for it end too.

    ``ran`` is False for a call that was not begun any more, and None for one that was under way.
    """


class LostRemote(ZeroRPCError, ConnectionError):
    """The peer that a call ran on is gone: its connection closed (also by ``close`` or ``disconnect`` here), or it has
    been silent for two heartbeats.

    Attribute: ``endpoint``, where the peer was; None if that isn't known. The method may or may not have run, so that
    ``ran`` is None; it is True once a stream has begun, and False if the request had not left. Calls whose request
    has not left go to another server, if there is one.
    """

    endpoint: str | None = None


class RemoteError(ZeroRPCError):
    """The remote method raised, or the server didn't run it. ``str()`` of it is the traceback, if there is one.

    Attributes: ``name`` of the exception's class, such as ``"ValueError"``, ``msg`` and ``traceback``, all strings
    (``traceback`` may be None); ``metadata`` is what the method sent along with it (``current_call``). For what the
    server itself has to say there are the classes below, if the server is one
    of zerorpc 1. An older server's errors are RemoteErrors without ``ran``, whatever their name.

    A result that can't be sent is a RemoteError with the name ``"TypeError"``.

    A hook (``on_call``) refuses a call with one of the classes below and a text: ``PermissionDenied("not today")``.
    """

    _usual_name = ""  # what ``name`` is where only a text is given; "": that of the class

    def __init__(
        self,
        name: str,
        human_msg: str | None = None,
        human_traceback: str | None = None,
        *,
        ran: bool | None = None,
        method: str | None = None,
    ) -> None:
        if human_msg is None:
            name, human_msg = self._usual_name or type(self).__name__, name
        super().__init__(name, human_msg, human_traceback)
        self.args: tuple[object, ...] = (name, human_msg, human_traceback)  # of which an OSError keeps two
        self.name = name
        self.msg = human_msg
        self.traceback = human_traceback
        self.ran = ran
        self.method = method
        self.metadata: dict[str, str | bytes] = {}

    def __str__(self) -> str:
        if self.traceback:
            return self.traceback
        return f"{self.name}: {self.msg}"


# LookupError and not NameError: Python takes a NameError's ``name`` for a misspelt variable, and suggests others.
class UnknownMethod(RemoteError, LookupError):
    """The server has no method of that name: ``method``. Its ``name`` is ``"NameError"``; ``ran`` is False."""

    _usual_name = "NameError"


class PermissionDenied(RemoteError, PermissionError):
    """The server's ``authorizer``, or a hook, doesn't let the caller call the method. Its ``name`` is
    ``"PermissionError"``; ``ran`` is False.

    An authorizer's is for callers that may list the methods. To others there is no such method (UnknownMethod).
    """

    _usual_name = "PermissionError"
    # An OSError would take its arguments for these.
    errno: int | None = errno.EACCES
    filename: object = None


class WrongArguments(RemoteError, TypeError):
    """The arguments don't fit the method, are no list, or can't be decoded. ``name`` is ``"TypeError"``.

    ``ran`` is False, or None where Python can't tell, as with many built-ins. A TypeError that the method itself has
    raised is a plain RemoteError.
    """

    _usual_name = "TypeError"


class InvalidArguments(WrongArguments):
    """An argument isn't what its parameter's annotation says. ``msg`` names it, and the part of it, and says why.

    As in ``move(): points[3].x: expected float, got str``. ``ran`` is False.
    """


class ServerOverloaded(RemoteError):
    """The method's turn would come too late for its caller, who is told so at once; or a hook refuses the call. ``ran``
    is False.

    Attribute: ``retry_after``, the seconds after which the server expects to have a turn; None if it doesn't say.
    """

    retry_after: float | None = None


class ServerStopping(RemoteError):
    """The server is shutting down, and begins nothing new. ``ran`` is False."""


class WorkerDied(RemoteError):
    """The worker process for a method marked with ``@zerorpc.process`` ended, or couldn't be started.

    ``ran`` is None if it ended with the method: it may have done its work. It is False if it didn't come to that.
    """


# What a server says of itself, and not a method: by the names that travel in an error's header (docs/protocol.md).
SERVER_ERRORS: dict[str, type[RemoteError]] = {
    kind.__name__: kind
    for kind in (
        UnknownMethod,
        PermissionDenied,
        WrongArguments,
        InvalidArguments,
        ServerOverloaded,
        ServerStopping,
        WorkerDied,
    )
}


class InvalidResult(ZeroRPCError, TypeError):
    """What came isn't what the annotation says, of the class that was given to ``zerorpc.typed``.

    The text names the part that isn't, and says why. ``ran`` is True.
    """

    ran: bool | None = True


class SerializationError(ZeroRPCError, TypeError):
    """A value that MessagePack can't carry, or a message above 128 MiB. The text names the method and the reason.

    ``ran`` is False for a call's arguments: nothing was sent.
    """


class NotSupported(ZeroRPCError, TypeError):
    """The call needs what the server can't do, since it speaks an older protocol. The text says what, and which server.

    ``ran`` is False: nothing was sent.
    """

    ran: bool | None = False


class UnknownService(ZeroRPCError, LookupError):
    """``zerorpc.health`` was asked for a service that the server doesn't have."""

    ran: bool | None = False


class ProtocolError(ZeroRPCError, RuntimeError):
    """The peer sent bytes or events that the protocol does not allow; its connection is closed, or the call ends."""


class HandshakeFailed(ProtocolError, PermissionError):
    """A server and a client don't come together, and trying again changes nothing.

    One of them refuses the other: its key, its user and password. Or they don't use the same security mechanism, or the
    client has another server's key. The text says which, as far as it is known. Calls that wait for a server, and have
    no other one to wait for, fail with it. ``ran`` is False.

    Attributes: ``endpoint``, where the peer is; None if that isn't known. ``server_key``, the public key in Z85 that
    the server says it has, where it isn't the one that the client was given for it; None if it says nothing. Whoever
    is on the way can have said that as well.
    """

    ran: bool | None = False
    endpoint: str | None = None
    server_key: str | None = None
