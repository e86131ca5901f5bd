"""What ASGI calls its messages, and a request read from them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import NamedTuple, TypeAlias

__all__ = ["Message", "Receive", "Request", "Send"]

Message: TypeAlias = "MutableMapping[str, object]"
Receive: TypeAlias = "Callable[[], Awaitable[Message]]"
Send: TypeAlias = "Callable[[Message], Awaitable[None]]"


class Request(NamedTuple):
    """One request without its body. ``path`` is below where the application is mounted, ``sender`` where it comes from;
    the names of ``headers`` are in lower case.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    sender: str

    @classmethod
    def of(cls, scope: Message) -> Request:
        """Of the scope of a connection. Raises ValueError for one that is no HTTP."""
        if scope["type"] != "http":
            raise ValueError(f"zerorpc answers HTTP here, and no {scope['type']}")
        path, root = str(scope["path"]), str(scope.get("root_path", ""))
        told, client = scope["headers"], scope.get("client")
        assert isinstance(told, Iterable)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in told}
        sender = f"http://{client[0]}" if isinstance(client, (tuple, list)) else "http"
        return cls(str(scope["method"]), path.removeprefix(root), headers, sender)
