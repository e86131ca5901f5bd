"""What can travel: every type of MessagePack and every size at which its encoding changes."""

from __future__ import annotations

import math
from typing import Any

SCALARS: dict[str, Any] = {
    "nil": None,
    "true": True,
    "false": False,
    "zero": 0,
    "fixint": 127,
    "uint8": 255,
    "uint16": 65_535,
    "uint32": 2**32 - 1,
    "uint64": 2**64 - 1,
    "negative fixint": -32,
    "int8": -128,
    "int16": -32_768,
    "int32": -(2**31),
    "int64": -(2**63),
    "float": 0.1,
    "whole float": 1.0,
    "negative zero": -0.0,
    "tiny float": 5e-324,
    "infinity": math.inf,
    "nan": math.nan,
}
STRINGS: dict[str, Any] = {
    "empty str": "",
    "fixstr": "x" * 31,
    "str8": "x" * 32,
    "str16": "x" * 256,
    "str32": "x" * 65_536,
    "unicode": "Grüße, 你好, \N{SNOWMAN} \N{PILE OF POO} \0 \u200f",
    "empty bytes": b"",
    "every byte": bytes(range(256)),
    "bytes that are utf-8": "ü".encode(),
    "bin32": b"\0" * 65_536,
}
CONTAINERS: dict[str, Any] = {
    "empty list": [],
    "fixarray": [1] * 15,
    "array16": [1] * 16,
    "array32": [1] * 65_536,
    "empty map": {},
    "fixmap": {str(number): number for number in range(15)},
    "map16": {str(number): number for number in range(16)},
    "unicode key": {"schlüssel": 1, "": 2},
    "nested": {"list": [1, [2, [3, {"deep": [None, b"\xff", "ü", {"x": {}}]}]]], "nothing": None},
    "records": [{"id": number, "name": f"n{number}", "tags": ["a", "b"]} for number in range(50)],
}
VALUES: dict[str, Any] = {**SCALARS, **STRINGS, **CONTAINERS}


def same(left: object, right: object) -> bool:
    """Equal in value and type, all the way down: 1, 1.0 and True are three things here, NaN is itself."""
    return repr(left) == repr(right)
