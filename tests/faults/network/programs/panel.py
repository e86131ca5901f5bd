"""The patch panel: cables between network ports, each a pair of directions with faults of its own.

Runs in a network namespace that has one end of each host's veth pair. Ethernet frames come in on one port of a cable
and go out on the other: dropped, late, out of order, few or no longer than so much, as told. So neither host sees its
link go down when "the cable" is cut. This is what tc's netem does, in 100 lines: not every kernel has sch_netem, and
here chance has a seed.

One order a line in JSON on stdin, one answer a line on stdout: {"number": ..., "at": time.monotonic()}.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import heapq
import itertools
import json
import os
import random
import selectors
import socket
import struct
import sys
import time
from typing import Any

_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23
_SO_RCVBUFFORCE, _SO_SNDBUFFORCE = 33, 32
_BUFFER = 4 * 1024 * 1024
_SIOCETHTOOL = 0x8946
_OFFLOADS = (0x17, 0x1F, 0x24)  # ETHTOOL_STXCSUM, STSO, SGSO
_QUEUED_MAX = 0.2  # s that a frame may wait where the rate is limited; what comes then is dropped, as routers do
_BATCH = 64  # frames from one port before the others have their turn


class Direction:
    """Frames towards one port, and what happens to them on the way."""

    def __init__(self, out: socket.socket, seed: str) -> None:
        self.out = out
        self._chance = random.Random(seed)
        self._busy_until = 0.0
        self.set()

    def set(
        self,
        cut: bool = False,
        loss: float = 0.0,
        delay: float = 0.0,
        jitter: float = 0.0,
        rate: float | None = None,
        largest: int | None = None,
    ) -> None:
        """``loss`` of 1; ``delay`` in seconds, and up to ``jitter`` more; ``rate`` in bit/s; ``largest`` in octets."""
        self._cut, self._loss, self._delay, self._jitter = cut, loss, delay, jitter
        self._rate, self._largest = rate, largest

    def when(self, size: int, now: float) -> float | None:
        """When a frame of so many octets goes out; None: never."""
        if self._cut or (self._largest is not None and size > self._largest):
            return None
        if self._loss and self._chance.random() < self._loss:
            return None
        at = now + self._delay + (self._jitter and self._chance.uniform(0, self._jitter))
        if self._rate is None:
            return at
        begins = max(now, self._busy_until)
        if begins - now > _QUEUED_MAX:
            return None
        self._busy_until = begins + size * 8 / self._rate
        return at + (self._busy_until - now)


class Panel:
    """All cables of one namespace."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._cables: dict[str, tuple[Direction, Direction]] = {}
        self._ports: dict[str, socket.socket] = {}
        self._way: dict[str, Direction] = {}  # where what comes in on a port goes
        self._late: list[tuple[float, int, Direction, bytes]] = []
        self._count = itertools.count()

    # Orders

    def join(self, cable: str, ports: list[str]) -> None:
        """Lay a cable between two ports, or move an old one to them. Its faults stay."""
        ends = [self._port(name) for name in ports]
        if cable in self._cables:
            self._way = {port: way for port, way in self._way.items() if way not in self._cables[cable]}
        else:
            self._cables[cable] = (Direction(ends[0], f"{cable}-0"), Direction(ends[1], f"{cable}-1"))
        for index, direction in enumerate(self._cables[cable]):
            direction.out = ends[index]
            self._way[ports[1 - index]] = direction

    def set(self, cable: str, towards: list[int], **faults: Any) -> None:
        """Put faults on a cable, towards its ends 0, 1 or both; without any, it is as good as new."""
        for index in towards:
            self._cables[cable][index].set(**faults)

    def plain(self, interfaces: list[str]) -> None:
        """Have the system make frames as they look on a real wire: of one packet each, with their checksums."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for name in interfaces:
                for command in _OFFLOADS:
                    value = bytearray(struct.pack("II", command, 0))
                    request = struct.pack("16sP", name.encode(), _address_of(value))
                    fcntl.ioctl(sock.fileno(), _SIOCETHTOOL, request)

    def _port(self, name: str) -> socket.socket:
        port = self._ports.get(name)
        if port is None:
            port = self._ports[name] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
            port.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            port.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
            port.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _BUFFER)
            port.setblocking(False)
            port.bind((name, 0))
            self._selector.register(port, selectors.EVENT_READ, name)
        return port

    # Work

    def run(self) -> None:
        """Until stdin ends."""
        os.set_blocking(0, False)
        self._selector.register(0, selectors.EVENT_READ, None)
        orders = b""
        while True:
            timeout = max(0.0, self._late[0][0] - time.monotonic()) if self._late else None
            for key, _ in self._selector.select(timeout):
                if key.data is not None:
                    self._carry(key.fileobj, self._way.get(key.data))  # type: ignore[arg-type]
                    continue
                data = os.read(0, 65536)
                if not data:
                    return
                *lines, orders = (orders + data).split(b"\n")
                for line in lines:
                    self._obey(json.loads(line))
            self._send_late()

    def _obey(self, order: dict[str, Any]) -> None:
        number = order.pop("number")
        getattr(self, order.pop("do"))(**order)
        sys.stdout.write(json.dumps({"number": number, "at": time.monotonic()}) + "\n")
        sys.stdout.flush()

    def _carry(self, port: socket.socket, way: Direction | None) -> None:
        for _ in range(_BATCH):
            try:
                frame = port.recv(65536)
            except OSError:  # nothing more; or the port's host is gone
                return
            if way is None:
                continue
            now = time.monotonic()
            at = way.when(len(frame), now)
            if at is not None and at > now:
                heapq.heappush(self._late, (at, next(self._count), way, frame))
            elif at is not None:
                _send(way, frame)

    def _send_late(self) -> None:
        now = time.monotonic()
        while self._late and self._late[0][0] <= now:
            _, _, way, frame = heapq.heappop(self._late)
            _send(way, frame)


def _send(way: Direction, frame: bytes) -> None:
    with contextlib.suppress(OSError):  # no room, or nobody there: a wire doesn't care
        way.out.send(frame)


def _address_of(buffer: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


if __name__ == "__main__":
    Panel().run()
