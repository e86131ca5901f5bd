"""What both shells share: the endpoints that a socket is bound and connected to, and what became of each."""

from __future__ import annotations

import socket
import threading
import weakref
from collections.abc import Callable

from zerorpc.errors import Closed, EndpointError, HandshakeFailed
from zerorpc.tls import TlsGiven, tls_or_none
from zerorpc.transport.dialer import Dialer
from zerorpc.transport.endpoints import Endpoint, parse
from zerorpc.transport.names import new_dialer
from zerorpc.transport.security import UNSECURED, Security
from zerorpc.transport.sockets import Listener, lead_nowhere, listen
from zerorpc.transport.unix_sockets import SocketFile

__all__ = ["Hub"]


class Hub:
    """A socket in ZeroMQ's sense: bound and connected to any number of endpoints, mixed.

    Arguments: ``resolve`` maps an endpoint as given to one or several; ``security`` is that of endpoints that are given
    none of their own.

    ``listeners`` and ``dialers`` are replaced, never changed, and with ``lock`` held: whoever reads them needs no lock.
    """

    def __init__(self, resolve: Callable[[object], object], security: Security = UNSECURED) -> None:
        self.security: Security = security
        self.lock: threading.RLock = threading.RLock()
        self.listeners: dict[str, Listener] = {}
        self.dialers: dict[str, Dialer] = {}
        self.tls: TlsGiven | None = None  # the owner's: for endpoints that are given none of their own
        self.closed = False
        self.stale = False  # forked: whatever is connected belongs to the parent, and so does an event loop
        # All that it has bound, accepted or made, linked or not yet. What is over drops out, or has no descriptor.
        self.sockets: weakref.WeakSet[Listener | socket.socket] = weakref.WeakSet()
        self.on_bound: Callable[[list[Listener]], None] | None = None  # told of what is bound from now on
        self._resolve = resolve

    def bind(
        self,
        endpoint: object,
        resolve: bool = True,
        security: Security | None = None,
        tls: TlsGiven | None = None,
        file: SocketFile | None = None,
    ) -> list[str]:
        """Listen; the endpoints really bound. Raises at once for a bad or taken address, and then binds none."""
        bound: list[Listener] = []
        try:
            for text in self._expand(endpoint, resolve):
                bound += self._opened(parse(text), security, tls, file)
            for listener in bound:
                self._add_listener(listener)
        except BaseException:
            for listener in bound:
                self._remove_listener(listener)
            raise
        if self.on_bound is not None:
            self.on_bound(bound)
        return [listener.endpoint for listener in bound]

    def _opened(
        self, endpoint: Endpoint, security: Security | None, tls: TlsGiven | None, file: SocketFile | None
    ) -> list[Listener]:
        """What listens at an endpoint from now on: one, unless it stands for several sockets that were passed on."""

        def secure(endpoint: Endpoint) -> Security:
            return self._secured(endpoint, security, tls, server_side=True)

        if endpoint.scheme not in ("fd", "tls+fd"):
            return [listen(endpoint, secure(endpoint), file)]
        if file is not None:
            raise EndpointError(endpoint.text, "mode and owner are for ipc paths that are bound here")
        from zerorpc.transport.inherited import listen_inherited  # few need it

        return listen_inherited(endpoint, secure, self.listeners)

    def _add_listener(self, listener: Listener) -> None:
        self.sockets.add(listener)
        with self.lock:
            self._check_open()
            self.listeners = {**self.listeners, listener.endpoint: listener}
            self.start_listener(listener)

    def _remove_listener(self, listener: Listener) -> None:
        with self.lock:
            if self.listeners.get(listener.endpoint) is listener:
                self.listeners = {text: other for text, other in self.listeners.items() if other is not listener}
                self.stop_listener(listener)
            else:
                listener.close()

    def unbind(self, endpoint: object, resolve: bool = True) -> None:
        """Stop listening on an endpoint; connections made through it live on."""
        for text in self._expand(endpoint, resolve):
            with self.lock:
                listener = self.listeners.get(text) if isinstance(text, str) else None
                if listener is None:
                    raise EndpointError(text, "not bound to it")
                self._remove_listener(listener)

    def connect(
        self,
        endpoint: object,
        resolve: bool = True,
        security: Security | None = None,
        tls: TlsGiven | None = None,
    ) -> list[str]:
        """Stay connected to an endpoint; returns at once, whether somebody listens there or not."""
        added = []
        for text in self._expand(endpoint, resolve):
            parsed = parse(text)
            if parsed.scheme in ("fd", "tls+fd"):
                raise EndpointError(parsed.text, "it is for bind(): a socket that listens was passed on")
            if parsed.is_tcp and parsed.port == 0:
                raise EndpointError(text, "connecting needs a port number")
            secured = self._secured(parsed, security, tls, server_side=False)
            added.append(parsed.text)
            with self.lock:
                self._check_open()
                before = self.dialers.get(parsed.text)
                if before is None:
                    self._add_dialer(parsed.text, new_dialer(parsed, secured))
                elif (before.security.curve, before.security.plain) != (secured.curve, secured.plain):
                    raise EndpointError(parsed.text, "connected already, with another curve= or plain=")
        return added

    def _secured(
        self, endpoint: Endpoint, security: Security | None, tls: TlsGiven | None, *, server_side: bool
    ) -> Security:
        """What each connection of an endpoint begins with."""
        security, tls = security or self.security, tls_or_none("tls", tls)
        security.check(endpoint)
        if tls is None and self.tls is None and endpoint.scheme != "tls+tcp":
            return security
        from zerorpc.transport.endpoint_tls import tls_of  # which imports ssl: 10 ms that a plain program is spared

        made = tls_of(endpoint, tls, self.tls, server_side=server_side)
        return security if made is None else security.with_tls(made)

    def _add_dialer(self, text: str, dialer: Dialer) -> None:
        self.dialers = {**self.dialers, text: dialer}
        try:
            self.start_dialer(dialer)
        except BaseException:  # out of descriptors, or of threads: it may be called again
            self._remove_dialer(dialer)
            raise

    def _remove_dialer(self, dialer: Dialer) -> None:
        dialer.close()
        self.dialers = {text: other for text, other in self.dialers.items() if other is not dialer}

    def disconnect(self, endpoint: object, resolve: bool = True) -> None:
        """Undo ``connect``; what runs over the connection is lost."""
        for text in self._expand(endpoint, resolve):
            with self.lock:
                dialer = self.dialers.get(text) if isinstance(text, str) else None
                if dialer is None:
                    raise EndpointError(text, "not connected to it")
                self._remove_dialer(dialer)
                self.stop_dialer(dialer)

    def _check_open(self) -> None:
        if self.closed:
            raise Closed("this socket is closed")

    def _expand(self, endpoint: object, resolve: bool) -> list[object]:
        """What ``resolve`` makes of an endpoint: a list (of lists) becomes flat. Texts, if the program is sane."""
        self._check_open()
        if resolve:
            endpoint = self._resolve(endpoint)
        if isinstance(endpoint, (tuple, list)):
            return [text for part in endpoint for text in self._expand(part, resolve)]
        return [endpoint]

    def describe(self) -> str:
        """What was tried, for the error of a call that found no server."""
        parts = [f"{text}: {dialer.status}" for text, dialer in self.dialers.items()]
        parts += [f"{text}: bound, but no peer connected" for text in self.listeners]
        return "; ".join(parts) or "neither bound nor connected to any endpoint"

    @property
    def connecting(self) -> bool:
        """Whether there are endpoints, or addresses of names, of which it is not known yet if they can be reached."""
        return any(dialer.pending for dialer in self.dialers.values())

    @property
    def refusal(self) -> HandshakeFailed | None:
        """Why no server is to be hoped for: with each that it connects to, the handshake fails."""
        each = [dialer.refusal for dialer in self.dialers.values()]
        return None if self.listeners or not each or None in each else each[0]

    def _forget_attempts(self) -> None:
        """In a forked child."""
        for dialer in self.dialers.values():
            dialer.forget()

    def lead_nowhere(self) -> None:
        """In a forked child: our copies of its connections must not keep them open when the parent ends them."""
        lead_nowhere(sock.fileno() for sock in self.sockets)

    # The shells'

    def start_listener(self, listener: Listener) -> None:
        raise NotImplementedError

    def stop_listener(self, listener: Listener) -> None:
        raise NotImplementedError

    def start_dialer(self, dialer: Dialer) -> None:
        raise NotImplementedError

    def stop_dialer(self, dialer: Dialer) -> None:
        raise NotImplementedError
