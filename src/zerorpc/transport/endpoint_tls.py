"""TLS at one endpoint: the certificates and settings for its connections, read again when their files were renewed.

A new connection uses the files as they are now; one that is open keeps what it began with. Files are looked at when a
connection begins, at most once a second. While renewed files don't fit together, or can't be read, the ones before stay
in use: certificates and keys are often written one after the other.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from time import monotonic
from typing import NoReturn

from zerorpc.errors import CertificateError, EndpointError
from zerorpc.logs import Logger
from zerorpc.tls import Tls, TlsGiven
from zerorpc.transport.endpoints import Endpoint
from zerorpc.transport.tls import TlsConnection

__all__ = ["ALPN", "EndpointTls", "tls_of"]

logger: Logger = Logger("zerorpc.transport")

ALPN = "zerorpc"  # what connections are for, to balancers that ask (RFC 7301)
_EVERY = 1.0  # s between looks at the files
_Signature = tuple[tuple[int, int, int] | None, ...]


class EndpointTls:
    """What makes the TLS of each connection of one endpoint. Safe from any thread, and after a fork.

    Arguments: ``given`` files or a context; ``server_side`` whether we are the server there; ``host`` of the endpoint,
    where we are the client. ``clock`` gives the time in seconds. ``alpn`` is what connections are for. Raises
    CertificateError for files that can't be used.
    """

    def __init__(
        self,
        given: TlsGiven,
        *,
        server_side: bool,
        host: str = "",
        clock: Callable[[], float] = monotonic,
        alpn: str = ALPN,
    ) -> None:
        self._given = given
        self._server_side = server_side
        self._clock = clock
        self._alpn = alpn
        self._server_name = None if server_side else _name_to_verify(given, host)
        self._signature: _Signature = ()
        self._failed: _Signature | None = None  # which couldn't be used, and
        self._complained = False  # whether that was logged
        self._checked_at = clock()
        self._context: ssl.SSLContext
        if isinstance(given, Tls):
            self._signature = _signature(given)
            self._context = make_context(given, server_side=server_side, alpn=alpn)
        else:
            self._context = _checked(given, server_side=server_side)

    def new_connection(self) -> TlsConnection:
        """TLS for a connection that begins now."""
        return TlsConnection(self.context(), server_side=self._server_side, server_name=self._server_name)

    def context(self) -> ssl.SSLContext:
        """What a connection that begins now is to use."""
        if isinstance(self._given, Tls) and self._clock() - self._checked_at >= _EVERY:
            self._checked_at = self._clock()
            self._renew(self._given)
        return self._context

    def renewing_context(self) -> ssl.SSLContext:
        """One context for all connections to a server, for those who can't take another one for each.

        It hands each connection over to that of the moment, when the client has said hello.
        """
        context = self.context()
        if isinstance(self._given, Tls):

            def hand_over(connection: ssl.SSLObject, *_: object) -> None:
                connection.context = self.context()

            context.sni_callback = hand_over
        return context

    @property
    def asks_who(self) -> bool:
        """Whether the other side has to have a certificate."""
        return self._context.verify_mode is ssl.CERT_REQUIRED

    def _renew(self, files: Tls) -> None:
        """Read the files again, if they have changed."""
        signature = _signature(files)  # first: what changes while they are read is seen the next time
        if signature == self._signature or (signature == self._failed and self._complained):
            return
        try:
            self._context = make_context(files, server_side=self._server_side, alpn=self._alpn)
        except CertificateError as error:
            if signature == self._failed:  # still, and not only while they were being written
                self._complained = True
                logger.error("renewed files for TLS can't be used, and those before stay in use: %s", error)
            else:
                self._failed, self._complained = signature, False
        else:
            self._signature, self._failed = signature, None

    def __repr__(self) -> str:
        return f"<EndpointTls {'server' if self._server_side else self._server_name} {self._given!r}>"


def tls_of(
    endpoint: Endpoint, own: TlsGiven | None, general: TlsGiven | None, *, server_side: bool
) -> EndpointTls | None:
    """For an endpoint: TLS by its ``own`` setting, or else the ``general`` one, if its scheme has any.

    Raises EndpointError where the settings and the scheme don't fit, and CertificateError for files that can't be used.
    """
    if endpoint.scheme == "tls+tcp":
        given = own or general
        if given is None and server_side:
            raise CertificateError(
                f"{endpoint.text} needs a certificate: give tls=zerorpc.Tls(…) to bind, or to the constructor"
            )
        return EndpointTls(given or Tls(), server_side=server_side, host=endpoint.host)
    if own is not None:
        raise EndpointError(endpoint.text, "tls= is for endpoints that begin with tls+tcp://")
    if general is not None and endpoint.scheme == "tcp" and not server_side:
        raise EndpointError(
            endpoint.text, "connections there are not encrypted, but tls= was given: write tls+tcp:// instead"
        )
    return None


def _checked(context: ssl.SSLContext, *, server_side: bool) -> ssl.SSLContext:
    """A context of the program's, if it is for this side."""
    if context.protocol is (ssl.PROTOCOL_TLS_CLIENT if server_side else ssl.PROTOCOL_TLS_SERVER):
        needed, given = ("server", "client") if server_side else ("client", "server")
        raise CertificateError(f"this end needs an ssl.SSLContext for a {needed}, and this one is for a {given}")
    return context


def make_context(files: Tls, *, server_side: bool, alpn: str = ALPN) -> ssl.SSLContext:
    """A context for one side. Raises CertificateError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([alpn])
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # each certificate in ``ca`` is trusted, not roots alone
    if files.certificate is not None:
        _load_certificate(context, files)
    elif server_side:
        raise CertificateError("a server needs a certificate: tls=zerorpc.Tls(certificate, key)")
    if files.ca is not None:
        _load_authorities(context, files.ca)
    elif not server_side:
        context.load_default_certs()
    if server_side:
        context.num_tickets = 0  # our clients resume no sessions: 0.5 kB less to send, and no keys to be kept for it
        if files.ca is not None:
            required = files.client_certificates == "required"
            context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    return context


def _load_certificate(context: ssl.SSLContext, files: Tls) -> None:
    assert files.certificate is not None
    for what, path in (("certificate", files.certificate), ("key", files.key)):
        if path is not None:
            _check_readable(what, path)
    try:
        context.load_cert_chain(files.certificate, files.key, _no_password)
    except (ssl.SSLError, OSError) as error:
        names = " and ".join(path for path in (files.certificate, files.key) if path)
        raise CertificateError(f"{names} can't be used as certificate and key: {_reason(error)}") from error


def _load_authorities(context: ssl.SSLContext, path: str) -> None:
    try:
        if os.path.isdir(path):
            context.load_verify_locations(capath=path)
        else:
            _check_readable("ca", path)
            context.load_verify_locations(cafile=path)
    except (ssl.SSLError, OSError) as error:
        raise CertificateError(f"{path} can't be used as a list of authorities: {_reason(error)}") from error


def _check_readable(what: str, path: str) -> None:
    """OpenSSL's error would not say which file it is."""
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise CertificateError(f"the {what} {path} can't be read: {error.strerror}") from error


def _no_password() -> NoReturn:
    """OpenSSL would ask for it at the terminal."""
    raise CertificateError("the key is encrypted: decrypt it, or give an ssl.SSLContext that has loaded it")


def _reason(error: OSError) -> str:
    if not isinstance(error, ssl.SSLError):
        return error.strerror or str(error)
    if not error.reason:  # OpenSSL's own text is no more than "PEM lib"
        return "a file is no PEM, or the certificate or the key is missing"
    return _REASONS.get(error.reason, error.reason.replace("_", " ").lower())


_REASONS = {"KEY_VALUES_MISMATCH": "the key is not that of the certificate"}


def _signature(files: Tls) -> _Signature:
    """What changes when a file is replaced or rewritten; None for one that isn't there."""
    return tuple(_of(path) for path in (files.certificate, files.key, files.ca) if path is not None)


def _of(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _name_to_verify(given: TlsGiven, host: str) -> str | None:
    """Whom the server's certificate has to name."""
    name = given.server_name if isinstance(given, Tls) else None
    host = host.partition("%")[0]  # an IPv6 zone is ours
    return name or {"*": "127.0.0.1", "0": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
