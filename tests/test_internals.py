"""docs/internals.md names what is there, and its walks stay short."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "internals.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(_?[A-Z]\w+\.\w+)`", TEXT)))
WALKS = [section for section in TEXT.split("\n## ")[1:] if "\n1. " in section]


@functools.cache
def methods() -> dict[str, set[str]]:
    """What each class of the source defines, by its name; classes of one name count as one."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                members = (item for item in node.body if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)))
                found.setdefault(node.name, set()).update(member.name for member in members)
    return found


@pytest.mark.parametrize("name", NAMED)
def test_what_is_named_is_there(name: str) -> None:
    owner, _, method = name.partition(".")
    assert method in methods()[owner]


def test_there_is_something_to_look_for() -> None:
    assert len(NAMED) > 50
    assert len(WALKS) == 13


@pytest.mark.parametrize("walk", WALKS, ids=lambda walk: walk.partition("\n")[0])
def test_a_walk_is_short(walk: str) -> None:
    steps = [line for line in walk.split("\n\n")[1].splitlines() if line]
    assert len(steps) < 15
