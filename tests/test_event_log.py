"""Events as lines of the log."""

from __future__ import annotations

import logging
import tracemalloc
import types
from collections.abc import Callable
from typing import Any

import pytest

from zerorpc.event_log import _shown, log_event
from zerorpc.protocol.events import decode, encode

HEADER = {"message_id": b"id", "v": 3}


def logged(caplog: pytest.LogCaptureFixture, data: bytes, level: int = logging.DEBUG) -> list[str]:
    with caplog.at_level(level, "zerorpc.events"):
        log_event("-->", data)
    return [record.getMessage() for record in caplog.records]


def test_an_event(caplog: pytest.LogCaptureFixture) -> None:
    assert logged(caplog, encode(HEADER, "add", [1, "two"])) == ["--> add {'message_id': b'id', 'v': 3} [1, 'two']"]


def test_long_arguments_are_cut(caplog: pytest.LogCaptureFixture) -> None:
    (line,) = logged(caplog, encode(HEADER, "add", ["x" * 1000]))
    assert line.endswith("…")
    assert len(line) < 300


def test_an_event_of_which_only_the_header_makes_sense(caplog: pytest.LogCaptureFixture) -> None:
    (line,) = logged(caplog, encode(HEADER, "add", ["x"]).replace(b"\xa1x", b"\xa1\xff"))
    assert line.startswith("--> add <the arguments can't be decoded")


def test_what_is_no_event(caplog: pytest.LogCaptureFixture) -> None:
    (line,) = logged(caplog, b"\xc1")
    assert line.startswith("--> <not an event")


def test_arguments_that_can_be_read_but_not_shown(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From Python 3.12 on, what nests as deep as can be read is a little too deep for repr()."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]

    def read(data: Any) -> Any:
        event = decode(data)
        return types.SimpleNamespace(name=event.name, args=deep)

    monkeypatch.setattr("zerorpc.event_log.decode", read)
    assert logged(caplog, encode(HEADER, "add", [])) == [
        "--> add {'message_id': b'id', 'v': 3} <nested too deep to show>"
    ]
    monkeypatch.setattr("zerorpc.event_log.decode", decode)
    monkeypatch.setattr("zerorpc.event_log.decode_header", lambda data: {"x": deep})
    caplog.clear()
    assert logged(caplog, encode(HEADER, "add", [])) == ["--> add <nested too deep to show> []"]


def test_nothing_is_done_when_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    assert logged(caplog, b"\xc1", logging.INFO) == []


# A peer's events


HOSTILE = "x\x1b]0;owned\x07\r\n2026-01-01 CRITICAL forged\u202e\u2028\x9b2J\ud800"


def test_a_methods_name_is_one_harmless_line(caplog: pytest.LogCaptureFixture) -> None:
    name = HOSTILE.replace("\ud800", "")
    (line,) = logged(caplog, encode(HEADER | {name: name}, name, [name, {name: name}]))
    assert is_harmless(line)
    assert line.startswith(r"--> x\x1b]0;owned\x07\x0d\n2026-01-01 CRITICAL forged\u202e\u2028\x9b2J {")


def test_a_name_as_long_as_a_message(caplog: pytest.LogCaptureFixture) -> None:
    (line,) = logged(caplog, encode(HEADER, "\x1b" * 1_000_000, []))
    assert is_harmless(line)
    assert len(line) < 10_000


def test_what_is_no_event_says_no_more_than_it_may(caplog: pytest.LogCaptureFixture) -> None:
    data = bytearray(encode(HEADER, HOSTILE.replace("\ud800", ""), ["x"]))
    for position in range(len(data)):
        broken = data.copy()
        broken[position] = 0xC1
        logged(caplog, bytes(broken))
    assert len(caplog.messages) == len(data)
    assert all(map(is_harmless, caplog.messages))


@pytest.mark.parametrize(
    "make",  # in the test, not in each process that collects it
    [
        lambda: [b"x" * 50_000_000],
        lambda: ["x" * 50_000_000],
        lambda: [[]] * 1_000_000,
        lambda: [{}] * 1_000_000,
        lambda: {str(number): None for number in range(1_000_000)},
        lambda: [["x" * 100] * 100] * 1000,
    ],
    ids=["bytes", "text", "lists", "maps", "keys", "nested"],
)
def test_of_large_arguments_only_what_is_seen_is_made_a_text(make: Callable[[], Any]) -> None:
    args = make()
    tracemalloc.start()
    try:
        text = _shown(args)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    assert len(text) == 201
    assert repr(args)[:200] == text[:200]


@pytest.mark.parametrize("args", [[], {}, [1, "a", None], {"a": [1.5, {2: b"\x00"}], "b": []}, [[], [[]]], "é\x1b"])
def test_small_arguments_are_shown_as_python_does(args: Any) -> None:
    assert _shown(args) == repr(args)


def is_harmless(line: str) -> bool:
    return line.isprintable()
