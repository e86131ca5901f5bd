"""Ctrl-C at any step of a blocking call leaves a client that works: whoever calls next gets a definite outcome."""

from __future__ import annotations

import asyncio
import linecache
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import zerorpc
from tests.certificates import certificates
from tests.service.running import PATIENCE, TCP, eventually, serving
from zerorpc.keys import KeyPair
from zerorpc.transport.dialing import DialState

TIMEOUT = 3.0  # s a call
SOON = PATIENCE  # s for a call after the interrupted one: longer than its timeout
FILES = {"leading.py", "polling.py", "blocking_link.py", "link.py"}
KEYS = KeyPair.generate()
ROOMS = {"transport", "client"}
ENDING = {"blocking_link.py", "link.py", "polling.py", "blocking_peers.py", "request.py"}
OUTCOMES = (zerorpc.LostRemote, zerorpc.TimeoutExpired)
# CPython runs no signal handler between taking a lock and entering its block; a tracer does.
LOCKING = ("with self.lock", "with hub.lock", "with self.hub.lock")


async def echo(value: Any) -> Any:
    return value


# The calls that are interrupted. Where none is, they have to work, on a busy machine too.


def plain(client: zerorpc.Client) -> None:
    zerorpc.options(client, timeout=PATIENCE).echo("x")


def over_tls(client: zerorpc.Client) -> None:
    plain(client)


def over_curve(client: zerorpc.Client) -> None:
    plain(client)


def background(client: zerorpc.Client) -> None:
    zerorpc.options(client, timeout=PATIENCE, async_=True).echo("x").get(timeout=PATIENCE)


def cancelled(client: zerorpc.Client) -> None:
    zerorpc.options(client, timeout=PATIENCE, async_=True).echo("x").cancel()


KINDS = {
    plain: FILES,
    over_curve: {"sending.py", "curve_traffic.py", "polling.py", "blocking_link.py"},
    over_tls: {"blocking_tls.py", "tls.py", "leading.py", "polling.py", "blocking_link.py"},
    background: {"background.py", "blocking.py"},
    cancelled: {"background.py", "blocking.py"},
}


MORE_LINES = 90  # that one call may run more than another, where what it waits for isn't there yet


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupt_at_any_line_of_a_call_leaves_a_client_that_works(kind: Callable[[Any], None]) -> None:
    """Each line for a client of its own, all side by side: the slow ones wait for the interrupted to be found out."""
    tls = certificates().serves if kind is over_tls else None
    curve = zerorpc.Curve(KEYS.secret) if kind is over_curve else None
    with serving({"echo": echo}, bind=TCP if tls is None else f"tls+{TCP}", tls=tls, curve=curve) as server:
        endpoint = server.endpoints[0]
        lines = lines_of_a_call(endpoint, kind) + MORE_LINES
        attempts = [Attempt(endpoint, kind, line) for line in range(1, lines + 1)]
        for attempt in attempts:
            attempt.thread.start()
        deadline = time.monotonic() + 2 * PATIENCE
        for attempt in attempts:
            attempt.thread.join(max(0.0, deadline - time.monotonic()))
        problems = [f"{attempt.where}: {attempt.problem}" for attempt in attempts if attempt.problem]
        interrupted = {attempt.where for attempt in attempts if attempt.where}
        for attempt in attempts:
            if not attempt.problem:  # or its lock may be taken for good
                attempt.client.close()
    assert not problems, "\n".join(problems)
    assert len(interrupted) > 30, "the call's path was interrupted in few places only"
    assert {where.partition(":")[0] for where in interrupted} >= KINDS[kind]


def test_an_interrupt_at_any_line_of_the_end_of_a_connection_loses_no_call() -> None:
    """The keeper does the rest a moment later. By then another connection may have got a descriptor that was free."""
    line = 0
    with serving({"wait": wait_for_ever}) as server:
        while True:
            line += 1
            tracer = Tracer(end_connection, line, ENDING)
            with zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
                hub, call = client._core.hub, client.wait(async_=True)
                eventually(lambda hub=hub: any(link.peer.channels for link in hub.links.values()))
                with hub.lock:
                    (link,) = hub.links.values()
                    tracer.run(client)
                    link.peer.writable, link.closed = False, True  # as whoever is interrupted in the work on it sees to
                    ends = [end for _ in range(8) for end in socket.socketpair()]
                    for end in ends:
                        if end.fileno() == link.fileno:
                            hub.adopt(end)
                    hub._look_in_by = 0.0
                    hub.wake_keeper()
                with pytest.raises(zerorpc.LostRemote, match=r"interrupted|ended here"):
                    call.get(timeout=PATIENCE)
                eventually(lambda hub=hub, of=link.dialer: hub.dialing.state(of) is not DialState.IDLE)
            for end in ends:
                end.close()
            if not tracer.where:
                break
    assert line > 30, "it was interrupted in few places only"


def end_connection(client: zerorpc.Client) -> None:
    (link,) = client._core.hub.links.values()
    link.lose(zerorpc.LostRemote("ended here"))


async def wait_for_ever() -> None:
    await asyncio.Event().wait()


def lines_of_a_call(endpoint: str, kind: Callable[[Any], None]) -> int:
    """How many lines of the transport one call runs: about, since that depends on what is there to be read."""
    with client_of(endpoint, kind) as client:
        client.echo(0)
        kind(client)
        tracer = Tracer(kind, sys.maxsize)
        tracer.run(client)
        return tracer.lines


def client_of(endpoint: str, kind: Callable[[Any], None]) -> zerorpc.Client:
    tls = certificates().trusts if endpoint.startswith("tls") else None
    curve = zerorpc.Curve(server_key=KEYS.public) if kind is over_curve else None
    return zerorpc.Client(endpoint, timeout=TIMEOUT, tls=tls, curve=curve)


class Tracer:
    """Raises KeyboardInterrupt at the n-th line that a thread runs in the blocking transport, or around it."""

    def __init__(self, kind: Callable[[Any], None], line: int, files: set[str] | None = None) -> None:
        self._kind = kind
        self._files = files or FILES | KINDS[kind]
        self._rooms = {"transport", "zmtp", "mechanisms"} if kind in (plain, over_tls, over_curve) else ROOMS
        self.lines = 0
        self.where = ""
        self._line = line

    def run(self, client: zerorpc.Client) -> None:
        """One call, traced; it ends with its result, or interrupted."""
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            self._kind(client)
        except KeyboardInterrupt:
            assert self.where, "interrupted by somebody else"
        finally:
            sys.settrace(before)

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        path = Path(frame.f_code.co_filename)
        if path.parent.name not in self._rooms or path.name not in self._files or self.where:
            return None
        source = linecache.getline(str(path), frame.f_lineno).strip()
        if event == "line" and not source.startswith(LOCKING):
            self.lines += 1
            if self.lines == self._line:
                self.where = f"{path.name}:{frame.f_lineno} {source}"
                sys.settrace(None)
                raise KeyboardInterrupt
        return self._trace


class Attempt:
    """One client, one interrupted call, and the calls after it."""

    def __init__(self, endpoint: str, kind: Callable[[Any], None], line: int) -> None:
        self.problem = ""
        self.client = client_of(endpoint, kind)
        patient = zerorpc.options(self.client, timeout=PATIENCE)
        patient.echo("before")  # one client after the other: hundreds that connect at once take a busy machine seconds
        zerorpc.options(patient, async_=True).echo("before").get(timeout=PATIENCE)
        self.thread = threading.Thread(target=self._run, name=f"interrupted at {line}", daemon=True)
        self._tracer = Tracer(kind, line)

    @property
    def where(self) -> str:
        return self._tracer.where

    def _run(self) -> None:
        self.problem = "never ended"
        try:
            self._tracer.run(self.client)
            other = threading.Thread(target=self._call, args=("another thread",), daemon=True)
            self.problem = "the call from another thread never ended"
            other.start()
            other.join(2 * SOON)
            if other.is_alive():
                return
            self.problem = self._outcome
            if not self.problem:
                self._call("the same thread")
                self.problem = self._outcome
            if not self.problem:
                assert zerorpc.options(self.client, timeout=PATIENCE).echo("further") == "further"
        except BaseException as error:
            self.problem = f"a call that had to work raised {error!r}"

    def _call(self, who: str) -> None:
        """Set ``_outcome``: empty if the call ended soon, and with its result or a definite error."""
        began = time.monotonic()
        try:
            result = self.client.echo(who)
            self._outcome = "" if result == who else f"{who} got {result!r}"
        except OUTCOMES:
            self._outcome = ""
        except BaseException as error:
            self._outcome = f"the call from {who} raised {error!r}"
        if (took := time.monotonic() - began) > SOON:
            self._outcome += f" the call from {who} took {took:.1f} s"
