"""Octets as the content of a result: a picture that a model can look at, or a resource."""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import quote

__all__ = ["block_of", "decoded", "kind_of"]

_KINDS = (  # by their first octets; these four every client can show
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


def kind_of(octets: bytes) -> str:
    """What they are, as a media type."""
    if octets[:4] == b"RIFF" and octets[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for first, kind in _KINDS if octets.startswith(first)), "application/octet-stream")


def block_of(octets: bytes, name: str) -> dict[str, Any]:
    """The part of a result's content that holds them; ``name`` is that of the tool."""
    kind, text = kind_of(octets), base64.b64encode(octets).decode()
    if kind.startswith("image/"):
        return {"type": "image", "data": text, "mimeType": kind}
    return {"type": "resource", "resource": {"uri": f"zerorpc:///{quote(name)}", "mimeType": kind, "blob": text}}


def decoded(value: object) -> object:
    """A text in base64 as its octets; anything else stays."""
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else value
    except (binascii.Error, ValueError):
        return value
