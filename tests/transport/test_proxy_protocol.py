"""The header in which a proxy says for whom it connects: written by hand from its specification, and broken."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transport.proxy_headers import IPV4, LOCAL, SIGNATURE, header
from zerorpc.errors import ProtocolError
from zerorpc.transport.proxy_protocol import ProxyHeader

IPV6 = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + bytes(16) + struct.pack("!HH", 50_123, 4242)
TLVS = b"\x04\x00\x03abc" + b"\x20\x01\x00" + bytes(256)


def unix(source: bytes) -> bytes:
    return source.ljust(108, b"\0") + b"/run/service".ljust(108, b"\0")


def read(data: bytes, *cuts: int) -> ProxyHeader:
    """Receive it in pieces, never more than wanted; it has to be whole exactly at its end."""
    reading = ProxyHeader()
    for end in (*cuts, len(data)):
        while data and reading.missing and end > 0:
            piece = data[: min(end, reading.missing)]
            reading.receive(piece)
            data, end = data[len(piece) :], end - len(piece)
    assert not data
    return reading


WHOLE = [
    pytest.param(header(0x11, IPV4), "tcp://192.0.2.7:50123", id="IPv4"),
    pytest.param(header(0x21, IPV6), "tcp://[2001:db8::7]:50123", id="IPv6"),
    pytest.param(header(0x12, IPV4), "tcp://192.0.2.7:50123", id="IPv4 datagrams"),
    pytest.param(header(0x11, IPV4 + TLVS), "tcp://192.0.2.7:50123", id="IPv4 and extras"),
    pytest.param(header(0x21, IPV6 + bytes(65_535 - 36)), "tcp://[2001:db8::7]:50123", id="the longest"),
    pytest.param(header(0x31, unix(b"/run/caller.sock")), "ipc:///run/caller.sock", id="unix"),
    pytest.param(header(0x31, unix(b"\0hidden")), "ipc://@hidden", id="unix, abstract"),
    pytest.param(header(0x31, unix(b"/a\nb\xff")), r"ipc:///a\nb\xff", id="unix, escaped"),
    pytest.param(header(0x31, unix(b"/" + b"x" * 107) + TLVS), "ipc:///" + "x" * 107, id="unix, the longest"),
    pytest.param(header(0x31, unix(b"")), None, id="unix, unnamed"),
    pytest.param(header(0x00, b""), None, id="unknown"),
    pytest.param(header(0x00, TLVS), None, id="unknown and extras"),
    pytest.param(header(0x00, b"", LOCAL), None, id="the proxy itself"),
    pytest.param(header(0x11, IPV4, LOCAL), None, id="the proxy itself, addresses"),
    pytest.param(header(0xEE, b"?", LOCAL), None, id="the proxy itself, nonsense"),
]


@pytest.mark.parametrize(("data", "caller"), WHOLE)
def test_a_header_tells_the_caller(data: bytes, caller: str | None) -> None:
    reading = read(data)
    assert reading.missing == 0
    assert reading.caller == caller


@pytest.mark.parametrize(("data", "caller"), WHOLE)
def test_a_header_octet_by_octet(data: bytes, caller: str | None) -> None:
    reading = ProxyHeader()
    for octet in data:
        assert reading.missing > 0
        assert reading.caller is None
        reading.receive(bytes((octet,)))
    assert reading.missing == 0
    assert reading.caller == caller


@given(st.sampled_from([case.values for case in WHOLE]), st.lists(st.integers(0, 300), max_size=8))
def test_a_header_in_any_pieces(case: tuple[bytes, str | None], cuts: list[int]) -> None:
    data, caller = case
    reading = read(data, *cuts)
    assert (reading.missing, reading.caller) == (0, caller)


@given(
    st.tuples(st.ip_addresses(), st.ip_addresses()).filter(lambda pair: pair[0].version == pair[1].version),
    st.integers(0, 65_535),
    st.binary(max_size=300),
)
def test_every_address_comes_back(addresses: tuple[IPv4Address | IPv6Address, ...], port: int, extras: bytes) -> None:
    source, to = addresses
    ends = source.packed + to.packed + struct.pack("!HH", port, 1)
    told = urlsplit(read(header(0x11 if source.version == 4 else 0x21, ends + extras)).caller or "")
    assert told.scheme == "tcp"
    assert (ip_address(told.hostname or ""), told.port) == (source, port)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"\xff" + bytes(8), "a ZMTP greeting: a client that came past the proxy"),
        (b"PROXY TCP4 ", "version 1: tell the proxy to send version 2"),
        (b"GET / HTTP/1.1", r"began with b'GET / HTTP/1'"),
        (b"\r\n\r\n\r\n", r"began with b'\\r\\n\\r\\n\\r\\n'"),
        (SIGNATURE + b"\x11\x11\x00\x0c", "version 1 of the PROXY protocol is unknown"),
        (SIGNATURE + b"\x31\x11\x00\x0c", "version 3 of the PROXY protocol is unknown"),
        (SIGNATURE + b"\x22\x11\x00\x0c", "command 2 of the PROXY protocol is unknown"),
        (SIGNATURE + b"\x21\x13\x00\x0c", "family 0x13 of the PROXY protocol is unknown"),
        (SIGNATURE + b"\x21\x41\x00\x0c", "family 0x41 of the PROXY protocol is unknown"),
        (SIGNATURE + b"\x21\x11\x00\x0b", "11 octets is too short"),
        (SIGNATURE + b"\x21\x21\x00\x23", "35 octets is too short"),
        (SIGNATURE + b"\x21\x31\x00\xd7", "215 octets is too short"),
    ],
)
def test_what_is_no_header_is_refused_at_once(data: bytes, complaint: str) -> None:
    reading = ProxyHeader()
    with pytest.raises(ProtocolError, match=complaint):
        reading.receive(data)


@given(st.integers(0, 11), st.integers(1, 255))
def test_no_octet_behind_a_wrong_one_is_waited_for(place: int, change: int) -> None:
    data = bytearray(SIGNATURE)
    data[place] ^= change
    reading = ProxyHeader()
    for octet in data[:place]:
        reading.receive(bytes((octet,)))
    with pytest.raises(ProtocolError, match="expected a PROXY protocol header"):
        reading.receive(bytes((data[place],)))


@given(st.binary(max_size=400), st.booleans())
def test_any_octets_end_in_a_caller_a_wish_for_more_or_an_error(data: bytes, signed: bool) -> None:
    data = SIGNATURE + data if signed else data
    reading = ProxyHeader()
    try:
        while data and reading.missing:
            piece = data[: reading.missing]
            reading.receive(piece)
            data = data[len(piece) :]
    except ProtocolError:
        return
    assert reading.missing <= 65_535
    assert reading.caller is None or (not reading.missing and reading.caller.isprintable())


def test_it_takes_no_more_than_it_wants() -> None:
    reading = ProxyHeader()
    with pytest.raises(ValueError, match="17 octets, where 16 were wanted"):
        reading.receive(SIGNATURE + bytes(5))


def test_the_extras_are_not_kept() -> None:
    reading = read(header(0x11, IPV4 + bytes(60_000)))
    assert len(reading._data) <= 232


def test_its_repr_shows_how_far_it_is() -> None:
    reading = ProxyHeader()
    assert repr(reading) == "<ProxyHeader missing=16>"
    assert repr(read(header(0x11, IPV4))) == "<ProxyHeader tcp://192.0.2.7:50123>"
