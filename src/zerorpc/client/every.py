"""``zerorpc.every``: a method called on every live server at once, and what became of each call."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, cast

from zerorpc.client.call_options import CallOptions, CallView, take_old_spelling
from zerorpc.client.request import Caller, Request
from zerorpc.not_picklable import NotPicklable
from zerorpc.protocol.channel import STATE_REFUSED, ClientChannel, Waiter
from zerorpc.remote_method import Explored, RemoteMethod

__all__ = ["CONNECTING", "Asked", "Every", "Gathering", "Outcome", "Peer", "every"]

CONNECTING = (
    1.0  # s that servers are waited for which are just being connected: ample for a handshake of three round trips
)


class AsksEvery(Caller, Protocol):
    """What stands behind a client."""

    @property
    def replies(self) -> Callable[[Any, Asked], object]:
        """Its kind of iterator over the outcomes: of the core, and of what is asked."""

    def __explored__(self, ask: bool, /) -> Explored | None:
        """What is known of the methods of its servers."""


class Attends(Protocol):
    """The core of a client."""

    def attend(self, channel: ClientChannel, /) -> None:
        """Have sent, and run, what the channel's call needs besides its request."""


class HasCore(Protocol):
    """A client, or a view of one."""

    @property
    def _core(self) -> object: ...


def every(client: HasCore) -> Every:
    """Call methods on every live server of a client, and not on one of them.

    ::

        for peer, outcome in zerorpc.every(client).reload("settings"):
            print(peer.address, outcome.error or outcome.value)

    With an AsyncClient it is ``async for``. Each round gives a ``Peer`` and an ``Outcome``, as they come: one that
    fails, or takes long, holds back no other. Leaving the loop cancels the calls that still run, once nothing refers to
    the iterator; ``close()`` (``aclose()``) does it at once.

    Asked is who has a connection when the calls begin. Those that are just being connected, for the first time or
    again, get a second for it; those that can't be reached are not waited for. A server that is ejected is asked as
    well, one that is shutting down is not. No call is made again on another server.

    ``client`` is a Client, an AsyncClient or a view of one (``zerorpc.options``), and keywords are what they are there.
    The timeout bounds connecting and the wait for each first reply together. A blocking client calls at once, an
    AsyncClient when the first outcome is asked for. Both raise TimeoutExpired if there is no server at all within the
    timeout, and what a call with such arguments raises.
    """
    core = None if isinstance(client, RemoteMethod) else getattr(client, "_core", None)
    if not hasattr(core, "replies"):
        raise TypeError(f"every server of a Client, an AsyncClient or a view of one can be asked, not of {client!r}")
    return Every(cast("AsksEvery", core), client._options if isinstance(client, CallView) else None)


class Every(NotPicklable):
    """Has the remote methods as attributes, as a client has; one of any name is called as ``every(client)("name")``."""

    __slots__ = ("_core", "_options")

    def __init__(self, core: AsksEvery, options: CallOptions | None) -> None:
        self._core = core
        self._options = options

    def __call__(self, method: str | bytes, /, *args: object, **kwargs: object) -> Any:
        return self._call(method, args, kwargs)

    def __getattr__(self, name: str) -> RemoteMethod:
        if name.startswith("__"):
            raise AttributeError(name)
        return RemoteMethod(self._call, name)

    def __explored__(self, ask: bool) -> Explored | None:
        return self._core.__explored__(ask)

    def __dir__(self) -> list[str]:
        explored = self.__explored__(True)
        return [*super().__dir__(), *(() if explored is None else explored.below(""))]

    def _call(self, method: str | bytes, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        core = self._core
        return core.replies(core, Asked.of(core, method, args, kwargs, self._options))


class Peer(NamedTuple):
    """One server of several: ``address`` is where it is, an endpoint such as ``tcp://10.0.0.7:4242``."""

    address: str


class Outcome(NamedTuple):
    """What became of one call: its ``value``, or the ``error`` if it failed."""

    value: Any = None
    error: Exception | None = None

    def result(self) -> Any:
        """The value, or the error raised."""
        if self.error is not None:
            raise self.error
        return self.value


class Asked(NamedTuple):
    """What every server is asked."""

    method: str | bytes
    args: tuple[object, ...]
    kwargs: dict[str, object]
    options: CallOptions | None

    @classmethod
    def of(
        cls,
        caller: Caller,
        method: str | bytes,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        options: CallOptions | None,
    ) -> Asked:
        """Without ``options`` they may be among ``kwargs``, as zerorpc 0.6 spells them."""
        if kwargs and options is None:
            options = take_old_spelling(caller.old_spelling, kwargs)
        if options is not None and options.in_background:
            raise TypeError("every() gives each outcome as it comes: it can't be asked with async_")
        if options is not None and options.out is not None:
            raise TypeError("every() gives many outcomes, which out= has no room for")
        return cls(method, args, kwargs, options)

    @staticmethod
    def attend(caller: Attends, request: Request) -> None:
        """Before a request is sent: have the functions run that it lends. Raises TypeError if an argument streams: it
        has its items once, and not for each server.
        """
        if request.channel.upload is not None:
            raise TypeError(f"{request.channel.method}: an argument that streams can only go to one server")
        caller.attend(request.channel)


class Gathering:
    """The calls of one ``every``: those that nobody has the outcome of, and of these the ended ones, in order.

    ``waiter`` is told when one has ended, as that of a channel is.
    """

    def __init__(self) -> None:
        self.peers: dict[Request, Peer] = {}  # whose outcome nobody has
        self.under_way: int = 0
        self.ended: deque[Request] = deque()
        self.waiter: Waiter | None = None

    def add(self, request: Request, address: str) -> None:
        """Before it is sent."""
        self.peers[request] = Peer(address)
        self.under_way += 1
        request.channel.waiter = Arrival(self, request)

    def look(self) -> None:
        """In a forked child: the calls are the parent's, and have failed without a word."""
        for request in self.peers:
            waiter = request.channel.waiter
            if request.channel.answered and waiter is not None:
                waiter.set_result(None)

    def close(self) -> list[Request]:
        """Nobody wants the outcomes: what is to be given up."""
        left, self.peers = list(self.peers), {}
        return left

    def take(self) -> tuple[Peer, Outcome]:
        """The next that has ended. IndexError if there is none."""
        request = self.ended.popleft()
        peer = self.peers.get(request)
        if peer is None:
            raise IndexError("it was closed meanwhile")
        if request.channel.state is STATE_REFUSED:
            request.channel.settle()
        try:
            outcome = Outcome(request.outcome())
        except Exception as error:
            request.channel.error = None
            outcome = Outcome(None, error.with_traceback(None))  # which would lead to frames that lead to it
        self.peers.pop(request, None)  # not before: a stream that nobody has got is to be given up
        return peer, outcome

    def __repr__(self) -> str:
        return f"<Gathering under_way={self.under_way} ended={len(self.ended)}>"


class Arrival:
    """The waiter of a channel: its first reply, or its end, is the gathering's to hand out."""

    __slots__ = ("_gathering", "_request")

    def __init__(self, gathering: Gathering, request: Request) -> None:
        self._gathering = gathering
        self._request = request

    def set_result(self, result: None) -> None:
        gathering, request = self._gathering, self._request
        request.channel.waiter = None
        gathering.ended.append(request)
        gathering.under_way -= 1
        waiter, gathering.waiter = gathering.waiter, None
        if waiter is not None:
            waiter.set_result(None)
