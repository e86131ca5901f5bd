"""Methods that a server has from elsewhere: they are known only while it serves, and may change then."""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from zerorpc.errors import ZeroRPCError
from zerorpc.logs import Logger
from zerorpc.service.methods import Method
from zerorpc.shown import message_of

__all__ = ["Source", "Sources"]

logger: Logger = Logger("zerorpc.server")


class Source(abc.ABC):
    """Where methods come from, such as another server. Of one server; all but ``name`` on its loop."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """What to call a service that has no other methods."""

    @abc.abstractmethod
    def begin(self, prefix: str, changed: Callable[[], None]) -> None:
        """The server serves. ``prefix`` stands before the names; ``changed`` is to be called after a change."""

    @abc.abstractmethod
    async def aclose(self) -> None:
        """It serves no longer. Safe to call twice."""

    @property
    @abc.abstractmethod
    def doc(self) -> str:
        """What there is to say of all its methods."""

    @property
    @abc.abstractmethod
    def methods(self) -> Mapping[str, Method]:
        """Those that are known, by their whole names."""

    @property
    @abc.abstractmethod
    def known(self) -> bool:
        """Whether it was told once which there are."""

    @abc.abstractmethod
    async def catch_up(self) -> None:
        """Until they are ``known``. Raises ZeroRPCError if that can't be."""

    @abc.abstractmethod
    def unknown(self, name: str) -> Method | None:
        """What a call of another name is to run, since there may be such a method by now. None if that can't be."""

    @abc.abstractmethod
    def why_not_ready(self) -> str:
        """Why nobody is to call it just now; "" if that isn't so."""


class Exposing(Protocol):
    """A server's registry."""

    name: str

    @property
    def answering(self) -> Mapping[str, Method]: ...

    def may_have(self, name: str, /) -> bool: ...

    def hooked(self, method: Method | None, /) -> Method | None: ...

    def put(self, found: Iterable[Method], gone: Iterable[str], prefix: str, doc: str, /) -> None: ...


class Sources:
    """Those of one server. It stands in for its table of methods. On the loop, once the server serves."""

    def __init__(self, registry: Exposing) -> None:
        self._registry = registry
        self._prefixes: dict[Source, str] = {}
        self._names: dict[Source, list[str]] = {}  # what is exposed of each
        self._named_by: Source | None = None  # the service is called what this one is called
        self._begun: list[Source] = []

    def add(self, source: Source, prefix: str) -> None:
        """Raises ValueError for one that is there already."""
        if source in self._prefixes:
            raise ValueError(f"{source!r} is exposed already")
        self._prefixes[source] = prefix
        if self._registry.name == source.name:
            self._named_by = source

    def begin(self) -> None:
        """The server serves."""
        for source, prefix in self._prefixes.items():
            source.begin(prefix, functools.partial(self._take, source))
            self._begun.append(source)

    async def aclose(self) -> None:
        """It serves no longer."""
        for source in self._begun:
            await source.aclose()

    def _take(self, source: Source) -> None:
        """Its methods are other ones now. What the server has had before stays."""
        before = self._names.get(source, [])
        wanted = [each for name, each in source.methods.items() if self._registry.may_have(name)]
        taken = [each.name for each in wanted if each.name in self._registry.answering and each.name not in before]
        if taken:
            logger.warning("%r: not exposed, since others have these names: %s", source, ", ".join(taken))
        found = [each for each in wanted if each.name not in taken]
        self._names[source] = [each.name for each in found]
        if self._named_by is source:
            self._registry.name = source.name
        gone = set(before).difference(self._names[source])
        self._registry.put(found, gone, self._prefixes[source], source.doc)

    # Asking

    def get(self, name: str) -> Method | None:
        """The method of this name; or one that finds out whether there is such by now."""
        method = self._registry.answering.get(name)
        if method is not None or _is_hidden(name) or not self._registry.may_have(name):
            return method
        found = (source.unknown(name) for source, prefix in self._prefixes.items() if _is_below(prefix, name))
        return self._registry.hooked(next(filter(None, found), None))

    @property
    def known(self) -> bool:
        """Whether each was told once which methods it has."""
        return all(source.known for source in self._prefixes)

    async def catch_up(self) -> None:
        """Until it is ``known`` which there are. Raises ZeroRPCError if that can't be."""
        for source in self._prefixes:
            if not source.known:
                await source.catch_up()

    async def why_unknown(self) -> str:
        """Wait until it is ``known`` which there are; or why that can't be."""
        try:
            await self.catch_up()
        except ZeroRPCError as error:
            return message_of(error)
        return ""

    def why_not_ready(self, service: str = "") -> str:
        """Why nobody is to call the server, or one of its services, just now; "" if that isn't so."""
        asked = [source for source, prefix in self._prefixes.items() if service in ("", prefix)]
        return "; ".join(filter(None, (source.why_not_ready() for source in asked)))

    def __repr__(self) -> str:
        return f"<Sources {list(self._prefixes)}>"


def _is_hidden(name: str) -> bool:
    """Whether it is one that no service exposes: what every server answers tells more than its methods do, and takes
    this one for its caller.
    """
    return any(part.startswith("_") for part in name.split("."))


def _is_below(prefix: str, name: str) -> bool:
    return not prefix or name.startswith(f"{prefix}.")
