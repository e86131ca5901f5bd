"""The conversations as data: what they say in hex is what they say it means, and README.md explains all they use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.conformance.driver.cases import FOLDER, Case, load
from tests.conformance.driver.conversation import Conversation
from tests.conformance.driver.octets import read_octets
from tests.conformance.driver.values import decode, encode, notation_of, spell
from tests.conformance.fill import filled, shaped
from tests.conformance.implementations import IMPLEMENTATIONS

CASES = load()
README = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
SAVED = dict.fromkeys(("id", "one", "two", "call"), b"\xa5saved")


def steps_of(steps: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for step in steps:
        yield step
        yield from steps_of(step.get("steps", []))


def special_words(value: Any) -> Iterator[str]:
    """Every key that begins with $, however deep."""
    if isinstance(value, dict):
        yield from (key for key in value if key.startswith("$"))
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from special_words(item)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_octets_are_what_they_mean(case: Case) -> None:
    for step in steps_of(case.steps):
        if isinstance(step.get("means"), list | dict):
            assert read_octets(step["send"], SAVED) == read_octets(" ".join(spell(step["means"])), SAVED), step
        elif "send" in step or "octets" in step:
            assert step["means"], "a word on what it is"


def test_there_are_enough() -> None:
    """For each role and version, and the extension."""
    assert {case.role for case in CASES} == {"server", "client"}
    for role in ("server", "client"):
        assert {case.version for case in CASES if case.role == role} == {1, 2, 3}
        assert any(case.extension for case in CASES if case.role == role)


def test_names_are_unique() -> None:
    names = [case.name for case in CASES]
    assert sorted(set(names)) == sorted(names)


def test_deviations_are_of_known_implementations_and_have_a_reason() -> None:
    for case in CASES:
        assert set(case.deviations) <= set(IMPLEMENTATIONS), case.name
        assert all(case.deviations.values()), case.name


def test_ours_has_no_deviation() -> None:
    assert [case.name for case in CASES if {"zerorpc", "zerorpc-blocking"} & set(case.deviations)] == []


def test_ids_of_a_server_s_cases_are_its_own() -> None:
    """Servers that key channels by id alone would mix up conversations that are held at the same time."""
    owners: dict[bytes, str] = {}
    for case in CASES:
        if case.role == "server":
            for step in steps_of(case.steps):
                if isinstance(step.get("means"), list) and isinstance(step["means"][0], dict):
                    header = step["means"][0]
                    if "message_id" in header and header.get("response_to") is None:
                        owner = owners.setdefault(encode(header["message_id"]), case.name)
                        assert owner == case.name


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_files_are_in_shape(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text == shaped(filled(json.loads(text))), "run python -m tests.conformance.fill"


def test_readme_explains_every_word() -> None:
    steps = [step for case in CASES for step in steps_of(case.steps)]
    fields = {name for path in FOLDER.glob("*.json") for case in json.loads(path.read_text())["cases"] for name in case}
    used = {key for step in steps for key in step} | set(special_words(steps)) | fields
    assert [word for word in sorted(used) if f"`{word}`" not in README and f'"{word}"' not in README] == []


def test_readme_explains_every_method_and_no_step_is_unknown() -> None:
    methods = {
        step["means"][1]
        for case in CASES
        if case.role == "server"
        for step in steps_of(case.steps)
        if isinstance(step.get("means"), list) and len(step["means"]) == 3 and isinstance(step["means"][1], str)
    }
    methods = {name for name in methods if not name.startswith("_")} - {
        "no_such_method",
        "STREAM",
        "STREAM_DONE",
        "ERR",
    }
    assert [name for name in sorted(methods) if f"`{name}(" not in README] == []
    for case in CASES:
        for step in steps_of(case.steps):
            verbs = [verb for verb in step if hasattr(Conversation, f"_do_{verb}") or verb == "repeat"]
            assert len(verbs) == 1, step


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        127,
        128,
        -32,
        -33,
        65536,
        2**64 - 1,
        -(2**63),
        1.5,
        "",
        "ž" * 200,
        [1] * 20,
        {"a": [{}]},
        "x" * 70000,
    ],
)
def test_the_notation_agrees_with_another_messagepack(value: Any) -> None:
    assert encode(value) == msgspec.msgpack.encode(value)
    assert notation_of(decode(msgspec.msgpack.encode(value))) == value
