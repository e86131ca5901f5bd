"""A server in several processes: the parent starts them, hands connections out, and replaces those that end.

The parent runs no method, no thread and no event loop, so that it can fork again at any time, into a process that has
none of another's state. It is the only one that ever listens: while a process is replaced, connections wait or go to
the others, and none is refused.
"""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from zerorpc.logs import Logger
from zerorpc.runtime.forked_process import ForkedProcess
from zerorpc.runtime.signals import ENDING, Signals, hold_signals, release_signals
from zerorpc.server.life import Act, Life, State
from zerorpc.server.reception import Reception
from zerorpc.server.slabs import Slabs
from zerorpc.server.systemd import Systemd
from zerorpc.settings import ServerSettings
from zerorpc.transport.handover import Intake, Outlet
from zerorpc.transport.sockets import Listener

__all__ = ["Restarts", "Supervisor"]

logger: Logger = Logger("zerorpc.server")

_STEADY = 1.0  # s; a process that lived so long was no failed start: it is replaced at once
_START_MAX = 30.0  # s; one that takes longer hangs, on a lock perhaps that a thread of the parent held
_FIRST_DELAY = 0.1  # s until one that failed to start is tried again, doubling
_LONGEST_DELAY = 10.0  # s
_OVERTIME = 10.0  # s that a process may take beyond its grace: cancelling takes 5 s at most, sending what waits 5 s
_PAUSE = 0.1  # s without anything after a failure of ours


class Restarts:
    """How long to wait before a process that ended is replaced. Exponential for one that ends again and again."""

    def __init__(self) -> None:
        self._failures = 0

    def delay(self, lived: float) -> float:
        """The process ended after so many seconds; how many to wait now."""
        if lived >= _STEADY:
            self._failures = 0
            return 0.0
        self._failures += 1
        return min(_FIRST_DELAY * 2.0 ** min(self._failures - 1, 30), _LONGEST_DELAY)


class Supervisor:
    """The parent's part of a server: starts the processes, feeds them, replaces them, ends them.

    Arguments: the server's ``life``: what asks that to stop is to ``wake`` this; ``listeners`` where to accept; the
    ``settings``; ``work`` is a process's life, called in each of them with its intake and the signals to let through
    once it can take them; ``stop_listening`` closes the listeners; ``slabs`` is where they put what they have counted.
    """

    def __init__(
        self,
        life: Life,
        listeners: list[Listener],
        settings: ServerSettings,
        work: Callable[[Intake, set[Any]], None],
        stop_listening: Callable[[], None],
        slabs: Slabs | None = None,
    ) -> None:
        count = settings.processes
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(f"processes={count} needs run() on the main thread, where signals arrive")
        self._life = life
        self._work = work
        self._stop_listening = stop_listening
        self._slabs = slabs
        self._systemd = Systemd.of(os.environ)
        self._grace = settings.grace
        self._slots = [_Slot(number) for number in range(1, count + 1)]
        self._workers: list[_Worker] = []  # all that live, also those that leave
        self._selector = selectors.DefaultSelector()
        self._reception = Reception(listeners, self._selector, self._outlets, self._starting)
        self._signals = Signals(*ENDING, signal.SIGCHLD)
        self._raised: BaseException | None = None  # by a handler of the program's
        self._stopping = False  # the processes have been told
        self._kill_at = math.inf

    # Its life

    def run(self) -> None:
        """Run until everything has ended, because the life is to end, of a signal, or a process's wish."""
        try:
            held = hold_signals()
            self._signals.take()
            release_signals(held)
            self._selector.register(self._signals.wakeups, selectors.EVENT_READ, self._wake)
            self._wake()  # stopped before it began?
            for slot in self._slots:
                if not self._stopping:
                    self._start(slot)
            while self._workers or not self._stopping:
                try:
                    self._turn()
                except Exception as error:
                    logger.error("what feeds the server processes failed, and goes on", raised=error)
                    time.sleep(_PAUSE)  # it may fail again
        finally:
            self._stop_listening()
            for worker in self._workers:  # only after an error of ours
                worker.end()
            self._close()
        if self._raised is not None:
            raise self._raised

    def wake(self) -> None:
        """Have a look at the life. Safe from any thread, and when it is over."""
        self._signals.ring()

    def _turn(self) -> None:
        self._reception.listen(time.monotonic())
        for key, _ in self._selector.select(self._patience(time.monotonic())):
            key.data()
        now = time.monotonic()
        for slot in self._slots:
            if slot.start_at <= now and not self._stopping:
                self._restart(slot)
        self._kill_overdue(now)
        self._reception.assign()
        if self._systemd is not None:
            self._tell(self._systemd, now)

    def _tell(self, systemd: Systemd, now: float) -> None:
        if self._workers and not self._stopping and all(worker.outlet.ready for worker in self._workers):
            systemd.ready()
        systemd.watch(now)

    def _kill_overdue(self, now: float) -> None:
        ending = now >= self._kill_at
        for worker in self._workers:
            if ending or now >= worker.ready_by:
                logger.error("%s has not %s in time and is killed", worker, "ended" if ending else "started")
                worker.ready_by = math.inf
                worker.process.kill()
        if ending:
            self._kill_at = math.inf

    def _patience(self, now: float) -> float | None:
        """How long nothing has to be done unless something happens."""
        times = [self._kill_at, *(worker.ready_by for worker in self._workers)]
        if self._systemd is not None:
            times.append(self._systemd.due)
        if not self._stopping:
            times += [slot.start_at for slot in self._slots]
            times += self._reception.due(now)
        soonest = min(times)
        return None if soonest == math.inf else max(0.0, soonest - now)

    def _close(self) -> None:
        for worker in self._workers:
            worker.outlet.close()
        self._reception.drop()
        self._selector.close()
        self._signals.close()

    # Signals

    def _wake(self) -> None:
        for number, error in self._signals.arrived():
            if self._raised is None:
                self._raised = error
            if number in ENDING or error is not None:
                self._on_signal()
        if self._life.stopping:
            self._begin_to_stop()
        self._reap()  # whatever it was: one signal may stand for several

    def _on_signal(self) -> None:
        """The first one drains, the second one forces the shutdown, the third one kills."""
        if not self._stopping:
            self._begin_to_stop()
        elif self._life.state is not State.FORCED:
            self._life.take(Act.FORCE)
            self._kill_at = min(self._kill_at, time.monotonic() + _OVERTIME)
            for worker in self._workers:
                worker.outlet.force()
        else:
            self._kill_at = 0.0

    def _begin_to_stop(self) -> None:
        if self._stopping:
            return
        self._stopping = True
        if self._systemd is not None:
            self._systemd.stopping()
        self._life.take(Act.STOP)
        self._kill_at = time.monotonic() + self._grace + _OVERTIME
        self._reception.end()
        self._stop_listening()
        for worker in self._workers:
            worker.outlet.stop()

    # Processes

    def _start(self, slot: _Slot) -> None:
        """Fork. Raises OSError when the system has no room for one more."""
        ours, theirs = socket.socketpair()
        slot.start_at = math.inf
        slot.started = time.monotonic()
        row = None if self._slabs is None else self._slabs.take()
        mask = hold_signals()  # the child lets them through when it heeds them
        try:
            name = f"zerorpc-{slot.number}"
            process = ForkedProcess(target=self._become_worker, args=(ours, theirs, mask), name=name)
            process.start()
        except BaseException:
            ours.close()
            self._give_back(row)
            raise
        finally:
            release_signals(mask)
            theirs.close()
        worker = _Worker(slot, process, Outlet(ours), row)
        self._workers.append(worker)
        self._selector.register(worker.outlet, selectors.EVENT_READ, lambda: self._heed(worker))

    def _restart(self, slot: _Slot) -> None:
        try:
            self._start(slot)
        except Exception as error:
            slot.start_at = time.monotonic() + slot.restarts.delay(0.0)
            logger.error("a server process can't be started, it will be tried again: %s", error)

    def _become_worker(self, ours: socket.socket, theirs: socket.socket, mask: set[Any]) -> None:
        """In the child: let go of all that is the parent's, and work."""
        ours.close()
        self._close()
        self._work(Intake(theirs), mask)

    def _heed(self, worker: _Worker) -> None:
        """The process said something."""
        if not worker.is_heard:  # it ended in this very turn
            return
        outlet = worker.outlet
        if not outlet.read():
            self._unhear(worker)
        if outlet.ready:
            worker.ready_by = math.inf
        self._reception.take_back(outlet.take_back())
        if outlet.is_watched:
            outlet.is_watched = False
            for other in self._workers:
                if other is not worker:
                    other.outlet.watch()
        if outlet.stops_all:
            self._begin_to_stop()
        elif outlet.leaving:
            self._replace(worker)

    def _replace(self, worker: _Worker) -> None:
        """Have another in its slot, though it may still be busy ending."""
        slot = worker.slot
        if slot is not None and not self._stopping:
            slot.start_at = time.monotonic() + slot.restarts.delay(time.monotonic() - slot.started)
            worker.slot = None

    def _reap(self) -> None:
        """Find those that have ended."""
        for worker in list(self._workers):
            code = worker.exit_code()
            if code is None:
                continue
            worker.outlet.leaving = True  # so that what it didn't take goes elsewhere
            self._heed(worker)
            self._unhear(worker)  # a process that it started itself may keep its end open
            self._workers.remove(worker)
            worker.close()
            self._give_back(worker.row)
            if code:
                after = "" if self._stopping else "; it is replaced"
                logger.warning("%s ended with %s%s", worker, _exit_text(code), after)

    def _give_back(self, row: int | None) -> None:
        if self._slabs is not None:
            self._slabs.give_back(row)

    def _unhear(self, worker: _Worker) -> None:
        if worker.is_heard:
            worker.is_heard = False
            self._selector.unregister(worker.outlet)

    def _outlets(self) -> list[Outlet]:
        return [worker.outlet for worker in self._workers]

    def _starting(self) -> list[float]:
        return [each.slot.started for each in self._workers if each.slot is not None and not each.outlet.ready]

    def __repr__(self) -> str:
        return f"<Supervisor {'stopping' if self._stopping else 'running'} {self._outlets()}>"


class _Slot:
    """One of the ``count`` processes that there ought to be, whichever it is at the time."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.restarts = Restarts()
        self.started = 0.0
        self.start_at = math.inf


class _Worker:
    """One process, as its parent knows it."""

    def __init__(self, slot: _Slot, process: ForkedProcess, outlet: Outlet, row: int | None) -> None:
        self.row = row  # of the slabs
        self.slot: _Slot | None = slot  # None once another has it
        self.process = process
        self.outlet = outlet
        self.pid = process.pid
        self.is_heard = True
        self.ready_by = slot.started + _START_MAX

    def exit_code(self) -> int | None:
        """None while it lives. Its parent's program may have waited for all of its children: then we say 0."""
        code = self.process.exitcode
        if code is None:
            assert self.pid is not None
            try:
                os.kill(self.pid, 0)
            except ProcessLookupError:
                return 0
        return code

    def end(self) -> None:
        """Have it end, and wait for it."""
        self.outlet.close()
        self.process.join(_OVERTIME)
        self.process.kill()
        self.process.join()

    def close(self) -> None:
        self.process.join()
        with contextlib.suppress(ValueError):  # another has waited for it, and multiprocessing thinks that it lives
            self.process.close()
        self.outlet.close()

    def __str__(self) -> str:
        return f"server process {self.pid}"


def _exit_text(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
