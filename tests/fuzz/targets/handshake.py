"""The handshake of each mechanism, in both roles, beside a peer that means well and one on the way that doesn't."""

from __future__ import annotations

from random import Random

from tests.fuzz.mutation import mutated
from tests.fuzz.security import MECHANISMS, PASSWORD, USER, Mechanisms, drawn_from
from tests.fuzz.tape import Tape
from tests.zmtp.links import octets as output_of
from zerorpc.zmtp import Connection, Limits, SocketType, State
from zerorpc.zmtp.commands import Command, encode_metadata
from zerorpc.zmtp.frames import encode_message
from zerorpc.zmtp.mechanisms.curve import CurveClient

LIMITS = Limits(message=4096, frames=8, command=1024, subscriptions=2048)
STRANGER = bytes(range(32))  # somebody's public key
NAMES = (b"READY", b"HELLO", b"WELCOME", b"INITIATE", b"ERROR", b"PING", b"MESSAGE", b"SUBSCRIBE", b"x")


def play(octets: bytes) -> None:
    tape = Tape(octets)
    with drawn_from(octets):
        scene = Scene(tape.pick(MECHANISMS), swapped=tape.chance(16))
        while not tape.over:
            scene.step(tape)
            scene.check()
        scene.end()


class Scene:
    """``ours`` is what is tested. ``altered``: something else has come there than what its peer has sent."""

    def __init__(self, mechanisms: Mechanisms, swapped: bool) -> None:
        self.mechanisms = mechanisms
        self.ours = Connection(SocketType.ROUTER, mechanism=mechanisms.ours, limits=LIMITS)
        self.roles_match = not swapped or self.ours._mechanism.symmetric
        theirs = mechanisms.theirs if self.roles_match else mechanisms.ours
        self.peer = Connection(SocketType.DEALER, mechanism=theirs)
        self.altered = False
        self.lies = False  # it says that another's key is its own, or vouches for another server
        self.admitted = False
        self.messages = 0  # that came out of ours
        self.told = b""  # what ours has sent so far

    def step(self, tape: Tape) -> None:
        match tape.number(9):
            case 0 | 1:
                self.carry()
            case 2:
                for piece in tape.pieces(output_of(self.peer)):
                    self.receive(piece)
            case 3:
                sent = output_of(self.peer)
                changed = mutated(sent, Random(tape.octets(4)), [self.told])
                self.altered |= changed != sent
                self.receive(changed)
            case 4:
                self.inject(Command(tape.pick(NAMES), self.data(tape)).encode())
            case 5:
                self.inject(self.message(tape))
            case 6:
                self.admitted |= self.ours.asking
                self.ours.admit()
            case 7:
                was_asking = self.ours.asking
                self.ours.refuse("no")
                assert not was_asking or self.ours.state is State.CLOSED
                self.altered |= was_asking
            case 8:
                self.lie(tape)

    def lie(self, tape: Tape) -> None:
        """The peer is no honest one: it has keys of its own, and uses them as it likes."""
        mechanism = self.peer._mechanism
        if isinstance(mechanism, CurveClient) and self.peer.state is not State.TRAFFIC and mechanism._session == b"":
            self.altered = self.lies = True
            if tape.chance(2):
                mechanism._public = STRANGER
            else:
                mechanism._server = STRANGER

    def data(self, tape: Tape) -> bytes:
        """Of a command: metadata, mostly."""
        match tape.number(4):
            case 0:
                kind = tape.pick((b"DEALER", b"ROUTER", b"PUB", b"?"))
                return encode_metadata({"Socket-Type": kind, "Identity": b""})
            case 1:
                return encode_metadata({"Identity": bytes(tape.number(300)), "X-Zerorpc": tape.some(5)})
            case 2:
                return bytes((len(USER),)) + USER + bytes((len(PASSWORD),)) + PASSWORD + tape.some(1)
        return tape.some(64)

    def message(self, tape: Tape) -> bytes:
        frames: list[bytes | bytearray] = []
        encode_message([tape.some(4)] * (1 + tape.number(3)), frames)
        return b"".join(frames)

    def carry(self) -> None:
        """What there is to be sent, both ways."""
        self.receive(output_of(self.peer))
        sent = output_of(self.ours)
        self.told += sent
        self.peer.receive_data(sent)

    def inject(self, data: bytes) -> None:
        self.altered = True
        self.receive(data)

    def receive(self, data: bytes) -> None:
        closed, kept = self.ours.state is State.CLOSED, list(self.ours.output)
        messages = self.ours.receive_data(data)
        self.messages += len(messages)
        if closed:
            assert not messages, "messages came out of a connection that is closed"
            assert self.ours.output == kept, "a connection that is closed has answered"

    def check(self) -> None:
        ours, mechanism = self.ours, self.ours._mechanism
        assert (ours.error is None) == (ours.state is not State.CLOSED)
        assert not (ours.asking and ours.state is not State.HANDSHAKE)
        assert len(ours._handshake._buffer) <= 64
        if ours.state is not State.TRAFFIC:
            assert not ours.quick
            return
        assert not mechanism.asks or self.admitted, "nobody was asked"
        assert not self.lies, "it has believed a lie"
        assert ours.peer_socket_type is not None
        assert mechanism.credentials is not None
        assert mechanism.credentials.password == b"" or not self.admitted, "the password is kept"
        if self.mechanisms.key:
            assert mechanism.credentials.key == self.mechanisms.key, "the peer has not shown this key"
        if mechanism.name == "PLAIN" and mechanism.as_server and not mechanism.asks:
            assert (mechanism.credentials.user, mechanism.credentials.password) == (USER, PASSWORD)

    def end(self) -> None:
        """All that was still to be done is done, if nothing was altered: then it has to end well."""
        if self.altered:
            return
        for _ in range(8):
            self.carry()
            self.admitted |= self.ours.asking
            self.ours.admit()
        if not self.roles_match:
            assert State.CLOSED in (self.ours.state, self.peer.state), "both have the same role"
            return
        self.check()
        assert self.ours.state is self.peer.state is State.TRAFFIC, f"{self.ours.error} {self.peer.error}"
        self.peer.send_message([b"", b"said"])
        (message,) = self.ours.receive_data(output_of(self.peer))
        assert [bytes(frame) for frame in message][-1] == b"said"
        assert self.messages == 0
