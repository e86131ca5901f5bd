"""Every event as a line of the log, for ``debug``."""

from __future__ import annotations

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
    try:
        text = repr(value)
    except RecursionError:
        return "<nested too deep to show>"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
