"""Asking a server, whatever its age, which methods it has.

Most answer `_zerorpc_inspect`. The others, those of version 1, and zerorpc 0.6 on Python 3.11 and later, whose
`_zerorpc_inspect` and `_zerorpc_args` fail, are asked for the names, and about each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zerorpc.described import (
    METHODS_MAX,
    Method,
    Service,
    kind_of,
    parameters_of_argspec,
    read_answer,
    text,
)
from zerorpc.errors import ProtocolError, RemoteError, ZeroRPCError

if TYPE_CHECKING:
    from collections.abc import Callable

    Ask = Callable[..., object]

LONGEST_NAME = 1000  # characters of a method's name that a question is put about


def ask_service(ask: Ask, only: str | None = None, signatures: bool = True) -> Service:
    """Ask for its methods, or for ``only`` one of them.

    ``ask`` is a client. Without ``signatures`` no extra questions are put for their sake. Raises what the client
    raises, and ProtocolError for an answer that is no list of methods.
    """
    try:
        service = read_answer(ask("_zerorpc_inspect"), only)
    except RemoteError:
        service = None
    return _ask_one_by_one(ask, only, signatures) if service is None else service


def ask_method(ask: Ask, method: str) -> Method | None:
    """What a server tells of one method in one answer; None if it doesn't. Raises what the client raises when there is
    no answer.
    """
    try:
        service = read_answer(ask("_zerorpc_inspect"), method)
    except RemoteError:
        return None
    return None if service is None else service.methods.get(method)


def ask_names(ask: Ask) -> list[str]:
    """The names of its methods, as far as it tells them to us."""
    try:
        told = ask("_zerorpc_list")
    except ZeroRPCError:  # it doesn't tell them to everybody, or is gone
        return []
    return [name for name in told[:METHODS_MAX] if isinstance(name, str)] if isinstance(told, list) else []


def _ask_one_by_one(ask: Ask, only: str | None, signatures: bool) -> Service:
    told = ask("_zerorpc_list")
    if not isinstance(told, list):
        raise ProtocolError(f"the service can't tell its methods: instead of a list of names {kind_of(told)} came")
    names = [name for name in dict.fromkeys(map(text, told)) if only in (None, name)]
    shown = names[:METHODS_MAX]
    methods = {name: _ask_about(ask, name, signatures) for name in shown}
    return Service(text(_ask_gently(ask, "_zerorpc_name")), methods, len(names) - len(shown))


def _ask_about(ask: Ask, name: str, signatures: bool) -> Method:
    if len(name) > LONGEST_NAME:
        return Method(name)
    argspec = _ask_gently(ask, "_zerorpc_args", name) if signatures else None
    return Method(name, text(_ask_gently(ask, "_zerorpc_help", name)), parameters_of_argspec(argspec))


def _ask_gently(ask: Ask, *question: str) -> object:
    """Ask what the service may be unable to tell: then the answer is None."""
    try:
        return ask(*question)
    except RemoteError:
        return None
