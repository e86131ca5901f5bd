"""What a service offers, printed: ``zerorpc ADDRESS`` and ``zerorpc -? ADDRESS``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zerorpc.cli.asking import ask_names, ask_service
from zerorpc.cli.failures import or_nearest
from zerorpc.cli.layout import UNKNOWN_SERVICE, UNKNOWN_SIGNATURE, Entry, Listing, format_all, format_one
from zerorpc.cli.printing import harmless, note, show, write
from zerorpc.cli.type_names import type_of
from zerorpc.described import MISSING, Kind, Method, Parameter, Service, literal
from zerorpc.shown import line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zerorpc.cli.asking import Ask


def show_service(ask: Ask, method: str | None, signatures: bool, as_json: bool) -> int:
    """Print the methods of a service, or one of them in full, and return the exit code. ``ask`` is a client."""
    service = ask_service(ask, method, signatures)
    if service.left_out:
        note(f"{service.left_out:,} more methods are left out")
    listing = listing_of(service)
    if method is not None and not listing.entries:
        near = or_nearest(method, ask_names(ask))
        note(f'No documentation for "{line(method)}": [{line(listing.name)}] has no such method{near or "."}')
        return 1
    if as_json:
        show({"name": listing.name, "methods": {each.name: _facts(each) for each in listing.entries}}, as_json)
        return 0
    write(harmless(format_one(listing)) if method is not None else format_all(listing, signatures))
    return 0


def _facts(entry: Entry) -> dict[str, str]:
    return {"signature": entry.name + entry.shown(" -> "), "doc": entry.doc}


def listing_of(service: Service) -> Listing:
    """A service as it is shown."""
    return Listing(
        service.name or UNKNOWN_SERVICE,
        [Entry(each.name, _signature(each), each.doc, _result(each)) for each in service.methods.values()],
    )


def _result(method: Method) -> str:
    """What a method of zerorpc 1 returns, as far as it says so. Of older servers nothing is known."""
    kind = type_of(method.result)
    return f"streams {kind}".rstrip() if method.streams else kind


def _signature(method: Method) -> str:
    if method.parameters is None:
        return UNKNOWN_SIGNATURE
    return f"({', '.join(_parts(method.parameters))})"


def _parts(parameters: tuple[Parameter, ...]) -> Iterator[str]:
    """Each parameter, and between them the marks that Python writes."""
    before: Kind | None = None
    for each in parameters:
        if before is Kind.POSITIONAL_ONLY and each.kind is not before:
            yield "/"
        if each.kind is Kind.KEYWORD_ONLY and before not in (Kind.KEYWORD_ONLY, Kind.VAR_POSITIONAL):
            yield "*"
        yield _parameter(each)
        before = each.kind
    if before is Kind.POSITIONAL_ONLY:
        yield "/"


def _parameter(told: Parameter) -> str:
    typed = f"{told.shown}: {told.type}" if told.type else told.shown
    if told.default is MISSING:
        return typed
    equals = " = " if told.type else "="  # as PEP 8 has it
    return f"{typed}{equals}{literal(told.default)}"
