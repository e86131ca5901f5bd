"""TLS as octets in and out: any split of them gives the same, and what a peer can do to it has definite errors."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import random
import re
import ssl
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zerorpc
from tests.certificates import CLIENT, certificates
from zerorpc.errors import ProtocolError
from zerorpc.transport.endpoint_tls import EndpointTls
from zerorpc.transport.tls import SEALED_AT_ONCE, TlsConnection
from zerorpc.zmtp.frames import FrameDecoder, Limits


class Side:
    """One side: its TLS, and what came out of it, through a decoder as a connection's."""

    def __init__(self, tls: TlsConnection) -> None:
        self.tls = tls
        self.decoder = FrameDecoder(Limits())
        self.received: list[Any] = []
        self.plain = b""  # for what is no frames
        self.filled = 0  # octets that were put into their place

    def deliver(self, data: bytes, filled: int) -> None:
        if filled:
            self.filled += filled
            self.decoder.body_filled(filled, self.received)
        else:
            self.decoder.receive(data, self.received)

    def deliver_plain(self, data: bytes, filled: int) -> None:
        assert not filled
        self.plain += data

    def say(self, data: bytes) -> bytes:
        """Seal all of it."""
        pieces = [data[start : start + SEALED_AT_ONCE] for start in range(0, len(data), SEALED_AT_ONCE)]
        return self.tls.take_output() + b"".join(map(self.tls.seal, pieces))


def pair(server: zerorpc.Tls | ssl.SSLContext, client: zerorpc.Tls | ssl.SSLContext, name: str = "localhost") -> Any:
    ours = Side(EndpointTls(server, server_side=True).new_connection())
    theirs = Side(EndpointTls(client, server_side=False, host=name).new_connection())
    theirs.tls.open()
    ours.tls.open()
    return ours, theirs


def shake_hands(server: Side, client: Side) -> None:
    for _ in range(3):
        for sender, receiver in ((client, server), (server, client)):
            if output := sender.tls.take_output():
                receiver.tls.receive(output, receiver.decoder, receiver.deliver_plain)


def connected(server: zerorpc.Tls | None = None, client: zerorpc.Tls | None = None) -> Any:
    server_side, client_side = pair(server or certificates().serves, client or certificates().trusts)
    shake_hands(server_side, client_side)
    assert server_side.tls.ready
    assert client_side.tls.ready
    return server_side, client_side


def refused(server: Any, client: Any, name: str = "localhost") -> tuple[str | None, str | None]:
    """The errors of both sides of a handshake that fails: the server's, the client's."""
    sides = pair(server, client, name)
    errors: dict[Side, str] = {}
    for _ in range(4):
        for sender, receiver in (sides[::-1], sides):
            if (output := sender.tls.take_output()) and receiver not in errors:
                try:
                    receiver.tls.receive(output, receiver.decoder, receiver.deliver_plain)
                except ProtocolError as error:
                    errors[receiver] = str(error)
    return errors.get(sides[0]), errors.get(sides[1])


# Well-behaved peers


def test_both_sides_come_to_be_ready_and_say_so() -> None:
    server, client = pair(certificates().serves, certificates().trusts)
    assert repr(client.tls) == "<TlsConnection client handshake>"
    shake_hands(server, client)
    assert repr(server.tls) == "<TlsConnection server open>"
    assert client.tls.certificate.common_name is None
    assert ("DNS", "localhost") in client.tls.certificate.names
    assert server.tls.certificate is None
    client.tls.close()
    client.tls.close()
    assert repr(client.tls) == "<TlsConnection client closed>"
    server.tls.receive(client.tls.take_output(), server.decoder, server.deliver_plain)
    assert server.tls.ended
    assert repr(server.tls) == "<TlsConnection server ended>"
    server.tls.receive(b"whatever comes then", server.decoder, server.deliver_plain)
    assert server.plain == b""


def test_a_clients_certificate_is_known_to_the_server() -> None:
    assert pair(certificates().asks, certificates().shows)[0].tls.certificate is None  # not yet
    server, _ = connected(certificates().asks, certificates().shows)
    found = server.tls.certificate
    assert found.common_name == "robot"
    assert found.names == (("email", CLIENT[0]), ("DNS", CLIENT[1]))
    assert "CA" in str(found.issuer) or found.issuer is None
    assert len(found.der) > 100
    assert found.serial_number
    assert found.not_after


def test_a_server_that_only_accepts_certificates_serves_both() -> None:
    accepts = certificates().asks._replace(client_certificates="accepted")
    assert connected(accepts, certificates().shows)[0].tls.certificate.common_name == "robot"
    assert connected(accepts, certificates().trusts)[0].tls.certificate is None


def test_it_is_tls_1_3_for_zerorpc() -> None:
    server, client = connected()
    for side in (server, client):
        assert side.tls._object.version() == "TLSv1.3"
        assert side.tls._object.selected_alpn_protocol() == "zerorpc"


@pytest.mark.parametrize("alpn", [[], ["h2"]])
def test_a_peer_with_another_idea_of_alpn_or_none_is_served(alpn: list[str]) -> None:
    context = ssl.create_default_context(cafile=certificates().ca)
    if alpn:
        context.set_alpn_protocols(alpn)
    server, client = pair(certificates().serves, context)
    shake_hands(server, client)
    assert client.tls.ready
    assert server.tls.ready


@pytest.mark.parametrize("size", [1, SEALED_AT_ONCE, SEALED_AT_ONCE + 1, 1_000_000])
def test_much_is_sealed_in_pieces_and_a_large_frame_is_put_into_its_place(size: int) -> None:
    server, client = connected()
    body = random.Random(size).randbytes(size)
    head = b"\x00" + bytes((size,)) if size < 256 else b"\x02" + size.to_bytes(8, "big")
    server.tls.receive(client.say(head + body + b"\x00\x02hi"), server.decoder, server.deliver)
    assert server.received == [[body], [b"hi"]]
    assert (server.filled > 0) is (size >= SEALED_AT_ONCE)  # with its head it is more than a record


def test_what_is_held_stays_small_however_much_goes_through() -> None:
    server, client = connected()
    said = client.say(bytes(4_000_000))
    server.tls.receive(said, server.decoder, server.deliver_plain)
    assert len(server.plain) == 4_000_000
    for side in (server, client):
        assert side.tls._incoming.pending == side.tls._outgoing.pending == 0
    server.tls.receive(said := client.say(b"x" * 16000)[:-1], server.decoder, server.deliver_plain)
    assert server.tls._incoming.pending <= len(said) <= 17_000


class Mallinfo(ctypes.Structure):
    """What glibc's mallinfo2(3) tells."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ord", "sm", "h", "hblkhd", "usm", "fsm", "uordblks", "ford", "keep")
    ]


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="glibc before 2.33, or another library")
def test_what_is_kept_after_much_has_gone_through_is_small() -> None:
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = Mallinfo

    def in_use() -> int:
        gc.collect()
        told = mallinfo()
        return int(told.uordblks + told.hblkhd)

    sides = [connected() for _ in range(20)]
    before = in_use()
    for server, client in sides:
        server.tls.receive(client.say(bytes(2_000_000)), server.decoder, lambda *_: None)
    kept = (in_use() - before) / len(sides)
    assert kept < 150_000  # measured: 45,000, of both ends; it was 2,000,000 once


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(1, 2000))
def test_any_split_of_the_octets_gives_the_same_conversation(seed: int, longest: int) -> None:
    chance = random.Random(seed)
    server, client = pair(certificates().serves, certificates().trusts)
    under_way = {server: b"", client: b""}
    messages = [chance.randbytes(chance.choice((0, 5, 200, 300, 20_000, 70_000))) for _ in range(4)]
    unsent = {side: list(messages) for side in (server, client)}
    while any(len(side.received) < len(messages) for side in under_way):
        for sender, receiver in ((client, server), (server, client)):
            under_way[receiver] += sender.tls.take_output()
            if sender.tls.ready and unsent[sender]:
                body = unsent[sender].pop(0)
                under_way[receiver] += sender.say(b"\x02" + len(body).to_bytes(8, "big") + body)
            size = chance.randint(1, longest)
            if len(under_way[receiver]) > 20_000:
                size *= 50
            piece, under_way[receiver] = under_way[receiver][:size], under_way[receiver][size:]
            if piece:
                receiver.tls.receive(piece, receiver.decoder, receiver.deliver)
    for side in under_way:
        assert side.received == [[message] for message in messages]


def test_who_pauses_gets_the_rest_later() -> None:
    server, client = connected()
    taken: list[bytes] = []

    def deliver(data: bytes, filled: int) -> None:
        taken.append(data)
        server.tls.paused = True

    said = [bytes((n,)) * 16_000 for n in range(9)]
    server.tls.receive(b"".join(map(client.say, said)), server.decoder, deliver)
    server.tls.receive(client.say(b"the last"), server.decoder, deliver)
    for count in range(1, 10):
        assert taken == said[:count]
        server.tls.paused = False
        server.tls.receive(b"", server.decoder, deliver)
    assert taken == [*said, b"the last"]
    server.tls.paused = False
    server.tls.receive(b"", server.decoder, deliver)
    assert len(taken) == 10


def test_who_closes_in_the_middle_of_what_arrived_takes_no_more() -> None:
    server, client = connected()
    taken: list[bytes] = []

    def deliver(data: bytes, filled: int) -> None:
        taken.append(data)
        server.tls.close()

    server.tls.receive(client.say(b"1" * 5000) + client.say(b"2" * 5000), server.decoder, deliver)
    assert taken == [b"1" * 5000]


def test_what_small_records_bring_is_handed_on_together() -> None:
    server, client = connected()
    taken: list[bytes] = []
    said = b"".join(client.say(bytes((n % 256,))) for n in range(2000))
    server.tls.receive(said, server.decoder, lambda data, _: taken.append(data))
    assert b"".join(taken) == bytes(n % 256 for n in range(2000))
    assert len(taken) <= len(said) / 16_384 + 1
    taken.clear()
    client.tls.close()
    server.tls.receive(client.say(b""), server.decoder, lambda data, _: taken.append(data))
    assert (taken, server.tls.ended) == ([], True)


def test_the_end_comes_behind_small_records_and_large_frames() -> None:
    for said in (b"\0\1x\0\1y", b"\2\0\0\0\0\0\1\0\0" + bytes(30_000)):
        server, client = connected()
        octets = client.say(said)
        client.tls.close()
        server.tls.receive(octets + client.tls.take_output(), server.decoder, server.deliver)
        assert server.tls.ended


def test_after_each_piece_it_may_be_enough() -> None:
    server, client = connected()
    taken: list[bytes] = []
    said = client.say(bytes(160_000))
    for count in range(1, 11):
        server.tls.paused = False
        server.tls.receive(said, server.decoder, lambda data, _: taken.append(data), lambda: True)
        said = b""
        assert len(taken) in (count - 1, count)
    server.tls.paused = False
    server.tls.receive(b"", server.decoder, lambda data, _: taken.append(data))
    assert sum(map(len, taken)) == 160_000


# Peers that are not to be talked to


def test_certificates_that_are_no_good() -> None:
    made = certificates()
    serve = zerorpc.Tls
    doubt = "the peer doesn't trust our certificate"
    unknown = f"{doubt}: it knows nobody who vouches for it"
    issuer = "the server's certificate can't be trusted: unable to get local issuer certificate"
    assert refused(serve(made.strange_server), made.trusts) == (unknown, issuer)
    assert refused(serve(made.self_signed), made.trusts) == (
        unknown,
        "the server's certificate can't be trusted: self-signed certificate",
    )
    assert refused(serve(made.expired), made.trusts) == (
        f"{doubt}: it has expired",
        "the server's certificate can't be trusted: certificate has expired",
    )
    mismatch = "the server's certificate can't be trusted: Hostname mismatch, certificate is not valid for 'localhost'"
    assert refused(serve(made.misnamed), made.trusts) == (doubt, mismatch)
    mismatch = (
        "the server's certificate can't be trusted: IP address mismatch, certificate is not valid for '127.0.0.1'"
    )
    assert refused(serve(made.misnamed), made.trusts, "127.0.0.1") == (doubt, mismatch)
    assert refused(serve(made.misnamed), made.trusts._replace(server_name="elsewhere.example")) == (None, None)


def test_clients_certificates_that_are_no_good() -> None:
    made = certificates()
    needed = "the server wants a certificate of us: tls=zerorpc.Tls(certificate=…, key=…)"
    assert refused(made.asks, made.trusts) == ("the client showed no certificate, and needs one here", needed)
    whose = "the client's certificate can't be trusted"
    assert refused(made.asks, zerorpc.Tls(made.strange_client, ca=made.ca)) == (
        f"{whose}: unable to get local issuer certificate",
        "the peer doesn't trust our certificate: it knows nobody who vouches for it",
    )
    assert refused(made.asks, zerorpc.Tls(made.expired_client, ca=made.ca)) == (
        f"{whose}: certificate has expired",
        "the peer doesn't trust our certificate: it has expired",
    )


def test_a_self_signed_certificate_is_trusted_when_it_is_given() -> None:
    server = zerorpc.Tls(certificates().server, certificates().server_key)
    assert refused(server, zerorpc.Tls(ca=certificates().server)) == (None, None)


def test_an_older_tls_is_refused() -> None:
    context = ssl.create_default_context(cafile=certificates().ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    ours, theirs = refused(certificates().serves, context)
    assert ours == "the peer speaks an older version of TLS only; TLS 1.3 is needed"
    assert theirs == "the peer speaks no TLS, or none of a version that we speak"


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (
            b"\xff\0\0\0\0\0\0\0\x01\x7f",
            "ZMTP in clear: is the endpoint tcp:// at one end, and tls+tcp:// at the other?",
        ),
        (b"\xff", "ZMTP in clear"),
        (b"GET / HTTP/1.1\r\n", "HTTP"),
        (b"SSH-2.0", "SSH"),
        (b"\x16\x01", "something else"),  # no version of TLS begins so
        (b"\0\0", "something else"),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_what_is_no_tls_is_named_and_answered_with_an_alert(start: bytes, said: str, at_once: bool) -> None:
    server, _ = pair(certificates().serves, certificates().trusts)
    text = f"expected TLS, but the peer speaks {said if at_once else ''}"
    with pytest.raises(ProtocolError, match=f"^{re.escape(text)}"):
        for_each(lambda piece: server.tls.receive(piece, server.decoder, server.deliver), start, at_once)
    assert server.tls.take_output() == b"\x15\x03\x03\0\2\2\x46"


def for_each(take: Callable[[bytes], None], octets: bytes, at_once: bool) -> None:
    for piece in [octets] if at_once else [octets[:1], octets[1:]]:
        take(piece)


def test_octets_that_were_changed_on_the_way_end_it() -> None:
    server, client = connected()
    said = bytearray(client.say(b"hello"))
    said[-1] ^= 1
    with pytest.raises(ProtocolError, match="TLS failed: decryption failed or bad record mac"):
        server.tls.receive(bytes(said), server.decoder, server.deliver)
    assert server.tls.has_output  # an alert
    assert server.tls.closed
    server.tls.receive(client.say(b"hello"), server.decoder, server.deliver)
    assert server.received == []


def test_another_version_in_the_middle_is_no_older_peer() -> None:
    server, client = connected()
    said = bytearray(client.say(b"hello"))
    said[1] = 2
    with pytest.raises(ProtocolError, match="TLS failed: wrong version number") as caught:
        server.tls.receive(bytes(said), server.decoder, server.deliver)
    assert type(caught.value) is ProtocolError


def test_nonsense_in_the_handshake_ends_it() -> None:
    server, client = pair(certificates().serves, certificates().trusts)
    hello = bytearray(client.tls.take_output())
    hello[5] = 77  # a message of an unknown type
    with pytest.raises(ProtocolError, match="TLS failed: unexpected message"):
        server.tls.receive(bytes(hello), server.decoder, server.deliver)
    assert server.tls.has_output


@settings(max_examples=30)
@given(st.binary(max_size=300), st.integers(0, 400))
def test_random_octets_raise_nothing_but_protocol_errors(data: bytes, at: int) -> None:
    server, client = pair(certificates().serves, certificates().trusts)
    hello = client.tls.take_output()
    with contextlib.suppress(ProtocolError):
        server.tls.receive(hello[:at] + data, server.decoder, server.deliver)
        server.tls.receive(hello[at:], server.decoder, server.deliver)
    assert server.received == []
