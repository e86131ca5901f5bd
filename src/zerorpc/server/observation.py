"""What can be known of a server from outside: whether it is ready, and what it has counted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from zerorpc.doors.rpc import RpcDoor
from zerorpc.observe.counts import Gauges, Tally
from zerorpc.service.health import Health
from zerorpc.service.registry import Registry
from zerorpc.settings import ServerSettings

if TYPE_CHECKING:
    from zerorpc.server.metering import Metering

__all__ = ["Observation"]


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


class Service(Protocol):
    """What a server is made of."""

    settings: ServerSettings
    registry: Registry
    door: RpcDoor

    @property
    def life(self) -> Life: ...

    @property
    def http(self) -> Endpoints | None: ...


class Observation:
    """Of one server. On its loop."""

    def __init__(self, service: Service) -> None:
        settings = service.settings
        self.metering: Metering | None = None
        self._service = service
        self._health = Health(settings.ready)
        if settings.metrics:
            from zerorpc.server.metering import Metering  # most servers do without

            self.metering = Metering(service.registry, self._gauges)
        tally = self.tally("zerorpc")
        if settings.log_calls or tally is not None:
            service.door.note_calls(settings.log_calls, tally)
        service.registry.why_not_ready = self.why_not_ready

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.metering is not None:
            self.metering.start(loop)

    async def why_not_ready(self) -> str:
        """Why nobody is to call it just now; "" if that isn't so."""
        life = self._service.life
        if life.stopping:
            return "stopping"
        if not life.serving:
            return "not serving"
        why, sources = await self._health.problem(), self._service.registry.sources
        return why or ("" if sources is None else sources.why_not_ready())

    def tally(self, door: str, /) -> Tally | None:
        """What counts the calls of a door, if they are counted."""
        return None if self.metering is None else self.metering.counts.tallies[door]

    def metrics(self) -> bytes | None:
        """What it has counted, as Prometheus has it; None if it counts nothing."""
        return None if self.metering is None else self.metering.text()

    def _gauges(self) -> Gauges:
        service, metering = self._service, self.metering
        runners = service.door.runners
        if runners is None or metering is None or not service.life.serving:
            return Gauges()
        return runners.gauges()._replace(
            streams=len(metering.counts.streams),
            connections=len(service.door.hub.links),
            http_connections=0 if service.http is None else service.http.connections,
            processes=1,
        )

    def close(self) -> None:
        self._health.close()
        if self.metering is not None:
            self.metering.close()

    def __repr__(self) -> str:
        return f"<Observation {self._health!r} {self.metering!r}>"
