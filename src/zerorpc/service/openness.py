"""The warning that anybody may call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from zerorpc.exposure import is_public
from zerorpc.logs import Logger

__all__ = ["Openness"]

logger: Logger = Logger("zerorpc.server")


class Bound(Protocol):
    """What listens at an endpoint."""

    endpoint: str

    @property
    def asks_who(self) -> bool:
        """Whether who connects has to prove who they are."""


class Openness:
    """Warns, once for each endpoint, when other machines may reach it and nobody is asked who they are.

    Not if the program says that this is meant (``anyone_may_call``).
    """

    def __init__(self, anyone_may_call: bool) -> None:
        self._silent = anyone_may_call
        self._told: set[str] = set()

    def warn(self, listeners: Sequence[Bound]) -> None:
        """These are bound."""
        for endpoint in [each.endpoint for each in listeners if not each.asks_who and is_public(each.endpoint)]:
            if self._silent or endpoint in self._told:
                continue
            self._told.add(endpoint)
            logger.warning(
                "%s is open to the network, and whoever reaches it can call what is exposed: bind to 127.0.0.1 or "
                "ipc://, ask who calls (authenticator=), or say anyone_may_call=True if this is meant",
                endpoint,
            )

    def __repr__(self) -> str:
        return f"<Openness {'silent' if self._silent else 'warns'} told={sorted(self._told)}>"
