"""TLS as octets in and out: what comes out at the other end is what was put in, or an error, whatever is on the way.

OpenSSL draws its own random numbers, so a run is not the same to the octet when it is played again; what is done to it,
and where, is.
"""

from __future__ import annotations

import functools
from random import Random
from typing import Any

from tests.certificates import certificates
from tests.fuzz.mutation import mutated
from tests.fuzz.tape import Tape
from tests.zmtp.links import encoded
from zerorpc.errors import ProtocolError
from zerorpc.transport.endpoint_tls import EndpointTls
from zerorpc.transport.tls import SEALED_AT_ONCE, TlsConnection
from zerorpc.zmtp.frames import FrameDecoder, Limits

SIZES = (0, 3, 200, 300, 5_000, 17_000, 70_000)
PIECE = 16 * 1024  # octets that OpenSSL is given at a time
HELD_MAX = 2 * PIECE  # and that wait in it: less than one record, and the piece that completes it


@functools.cache
def endpoints(shows: bool) -> tuple[EndpointTls, EndpointTls]:
    """A client's, with a certificate or without one, and a server's."""
    made = certificates()
    client, server = (made.shows, made.asks) if shows else (made.trusts, made.serves)
    return EndpointTls(client, server_side=False, host="localhost"), EndpointTls(server, server_side=True)


def play(octets: bytes) -> None:
    tape = Tape(octets)
    client, server = endpoints(tape.chance(4))
    sides = Side(client.new_connection()), Side(server.new_connection())
    scene = Scene(*sides)
    while not tape.over:
        scene.step(tape)
        scene.check()
    scene.end()


class Side:
    """One end: what is on its way to it, what it has said, and what came out of it, as frames."""

    def __init__(self, tls: TlsConnection) -> None:
        self.tls = tls
        self.coming = bytearray()
        self.said: list[bytes] = []
        self.heard: list[Any] = []
        self.decoder = FrameDecoder(Limits())
        self.error: ProtocolError | None = None
        self.is_altered = False  # what comes to it
        tls.open()

    def deliver(self, data: bytes, filled: int) -> None:
        assert not self.tls.paused, "it was handed on while nothing was wanted"
        if filled:
            self.decoder.body_filled(filled, self.heard)
        else:
            assert data
            self.decoder.receive(data, self.heard)

    def receive(self, data: bytes, is_enough: bool) -> None:
        if self.error is not None:
            return
        try:
            self.tls.receive(data, self.decoder, self.deliver, lambda: is_enough)
        except ProtocolError as error:
            self.error = error
            assert self.tls.closed

    def say(self, body: bytes) -> bytes:
        """A message, sealed."""
        self.said.append(body)
        data = encoded([body])
        pieces = (data[start : start + SEALED_AT_ONCE] for start in range(0, len(data), SEALED_AT_ONCE))
        return b"".join(map(self.tls.seal, pieces))


class Scene:
    """Both ends."""

    def __init__(self, client: Side, server: Side) -> None:
        self.ends = ((client, server), (server, client))

    def step(self, tape: Tape) -> None:
        side, other = tape.pick(self.ends)
        match tape.number(8):
            case 0 | 1 | 2:
                size = len(side.coming) if tape.chance(2) else tape.number(65536)
                data = bytes(side.coming[:size])
                del side.coming[:size]
                for piece in tape.pieces(data):
                    side.receive(piece, is_enough=tape.chance(8))
            case 3 | 4:
                if side.tls.ready and not side.tls.closed and sum(map(len, side.said)) < 500_000:
                    body = tape.octets(1) * tape.pick(SIZES)
                    other.coming += side.tls.take_output()
                    other.coming += side.say(body)
            case 5:
                if tape.chance(2):
                    changed = mutated(bytes(side.coming), Random(tape.octets(4)), [bytes(other.coming)])
                else:
                    changed = bytes(side.coming) + tape.some(64)
                side.is_altered |= changed != side.coming
                side.coming[:] = changed
            case 6:
                side.tls.paused = not side.tls.paused
                if not side.tls.paused:
                    side.receive(b"", False)
            case 7:
                if tape.chance(8):
                    side.tls.close()

    def check(self) -> None:
        for side, other in self.ends:
            if side.tls.has_output:
                other.coming += side.tls.take_output()
            assert not side.tls.has_output
            heard = [bytes(message[0]) for message in side.heard]
            assert heard == other.said[: len(heard)], "something else came out than what was put in"
            assert side.tls._incoming.pending <= HELD_MAX
            assert side.tls.ready or not heard
            assert side.error is None or side.is_altered or other.is_altered, f"nothing was altered: {side.error}"

    def end(self) -> None:
        """All of it arrives, unless somebody has altered it, or has ended it."""
        if any(side.is_altered or side.tls.closed for side, _ in self.ends):
            return
        for side, _ in self.ends * 4:
            side.tls.paused = False
            data = bytes(side.coming)
            side.coming.clear()
            side.receive(data, False)
            self.check()
        for side, other in self.ends:
            assert side.tls.ready
            assert len(side.heard) == len(other.said), f"{len(side.heard)} messages of {len(other.said)} have come"
