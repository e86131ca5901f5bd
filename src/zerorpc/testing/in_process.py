"""Clients of a service in the same process: no sockets, no port, everything else as it is over a network."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator

from zerorpc.client.asynchronous import AsyncClient
from zerorpc.client.blocking import Client
from zerorpc.compat.context import Context
from zerorpc.settings import HEARTBEAT, TIMEOUT
from zerorpc.testing.async_pair import AsyncPair
from zerorpc.testing.blocking_pair import BlockingPair
from zerorpc.testing.clock import Clock
from zerorpc.testing.faults import Faults
from zerorpc.testing.host import ServerHost

__all__ = ["async_client", "client"]


@contextlib.contextmanager
def client(
    service: object,
    *,
    clock: Clock | None = None,
    faults: Faults | None = None,
    context: Context | None = None,
    timeout: float | None = TIMEOUT,
    heartbeat: float | None = HEARTBEAT,
) -> Iterator[Client]:
    """A blocking ``zerorpc.Client`` of ``service``, with no sockets in between.

    ::

        with zerorpc.testing.client(Cooler()) as cooler:
            assert cooler.add_man("hi") == "hi, man!"

    Arguments: ``service`` is what a Server takes, an object, a module or a dict of functions; or a Server, with all
    that was registered, its middleware and its settings (but one process). The Server is used up, as by its ``run``:
    it can't be served again. ``clock`` is what zerorpc's times go by, if not the system's, and ``faults``
    what may go wrong on the connection. The others are as for ``zerorpc.Client``.

    Requests and replies are packed and unpacked as over a network, so a tuple arrives as a list, and what can't be
    sent is a SerializationError. Plain methods run on threads, ``async def`` ones in the thread that waits for the
    call, or in one of the client's for ``async_=True``: between calls they stand still. Such a coroutine can't itself
    make a blocking call with this client, which raises RuntimeError. When the ``with`` block ends, what still runs is
    cancelled.

    Raises TypeError for what can't be a service, and Closed for a Server that has served before. The client may be
    used by several threads at once, and in a coroutine, which it then blocks.
    """
    made = Client(None, context, timeout, heartbeat)
    pair = BlockingPair(ServerHost(service, clock), made, clock, faults)
    pair.open()
    try:
        yield pair.client
    finally:
        pair.close()


@contextlib.asynccontextmanager
async def async_client(
    service: object,
    *,
    clock: Clock | None = None,
    faults: Faults | None = None,
    context: Context | None = None,
    timeout: float | None = TIMEOUT,
    heartbeat: float | None = HEARTBEAT,
) -> AsyncIterator[AsyncClient]:
    """``client`` for coroutines: an ``AsyncClient``, and the service on the loop that runs here.

    ::

        async with zerorpc.testing.async_client(Cooler()) as cooler:
            assert await cooler.chill(0.1) == "chilled"

    Arguments and errors are those of ``client``. It belongs to the running loop, which has to be asyncio's or uvloop's.
    """
    made = AsyncClient(None, context, timeout, heartbeat)
    pair = AsyncPair(ServerHost(service, clock), made, clock, faults)
    try:
        await pair.open()
        yield pair.client
    finally:
        await pair.close()
