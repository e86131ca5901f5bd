"""JSON Schemas as Python's types, for a stub; maps with fields become classes of their own."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING

from zerorpc.cli.described import mapping, referred, sequence
from zerorpc.cli.printing import harmless
from zerorpc.cli.schema_types import told
from zerorpc.cli.stub_names import is_name

if TYPE_CHECKING:
    from zerorpc.cli.described import Schema
    from zerorpc.cli.stub_names import Names

_FORMATS = {
    "date": "date",
    "date-time": "datetime",
    "time": "time",
    "duration": "timedelta",
    "uuid": "UUID",
    "decimal": "Decimal",
}
_PLAIN = {"boolean": "bool", "integer": "int", "number": "float", "string": "str"}
_DEEPEST = 50  # of what stands in what: Python reads no deeper brackets than 100
_MOST = 10_000  # references that are written out: from one to the next a short schema could become an endless text


class Types:
    """Of one stub: ``classes`` has the text of each class or alias that the types need."""

    def __init__(self, names: Names) -> None:
        self.classes: list[str] = []
        self._names = names
        self._known: dict[str, str] = {}  # by the definition and all that it refers to
        self._left = _MOST

    def of(self, schema: Schema, definitions: Schema, depth: int = 0) -> str:
        """The type of what has this schema."""
        if depth > _DEEPEST or self._left < 0:
            return self._names.imported("Any")
        if isinstance(schema.get("$ref"), str):
            return self._of_reference(referred(str(schema["$ref"])), definitions, depth)
        options = sequence(schema.get("anyOf")) or sequence(schema.get("oneOf"))
        if isinstance(schema.get("type"), list):
            options = [{**schema, "type": each} for each in sequence(schema["type"])]
        if options:
            found = [self.of(mapping(each), definitions, depth + 1) for each in options]
            anything = self._names.imported("Any")
            return anything if anything in found else " | ".join(dict.fromkeys(found))
        if "enum" in schema or "const" in schema:
            return self._of_values(sequence(schema.get("enum", [schema.get("const")])))
        return self._of_kind(schema, definitions, depth)

    def _of_kind(self, schema: Schema, definitions: Schema, depth: int) -> str:
        kind = schema.get("type")
        if kind == "null":
            return "None"
        if kind == "array":
            return self._of_array(schema, definitions, depth)
        if kind == "object":
            return self._of_map(schema, definitions, depth)
        if kind == "string":
            plain = _FORMATS.get(str(schema.get("format")), "bytes" if "contentEncoding" in schema else "str")
            return self._names.imported(plain)
        return self._names.imported(_PLAIN.get(str(kind), "Any"))

    def _of_array(self, schema: Schema, definitions: Schema, depth: int) -> str:
        parts = sequence(schema.get("prefixItems"))
        if parts and schema.get("minItems") == len(parts):
            items = ", ".join(self.of(mapping(each), definitions, depth + 1) for each in parts)
            return f"{self._names.imported('tuple')}[{items}]"
        item = "Any" if parts else None  # some of them may be missing
        if "description" in schema and not told(mapping(schema.get("items"))):
            return self._names.imported("Any")  # NumPy's
        shown = self._names.imported(item) if item else self.of(mapping(schema.get("items")), definitions, depth + 1)
        return f"{self._names.imported('set' if schema.get('uniqueItems') is True else 'list')}[{shown}]"

    def _of_map(self, schema: Schema, definitions: Schema, depth: int) -> str:
        if "properties" in schema:
            title = str(schema.get("title") or "Fields")
            return self._once(title, schema, definitions)
        keys = mapping(schema.get("x-keys")) if "x-keys" in schema else {"type": "string"}
        values = self.of(mapping(schema.get("additionalProperties")), definitions, depth + 1)
        return f"{self._names.imported('dict')}[{self.of(keys, definitions, depth + 1)}, {values}]"

    def _of_reference(self, name: str, definitions: Schema, depth: int) -> str:
        schema = mapping(definitions.get(name))
        if "properties" in schema or "enum" in schema:
            return self._once(str(schema.get("title") or name), schema, definitions)
        if "$ref" in schema or not told(schema):
            return self._names.imported("Any")
        self._left -= 1
        without = {key: value for key, value in definitions.items() if key != name}  # it may refer to itself
        return self.of(schema, without, depth + 1)

    def _of_values(self, values: list[object]) -> str:
        """A Literal can have no floats."""
        if not values or any(isinstance(value, (float, list, dict)) for value in values):
            numbers = values and all(isinstance(value, (int, float)) for value in values)
            return self._names.imported("float" if numbers else "Any")
        return f"{self._names.imported('Literal')}[{', '.join(literal(value) for value in values)}]"

    def _once(self, title: str, schema: Schema, definitions: Schema) -> str:
        """The name of a class, which is written when it is first asked for. Others may have the same name."""
        key = json.dumps([title, schema, _reached(schema, definitions)], sort_keys=True, default=repr)
        name = self._known.get(key)
        if name is None:
            name = self._known[key] = self._names.new(title)
            place = len(self.classes)
            self.classes.append("")
            self.classes[place] = self._class(name, schema, definitions)
        return name

    def _class(self, name: str, schema: Schema, definitions: Schema) -> str:
        if "enum" in schema:
            return f"{name}: {self._names.imported('TypeAlias')} = {self._of_values(sequence(schema['enum']))}"
        required = sequence(schema.get("required"))
        fields = {}
        for field, each in mapping(schema["properties"]).items():
            kind = self.of(mapping(each), definitions)
            fields[str(field)] = kind if field in required else f"{self._names.imported('NotRequired')}[{kind}]"
        base = self._names.imported("TypedDict")
        hidden = set(re.findall(r"\w+", " ".join(fields.values())))  # by a field of that name, in a class
        if all(is_name(field) and not field.startswith("__") and field not in hidden for field in fields):
            lines = [f"    {field}: {kind}" for field, kind in fields.items()] or ["    pass"]
            return "\n".join([f"class {name}({base}):", *lines])
        pairs = ", ".join(f"{literal(field)}: {literal(kind)}" for field, kind in fields.items())
        return f"{name} = {base}({literal(name)}, {{{pairs}}})"


def _reached(schema: Schema, definitions: Schema) -> dict[str, object]:
    """The definitions that a schema leads to."""
    found: dict[str, object] = {}
    waiting: list[object] = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            name = referred(str(part.get("$ref", "")))
            if name in definitions and name not in found:
                found[name] = definitions[name]
                waiting.append(definitions[name])
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return found


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
