"""What ASGI calls its messages, and a request read from them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import NamedTuple, TypeAlias

from zerorpc.callers import Certificate

__all__ = ["Message", "Receive", "Request", "Send"]

Message: TypeAlias = "MutableMapping[str, object]"
Receive: TypeAlias = "Callable[[], Awaitable[Message]]"
Send: TypeAlias = "Callable[[Message], Awaitable[None]]"


class Request(NamedTuple):
    """One request without its body. ``path`` is below where the application is mounted; the names of ``headers`` are in
    lower case. ``endpoint`` is ours, ``host`` the address that it comes from, and ``peer`` that with its port.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    endpoint: str
    host: str
    peer: str
    verified: bool  # by our own TLS: a browser has made sure that the server is whom it looks for
    certificate: Certificate | None  # of the caller, by TLS

    @property
    def is_look(self) -> bool:
        """Whether it changes nothing."""
        return self.method in ("GET", "HEAD")

    @classmethod
    def of(cls, scope: Message, verified: bool, certificate: Certificate | None) -> Request:
        """Of the scope of a connection. Raises ValueError for one that is no HTTP."""
        if scope["type"] != "http":
            raise ValueError(f"zerorpc answers HTTP here, and no {scope['type']}")
        path, root = str(scope["path"]), str(scope.get("root_path", ""))
        told, scheme = scope["headers"], str(scope.get("scheme", "http"))
        assert isinstance(told, Iterable)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in told}
        endpoint, (host, peer) = _shown(scheme, scope.get("server"))[1], _shown(scheme, scope.get("client"))
        return cls(str(scope["method"]), path.removeprefix(root), headers, endpoint, host, peer, verified, certificate)


def _shown(scheme: str, address: object) -> tuple[str, str]:
    """An address without and with its port; ASGI allows for servers that know none."""
    if not isinstance(address, (tuple, list)):
        return scheme, scheme
    host, port = address
    name = f"{scheme}://[{host}]" if ":" in str(host) else f"{scheme}://{host}"
    return name, name if port is None else f"{name}:{port}"
