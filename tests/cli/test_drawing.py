"""What a person is shown is the same text with rich and without it."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from zerorpc.cli.drawing import Cells, Line, Styled, by_rich, draw, plainly

FIGURES: list[Cells] = [
    (Styled("calls"), Styled("1,234", "bold"), Styled("in 2.0 s")),
    (Styled("p99.9"), Styled("80 ms", "bold"), Styled("")),
]
BARS: list[Cells] = [
    (Styled("1 ms – 1.5 ms"), Styled("1,999"), Styled("█" * 36, "cyan")),
    (Styled("70 ms – 100 ms"), Styled("1"), Styled("▎", "cyan")),
]
REMARKS: list[Line] = [
    (Styled("1 × ValueError", "red"), Styled(", the first: [red]no[/red] :smile: " + "well-meant luck " * 20)),
    (Styled("interrupted: these are the figures until then", "yellow"),),
    (Styled("x" * 200),),
]


@pytest.mark.parametrize("tables", [[FIGURES], [FIGURES, BARS]])
@pytest.mark.parametrize("lines", [[], REMARKS])
def test_without_rich_the_text_is_the_same(tables: list[list[Cells]], lines: list[Line]) -> None:
    with_rich = draw(tables, lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "rich", None)
        patch.setitem(sys.modules, "rich.console", None)
        assert draw(tables, lines) == with_rich


@pytest.mark.parametrize("drawn_by", [plainly, by_rich])
def test_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch, drawn_by: Callable[..., str]) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    lines = drawn_by([], REMARKS).splitlines()
    assert max(map(len, lines)) <= 40
    assert "█" not in lines


def test_what_it_looks_like() -> None:
    assert draw([FIGURES, BARS], REMARKS[1:2]).splitlines() == [
        "calls  1,234  in 2.0 s",
        "p99.9  80 ms",
        "",
        " 1 ms – 1.5 ms  1,999  ████████████████████████████████████",
        "70 ms – 100 ms      1  ▎",
        "",
        "interrupted: these are the figures until then",
    ]
