"""Greetings: round trips, and a clear word to whoever speaks something else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerorpc.errors import ProtocolError
from zerorpc.zmtp.greeting import GREETING_SIZE, Greeting, check_greeting_start

START = b"\xff" + bytes(8) + b"\x7f"


def test_the_octets_of_rfc_37() -> None:
    assert Greeting("NULL").encode() == START + b"\x03\x01NULL" + bytes(16) + b"\0" + bytes(31)


mechanism_names = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+", min_size=1, max_size=20)


@given(mechanism_names, st.booleans(), st.integers(3, 255), st.integers(0, 255))
def test_it_comes_back(mechanism: str, as_server: bool, major: int, minor: int) -> None:
    greeting = Greeting(mechanism, as_server, major, minor)
    octets = greeting.encode()
    assert len(octets) == GREETING_SIZE
    for size in range(GREETING_SIZE + 1):
        check_greeting_start(octets[:size])
    assert Greeting.decode(octets) == greeting


def test_a_mechanism_that_is_no_ascii() -> None:
    with pytest.raises(ProtocolError, match="no ASCII name"):
        Greeting.decode(START + b"\x03\x01" + b"\xc3\xa9" + bytes(50))


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"GET / HTTP/1.1", "HTTP"),
        (b"POST /", "HTTP"),
        (b"HTTP/1.1 400", "HTTP"),
        (b"\x16\x03\x01", "TLS"),
        (b"SSH-2.0-x", "SSH"),
        (b"\x01\x00", "something else or ZMTP 1.0"),
        (b"hello", "began with b'hello'"),
        (b"\xff" + bytes(7) + b"\x01\x00", "ZMTP 1.0 or no ZMTP"),
        (START + b"\x00", r"ZMTP 1\.0; ZMTP 3\.0 or newer is needed"),
        (START + b"\x01\x05", r"ZMTP 2\.0; ZMTP 3\.0 or newer is needed"),
    ],
)
def test_others_are_told_at_once_what_they_seem_to_be(octets: bytes, why: str) -> None:
    with pytest.raises(ProtocolError, match=why):
        check_greeting_start(octets)
    with pytest.raises(ProtocolError):  # more of it doesn't make it better
        check_greeting_start(octets + bytes(64 - len(octets)))


@given(st.binary(max_size=64))
def test_any_start_is_fine_or_a_protocol_error(octets: bytes) -> None:
    try:
        check_greeting_start(octets)
    except ProtocolError:
        return
    assert octets[:1] in (b"", b"\xff")
