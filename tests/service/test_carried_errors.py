"""Exceptions that travel between processes: what a traceback shows of them arrives."""

from __future__ import annotations

import pickle
import traceback
from typing import Any

import pytest

from tests.service import evil_errors
from tests.service.process_services import Demanding
from zerorpc.service.carried_errors import pack_error
from zerorpc.shown import name_of


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


# Whatever it is like


@pytest.mark.parametrize("name", evil_errors.EVIL)
def test_whatever_it_is_like_its_name_arrives(name: str) -> None:
    arrived = travelled(evil_errors.EVIL[name]())
    assert name_of(arrived) == evil_errors.name_of(name)


@pytest.mark.parametrize("link", ["__cause__", "__context__"])
def test_a_chain_of_thousands_arrives(link: str) -> None:
    first = last = ValueError("first")
    for number in range(5000):
        inner = KeyError(number)
        setattr(last, link, inner)
        last = inner
    arrived = travelled(first)
    assert (type(arrived), arrived.args) == (ValueError, ("first",))
    for number in range(5000):
        arrived = getattr(arrived, link)
        assert (type(arrived), arrived.args) == (KeyError, (number,))
    assert getattr(arrived, link) is None


def test_an_exception_without_items_is_no_missing_one() -> None:
    assert type(travelled(evil_errors.EVIL["Empty"]())) is type(evil_errors.EVIL["Empty"]())


def test_a_message_of_a_hundred_million_characters_is_clipped() -> None:
    class Local(Exception):  # one that can't be pickled
        pass

    assert len(str(travelled(Local("x" * 100_000_000)))) < 1_100_000


def test_frames_of_files_with_odd_names_arrive() -> None:
    try:
        exec(compile("1 / 0", "odd \udcff", "exec"), {"__name__": 7})
    except ZeroDivisionError as error:
        arrived = travelled(error)
    assert arrived.__traceback__ is not None
    assert arrived.__traceback__.tb_frame.f_code.co_filename == "odd \udcff"
