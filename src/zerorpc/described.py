"""What a server tells of its methods, read once for all who show it, complete it or write it down.

A peer's description is data that may be anything: what makes no sense is left out, or shown as a text. Three forms are
read, oldest last:

- ``_zerorpc_inspect`` with a map of methods: protocol version 3, Python and Node, and zerorpc 1, which adds a
  ``schema``;
- ``_zerorpc_inspect`` with a list of ``[name, argspec, doc]``, as Python's getargspec once gave it: version 2;
- a list of names, the answer of ``_zerorpc_list``.

Beside them the document that ``zerorpc schema`` prints. ``asking`` has the questions to put to a server of any age.
"""

from __future__ import annotations

import enum
from collections.abc import Generator, Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from zerorpc.errors import ProtocolError, RemoteError

__all__ = [
    "ANYTHING",
    "BY_NAME",
    "BY_PLACE",
    "METHODS_MAX",
    "MISSING",
    "Code",
    "Kind",
    "Method",
    "Parameter",
    "Schema",
    "Service",
    "asking",
    "kind_of",
    "literal",
    "mapping",
    "parameters_of_argspec",
    "read_answer",
    "read_document",
    "sequence",
    "text",
]

Schema: TypeAlias = "Mapping[str, object]"

ANYTHING: Schema = MappingProxyType({})
MISSING: object = object()  # a default, where a parameter has none
METHODS_MAX = 10_000  # of one service: nobody reads more, or completes among more
_LONGEST_NAME = 1000  # characters of a method's name that a question is put about


class Code(str):
    """What stands in the server's source, such as an annotation, or a default that only Python has: it is shown without
    quotes.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Kind(enum.Enum):
    """How a parameter is given, in the words of Python's ``inspect``."""

    POSITIONAL_ONLY = "positional-only"
    POSITIONAL_OR_KEYWORD = "positional or keyword"
    VAR_POSITIONAL = "variadic positional"
    KEYWORD_ONLY = "keyword-only"
    VAR_KEYWORD = "variadic keyword"


BY_PLACE = (Kind.POSITIONAL_ONLY, Kind.POSITIONAL_OR_KEYWORD)
BY_NAME = (Kind.KEYWORD_ONLY, Kind.POSITIONAL_OR_KEYWORD)


class Parameter(NamedTuple):
    """One parameter. The schema of a variadic one, or of one that takes a stream, is that of each item.

    ``type`` is its annotation as it is written at the server, empty if it has none or isn't known.
    """

    name: str
    kind: Kind = Kind.POSITIONAL_OR_KEYWORD
    schema: Schema = ANYTHING
    required: bool = True
    streams: bool = False
    type: str = ""
    default: object = MISSING

    @property
    def shown(self) -> str:
        """Its name, with the stars that Python writes."""
        return {Kind.VAR_POSITIONAL: "*", Kind.VAR_KEYWORD: "**"}.get(self.kind, "") + self.name


class Method(NamedTuple):
    """One method; ``parameters`` and ``streams`` are None where the server doesn't tell. Its result's schema is that of
    each item if it streams. ``tool`` has what is said of it as a tool for language models, None if it is none.
    ``schema`` is its whole JSON Schema as it came.
    """

    name: str
    doc: str = ""
    parameters: tuple[Parameter, ...] | None = None
    result: Schema = ANYTHING
    streams: bool | None = None
    idempotent: bool = False
    definitions: Schema = ANYTHING
    tool: Schema | None = None
    schema: Schema = ANYTHING


class Service(NamedTuple):
    """Its name, empty if it isn't told, its methods by their names, how many more there are than METHODS_MAX, and its
    documentation, if it has tools for language models.
    """

    name: str
    methods: Mapping[str, Method]
    left_out: int = 0
    doc: str = ""


def read_answer(answer: object, only: str | None = None) -> Service | None:
    """What a server of any age says of itself; None if there is no list of methods in it. ``only`` one of them is read
    if it is named.
    """
    told = mapping(answer).get("methods")
    if isinstance(told, dict):
        pairs = [(text(name), facts) for name, facts in told.items()]
    elif isinstance(told, list):
        pairs = [(text(_first(entry)), entry) for entry in told]
    else:
        return None
    wanted = dict(pair for pair in pairs if only in (None, pair[0]))
    methods = {name: _read(name, facts) for name, facts in islice(wanted.items(), METHODS_MAX)}
    about = mapping(answer)
    return Service(text(about.get("name")), methods, len(wanted) - len(methods), text(about.get("doc")))


def read_document(document: object) -> Service:
    """What ``zerorpc schema`` has printed. Raises ValueError for what it can't have printed."""
    methods = mapping(document).get("methods")
    if not isinstance(methods, dict):
        raise ValueError("it has no methods, which zerorpc schema prints")
    title = mapping(document).get("title")
    return Service(text(title), {str(name): _of_schema(str(name), mapping(told)) for name, told in methods.items()})


def _first(entry: object) -> object:
    return next(iter(entry), None) if isinstance(entry, list) else entry


def _read(name: str, told: object) -> Method:
    if isinstance(told, list):
        _, argspec, doc, *_ = [*told, None, None, None]
        return Method(name, text(doc), parameters_of_argspec(argspec))
    facts = mapping(told)
    doc, written = text(facts.get("doc")), _written(facts.get("args"))
    streams = facts.get("streams")
    method = Method(
        name,
        doc,
        _without_self(written),
        ANYTHING,
        streams if isinstance(streams, bool) else None,
        facts.get("idempotent") is True,
        tool=_tool(facts),
    )
    schema = mapping(facts.get("schema"))
    if not schema:
        return method
    try:
        found = _of_schema(name, schema, written)
    except ValueError:  # of a later version, or nonsense: then there is what older servers tell
        return method
    by_name = {each.name: each for each in written or ()}
    parameters = found.parameters and tuple(
        each
        if each.name not in by_name
        else each._replace(type=by_name[each.name].type, default=_default(each, by_name[each.name]))
        for each in found.parameters
    )
    return method._replace(
        parameters=written if parameters is None else parameters,
        result=found.result,
        definitions=found.definitions,
        schema=schema,
    )


def _default(told: Parameter, written: Parameter) -> object:
    """A text that the schema hasn't got is what the server wrote of a value that can't be sent."""
    if told.default is not MISSING:
        return told.default
    return Code(written.default) if isinstance(written.default, str) else written.default


# Asking


def asking(only: str | None = None, signatures: bool = True) -> Generator[tuple[str, ...], object, Service]:
    """The questions to put to a server of any age, each a method's name and its arguments, and at last what it has.

    Whoever asks sends the answer, or throws the RemoteError. Most servers answer the first question. The others, those
    of version 1, and zerorpc 0.6 on Python 3.11 and later, are asked for the names, and about each of them: without
    ``signatures`` for less, and about ``only`` one if it is named. Raises RemoteError, and ProtocolError for an answer
    that is no list of methods.
    """
    try:
        service = read_answer((yield ("_zerorpc_inspect",)), only)
    except RemoteError:
        service = None
    if service is not None:
        return service
    told = yield ("_zerorpc_list",)
    if not isinstance(told, list):
        raise ProtocolError(f"the service can't tell its methods: instead of a list of names {kind_of(told)} came")
    names = [name for name in dict.fromkeys(map(text, told)) if only in (None, name)]
    methods: dict[str, Method] = {}
    for name in names[:METHODS_MAX]:
        methods[name] = yield from _asking_about(name, signatures)
    title = yield from _gently("_zerorpc_name")
    return Service(text(title), methods, len(names) - len(methods))


def _asking_about(name: str, signatures: bool) -> Generator[tuple[str, ...], object, Method]:
    if len(name) > _LONGEST_NAME:
        return Method(name)
    argspec = (yield from _gently("_zerorpc_args", name)) if signatures else None
    doc = yield from _gently("_zerorpc_help", name)
    return Method(name, text(doc), parameters_of_argspec(argspec))


def _gently(*question: str) -> Generator[tuple[str, ...], object, object]:
    """Ask what the service may be unable to tell: then the answer is None."""
    try:
        return (yield question)
    except RemoteError:
        return None


# What ``inspect`` would know, from version 3 on


def _written(args: object) -> tuple[Parameter, ...] | None:
    """From ``[{"name": …, "default"?: …, "type"?: …}]``; None when the server doesn't know."""
    return tuple(_with_stars(args)) if isinstance(args, list) else None


def _with_stars(args: list[object]) -> Iterator[Parameter]:
    kind = Kind.POSITIONAL_OR_KEYWORD
    for arg in args:
        facts = mapping(arg)
        name = text(facts.get("name") if isinstance(arg, dict) else arg)
        if name == "*":
            kind = Kind.KEYWORD_ONLY
            continue
        own, kind, name = _kinds(name, kind)
        default = facts.get("default", MISSING)
        required = default is MISSING and own not in (Kind.VAR_POSITIONAL, Kind.VAR_KEYWORD)
        yield Parameter(name, own, ANYTHING, required, type=text(facts.get("type")), default=default)


def _kinds(name: str, kind: Kind) -> tuple[Kind, Kind, str]:
    """Of a parameter, of those that follow it, and its name without stars."""
    if name.startswith("**"):
        return Kind.VAR_KEYWORD, kind, name[2:]
    if name.startswith("*"):
        return Kind.VAR_POSITIONAL, Kind.KEYWORD_ONLY, name[1:]
    return kind, kind, name


def _without_self(parameters: tuple[Parameter, ...] | None) -> tuple[Parameter, ...] | None:
    """zerorpc 0.6 tells it, and callers don't give it."""
    return parameters[1:] if parameters and parameters[0].name == "self" else parameters


# What getargspec knew, in version 2, and in the answers of ``_zerorpc_args``


def parameters_of_argspec(argspec: object) -> tuple[Parameter, ...] | None:
    """From ``[names, name of *args, name of **kwargs, defaults of the last names]``; None for anything else."""
    if not isinstance(argspec, list) or len(argspec) != 4 or not isinstance(argspec[0], list):
        return None
    names, rest, keywords, defaults = argspec
    given = sequence(defaults)[-len(names) :] if names else []
    ends = [MISSING] * (len(names) - len(given)) + given
    found = [
        Parameter(text(name), required=default is MISSING, default=default)
        for name, default in zip(names, ends, strict=True)
    ]
    if rest:
        found.append(Parameter(text(rest), Kind.VAR_POSITIONAL, required=False))
    if keywords:
        found.append(Parameter(text(keywords), Kind.VAR_KEYWORD, required=False))
    return _without_self(tuple(found))


# What a server of zerorpc 1 says in JSON Schema


def _of_schema(name: str, told: Schema, written: tuple[Parameter, ...] | None = None) -> Method:
    """``written`` are its parameters, as ``args`` tells them. Raises ValueError for a kind that there isn't."""
    doc, streams = told.get("description"), told.get("streams")
    return Method(
        name,
        doc if isinstance(doc, str) else "",
        _parameters(told, written),
        mapping(told.get("result")),
        streams if isinstance(streams, bool) else None,
        told.get("idempotent") is True,
        mapping(told.get("$defs")),
        _tool(told),
    )


def _tool(told: Schema) -> Schema | None:
    said = told.get("tool")
    return mapping(said) if isinstance(said, dict) else None


def _parameters(told: Schema, written: tuple[Parameter, ...] | None) -> tuple[Parameter, ...] | None:
    parameters = told.get("parameters")
    if not isinstance(parameters, list):
        if written is None:
            return None
        parameters = [{"name": each.name, "kind": each.kind} for each in written]
    arguments = mapping(told.get("arguments"))
    return tuple(_parameter(mapping(each), arguments) for each in parameters)


def _parameter(told: Schema, arguments: Schema) -> Parameter:
    name, kind = str(told.get("name")), Kind(told.get("kind"))
    if kind is Kind.VAR_KEYWORD:
        return Parameter(name, kind, mapping(arguments.get("additionalProperties")), required=False)
    schema = mapping(mapping(arguments.get("properties")).get(name))
    streams = told.get("streams") is True
    default = schema.get("default", MISSING)
    if streams or kind is Kind.VAR_POSITIONAL:
        schema = mapping(schema.get("items"))
    required = name in sequence(arguments.get("required")) and kind is not Kind.VAR_POSITIONAL
    return Parameter(name, kind, schema, required, streams, default=default)


# Parts that may be anything


def mapping(value: object) -> Schema:
    """A part of a description that has to be a map; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> list[object]:
    """The same for a list."""
    return value if isinstance(value, list) else []


def text(told: object) -> str:
    """A text that may be nil, or bytes when a peer of version 1 or 2 sent no UTF-8."""
    if told is None or told is MISSING:
        return ""
    if isinstance(told, bytes):
        return told.decode(errors="replace")
    return told if isinstance(told, str) else literal(told)


def literal(told: object) -> str:
    """A value as Python writes it."""
    try:
        return repr(told)
    except RecursionError:  # as deep as can be read may be too deep to show
        return f"<{kind_of(told)}>"
    except ValueError:  # of a number of too many digits
        return hex(told) if isinstance(told, int) else f"<{kind_of(told)}>"


def kind_of(told: object) -> str:
    """What sort of value it is, in words."""
    return f"a value of type {type(told).__name__}"
