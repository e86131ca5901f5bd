"""Whether a value is what a conversation expects.

A pattern is a value in notation (values.py), and may have any of these in the place of a value:
{"$any": true}, {"$type": name}, {"$contains": text}, {"$min": number}, {"$save": name}, {"$saved": name},
{"$octets": octets}, {"$one_of": [patterns]}, {"$has": [patterns]}, {"$lacks": [patterns]}. A map may have more keys
than its pattern, and {"$absent": true} there means that a key is not in it.
"""

from __future__ import annotations

from typing import Any

from tests.conformance.driver.octets import read_octets, show
from tests.conformance.driver.values import Value, decode, encode, notation_of


def mismatch(pattern: Any, value: Value, saved: dict[str, bytes], at: str = "") -> str | None:
    """Why `value` doesn't match, None if it does. Puts into `saved` what the pattern saves."""
    match pattern:
        case {"$any": True}:
            return None
        case {"$save": name}:
            saved[name] = value.octets
            return None
        case {"$type": str(name)}:
            return _unless(value.type == name, at, value, f"of type {name}")
        case {"$contains": str(text)}:
            return _unless(value.type == "str" and text in value.content, at, value, f"a text with {text!r} in it")
        case {"$min": least}:
            return _unless(value.type in ("int", "float") and value.content >= least, at, value, f"at least {least}")
        case {"$one_of": list(patterns)}:
            fits = any(mismatch(choice, value, saved, at) is None for choice in patterns)
            return _unless(fits, at, value, f"one of {patterns}")
        case {"$has": list(patterns)}:
            items = value.content if value.type == "array" else []
            fits = all(any(mismatch(each, item, saved) is None for item in items) for each in patterns)
            return _unless(fits, at, value, f"an array with {patterns}")
        case {"$lacks": list(patterns)}:
            items = value.content if value.type == "array" else []
            lacks = value.type == "array" and all(mismatch(each, item, saved) for each in patterns for item in items)
            return _unless(lacks, at, value, f"an array without {patterns}")
        case {"$saved": name}:
            return _unless(value.octets == saved[name], at, value, f"exactly the octets {show(saved[name])}")
        case {"$octets": str(octets)}:
            wanted = read_octets(octets, saved)
            return _unless(value.octets == wanted, at, value, f"exactly the octets {show(wanted)}")
        case list():
            return _array_mismatch(pattern, value, saved, at)
        case dict() if not any(key.startswith("$") for key in pattern):
            return _map_mismatch(pattern, value, saved, at)
    return _value_mismatch(pattern, value, at)


def _array_mismatch(patterns: list[Any], value: Value, saved: dict[str, bytes], at: str) -> str | None:
    if value.type != "array" or len(value.content) != len(patterns):
        return _unless(False, at, value, f"an array of {len(patterns)}")
    problems = (
        mismatch(*pair, saved, f"{at}[{i}]") for i, pair in enumerate(zip(patterns, value.content, strict=True))
    )
    return next(filter(None, problems), None)


def _map_mismatch(patterns: dict[str, Any], value: Value, saved: dict[str, bytes], at: str) -> str | None:
    if value.type != "map":
        return _unless(False, at, value, "a map")
    found = {key.content: item for key, item in value.content if key.type == "str"}
    for key, pattern in patterns.items():
        if pattern == {"$absent": True}:
            problem = None if key not in found else f"{at}.{key} is there"
        else:
            problem = mismatch(pattern, found[key], saved, f"{at}.{key}") if key in found else f"{at}.{key} is missing"
        if problem is not None:
            return problem
    return None


def _value_mismatch(pattern: Any, value: Value, at: str) -> str | None:
    """A plain value: of the same type and equal, in whichever of MessagePack's forms."""
    wanted = decode(encode(pattern))
    same = (value.type, notation_of(value)) == (wanted.type, notation_of(wanted))
    return _unless(same, at, value, notation_of(wanted))


def _unless(fits: bool, at: str, value: Value, wanted: Any) -> str | None:
    if fits:
        return None
    shown = str(notation_of(value))
    shown = shown[:300] + "..." if len(shown) > 300 else shown
    return f"{at or 'the value'} is {shown} ({value.type}, octets {show(value.octets)}), expected: {str(wanted)[:300]}"
