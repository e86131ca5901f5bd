"""The endpoints that calls went to, newest first, for the shell's completion. state.py says when none are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zerorpc.cli.state import read_lines, remembers, write_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

FILE = "endpoints"
MOST = 50  # that are kept: more than anybody looks through
LONGEST = 200  # characters: a longer one nobody would know again


def used() -> list[str]:
    """Those that were used before."""
    return [endpoint for endpoint in read_lines(FILE) if _may_be_kept(endpoint)][:MOST]


def remember(endpoints: Sequence[str]) -> None:
    """Put these first. What may hold a secret, such as ``tcp://user:password@host``, is left out."""
    new = [endpoint for endpoint in dict.fromkeys(endpoints) if _may_be_kept(endpoint)]
    if not new or not remembers():
        return
    before = read_lines(FILE)
    if before[: len(new)] != new:  # most calls go where the last one went, and write nothing
        write_lines(FILE, list(dict.fromkeys([*new, *before]))[:MOST])


def _may_be_kept(endpoint: str) -> bool:
    scheme, separator, rest = endpoint.partition("://")
    if not separator or scheme not in ("tcp", "tls+tcp", "ipc") or not endpoint.isprintable() or " " in endpoint:
        return False
    rest = rest.removeprefix("@") if scheme == "ipc" else rest  # an abstract socket, on Linux
    return bool(rest) and len(endpoint) <= LONGEST and not any(sign in rest for sign in "@?#")
