"""What a server has passed by reference, as a client holds it."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from typing import Any, Protocol

from zerorpc.client.options import CallOptions
from zerorpc.errors import Closed
from zerorpc.protocol.client_peer import ClientPeer
from zerorpc.protocol.references import Reference
from zerorpc.remote_objects import RemoteFunction, RemoteObject

__all__ = ["Borrowed", "borrowing_for"]


class BorrowingCore(Protocol):
    """The core of a client."""

    old_spelling: tuple[str, ...]

    def call(
        self, method: str | bytes, args: tuple[object, ...], kwargs: dict[str, object], options: CallOptions | None, /
    ) -> Any: ...

    def give_back(self, peer: ClientPeer, number: int, /) -> None:
        """Tell the server. At any moment, and in any thread."""


class Borrowed:
    """Its lease. The one behind a RemoteFunction or RemoteObject, and so it goes with that."""

    def __init__(self, core: BorrowingCore, peer: ClientPeer, number: int) -> None:
        self._core = core
        self.peer: ClientPeer = peer
        self.number: int = number
        self._released = False

    @property
    def old_spelling(self) -> tuple[str, ...]:
        """For ``zerorpc.options``: of the client's kind."""
        return self._core.old_spelling

    def call(
        self, name: str | bytes, args: tuple[object, ...], kwargs: dict[str, object], options: CallOptions | None = None
    ) -> Any:
        if self._released:
            raise Closed("this was released, and can't be called any more")
        return self._core.call(name, args, kwargs, (options or _USUAL)._replace(on=self))

    def release(self) -> None:
        if not self._released:
            self._released = True
            self._core.give_back(self.peer, self.number)

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if not is_finalizing() and "_released" in self.__dict__:
            self.release()


_USUAL = CallOptions()


def borrowing_for(core: BorrowingCore) -> Callable[[ClientPeer, Reference], object]:
    """What makes that which stands here for a function or an object of a server's. It keeps no client."""
    known = weakref.ref(core)

    def borrow(peer: ClientPeer, reference: Reference) -> RemoteFunction | RemoteObject | None:
        owner = known()
        if owner is None:
            return None
        lease = Borrowed(owner, peer, reference.number)
        return RemoteObject(lease) if reference.name is None else RemoteFunction(lease, reference.name)

    return borrow
