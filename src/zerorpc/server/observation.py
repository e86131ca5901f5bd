"""What can be known of a server from outside: whether it is ready, what it has counted, and how it is just now."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any

from zerorpc.observe.counts import Gauges, Tally
from zerorpc.server.parts import Service
from zerorpc.service.health import Health
from zerorpc.settings import ReadyCheck

if TYPE_CHECKING:
    from zerorpc.server.metering import Metering
    from zerorpc.server.slabs import Slabs
    from zerorpc.server.status import Status

__all__ = ["Observation"]


class Observation:
    """Of one server. On its loop."""

    def __init__(self, service: Service) -> None:
        settings = service.settings
        self.metering: Metering | None = None
        self._service = service
        self._health = Health(settings.ready)
        self._services: dict[str, Health] = {}  # those that have a check of their own
        self._counting = settings.metrics
        self._loop: asyncio.AbstractEventLoop | None = None
        self._began = 0.0
        self._asking = 0  # calls that only ask for the status: of what runs they are not worth telling
        self._status: Status | None = None  # from when somebody asks
        tally = self._made_metering().counts.tallies["zerorpc"] if settings.metrics else None
        if settings.log_calls or tally is not None:
            service.door.note_calls(settings.log_calls, tally)
        service.registry.why_not_ready = self.why_not_ready
        service.registry.tell_status = self.status

    def _made_metering(self) -> Metering:
        if self.metering is None:
            from zerorpc.server.metering import Metering  # most servers do without

            self.metering = Metering(self._service.registry, self._gauges)
        return self.metering

    def share(self, processes: int) -> Slabs | None:
        """Before the first of several processes is forked: where each is to put what it counts, if it ever does."""
        metering = self._made_metering()
        metering.lay_out(processes)
        return metering.slabs

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._began = loop, monotonic()
        if self._counting:
            self._made_metering().start(loop)

    def check(self, service: str, ready: ReadyCheck) -> None:
        """A service, which is a prefix of its methods, has a check of its own. Before the server serves."""
        self._services[service] = Health(ready, f"the service {service}")

    async def why_not_ready(self, service: str = "") -> str:
        """Why nobody is to call it, or one of its services, just now; "" if that isn't so."""
        life = self._service.life
        if life.stopping:
            return "stopping"
        if not life.serving:
            return "not serving"
        why, sources = await self._services.get(service, self._health).problem(), self._service.registry.sources
        return why or ("" if sources is None else sources.why_not_ready(service))

    def tally(self, door: str, /) -> Tally | None:
        """What counts the calls of a door, if they are counted."""
        return self.metering.counts.tallies[door] if self._counting and self.metering is not None else None

    def metrics(self) -> bytes | None:
        """What it has counted, as Prometheus has it; None if it has not from its start on."""
        if self.metering is None or not self._service.settings.metrics:
            return None
        return self.metering.text()

    def status(self, by_call: bool = False) -> dict[str, Any]:
        """How it is just now. From now on, for some seconds, its calls are counted. On the loop.

        ``by_call``: the asking is a call, which runs.
        """
        self._asking = int(by_call)
        try:
            told = self._made_status().tell()
        finally:
            self._asking = 0
        if self._service.intake is not None:
            self._service.intake.watched()
        return told

    def watch(self) -> None:
        """Somebody asks another process: this one counts too, since each tells of all."""
        if self._service.life.serving:
            self._made_status().heed()

    def _made_status(self) -> Status:
        assert self._loop is not None
        if self._status is None:
            from zerorpc.server.status import Status  # most servers do without

            self._status = Status(self._service, self._loop, self._began, self._count)
        return self._status

    def _count(self, counting: bool) -> Metering:
        """Begin to count calls, at all doors, or end that; where they are counted. With ``metrics`` they always are."""
        service, settings, metering = self._service, self._service.settings, self._made_metering()
        if settings.metrics:
            return metering
        self._counting = counting
        if counting:
            assert self._loop is not None
            metering.start(self._loop)
        else:
            metering.close()
        service.door.note_calls(settings.log_calls, self.tally("zerorpc"))
        service.door.tally = metering.counts.tallies["zerorpc"]  # those that run are counted to their end
        if service.http is not None:
            service.http.door.note_calls(settings.log_calls, self.tally("http"))
        return metering

    def _gauges(self) -> Gauges:
        service, metering = self._service, self.metering
        runners = service.door.runners
        if runners is None or metering is None or not self._counting or not service.life.serving:
            return Gauges()
        gauges = runners.gauges()
        return gauges._replace(
            running=gauges.running - self._asking,
            streams=len(metering.counts.streams),
            connections=len(service.door.hub.links),
            http_connections=0 if service.http is None else service.http.connections,
            processes=1,
        )

    def close(self) -> None:
        for health in (self._health, *self._services.values()):
            health.close()
        if self._status is not None:
            self._status.close()
        if self.metering is not None:
            self.metering.close()

    def __repr__(self) -> str:
        return f"<Observation {self._health!r} {self.metering!r}>"
