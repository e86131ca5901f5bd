"""Frames: what a stream of bytes splits into, however it is cut; limits; and what decoding costs."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.zmtp.links import bodies, cuts, encoded, messages, split
from zerorpc.errors import ProtocolError
from zerorpc.zmtp import memory
from zerorpc.zmtp.commands import Command
from zerorpc.zmtp.frames import (
    FRAMED,
    Frame,
    Framed,
    FrameDecoder,
    Limits,
    Oversized,
    encode_delimited,
    encode_framed,
    encode_message,
    is_mostly_one_frame,
)

SMALL = Limits(message=1000, frames=3, command=50)
LONG_HEAD = b"\x02" + (64).to_bytes(8, "big")


def decode(*chunks: bytes, limits: Limits = Limits()) -> list[object]:  # noqa: B008
    decoder = FrameDecoder(limits)
    out: list[object] = []
    for chunk in chunks:
        decoder.receive(chunk, out)  # type: ignore[arg-type]
    return out


def outcome(chunks: list[bytes], limits: Limits) -> tuple[list[object], str | None]:
    """What comes out of the chunks, and the error that ends it."""
    decoder = FrameDecoder(limits)
    out: list[object] = []
    try:
        for chunk in chunks:
            decoder.receive(chunk, out)  # type: ignore[arg-type]
    except ProtocolError as error:
        return out, str(error)
    return out, None


# One table for the writer and the reader

FORMS = [
    ([b""], b"\x00\x00"),
    ([b"hi"], b"\x00\x02hi"),
    ([b"", b"hi"], b"\x01\x00\x00\x02hi"),
    ([b"a", b"", b"c"], b"\x01\x01a\x01\x00\x00\x01c"),
    ([b"x" * 255], b"\x00\xff" + b"x" * 255),
    ([b"x" * 256], b"\x02" + bytes(6) + b"\x01\x00" + b"x" * 256),
    ([b"x" * 256, b"y"], b"\x03" + bytes(6) + b"\x01\x00" + b"x" * 256 + b"\x00\x01y"),
]


@pytest.mark.parametrize(("parts", "wire"), FORMS)
def test_written_as_rfc_37_says(parts: list[bytes], wire: bytes) -> None:
    assert encoded(parts) == wire


@pytest.mark.parametrize(("parts", "wire"), FORMS)
def test_read_as_rfc_37_says(parts: list[bytes], wire: bytes) -> None:
    assert decode(wire) == [parts]


@given(bodies)
@example(b"x" * 255)
@example(b"x" * 256)
def test_the_quick_form_for_requests_writes_the_same(body: bytes) -> None:
    out: list[Frame] = []
    encode_delimited(body, out)
    assert b"".join(out) == encoded([b"", body])


@pytest.mark.parametrize("size", [0, 255, 256, 1000])
@pytest.mark.parametrize("buffers", [[b"x" * 256], [b"x" * 300, b"y" * 1000, b"z" * 70_000]])
def test_the_quick_form_for_large_octets_writes_the_same(size: int, buffers: list[bytes]) -> None:
    body, out = Framed(b"e" * size), []
    body.buffers = buffers
    encode_framed(body, out)
    assert b"".join(out) == encoded([b"", bytes(body), *buffers])
    assert [part for part in out if any(part is each for each in buffers)] == buffers, "they are not copied"
    assert len(body) == size + sum(map(len, buffers))


def test_large_bodies_are_handed_over_and_not_copied() -> None:
    body, out = b"x" * 1000, []
    encode_message([body], out)
    encode_delimited(body, out)
    assert [part for part in out if part is body] == [body, body]


@pytest.mark.parametrize("wire", [b"\x02" + (3).to_bytes(8, "big") + b"abc", b"\x02" + bytes(8)])
def test_the_long_form_may_carry_a_short_body(wire: bytes) -> None:
    assert decode(wire) == [[wire[9:]]]
    assert decode(*split(wire, range(20))) == [[wire[9:]]]


# However it is cut

commands = st.builds(Command, st.sampled_from([b"PING", b"x"]), st.binary(max_size=40) | st.just(b"y" * 300))


@given(st.lists(messages | commands, max_size=6), cuts)
def test_any_split_gives_the_same(items: list[list[bytes] | Command], cuts: list[int]) -> None:
    wire = b"".join(item.encode() if isinstance(item, Command) else encoded(item) for item in items)
    assert decode(*split(wire, cuts)) == items
    assert decode(*split(wire, range(len(wire)))) == items


@given(st.lists(st.binary(max_size=60), max_size=5), cuts)
@example([b"\x02" + b"\xff" * 8], [])
@example([b"\x01\0\x01\0\x01\0"], [3])
@example([b"\x04\0"], [1])
def test_any_bytes_give_messages_or_a_protocol_error(chunks: list[bytes], cuts: list[int]) -> None:
    whole = outcome(chunks, SMALL)
    wire = b"".join(chunks)
    assert outcome(split(wire, cuts), SMALL) == whole
    assert outcome(split(wire, range(len(wire))), SMALL) == whole


@given(st.lists(messages | commands, max_size=6), cuts)
def test_a_body_put_into_its_place_gives_the_same(items: list[list[bytes] | Command], cuts: list[int]) -> None:
    """As the shells receive what is large: what belongs to a body under way goes where the decoder says."""
    wire = b"".join(item.encode() if isinstance(item, Command) else encoded(item) for item in items)
    decoder = FrameDecoder(Limits())
    out: list[object] = []
    for chunk in split(wire, cuts):
        while chunk and decoder.body is not None:
            room = decoder.body_room()
            assert 0 < len(room) <= decoder.missing
            count = min(len(room), len(chunk))
            room[:count], chunk = chunk[:count], chunk[count:]
            room.release()
            decoder.body_filled(count, out)  # type: ignore[arg-type]
        decoder.receive(chunk, out)  # type: ignore[arg-type]
    assert out == items


def test_a_body_grows_with_what_arrives() -> None:
    size = 1024 * 1024
    decoder = FrameDecoder(Limits())
    out: list[list[Frame]] = []
    decoder.receive(b"\x02" + size.to_bytes(8, "big") + b"x", out)  # type: ignore[arg-type]
    rooms = []
    while decoder.body is not None:
        room = decoder.body_room()
        rooms.append(len(room))
        room[:] = b"x" * len(room)
        room.release()
        decoder.body_filled(rooms[-1], out)  # type: ignore[arg-type]
    assert rooms == [16_383, 10 * 16_384, size - 11 * 16_384]
    assert out == [[b"x" * size]]


def test_who_has_sent_so_much_once_is_believed_that_it_comes_again() -> None:
    decoder = FrameDecoder(Limits())
    out: list[Any] = []
    size = 3_000_000
    head = b"\x02" + size.to_bytes(8, "big")
    decoder.receive(head + b"x", out)
    assert decoder.body is not None
    assert len(decoder.body) < 20_000
    decoder.receive(bytes(size - 1), out)
    assert len(out) == 1
    decoder.receive(head + b"y", out)
    assert decoder.body is not None
    assert len(decoder.body) == size
    decoder.receive(bytes(size - 1) + b"\x02" + (10 * size).to_bytes(8, "big") + b"z", out)
    assert decoder.body is not None
    assert len(decoder.body) == size, "of a larger one so much"
    assert [bytes(body[:1]) for (body,) in out] == [b"x", b"y"]


def test_a_command_between_the_frames_of_a_message_disturbs_nothing() -> None:
    ping = Command(b"PING", b"\0\0")
    assert decode(b"\x01\x01a" + ping.encode() + b"\0\x01b") == [ping, [b"a", b"b"]]


def test_an_empty_chunk_changes_nothing() -> None:
    assert decode(b"", b"\0", b"", b"\x01", b"", b"a", b"") == [[b"a"]]
    assert decode(LONG_HEAD + b"x" * 10, b"", b"x" * 54) == [[b"x" * 64]]


# Limits

REFUSED = [
    (b"\x08\x00", "a frame with flags 0x08"),
    (b"\x80\x00", "a frame with flags 0x80"),
    (b"\x05\x00", "a frame with flags 0x05"),
    (b"\x07" + bytes(8), "a frame with flags 0x07"),
    (b"\x02" + (2**31 + 1).to_bytes(8, "big"), f"a message of {2**31 + 1} octets or more"),
    (b"\x02" + b"\xff" * 8, f"a message of {2**64 - 1} octets or more"),
    (b"\x06" + (51).to_bytes(8, "big"), "a command of 51 octets"),
    (b"\x04\x33", "a command of 51 octets"),
    (b"\x01\x00" * 3, "more than 3 frames"),
    ((b"\x03" + bytes(8)) * 3, "more than 3 frames"),
    (b"\x04\x00", "malformed command frame"),
    (b"\x04\x02\x02a", "malformed command frame"),
    (b"\x04\x02\x00a", "malformed command frame"),
]


@pytest.mark.parametrize(("wire", "why"), REFUSED)
def test_refused_as_soon_as_it_shows(wire: bytes, why: str) -> None:
    with pytest.raises(ProtocolError, match=why):
        decode(wire, limits=SMALL)


@pytest.mark.parametrize(("wire", "why"), REFUSED)
def test_what_came_before_an_error_is_there(wire: bytes, why: str) -> None:
    good = encoded([b"a", b"b"])
    assert outcome([good + wire], SMALL)[0] == [[b"a", b"b"]]
    assert outcome(split(good + wire, range(2000)), SMALL)[0] == [[b"a", b"b"]]


@given(st.integers(401, 70_000), st.lists(st.integers(0, 80_000), max_size=6), st.booleans())
def test_of_a_frame_that_is_too_large_the_first_octets_are_kept(size: int, cuts: list[int], in_place: bool) -> None:
    """What follows it comes as ever."""
    large = bytes(range(256)) * (size // 256 + 1)
    wire = encoded([b"a" * 600, large[:size]]) + encoded([b"next"])
    out: list[Any] = []
    decoder = FrameDecoder(SMALL)
    for piece in split(wire, cuts):
        position = 0
        while in_place and decoder.body is not None and position < len(piece):
            room = decoder.body_room()
            assert 0 < len(room) <= decoder.missing
            count = min(len(room), len(piece) - position)
            room[:count] = piece[position : position + count]
            room.release()
            position += count
            decoder.body_filled(count, out)
        if position < len(piece):
            decoder.receive(piece[position:], out)
    (first, body), after = out
    assert (first, after) == (b"a" * 600, [b"next"])
    assert type(body) is Oversized
    assert body == large[: min(size, 4096)]
    assert body.why == f"a message of {600 + size} octets or more (the limit is 1000)"


def test_just_within_the_limits() -> None:
    message = [b"x" * 600, b"y" * 400]
    assert decode(encoded(message), encoded([b"a", b"b", b"c"]), encoded(message), limits=SMALL) == [
        message,
        [b"a", b"b", b"c"],
        message,
    ]
    command = Command(b"abc", b"x" * 46)
    assert decode(command.encode(), limits=SMALL) == [command]


def test_what_is_held_is_known_to_be_a_message_or_not() -> None:
    decoder = FrameDecoder(Limits())
    assert not decoder.in_message
    decoder.receive(b"\x06" + (300).to_bytes(8, "big") + b"\x01", [])
    assert not decoder.in_message
    decoder.receive(b"x" * 299 + b"\x01\x00", [])
    assert decoder.in_message
    decoder.receive(b"\0\0", [])
    assert not decoder.in_message
    decoder.receive(LONG_HEAD + b"x", [])
    assert decoder.in_message


# Costs

SIZE = 64 * 1024 * 1024


@pytest.mark.parametrize("chunk", [1000, 65_536])
def test_a_large_frame_in_small_pieces_takes_its_size_and_little_more(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Quadratic work, at 1,000 octets a piece, would be 2 TB copied: the time limit would end it."""
    monkeypatch.setattr(memory, "_kept", SIZE)  # the block that is mapped and freed untouched would count here
    decoder = FrameDecoder(Limits())
    out: list[list[Frame]] = []
    piece = bytes(chunk)
    decoder.receive(b"\x02" + SIZE.to_bytes(8, "big"), out)  # type: ignore[arg-type]
    tracemalloc.start()
    try:
        for _ in range(SIZE // chunk):
            decoder.receive(piece, out)  # type: ignore[arg-type]
        decoder.receive(piece[: SIZE % chunk] + b"\0\x02hi", out)  # type: ignore[arg-type]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [len(message[0]) for message in out] == [SIZE, 2]
    assert peak < 2 * SIZE + 1024 * 1024


@given(messages, st.data())
def test_idle_means_that_nothing_is_held(sent: list[bytes], data: st.DataObject) -> None:
    wire = encoded(sent)
    decoder = FrameDecoder(Limits())
    assert decoder.idle
    cut = data.draw(st.integers(0, len(wire)))
    for chunk, ends in ((wire[:cut], cut in (0, len(wire))), (wire[cut:], True)):
        decoder.receive(chunk, [])
        assert decoder.idle is ends


def test_not_idle_when_a_chunk_ends_one_body_and_begins_the_next() -> None:
    wire = encoded([b"x" * 300])
    for begun in (1, 5, 9, 10):  # octets of the next message: a part of its head, its head, and some of its body
        decoder = FrameDecoder(Limits())
        decoder.receive(wire[:100], [])
        decoder.receive(wire[100:] + wire[:begun], [])
        assert not decoder.idle, begun


def test_not_idle_while_a_large_body_is_read_into_its_place() -> None:
    decoder = FrameDecoder(Limits())
    for flag, ends in ((b"\x03", False), (b"\x02", True)):
        decoder.receive(flag + (70_000).to_bytes(8, "big") + b"x", [])
        assert not decoder.idle
        while decoder.body is not None:
            with decoder.body_room() as room:
                size = len(room)
            decoder.body_filled(size, [])
        assert decoder.idle is ends


def test_the_memory_of_large_frames_is_kept_for_the_next_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """What that saves in time is the benchmark's; here: a block is mapped for the largest frame so far, and once."""
    monkeypatch.setattr(memory, "_kept", 1000)

    def traced(size: int) -> int:
        wire = encoded([bytes(size)])
        tracemalloc.start()
        try:
            decode(wire[:100], wire[100:])
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert traced(1000) < 50_000
    assert traced(100_000) > 800_000
    assert traced(100_000) < 300_000
    assert traced(50_000) < 300_000
    assert memory._kept == 100_000


def test_an_announced_size_takes_no_memory() -> None:
    tracemalloc.start()
    try:
        assert decode(b"\x02" + (128 * 1024 * 1024).to_bytes(8, "big") + b"x") == []
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


class CountingBytes(bytes):
    """Octets that count how many of them were copied out, or joined to others."""

    copied = 0

    def __getitem__(self, index: object) -> object:  # type: ignore[override]
        got = super().__getitem__(index)  # type: ignore[index]
        if isinstance(got, bytes):
            CountingBytes.copied += len(got)
        return got


def test_many_small_messages_in_one_chunk_are_each_copied_once() -> None:
    CountingBytes.copied = 0
    wire = CountingBytes(encoded([b"", b"x" * 50]) * 10_000)
    assert len(decode(wire)) == 10_000
    assert CountingBytes.copied <= len(wire)


# Whether octets are one large frame, for who shares out the turns of a loop


SHORT, MORE = bytes((0, 3)) + b"abc", bytes((1, 3)) + b"abc"


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"\x02" + (100).to_bytes(8, "big") + bytes(100), True),
        (b"\x02" + (1000).to_bytes(8, "big") + bytes(100), True),
        (b"\x01\x00" + MORE + b"\x02" + (100).to_bytes(8, "big") + bytes(100) + SHORT, True),
        (b"\x02" + (100).to_bytes(8, "big") + bytes(100) + 10 * SHORT, False),
        (MORE * 4 + b"\x02" + (100).to_bytes(8, "big") + bytes(100), False),
        (SHORT * 50, False),
        (SHORT, False),
        (b"", False),
    ],
)
def test_what_is_mostly_one_frame(data: bytes, found: bool) -> None:
    assert is_mostly_one_frame(data, rest=10) is found


FRAMED_MESSAGE = encoded([b"", b"event", b"x" * 600])


def test_a_chunk_that_is_one_message_with_large_octets_is_taken_at_once() -> None:
    assert FRAMED_MESSAGE.startswith(FRAMED)
    assert FrameDecoder(SMALL).whole(FRAMED_MESSAGE) == decode(FRAMED_MESSAGE)[0] == [b"", b"event", b"x" * 600]


@pytest.mark.parametrize(
    "chunk",
    [
        FRAMED,
        FRAMED_MESSAGE[:4],
        FRAMED_MESSAGE[:9],
        FRAMED_MESSAGE[:17],
        FRAMED_MESSAGE[:-1],
        FRAMED_MESSAGE + b"\x01",
        encoded([b"", b"event", b"short"]),
        encoded([b"", b"event", b"x" * 600, b"y" * 600]),
        encoded([b"", b"event", b"x" * 1001]),
        FRAMED + b"\x05event\x06" + (3).to_bytes(8, "big") + b"abc",
    ],
    ids=lambda chunk: f"{len(chunk)} octets",
)
def test_any_other_is_left_to_the_decoder(chunk: bytes) -> None:
    assert FrameDecoder(SMALL).whole(chunk) is None


@pytest.mark.parametrize("size", [50, 100_000], ids=["in pieces", "at once"])
def test_too_many_long_frames(size: int) -> None:
    wire = encoded([b"x" * 300] * 4)
    with pytest.raises(ProtocolError, match="more than 3 frames"):
        decode(*(wire[start : start + size] for start in range(0, len(wire), size)), limits=Limits(frames=3))


def test_so_is_one_of_too_many_frames() -> None:
    limits = SMALL._replace(frames=2)
    assert FrameDecoder(limits).whole(FRAMED_MESSAGE) is None
    with pytest.raises(ProtocolError, match="more than 2 frames"):
        decode(FRAMED_MESSAGE, limits=limits)
