"""Events as lines of the log."""

from __future__ import annotations

import logging
import types
from typing import Any

import pytest

from zerorpc.event_log import log_event
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
