"""What finds faults does: one that is planted is found, made short, told and kept; and so is a process that hangs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.fuzz import __main__ as fuzz
from tests.fuzz import playing
from tests.fuzz.conversations import CLEAR, Conversation, conversation_of
from tests.fuzz.inputs import Target, input_of
from tests.fuzz.playing import Fault, Figures, Stage, narrowed
from tests.fuzz.tape import Tape
from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import Progress, play_for
from tests.service.running import PATIENCE

WORD = b"secret word"


def planted(octets: bytes) -> None:
    if octets[3:4] == b"3":
        raise ValueError("the other one")
    assert WORD not in octets


@pytest.fixture
def progress(tmp_path: Path) -> Progress:
    path = tmp_path / "progress"
    path.write_bytes(bytes(8))
    return Progress(str(path))


def test_a_fault_is_found_once_for_each_place_and_made_short(
    tmp_path: Path, progress: Progress, capfd: pytest.CaptureFixture[str]
) -> None:
    target = Target("planted", planted, lambda: [b"x" * 100 + WORD + b"y" * 100, b"1234567"])
    assert play_for(target, PATIENCE, 1, progress, tmp_path / "found", most=400) == 2
    kept = sorted(path.read_bytes() for path in (tmp_path / "found" / "planted").iterdir())
    assert {len(octets) for octets in kept} == {len(WORD), 4}
    assert WORD in kept
    told = capfd.readouterr().err
    assert told.count("finds a fault, kept in") == 2
    assert "ValueError: the other one" in told
    assert progress.number == 400


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_run_can_be_repeated(target: Target) -> None:
    inputs = [input_of(target, 7, number) for number in range(20)]
    assert inputs == [input_of(target, 7, number) for number in range(20)]
    assert len(set(inputs)) > 10
    assert inputs != [input_of(target, 8, number) for number in range(20)]


@pytest.mark.parametrize(
    ("program", "hangs", "ended"),
    [("import time; time.sleep(100)", 0.5, False), ("import os; os.abort()", PATIENCE, True)],
)
def test_a_worker_that_hangs_is_ended(
    program: str, hangs: float, ended: bool, progress: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzz, "HANGS", hangs)
    with subprocess.Popen([sys.executable, "-c", program]) as worker:
        assert fuzz.ends(worker, progress) is ended
    assert worker.returncode < 0


def test_a_whole_run_of_one_target(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "tests.fuzz", "--seconds", "0.2", "--seed", "3", "--target", "one-way"]
    ended = subprocess.run([*argv, "--found", tmp_path], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("seed 3\none-way: ")
    assert not list(tmp_path.iterdir())


def test_a_tape_that_is_over_gives_the_first_of_everything() -> None:
    tape = Tape(b"\x01\x02\x03")
    assert (tape.number(256), tape.pick("abc"), tape.over) == (1, "c", False)
    assert tape.rest() == b"\x03"
    assert tape.over
    assert (tape.number(7), tape.pick("abc"), tape.chance(2), tape.octets(5)) == (0, "a", False, b"")
    assert tape.pieces(b"1234") == [b"1234"]


# Conversations


def test_a_conversation_can_be_kept() -> None:
    for number in range(50):
        conversation = conversation_of(1, number)
        assert Conversation.load(conversation.dump()) == conversation


def test_the_conversation_that_is_to_blame_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    said = [Conversation(CLEAR, (bytes((number,)),)) for number in range(20)]

    def play(conversations: Iterable[Conversation], count: int) -> Figures:
        if said[13] in (heard := list(conversations)):
            raise Fault("no", heard)
        return Figures(count, 1.0, 1, 0.1, [])

    monkeypatch.setattr(playing, "play", play)
    assert narrowed(Fault("no", said)) == [said[13]]
    assert narrowed(Fault("no", said[:4])) == said[:4]  # it takes several, or chance


def test_a_server_that_ends_or_complains_is_found() -> None:
    stage = Stage()
    try:
        assert stage.look()["resident"] > 0
        stage.client.complain("of this")
        with pytest.raises(Fault, match="of this"):
            stage.look()
        stage.process.kill()
        stage.process.wait()
        with pytest.raises(Fault, match="the server has ended with -9"):
            stage.look()
    finally:
        stage.close()


def test_growth_is_told_from_a_warm_up_and_from_an_accident() -> None:
    flat = [30.0, 36.0, 40.0] + [41.0] * 17
    assert Figures(1, 1.0, 1, 0.1, [*flat[:-1], 90.0]).growth == 0.0
    assert Figures(1, 1.0, 1, 0.1, [30.0 + number for number in range(20)]).growth == 14.0
