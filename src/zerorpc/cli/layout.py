"""How a list of methods is laid out: a line for each in a pipe, and in a terminal as many as its width asks for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from zerorpc.shown import line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zerorpc.cli.drawing import Line

UNKNOWN_SERVICE = "N/A"
UNKNOWN_SIGNATURE = "(...)"
UNDOCUMENTED = "<undocumented>"
WIDTH_MAX = 80  # of the column of names: one long name makes all lines long
INDENT = "    "
NARROWEST = 20  # columns: below this nothing is laid out any more


class Entry(NamedTuple):
    """One method: its name, its parameters in parentheses, its documentation, empty when it has none, and its result.

    ``result`` is what stands behind the parameters: a type, or that it streams; empty when nothing is known of it.
    """

    name: str
    signature: str
    doc: str
    result: str = ""

    def shown(self, arrow: str = " → ") -> str:
        """What stands behind its name."""
        return self.signature + (arrow + self.result if self.result else "")


class Listing(NamedTuple):
    """A service's name and its methods, in the order it tells them."""

    name: str
    entries: list[Entry]


def format_all(listing: Listing, signatures: bool) -> str:
    """A line for each method: its name and the first line of its documentation, or its signature if it has none.

    With ``signatures`` the signature of each, and below it the first line of the documentation.
    """
    width = _columns()
    heading = f"[{line(listing.name)}]"
    if width is None:
        lines = _plain_signatures(listing) if signatures else _plain_names(listing)
        return "\n".join([heading, *lines]) + "\n"
    from zerorpc.cli.drawing import Styled, draw

    drawn = _signatures(listing, width) if signatures else _names(listing, width)
    return draw([], [[Styled(heading, "bold")], *drawn])


def format_one(listing: Listing) -> str:
    """Everything about the one method asked for."""
    entry = listing.entries[0]
    width = _columns()
    signature = [_signature(entry)] if width is None else _broken(entry, width)
    shown = "\n".join([f"[{line(listing.name)}]", *signature])
    return f"{shown}\n\n{entry.doc.strip() or UNDOCUMENTED}\n\n"


def _columns() -> int | None:
    """How wide the terminal is, as far as we use it; None where the output goes elsewhere."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    import shutil

    from zerorpc.cli.drawing import WIDTH

    return max(NARROWEST, min(shutil.get_terminal_size().columns, WIDTH))


def _summary(entry: Entry) -> str:
    """The first line of its documentation; of a method without one its signature, if that is known."""
    first = next((each.strip() for each in entry.doc.splitlines() if each.strip()), "")
    if first:
        return line(first)
    if entry.signature == UNKNOWN_SIGNATURE and not entry.result:
        return UNDOCUMENTED
    return line(entry.shown(_arrow()))


def _signature(entry: Entry) -> str:
    return line(entry.name) + line(entry.shown(_arrow()))


def _arrow() -> str:
    """In an encoding that has none it is Python's."""
    try:
        "→".encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return " -> "
    return " → "


# In a pipe


def _plain_names(listing: Listing) -> Iterator[str]:
    names = [line(entry.name) for entry in listing.entries]
    width = max((len(name) for name in names if len(name) <= WIDTH_MAX), default=0)
    for name, entry in zip(names, listing.entries, strict=True):
        yield f"{name:{width}} {_summary(entry)}"


def _plain_signatures(listing: Listing) -> Iterator[str]:
    for entry in listing.entries:
        yield _signature(entry)
        if entry.doc.strip():
            yield INDENT + _summary(entry)


# In a terminal


def _names(listing: Listing, width: int) -> Iterator[Line]:
    """Names and summaries as two columns. Names that are longer than a third of a line have one of their own."""
    import textwrap

    from zerorpc.cli.drawing import Styled

    names = [line(entry.name) for entry in listing.entries]
    column = max((len(name) for name in names if len(name) <= width // 3), default=len(INDENT) - 2) + 2
    for name, entry in zip(names, listing.entries, strict=True):
        first, *others = textwrap.wrap(_summary(entry), width - column, break_on_hyphens=False) or [""]
        style = "" if entry.doc.strip() else "dim"
        if len(name) + 2 > column:
            yield [Styled(name, "cyan")]
            yield [Styled(" " * column), Styled(first, style)]
        else:
            yield [Styled(f"{name:{column}}", "cyan"), Styled(first, style)]
        for each in others:
            yield [Styled(" " * column), Styled(each, style)]


def _signatures(listing: Listing, width: int) -> Iterator[Line]:
    """Each signature and the first line of what is said of it, with an empty line between two methods."""
    import textwrap

    from zerorpc.cli.drawing import Styled

    for entry in listing.entries:
        yield []
        first, *others = _broken(entry, width)
        name = line(entry.name)
        yield [Styled(first[: len(name)], "cyan"), Styled(first[len(name) :])]
        yield from ([Styled(each)] for each in others)
        if entry.doc.strip():
            for each in textwrap.wrap(_summary(entry), width - len(INDENT), break_on_hyphens=False):
                yield [Styled(INDENT + each, "dim")]


def _broken(entry: Entry, width: int) -> list[str]:
    """A signature as a formatter of Python code breaks it: a parameter a line, if one line is too narrow."""
    whole = _signature(entry)
    parameters = entry.signature[1:-1]
    if len(whole) <= width or not parameters or whole.endswith("…"):
        return [whole]
    end = line(")" + entry.shown(_arrow())[len(entry.signature) :])
    return [f"{line(entry.name)}(", *(f"{INDENT}{line(each)}," for each in _split(parameters)), end]


def _split(parameters: str) -> Iterator[str]:
    """At the commas that are in no brackets and no quotes."""
    depth, quote, begin = 0, "", 0
    for place, character in enumerate(parameters):
        if quote:
            quote = "" if character == quote and parameters[place - 1] != "\\" else quote
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth <= 0:
            yield parameters[begin:place].strip()
            begin = place + 1
    yield parameters[begin:].strip()
