"""Commands and metadata: round trips, and what is malformed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerorpc.errors import ProtocolError
from zerorpc.zmtp.commands import Command, decode_metadata, encode_metadata

names = st.binary(min_size=1, max_size=255)
NULL_READY = bytes.fromhex("04 19 05 52 45 41 44 59 0b") + b"Socket-Type" + bytes.fromhex("00 00 00 03") + b"REQ"


@given(names, st.binary(max_size=300))
def test_a_command_comes_back(name: bytes, data: bytes) -> None:
    command = Command(name, data)
    frame = command.encode()
    body = frame[2:] if frame[0] == 0x04 else frame[9:]
    assert frame[0] == (0x04 if len(body) < 256 else 0x06)
    assert int.from_bytes(frame[1 : len(frame) - len(body)], "big") == len(body)
    assert Command.decode(body) == command


def test_ready_as_rfc_37_draws_it() -> None:
    assert Command(b"READY", encode_metadata({"Socket-Type": b"REQ"})).encode() == NULL_READY


@pytest.mark.parametrize("body", [b"", b"\0", b"\0abc", b"\x04PIN"])
def test_malformed_commands(body: bytes) -> None:
    with pytest.raises(ProtocolError, match="malformed command frame"):
        Command.decode(body)


def test_an_error_carries_its_reason() -> None:
    assert Command.error("no such thing").error_reason == "no such thing"
    assert Command.error("naïve").error_reason == "na?ve"
    assert Command.error("x" * 300) == Command(b"ERROR", b"\xff" + b"x" * 255)


@pytest.mark.parametrize("data", [b"", b"\0"])
def test_an_error_without_a_reason(data: bytes) -> None:
    assert Command(b"ERROR", data).error_reason == "no reason given"


def test_a_reason_that_is_no_text_is_shown_as_well_as_possible() -> None:
    assert Command(b"ERROR", b"\x03a\xffb").error_reason == "a\ufffdb"


def test_an_error_reason_commands_no_terminal() -> None:
    assert Command.error("\x1b[2J\r\nforged").error_reason == r"\x1b[2J\r\nforged"
    assert Command(b"ERROR", b"\xff" + b"x" * 60_000).error_reason == "x" * 255


@given(st.dictionaries(st.text(st.characters(codec="ascii"), min_size=1, max_size=255), st.binary(max_size=300)))
def test_metadata_comes_back_in_lower_case(properties: dict[str, bytes]) -> None:
    lower = {name.lower(): value for name, value in properties.items()}
    assert decode_metadata(encode_metadata(properties)) == lower


@given(st.binary(max_size=60))
def test_any_bytes_are_metadata_or_a_protocol_error(data: bytes) -> None:
    try:
        properties = decode_metadata(data)
    except ProtocolError:
        return
    assert sum(5 + len(name) + len(value) for name, value in properties.items()) <= len(data)


@pytest.mark.parametrize(
    "data", [b"\0", b"\0\0\0\0\0", b"\x01", b"\x01a", b"\x01a\0\0\0", b"\x01a\0\0\0\x01", b"\x01a\xff\xff\xff\xff"]
)
def test_malformed_metadata(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="malformed metadata at octet 7"):
        decode_metadata(b"\x01b\0\0\0\x01v" + data)
