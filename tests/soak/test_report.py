"""The page shows what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.soak.report import tables
from tests.soak.verdict import broken

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def figures() -> dict[str, object]:
    found: dict[str, object] = json.loads((DOCS / "figures" / "soak.json").read_text())
    return found


def test_the_page_has_the_tables_of_the_raw_figures(figures: dict[str, object]) -> None:
    page = (DOCS / "reliability.md").read_text()
    for table in tables(figures).split("\n\n"):
        assert table in page, "make the tables anew: python -m tests.soak.report docs/figures/soak.json"


def test_all_promises_were_kept(figures: dict[str, object]) -> None:
    assert broken(figures) == []
