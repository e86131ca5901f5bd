"""Errors as RFC 9457 has them, "Problem Details for HTTP APIs"."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from zerorpc import errors
from zerorpc.doors.http.json_values import encode
from zerorpc.service.failure import Failure
from zerorpc.shown import line, readable

__all__ = ["PROBLEM", "Problem", "problem_of"]

PROBLEM = "application/problem+json"

# How each error of the server's own is told. 503 for what another server, or a moment later, may do.
_STATUSES: dict[type[BaseException], int] = {
    errors.WrongArguments: 400,
    errors.InvalidArguments: 400,
    errors.PermissionDenied: 403,
    errors.UnknownMethod: 404,
    errors.ServerOverloaded: 503,
    errors.ServerStopping: 503,
    errors.WorkerDied: 500,
}
# And what has kept a gateway from the answer of the server behind it: RFC 9110, 15.6.3 to 15.6.5, says which is which.
_STATUSES_BETWEEN: dict[type[BaseException], int] = {
    errors.LostRemote: 502,
    errors.HandshakeFailed: 502,
    errors.ProtocolError: 502,
    errors.TimeoutExpired: 504,
    errors.NotSupported: 400,
    errors.SerializationError: 400,
    errors.Closed: 503,
}
_LONGEST = 4096  # characters of a message


class Problem(NamedTuple):
    """A response that tells of an error."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()

    @classmethod
    def of(cls, status: int, title: str, detail: str, *headers: tuple[bytes, bytes], **more: object) -> Problem:
        """``title`` is that of the kind of error, ``detail`` of this one."""
        told = {"type": "about:blank", "title": title, "status": status, "detail": readable(detail)[:_LONGEST], **more}
        return cls(status, encode(told), headers)


def problem_of(failure: Failure, method: str) -> Problem:
    """Of a method that raised, or that the server did not let run. ``ran`` tells which: callers repeat by it."""
    refused, error = failure.refused, failure.exc_info[1]
    status = 500 if refused is None else _STATUSES.get(refused, 500)
    if refused is None and failure.forwarded:
        status = _STATUSES_BETWEEN.get(type(error), 500)
        if status == 502 and failure.ran is False and isinstance(error, errors.LostRemote):
            status = 503  # it wasn't reached, and may be a moment later
    headers = []
    if status == 503:
        wait = error.retry_after if isinstance(error, errors.ServerOverloaded) else None
        headers.append((b"retry-after", str(max(1, ceil(wait or 1))).encode()))
    title = failure.name if refused is None else refused.__name__
    return Problem.of(status, title, failure.message, *headers, method=line(method), ran=failure.ran)
