"""What one caller may call."""

from __future__ import annotations

from collections.abc import Mapping

from zerorpc.callers import Authorizer
from zerorpc.logs import Logger, Sparing
from zerorpc.service.methods import Method
from zerorpc.shown import name_of

__all__ = ["ALWAYS", "Rights", "Rules"]

logger: Logger = Logger("zerorpc.server")

_LISTS = "_zerorpc_inspect"  # who may call it may know which methods there are
# What tells nothing of the methods, and shows that the server lives; and what our clients ask before they repeat a
# call: it tells of those that the caller may call.
ALWAYS = frozenset(("_zerorpc_ping", "_zerorpc_name", "_zpc_methods"))


class Rules:
    """Of a server: its methods, ``answering`` by name, and its ``authorizer``, None if all may call all."""

    def __init__(self, answering: Mapping[str, Method], authorizer: Authorizer | None) -> None:
        self.answering: Mapping[str, Method] = answering
        self.authorizer: Authorizer | None = authorizer
        self.denied: Sparing = Sparing(logger.warning)

    def __repr__(self) -> str:
        return f"<Rules {self.authorizer!r}>"


class Rights:
    """Of the caller with this ``identity``, by a server's rules. ``get`` stands in for a table of methods by name.

    The authorizer is asked for each call, so that what it answers may change. What it raises is a no.
    """

    def __init__(self, rules: Rules, identity: str) -> None:
        self.identity: str = identity
        self._rules = rules

    def get(self, name: str) -> Method | None:
        """The method, if there is one that the caller may call."""
        method = self._rules.answering.get(name)
        return method if method is not None and self.admits(name) else None

    def admits(self, name: str) -> bool:
        """Whether the caller may call a method of this name."""
        authorizer = self._rules.authorizer
        if authorizer is None or name in ALWAYS:
            return True
        try:
            answer = authorizer(self.identity, name)
            if type(answer) is not bool:  # a coroutine would pass for a yes
                raise TypeError(f"an authorizer returns True or False at once, not a {type(answer).__name__}")
            return answer
        except Exception as error:
            logger.error("the authorizer raised %s for %s and %s", name_of(error), self.identity, name, raised=error)
            return False

    def denies(self, name: str) -> bool:
        """Whether a method that ``get`` doesn't give is one that the caller may know of. Logged if there is one."""
        if name not in self._rules.answering:
            return False
        self._rules.denied.log("denied %s to %s", name, self.identity)
        return self.admits(_LISTS)

    def __repr__(self) -> str:
        return f"<Rights of {self.identity!r}>"
