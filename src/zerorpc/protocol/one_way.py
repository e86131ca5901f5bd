"""The peers of PUSH/PULL and PUB/SUB: events without channels, one frame each (docs/protocol.md, Frames)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias

from zerorpc.errors import ProtocolError
from zerorpc.protocol.events import BadEvent, Buffer, Header, WireEvent, decode
from zerorpc.protocol.peer import Peer
from zerorpc.zmtp import Message, SocketType
from zerorpc.zmtp.mechanisms import NewMechanism, Null

__all__ = ["Arrived", "OneWayPeer"]

Arrived: TypeAlias = "tuple[WireEvent, Buffer]"  # an event, and the same packed


class OneWayPeer(Peer[NoReturn, "Arrived"]):
    """The other end of a one-way socket. ``receive_data`` returns ``(event, data)`` pairs."""

    __slots__ = ("on_unreadable", "rights")

    def __init__(self, socket_type: SocketType, mechanism: NewMechanism = Null) -> None:
        super().__init__(socket_type, mechanism=mechanism)
        self.on_unreadable: Callable[[str], None] | None = None  # told why an event is left out
        self.rights: Any = None  # the shell's: what it may have run, if somebody was asked who it is

    def send(self, data: Buffer) -> bool:
        """Send a packed event; False, and nothing sent, to a subscriber that didn't ask for it."""
        connection = self.connection
        if connection.publishes and not connection.subscriptions.match(data):
            return False
        if self.tap is not None:
            self.tap("-->", data)
        connection.send_message((data,))
        return True

    def receive_message(self, message: Message, now: float, touched: list[Arrived]) -> None:
        data = message[-1]
        try:
            event = decode(data, self.limits.values)
        except ProtocolError as error:
            event = BadEvent(Header(), "", str(error))
        if isinstance(event, WireEvent):
            touched.append((event, data))
        elif self.on_unreadable is not None:  # its sender can't be told
            self.on_unreadable(event.problem)
