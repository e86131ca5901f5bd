"""What a process holds at this moment: memory, channels, links, tasks, threads, descriptors."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import resource
import sys
import threading
from typing import Any

from benchmarks.peers.harness import resident
from zerorpc.protocol.channel import ClientChannel
from zerorpc.protocol.server_channel import ServerChannel
from zerorpc.transport.aio_link import AioLink
from zerorpc.transport.blocking_link import BlockingLink

CHANNELS = (ClientChannel, ServerChannel)
LINKS = (AioLink, BlockingLink)
POOL = "zerorpc-worker-"  # how the names of a server's worker threads begin,
KEPT = 2  # and how many it keeps when they are idle


def state() -> dict[str, Any]:
    """All of it, once garbage is collected and the C library has given back what it only kept."""
    for _ in range(3):  # what a finalizer lets go may be garbage in turn
        gc.collect()
    with contextlib.suppress(AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)
    kinds = [type(thing) for thing in gc.get_objects()]
    threads = [thread.name for thread in threading.enumerate()]
    return {
        "rss": resident(os.getpid()),
        "blocks": sys.getallocatedblocks(),  # of Python's own allocator: to the object, where RSS is by pages
        "objects": len(kinds),
        "channels": sum(kinds.count(kind) for kind in CHANNELS),
        "links": sum(kinds.count(kind) for kind in LINKS),
        "tasks": _tasks(),
        "threads": sorted(name for name in threads if not name.startswith(POOL)),
        "workers": sum(name.startswith(POOL) for name in threads),
        "descriptors": descriptors(),
        "complaints": list(complaints.messages),
    }


def _tasks() -> int:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:  # there is no loop, or it doesn't run
        return 0


def descriptors() -> int:
    """How many are open, one of them in order to count them."""
    return len(os.listdir("/proc/self/fd")) - 1


class Complaints(logging.Handler):
    """What asyncio logs: exceptions that nobody took, tasks destroyed while pending."""

    KEPT = 20

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.messages) < self.KEPT:
            self.messages.append(self.format(record))


complaints = Complaints()


def listen_to_complaints() -> None:
    """And let the log of what methods raise on purpose go nowhere."""
    logging.getLogger("asyncio").addHandler(complaints)
    logging.getLogger("zerorpc").addHandler(logging.NullHandler())
    logging.getLogger("zerorpc").propagate = False


def raise_limit() -> None:
    """To as many descriptors as this process may have."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
