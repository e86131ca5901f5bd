"""What goes back for a request: a result, items as they come, or a problem."""

from __future__ import annotations

from zerorpc.doors.http.asgi_messages import Send
from zerorpc.doors.http.invocation import HttpInvocation
from zerorpc.doors.http.json_values import decode, encode
from zerorpc.doors.http.problems import PROBLEM, Problem

__all__ = ["NDJSON", "send_problem", "send_reply", "send_whole"]

NDJSON, EVENTS = "application/x-ndjson", "text/event-stream"


async def send_reply(send: Send, invocation: HttpInvocation, accept: str) -> None:
    reply = invocation.reply
    try:
        first = await reply.take()
    except TimeoutError:
        await send_problem(send, _too_late(invocation))
        return
    if invocation.streamed:
        await _send_stream(send, invocation, first, EVENTS if EVENTS in accept and NDJSON not in accept else NDJSON)
    elif invocation.problem is not None:
        await send_problem(send, invocation.problem)
    else:
        await send_whole(send, 200, invocation.kind, first or b"")


def _too_late(invocation: HttpInvocation) -> Problem:
    why = f"{invocation.name}: no reply in {invocation.reply.timeout:g} s"
    return Problem.of(504, "TimeoutExpired", why, method=invocation.name, ran=None)


async def send_problem(send: Send, problem: Problem) -> None:
    await send_whole(send, problem.status, PROBLEM, problem.body, *problem.headers)


async def send_whole(send: Send, status: int, kind: str, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    told = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": body})


async def _send_stream(send: Send, invocation: HttpInvocation, part: bytes | None, kind: str) -> None:
    """Items as they come. An error is the last line, or event: the status has gone."""
    reply = invocation.reply
    if invocation.problem is not None and reply.ended and not reply.parts:  # before the first item
        await send_problem(send, invocation.problem)
        return
    form = _as_event if kind == EVENTS else _as_line
    headers = [(b"content-type", kind.encode()), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while part is not None:
        parts = [part, *reply.take_rest()]  # in one piece: each costs as much as three items
        last = parts.pop() if reply.ended and not reply.parts else None
        data = b"".join([form(each, "") for each in parts])
        if last is not None and invocation.problem is not None:
            data += form(_as_error(last), "error")
        if data:
            await send({"type": "http.response.body", "body": data, "more_body": True})
        part = await reply.take()
    await send({"type": "http.response.body", "body": form(b"null", "end") if kind == EVENTS else b""})


def _as_error(problem: bytes) -> bytes:
    return encode({"error": decode(problem)})


def _as_line(data: bytes, _: str) -> bytes:
    return data + b"\n"


def _as_event(data: bytes, name: str) -> bytes:
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + data + b"\n\n"
