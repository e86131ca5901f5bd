"""What those who look at a server ask its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from zerorpc.doors.rpc import RpcDoor
from zerorpc.service.registry import Registry
from zerorpc.settings import ServerSettings

if TYPE_CHECKING:
    from zerorpc.doors.http.door import HttpDoor
    from zerorpc.transport.handover import Intake

__all__ = ["Endpoints", "Life", "Service"]


class Life(Protocol):
    """How far it is."""

    @property
    def serving(self) -> bool: ...

    @property
    def stopping(self) -> bool: ...


class Endpoints(Protocol):
    """Those of HTTP."""

    @property
    def connections(self) -> int: ...

    @property
    def door(self) -> HttpDoor: ...


class Service(Protocol):
    """What a server is made of."""

    settings: ServerSettings
    registry: Registry
    door: RpcDoor

    @property
    def life(self) -> Life: ...

    @property
    def intake(self) -> Intake | None: ...

    @property
    def http(self) -> Endpoints | None: ...
