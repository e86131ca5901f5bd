"""Secrets: whose values are hidden, and where else they are found."""

from __future__ import annotations

from typing import Any

import pytest

from zerorpc.testing.redaction import REDACTED, SECRET_NAMES, Redaction


@pytest.fixture
def redaction() -> Redaction:
    return Redaction(SECRET_NAMES)


@pytest.mark.parametrize(
    "name", ["password", "PASSWORD", "db_password", "apiKey", "API-KEY", "x-api-key", "Authorization", b"token"]
)
def test_names_of_secrets(redaction: Redaction, name: Any) -> None:
    assert redaction.is_secret(name)


@pytest.mark.parametrize("name", ["user", "pass", "key", "", "monkey", b"name"])
def test_other_names(redaction: Redaction, name: Any) -> None:
    assert not redaction.is_secret(name)


def test_arguments_go_by_their_names(redaction: Redaction) -> None:
    args = ["joe", "hunter2!", {"token": "abcdef", "n": 1}, [{"secret": 5}]]
    assert redaction.arguments(args, ["user", "password"]) == [
        "joe",
        REDACTED,
        {"token": REDACTED, "n": 1},
        [{"secret": REDACTED}],
    ]
    assert args[2] == {"token": "abcdef", "n": 1}


def test_nothing_is_no_secret(redaction: Redaction) -> None:
    assert redaction.value({"token": None}) == {"token": None}


def test_a_secret_is_found_wherever_it_turns_up(redaction: Redaction) -> None:
    redaction.value({"credentials": {"user": "joe-the-user", "keys": [b"0123456789", 7654321]}, "token": "short"})
    found = redaction.scrub(
        ["Bearer 0123456789", b"x0123456789x", {"joe-the-user": 7654321}, 7654322, True, "short", ("0123456789",)]
    )
    assert found == [
        f"Bearer {REDACTED}",
        f"x{REDACTED}x".encode(),
        {REDACTED: REDACTED},
        7654322,
        True,
        "short",
        [REDACTED],
    ]


def test_a_longer_secret_goes_first(redaction: Redaction) -> None:
    redaction.value([{"token": "abcdef"}, {"token": "abcdefghi"}])
    assert redaction.scrub("abcdefghi abcdef") == f"{REDACTED} {REDACTED}"


def test_what_was_hidden_stays_as_it_is(redaction: Redaction) -> None:
    once = redaction.value({"token": "abcdefgh"})
    assert redaction.value(once) == once
    assert redaction.scrub(once) == once


def test_nothing_is_hidden_without_names() -> None:
    redaction = Redaction(())
    value = {"password": "hunter2!"}
    assert redaction.scrub(redaction.value(value)) == value


def test_names_are_several() -> None:
    with pytest.raises(TypeError, match="several"):
        Redaction("password")
