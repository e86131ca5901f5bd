"""What a server exposes: the methods of what was registered, and what every zerorpc service answers."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

from msgspec.msgpack import decode

from zerorpc.exposure import Patterns, is_here
from zerorpc.logs import Logger
from zerorpc.protocol.inquiry import TELL
from zerorpc.protocol.packing import pack
from zerorpc.scope import Served, current_scope
from zerorpc.service.call_hooks import CallHooks
from zerorpc.service.collecting import collect
from zerorpc.service.json_schema import json_schema
from zerorpc.service.methods import Method, on_loop
from zerorpc.service.rights import STATUS, DeniedError
from zerorpc.service.signatures import argspec, describe
from zerorpc.service.sources import Source, Sources
from zerorpc.shown import readable

__all__ = ["ONLY_HERE", "Registry"]

logger: Logger = Logger("zerorpc.server")

ONLY_HERE = (
    "the status tells what others call, and this server asks nobody who they are: only callers on its own machine may "
    "see it, by loopback or ipc; give it an authenticator"
)


def _served() -> Served | None:
    scope = current_scope()
    return None if scope is None else scope.answers


def _described(method: Method) -> dict[str, Any]:
    schema = json_schema(method)
    return describe(method) if schema is None else {**describe(method), "schema": schema}


def _without_schema(described: dict[str, Any]) -> dict[str, Any]:
    """What our clients go by before they repeat a call."""
    return {name: {key: told[key] for key in told if key != "schema"} for name, told in described.items()}


def _doc_of(service: object) -> str:
    """The docstring of a module, or of an object's own class."""
    owner = service if isinstance(service, (type, ModuleType)) else type(service)
    doc = None if isinstance(service, Mapping) else vars(owner).get("__doc__")
    return readable(inspect.cleandoc(doc)) if isinstance(doc, str) else ""


# What is asked of the methods, and has to wait until they are known.
_QUESTIONS = ("_zerorpc_list", "_zerorpc_help", "_zerorpc_args", "_zerorpc_inspect")


class _Question(Method):
    """One of these. If it can't be known, that is told as by any method from elsewhere."""

    __slots__ = ()

    forwards = True

    def __init__(self, method: Method, sources: Sources) -> None:
        answer = method.functor

        async def asked(*args: object) -> Any:
            await sources.catch_up()
            return answer(*args)

        super().__init__(method.name, asked)
        self.needs_no_place = True


class Registry:
    """The methods by their names: those that are exposed in ``methods``, all that answer in ``answering``.

    Filled before the server serves; then safe to read from any thread. With ``sources`` further methods come and go
    while it serves, on its loop.
    """

    def __init__(
        self,
        name: str,
        patterns: Patterns | None = None,
        any_types: bool = False,
        check_results: bool = False,
        strict_types: bool = False,
        tools: Patterns | None = None,
        hooks: CallHooks | None = None,
    ) -> None:
        self.name = name
        self.patterns: Patterns = patterns or Patterns()
        self._tools = tools
        self._hooks = hooks
        self._without_hooks: dict[str, Method] = {}  # those of a server that has some
        self._doc = ""  # of the first object that has tools
        self.docs: dict[str, str] = {}  # of each object that was registered, by its prefix
        self._any_types = any_types
        self._check_results = check_results
        self._strict_types = strict_types
        self.services: set[str] = set()  # the prefixes
        self.why_not_ready: Callable[[str], Awaitable[str]] | None = None  # a server's, which may be asked
        self.tell_status: Callable[[bool], dict[str, Any]] | None = None  # the same; whether it is asked by a call
        self.answers: str | None = None  # which answers are kept by key, if any: clients compare it
        self.methods: dict[str, Method] = {}
        self._described: bytes | None = None  # all of them, packed; None: not yet, or some have come since
        self.sources: Sources | None = None  # methods from elsewhere, if there are such
        self.changes: int = 0  # how often these have changed
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
            "_zerorpc_inspect": lambda: self.inspected(),  # noqa: PLW0108 - a function, which can be marked
            STATUS: lambda: self._tell_status(),  # noqa: PLW0108 - the same
            "_zpc_ready": self._tell_readiness,
            TELL: lambda: {"methods": _without_schema(self._describe()), "answers": self.answers},
        }

    async def _tell_readiness(self, service: str = "") -> list[Any]:
        """Of the whole server, or of one service; nil for one that there isn't."""
        if service and service not in self.services:
            return [None, ""]
        why = "" if self.why_not_ready is None else await self.why_not_ready(service)
        return [not why, why]

    def _tell_status(self) -> dict[str, Any]:
        served = _served()
        if self.tell_status is None:
            raise NameError(STATUS)
        if served is not None and served.identity is None and not is_here(served.peer):
            raise DeniedError(ONLY_HERE)
        return self.tell_status(served is not None)

    def inspected(self) -> dict[str, Any]:
        """What a service tells of itself; ``doc`` only to those who have tools to show to a language model."""
        methods = {name: told for name, told in self._describe().items() if not name.startswith("_")}
        told = {"name": self.name, "methods": methods}
        has_tools = any("tool" in method for method in methods.values())
        return {**told, "doc": self._doc} if self._doc and has_tools else told

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
        if isinstance(methods, Source):
            self._add_source(methods, prefix)
            return
        found = collect(methods, hidden_base)
        self.docs[prefix] = self.docs.get(prefix) or _doc_of(methods)
        for name, method in found.items():
            full = f"{prefix}.{name}" if prefix else name
            if not self.patterns.admit(full):
                continue
            if full in self.methods:
                raise ValueError(f"a method {full!r} is exposed already; give register() a prefix")
            if self._hooks is not None:
                self._without_hooks[full] = self._heed_annotations(copy.copy(method))
                self._hooks.put_around(method)
            self._heed_annotations(method)
            self._mark_tool(method, full)
            if prefix:
                self.services.add(prefix)
            self._doc = self._doc or ("" if method.tool is None else _doc_of(methods))
            self.methods[full] = self.answering[full] = method
            self._described = None

    def _heed_annotations(self, method: Method) -> Method:
        if not self._any_types:
            method.heed_annotations(self._check_results, self._strict_types)
        return method

    def hooked(self, method: Method | None) -> Method | None:
        """One that was lent, and never registered, as it is to be run: with the hooks around it."""
        if method is not None and self._hooks is not None:
            method = copy.copy(method)
            self._hooks.put_around(method)
        return method

    def call_here(self, name: str, args: Sequence[object]) -> Any:
        """Call an exposed method for nobody. Raises NameError if there is none of that name."""
        method = self.known(name)
        return self._without_hooks.get(name, method).functor(*args)

    def _mark_tool(self, method: Method, full: str) -> None:
        if self._tools is not None:
            method.tool = (method.tool or {}) if self._tools.admit(full) else None

    # From elsewhere

    def _add_source(self, source: Source, prefix: str) -> None:
        if self.sources is None:
            self.sources = Sources(self)
            for name in (*_QUESTIONS, TELL):
                self.answering[name] = _Question(self.answering[name], self.sources)
        self.sources.add(source, prefix)
        if prefix:
            self.services.add(prefix)

    def may_have(self, name: str) -> bool:
        """Whether the patterns admit it."""
        return self.patterns.admit(name)

    def put(self, found: Iterable[Method], gone: Iterable[str], prefix: str, doc: str) -> None:
        """What a source has now, and has no longer."""
        for name in gone:
            del self.methods[name], self.answering[name]
        for method in found:
            if self._hooks is not None and self.methods.get(method.name) is not method:
                self._hooks.put_around(method)
            self._mark_tool(method, method.name)
            self.methods[method.name] = self.answering[method.name] = method
        self._doc = self._doc or doc
        self.docs[prefix] = self.docs.get(prefix) or doc
        self._described = None
        self.changes += 1

    def exposed(self, name: str) -> Method | None:
        """The method of this name, if it is none that every service has."""
        method = self.methods.get(name)
        if method is not None or self.sources is None or name in self.answering:
            return method
        return self.sources.get(name)

    @property
    def table(self) -> Sources | dict[str, Method]:
        """What finds all that answer."""
        return self.sources or self.answering

    def warn_of_idle_patterns(self) -> None:
        """Now that all methods are registered: a mistyped pattern would expose what was to be denied."""
        if self.sources is not None:  # whose methods nobody knows yet
            return
        for pattern in [*self.patterns.idle, *(self._tools.idle if self._tools else [])]:
            logger.warning("no method of %s matches %s", self.name, pattern)

    def known(self, name: str) -> Method:
        """An exposed method; raises NameError if there is none of that name."""
        method = self.methods.get(name)
        if method is None:
            raise NameError(name)
        return method

    def __repr__(self) -> str:
        return f"<Registry {self.name!r} {list(self.methods)}>"
