"""What helps a user whose call has failed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.service.running import serving
from zerorpc import errors
from zerorpc.cli import main
from zerorpc.cli.failures import is_unknown, unknown_method


class Desk:
    def strftime(self) -> None:
        pass

    def openDoor(self) -> None:  # noqa: N802
        pass

    def half(self, n):  # type: ignore[no-untyped-def]
        return n / 2

    def typed(self, n: int) -> None:
        raise TypeError("of its own")

    def named(self, *, n=1):  # type: ignore[no-untyped-def]
        return n / 2


@pytest.fixture(autouse=True)
def typed_zerorpc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["zerorpc"])


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("strtime", 'there is no method "strtime"; did you mean strftime?'),
        ("opendoor", 'there is no method "opendoor"; did you mean openDoor?'),
        ("x", 'there is no method "x"'),
    ],
)
def test_an_unknown_method_is_one_line(capsys: pytest.CaptureFixture[str], method: str, said: str) -> None:
    with serving(Desk()) as server:
        assert main([server.endpoints[0], method]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[1:] == [f"zerorpc: {said}"]


def test_a_server_that_lists_nothing() -> None:
    def refuse(question: str) -> Any:
        raise errors.RemoteError("NameError", question, None)

    assert unknown_method(refuse, "m\x1b\n") == 'there is no method "m\\x1b\\n"'
    assert unknown_method(lambda question: {"no": "list"}, "m") == 'there is no method "m"'


def test_names_of_a_server_are_no_commands_to_a_terminal() -> None:
    told = unknown_method(lambda question: ["moo\x1b", 3], "moo")
    assert told == 'there is no method "moo"; did you mean moo\\x1b?'


def test_an_older_server_says_it_by_a_name_error() -> None:
    assert is_unknown(errors.RemoteError("NameError", "m", None), "m")
    assert not is_unknown(errors.RemoteError("NameError", "name 'm' is not defined", None), "m")


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("half 3", "3 was sent as text: add --json, or annotate the method's parameters"),
        ("named n=3", "3 was sent as text: add --json, or annotate the method's parameters"),
        ("half x", None),
        ("typed 3", None),
        ("half 3 4", None),  # two are too many as JSON, too
        ('-j half "3"', None),
    ],
)
def test_a_number_that_was_sent_as_text(capsys: pytest.CaptureFixture[str], line: str, hint: str | None) -> None:
    with serving(Desk()) as server:
        assert main(["--connect", server.endpoints[0], *line.split()]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == hint if hint is not None else last.startswith("TypeError: ")


def greet(name: str, times: int = 1) -> str:
    return name * times


def test_a_mistyped_name_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with serving({"greet": greet}) as server:
        assert main([server.endpoints[0], "greet", "nmae=x"]) == 0  # it is a text like any other
        assert "greet has no parameter nmae, so that its word is sent as it is; did you mean name?" in (
            capsys.readouterr().err
        )
        assert main([server.endpoints[0], "greet", "a", "tiems=3"]) == 1
        assert capsys.readouterr().err.count("so that its word") == 1
        assert main([server.endpoints[0], "greet", "a", "xyz=3"]) == 1
        assert "there is no parameter xyz, so that its word was sent as it is" in capsys.readouterr().err
        assert main(["--inspect", server.endpoints[0], "gret"]) == 1
        assert "has no such method; did you mean greet?" in capsys.readouterr().err


def test_a_command_that_is_not_the_first_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "health", "tcp://127.0.0.1:1"]) == 2
    said = capsys.readouterr().err
    assert "health is a command only as the first word" in said
    assert "health [options] tcp://127.0.0.1:1" in said
