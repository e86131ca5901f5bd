"""The notation for octets: hex digits, `61*300` for repetition, `{name}` for what was saved, `??` for any octet."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_TOKEN = re.compile(r"(?:(?P<hex>(?:[0-9a-fA-F]{2})+)|(?P<any>\?\?))(?:\*(?P<times>\d+))?|\{(?P<name>\w+)\}")


def read_octets(text: str, saved: Mapping[str, bytes] | None = None) -> bytes:
    """The octets that `text` stands for. Raises ValueError for what is no such text, or has `??` in it."""
    octets = bytearray()
    for octet in read_mask(text, saved):
        if octet is None:
            raise ValueError(f"?? has no place in {text!r}")
        octets.append(octet)
    return bytes(octets)


def read_mask(text: str, saved: Mapping[str, bytes] | None = None) -> list[int | None]:
    """The same, with None for each `??`."""
    mask: list[int | None] = []
    for token in text.split():
        mask.extend(_read_token(token, saved or {}))
    return mask


def _read_token(token: str, saved: Mapping[str, bytes]) -> Iterator[int | None]:
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise ValueError(f"{token!r} stands for no octets")
    if found["name"]:
        if found["name"] not in saved:
            raise ValueError(f"nothing was saved as {found['name']!r}")
        yield from saved[found["name"]]
    elif found["any"]:
        yield from [None] * int(found["times"] or 1)
    else:
        yield from bytes.fromhex(found["hex"]) * int(found["times"] or 1)


def show(octets: bytes, most: int = 64) -> str:
    """Octets for an error message."""
    return octets[:most].hex() + (f"... ({len(octets)} octets)" if len(octets) > most else "")
