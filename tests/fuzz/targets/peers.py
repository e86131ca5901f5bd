"""One of our peers, alone with a hostile one: octets of any kind, time, and what its own program does, in any order."""

from __future__ import annotations

import functools
from random import Random
from typing import Any

from tests.fuzz import grown, sources
from tests.fuzz.client_side import ClientSide
from tests.fuzz.holds import check_peer, receive_after_the_end, sweep
from tests.fuzz.server_side import ServerSide
from tests.fuzz.tape import Tape
from tests.protocol.pairs import Clock, new_ids
from tests.zmtp.links import encoded, handshake
from tests.zmtp.links import octets as output_of
from zerorpc.event_log import log_event
from zerorpc.protocol.client_peer import ClientPeer
from zerorpc.protocol.patterns import remote_error, reply_value
from zerorpc.protocol.peer import News
from zerorpc.protocol.server_peer import ServerPeer
from zerorpc.zmtp import Limits
from zerorpc.zmtp.mechanisms import Null

LIMITS = Limits(message=100_000, values=1000, stalled=20, frames=8, command=1024, subscriptions=4096)
TIMES = (0.0, 0.01, 1.0, 5.0, 16.0, 31.0)
NAMES = (
    b"OK", b"ERR", b"STREAM", b"STREAM_DONE", b"_zpc_more", b"_zpc_hb", b"_zpc_cancel", b"_zpc_goaway", b"_zpc_latest",
    b"_zpc_dropped", b"_zpc_call_back", b"_zpc_outcome", b"_zpc_release", b"_zpc_forget", b"echo", b"_zpc_methods",
)  # fmt: skip
ARGS = (b"\x91\x05", b"\x90", b"\x91\xcf" + b"\xff" * 8, b"\x95\x01\x01\xa0\x90\x80", b"\x93\x01\xc3\xc0", b"\x91\x01")
TIMES_SENT = (1, 1, 1, 1, 1, 1, 2, 300)
SMALL = 256  # octets of a message that is sent so often
LATE = (0.0, 0.0, 0.05, 2.0, 20.0)  # s
CALLS = (  # what a request may say besides, in MessagePack
    b"\x81\xa6stream\x00", b"\x81\xa5lends\xc3", b"\x81\xa3ref\x01", b"\x81\xa8deadline\xcb\x40\x00\0\0\0\0\0\0",
    b"\x82\xa6stream\xa1x\xa6kwargs\x81\xa1x\xc0", b"\x81\xa3key\xa1k", b"\x80", b"\x81\xa8metadata\x81\xa1a\x01",
)  # fmt: skip
OCTETS, EVENT, LOCAL = range(3)  # what is chosen by the first octet of a step
CHUNK_MAX = 2048  # octets of one chunk in a seed


def play(octets: bytes) -> None:
    tape = Tape(octets)
    scene = Scene(tape)
    while not tape.over and not scene.over:
        scene.step(tape)
        scene.check()
    scene.end(tape)


class Scene:
    """``is_server`` says which role is ours. What the other one does is on the tape."""

    def __init__(self, tape: Tape) -> None:
        self.clock = Clock()
        self.is_server, self.level = tape.number(2) == 1, tape.number(2)
        heartbeat = tape.pick((5.0, 0.8, None))
        self.asks = self.is_server and tape.chance(8)
        if self.is_server:
            server = ServerPeer(heartbeat, new_ids(), LIMITS, lambda: Null(self.asks))
            self.peer: ServerPeer | ClientPeer = server
            self.side: ServerSide | ClientSide = ServerSide(server, lambda: self.clock.now)
        else:
            client = ClientPeer(heartbeat, new_ids(), tape.chance(4), LIMITS)
            client.borrow = lambda peer, reference: reference.number
            self.peer, self.side = client, ClientSide(client, lambda: self.clock.now)
        self.peer.tap = log_event if tape.chance(4) else None
        self.begun = False  # the other's greeting is sent
        self.over = False
        self.left = self.taken = 0  # octets of ours that the other one has not read, and has
        self.peer.opened(self.clock.now)

    def step(self, tape: Tape) -> None:
        match tape.number(8):
            case 0:
                data = tape.octets(int.from_bytes(tape.octets(2), "big"))
                self.begun = True
                for piece in tape.pieces(data):
                    self.receive(piece)
            case 1 | 5 | 6:
                start, message = self.start(), encoded([b"", self.event(tape)])
                self.receive(start + message * (tape.pick(TIMES_SENT) if len(message) < SMALL else 1))
            case 2 | 7:
                self.side.step(tape)
            case 3:
                self.pass_time(tape.pick(TIMES), tape.pick(LATE))
            case 4:
                self.read(tape.number(65536))

    def start(self) -> bytes:
        """What a peer sends first, if it was not sent yet."""
        if self.begun:
            return b""
        self.begun = True
        level: Any = {"X-Zerorpc": b"1"} if self.level else {}
        return handshake("DEALER" if self.is_server else "ROUTER", **level)

    def event(self, tape: Tape) -> bytes:
        """One with the ids of what is open here, perhaps."""
        ids = [b"\xc4\x01i", b"\xa1i"]
        keys = [key for key in self.peer.channels if isinstance(key, bytes)][:4]
        ids += keys if self.is_server else [b"\xc4\x20" + key for key in keys]
        match tape.number(4):
            case 0:
                return _event(b"\xc4\x02" + tape.octets(2).ljust(2, b"x"), b"\xc0", tape.pick(CALLS), b"echo", b"\x90")
            case 1:
                name, args = tape.pick((b"STREAM", b"STREAM", b"STREAM_DONE", b"ERR", b"OK")), b"\x01"
                return _event(b"\xc4\x01i", ids[-1], b"\xc0", name, args)
            case 2:
                name, message_id, response_to = tape.pick(NAMES), tape.pick(ids), tape.pick((*ids, b"\xc0"))
                args = tape.pick(ARGS) if tape.chance(2) else grown.value(tape)
                return _event(message_id, response_to, grown.value(tape), name, args)
        return b"\x93" + grown.header(tape, *ids) + grown.value(tape) + grown.value(tape) + tape.some(2)

    def receive(self, data: bytes) -> None:
        if self.over or (not self.peer.writable and self.peer.pauses_reading):
            return
        touched: Any = self.peer.receive_data(data, self.clock.now)
        news = self.peer.take_news()
        if isinstance(self.side, ServerSide):
            self.side.take(touched)
        if News.ASKS in news:
            assert self.asks
            if len(data) % 2:
                self.peer.refuse("no", self.clock.now)
            else:
                self.peer.admit(self.clock.now)
            news = self.peer.take_news()
        if News.BROKEN in news:
            self.over = True
            assert self.peer.error is not None

    def pass_time(self, seconds: float, late: float) -> None:
        until = self.clock.now + seconds
        while not self.over and (wake := self.peer.next_wake) is not None and wake <= until:
            self.clock.now = max(self.clock.now, wake) + late
            self.peer.progress(self.taken, self.left, self.clock.now)
            sweep(self.peer, self.clock.now)
            self.over = News.BROKEN in self.peer.take_news()
            self.flush()
        self.clock.now = max(self.clock.now, until)

    def read(self, count: int) -> None:
        """The other one takes so many octets of ours."""
        count = min(count, self.left)
        self.left -= count
        self.taken += count
        if not self.peer.writable and self.left < 50_000 and not self.over:
            self.peer.take_again()

    def flush(self) -> None:
        self.left += len(output_of(self.peer.connection))
        self.peer.writable = self.peer.writable and self.left < 100_000

    def check(self) -> None:
        self.flush()
        check_peer(self.peer)
        self.side.check()
        if isinstance(self.side, ClientSide):
            for call in self.side.calls:
                if (reply := call.channel.reply) is not None:
                    reply_value(reply.args)
                    str(remote_error(reply.args, reply.header.version))

    def end(self, tape: Tape) -> None:
        if self.peer.connection.error is not None:
            receive_after_the_end(self.peer, b"\1\0\0\x05hello", self.clock.now)
        self.side.close()


def _event(message_id: bytes, response_to: bytes, call: bytes, name: bytes, args: bytes) -> bytes:
    """One of packed parts; nil where there is none."""
    header = b"\x84\xaamessage_id" + message_id + b"\xabresponse_to" + response_to + b"\xa1v\x03\xa9_zpc_call" + call
    return b"\x93" + header + bytes((0xA0 + len(name),)) + name + args


@functools.cache
def seeds() -> tuple[bytes, ...]:
    """Real conversations with a server, and with a client; each kind of request, served; and any octets."""
    server, client = b"\1\1\0\0\0", b"\0\1\0\0\0"
    real = [server + _run(chunks) for chunks in sources.heard()] + [
        client + _run(chunks) for chunks in sources.answered()
    ]
    served = [
        server + bytes((EVENT, 0, *b"ab", call, 0)) * 2 + bytes((LOCAL, 0, 0, step)) * 3 + bytes((EVENT, 1, item, 7))
        for call in range(len(CALLS))
        for step in range(8)
        for item in (0, 2)
    ]
    chance = Random(0)
    return (*real, *served, *(start + chance.randbytes(300) for start in (server, client) * 100))


def _run(chunks: tuple[bytes, ...]) -> bytes:
    """The rest of a tape on which these come, with something of ours between them."""
    run = []
    for chunk in chunks:
        if len(chunk) <= CHUNK_MAX:
            run.append(bytes((OCTETS,)) + len(chunk).to_bytes(2, "big") + chunk + b"\0\0")
            run.append(bytes((LOCAL, 0, 0, 0, 1, 1, LOCAL, 5)))
    return b"".join(run)
