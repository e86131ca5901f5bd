"""CURVE in both roles: its commands to the octet, any bytes in any pieces, and what an attacker may try."""

from __future__ import annotations

import functools
import gc
import importlib.util
import sys
import weakref
from collections.abc import Callable
from typing import Any

import nacl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_box_beforenm, crypto_box_keypair, crypto_secretbox_easy, crypto_secretbox_open_easy

from tests.zmtp.links import commands, cuts, encoded, exchange, messages, octets, split
from zerorpc.errors import HandshakeFailed, ProtocolError
from zerorpc.keys import KeyPair, encode_z85
from zerorpc.zmtp import Connection, Limits, SocketType, State
from zerorpc.zmtp.commands import Command, encode_metadata
from zerorpc.zmtp.frames import Frame, FrameDecoder, Message
from zerorpc.zmtp.greeting import Greeting
from zerorpc.zmtp.mechanisms import curve_traffic
from zerorpc.zmtp.mechanisms.base import Credentials
from zerorpc.zmtp.mechanisms.curve import CookieKey, CookieKeys, CurveClient, CurveServer
from zerorpc.zmtp.mechanisms.curve_traffic import SealedTraffic


@pytest.fixture(autouse=True, params=["libsodium", "PyNaCl"])
def by_what(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames are sealed by libsodium itself, or by PyNaCl's functions where a later one has no way to it."""
    if request.param == "PyNaCl":
        monkeypatch.setattr(curve_traffic, "lib", None)


SERVER, CLIENT, OTHER = (KeyPair.generate() for _ in range(3))
COOKIE_KEY = CookieKey()
GREETING = Greeting("CURVE").encode()  # as libzmq's: it never says that it is the server


def new_client(**options: Any) -> Connection:
    options = {"kind": SocketType.DEALER, "server": SERVER.public, "asks": False} | options
    mechanism = functools.partial(CurveClient, *CLIENT, options.pop("server"), options.pop("asks"))
    return Connection(options.pop("kind"), mechanism=mechanism, **options)


def new_server(**options: Any) -> Connection:
    options = {"kind": SocketType.ROUTER, "asks": False, "also": None} | options
    mechanism = functools.partial(CurveServer, *SERVER, COOKIE_KEY, options.pop("asks"), options.pop("also"))
    return Connection(options.pop("kind"), mechanism=mechanism, **options)


def pair(client: dict[str, Any] | None = None, server: dict[str, Any] | None = None) -> tuple[Connection, Connection]:
    ends = new_client(**client or {}), new_server(**server or {})
    assert exchange(*ends) == ([], [])
    assert [end.state for end in ends] == [State.TRAFFIC] * 2
    return ends


def frames(data: bytes) -> list[Message | Command]:
    """What a decoder makes of octets, greeting apart."""
    out: list[Message | Command] = []
    FrameDecoder(Limits()).receive(data, out)
    return out


def step(source: Connection, *targets: Connection) -> bytes:
    """Carry what one has to send to the others."""
    data = octets(source)
    for target in targets:
        target.receive_data(data)
    return data


# The handshake


def test_its_commands_have_the_sizes_of_the_rfc() -> None:
    client, server = new_client(identity=b"me"), new_server()
    assert octets(client) == Greeting("CURVE").encode()
    client.receive_data(octets(server))
    server.receive_data(GREETING)
    [hello] = commands(client)
    assert (hello.name, len(hello.body)) == (b"HELLO", 200)
    assert hello.data[:74] == b"\1\0" + bytes(72)
    assert hello.data[106:114] == (1).to_bytes(8, "big")
    server.receive_data(hello.encode())
    [welcome] = commands(server)
    assert (welcome.name, len(welcome.body)) == (b"WELCOME", 168)
    client.receive_data(welcome.encode())
    [initiate] = frames(octets(client))
    assert isinstance(initiate, Command)
    metadata = encode_metadata({"Socket-Type": b"DEALER", "Identity": b"me"})
    assert (initiate.name, len(initiate.body)) == (b"INITIATE", 257 + len(metadata))
    assert initiate.data[96:104] == (2).to_bytes(8, "big")
    server.receive_data(initiate.encode())
    [ready] = commands(server)
    assert (ready.name, len(ready.body)) == (
        b"READY",
        30 + len(encode_metadata({"Socket-Type": b"ROUTER", "Identity": b""})),
    )
    assert ready.data[:8] == (1).to_bytes(8, "big")
    client.receive_data(ready.encode())
    assert [end.state for end in (client, server)] == [State.TRAFFIC] * 2


def test_it_is_securing_from_the_greeting_to_the_end_of_the_handshake() -> None:
    client, server = new_client(), new_server()
    assert not client.securing
    client.receive_data(octets(server))
    assert client.securing
    exchange(client, server)
    assert not client.securing
    null = Connection(SocketType.DEALER)
    null.receive_data(Greeting("NULL").encode())
    assert not null.securing


def test_each_side_learns_who_the_other_is() -> None:
    client, server = pair({"identity": b"me", "properties": {"X-Zerorpc": b"1"}})
    assert server.peer_properties == {"socket-type": b"DEALER", "identity": b"me", "x-zerorpc": b"1"}
    assert server.credentials == Credentials("CURVE", CLIENT.public)
    assert client.credentials == Credentials("CURVE", SERVER.public)
    assert client.peer_socket_type is SocketType.ROUTER


def test_nothing_secret_is_on_the_wire_and_no_two_conversations_are_alike() -> None:
    wires = []
    for _ in range(2):
        client, server = new_client(identity=b"secret me"), new_server()
        wire = b""
        for _ in range(3):
            wire += step(server, client) + step(client, server)
        client.send_message([b"secret text"])
        wire += step(client, server)
        assert CLIENT.public not in wire
        assert b"secret" not in wire
        wires.append(wire)
    assert wires[0][:64] == wires[1][:64]  # the greeting
    assert len(wires[0]) == len(wires[1])
    assert not {wires[0][place : place + 16] for place in range(1000, len(wires[0]) - 16)} & {
        wires[1][place : place + 16] for place in range(1000, len(wires[1]) - 16)
    }


@given(st.lists(messages, max_size=4), st.lists(messages, max_size=4), cuts)
def test_messages_arrive_as_they_were_sent_however_the_stream_is_cut(
    there: list[list[bytes]], back: list[list[bytes]], cuts: list[int]
) -> None:
    client, server = pair()
    for sender, receiver, sent in ((client, server, there), (server, client, back)):
        for message in sent:
            sender.send_message(message)
        sender.send_delimited(b"x" * 300)
        sender.send_delimited(b"x")
        received = [message for chunk in split(octets(sender), cuts) for message in receiver.receive_data(chunk)]
        assert received == [*sent, [b"", b"x" * 300], [b"", b"x"]]


def test_a_large_message_is_put_in_its_place_and_opened() -> None:
    client, server = pair()
    client.send_message([bytearray(b"x") * 100_000])
    wire = octets(client)
    server.receive_data(wire[:1000])
    received: list[Message] = []
    position = 1000
    while server.decoder.body is not None:
        room = server.decoder.body_room()
        count = min(len(room), len(wire) - position)
        room[:count] = wire[position : position + count]
        room.release()
        position += count
        received += server.body_filled(count)
    assert received == [[b"x" * 100_000]]


def test_nonces_grow_by_one_and_begin_where_the_handshake_left_off() -> None:
    client, server = pair()
    for end, first in ((client, 3), (server, 2)):
        end.send_message([b"a", b"b"])
        end.send_message([b"c"])
        bodies = [bytes(item[0]) for item in frames(octets(end)) if isinstance(item, list)]
        assert [body[:8] for body in bodies] == [b"\7MESSAGE"] * 3
        assert [int.from_bytes(body[8:16], "big") for body in bodies] == [first, first + 1, first + 2]


def test_what_is_sealed_has_no_command_flag_since_libzmq_would_take_it_for_one() -> None:
    client, server = pair()
    client.send_message([b"x"])
    client.send_ping()
    assert not any(isinstance(item, Command) for item in frames(octets(client)))
    client.send_message([b"x"])
    [[body]] = frames(octets(client))
    assert server.receive_data(b"\4" + bytes((len(body),)) + body) == [[b"x"]]  # with the flag, as the RFC has it


def test_commands_are_sealed() -> None:
    client, server = pair()
    client.send_ping(ttl=1.5, context=b"context")
    wire = step(client, server)
    assert b"PING" not in wire
    assert server.news
    assert server.peer_ttl == 1.5
    server.send_pong()
    assert b"PONG" not in step(server, client)
    assert client.state is State.TRAFFIC


@pytest.mark.parametrize("roles", ["publisher is the server", "publisher is the client"])
def test_subscriptions_are_sealed(roles: str) -> None:
    kinds = (SocketType.SUB, SocketType.PUB) if roles == "publisher is the server" else (SocketType.PUB, SocketType.SUB)
    ends = pair({"kind": kinds[0]}, {"kind": kinds[1]})
    subscriber, publisher = ends if kinds[0] is SocketType.SUB else ends[::-1]
    subscriber.send_subscribe(b"news")
    assert b"news" not in step(subscriber, publisher)
    assert publisher.subscriptions.match(b"newspaper")
    subscriber.send_message([b"\1old"])  # as ZMTP 3.0 has them
    subscriber.send_cancel(b"news")
    step(subscriber, publisher)
    assert not publisher.subscriptions.match(b"newspaper")
    assert publisher.subscriptions.match(b"old")


@pytest.mark.parametrize("size", [0, 1, 100, 221, 222, 223, 255, 300, 70_000])
def test_where_both_agree_no_empty_frame_is_sealed(size: int) -> None:
    client, server = pair()
    client.leave_out_delimiters()
    for body in (bytes(size), b"x" * size):
        client.send_delimited(body)
        sent = octets(client)
        sealed = size + SealedTraffic.overhead
        assert len(sent) == sealed + (2 if sealed < 256 else 9)
        assert server.receive_data(sent) == [[body]]
        server.send_delimited(body)  # which didn't agree
        assert client.receive_data(octets(server)) == [[b"", body]]


def test_what_a_finalizer_sends_in_the_middle_of_sealing_comes_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    client, server = pair()
    mechanism = client._mechanism
    seal, once = mechanism.seal, iter([b"from a finalizer"])

    def interrupted(parts: Any) -> list[Frame]:
        for body in once:
            client.send_message([body])
        return seal(parts)

    monkeypatch.setattr(type(mechanism), "seal", lambda _, parts: interrupted(parts))
    client.send_message([b"one", b"two"])
    assert server.receive_data(octets(client)) == [[b"one", b"two"], [b"from a finalizer"]]


@pytest.mark.parametrize("first", ["a message", "a delimited one"])
def test_what_a_finalizer_sends_in_the_middle_of_sealing_a_reply_comes_after_it(
    monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    client, server = pair()
    method = "seal" if first == "a message" else "seal_delimited"
    seal, once = getattr(client._mechanism, method), iter([b"from a finalizer"])

    def interrupted(_: object, sent: Any) -> list[Frame]:
        for body in once:
            client.send_delimited(body)
            client.send_ping()
        frames: list[Frame] = seal(sent)
        return frames

    monkeypatch.setattr(type(client._mechanism), method, interrupted)
    if first == "a message":
        client.send_message([b"", b"reply"])
    else:
        client.send_delimited(b"reply")
    assert server.receive_data(octets(client)) == [[b"", b"reply"], [b"", b"from a finalizer"]]
    assert server.news  # the PING


def test_where_pynacl_hides_libsodium_its_functions_do_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nacl._sodium", None)
    monkeypatch.delattr(nacl, "_sodium")
    spec = importlib.util.find_spec("zerorpc.zmtp.mechanisms.curve_traffic")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.lib is None


def test_a_connection_ends_before_its_nonces_do() -> None:
    client, _ = pair()
    client._mechanism._sent = 2**64 - 2  # type: ignore[attr-defined]
    client.send_message([b"the last one"])
    for _ in range(2):
        with pytest.raises(OverflowError):
            client.send_message([b"one too many"])


# Cookies


def test_cookie_keys_are_shared_for_a_while_and_kept_by_handshakes_only() -> None:
    keys = CookieKeys()
    first = keys.take(100.0)
    assert keys.take(100.0 + CookieKeys.LIFETIME - 1) is first
    second = keys.take(100.0 + CookieKeys.LIFETIME)
    assert second is not first
    assert second.key != first.key
    gone = weakref.ref(second)
    del second
    gc.collect()
    assert gone() is None
    assert keys.take(161.0).key != first.key


def test_after_the_handshake_the_connection_has_no_cookie_key() -> None:
    _, server = pair()
    assert server._mechanism._cookie_key is None  # type: ignore[attr-defined]


def test_between_welcome_and_initiate_the_server_keeps_no_key_of_the_connection() -> None:
    client, server = new_client(), new_server()
    step(server, client)
    step(client, server)  # greeting and HELLO
    kept = [value for value in vars(server._mechanism).values() if isinstance(value, bytes) and len(value) == 32]
    assert set(kept) == set(SERVER)
    step(server, client)
    step(client, server)
    assert server.state is State.TRAFFIC


def test_a_recorded_conversation_is_of_no_use_on_another_connection() -> None:
    client, server = new_client(), new_server()
    recorded = b""
    step(server, client)
    recorded += step(client, server)
    step(server, client)
    recorded += step(client, server)
    client.receive_data(octets(server))
    client.send_message([b"pay 100"])
    recorded += step(client, server)
    again = new_server()
    assert again.receive_data(recorded) == []
    assert again.state is State.CLOSED
    assert str(again.error) == "a cookie that was not made for this connection"


# What is refused

HELLO_REFUSED = "malformed HELLO"


def refused_hello(data: bytes) -> Connection:
    server = new_server()
    server.take_output()
    server.receive_data(GREETING + Command(b"HELLO", data).encode())
    return server


def good_hello() -> bytes:
    client = new_client()
    client.take_output()
    client.receive_data(GREETING)
    [hello] = commands(client)
    return hello.data


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda hello: hello[:-1], HELLO_REFUSED),
        (lambda hello: hello + b"\0", HELLO_REFUSED),
        (lambda hello: b"", HELLO_REFUSED),
        (lambda hello: b"\2\0" + hello[2:], "CURVE in version 2.0, here it is 1.0"),
        (lambda hello: hello[:10] + b"x" + hello[11:], HELLO_REFUSED),
        (lambda hello: hello[:106] + bytes(8) + hello[114:], "nonce 0 after 0"),
        (lambda hello: hello[:74] + bytes(32) + hello[106:], "another key"),  # a point of low order
        (lambda hello: hello[:-1] + bytes((hello[-1] ^ 1,)), "another key"),
    ],
    ids=["short", "long", "empty", "version", "padding", "nonce", "low order", "signature"],
)
def test_a_hello_that_is_wrong(change: Callable[[bytes], bytes], why: str) -> None:
    server = refused_hello(change(good_hello()))
    assert server.state is State.CLOSED
    assert why in str(server.error)
    [error] = commands(server)
    assert why in error.error_reason


def test_a_hello_that_signs_something_else() -> None:
    public, secret = crypto_box_keypair()
    key, nonce = crypto_box_beforenm(SERVER.public, secret), (1).to_bytes(8, "big")
    box = crypto_secretbox_easy(b"x" * 64, b"CurveZMQHELLO---" + nonce, key)
    assert str(refused_hello(b"\1\0" + bytes(72) + public + nonce + box).error) == HELLO_REFUSED


class Forger:
    """A client that does all by hand, and can do it wrong."""

    def __init__(self) -> None:
        self.server = new_server()
        self.server.take_output()
        self.public, self.secret = crypto_box_keypair()
        key, nonce = crypto_box_beforenm(SERVER.public, self.secret), (1).to_bytes(8, "big")
        box = crypto_secretbox_easy(bytes(64), b"CurveZMQHELLO---" + nonce, key)
        self.server.receive_data(GREETING + Command(b"HELLO", b"\1\0" + bytes(72) + self.public + nonce + box).encode())
        [welcome] = commands(self.server)
        opened = crypto_secretbox_open_easy(welcome.data[16:], b"WELCOME-" + welcome.data[:16], key)
        self.short_server, self.cookie = opened[:32], opened[32:]
        self.session = crypto_box_beforenm(self.short_server, self.secret)

    def initiate(
        self,
        *,
        nonce: int = 2,
        cookie: bytes | None = None,
        keys: KeyPair = CLIENT,
        vouch: bytes | None = None,
        public: bytes | None = None,
        metadata: bytes | None = None,
    ) -> None:
        short = nonce.to_bytes(8, "big")
        vouch_key = crypto_box_beforenm(self.short_server, keys.secret)
        vouched = self.public + SERVER.public if vouch is None else vouch
        told = [
            keys.public if public is None else public,
            bytes(16),
            crypto_secretbox_easy(vouched, b"VOUCH---" + bytes(16), vouch_key),
            encode_metadata({"Socket-Type": b"DEALER"}) if metadata is None else metadata,
        ]
        box = crypto_secretbox_easy(b"".join(told), b"CurveZMQINITIATE" + short, self.session)
        data = (self.cookie if cookie is None else cookie) + short + box
        self.server.receive_data(Command(b"INITIATE", data).encode())

    def message(self, payload: bytes, nonce: int = 3) -> list[Message]:
        short = nonce.to_bytes(8, "big")
        box = crypto_secretbox_easy(payload, b"CurveZMQMESSAGEC" + short, self.session)
        body = b"\7MESSAGE" + short + box
        return self.server.receive_data(encoded([body]))


def test_a_client_by_hand() -> None:
    forger = Forger()
    forger.initiate()
    assert forger.message(b"\0hi") == [[b"hi"]]
    assert forger.server.credentials == Credentials("CURVE", CLIENT.public)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"nonce": 1}, "nonce 1 after 1"),
        ({"cookie": bytes(96)}, "a cookie that was not made for this connection"),
        ({"public": OTHER.public}, "can't be opened"),
        ({"vouch": bytes(64)}, "vouches for another key"),
        ({"vouch": b""}, "an INITIATE of 215 octets"),
        ({"metadata": b"\5abc"}, "malformed metadata"),
        ({"metadata": b""}, "socket type is unknown"),
        ({"metadata": encode_metadata({"Socket-Type": b"PUB"})}, "can't talk to a PUB"),
    ],
    ids=["nonce", "cookie", "another key", "vouch", "short", "metadata", "no type", "type"],
)
def test_an_initiate_that_is_wrong(wrong: dict[str, Any], why: str) -> None:
    forger = Forger()
    forger.initiate(**wrong)
    assert forger.server.state is State.CLOSED
    assert why in str(forger.server.error)
    assert why in commands(forger.server)[-1].error_reason


def test_a_cookie_that_was_changed() -> None:
    forger = Forger()
    forger.initiate(cookie=forger.cookie[:-1] + bytes((forger.cookie[-1] ^ 1,)))
    assert str(forger.server.error) == "an INITIATE that can't be opened"


def test_a_vouch_for_another_server_lets_nobody_in() -> None:
    """What a server that a client trusts could pass on to this one."""
    forger = Forger()
    forger.initiate(vouch=forger.public + OTHER.public)
    assert "another server" in str(forger.server.error)


def test_an_initiate_that_is_too_short() -> None:
    forger = Forger()
    forger.server.receive_data(Command(b"INITIATE", forger.cookie + bytes(100)).encode())
    assert str(forger.server.error) == "an INITIATE of 205 octets"


@pytest.mark.parametrize(
    ("payloads", "why"),
    [
        ([b"\4x"], "flags 0x04"),
        ([b"\3\4PING\0\0"], "flags 0x03"),
        ([b"\1first", b"\2\4PING\0\0"], "flags 0x02"),
        ([b"\2"], "malformed command"),
        ([b"\0" + b"x" * 101], "a message of 101 octets or more (the limit is 100)"),
        ([b"\1" + b"x" * 60, b"\0" + b"x" * 60], "a message of 120 octets or more"),
        ([b"\1"] * 3, "more than 3 frames"),
        ([b"\2\5ERROR\2no"], "the peer ended the connection: no"),
        ([b"\2\4PING"], "a PING of 0 octets"),
    ],
    ids=repr,
)
def test_what_is_sealed_has_to_make_sense(payloads: list[bytes], why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    forger = Forger()
    forger.server._mechanism.limits = Limits(message=100, frames=3)
    forger.initiate()
    forger.server.take_output()
    for nonce, payload in enumerate(payloads, 3):
        assert forger.message(payload, nonce) == []
    assert forger.server.state is State.CLOSED
    assert why in str(forger.server.error)
    assert octets(forger.server) == b""  # RFC 26: no ERROR in response to an invalid MESSAGE


def test_the_largest_message_is_as_large_as_in_clear() -> None:
    client, server = pair(server={"limits": Limits(message=300)})
    client.send_message([b"x" * 300])
    assert server.receive_data(octets(client)) == [[b"x" * 300]]
    client.send_message([b"x" * 301])
    assert server.receive_data(octets(client)) == []
    assert server.state is State.CLOSED


@pytest.mark.parametrize("way", ["to the server", "to the client"])
def test_replayed_reordered_changed_and_cut_messages_end_the_connection(way: str) -> None:
    def one_way() -> tuple[Connection, list[bytes]]:
        client, server = pair()
        sender, receiver = (client, server) if way == "to the server" else (server, client)
        sent = []
        for body in (b"one", b"two"):
            sender.send_message([body])
            sent.append(octets(sender))
        return receiver, sent

    changed = lambda frame: frame[:-1] + bytes((frame[-1] ^ 1,))  # noqa: E731
    for attack, received, why in (
        (lambda one, two: one + one, [[b"one"]], "this is a replay, or reordered"),
        (lambda one, two: two + one, [[b"two"]], "this is a replay, or reordered"),
        (lambda one, two: one + changed(two), [[b"one"]], "it was changed on the way"),
        (lambda one, two: b"\0\x18" + one[2:26], [], "too short"),
        (lambda one, two: one + encoded([b"clear"]), [[b"one"]], "in clear, but CURVE seals all"),
        (lambda one, two: one + encoded([two[2:], two[2:]]), [[b"one"]], "in clear, but CURVE seals all"),
        (lambda one, two: one + Command(b"PING", b"\0\0").encode(), [[b"one"]], "in clear, but CURVE seals all"),
        (lambda one, two: one + Command(b"ERROR", b"\2no").encode(), [[b"one"]], "in clear, but CURVE seals all"),
    ):
        receiver, sent = one_way()
        assert receiver.receive_data(attack(*sent)) == received
        assert receiver.state is State.CLOSED
        assert why in str(receiver.error)
        assert type(receiver.error) is ProtocolError
        assert octets(receiver) == b""


@pytest.mark.parametrize("size", [10, 254, 255, 1000, 100_000])
def test_each_octet_of_a_message_counts(size: int) -> None:
    for place in (0, 1, 9, 20, -1, -20):
        client, server = pair()
        client.send_message([b"x" * size])
        wire = bytearray(octets(client))
        wire[place] ^= 1
        assert server.receive_data(bytes(wire)) == []
        assert server.state is State.CLOSED or place in (0, 1)  # the size has changed: the rest is to come, perhaps


@pytest.mark.parametrize("ended", ["in the handshake", "in traffic"])
def test_after_the_end_nothing_is_sealed_and_nothing_is_sent(ended: str) -> None:
    client = new_client() if ended == "in the handshake" else pair()[0]
    client.receive_data(b"nonsense" if ended == "in the handshake" else encoded([b"clear"]))
    assert client.state is State.CLOSED
    client.take_output()
    client.send_message([b"a", b"b"])
    client.send_delimited(b"x")
    client.send_delimited(b"x" * 1000)
    client.send_ping()
    assert octets(client) == b""


def test_what_one_side_has_sealed_is_nothing_that_the_other_can_send_back() -> None:
    client, server = pair()
    client.send_message([b"x"])
    client.receive_data(octets(client))
    assert "it was changed on the way" in str(client.error)
    assert server.state is State.TRAFFIC


def test_another_servers_key_is_told_to_the_client_and_no_error_goes_back() -> None:
    client, server = new_client(server=OTHER.public), new_server()
    step(server, client)
    step(client, server)
    assert isinstance(server.error, HandshakeFailed)
    step(server, client)
    assert isinstance(client.error, HandshakeFailed)
    assert "this server has another key than the one that the client was given" in str(client.error)
    assert octets(client) == b""  # RFC 26: "A client peer SHALL NOT send ERROR to the server"


@pytest.mark.parametrize("asks", [False, True])
def test_the_key_is_told_to_strangers_only_where_somebody_decides_about_them(asks: bool) -> None:
    """Otherwise to know it is all that it takes to be let in."""
    client, server = new_client(server=OTHER.public), new_server(asks=asks, also=KeyPair.generate())
    step(server, client)
    step(client, server)
    step(server, client)
    assert isinstance(client.error, HandshakeFailed)
    assert client.error.server_key == (encode_z85(SERVER.public) if asks else None)
    assert (encode_z85(SERVER.public) in str(client.error)) == asks


def test_a_key_that_an_error_tells_may_be_none() -> None:
    client = new_client()
    client.receive_data(GREETING + Command.error(": its key is " + "~" * 40).encode())
    assert isinstance(client.error, HandshakeFailed)
    assert client.error.server_key is None


@pytest.mark.parametrize("known_by", [SERVER, OTHER], ids=["its own key", "the other one"])
def test_a_server_may_be_known_by_two_keys(known_by: KeyPair) -> None:
    client, server = pair({"server": known_by.public}, {"also": OTHER})
    assert client.credentials == Credentials("CURVE", known_by.public)
    assert server.credentials == Credentials("CURVE", CLIENT.public)
    client.send_message([b"hello"])
    assert exchange(client, server)[1] == [[b"hello"]]


def test_who_vouches_for_one_key_was_not_let_in_by_the_other() -> None:
    """Such an INITIATE is made for another server, and passed on."""
    server = new_server(also=OTHER)
    handshake = CurveClient(*CLIENT, OTHER.public)
    server.receive_data(GREETING + handshake.start(b"")[0].encode())
    (welcome,) = (item for item in frames(octets(server)[len(GREETING) :]) if isinstance(item, Command))
    handshake._server = SERVER.public  # what it vouches for
    server.receive_data(handshake.receive(welcome)[0].encode())
    assert "vouches for another key, or another server" in str(server.error)


def test_a_server_that_does_not_have_the_key() -> None:
    """It can't open HELLO, and so makes WELCOME up."""
    client = new_client()
    client.take_output()
    client.receive_data(GREETING)
    client.take_output()
    client.receive_data(Command(b"WELCOME", bytes(160)).encode())
    assert isinstance(client.error, HandshakeFailed)
    assert str(client.error) == "the server has another key than the one that was given"
    assert octets(client) == b""


def test_a_key_that_is_none() -> None:
    client = new_client(server=bytes(32))
    client.receive_data(GREETING)
    assert isinstance(client.error, HandshakeFailed)


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (Command(b"READY", bytes(30)), "b'READY' where WELCOME was expected"),
        (Command(b"WELCOME", bytes(159)), "a WELCOME of 167 octets"),
        (Command(b"HELLO", b""), "both sides have the client's role in CURVE"),
        (Command.error("go away"), "the peer refused the connection: go away"),
    ],
)
def test_what_a_server_may_not_answer_hello_with(command: Command, why: str) -> None:
    client = new_client()
    client.receive_data(GREETING)
    client.take_output()
    client.receive_data(command.encode())
    assert why in str(client.error)
    assert octets(client) == b""


@pytest.mark.parametrize(
    ("ready", "why"),
    [
        (bytes(23), "a READY of 29 octets"),
        (bytes(8) + bytes(30), "nonce 0 after 0"),
        (b"\1" * 8 + bytes(30), "it was changed on the way"),
    ],
    ids=["short", "nonce", "changed"],
)
def test_a_ready_that_is_wrong(ready: bytes, why: str) -> None:
    client, server = new_client(), new_server()
    step(server, client)
    step(client, server)
    step(server, client)
    client.take_output()
    client.receive_data(Command(b"READY", ready).encode())
    assert why in str(client.error)


def test_nobody_takes_a_second_handshake() -> None:
    server = refused_hello(good_hello())
    server.receive_data(Command(b"HELLO", good_hello()).encode())
    assert str(server.error) == "the peer sent b'HELLO' where INITIATE was expected"
    server = new_server(asks=True)
    client = new_client()
    step(server, client)
    step(client, server)
    step(server, client)
    step(client, server)
    server.receive_data(Command(b"INITIATE", bytes(300)).encode())
    assert server.state is State.CLOSED
    _, server = pair()
    server.receive_data(Command(b"INITIATE", bytes(300)).encode())
    assert "in clear, but CURVE seals all" in str(server.error)


def test_messages_before_the_end_of_the_handshake_are_refused_at_their_start() -> None:
    server = new_server()
    server.take_output()
    server.receive_data(GREETING + encoded([b"hi"]))
    assert str(server.error) == "the peer sent a message before the handshake was over"
    server = new_server()
    server.receive_data(GREETING + b"\2" + (2**20).to_bytes(8, "big"))
    server.receive_data(b"x")
    assert str(server.error) == "the peer sent a message before the handshake was over"


def test_two_servers_and_a_client_of_null() -> None:
    ends = new_server(), new_server(kind=SocketType.DEALER)
    exchange(*ends)
    assert all("both sides have the server's role in CURVE" in str(end.error) for end in ends)
    ends = Connection(SocketType.DEALER), new_server()
    exchange(*ends)
    assert all("both sides need the same" in str(end.error) for end in ends)


# Any bytes

names = st.sampled_from([b"HELLO", b"INITIATE", b"MESSAGE"])
noise = st.one_of(
    st.binary(max_size=40),
    st.builds(lambda name, data: Command(name, data).encode(), names, st.binary(max_size=300)),
    st.builds(lambda data: encoded([b"\7MESSAGE" + data]), st.binary(max_size=60)),
)


def outcome(begun: int, chunks: Callable[[bytes], list[bytes]], data: bytes) -> tuple[list[Message], State, bool]:
    """What a server makes of octets, after the first ``begun`` steps of a good client."""
    client, server = new_client(), new_server()
    for _ in range(begun):
        step(server, client)
        step(client, server)
    received = [message for chunk in chunks(data) for message in server.receive_data(chunk)]
    return received, server.state, server.error is None


@given(st.integers(0, 3), st.lists(noise, max_size=6), cuts)
def test_any_bytes_give_messages_or_a_protocol_error_the_same_for_any_split(
    begun: int, noise: list[bytes], cuts: list[int]
) -> None:
    data = b"".join(noise)
    whole = outcome(begun, lambda data: [data], data)
    assert outcome(begun, lambda data: split(data, cuts), data) == whole
    assert outcome(begun, lambda data: split(data, range(len(data))), data) == whole


@given(cuts, st.integers(0, 10_000), st.integers(1, 255))
def test_one_changed_octet_of_a_conversation_never_gives_another_message(
    cuts: list[int], place: int, change: int
) -> None:
    client, server = pair()
    for number in range(3):
        client.send_message([b"message", bytes((number,)) * 100])
    wire = bytearray(octets(client))
    wire[place % len(wire)] ^= change
    sent = [[b"message", bytes((number,)) * 100] for number in range(3)]
    received = [message for chunk in split(bytes(wire), cuts) for message in server.receive_data(chunk)]
    assert received == sent[: len(received)]
