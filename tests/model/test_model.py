"""A few seconds of it, with the same operations each time; and that it finds what is wrong."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import zerorpc
from tests.model import book
from tests.model.book import INTERRUPTED, Book, Call, Interrupted, Reason, named

ROOT = Path(__file__).parents[2]
CLIENT = object()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", [1, 2])
def test_callers_see_what_they_may_see(seed: int) -> None:
    argv = [sys.executable, "-m", "tests.model", "--seconds", "3", "--seed", str(seed)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "answered" in done.stdout


# The model


@pytest.fixture
def pages() -> Book:
    return Book()


def end(pages: Book, result: Any, timeout: float = 8.0, may: Any = (), ago: float = 0.0) -> None:
    """A call of the id 7 ends so."""
    call = Call("somebody", "echo", 7, CLIENT, timeout, may)
    call.begun -= ago
    pages.end(pages.begin(call), result)


def test_what_may_be_seen(pages: Book) -> None:
    end(pages, 7)
    end(pages, zerorpc.TimeoutExpired(0.1), timeout=0.1, may={"TimeoutExpired"}, ago=0.1)
    end(pages, RecursionError(), may={"RecursionError"})
    pages.reason("a server stops", "LostRemote", "ServerStopping").end()
    end(pages, zerorpc.LostRemote("gone"))
    end(pages, zerorpc.RemoteError("ServerStopping", "", None))
    pages.reason("closed", "Closed", client=CLIENT)
    end(pages, zerorpc.Closed("closed"))
    pages.check_runs([7])
    assert pages.wrong == []
    assert pages.counts() == {
        "answered": 1,
        "TimeoutExpired": 1,
        "RecursionError": 1,
        "LostRemote": 1,
        "ServerStopping": 1,
        "Closed": 1,
    }
    assert not pages.over.is_set()


def other_client(pages: Book) -> None:
    pages.reason("closed", "LostRemote", client=object())


def long_ago(pages: Book) -> None:
    pages.reason("a server stops", "LostRemote").ended = time.monotonic() - book.NOTICED - 1


def other_text(pages: Book) -> None:
    pages.reason("interrupted", "LostRemote", text=INTERRUPTED)


@pytest.mark.parametrize(
    ("result", "options", "prepare"),
    [
        (8, {}, None),
        (zerorpc.LostRemote("gone"), {}, None),
        (zerorpc.LostRemote("gone"), {}, other_client),
        (zerorpc.LostRemote("gone"), {}, long_ago),
        (zerorpc.LostRemote("gone"), {}, other_text),
        (zerorpc.TimeoutExpired(8.0), {"ago": 8.0}, None),
        (zerorpc.TimeoutExpired(8.0), {"may": {"TimeoutExpired"}, "ago": 1.0}, None),
        (zerorpc.RemoteError("RuntimeError", "StopIteration", None), {}, None),
        (AssertionError(), {}, None),
        (7, {"ago": 8.0 + book.SLACK + 1}, None),
    ],
)
def test_what_may_not(
    pages: Book, result: Any, options: dict[str, Any], prepare: Callable[[Book], None] | None
) -> None:
    if prepare is not None:
        prepare(pages)
    end(pages, result, **options)
    assert len(pages.wrong) == 1
    assert pages.over.is_set()
    assert "somebody: echo (call 7" in pages.told()


def test_what_runs(pages: Book) -> None:
    end(pages, 7)
    pages.check_runs([3, 3])
    assert pages.wrong == ["ran more than once: [3]", "answered, and never run: [7]"]


def test_what_hangs(pages: Book, capfd: pytest.CaptureFixture[str]) -> None:
    call = Call("somebody", "echo", 7, CLIENT, 8.0, ())
    pages.begin(call)
    pages.look()
    assert pages.wrong == []
    call.begun -= 7.0
    pages.look()
    assert "takes long" in capfd.readouterr().err
    assert pages.wrong == []
    call.begun -= 12.0
    pages.look()
    assert "hangs" in pages.wrong[0]


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (zerorpc.RemoteError("KeyError", "x", None), "KeyError"),
        (zerorpc.Closed("closed"), "Closed"),
        (type("InUse", (RuntimeError,), {})(), "RuntimeError"),
        (RecursionError(), "RecursionError"),
        (zerorpc.SerializationError(f"can't be sent: {Interrupted.__name__}"), "Interrupted"),
    ],
)
def test_names_of_errors(error: Exception, name: str) -> None:
    assert named(error)[0] == name


def test_a_reason_ends() -> None:
    reason = Reason("closed", {"Closed"})
    call = Call("somebody", "echo", 7, CLIENT, 8.0, ())
    assert reason.excuses(call, "Closed", "")
    reason.ended = call.begun - book.NOTICED - 0.1
    assert not reason.excuses(call, "Closed", "")
