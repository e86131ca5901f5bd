"""What a server has passed by reference, as a client holds it."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from typing import Any, Protocol

from zerorpc.client.call_options import CallOptions
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
        self.hold: Hold = Hold(core, peer, number)

    @property
    def old_spelling(self) -> tuple[str, ...]:
        """For ``zerorpc.options``: of the client's kind."""
        return self._core.old_spelling

    def call(
        self, name: str | bytes, args: tuple[object, ...], kwargs: dict[str, object], options: CallOptions | None = None
    ) -> Any:
        if self.hold.released:
            raise Closed("this was released, and can't be called any more")
        return self._core.call(name, args, kwargs, (options or _USUAL)._replace(on=self))

    def release(self) -> None:
        self.hold.release()


class Hold:
    """As long as anything refers to it, the server keeps what it has lent: a call of that may be sent later than the
    program has dropped it. It keeps no client.
    """

    def __init__(self, core: BorrowingCore, peer: ClientPeer, number: int) -> None:
        self.released: bool = False
        self._peer = peer
        self._number = number
        self._core = weakref.ref(core)  # last: without it there is nothing to give back

    def release(self) -> None:
        if not self.released:
            self.released = True
            core = self._core()
            if core is not None:  # else the connection has ended with it
                core.give_back(self._peer, self._number)

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if not is_finalizing() and "_core" in self.__dict__:
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
