"""Who calls: what a connection has shown of itself, and the two questions that a program may answer about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol

__all__ = ["Authenticator", "Authorizer", "Caller", "Certificate", "UnixProcess", "Visitor", "watching"]


class Certificate(NamedTuple):
    """What the peer's certificate says, once it is verified: whom it names, and who made it.

    ``names`` are its alternative names, each with its kind: ``("DNS", "cooler.example")``, ``("URI", "spiffe://…")``.
    ``der`` is the certificate itself.
    """

    common_name: str | None
    names: tuple[tuple[str, str], ...]
    issuer: str | None
    serial_number: str
    not_after: str
    der: bytes


class UnixProcess(NamedTuple):
    """The process that has connected to an ``ipc://`` endpoint, as the kernel says it (Linux: SO_PEERCRED, unix(7)).

    User and group are those that it had when it connected. The process may have passed the connection on since.
    """

    pid: int
    uid: int
    gid: int


class Caller(NamedTuple):
    """What one connection has shown of who is behind it. An ``Authenticator`` makes an identity of that.

    - ``endpoint``: ours, to which it has connected, such as ``"tcp://192.0.2.1:4242"`` or ``"ipc:///run/robot"``;
      ``"inproc://"``, without a name, from this very process.
    - ``peer``: where it comes from, such as ``"tcp://203.0.113.9:40312"``.
    - ``key``: its public key by CURVE, in Z85. It has proven that it has the secret one. None without CURVE.
    - ``certificate``: its certificate by TLS, which was verified; None if it has shown none.
    - ``user`` and ``password``: what it has shown by PLAIN, or by HTTP (Basic, RFC 7617), which nobody has checked
      yet; None if it has shown none.
    - ``process``: who is at the other end of an ipc or inproc connection; None elsewhere, where the system doesn't
      tell, and behind a proxy.
    - ``token``: what it has shown by HTTP (Bearer, RFC 6750), which nobody has checked yet; None if it has shown none.
    """

    endpoint: str
    peer: str
    key: str | None = None
    certificate: Certificate | None = None
    process: UnixProcess | None = None
    user: str | None = None
    password: str | None = None
    token: str | None = None

    def __repr__(self) -> str:
        shown = [f"key={self.key!r}"] if self.key is not None else []
        if self.certificate is not None:
            shown.append(f"certificate of {self.certificate.common_name!r}")
        if self.user is not None:
            shown.append(f"user={self.user!r}")
        if self.token is not None:
            shown.append("a token")
        if self.process is not None:
            shown.append(f"uid={self.process.uid}")
        return f"<Caller {self.peer} at {self.endpoint}: {', '.join(shown) or 'has shown nothing'}>"


class Visitor(str):
    """The identity of who may call a few functions, and nothing of the server's: those in ``functions``, by name."""

    functions: dict[str, Callable[..., object]]

    def __new__(cls, identity: str, functions: dict[str, Callable[..., object]]) -> Visitor:
        made = super().__new__(cls, identity)
        made.functions = functions
        return made


class Authenticator(Protocol):
    """Says who a caller is: a function like this, for ``Server(…, authenticator=…)``.

    Called once for each connection, whose handshake waits meanwhile, and by HTTP for each request. A plain function
    runs on a thread, of which there are four for this, a coroutine function on the server's event loop. It is cancelled
    when the connection ends.

    An authenticator may be an object that has, besides ``__call__``, a method ``changed`` without arguments, which
    returns whether it would now say anything else. It is asked about once a second, as above; when it has, all who
    were let in are asked about again, and who has another identity then, or none, loses the connection.
    """

    def __call__(self, caller: Caller, /) -> str | Awaitable[str | None] | None:
        """The caller's identity, a text; None to refuse it. So does whatever this raises."""


def watching(authenticator: Authenticator) -> Callable[[], Any] | None:
    """Its ``changed``, for one server of those that may share it; None if it has none."""
    watch = getattr(authenticator, "_zerorpc_watch", None)  # of ours: it tells each server of each change
    found: Callable[[], Any] | None = getattr(authenticator, "changed", None) if watch is None else watch()
    return found


class Authorizer(Protocol):
    """Says who may call what: a function like this, for ``Server(…, authorizer=…)``.

    Called for each call, on the server's event loop: it has to answer at once. What it raises is a no.
    """

    def __call__(self, identity: str, method: str, /) -> bool:
        """Whether the caller with this identity may call this method."""
