"""Message ids that a program makes itself."""

from __future__ import annotations

from zerorpc.protocol.events import ID_MAX, MessageId
from zerorpc.protocol.packing import encode_usual

__all__ = ["check_id"]


def check_id(message_id: object) -> MessageId:
    """The id itself. Raises TypeError or ValueError for what a program's own ``Context.new_msgid`` must not return."""
    if not isinstance(message_id, (bytes, str, int)):
        kind = type(message_id).__name__
        raise TypeError(f"Context.new_msgid has to return bytes, a str or an int, not a value of type {kind}")
    try:
        if len(encode_usual(message_id)) <= ID_MAX:
            return message_id
        why = f"an id of more than {ID_MAX} octets"
    except (ValueError, OverflowError) as error:
        why = str(error)
    raise ValueError(f"Context.new_msgid returned what can't be sent: {why}")
