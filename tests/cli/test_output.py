"""Where results go: files, bytes as they are, and lines of JSON."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.service.running import serving
from zerorpc.cli import main


class Store:
    def octets(self) -> bytes:
        return b"\xff\n"

    def text(self) -> str:
        return "é"

    def pair(self) -> list[object]:
        return [1, {"a": b"x"}]

    def chunks(self) -> Iterator[bytes]:
        yield b"a\xff"
        yield b"b"

    def numbers(self, n: int) -> Iterator[int]:
        yield from range(n)

    def halfway(self) -> Iterator[bytes]:
        yield b"half"
        raise ValueError("no more")


Call = Callable[[str], tuple[int, bytes]]


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    with serving(Store()) as server:
        yield server.endpoints[0]


@pytest.fixture
def call(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Call:
    monkeypatch.chdir(tmp_path)

    def call(line: str) -> tuple[int, bytes]:
        return main([*line.split(), "--connect", store]), capfdbinary.readouterr().out

    return call


FORMS = [
    ("octets", b"\xff\n"),
    ("text", "é".encode()),
    ("pair", b'[1, {"a": "eA=="}]\n'),
    ("chunks", b"a\xffb"),
    ("numbers 2", b"0\n1\n"),
]


@pytest.mark.parametrize(("line", "out"), FORMS)
def test_raw(call: Call, line: str, out: bytes) -> None:
    assert call(f"--raw {line}") == (0, out)


@pytest.mark.parametrize(
    ("line", "out"),
    [
        *FORMS,
        ("--jsonl pair", b'1\n{"a": "eA=="}\n'),
        ("-pj text", b'"\\u00e9"\n'),
        ("-pj numbers 2", b"[0\n,1\n]\n"),
        ("-pj numbers 0", b"[]\n"),
    ],
)
def test_into_a_file(call: Call, line: str, out: bytes) -> None:
    assert call(f"-o file {line}") == (0, b"")
    assert Path("file").read_bytes() == out
    assert os.listdir() == ["file"]


@pytest.mark.parametrize(
    ("line", "out"),
    [("numbers 2", b"0\n1\n"), ("pair", b'1\n{"a": "eA=="}\n'), ("text", b'"\\u00e9"\n'), ("octets", b'"/wo="\n')],
)
def test_lines_of_json(call: Call, line: str, out: bytes) -> None:
    assert call(f"--jsonl {line}") == (0, out)


def test_a_stream_that_breaks_leaves_the_file_as_it_was(call: Call) -> None:
    assert call("-o file halfway")[0] == 1
    assert os.listdir() == []
    Path("file").write_bytes(b"before")
    assert call("-o file halfway")[0] == 1
    assert (os.listdir(), Path("file").read_bytes()) == (["file"], b"before")


def test_a_write_that_breaks_leaves_the_file_as_it_was(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: str, target: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    Path("file").write_bytes(b"before")
    monkeypatch.setattr("os.replace", full)
    assert call("-o file text")[0] == 1
    assert (os.listdir(), Path("file").read_bytes()) == (["file"], b"before")


def test_a_full_disk_is_said_in_a_line(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-o", "/dev/full", store, "text"]) == 1
    assert "the result can't be written to /dev/full: No space left on device" in capsys.readouterr().err


def test_the_file_keeps_its_mode_and_links_stay(call: Call) -> None:
    Path("file").touch(0o640)
    Path("link").symlink_to("file")
    assert call("-o link text") == (0, b"")
    assert Path("link").is_symlink()
    assert (Path("file").read_text(), stat.S_IMODE(os.stat("file").st_mode)) == ("é", 0o640)


def test_a_device_stays_one(call: Call) -> None:
    assert call("-o /dev/stdout text") == (0, "é".encode())
    assert call("-o /dev/null text") == (0, b"")
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["-o", "."], "-o .: it is a folder"),
        (["-o", ""], "-o : the name is empty"),
        (["-o", "none/"], "-o none/: there is no such folder"),
        (["-o", "x" * 300], "File name too long"),
        (["-o", "{loop}"], "Too many levels of symbolic links"),
        (["-o", "/nowhere/file"], "-o /nowhere/file: /nowhere doesn't exist"),
        (["--raw", "-pj"], "--raw writes the result as it is, and --print-json as JSON"),
        (["--raw", "--jsonl"], "--raw writes the result as it is, and --jsonl as JSON"),
    ],
)
def test_what_cannot_be_written_is_found_before_the_call(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    flags: list[str],
    problem: str,
) -> None:
    monkeypatch.setattr("zerorpc.Client", None)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert main([*(flag.replace("{loop}", str(loop)) for flag in flags), "ipc://nowhere", "text"]) == 2
    assert problem in capsys.readouterr().err


# Programs of their own


PROGRAM = """
import resource, sys
from zerorpc.cli import main
if sys.argv[1] != "0":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.argv[0] = "zerorpc"
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems limit files otherwise")
@pytest.mark.parametrize("flags", [["--raw"], ["-pj"], []])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_result_that_does_not_fit_is_told(tmp_path: Path, flags: list[str], unbuffered: str) -> None:
    """Python drops what an unbuffered stdout doesn't take in one go."""
    with serving({"text": lambda count: "x" * count}) as server:
        for limit, code in ((0, 0), (100_000, 1)):
            with open(tmp_path / "out", "wb") as out:
                command = [sys.executable, "-c", PROGRAM, str(limit), *flags, "--json", server.endpoints[0], "text"]
                environ = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
                done = subprocess.run(
                    [*command, "1000000"], stdout=out, stderr=subprocess.PIPE, text=True, env=environ, check=False
                )
            assert done.returncode == code, done.stderr
            assert ("the result can't be written: File too large" in done.stderr) is (code == 1)
            assert ((tmp_path / "out").stat().st_size >= 1_000_000) is (code == 0)


def test_flags_together_and_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.chdir(tmp_path)
    with serving({"echo": lambda value: value}) as server:
        assert main(["-o", "-", server.endpoints[0], "echo", "text"]) == 0
        assert capfdbinary.readouterr().out == b"text"
        assert main(["-jo", "file", server.endpoints[0], "echo", "[1]"]) == 0
    assert (tmp_path / "file").read_text() == "[1]\n"
    assert not (tmp_path / "-").exists()
