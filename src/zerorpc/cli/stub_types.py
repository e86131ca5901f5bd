"""JSON Schemas as Python's types, for a stub; maps with fields become classes of their own."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

from zerorpc.cli.printing import harmless
from zerorpc.cli.schema_parts import (
    FORMATS,
    NUMPY,
    PLAIN,
    classes,
    has_defaults,
    key_of,
    options,
    referred,
    told,
    values,
)
from zerorpc.cli.stub_names import NUMPY_SCALARS, is_name
from zerorpc.described import mapping, sequence

if TYPE_CHECKING:
    from zerorpc.cli.stub_names import Names
    from zerorpc.described import Schema

_DEEPEST = 50  # of what stands in what: Python reads no deeper brackets than 100
_MOST = 10_000  # references that are written out: from one to the next a short schema could become an endless text


class _Place(NamedTuple):
    """Where a schema stands: what its references lead to, how deep it is, and whether it is what a method takes."""

    definitions: Schema
    taken: bool = False
    depth: int = 0

    def deeper(self) -> _Place:
        return self._replace(depth=self.depth + 1)


class Types:
    """Of one stub: ``classes`` has the text of each class or alias that the types need.

    What has fields with defaults is two classes, if it is both taken and returned: a result has all of its fields, and
    in an argument those may be missing.
    """

    def __init__(self, names: Names) -> None:
        self.classes: list[str] = []
        self._names = names
        self._known: dict[str, str] = {}  # by the definition and all that it refers to
        self._returned: set[str] = set()
        self._left = _MOST

    def expect(self, result: Schema, definitions: Schema) -> None:
        """Some method returns this. To be told of all before the first type is asked for."""
        self._returned.update(key_of(each, definitions) for each in classes(result, definitions, through_fields=True))

    def returned(self, schema: Schema, definitions: Schema) -> str:
        """The type of a result that has this schema."""
        return self._of(schema, _Place(definitions))

    def taken(self, schema: Schema, definitions: Schema) -> str:
        """The type of an argument."""
        return self._of(schema, _Place(definitions, taken=True))

    def _of(self, schema: Schema, at: _Place) -> str:
        if at.depth > _DEEPEST or self._left < 0:
            return self._names.imported("Any")
        if isinstance(schema.get("$ref"), str):
            return self._of_reference(referred(str(schema["$ref"])), at)
        choice = options(schema)
        if choice:
            return self._union([self._of(mapping(each), at.deeper()) for each in choice])
        if (named := values(schema)) is not None:
            return self._of_values(named)
        return self._of_kind(schema, at)

    def _union(self, types: list[str]) -> str:
        anything = self._names.imported("Any")
        return anything if anything in types else " | ".join(dict.fromkeys(types))

    def _of_kind(self, schema: Schema, at: _Place) -> str:
        kind = schema.get("type")
        if kind == "null":
            return "None"
        if kind == "array":
            return self._of_array(schema, at)
        if kind == "object":
            return self._of_map(schema, at)
        if kind == "string":
            plain = FORMATS.get(str(schema.get("format")), "bytes" if "contentEncoding" in schema else "str")
            return self._names.imported(plain)
        return self._names.imported(FORMATS.get(str(schema.get("format")), PLAIN.get(str(kind), "Any")))

    def _of_array(self, schema: Schema, at: _Place) -> str:
        parts = sequence(schema.get("prefixItems"))
        if parts and schema.get("minItems") == len(parts):
            items = ", ".join(self._of(mapping(each), at.deeper()) for each in parts)
            return f"{self._names.imported('tuple')}[{items}]"
        item = "Any" if parts else None  # some of them may be missing
        if isinstance(schema.get(NUMPY), str):
            return self._of_numpy(str(schema[NUMPY]), at)
        shown = self._names.imported(item) if item else self._of(mapping(schema.get("items")), at.deeper())
        if self._are_two(mapping(schema.get("items")), at):
            return f"{self._names.imported('Sequence')}[{shown}]"
        if schema.get("uniqueItems") is True:  # frozensets too are taken
            return f"{self._names.imported('Set' if at.taken else 'set')}[{shown}]"
        return f"{self._names.imported('list')}[{shown}]"

    def _of_numpy(self, scalar: str, at: _Place) -> str:
        if at.taken:
            return self._names.imported("ArrayLike")
        known = self._names.imported(scalar) if scalar in NUMPY_SCALARS else self._names.imported("Any")
        return f"{self._names.imported('NDArray')}[{known}]"

    def _of_map(self, schema: Schema, at: _Place) -> str:
        if "properties" in schema:
            title = str(schema.get("title") or "Fields")
            return self._once(title, schema, at)
        keys = mapping(schema.get("x-keys")) if "x-keys" in schema else {"type": "string"}
        values = self._of(mapping(schema.get("additionalProperties")), at.deeper())
        name = "Mapping" if self._are_two(mapping(schema.get("additionalProperties")), at) else "dict"
        return f"{self._names.imported(name)}[{self._of(keys, at.deeper())}, {values}]"

    def _of_reference(self, name: str, at: _Place) -> str:
        schema = mapping(at.definitions.get(name))
        if "properties" in schema or "enum" in schema:
            return self._once(str(schema.get("title") or name), schema, at)
        if "$ref" in schema or not told(schema):
            return self._names.imported("Any")
        self._left -= 1
        without = {key: value for key, value in at.definitions.items() if key != name}  # it may refer to itself
        return self._of(schema, at.deeper()._replace(definitions=without))

    def _of_values(self, named: list[object]) -> str:
        """A Literal can have no floats."""
        if not named or any(isinstance(value, (float, list, dict)) for value in named):
            numbers = named and all(isinstance(value, (int, float)) for value in named)
            return self._names.imported("float" if numbers else "Any")
        return f"{self._names.imported('Literal')}[{', '.join(literal(value) for value in named)}]"

    def _are_two(self, schema: Schema, at: _Place) -> bool:
        """Whether it may be of either of two classes: to a type checker, a list of one is no list of both."""
        return at.taken and any(
            key_of(each, at.definitions) in self._returned and self._has_defaults(each, at)
            for each in classes(schema, at.definitions, through_fields=False)
        )

    def _has_defaults(self, schema: Schema, at: _Place) -> bool:
        return any(map(has_defaults, classes(schema, at.definitions, through_fields=True)))

    def _once(self, title: str, schema: Schema, at: _Place) -> str:
        """The name of a class, which is written when it is first asked for. Others may have the same name."""
        key = key_of(schema, at.definitions)
        partial = at.taken and self._has_defaults(schema, at)
        whole = self._once(title, schema, at._replace(taken=False)) if partial and key in self._returned else None
        name = self._known.get(f"{partial} {key}")
        if name is None:
            name = self._names.new(f"{title}Argument" if whole else title)
            self._known[f"{partial} {key}"] = name
            place = len(self.classes)
            self.classes.append("")
            self.classes[place] = self._class(name, schema, at.definitions, partial)
        return f"{whole} | {name}" if whole else name

    def _class(self, name: str, schema: Schema, definitions: Schema, partial: bool) -> str:
        if "enum" in schema:
            return f"{name}: {self._names.imported('TypeAlias')} = {self._of_values(sequence(schema['enum']))}"
        required = sequence(schema.get("required"))
        fields = {}
        for field, part in mapping(schema["properties"]).items():
            each = mapping(part)
            kind = self.taken(each, definitions) if partial else self.returned(each, definitions)
            always = field in required or ("default" in each and not partial)
            fields[str(field)] = kind if always else f"{self._names.imported('NotRequired')}[{kind}]"
        base = self._names.imported("TypedDict")
        hidden = set(re.findall(r"\w+", " ".join(fields.values())))  # by a field of that name, in a class
        if all(is_name(field) and not field.startswith("__") and field not in hidden for field in fields):
            lines = [f"    {field}: {kind}" for field, kind in fields.items()] or ["    pass"]
            return "\n".join([f"class {name}({base}):", *lines])
        pairs = ", ".join(f"{literal(field)}: {literal(kind)}" for field, kind in fields.items())
        return f"{name} = {base}({literal(name)}, {{{pairs}}})"


def literal(value: object) -> str:
    """A plain value as Python writes it; ``...`` for any other, and for a text too long to be read."""
    if isinstance(value, str) and len(value) <= 1000:
        shown = repr(f"'{value}")  # with double quotes, unless there are some in it
        return f'"{shown[2:]}' if shown[0] == '"' else repr(value)
    plain = value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value))
    return repr(value) if plain else "..."


def docstring(text: str, indent: str) -> str:
    """A text as a docstring, whatever is in it."""
    safe = harmless(text).replace("\\", "\\\\").replace('"""', '\\"\\"\\"').strip()
    if safe.endswith('"'):
        safe = f'{safe[:-1]}\\"'
    lines = [f"{indent}{each.rstrip()}" if each.strip() else "" for each in safe.split("\n")]
    text = "\n".join(lines).strip()
    return f'{indent}"""{text}\n{indent}"""' if "\n" in text else f'{indent}"""{text}"""'
