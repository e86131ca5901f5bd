"""Tables and lines of text for people, in 80 columns at most.

rich draws them, with colours on a terminal. It comes with the extra `cli`; without it the same text is drawn here, and
only the colours are missing.
"""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

WIDTH = 80
GAP = "  "

TRAILING_SPACE = re.compile(r"(?m) +$")


class Styled(NamedTuple):
    """Text, and how rich shall show it: a colour or "bold"."""

    text: str
    style: str = ""


Cells = tuple[Styled, Styled, Styled]  # the first two columns stand at the right of theirs
Line = Sequence[Styled]  # broken where it is longer than there are columns


def columns() -> int:
    """How many there are."""
    return min(shutil.get_terminal_size().columns, WIDTH)


def room_beside(rows: Sequence[tuple[str, str]]) -> int:
    """The columns that are left for the third of a table's cells, beside the first two."""
    taken = sum(max(len(row[column]) for row in rows) for column in (0, 1))
    return max(columns() - taken - 2 * len(GAP), 1)


def draw(tables: Sequence[Sequence[Cells]], lines: Sequence[Line]) -> str:
    """The tables, then the lines, with an empty line between each two of these."""
    try:
        import rich.console  # noqa: F401
    except ImportError:
        text = plainly(tables, lines)
    else:
        text = by_rich(tables, lines)
    return TRAILING_SPACE.sub("", text)


# Without rich


def plainly(tables: Sequence[Sequence[Cells]], lines: Sequence[Line]) -> str:
    blocks = [list(_plain_table(table)) for table in tables]
    blocks.append([part for line in lines for part in wrapped("".join(piece.text for piece in line))])
    return "\n".join("".join(f"{line}\n" for line in block) for block in blocks if block)


def _plain_table(rows: Sequence[Cells]) -> Iterator[str]:
    first, second = (max(len(row[column].text) for row in rows) for column in (0, 1))
    room = room_beside([(left.text, middle.text) for left, middle, _ in rows])
    for left, middle, right in rows:
        beginning = f"{left.text:>{first}}{GAP}{middle.text:>{second}}{GAP}"
        for part in wrapped(right.text, room):
            yield beginning + part
            beginning = " " * len(beginning)


def wrapped(line: str, width: int | None = None) -> list[str]:
    """The line in lines that are as wide as the terminal, at most."""
    return textwrap.wrap(line, width or columns(), break_on_hyphens=False) or [""]


# With rich


def by_rich(tables: Sequence[Sequence[Cells]], lines: Sequence[Line]) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=sys.stdout, highlight=False, emoji=False)
    console.width = columns()
    blocks: list[Sequence[Table | Text]] = []
    for rows in tables:
        grid = Table.grid(padding=(0, len(GAP)))
        grid.add_column(justify="right", no_wrap=True)
        grid.add_column(justify="right", no_wrap=True)
        grid.add_column()
        for row in rows:
            grid.add_row(*[Text(*piece) for piece in row])
        blocks.append([grid])
    blocks.append([Text.assemble(*line) for line in lines])
    with console.capture() as captured:
        for number, block in enumerate(filter(None, blocks)):
            if number:
                console.print()
            console.print(*block, sep="\n")
    return captured.get()
