"""What a server exposes: the methods of what was registered, and what every zerorpc service answers."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec.msgpack import decode

from zerorpc.exposure import Patterns
from zerorpc.logs import Logger
from zerorpc.protocol.inquiry import TELL
from zerorpc.protocol.packing import pack
from zerorpc.scope import Served, current_scope
from zerorpc.service.collecting import collect
from zerorpc.service.json_schema import json_schema
from zerorpc.service.methods import Method, on_loop
from zerorpc.service.signatures import argspec, describe

__all__ = ["Registry"]

logger: Logger = Logger("zerorpc.server")


def _served() -> Served | None:
    scope = current_scope()
    return None if scope is None else scope.answers


def _described(method: Method) -> dict[str, Any]:
    schema = json_schema(method)
    return describe(method) if schema is None else {**describe(method), "schema": schema}


def _without_schema(described: dict[str, Any]) -> dict[str, Any]:
    """What our clients go by before they repeat a call."""
    return {name: {key: told[key] for key in told if key != "schema"} for name, told in described.items()}


class Registry:
    """The methods by their names: those that are exposed in ``methods``, all that answer in ``answering``.

    Filled before the server serves; then safe to read from any thread.
    """

    def __init__(
        self,
        name: str,
        patterns: Patterns | None = None,
        any_types: bool = False,
        check_results: bool = False,
        strict_types: bool = False,
    ) -> None:
        self.name = name
        self.patterns: Patterns = patterns or Patterns()
        self._any_types = any_types
        self._check_results = check_results
        self._strict_types = strict_types
        self.why_not_ready: Callable[[], Awaitable[str]] | None = None  # a server's, which may be asked
        self.answers: str | None = None  # which answers are kept by key, if any: clients compare it
        self.methods: dict[str, Method] = {}
        self._described: bytes | None = None  # all of them, packed; None: not yet, or some have come since
        self.answering: dict[str, Method] = {
            name: Method(name, function if inspect.iscoroutinefunction(function) else on_loop(function))
            for name, function in self._builtins().items()
        }
        for method in self.answering.values():
            method.needs_no_place = True

    def _builtins(self) -> dict[str, Callable[..., object]]:
        """What every zerorpc service answers, for the command line and for tools (docs/protocol.md, Events)."""
        return {
            "_zerorpc_list": lambda: [name for name in self._seen() if not name.startswith("_")],
            "_zerorpc_name": lambda: self.name,
            "_zerorpc_ping": lambda: ["pong", self.name],
            "_zerorpc_help": lambda method: self._seen_one(method).doc,
            "_zerorpc_args": lambda method: argspec(self._seen_one(method)),
            "_zerorpc_inspect": lambda: {
                "name": self.name,
                "methods": {name: told for name, told in self._describe().items() if not name.startswith("_")},
            },
            "_zpc_ready": self._tell_readiness,
            TELL: lambda: {"methods": _without_schema(self._describe()), "answers": self.answers},
        }

    async def _tell_readiness(self) -> list[Any]:
        why = "" if self.why_not_ready is None else await self.why_not_ready()
        return [not why, why]

    def _describe(self) -> dict[str, Any]:
        """Each method as callers are told of it.

        Made once, since any peer may ask again and again: of 1,000 methods it takes 58 ms, to unpack them 2 ms.
        Unpacked for each answer, since hooks may change what they are about to send.
        """
        packed = self._described
        if packed is None:
            packed = bytes(pack({name: _described(method) for name, method in self.methods.items()}))
            self._described = packed
        described: dict[str, Any] = decode(packed)
        return {name: described[name] for name in self._seen()}

    def _seen(self) -> list[str]:
        """The methods that the caller of the current call may call."""
        served = _served()
        return [name for name in self.methods if served is None or served.admits(name)]

    def _seen_one(self, name: str) -> Method:
        method, served = self.known(name), _served()
        if served is not None and not served.admits(name):
            raise NameError(name)
        return method

    def register(self, methods: object, prefix: str, hidden_base: type | None) -> None:
        """Expose what the patterns admit. Raises ValueError for a name that is taken, and what ``collect`` raises."""
        for name, method in collect(methods, hidden_base).items():
            full = f"{prefix}.{name}" if prefix else name
            if not self.patterns.admit(full):
                continue
            if full in self.methods:
                raise ValueError(f"a method {full!r} is exposed already; give register() a prefix")
            if not self._any_types:
                method.heed_annotations(self._check_results, self._strict_types)
            self.methods[full] = self.answering[full] = method
            self._described = None

    def warn_of_idle_patterns(self) -> None:
        """Now that all methods are registered: a mistyped pattern would expose what was to be denied."""
        for pattern in self.patterns.idle:
            logger.warning("no method of %s matches %s", self.name, pattern)

    def known(self, name: str) -> Method:
        """An exposed method; raises NameError if there is none of that name."""
        method = self.methods.get(name)
        if method is None:
            raise NameError(name)
        return method

    def __repr__(self) -> str:
        return f"<Registry {self.name!r} {list(self.methods)}>"
