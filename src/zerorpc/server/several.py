"""A server in several processes: what its parent does, and what each of those that serve does differently.

The parent runs ``supervise``: it accepts connections and hands them out (``Supervisor``). It forks processes that
run ``work``: as any server, except that connections and the request to stop come from the parent.
"""

from __future__ import annotations

import contextlib
import functools
import signal
from typing import Any

from zerorpc.errors import EndpointError
from zerorpc.server.life import Act, Life, Service
from zerorpc.server.supervisor import Supervisor
from zerorpc.transport.handover import LISTENERS_MAX, Intake

__all__ = ["supervise", "work"]


def supervise(service: Service) -> None:
    """The parent's part: until all processes have ended."""
    life, hub = service.life, service.hub
    life.take(Act.BEGIN)
    try:
        supervisor = _supervisor(service)
    except BaseException:
        life.take(Act.CALL_OFF)
        raise
    try:
        hub.seal()
        life.woken = supervisor.wake
        supervisor.run()
    finally:
        life.woken = None
        life.take(Act.END)


def _supervisor(service: Service) -> Supervisor:
    """Raises EndpointError or RuntimeError where there can't be several processes."""
    hub, settings = service.hub, service.settings
    for endpoint in (*hub.listeners, *hub.dialers):
        if endpoint.startswith("inproc:"):
            raise EndpointError(endpoint, f"it reaches one process only, not processes={settings.processes}")
    if len(hub.listeners) > LISTENERS_MAX:
        raise RuntimeError(f"processes={settings.processes} can listen on {LISTENERS_MAX} endpoints at most")

    def begin(intake: Intake, mask: set[Any]) -> None:
        work(service, intake, mask)

    slabs = service.observation.share(settings.processes)
    return Supervisor(service.life, list(hub.listeners.values()), settings, begin, service.stop_listening, slabs)


def work(service: Service, intake: Intake, mask: set[Any]) -> None:
    """One of the processes: serve what the parent hands over, until it says stop. ``mask`` are the signals to hold back
    from when it can take them.
    """
    service.life = Life()  # what was copied is the parent's
    service.intake = intake
    service.on_signal = functools.partial(_heed, service)
    service.door.on_lost = intake.lost
    intake.obey(service.stop, service.force, service.observation.watch)
    service.hub.leave_listening()
    with contextlib.suppress(KeyboardInterrupt):  # by a handler of the program's; the parent's raises it too
        service.run(mask)


def _heed(service: Service, number: int, error: BaseException | None) -> None:
    """A terminal's Ctrl-C reaches the parent too, which tells us. Any other signal means this process alone: the first
    one drains, the second one forces. Perhaps the parent tells us to stop at the same moment: that is no second one.
    """
    if number == signal.SIGINT and error is None:
        return
    intake = service.intake
    assert intake is not None
    if intake.alone:
        service.force()
    intake.alone = True
    service.stop()
