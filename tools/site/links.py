"""Links of Markdown that stands in one place in the repository, and in another one on the site."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import NamedTuple

_LINK = re.compile(r"\]\(([^)\s#:]*)(#[^)\s]*)?\)")
_FENCE = re.compile(r"^ *```")


class Page(NamedTuple):
    """One page of the site: the file of the repository that it is from, its own file, and its Markdown."""

    source: str
    place: str
    text: str


def linked(page: Page, places: dict[str, str]) -> str:
    """The text with its links led to where their targets are on the site.

    What has no place there keeps its link, for the build to complain of.
    """

    def led(link: re.Match[str]) -> str:
        path, anchor = link[1], link[2] or ""
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page.source), path)) if path else page.source
        place = places.get(target + anchor) or places.get(target)
        if place is None:
            return link[0]
        return f"]({posixpath.relpath(place, posixpath.dirname(page.place) or '.')}{anchor})"

    return "".join(line if is_code else _LINK.sub(led, line) for is_code, line in lines(page.text))


def lines(text: str) -> Iterator[tuple[bool, str]]:
    """Each line, and whether it belongs to a block of code."""
    inside = False
    for line in text.splitlines(keepends=True):
        fence = bool(_FENCE.match(line))
        yield inside or fence, line
        inside ^= fence
