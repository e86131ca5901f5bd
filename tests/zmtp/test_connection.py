"""Connections from the greeting to the end: what goes through, what ends them, and that nothing else can happen."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.zmtp.links import (
    PARTNERS,
    after_handshake,
    commands,
    cuts,
    encoded,
    exchange,
    handshake,
    messages,
    octets,
    pair,
    split,
)
from zerorpc.zmtp import Connection, Limits, SocketType, State, memory
from zerorpc.zmtp.commands import Command, encode_metadata
from zerorpc.zmtp.greeting import Greeting

GREETING = Greeting("NULL").encode()
TOO_EARLY = "the peer sent a message before the handshake was over"


# The handshake


def test_it_opens_with_the_greeting_and_sends_ready_when_the_peers_is_there() -> None:
    connection = Connection(SocketType.DEALER, identity=b"me", properties={"X-Zerorpc": b"1"})
    assert octets(connection) == GREETING
    connection.receive_data(GREETING[:-1])
    assert octets(connection) == b""
    assert connection.state is State.GREETING
    connection.receive_data(GREETING[-1:])
    metadata = encode_metadata({"Socket-Type": b"DEALER", "Identity": b"me", "X-Zerorpc": b"1"})
    assert commands(connection) == [Command(b"READY", metadata)]
    assert connection.state is State.HANDSHAKE


def test_each_side_learns_who_the_other_is() -> None:
    dealer, router = pair(identity=b"me", properties={"X-Zerorpc": b"1"})
    assert (router.peer_socket_type, router.peer_identity) == (SocketType.DEALER, b"me")
    assert router.peer_properties == {"socket-type": b"DEALER", "identity": b"me", "x-zerorpc": b"1"}
    assert (dealer.peer_socket_type, dealer.peer_identity) == (SocketType.ROUTER, b"")
    assert router.peer_greeting == Greeting("NULL")


def test_of_what_a_peer_says_only_what_somebody_reads_is_kept() -> None:
    """64 KiB of it would be kept for each connection."""
    _, router = pair(properties={"X-Zerorpc": b"1", "X-Other": bytes(60_000)})
    assert router.peer_properties.keys() == {"socket-type", "identity", "x-zerorpc"}
    _, router = pair(properties={"X-Zerorpc": bytes(60_000)})
    assert router.peer_properties.keys() == {"socket-type", "identity"}


def test_a_routing_id_may_have_255_octets() -> None:
    _, router = pair(identity=bytes(255))
    assert router.peer_identity == bytes(255)
    dealer, router = Connection(SocketType.DEALER, identity=bytes(256)), Connection(SocketType.ROUTER)
    exchange(dealer, router)
    assert str(router.error) == "the peer's routing id has more than 255 octets"


def test_a_peer_may_leave_its_identity_out() -> None:
    assert after_handshake().peer_identity == b""


@pytest.mark.parametrize(("minor", "speaks"), [(0, False), (1, True), (2, True)])
def test_the_versions_3_0_and_newer_are_spoken(minor: int, speaks: bool) -> None:
    connection = Connection(SocketType.ROUTER)
    assert not connection.speaks_3_1
    connection.receive_data(handshake(minor=minor))
    assert connection.state is State.TRAFFIC
    assert connection.speaks_3_1 is speaks


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (handshake("REQUEST"), "the peer's socket type is unknown: 'REQUEST'"),
        (GREETING + Command(b"READY", b"").encode(), "the peer's socket type is unknown: ''"),
        (handshake("PUB"), "a ROUTER socket can't talk to a PUB socket"),
        (GREETING + Command(b"HELLO", b"").encode(), "the peer sent b'HELLO' where READY was expected"),
        (GREETING + Command(b"READY", b"\xff").encode(), "malformed metadata at octet 0"),
        (GREETING + encoded([b"hi"]), TOO_EARLY),
        (GREETING + Command.error("go away").encode(), "the peer refused the connection: go away"),
        (GREETING + b"\x08\0", "a frame with flags 0x08"),
    ],
)
def test_a_handshake_that_fails_tells_the_peer_why(data: bytes, why: str) -> None:
    for chunks in ([data], split(data, range(len(data)))):
        connection = Connection(SocketType.ROUTER)
        for chunk in chunks:
            assert connection.receive_data(chunk) == []
        assert connection.state is State.CLOSED
        assert str(connection.error) == why
        assert octets(connection).endswith(Command.error(why).encode())


def test_a_long_message_before_the_end_of_the_handshake_is_refused_at_its_start() -> None:
    connection = Connection(SocketType.ROUTER)
    connection.receive_data(GREETING + b"\x02" + (100_000_000).to_bytes(8, "big") + b"x")
    connection.receive_data(b"x")
    assert str(connection.error) == TOO_EARLY


def test_a_long_ready_in_pieces_is_no_message() -> None:
    data = handshake(**{f"X-{number}": b"y" * 100 for number in range(10)})
    connection = Connection(SocketType.ROUTER)
    for chunk in split(data, range(len(data))):
        connection.receive_data(chunk)
    assert connection.state is State.TRAFFIC


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\xff" + bytes(8) + b"\x7f\x01", b"\0" * 64])
def test_what_is_no_zmtp_3_gets_no_word_back(data: bytes) -> None:
    connection = Connection(SocketType.ROUTER)
    connection.take_output()
    connection.receive_data(data)
    assert connection.state is State.CLOSED
    assert "ZMTP 3" in str(connection.error)
    assert octets(connection) == b""


# Traffic


@given(st.lists(messages, max_size=5), cuts)
def test_messages_arrive_as_they_were_sent_however_the_stream_is_cut(sent: list[list[bytes]], cuts: list[int]) -> None:
    dealer, router = Connection(SocketType.DEALER), Connection(SocketType.ROUTER)
    dealer.receive_data(handshake("ROUTER"))
    for message in sent:
        dealer.send_message(message)
        dealer.send_delimited(message[0])
    wire = octets(dealer)
    received = [message for chunk in split(wire, cuts) for message in router.receive_data(chunk)]
    assert received == [part for message in sent for part in (message, [b"", message[0]])]
    assert router.error is None


noise = st.one_of(
    st.binary(max_size=40),
    messages.map(encoded),
    st.builds(
        lambda name, data: Command(name, data).encode(),
        st.sampled_from([b"PING", b"PONG", b"SUBSCRIBE", b"CANCEL", b"ERROR", b"READY", b"MESSAGE", b"X"]),
        st.binary(max_size=30),
    ),
)


def outcome(kind: SocketType, chunks: list[bytes]) -> tuple[object, ...]:
    """All that a connection shows after these chunks."""
    connection = Connection(kind, limits=Limits(message=500, frames=4, command=200, subscriptions=200))
    received = [message for chunk in chunks for message in connection.receive_data(chunk)]
    connection.send_pong()
    shown = [connection.state, connection.peer_ttl, repr(connection.subscriptions)]
    if connection.peer_socket_type is None:  # why a handshake failed may be seen sooner in smaller chunks
        return received, shown, connection.error is None
    return received, shown, str(connection.error), octets(connection)


@given(st.sampled_from(list(PARTNERS)), st.sampled_from(["", "greeting", "all"]), st.lists(noise, max_size=8), cuts)
@example(SocketType.ROUTER, "greeting", [Command.error("no").encode(), b"\x08\x08"], [])
@example(SocketType.PUB, "all", [b"\0\x01\x01", b"\x01\x01\x01\0\0"], [])
def test_any_bytes_give_messages_or_a_protocol_error_the_same_for_any_split(
    kind: SocketType, begun: str, noise: list[bytes], cuts: list[int]
) -> None:
    opening = {"": b"", "greeting": GREETING, "all": handshake(PARTNERS[kind].value)}[begun]
    wire = opening + b"".join(noise)
    whole = outcome(kind, [wire])
    assert outcome(kind, split(wire, cuts)) == whole
    assert outcome(kind, split(wire, range(len(wire)))) == whole


def test_the_first_error_of_a_chunk_is_the_one_that_counts() -> None:
    connection = after_handshake()
    received = connection.receive_data(
        encoded([b"before"]) + Command.error("enough").encode() + encoded([b"after"]) + b"\x08\x08"
    )
    assert received == [[b"before"]]
    assert str(connection.error) == "the peer ended the connection: enough"


def test_messages_before_an_error_are_kept_and_nothing_comes_after_it() -> None:
    connection = after_handshake()
    assert connection.receive_data(encoded([b"one"]) + encoded([b"two"]) + b"\x08\x08") == [[b"one"], [b"two"]]
    assert connection.state is State.CLOSED
    assert connection.receive_data(encoded([b"three"])) == []
    assert octets(connection) == b""  # ERROR belongs to the handshake


def test_a_reply_to_what_came_before_an_error_is_no_error_of_ours() -> None:
    connection = after_handshake()
    connection.receive_data(encoded([b"", b"question"]) + b"\x08\x08")
    connection.send_message([b"route", b"", b"answer"])
    connection.send_delimited(b"answer")
    assert octets(connection) == encoded([b"route", b"", b"answer"]) + encoded([b"", b"answer"])


def test_sending_before_the_handshake_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match=r"send_message in State\.GREETING"):
        Connection(SocketType.DEALER).send_message([b"hi"])


def test_a_large_message_arrives_without_a_copy_of_all_that_came_before(monkeypatch: pytest.MonkeyPatch) -> None:
    size = 16 * 1024 * 1024
    monkeypatch.setattr(memory, "_kept", size)  # the block that is mapped and freed untouched would count here
    connection = after_handshake()
    connection.receive_data(b"\x02" + size.to_bytes(8, "big"))
    piece = bytes(4096)
    tracemalloc.start()
    try:
        received = [message for _ in range(size // 4096) for message in connection.receive_data(piece)]
        assert tracemalloc.get_traced_memory()[1] < 2 * size
    finally:
        tracemalloc.stop()
    assert [len(message[0]) for message in received] == [size]


def fill(connection: Connection, data: bytes) -> list[list[bytes]]:
    """Put the rest of a body where it belongs."""
    received = []
    while data:
        room = connection.decoder.body_room()
        count = min(len(room), len(data))
        room[:count], data = data[:count], data[count:]
        room.release()
        received += connection.body_filled(count)
    return received  # type: ignore[return-value]


def test_a_body_that_is_put_into_its_place_is_received() -> None:
    connection = after_handshake()
    wire = encoded([b"", b"x" * 100_000])
    assert connection.receive_data(wire[:30_000]) == []
    assert fill(connection, wire[30_000:]) == [[b"", b"x" * 100_000]]
    assert connection.receive_data(encoded([b"hi"])) == [[b"hi"]]


def test_a_command_that_is_put_into_its_place_is_obeyed() -> None:
    connection = after_handshake()
    wire = b"\x06" + (8).to_bytes(8, "big") + b"\x04PING\0\x64x"
    assert connection.receive_data(wire[:-3]) == []
    assert fill(connection, wire[-3:]) == []
    assert connection.peer_ttl == 10.0
    assert connection.news


def test_a_broken_command_that_is_put_into_its_place_ends_the_connection() -> None:
    connection = after_handshake()
    wire = b"\x06" + (8).to_bytes(8, "big") + b"\x09PING\0\x64x"
    assert connection.receive_data(wire[:-3]) == []
    assert fill(connection, wire[-3:]) == []
    assert connection.state is State.CLOSED
    assert "malformed command" in str(connection.error)


# Commands


def test_a_ping_is_answered_when_the_owner_says_so_with_its_context() -> None:
    dealer, router = pair()
    dealer.send_ping(ttl=30, context=b"are you there")
    assert exchange(dealer, router) == ([], [])
    assert router.news
    assert router.peer_ttl == 30
    router.send_pong()
    assert commands(router) == [Command(b"PONG", b"are you there")]
    router.send_pong()
    assert commands(router) == []


def test_unanswered_pings_leave_one_answer_to_send() -> None:
    router = after_handshake()
    for number in range(1000):
        router.receive_data(Command(b"PING", b"\0\0%d" % number).encode())
    router.send_pong()
    assert commands(router) == [Command(b"PONG", b"999")]


@pytest.mark.parametrize(("ttl", "tenths"), [(0, 0), (0.3, 3), (6553.5, 65_535), (1_000_000, 65_535)])
def test_a_ttl_travels_in_tenths_of_a_second(ttl: float, tenths: int) -> None:
    dealer, router = pair()
    dealer.send_ping(ttl, b"x" * 20)
    assert commands(dealer) == [Command(b"PING", tenths.to_bytes(2, "big") + b"x" * 16)]
    dealer.send_ping(ttl)
    exchange(dealer, router)
    assert router.peer_ttl == (pytest.approx(tenths / 10) if tenths else None)


@pytest.mark.parametrize("size", [0, 1, 19])
def test_a_ping_of_the_wrong_size_is_an_error(size: int) -> None:
    router = after_handshake()
    router.receive_data(Command(b"PING", bytes(size)).encode())
    assert str(router.error) == f"a PING of {size} octets"


@pytest.mark.parametrize("name", [b"PONG", b"SUBSCRIBE", b"CANCEL", b"READY", b"LATER"])
def test_a_command_that_means_nothing_here_is_ignored(name: bytes) -> None:
    router = after_handshake()
    assert router.receive_data(Command(name, b"x").encode() + encoded([b"hi"])) == [[b"hi"]]
    assert (router.error, len(router.subscriptions), router.news) == (None, 0, False)


def test_an_error_command_ends_the_connection() -> None:
    router = after_handshake()
    router.receive_data(Command.error("moved").encode())
    assert router.state is State.CLOSED
    assert router.news
    assert str(router.error) == "the peer ended the connection: moved"


# Subscriptions


@pytest.mark.parametrize(("minor", "by_command"), [(0, False), (1, True)])
def test_subscriptions_go_by_command_or_by_message_as_the_publisher_knows_it(minor: int, by_command: bool) -> None:
    subscriber, publisher = Connection(SocketType.SUB), after_handshake(SocketType.PUB)
    subscriber.receive_data(handshake("PUB", minor=minor))
    subscriber.take_output()
    subscriber.send_subscribe(b"a")
    subscriber.send_subscribe(b"b")
    subscriber.send_cancel(b"a")
    wire = octets(subscriber)
    assert (b"SUBSCRIBE" in wire) is by_command
    assert publisher.receive_data(wire) == []
    assert [publisher.subscriptions.match(topic) for topic in (b"a1", b"b1")] == [False, True]


@pytest.mark.parametrize("message", [[b""], [b"\x02x"], [b"\x01x", b"more"], [b"other"]])
def test_other_messages_to_a_publisher_are_messages(message: list[bytes]) -> None:
    publisher = after_handshake(SocketType.PUB)
    assert publisher.receive_data(encoded(message)) == [message]
    assert len(publisher.subscriptions) == 0


@pytest.mark.parametrize("form", ["command", "message"])
def test_a_subscriber_cant_make_us_keep_any_number_of_subscriptions(form: str) -> None:
    publisher = after_handshake(SocketType.PUB)
    held = 0
    for number in itertools.count():
        prefix = number.to_bytes(8, "big")
        publisher.receive_data(
            Command(b"SUBSCRIBE", prefix).encode() if form == "command" else encoded([b"\x01" + prefix])
        )
        if publisher.state is State.CLOSED:
            break
        held += 1
    assert 10_000 < held < 20_000
    assert "subscriptions of more than" in str(publisher.error)


def test_it_shows_where_it_stands() -> None:
    connection = Connection(SocketType.DEALER)
    assert repr(connection) == "<Connection DEALER-? greeting>"
    connection.receive_data(handshake("ROUTER"))
    assert repr(connection) == "<Connection DEALER-ROUTER traffic>"


class Interrupting(bytes):
    """A body in the midst of whose sending something else is done, as a finalizer or a signal handler may."""

    def __len__(self) -> int:
        self.act()
        return super().__len__()

    act: Callable[[], object] = staticmethod(lambda: None)


@pytest.mark.parametrize("size", [10, 1000])
@pytest.mark.parametrize("way", ["send_delimited", "send_message"])
def test_messages_sent_in_the_midst_of_another_are_not_mixed_with_it(size: int, way: str) -> None:
    left, right = pair()
    sent: list[bytes] = []

    def act() -> None:
        left.send_delimited(b"i" * size)
        sent.append(octets(left))

    body = Interrupting(b"o" * size)
    body.act = act  # type: ignore[method-assign]
    send = getattr(left, way)
    send(body) if way == "send_delimited" else send([b"", body])
    sent.append(octets(left))
    received = right.receive_data(b"".join(sent))
    assert right.error is None
    assert [bytes(message[-1])[:1] for message in received] == [b"i"] * (len(sent) - 1) + [b"o"]
