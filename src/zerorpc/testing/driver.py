"""An event loop that has no thread: whoever waits for something of it makes it turn."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from threading import get_ident
from typing import Any, TypeVar

from zerorpc.runtime.loops import running_loop

__all__ = ["Driver"]

_GRACE = 1.0  # s that tasks get to end, once they are cancelled
_LOOK_UP = 0.05  # s; as a signal handler's call, which may wait for its own thread
_STUCK = 10.0  # s after which a coroutine that doesn't give the loop back is reported

T = TypeVar("T")


class Driver:
    """Turns a loop of its own in the threads that call it, one at a time. Safe from any thread."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop = asyncio.new_event_loop()
        self._by: int | None = None  # the thread that turns it
        self._wanted = 0  # by so many threads that go before those that only wait
        self._free = threading.Condition()  # told when it is not turned any more

    def wait(self, seconds: float) -> None:
        """Turn the loop until ``wake``, for at most so long. If another thread does, wait for that one a little.

        RuntimeError in a coroutine of this loop, which would wait for itself.
        """
        if self._by == get_ident():
            raise RuntimeError(
                "a coroutine of the service has made a blocking call to its own in-process client, and would wait for "
                "itself: make it in a plain method, or with zerorpc.testing.async_client"
            )
        with self._free:
            if self._by is not None or self._wanted:
                self._free.wait(min(seconds, _LOOK_UP))
                return
            self._by = get_ident()
        try:
            self._turn(seconds)
        finally:
            self._release()

    def wake(self) -> None:
        """End ``wait``: now, or the next one."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.loop.stop)

    def run(self, act: Callable[[], None], turns: int = 1) -> None:
        """``act()`` on the loop, which then turns some more. Raises what that raises.

        RuntimeError in a coroutine of this loop, and when another thread turns it, and one of its coroutines doesn't
        give it back for 10 s.
        """

        async def acting() -> None:
            act()
            for _ in range(turns):
                await asyncio.sleep(0)

        self.complete(acting())

    def complete(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, and return what it returns. RuntimeError as for ``run``."""
        if self._by == get_ident():
            work.close()
            raise RuntimeError("this is a coroutine of the service: await what is to be done here")
        with self._free:
            self._wanted += 1
            self.wake()
            is_free = self._free.wait_for(lambda: self._by is None, _STUCK)
            self._wanted -= 1
            if not is_free:
                work.close()
                raise RuntimeError(f"a coroutine of the service has kept its event loop for {_STUCK:g} s")
            self._by = get_ident()
        try:
            return self._apart(lambda: self._run_to_end(work))
        finally:
            self._release()

    def _run_to_end(self, work: Coroutine[Any, Any, T]) -> T:
        task = self.loop.create_task(work)
        task.add_done_callback(lambda _: self.loop.stop())
        while not task.done():  # ``wake`` stops the loop as well
            self.loop.run_forever()
        return task.result()

    def _turn(self, seconds: float) -> None:
        loop = self.loop
        timer = loop.call_later(seconds, loop.stop) if seconds > 0 else loop.call_soon(loop.stop)
        try:
            self._apart(loop.run_forever)
        finally:
            timer.cancel()

    def _apart(self, run: Callable[[], T]) -> T:
        """``run()`` in this thread; or in another, where an event loop is at work in this one."""
        if running_loop() is None:
            return run()
        outcome: list[T] = []
        failed: list[BaseException] = []

        def run_there() -> None:
            self._by = get_ident()
            try:
                outcome.append(run())
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=run_there, name="zerorpc-testing", daemon=True)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]
        return outcome[0]

    def _release(self) -> None:
        with self._free:
            self._by = None
            self._free.notify_all()

    def close(self) -> None:
        """End what still runs on the loop, and the loop. Safe to call twice."""
        if self.loop.is_closed():
            return
        try:
            self.complete(self._end_tasks())
        finally:
            self.loop.close()

    async def _end_tasks(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_GRACE)
        await self.loop.shutdown_asyncgens()
        await self.loop.shutdown_default_executor()

    def __repr__(self) -> str:
        state = "closed" if self.loop.is_closed() else "idle" if self._by is None else "turning"
        return f"<Driver {state}>"
