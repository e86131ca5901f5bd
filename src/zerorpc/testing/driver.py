"""An event loop that has no thread: whoever waits for something of it makes it turn."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from threading import get_ident
from typing import Any, TypeVar

from zerorpc.runtime.loops import running_loop

__all__ = ["Driver", "Over", "WaitsForItself"]

_GRACE = 1.0  # s that tasks get to end, once they are cancelled
_LOOK_UP = 0.05  # s; as a signal handler's call, which may wait for its own thread
_STUCK = 10.0  # s after which a coroutine that doesn't give the loop back is reported

T = TypeVar("T")


class WaitsForItself(RuntimeError):
    """A coroutine of the loop has called what would turn it. Nothing was changed."""


class Over(RuntimeError):
    """The loop is closed. Nothing was begun."""


class Driver:
    """Turns a loop of its own in the threads that call it, one at a time. Safe from any thread."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop = asyncio.new_event_loop()
        self._by: int | None = None  # the thread that turns it
        self._wanted = 0  # by so many threads that go before those that only wait
        self._free = threading.Condition()  # told when it is not turned any more

    def wait(self, seconds: float) -> None:
        """Turn the loop until ``wake``, for at most so long. If another thread does, wait for that one a little.

        WaitsForItself in a coroutine of this loop.
        """
        if self._is_turning_here:
            raise WaitsForItself(
                "a coroutine of the service has made a blocking call to its own in-process client, and would wait for "
                "itself: make it in a plain method, or with zerorpc.testing.async_client"
            )
        me = get_ident()
        try:
            with self._free:
                if self._by not in (None, me) or self._wanted:
                    self._free.wait(min(seconds, _LOOK_UP))
                    return
                self._by = me
            if not self.loop.is_closed():
                self._turn(seconds)
        finally:
            self._release(me)

    @property
    def _is_turning_here(self) -> bool:
        """Whether a coroutine of the loop has called this. (An interrupt may leave ``_by`` behind.)"""
        return self._by == get_ident() and self.loop.is_running()

    def wake(self) -> None:
        """End ``wait``: now, or the next one."""
        with contextlib.suppress(RuntimeError):  # it is closed
            self.loop.call_soon_threadsafe(self.loop.stop)

    def run(self, act: Callable[[], None], turns: int = 1) -> None:
        """``act()`` on the loop, which then turns some more. Raises what that raises.

        WaitsForItself in a coroutine of this loop; RuntimeError when another thread turns it, and a coroutine there
        doesn't give it back for 10 s; Over when it is closed.
        """

        async def acting() -> None:
            act()
            for _ in range(turns):
                await asyncio.sleep(0)

        self.complete(acting())

    def complete(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, and return what it returns. Raises what ``run`` raises."""
        if self._is_turning_here:
            work.close()
            raise WaitsForItself("this is a coroutine of the service: await what is to be done here")
        me = get_ident()
        try:
            try:
                self._take(me)
                if self.loop.is_closed():
                    raise Over("the in-process client is closed")
            except BaseException:
                work.close()
                raise
            return self._apart(lambda: self._run_to_end(work))
        finally:
            self._release(me)

    def _take(self, me: int) -> None:
        """Before all that only wait."""
        with self._free:
            self._wanted += 1
            try:
                self.wake()
                if not self._free.wait_for(lambda: self._by in (None, me), _STUCK):
                    raise RuntimeError(f"a coroutine of the service has kept its event loop for {_STUCK:g} s")
            finally:
                self._wanted -= 1
            self._by = me

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
        me = get_ident()

        def run_there() -> None:
            self._by = get_ident()
            try:
                outcome.append(run())
            except BaseException as error:
                failed.append(error)
            finally:
                self._by = me

        thread = threading.Thread(target=run_there, name="zerorpc-testing", daemon=True)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]
        return outcome[0]

    def _release(self, me: int) -> None:
        if self._by == me:
            with self._free:
                self._by = None
                self._free.notify_all()

    def close(self) -> None:
        """End what still runs on the loop, and the loop. Safe to call twice."""
        me = get_ident()
        try:
            self._take(me)
            if not self.loop.is_closed():
                self._apart(lambda: self._run_to_end(self._end_tasks()))
        finally:
            if not self.loop.is_running():
                self.loop.close()
            self._release(me)

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
