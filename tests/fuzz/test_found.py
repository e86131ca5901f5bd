"""What once found a fault finds none any more; and a few hundred inputs of each target, the same in every run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.fuzz.conversations import Conversation, conversation_of
from tests.fuzz.inputs import FOUND, Target, found, input_of
from tests.fuzz.playing import play
from tests.fuzz.targets import TARGETS

SEED = 1
INPUTS = 300  # of each target
CONVERSATIONS = 300


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_what_was_found_is_mended(target: Target) -> None:
    for octets in found(target.name):
        target.play(octets)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_some_of_each_target(target: Target) -> None:
    for number in range(INPUTS):
        target.play(input_of(target, SEED, number))


def test_a_server_hears_mutated_conversations() -> None:
    heard = [Conversation.load(octets) for octets in found("conversations")]
    heard += [conversation_of(SEED, number) for number in range(CONVERSATIONS)]
    figures = play(heard, len(heard))
    assert figures.conversations == len(heard)
    assert figures.calls


def test_nothing_else_is_kept() -> None:
    kept = {path.name for path in FOUND.glob("*")}
    assert kept <= {*TARGETS, "conversations"}


def test_recordings_name_no_folder_of_the_machine_that_made_them() -> None:
    for path in (Path(__file__).parent / "recorded").glob("*.json"):
        for chunks in json.loads(path.read_text(encoding="utf-8")).values():
            assert re.search(rb"/[\w.+@-]+/", bytes.fromhex("".join(chunks))) is None
