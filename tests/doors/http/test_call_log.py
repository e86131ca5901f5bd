"""A line in the log for each call by HTTP, of a server with ``log_calls``."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest

from tests.doors.http.test_access import by_password, http_to
from tests.doors.http.test_calls import Service
from tests.service.running import PATIENCE, eventually


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.INFO, "zerorpc.calls")
    return lambda: [record for record in caplog.records if record.name == "zerorpc.calls"]


@pytest.mark.parametrize(
    ("method", "outcome"),
    [
        ("add", "ok"),
        ("octets", "InvalidArguments"),
        ("nothing", "UnknownMethod"),
        ("fail", "ValueError"),
        ("opaque", "TypeError"),
        ("breaks", "ValueError"),
        ("acount", "ok"),
        ("quick", "InvalidArguments"),
    ],
)
def test_how_it_ended(lines: Any, method: str, outcome: str) -> None:
    with http_to(Service(), log_calls=True) as http:
        http.post(f"/call/{method}", json=[] if method in ("fail", "opaque", "breaks", "nothing") else [1])
        eventually(lines)
    (line,) = lines()
    assert (line.method, line.outcome, line.caller) == (method, outcome, "http://127.0.0.1")
    assert 0 <= line.seconds < PATIENCE


def test_who_called(lines: Any) -> None:
    with http_to(Service(), log_calls=True, authenticator=by_password) as http:
        http.post("/call/add", json=[1], auth=("alice", "wonderland"))
        http.post("/call/add", json=[1])
        eventually(lines)
    assert [line.caller for line in lines()] == ["alice at http://127.0.0.1"]


def test_one_that_went_away(lines: Any) -> None:
    with http_to(Service(), log_calls=True) as http:
        with pytest.raises(httpx.ReadTimeout):
            http.post("/call/ever", timeout=httpx.Timeout(PATIENCE, read=1.0))
        eventually(lines)
        told = http.post("/call/ever", headers={"x-zerorpc-timeout": "0.3"})
        assert told.status_code == 504
        eventually(lambda: len(lines()) == 2)
    assert [line.outcome for line in lines()] == ["gone", "gone"]


def test_repeats_with_a_key_are_calls_too(lines: Any) -> None:
    with http_to(Service(), log_calls=True) as http:
        for _ in range(2):
            assert http.post("/call/fail", headers={"idempotency-key": "k"}).status_code == 500
        eventually(lambda: len(lines()) == 2)
    assert [line.outcome for line in lines()] == ["ValueError"] * 2
