"""What ASGI calls its messages, and a request read from them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import NamedTuple, TypeAlias

from zerorpc.callers import Certificate

__all__ = ["Message", "Receive", "Request", "Send"]

Message: TypeAlias = "MutableMapping[str, object]"
Receive: TypeAlias = "Callable[[], Awaitable[Message]]"
Send: TypeAlias = "Callable[[Message], Awaitable[None]]"


class Connection:
    """What is known of a request's connection. ASGI has no word for it, so that only our own server tells.

    ``verified``: by our own TLS, where a browser has made sure that the server is whom it looks for; ``certificate`` is
    what the caller has shown there. ``is_told``: ``lost`` is called when the connection is lost, and calls those in
    ``open``. ``has_ended`` tells whether the caller has ended it, which nobody notices while nobody reads.
    """

    __slots__ = ("certificate", "has_ended", "is_told", "open", "verified")

    def __init__(
        self,
        verified: bool = False,
        certificate: Certificate | None = None,
        is_told: bool = False,
        has_ended: Callable[[], bool] = lambda: False,
    ) -> None:
        self.has_ended: Callable[[], bool] = has_ended
        self.verified: bool = verified
        self.certificate: Certificate | None = certificate
        self.is_told: bool = is_told
        self.open: set[Callable[[], None]] = set()

    def lost(self) -> None:
        for each in list(self.open):
            each()


class Request(NamedTuple):
    """One request without its body. ``path`` is below where the application is mounted; the names of ``headers`` are in
    lower case.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    scope: Message
    connection: Connection

    @classmethod
    def of(cls, scope: Message, connection: Connection) -> Request:
        """Of the scope of a connection. Raises ValueError for one that is no HTTP."""
        if scope["type"] != "http":
            raise ValueError(f"zerorpc answers HTTP here, and no {scope['type']}")
        path, told = str(scope["path"]), scope["headers"]
        if root := scope.get("root_path"):
            path = path.removeprefix(str(root))
        assert isinstance(told, Iterable)
        # Not all servers take away the blanks around a value (RFC 9110, 5.5): httptools leaves those behind it.
        headers = {str(name, "latin-1").lower(): str(value, "latin-1").strip(" \t") for name, value in told}
        return cls(str(scope["method"]), path, headers, scope, connection)

    @property
    def is_look(self) -> bool:
        """Whether it changes nothing."""
        return self.method in ("GET", "HEAD")

    @property
    def query(self) -> str:
        """What is behind the question mark."""
        query = self.scope.get("query_string", b"")
        assert isinstance(query, bytes)
        return query.decode("latin-1")

    @property
    def host(self) -> str:
        """The address that it comes from."""
        return self._shown("client")[0]

    @property
    def peer(self) -> str:
        """The same with the port."""
        return self._shown("client")[1]

    @property
    def endpoint(self) -> str:
        """Ours."""
        return self._shown("server")[1]

    def _shown(self, which: str) -> tuple[str, str]:
        """An address without and with its port; ASGI allows for servers that know none."""
        scheme, address = str(self.scope.get("scheme", "http")), self.scope.get(which)
        if not isinstance(address, (tuple, list)):
            return scheme, scheme
        host, port = address
        name = f"{scheme}://[{host}]" if ":" in str(host) else f"{scheme}://{host}"
        return name, name if port is None else f"{name}:{port}"
