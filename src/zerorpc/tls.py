"""The files for TLS, as a program gives them. What is made of them is ``transport.endpoint_tls``'s."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias, cast

from zerorpc.given import described, path_of

if TYPE_CHECKING:
    import ssl

    TlsGiven: TypeAlias = "Tls | ssl.SSLContext"
else:
    TlsGiven = Any  # ssl is imported by whoever uses it

__all__ = ["Tls", "TlsGiven", "tls_or_none"]


class _TlsFields(NamedTuple):
    certificate: str | None
    key: str | None
    ca: str | None
    client_certificates: str
    server_name: str | None


class Tls(_TlsFields):
    """The files for TLS at endpoints ``tls+tcp://``: ``Server(…, tls=Tls("server.pem", "server.key"))``.

    Arguments: ``certificate`` ours, a PEM file, with what it takes to verify it behind it. A server needs one. ``key``
    its private key, unless that is in the same file. ``ca`` whose certificates the other side may have: a PEM file, or
    a folder as OpenSSL has it. A client that has none trusts whom the system trusts; a server that has one asks clients
    for certificates. ``client_certificates``: whether a server with a ``ca`` serves clients without one too:
    ``"required"`` or ``"accepted"``. ``server_name`` whom the server's certificate has to name, if it isn't the host of
    the endpoint; it is also what the server is asked for (SNI).

    Files that are renewed count for new connections, within a second or two. Nothing below TLS 1.3 is spoken: for
    anything else give an ``ssl.SSLContext`` in place of this.

    A tuple, and so never changes. Raises TypeError or ValueError for other values; the files are read by ``bind`` and
    ``connect``.
    """

    __slots__ = ()

    def __new__(
        cls,
        certificate: str | os.PathLike[str] | None = None,
        key: str | os.PathLike[str] | None = None,
        ca: str | os.PathLike[str] | None = None,
        *,
        client_certificates: str = "required",
        server_name: str | None = None,
    ) -> Self:
        if client_certificates not in ("required", "accepted"):
            raise ValueError(f'client_certificates has to be "required" or "accepted", not {client_certificates!r}')
        if server_name is not None and not isinstance(server_name, str):
            raise TypeError(f"server_name has to be a text, not {described(server_name)}")
        if key is not None and certificate is None:
            raise ValueError("a key needs its certificate")
        certificate = None if certificate is None else path_of("certificate", certificate)
        key = None if key is None else path_of("key", key)
        ca = None if ca is None else path_of("ca", ca)
        return super().__new__(cls, certificate, key, ca, client_certificates, server_name)


def tls_or_none(name: str, value: object) -> TlsGiven | None:
    """A setting that is a Tls or an ``ssl.SSLContext``, or None. Raises TypeError for what isn't."""
    if value is None or isinstance(value, Tls):
        return value
    if "ssl" not in sys.modules or not isinstance(value, sys.modules["ssl"].SSLContext):
        raise TypeError(f"{name} has to be a zerorpc.Tls, an ssl.SSLContext, or None, not {described(value)}")
    return cast("TlsGiven", value)
