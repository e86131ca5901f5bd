"""The guide, one file in the repository, as one page a section."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tools.site.contents import GUIDE, toctree
from tools.site.links import Page, lines

SOURCE = "docs/guide.md"


def places(root: Path) -> dict[str, str]:
    """On which page each heading stands, by the link that leads to it in the repository."""
    found = {}
    for title, text in _sections(root).items():
        for is_code, line in lines(text):
            if not is_code and line.startswith("#"):
                found[f"{SOURCE}#{_slug(line.strip('# '))}"] = _place(title)
    return found


def pages(root: Path) -> Iterator[Page]:
    """A page of contents, and one for each section. Raises ValueError when GUIDE doesn't name the sections that are."""
    sections = _sections(root)
    named = [title for titles in GUIDE.values() for title in titles]
    if sorted(named) != sorted(sections):
        raise ValueError(f"GUIDE in contents.py and {SOURCE} differ: {sorted(set(named) ^ set(sections))}")
    yield Page(SOURCE, "guide/index.md", _contents())
    for title, text in sections.items():
        risen = "".join(line if is_code else re.sub("^##", "#", line) for is_code, line in lines(text))
        yield Page(SOURCE, _place(title), risen)


def _sections(root: Path) -> dict[str, str]:
    """The text of each section by its title, heading included; what stands above the first is for the repository."""
    found: dict[str, str] = {}
    title = None
    for is_code, line in lines((root / SOURCE).read_text(encoding="utf-8")):
        if not is_code and line.startswith("## "):
            title = line.strip("# \n")
            found[title] = ""
        if title is not None:
            found[title] += line
    return found


def _contents() -> str:
    text = ["# The guide\n\n[Getting started](../README.md) shows each thing once. Here are the details.\n"]
    for caption, titles in GUIDE.items():
        text.append(f"\n## {caption}\n\n")
        text += [f"- [{title}](#{_slug(title)})\n" for title in titles]
    every = [f"{title} <{_slug(title)}>" for titles in GUIDE.values() for title in titles]
    return "".join(text) + toctree({"": every})


def _place(title: str) -> str:
    return f"guide/{_slug(title)}.md"


def _slug(title: str) -> str:
    """As GitHub makes anchors of headings."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")
