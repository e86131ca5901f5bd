"""Names looked up for an event loop, each on a daemon thread of its own.

Not by the loop's default executor: a program would wait at its end for a resolver that hangs, and the executor takes
nothing more once the main thread has ended, while a server on another goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading

from zerorpc.runtime import threads
from zerorpc.transport.endpoints import Address, Endpoint, resolve

__all__ = ["look_up"]


async def look_up(endpoint: Endpoint) -> list[Address]:
    """``resolve`` without blocking the loop. Raises OSError, also when there is no thread left to do it.

    Cancelled, it leaves the thread to end by itself when the system answers.
    """
    if sys.is_finalizing():  # no thread runs any more
        return resolve(endpoint)
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Address]] = loop.create_future()

    def work() -> None:
        try:
            addresses = resolve(endpoint)
        except Exception as error:
            tell(None, error)
        else:
            tell(addresses, None)

    def tell(addresses: list[Address] | None, error: Exception | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, addresses, error)

    def settle(addresses: list[Address] | None, error: Exception | None) -> None:
        if answer.done():  # cancelled
            return
        if error is not None:
            answer.set_exception(error)
        else:
            assert addresses is not None
            answer.set_result(addresses)

    try:
        threads.start(threading.Thread(target=work, name="zerorpc-lookup", daemon=True))
    except (RuntimeError, MemoryError) as error:
        raise OSError(f"no thread could be started to look up the name {endpoint.host!r}: {error}") from error
    return await answer
