"""The program as a whole: which exit code, and which words, for which end."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any

import pytest

import zerorpc
from zerorpc import errors
from zerorpc.cli import main


@pytest.fixture(autouse=True)
def typed_zerorpc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["zerorpc"])


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            errors.RemoteError("ValueError", "no", "Traceback (most recent call last):\nValueError: no\n"),
            1,
            ["Traceback (most recent call last):", "ValueError: no"],
        ),
        (errors.RemoteError("Error", "no", "at line 3"), 1, ["at line 3", "Error: no"]),
        (errors.RemoteError("RemoteError", "ValueError('no')", None), 1, ["RemoteError: ValueError('no')"]),
        (errors.RemoteError("E", "\x1b[2J", None), 1, ["E: \\x1b[2J"]),
        (
            errors.UnknownMethod("NameError", "m", "Traceback (most recent call last):\nNameError: m\n", ran=False),
            1,
            ["Traceback (most recent call last):", "NameError: m"],
        ),
        (
            errors.WrongArguments("TypeError", "m() takes none", "at line 3"),
            1,
            ["at line 3", "TypeError: m() takes none"],
        ),
        (errors.ServerOverloaded("ServerOverloaded", "m: busy", None), 1, ["ServerOverloaded: m: busy"]),
        (errors.ServerStopping("ServerStopping", "m: no", None), 1, ["ServerStopping: m: no"]),
        (errors.WorkerDied("WorkerDied", "m: gone", None), 1, ["WorkerDied: m: gone"]),
        (errors.TimeoutExpired(3, "calling m"), 1, ["zerorpc: timeout after 3s, when calling m"]),
        (errors.LostRemote("tcp://h:1 is gone"), 1, ["zerorpc: tcp://h:1 is gone"]),
        (errors.ProtocolError("not ZMTP\nat all"), 1, ["zerorpc: not ZMTP; at all"]),
        (errors.HandshakeFailed("its key is unknown"), 1, ["zerorpc: its key is unknown"]),
        (errors.AddressInUse("ipc://s"), 1, ["zerorpc: address already in use: ipc://s"]),
        (PermissionError(13, "Permission denied"), 1, ["zerorpc: Permission denied"]),
        (errors.SerializationError("2**64 is too large"), 2, ["zerorpc: 2**64 is too large"]),
        (errors.InvalidResult("the result of f: expected int"), 1, ["zerorpc: the result of f: expected int"]),
        (errors.UnknownService("no service x"), 1, ["zerorpc: no service x"]),
        (errors.NotSupported("f: no metadata"), 1, ["zerorpc: f: no metadata"]),
        (errors.Cancelled("given up"), 1, ["zerorpc: given up"]),
        (
            errors.EndpointError("s", "no scheme", malformed=True),
            2,
            [f"zerorpc: 's' is no endpoint: no scheme; accepted forms: {errors.EndpointError.FORMS}"],
        ),
        (
            errors.EndpointError("tcp://s:1", "it can't be used here: no such name"),
            2,
            ["zerorpc: endpoint 'tcp://s:1': it can't be used here: no such name"],
        ),
        (KeyboardInterrupt(), 130, []),
        (BrokenPipeError(32, "Broken pipe"), 1, ["zerorpc: Broken pipe"]),
    ],
)
def test_every_failure_has_its_words_and_its_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    said: list[str],
) -> None:
    def failing(**settings: Any) -> None:
        raise error

    monkeypatch.setattr(zerorpc, "Client", failing, raising=False)
    assert main(["ipc://s", "m"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == said


def test_every_error_of_ours_is_in_that_table() -> None:
    """So that a new one is thought about here too. Closed can't come: nothing here is used after its end."""
    tested = {"RemoteError", "TimeoutExpired", "LostRemote", "ProtocolError", "AddressInUse", *errors.SERVER_ERRORS}
    tested |= {
        "HandshakeFailed",
        "CertificateError",
        "SerializationError",
        "InvalidResult",
        "EndpointError",
        "NotSupported",
        "UnknownService",
        "Cancelled",
    }
    assert set(errors.__all__) == tested | {"ZeroRPCError", "Closed"}


def test_a_wrong_command_line_says_what_to_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "zerorpc: no address given",
        "type: zerorpc tcp://127.0.0.1:4242 [method [parameter ...]]",
    ]


def test_the_arguments_of_the_process_are_the_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["zerorpc", "--version"])
    assert main() == 0
    assert capsys.readouterr().out == f"zerorpc {version('zerorpc')}\n"


def test_the_help_shows_every_flag_of_the_old_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    flags = "--client --server --connect --bind --timeout --heartbeat --pool-size -j --json -pj --print-json -?"
    for flag in [*flags.split(), "--inspect", "--active-hb", "-d", "--debug"]:
        assert flag in captured.out
    assert "%Y/%m/%d" in captured.out
