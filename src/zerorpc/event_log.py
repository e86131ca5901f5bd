"""Every event as a line of the log, for ``debug``."""

from __future__ import annotations

from collections.abc import Iterator

from zerorpc.errors import ProtocolError
from zerorpc.logs import Logger
from zerorpc.protocol.events import BadEvent, Buffer, decode, decode_header

__all__ = ["log_event"]

logger: Logger = Logger("zerorpc.events")
_SHOWN = 200  # characters of the header, and of the arguments


def log_event(direction: str, data: Buffer) -> None:
    """Log one event at level DEBUG; ``direction`` is ``-->`` or ``<--``."""
    if logger.shows_debug():
        logger.debug("%s %s", direction, _describe(data))


def _describe(data: Buffer) -> str:
    try:
        event = decode(data)
    except ProtocolError as error:
        return f"<{error}>"
    if isinstance(event, BadEvent):
        return f"{event.name} <{event.problem}>"
    return f"{event.name} {_shown(decode_header(data))} {_shown(event.args)}"


def _shown(value: object) -> str:
    """As Python shows it, and hardly more of it than will be seen: it may be as large as a message."""
    try:
        text = "".join(_pieces(value, [2 * _SHOWN]))
    except RecursionError:
        return "<nested too deep to show>"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _pieces(value: object, room: list[int]) -> Iterator[str]:
    """``repr(value)`` in pieces, as long as there is room: characters that may still come."""
    room[0] -= 2  # for a bracket or a comma
    if isinstance(value, list):
        yield "["
        for number, item in enumerate(value):
            yield from (", ", *_pieces(item, room)) if number else _pieces(item, room)
            if room[0] < 0:
                return
        yield "]"
    elif isinstance(value, dict):
        yield "{"
        for number, (key, item) in enumerate(value.items()):
            yield from (", " if number else "", *_pieces(key, room), ": ", *_pieces(item, room))
            if room[0] < 0:
                return
        yield "}"
    else:
        if isinstance(value, (str, bytes, bytearray)):
            value = value[: max(room[0], 0) + 1]
        text = repr(value)
        room[0] -= len(text)
        yield text
