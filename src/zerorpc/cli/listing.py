"""What a service offers, asked for and printed.

Peers describe themselves in three ways, oldest last:
- `_zerorpc_inspect` with a map of methods: protocol version 3, Python and Node;
- `_zerorpc_inspect` with a list of `[name, argspec, doc]`, as Python's getargspec once gave it: version 2;
- `_zerorpc_list`, `_zerorpc_help` and `_zerorpc_args`, a question for every method: version 1, and version 3
  servers on Python 3.11 and later, whose `_zerorpc_inspect` and `_zerorpc_args` fail.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from zerorpc.cli.layout import UNKNOWN_SIGNATURE, Method, Service, format_all, format_one
from zerorpc.cli.printing import harmless, note, show, write
from zerorpc.cli.type_names import UNKNOWN, type_of
from zerorpc.errors import ProtocolError, RemoteError
from zerorpc.shown import line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Ask = Callable[..., object]

T = TypeVar("T")

UNKNOWN_SERVICE = "N/A"
METHODS_MAX = 10_000  # that are shown; the oldest peers are asked two questions about each
LONGEST_NAME = 1000  # characters of a method's name that a question is put about


def show_service(ask: Ask, method: str | None, signatures: bool, as_json: bool) -> int:
    """Print the methods of a service, or one of them in full, and return the exit code."""
    service = describe(ask, method, signatures)
    if method is not None and not service.methods:
        note(f'No documentation for "{method}": [{line(service.name)}] has no such method.')
        return 1
    if as_json:
        show({"name": service.name, "methods": {m.name: _facts(m) for m in service.methods}}, as_json)
        return 0
    write(harmless(format_one(service)) if method is not None else format_all(service, signatures))
    return 0


def _facts(method: Method) -> dict[str, str]:
    return {"signature": method.name + method.shown(" -> "), "doc": method.doc}


def describe(ask: Ask, method: str | None = None, signatures: bool = True) -> Service:
    """Ask a service, whatever its age, for its methods, or for one of them.

    `ask` is a client. Without `signatures` no extra questions are put for their sake. Raises what the client
    raises.
    """
    try:
        answer = ask("_zerorpc_inspect")
    except RemoteError:
        return _ask_one_by_one(ask, method, signatures)
    facts = answer if isinstance(answer, dict) else {}
    told = facts.get("methods")
    if isinstance(told, dict):
        methods = _from_map(told)
    elif isinstance(told, list):
        methods = _from_argspecs(told)
    else:
        return _ask_one_by_one(ask, method, signatures)
    name = _text(facts.get("name")) or UNKNOWN_SERVICE
    return Service(name, list(_first_of([found for found in methods if method in (None, found.name)])))


def _first_of(found: Sequence[T]) -> Iterable[T]:
    """As many as are shown."""
    if len(found) > METHODS_MAX:
        note(f"{len(found) - METHODS_MAX:,} more methods are left out")
    return islice(found, METHODS_MAX)


def _from_map(told: dict[object, object]) -> Iterable[Method]:
    for name, details in told.items():
        facts = details if isinstance(details, dict) else {}
        yield Method(_text(name), _parameters(facts.get("args")), _text(facts.get("doc")), _result(facts))


def _result(facts: dict[object, object]) -> str:
    """What a method of zerorpc 1 returns, as far as it says so. Of older servers nothing is known."""
    schema = facts.get("schema")
    kind = type_of(schema.get("result")) if isinstance(schema, dict) else UNKNOWN
    return f"streams {kind}".rstrip() if facts.get("streams") is True else kind


def _parameters(args: object) -> str:
    """A signature from version 3's `[{"name": …, "default"?: …}]`, nil when the server doesn't know it."""
    if not isinstance(args, list):
        return UNKNOWN_SIGNATURE
    return f"({', '.join(_parameter(arg) for arg in args)})"


def _parameter(arg: object) -> str:
    if not isinstance(arg, dict):
        return _text(arg)
    name, kind = _text(arg.get("name")), _text(arg.get("type"))
    typed = f"{name}: {kind}" if kind else name
    if "default" not in arg:
        return typed
    equals = " = " if kind else "="  # as PEP 8 has it
    return f"{typed}{equals}{_literal(arg['default'])}"


def _from_argspecs(told: list[object]) -> Iterable[Method]:
    for entry in told:
        parts: list[object] = entry if isinstance(entry, list) else [entry]
        name, argspec, doc, *_ = [*parts, None, None, None]
        yield Method(_text(name), _argspec_parameters(argspec), _text(doc))


def _argspec_parameters(argspec: object) -> str:
    """A signature from `[names, name of *args, name of **kwargs, defaults of the last names]`."""
    if not isinstance(argspec, list) or len(argspec) != 4 or not isinstance(argspec[0], list):
        return UNKNOWN_SIGNATURE
    names, rest, keywords, defaults = argspec
    shown = [_text(name) for name in names]
    last = reversed(defaults if isinstance(defaults, list) else [])
    for position, default in zip(range(1, len(shown) + 1), last, strict=False):
        shown[-position] += f"={_literal(default)}"
    if rest:
        shown.append(f"*{_text(rest)}")
    if keywords:
        shown.append(f"**{_text(keywords)}")
    return f"({', '.join(shown)})"


def _ask_one_by_one(ask: Ask, method: str | None, signatures: bool) -> Service:
    told = ask("_zerorpc_list")
    if not isinstance(told, list):
        raise ProtocolError(f"the service can't tell its methods: instead of a list of names {_kind(told)} came")
    names = [name for name in dict.fromkeys(map(_text, told)) if method in (None, name)]
    return Service(
        _text(_ask_gently(ask, "_zerorpc_name")) or UNKNOWN_SERVICE,
        [_ask_about(ask, name, signatures) for name in _first_of(names)],
    )


def _ask_about(ask: Ask, name: str, signatures: bool) -> Method:
    if len(name) > LONGEST_NAME:
        return Method(name, UNKNOWN_SIGNATURE, "")
    argspec = _ask_gently(ask, "_zerorpc_args", name) if signatures else None
    return Method(name, _argspec_parameters(argspec), _text(_ask_gently(ask, "_zerorpc_help", name)))


def _ask_gently(ask: Ask, *question: str) -> object:
    """Ask what the service may be unable to tell: then the answer is None."""
    try:
        return ask(*question)
    except RemoteError:
        return None


def _text(told: object) -> str:
    """Text that may be nil, or bytes when a peer of version 1 or 2 sent no UTF-8."""
    if told is None:
        return ""
    if isinstance(told, bytes):
        return told.decode(errors="replace")
    return told if isinstance(told, str) else _literal(told)


def _literal(told: object) -> str:
    try:
        return repr(told)
    except RecursionError:  # as deep as can be read may be too deep to show
        return f"<{_kind(told)}>"


def _kind(told: object) -> str:
    return f"a value of type {type(told).__name__}"
