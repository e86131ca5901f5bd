"""What systemd wants to know of a service that it has started: sd_notify(3), ``Type=notify`` and ``WatchdogSec=``."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping
from math import inf
from time import monotonic

__all__ = ["Systemd"]


class Systemd:
    """Tells it, by datagrams to its socket. One that can't be sent is let go: systemd then acts as if it had hung."""

    def __init__(self, address: str, interval: float = inf) -> None:
        self.due: float = inf  # when it has to hear again that we live, by ``time.monotonic()``
        self._address = f"\0{address[1:]}" if address.startswith("@") else address  # "@": an abstract one
        self._interval = interval
        self._told_ready = False
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Systemd | None:
        """None for a program that systemd has not started, or that it asks for nothing."""
        address = environment.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")) or not hasattr(socket, "AF_UNIX"):
            return None
        microseconds, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", str(os.getpid()))
        watches = microseconds.isdecimal() and int(microseconds) > 0 and pid == str(os.getpid())
        return cls(address, int(microseconds) / 2e6 if watches else inf)  # twice as often, as it recommends

    def ready(self) -> None:
        """The server serves. Safe to call again."""
        if not self._told_ready:
            self._told_ready = True
            self._send("READY=1")
            self.watch(monotonic())

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def watch(self, now: float) -> None:
        """Tell that we live, if it is time. Who calls this and waits until ``due`` shows that it does its work."""
        if self._told_ready and (self.due == inf or now >= self.due) and self._interval < inf:
            self.due = now + self._interval
            self._send("WATCHDOG=1")

    def watch_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """The same on an event loop, until ``close``: one that is blocked tells nothing."""
        self.watch(monotonic())
        if self._interval < inf:
            self._timer = loop.call_later(max(0.0, self.due - monotonic()), self.watch_on, loop)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _send(self, state: str) -> None:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(state.encode(), self._address)

    def __repr__(self) -> str:
        return f"<Systemd {'ready' if self._told_ready else 'starting'}>"
