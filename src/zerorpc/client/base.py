"""What both clients have: remote methods as attributes, and the timeout."""

from __future__ import annotations

from typing import Protocol

from zerorpc.client.call_options import CallOptions
from zerorpc.client.request import Caller
from zerorpc.number_checks import seconds
from zerorpc.remote_method import Explored, RemoteMethod, ipython_asks
from zerorpc.settings import ClientSettings, declared
from zerorpc.socket_base import Core, SocketBase

__all__ = ["ClientBase"]


class ClientCore(Core, Caller, Protocol):
    """What stands behind a client, whose own attributes are remote methods."""

    def call(
        self,
        method: str | bytes,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        options: CallOptions | None = None,
        /,
    ) -> object:
        """Call a method. Without ``options``, they may be among ``kwargs``, which this then takes out of there."""

    def __explored__(self, ask: bool, /) -> Explored | None:
        """What is known of the server's methods. With ``ask`` it is asked for them, unless that was done."""


class ClientBase(SocketBase):
    """What both clients have: remote methods as attributes, and the timeout.

    Each has a constructor of its own: the TypeError of a wrong argument names the class where that stands.
    """

    _core: ClientCore

    def __getattr__(self, name: str) -> RemoteMethod:
        if name.startswith("__") or (name == "getdoc" and ipython_asks()):
            raise AttributeError(name)
        method = self.__dict__[name] = RemoteMethod(self._core.call, name)
        return method

    def __dir__(self) -> list[str]:
        """The attributes of its own, and the remote methods; a Client waits a second at most to be told of them."""
        kept = self.__dict__
        core: ClientCore | None = kept.get("_core")
        explored = None if core is None else core.__explored__(True)
        own = super().__dir__()
        if explored is None:
            return list(own)
        used = {name for name, value in kept.items() if isinstance(value, RemoteMethod)}  # misspelt ones among them
        return list((set(own) - used).union(explored.below("")))

    @property
    def timeout(self) -> float | None:
        """Seconds that a call may take to connect, send and get its first reply; None for no limit.

        May be set, for the calls to come: TypeError and ValueError as for the constructor. A remote method of that
        name is called as ``client("timeout", …)``.
        """
        return self._core.timeout

    @timeout.setter
    def timeout(self, value: float | None) -> None:
        self._core.timeout = seconds("timeout", value)

    _timeout = timeout  # as zerorpc 0.6 has it

    def __setattr__(self, name: str, value: object) -> None:
        if (
            name in _GIVEN_AT_THE_START and type(self).__module__ in _OURS
        ):  # a subclass may mean an attribute of its own
            kind = type(self).__name__
            raise AttributeError(f"{name} can't be changed later: give it to the constructor, as {kind}({name}=…)")
        super().__setattr__(name, value)


_GIVEN_AT_THE_START = declared(ClientSettings).keys() - {"timeout"}
_OURS = ("zerorpc.client.asynchronous", "zerorpc.client.blocking")
