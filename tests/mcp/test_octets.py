"""Octets as pictures, or as resources."""

from __future__ import annotations

import pytest

from zerorpc.mcp.octets import block_of, decoded, kind_of


@pytest.mark.parametrize(
    ("octets", "kind"),
    [
        (b"\x89PNG\r\n\x1a\nrest", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"RIFF\x00\x00\x00\x00WAVE", "application/octet-stream"),
        (b"", "application/octet-stream"),
    ],
)
def test_by_their_first_octets(octets: bytes, kind: str) -> None:
    assert kind_of(octets) == kind
    block = block_of(octets, "arm.look up")
    if kind.startswith("image/"):
        assert (block["type"], block["mimeType"]) == ("image", kind)
        assert decoded(block["data"]) == octets
    else:
        assert block["resource"]["uri"] == "zerorpc:///arm.look%20up"
        assert decoded(block["resource"]["blob"]) == octets


def test_what_is_no_base64_stays() -> None:
    assert decoded("no base64") == "no base64"
    assert decoded(3) == 3
