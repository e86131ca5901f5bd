"""Whether every value of one JSON Schema is one of another, as far as methods' schemas go.

Pure. What can't be told is said to differ: who asks wants to know what may break.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from zerorpc.cli.schema_parts import NUMPY, options, target, told, values
from zerorpc.cli.type_names import type_of
from zerorpc.described import mapping, sequence

if TYPE_CHECKING:
    from zerorpc.described import Schema

_AT_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_AT_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_EXACT = (
    "format",
    "contentEncoding",
    "pattern",
    "multipleOf",
    "uniqueItems",
    NUMPY,
)  # a date travels as a date, and no text
_DEEPEST = 100  # of what stands in what
_MOST = 10_000  # comparisons of one parameter: from reference to reference a short schema could be an endless walk
_TYPES: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}


class Typed(NamedTuple):
    """A schema and what its references lead to."""

    schema: Schema
    definitions: Schema
    is_new: bool = False

    def at(self, schema: object) -> Typed:
        """A part of it."""
        return Typed(mapping(schema), self.definitions, self.is_new)


class _Walk:
    """Which pairs of schemas are being compared: one that leads back to itself is as good as its other parts."""

    def __init__(self) -> None:
        self.pairs: list[tuple[int, int]] = []
        self.left = _MOST


def excess(one: Typed, other: Typed, walk: _Walk | None = None) -> str | None:
    """Where a value of ``one`` may not be one of ``other``, and why: ``[].x: float became int``. None: nowhere.

    One of the two is the new one. If that is ``other``, these are arguments, and a key of a map that it would drop is
    found too; if it is ``one``, they are results, and so is a key that is gone.
    """
    here, there = target(one.schema, one.definitions), target(other.schema, other.definitions)
    walk = walk or _Walk()
    if (id(here), id(there)) in walk.pairs or not told(there):
        return None
    walk.left -= 1
    if walk.left < 0 or len(walk.pairs) > _DEEPEST:
        return ": it is too large to be compared"
    walk.pairs.append((id(here), id(there)))
    found = _of_unions(one.at(here), other.at(there), walk)
    walk.pairs.pop()
    return found


def _of_unions(first: Typed, second: Typed, walk: _Walk) -> str | None:
    here, there = first.schema, second.schema
    choice = options(here)
    if choice:
        found = next((found for each in choice if (found := excess(first.at(each), second, walk))), None)
        return _not(first, second) if found is not None and found.startswith(":") else found
    choice = options(there)
    if choice:
        problems = [excess(first, second.at(each), walk) for each in choice]
        if None in problems:
            return None
        alike = [each for each, option in zip(problems, choice, strict=True) if _alike(first, second.at(option))]
        return alike[0] if len(alike) == 1 else _not(first, second)
    return _of_one_type(first, second, walk)


def _alike(one: Typed, other: Typed) -> bool:
    here, there = target(one.schema, one.definitions), target(other.schema, other.definitions)
    return here.get("type") in ("object", "array") and here.get("type") == there.get("type")


def _of_one_type(one: Typed, other: Typed, walk: _Walk) -> str | None:
    here, there = one.schema, other.schema
    given, allowed = values(here), values(there)
    if given is not None:
        fits = all(_is_one(value, there, allowed) for value in given)
        return None if fits else _not(one, other)
    kinds = here.get("type"), there.get("type")
    if allowed is not None or (kinds[0] != kinds[1] and kinds != ("integer", "number")):
        return _not(one, other)
    for word in _EXACT:
        if word == "uniqueItems" and other.is_new:  # a parameter that is a set takes a list, and the other way round
            continue
        if here.get(word) != there.get(word):
            return _not(one, other) if _shown(here) != _shown(there) else _became(one, other, word)
    if kinds[0] == "array":
        return _of_arrays(one, other, walk) or _limits(one, other)
    if kinds[0] == "object":
        return _of_maps(one, other, walk) or _limits(one, other)
    return _limits(one, other)


def _is_one(value: object, schema: Schema, allowed: list[object] | None) -> bool:
    if allowed is not None:
        return any(value == each and type(value) is type(each) for each in allowed)
    kind = _TYPES.get(type(value))
    plain = not any(word in schema for word in (*_EXACT, *_AT_LEAST, *_AT_MOST))
    return plain and (kind == schema.get("type") or (kind, schema.get("type")) == ("integer", "number"))


def _limits(one: Typed, other: Typed) -> str | None:
    for word in (*_AT_LEAST, *_AT_MOST):
        own, limit = one.schema.get(word), other.schema.get(word)
        if not isinstance(limit, (int, float)):
            continue
        if not isinstance(own, (int, float)) or (own < limit if word in _AT_LEAST else own > limit):
            return _became(one, other, word)
    return None


def _became(one: Typed, other: Typed, word: str) -> str:
    own, limit = one.schema.get(word), other.schema.get(word)
    before, now = (limit, own) if one.is_new else (own, limit)
    return f": {word} {_or_none(before)} became {_or_none(now)}"


def _or_none(limit: object) -> str:
    return "none" if limit is None else str(limit)


def _of_arrays(one: Typed, other: Typed, walk: _Walk) -> str | None:
    parts, wanted = sequence(one.schema.get("prefixItems")), sequence(other.schema.get("prefixItems"))
    if wanted or parts:
        if wanted and len(parts) != len(wanted):
            return _not(one, other)
        for place, part in enumerate(parts):
            whole = wanted[place] if wanted else other.schema.get("items")
            if found := excess(one.at(part), other.at(whole), walk):
                return f"[{place}]{found}"
        return None
    found = excess(one.at(one.schema.get("items")), other.at(other.schema.get("items")), walk)
    return f"[]{found}" if found else None


def _of_maps(one: Typed, other: Typed, walk: _Walk) -> str | None:
    fields, wanted = mapping(one.schema.get("properties")), mapping(other.schema.get("properties"))
    values = other.schema.get("additionalProperties")
    if "properties" not in other.schema:
        return _of_keyed(one, other, walk, fields)
    required = sequence(other.schema.get("required"))
    for name, schema in wanted.items():
        if name not in fields:
            if one.is_new:
                return f".{name}: is gone"
            if name in required:
                return f".{name}: is new and has to be there"
            continue
        if name in required and not _surely(name, one):
            return f".{name}: {'may be missing now' if one.is_new else 'has to be there now'}"
        if found := excess(one.at(fields[name]), other.at(schema), walk):
            return f".{name}{found}"
    if one.is_new or isinstance(values, dict):
        return None
    return next((f".{name}: is not read any more" for name in fields if name not in wanted), None)


def _surely(name: str, typed: Typed) -> bool:
    """Whether the key is there. In a result what has a default is: it is a field of a dataclass, or its like."""
    schema = mapping(mapping(typed.schema.get("properties")).get(name))
    return name in sequence(typed.schema.get("required")) or (typed.is_new and "default" in schema)


def _of_keyed(one: Typed, other: Typed, walk: _Walk, fields: Schema) -> str | None:
    """``other`` is a map with any keys."""
    if one.schema.get("x-keys") != other.schema.get("x-keys"):
        return _not(one, other)
    values = other.at(other.schema.get("additionalProperties"))
    if "properties" not in one.schema:
        found = excess(one.at(one.schema.get("additionalProperties")), values, walk)
        return f"[]{found}" if found else None
    return next(
        (f".{name}{found}" for name, each in fields.items() if (found := excess(one.at(each), values, walk))), None
    )


def _not(one: Typed, other: Typed) -> str:
    before, now = (other, one) if one.is_new else (one, other)
    return f": {_shown(before.schema)} became {_shown(now.schema)}"


def _shown(schema: Schema) -> str:
    """A type as Python writes it; of an enumeration its values, since it is they that have changed."""
    without = {key: value for key, value in schema.items() if key != "title"} if "enum" in schema else schema
    return type_of(without) or "anything"
