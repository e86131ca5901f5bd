"""A client's peer and a server's, with all that programs do, what is on the way cut in any place, and time that passes.

As long as nobody alters what is on the way, a simple model holds: every request arrives once and in order, every call
ends at most once, and what its program gets is what the method has sent. Then octets are changed, and what holds for
any peer is left.
"""

from __future__ import annotations

from random import Random
from typing import Any

from tests.fuzz.client_side import ClientSide
from tests.fuzz.holds import check_peer, sweep
from tests.fuzz.mutation import mutated
from tests.fuzz.security import MECHANISMS, drawn_from
from tests.fuzz.server_side import ServerSide
from tests.fuzz.tape import Tape
from tests.protocol.pairs import Clock, new_ids
from tests.zmtp.links import octets as output_of
from zerorpc.errors import ProtocolError
from zerorpc.protocol.client_peer import ClientPeer
from zerorpc.protocol.peer import News, Peer
from zerorpc.protocol.server_peer import ServerPeer
from zerorpc.zmtp import Limits

PAIRS = [pair for pair in MECHANISMS if pair.ours().as_server or pair.ours().symmetric]
TIMES = (0.0, 0.0005, 0.01, 1.0, 2.5, 6.0, 31.0)
STALLED = 40  # s after which a stream ends whose reader asks for nothing more
LATE = (0.0, 0.0, 0.05, 2.0, 20.0)  # s
TOO_MUCH = 300_000  # octets on the way, from which on a peer is told to write no more


def play(octets: bytes) -> None:
    with drawn_from(octets):
        tape = Tape(octets)
        scene = Scene(tape)
        while not tape.over and not scene.over:
            scene.step(tape)
            scene.check()
        scene.end()


class Scene:
    """Two peers, and what is on the way ``to`` each."""

    def __init__(self, tape: Tape) -> None:
        security, heartbeat = tape.pick(PAIRS), tape.pick((5.0, 0.8, None))
        self.clock = Clock()
        client: Any = ClientPeer(heartbeat, new_ids(), passive=tape.chance(4), mechanism=security.theirs)
        server: Any = ServerPeer(heartbeat, new_ids(), Limits(stalled=STALLED), security.ours)
        self.client = ClientSide(client, lambda: self.clock.now)
        self.server = ServerSide(server, lambda: self.clock.now)
        self.to: dict[Peer[Any, Any], bytearray] = {client: bytearray(), server: bytearray()}
        self.ends = ((client, server), (server, client))
        self.taken = {client: 0, server: 0}  # octets of theirs that have arrived
        self.old = tape.chance(4) and security is PAIRS[0]  # neither knows the other's extensions
        self.altered = False
        self.over = False
        for peer in self.to:
            peer.opened(self.clock.now)

    def step(self, tape: Tape) -> None:
        kind = tape.number(16)
        if kind <= 4:
            self.client.step(tape)
        elif kind <= 8:
            self.server.step(tape)
        elif kind <= 13:
            peer, other = tape.pick(self.ends)
            size = len(self.to[peer]) if tape.chance(2) else tape.number(65536)
            self.carry(peer, other, size)
        elif kind == 14:
            self.pass_time(tape.pick(TIMES), tape.pick(LATE))
        elif tape.chance(8):
            self.alter(tape)

    def carry(self, peer: Peer[Any, Any], other: Peer[Any, Any], size: int) -> None:
        """So many octets arrive at ``peer``."""
        if self.over or (not peer.writable and peer.pauses_reading):
            return
        data = bytes(self.to[peer][:size])
        del self.to[peer][:size]
        if data:
            self.taken[other] += len(data)
            self.act_on(peer, peer.receive_data(data, self.clock.now))
        if not other.writable and len(self.to[peer]) < TOO_MUCH // 2:
            other.take_again()

    def act_on(self, peer: Peer[Any, Any], touched: list[Any]) -> None:
        """As ``Link`` does."""
        if peer is self.server.peer:
            self.server.take(touched)
        if peer.news:
            news = peer.take_news()
            if News.ASKS in news:
                peer.admit(self.clock.now)
                self.act_on(peer, [])
            if News.BROKEN in news:
                self.over = True
                assert self.altered or not isinstance(peer.error, ProtocolError) or not peer.ready, peer.error

    def pass_time(self, seconds: float, late: float) -> None:
        """Sweep peers when they want to be, or so much later: as in a process that is stopped now and then."""
        until = self.clock.now + seconds
        while not self.over:
            wakes = [(peer.next_wake, number) for number, peer in enumerate(self.to) if peer.next_wake is not None]
            wake, number = min(wakes, default=(until + 1, 0))
            if wake > until:
                break
            peer, other = self.ends[number]
            self.clock.now = max(self.clock.now, wake) + late
            peer.progress(self.taken[peer], len(self.to[other]), self.clock.now)
            self.act_on(peer, sweep(peer, self.clock.now))
            self.flush()
        self.clock.now = max(self.clock.now, until)

    def alter(self, tape: Tape) -> None:
        """Octets, on the way; or one end, which has the key, seals what it may not."""
        sender = tape.pick(self.ends)[1]
        mechanism = sender.connection._mechanism
        if sender.ready and mechanism.seals and sender.error is None and tape.chance(2):
            self.altered = True
            for _ in range(1 + tape.number(3)):
                mechanism._seal_into(bytes((tape.number(5),)), tape.some(40), sender.connection.output)
            return
        data = self.to[tape.pick(self.ends)[0]]
        changed = mutated(bytes(data), Random(tape.octets(4)), [bytes(data) for data in self.to.values()])
        self.altered |= changed != data
        data[:] = changed[: 2 * TOO_MUCH]

    def flush(self) -> None:
        """What there is to send is on its way."""
        for peer, other in self.ends:
            data = output_of(peer.connection)
            if self.old:
                data = data.replace(b"X-Zerorpc", b"X-Unknown")
            self.to[other] += data
            peer.writable = peer.writable and len(self.to[other]) < TOO_MUCH

    def check(self) -> None:
        self.flush()
        for peer in self.to:
            check_peer(peer)
        self.client.check()
        self.server.check()
        if not self.altered:
            self.compare(False)

    def compare(self, whole: bool) -> None:
        """With the model: the calls are numbered by their first argument."""
        requests = [request for request in self.server.requests if request.channel.args]  # and not the peer's own
        numbers = [request.channel.args[0] for request in requests]
        assert numbers == sorted(set(numbers)), f"requests came more than once, or out of order: {numbers}"
        for request in requests:
            call = self.client.calls[request.channel.args[0]]
            assert request.channel.args == call.args
            assert request.items == call.sent[: len(request.items)]
            over = request.channel.finished and not request.channel.closed
            self.client.check_taken(call, request.sent, whole and over and call.channel.error is None)
        for call in self.client.calls:
            assert not call.taken or call.args[0] in numbers, "an answer to a request that never arrived"

    def end(self) -> None:
        """What is on the way arrives, and is read, if nobody has altered it; then the connection is lost."""
        while not (self.over or self.altered) and self.moves():
            self.check()
        if not (self.over or self.altered):
            self.compare(True)
        self.client.close()
        self.server.close()
        self.client.check()

    def moves(self) -> bool:
        """Carry and read all that there is; whether there was any."""
        moved = False
        for peer, other in self.ends:
            moved |= bool(self.to[peer])
            peer.writable = other.writable = True
            self.carry(peer, other, len(self.to[peer]))
        for call in self.client.calls:
            before = len(call.taken)
            self.client.take(call)
            moved |= len(call.taken) > before
        self.flush()
        return moved
