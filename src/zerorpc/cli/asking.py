"""Asking a server, whatever its age, which methods it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zerorpc.described import METHODS_MAX, Method, Service, asking, read_answer
from zerorpc.errors import RemoteError, ZeroRPCError

if TYPE_CHECKING:
    from collections.abc import Callable

    Ask = Callable[..., object]


def ask_service(ask: Ask, only: str | None = None, signatures: bool = True) -> Service:
    """Ask for its methods, or for ``only`` one of them.

    ``ask`` is a client. Without ``signatures`` no extra questions are put for their sake. Raises what the client
    raises, and ProtocolError for an answer that is no list of methods.
    """
    steps = asking(only, signatures)
    try:
        question = next(steps)
        while True:
            try:
                answer = ask(*question)
            except RemoteError as error:
                question = steps.throw(error)
            else:
                question = steps.send(answer)
    except StopIteration as end:
        service: Service = end.value
        return service


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
