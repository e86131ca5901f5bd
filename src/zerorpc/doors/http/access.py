"""Who calls by HTTP, and what they may call."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable

from zerorpc.callers import Caller, Visitor
from zerorpc.doors.http.asgi_messages import Connection, Request
from zerorpc.doors.http.requests import Answered
from zerorpc.service.methods import Method
from zerorpc.service.registry import Registry
from zerorpc.service.rights import LISTS, Rights, Rules
from zerorpc.transport.authentication import ANSWER_MAX, Authentication

__all__ = ["Access", "Entrance"]


class Access:
    """What one request may do, as long as it is being answered.

    ``rights`` are its caller's, None where nobody is asked. ``end`` is called when the caller is somebody else.
    """

    def __init__(self, registry: Registry, rights: Rights | None, connection: Connection) -> None:
        self.rights: Rights | None = rights
        self.connection: Connection = connection
        self.end: Callable[[], None] | None = None
        self._registry = registry

    def method(self, name: str) -> Method | None:
        """The method of this name, if the caller may call it."""
        method = self._registry.exposed(name)
        return method if method is not None and self.admits(name) else None

    def methods(self) -> dict[str, Method]:
        """Those that the caller may call, by their names. Raises Answered if it may not know which there are."""
        self.check_lists()
        return {name: method for name, method in self._registry.methods.items() if self.admits(name)}

    def check_lists(self) -> None:
        """Raises Answered if the caller may not know which methods there are."""
        if not self.admits(LISTS):
            raise Answered(403, "PermissionDenied", "the caller may not know which methods there are")

    def admits(self, name: str) -> bool:
        return self.rights is None or self.rights.admits(name)

    def revoke(self) -> None:
        assert self.rights is not None
        self.rights.revoked = True
        if self.end is not None:
            self.end()


class Entrance:
    """Asks each request who it is of, as other doors ask each connection. On the server's loop."""

    def __init__(self, registry: Registry, authentication: Authentication | None, rules: Rules) -> None:
        self._registry = registry
        self._authentication = authentication
        self._rules = rules

    @property
    def asks(self) -> bool:
        """Whether callers have to show who they are."""
        return self._authentication is not None

    async def enter(self, request: Request) -> Access:
        """What it may do; to be given to ``leave`` in the end. Raises Answered for a caller that nobody knows."""
        asked = self._authentication
        if asked is None:
            return Access(self._registry, None, request.connection)
        caller = _caller_of(request)
        try:
            async with asyncio.timeout(ANSWER_MAX):
                identity = await asked.identify(caller)
        except TimeoutError:
            why = f"the authenticator has not answered in {ANSWER_MAX:g} s"
            raise Answered(503, "TimeoutExpired", why, (b"retry-after", b"1")) from None
        if identity is None or isinstance(identity, Visitor):  # those have something to do at other doors only
            realm = self._registry.name.encode("ascii", "replace").translate(None, b'"\\')
            shows = (b"www-authenticate", b'Basic realm="%s", charset="UTF-8"' % realm)
            why = "this server doesn't know you"
            raise Answered(401, "Unauthorized", why, shows, (b"www-authenticate", b"Bearer"))
        access = Access(self._registry, Rights(self._rules, identity), request.connection)
        asked.let_in(access, caller, identity, access.revoke)
        return access

    def leave(self, access: Access) -> None:
        """It is answered."""
        if self._authentication is not None:
            self._authentication.forget(access)


def _caller_of(request: Request) -> Caller:
    """What a request has shown of who is behind it. Raises Answered for what is no password."""
    scheme, _, shown = request.headers.get("authorization", "").strip().partition(" ")
    user = password = token = None
    if scheme.lower() == "basic":
        try:
            user, colon, password = base64.b64decode(shown.strip(), validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            colon = ""
        if not colon:
            raise Answered(400, "WrongCredentials", "Basic is followed by user:password in base64, of UTF-8")
    elif scheme.lower() == "bearer":
        token = shown.strip()
    return Caller(request.endpoint, request.peer, None, request.connection.certificate, None, user, password, token)
