"""What is read of a request, and what of it is refused before any method is looked for."""

from __future__ import annotations

from collections.abc import Mapping

from zerorpc.doors.http.asgi_messages import Receive
from zerorpc.doors.http.invocation import DEFAULT_PATIENCE
from zerorpc.doors.http.problems import Problem
from zerorpc.protocol.call_header import KEY_MAX

__all__ = ["TEXT", "Answered", "body_of", "key_of", "kind_of", "metadata_of", "timeout_of"]

TEXT = "text/plain; charset=utf-8"
TIMEOUT_HEADER = "x-zerorpc-timeout"  # seconds that the caller waits
METADATA_PREFIX = "x-zerorpc-meta-"
_TOLD = ("traceparent", "tracestate", "baggage")  # headers that are metadata of the call under their own name


class Answered(Exception):
    """A request that is answered with a problem, before any method."""

    def __init__(self, status: int, title: str, detail: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(detail)
        self.problem: Problem = Problem.of(status, title, detail, *headers, ran=False)


async def body_of(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Answered(400, "Disconnected", "the body didn't come")
        part = message.get("body", b"")
        assert isinstance(part, bytes)
        size += len(part)
        if size > limit:
            raise Answered(413, "TooLarge", f"the body is larger than {limit} octets")
        parts.append(part)
        more = bool(message.get("more_body", False))
    return b"".join(parts)


def timeout_of(headers: Mapping[str, str]) -> float:
    text = headers.get(TIMEOUT_HEADER)
    if text is None:
        return DEFAULT_PATIENCE
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds > 0:
        raise Answered(400, "WrongTimeout", f"{TIMEOUT_HEADER} is a number of seconds, and not {text}")
    return seconds


def kind_of(headers: Mapping[str, str]) -> str:
    """Of which type the body is."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def key_of(headers: Mapping[str, str]) -> str | None:
    """The idempotency key, if there is one. The draft for that header has it in quotes, and many write it without
    (draft-ietf-httpapi-idempotency-key-header).
    """
    key = headers.get("idempotency-key")
    if key is None:
        return None
    key = key.strip()
    key = key[1:-1] if len(key) > 1 and key[0] == key[-1] == '"' else key
    if not 0 < len(key) <= KEY_MAX:
        raise Answered(400, "WrongKey", f"an Idempotency-Key has 1 to {KEY_MAX} characters, and this one {len(key)}")
    return key


def metadata_of(headers: Mapping[str, str]) -> Mapping[str, str]:
    found = {name: headers[name] for name in _TOLD if name in headers}
    for name, value in headers.items():
        if name.startswith(METADATA_PREFIX):
            found[name.removeprefix(METADATA_PREFIX)] = value
    return found
