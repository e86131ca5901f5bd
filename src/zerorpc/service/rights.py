"""What one caller may call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from zerorpc.callers import Authorizer
from zerorpc.logs import Logger, Sparing, is_ctrl_c
from zerorpc.service.methods import Method
from zerorpc.shown import name_of

__all__ = ["ALWAYS", "LISTS", "STATUS", "DeniedError", "Rights", "Rules"]

logger: Logger = Logger("zerorpc.server")

STATUS = "_zerorpc_status"  # who may call it may know how the server is, and what others call
LISTS = "_zerorpc_inspect"  # who may call it may know which methods there are
# What tells nothing of the methods, and shows that the server lives; and what our clients ask before they repeat a
# call: it tells of those that the caller may call.
ALWAYS = frozenset(("_zerorpc_ping", "_zerorpc_name", "_zpc_methods", "_zpc_ready"))


class DeniedError(Exception):
    """Raised by a method of the server's own: this caller may not call it. It is told as any denial."""


class Table(Protocol):
    """Finds methods by their names."""

    def get(self, name: str, /) -> Method | None: ...


class Rules:
    """Of a server: its methods, ``answering`` by name, and its ``authorizer``, None if all may call all."""

    def __init__(self, answering: Mapping[str, Method], authorizer: Authorizer | None) -> None:
        self.answering: Mapping[str, Method] = answering
        self.table: Table = answering  # what finds them
        self.authorizer: Authorizer | None = authorizer
        self.denied: Sparing = Sparing()  # lines of the log
        self.failed: Sparing = Sparing()

    def __repr__(self) -> str:
        return f"<Rules {self.authorizer!r}>"


class Rights:
    """Of the caller with this ``identity``, by a server's rules. ``get`` stands in for a table of methods by name.

    The authorizer is asked for each call, so that what it answers may change. What it raises is a no.
    """

    def __init__(self, rules: Rules, identity: str) -> None:
        self.identity: str = identity
        self.revoked: bool = False  # nobody knows the caller any more: nothing that it has sent is to be run
        self._rules = rules

    def get(self, name: str) -> Method | None:
        """The method, if there is one that the caller may call."""
        method = self._rules.table.get(name)
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
        except BaseException as error:  # SystemExit, of a program's function, would end the server
            if is_ctrl_c(error):
                raise
            if (more := self._rules.failed.turn()) is not None:
                told = "the authorizer raised %s for %s and %s%s"
                logger.error(told, name_of(error), self.identity, name, more, raised=error)
            return False

    def knows(self, name: str) -> bool:
        """Whether there is a method of this name, for this caller or not."""
        return name in self._rules.answering

    def tells_denial(self, name: str) -> bool:
        """A call was denied, which is logged: whether its caller may know that there is such a method."""
        if (more := self._rules.denied.turn()) is not None:
            logger.warning("denied %s to %s%s", name, self.identity, more)
        return self.admits(LISTS)

    def __repr__(self) -> str:
        return f"<Rights of {self.identity!r}>"
