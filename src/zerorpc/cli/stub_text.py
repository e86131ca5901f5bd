"""A service as the text of a Python module: a class for ``zerorpc.typed`` with a Client, and one for an AsyncClient.

Pure. What a server tells is put into a program here: names are checked, and texts are escaped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zerorpc.cli.schema_types import Typed, excess
from zerorpc.cli.stub_names import Names, class_name, is_name
from zerorpc.cli.stub_types import Types, docstring, literal
from zerorpc.described import MISSING, Code, Kind
from zerorpc.shown import line

if TYPE_CHECKING:
    from collections.abc import Callable

    from zerorpc.described import Method, Parameter, Schema, Service


def stub_of(service: Service, name: str | None = None) -> str:
    """The module. ``name`` is that of the blocking class; the other one's has ``Async`` before it."""
    shown = {each.name: each for each in service.methods.values() if is_name(each.name) and each.name[0] != "_"}
    names = Names(set(shown))
    wanted = name or class_name(service.name)
    blocking, other = names.new(wanted), names.new(f"Async{wanted}")
    types = Types(names)
    for each in shown.values():
        types.expect(each.result, each.definitions)
    hidden = [each for each in service.methods if each not in shown]
    bodies = [
        _class(blocking, "Client", types, names, shown, hidden, _blocking),
        _class(other, "AsyncClient", types, names, shown, hidden, _asynchronous),
    ]
    head = docstring(f"What {line(service.name or 'a server', 100)} serves, as zerorpc stub wrote it.", "")
    parts = ["from __future__ import annotations", "\n".join(names.imports()), *types.classes, *bodies]
    return f"{head}\n\n" + "\n\n\n".join([f"{parts[0]}\n\n{parts[1]}", *parts[2:]]) + "\n"


def _class(
    name: str,
    client: str,
    types: Types,
    names: Names,
    methods: dict[str, Method],
    hidden: list[str],
    form: Callable[[Method, str, Names], tuple[str, str]],
) -> str:
    lines = [f"class {name}({names.imported('Protocol')}):"]
    lines.append(f'    """For ``zerorpc.typed(client, {name})`` with {"an" if client[0] == "A" else "a"} {client}."""')
    for method in methods.values():
        result = types.returned(method.result, method.definitions)
        start, returned = form(method, result, names)
        parameters, why = _parameters(method, types, names, client == "AsyncClient")
        lines.append("")
        lines += [f"    # {why}"] if why else []
        lines.append(f"    {start} {method.name}({parameters}) -> {returned}:{'' if method.doc.strip() else ' ...'}")
        if method.doc.strip():
            lines += [docstring(method.doc, " " * 8), "        ..."]
    lines += (
        ["", *(f"    # left out, since Python has no such name: {line(each)!a}" for each in hidden)] if hidden else []
    )
    return "\n".join(lines)


def _blocking(method: Method, result: str, names: Names) -> tuple[str, str]:
    return "def", f"{names.imported('Iterator')}[{result}]" if method.streams else result


def _asynchronous(method: Method, result: str, names: Names) -> tuple[str, str]:
    """A call of what isn't known to stream can be awaited, or iterated over."""
    if method.streams is None:
        return "def", names.imported("Any")
    return ("def", f"{names.imported('AsyncIterator')}[{result}]") if method.streams else ("async def", result)


def _parameters(method: Method, types: Types, names: Names, is_async: bool) -> tuple[str, str]:
    """Those of one method, and why they don't say what it takes, if they don't."""
    anything = names.imported("Any")
    if method.parameters is None:
        return f"self, *args: {anything}, **kwargs: {anything}", "the server doesn't tell what it takes"
    told = [each.name for each in method.parameters]
    unnamed = [each for each in told if not is_name(each) or each == "self" or told.count(each) > 1]
    if unnamed:
        why = f"Python can't write its parameter {line(unnamed[0])!a}"
        return f"self, *args: {anything}, **kwargs: {anything}", why
    shown, optional, before = ["self"], False, None
    for each in sorted(method.parameters, key=lambda each: _ORDER[each.kind]):
        if before is Kind.POSITIONAL_ONLY and each.kind is not before:
            shown.append("/")
        if each.kind is Kind.KEYWORD_ONLY and before not in (Kind.KEYWORD_ONLY, Kind.VAR_POSITIONAL):
            shown.append("*")
        optional = each.kind is not Kind.KEYWORD_ONLY and (optional or not each.required)
        shown.append(_parameter(each, method.definitions, types, names, is_async, optional))
        before = each.kind
    return ", ".join([*shown, "/"] if before is Kind.POSITIONAL_ONLY else shown), ""


_ORDER = {kind: place for place, kind in enumerate(Kind)}


def _parameter(
    parameter: Parameter, definitions: Schema, types: Types, names: Names, is_async: bool, optional: bool
) -> str:
    schema, name = parameter.schema, parameter.name
    kind = types.taken(schema, definitions)
    if parameter.kind in (Kind.VAR_POSITIONAL, Kind.VAR_KEYWORD):
        return f"{parameter.shown}: {kind}"
    if parameter.streams:
        items = f"{names.imported('Iterable')}[{kind}]"
        kind = f"{names.imported('AsyncIterable')}[{kind}] | {items}" if is_async else items
    if parameter.required and not optional:
        return f"{name}: {kind}"
    default = "..."
    value = parameter.default
    if value is not MISSING and type(value) is not Code:
        fits = excess(Typed({"enum": [value]}, {}), Typed(schema, definitions)) is None and not parameter.streams
        if value is None and not fits:  # a method takes its default
            kind = f"{kind} | None" if kind != names.imported("Any") else kind
        default = literal(value) if fits or value is None else default
    return f"{name}: {kind} = {default}"
