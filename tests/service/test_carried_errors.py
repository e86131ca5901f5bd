"""Exceptions that travel between processes: what a traceback shows of them arrives."""

from __future__ import annotations

import pickle
import traceback
from typing import Any

import pytest

from tests.service.process_services import Demanding
from zerorpc.service.carried_errors import pack_error


def travelled(error: BaseException) -> BaseException:
    """An exception after its journey; this test's own frame counts as ours."""
    return pickle.loads(pickle.dumps(pack_error(error, __name__))).unpack()


def shown(error: BaseException) -> list[str]:
    """Its traceback, without the marks under parts of lines, which don't travel."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    return [line for line in lines if not line or line.strip(" ~^")]


class Local(Exception):
    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Loud(Exception):
    """Says something else each time that it is made."""

    def __init__(self, message: str) -> None:
        super().__init__(message + "!")


class Unrelated:
    def __str__(self) -> str:
        return "odd"


class Odd(Exception):
    """Unpickles to what is no exception."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Unrelated, ()


@pytest.mark.parametrize(
    "error", [ValueError("bad"), KeyError("x"), SystemExit(3), OSError(2, "gone", "f"), Local("m")]
)
def test_an_exception_arrives_as_it_was(error: BaseException) -> None:
    arrived = travelled(error)
    assert (type(arrived), arrived.args) == (type(error), error.args)


def test_attributes_arrive() -> None:
    arrived = travelled(Local("message", 7))
    assert isinstance(arrived, Local)
    assert arrived.code == 7


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (Demanding("box", 7), "box number 7"),
        (Loud("ho"), "ho!"),
        (type("Anonymous", (ValueError,), {})("bad"), "bad"),
        (ValueError(lambda: None), None),
        (Odd("odd"), "odd"),
    ],
)
def test_what_can_t_be_unpickled_arrives_in_name(error: Exception, message: str | None) -> None:
    arrived = travelled(error)
    assert type(arrived) is not type(error)
    assert type(arrived).__name__ == type(error).__name__
    assert type(arrived).__module__ == type(error).__module__
    assert str(arrived) == (str(error) if message is None else message)


def test_a_message_that_can_t_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(travelled(Mute())) is Mute
    monkeypatch.setattr(Demanding, "__str__", Mute.__str__)
    assert Exception.__str__(travelled(Demanding("box", 7))) == "<its message can't be shown>"


# Tracebacks, of functions in another module: frames of this one are left out at the top


def caught(code: str) -> Exception:
    """What the code raises."""
    try:
        exec(compile(code, __file__, "exec"), {"__name__": "elsewhere"})
    except Exception as error:
        return error
    raise AssertionError


@pytest.mark.parametrize(
    "code",
    [
        "def f(n):\n    return f(n - 1) if n else 1 / 0\nf(3)",
        "def f(n):\n    return f(n - 1) if n else 1 / 0\nf(90)",
        "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise ValueError('no') from error",
        "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise ValueError('no')",
        "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise ValueError('no') from None",
        "a, b = ValueError('a'), ValueError('b')\na.__cause__, b.__cause__ = b, a\nraise a",
    ],
)
def test_a_traceback_arrives(code: str) -> None:
    error = caught(code)
    arrived = travelled(error)
    assert error.__traceback__ is not None
    assert shown(arrived) == shown(error.with_traceback(error.__traceback__.tb_next))
    trace = arrived.__traceback__
    assert trace is not None
    assert trace.tb_frame.f_globals["__name__"] == "elsewhere"


def test_an_exception_that_was_never_raised_has_no_traceback() -> None:
    assert travelled(ValueError()).__traceback__ is None
