"""A client's side of a conversation, as octets out and in: in clear, by CURVE, or inside of TLS."""

from __future__ import annotations

from typing import Protocol

from tests.certificates import certificates
from tests.fuzz.conversations import CLEAR, CURVE, Conversation
from tests.fuzz.security import SERVER_KEYS
from zerorpc.errors import ProtocolError
from zerorpc.transport.endpoint_tls import EndpointTls
from zerorpc.zmtp import Connection, SocketType, State
from zerorpc.zmtp.frames import FrameDecoder, Limits
from zerorpc.zmtp.mechanisms.curve import CurveClient

__all__ = ["Talk", "talk_of"]


class Talk(Protocol):
    """What a client says. ``receive`` takes what the server has said."""

    @property
    def said(self) -> bool:
        """Whether there is nothing more to say, whatever comes."""

    def take(self) -> list[bytes]:
        """What is to be sent now, each in a write of its own."""

    def receive(self, data: bytes) -> None: ...


def talk_of(conversation: Conversation) -> Talk:
    talk: Talk
    if conversation.kind == CLEAR:
        return InClear(conversation)
    talk = ByCurve(conversation) if conversation.kind == CURVE else InTls(conversation)
    return Spoiled(talk, conversation.spoiled)


class InClear:
    def __init__(self, conversation: Conversation) -> None:
        self._chunks = list(conversation.chunks)
        self.said = False

    def take(self) -> list[bytes]:
        self.said = True
        return self._chunks

    def receive(self, data: bytes) -> None:
        pass


class ByCurve:
    """With a handshake that is honest, and events that need not be."""

    def __init__(self, conversation: Conversation) -> None:
        self._events = conversation.chunks
        properties = {"X-Zerorpc": b"1"}
        self._connection = Connection(SocketType.DEALER, mechanism=self._mechanism, properties=properties)
        self.said = False

    @staticmethod
    def _mechanism() -> CurveClient:
        return CurveClient(*SERVER_KEYS, SERVER_KEYS[0])  # its own key may be any

    def take(self) -> list[bytes]:
        connection = self._connection
        if connection.state is State.TRAFFIC and not self.said:
            self.said = True
            for event in self._events:
                connection.send_message([b"", event])
        self.said = self.said or connection.error is not None
        return [b"".join(connection.take_output())]

    def receive(self, data: bytes) -> None:
        self._connection.receive_data(data)


class InTls:
    """What is said inside is anything; TLS itself is honest."""

    _endpoint: EndpointTls | None = None

    def __init__(self, conversation: Conversation) -> None:
        if InTls._endpoint is None:
            InTls._endpoint = EndpointTls(certificates().trusts, server_side=False, host="localhost")
        self._tls = InTls._endpoint.new_connection()
        self._tls.open()
        self._chunks = conversation.chunks
        self._body = FrameDecoder(Limits())
        self.said = False

    def take(self) -> list[bytes]:
        out = [self._tls.take_output()]
        if self._tls.ready and not (self.said or self._tls.closed):
            self.said = True
            data = [chunk[at : at + 16_384] for chunk in self._chunks for at in range(0, len(chunk), 16_384)]
            out += map(self._tls.seal, data)
        return out

    def receive(self, data: bytes) -> None:
        try:
            self._tls.receive(data, self._body, lambda octets, filled: None)
        except ProtocolError:
            self.said = True


class Spoiled:
    """Another talk, of which some octets are changed on their way."""

    def __init__(self, talk: Talk, spoiled: tuple[tuple[int, int], ...]) -> None:
        self._talk = talk
        self._spoiled = spoiled
        self._sent = 0

    @property
    def said(self) -> bool:
        return self._talk.said

    def take(self) -> list[bytes]:
        return [self._changed(chunk) for chunk in self._talk.take() if chunk]

    def _changed(self, chunk: bytes) -> bytes:
        data, start = bytearray(chunk), self._sent
        self._sent += len(chunk)
        for at, bits in self._spoiled:
            if start <= at < self._sent:
                data[at - start] ^= bits
        return bytes(data)

    def receive(self, data: bytes) -> None:
        self._talk.receive(data)
