"""Keyword arguments for a server of an older protocol: put in their positions, by what it publishes of its methods."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from zerorpc.errors import NotSupported
from zerorpc.protocol.events import CALL_KEY, Buffer
from zerorpc.protocol.framed import FramedEvent
from zerorpc.protocol.packing import pack

__all__ = ["Published", "bound_by_position"]

Published: TypeAlias = Mapping[str, Any]  # by method, the "args" of ``_zerorpc_inspect``: [{"name": "x", "default": 1}]


def bound_by_position(request: Buffer, published: Published, server: str) -> bytes:
    """A packed request with keyword arguments as one that has only positions.

    Raises NotSupported, which names the method, the parameter and the server, where that can't be done.
    """
    if isinstance(request, FramedEvent):
        request = request.in_band()
    header, method, args = msgspec.msgpack.decode(request)
    kwargs: dict[str, Any] = header.pop(CALL_KEY)["kwargs"]
    parameters = _parameters(published.get(method))
    if parameters is None:
        raise _impossible(method, ", ".join(kwargs), server, "the server doesn't tell what the method takes")
    names = [parameter["name"] for parameter in parameters]
    for name in kwargs:
        if name not in names:
            known = ", ".join(names) or "none"
            raise _impossible(method, name, server, f"the method has no such parameter; its parameters: {known}")
        if names.index(name) < len(args):
            raise _impossible(method, name, server, "it is given by position as well")
    last = max(map(names.index, kwargs))
    for parameter in parameters[len(args) : last + 1]:
        name = parameter["name"]
        if name in kwargs:
            args.append(kwargs[name])
        elif "default" in parameter:
            args.append(parameter["default"])
        else:
            raise _impossible(method, name, server, "it stands before one that is given, and has no default")
    return bytes(pack((header, method, args)))


def _parameters(told: object) -> list[dict[str, Any]] | None:
    """Those that have a position: what stands behind ``*args`` has none. None if the server has told nothing of use."""
    if not isinstance(told, list) or not all(
        isinstance(one, dict) and isinstance(one.get("name"), str) for one in told
    ):
        return None
    if told and told[0]["name"] == "self":  # zerorpc 0.6 counts it
        told = told[1:]
    return list(itertools.takewhile(lambda one: not one["name"].startswith("*"), told))


def _impossible(method: str, parameter: str, server: str, why: str) -> NotSupported:
    error = NotSupported(
        f"{method}: the server at {server} speaks an older protocol, which has no keyword arguments, and {parameter} "
        f"can't be given by position: {why}"
    )
    error.method = method
    return error
