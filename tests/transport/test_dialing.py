"""Threads that connect: they end as soon as nobody wants the connection any more."""

from __future__ import annotations

import contextlib
import itertools
import linecache
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import zerorpc
from tests.service.running import PATIENCE, eventually, serving, unused_port
from zerorpc.transport import dialing
from zerorpc.transport.blocking_link import BlockingLink
from zerorpc.transport.dialing import DialState
from zerorpc.transport.polling import Polling


def test_closing_ends_a_connection_attempt_that_nobody_answers_at_once() -> None:
    """A listener whose backlog is full swallows connection attempts."""
    with socket.socket() as silent, contextlib.ExitStack() as stack:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
        client = zerorpc.Client(f"tcp://127.0.0.1:{silent.getsockname()[1]}")
        dial = next(iter(client._core.hub.dialing.threads.values()))
        eventually(lambda: dial._sock is not None)
        time.sleep(0.05)  # not for a condition: until it is connecting, most likely
        client.close()
        dial.join(2.0)
        assert not dial.is_alive(), "it goes on for the 3 s that an attempt takes"


def test_disconnecting_ends_a_pause_between_attempts_at_once() -> None:
    endpoint = f"tcp://127.0.0.1:{unused_port()}"
    with zerorpc.Client(endpoint) as client:
        hub = client._core.hub
        dial = next(iter(hub.dialing.threads.values()))
        eventually(lambda: "refused" in hub.describe())
        client.disconnect(endpoint)
        dial.join(PATIENCE)
        assert not dial.is_alive()
        assert not hub.dialing.threads


def test_what_a_dialer_is_from_connect_to_disconnect(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = f"tcp://127.0.0.1:{unused_port()}"
    with zerorpc.Client(timeout=PATIENCE, heartbeat=None) as client:
        hub = client._core.hub
        client.connect(endpoint)
        (dialer,) = hub.dialers.values()
        assert hub.dialing.state(dialer) is DialState.DIALING
        eventually(lambda: "refused" in hub.describe())
        assert hub.dialing.state(dialer) is DialState.DIALING
        assert repr(hub.dialing).startswith(f"<BlockingDialing [<Dialer {endpoint} ")
        with serving({"echo": lambda value: value}, bind=endpoint):
            assert client.echo(1) == 1
            assert hub.dialing.state(dialer) is DialState.CONNECTED
            with hub.lock, monkeypatch.context() as patch:
                patch.setattr(threading.Thread, "start", no_thread)
                for link in list(hub.links.values()):
                    link.lose(zerorpc.LostRemote("in a test"))
                assert hub.dialing.state(dialer) is DialState.IDLE
            eventually(lambda: hub.dialing.state(dialer) is not DialState.IDLE, "the keeper begins")
            assert client.echo(2) == 2
            client.disconnect(endpoint)
            assert hub.dialing.state(dialer) is DialState.CLOSED


def no_thread(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_only_what_is_idle_is_begun() -> None:
    """Whoever comes second changes nothing."""
    with serving({"echo": lambda value: value}) as server, zerorpc.Client(timeout=PATIENCE) as client:
        hub = client._core.hub
        (endpoint,) = client.connect(server.endpoints[0])
        dialer = hub.dialers[endpoint]
        with hub.lock:
            threads = dict(hub.dialing.threads)
            hub.dialing.begin(dialer)
            hub.dialing.begin_again(dialer, "in a test")
            hub.mend()
            assert hub.dialing.threads == threads
        assert client.echo(1) == 1
        with hub.lock:
            hub.dialing.begin(dialer)
            hub.dialing.begin_again(dialer, "in a test")
            hub.mend()
            assert hub.dialing.threads == {}
            assert len(hub.links) == 1
        assert dialer.status == "connected"


def test_a_thread_that_breaks_at_whatever_is_raised_tries_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    connect = dialing.connect_blocking
    raises = [SystemExit("broken"), RuntimeError("broken")]

    def maybe_connect(*args: object) -> socket.socket:
        if raises:
            raise raises.pop()
        return connect(*args)

    monkeypatch.setattr(dialing, "connect_blocking", maybe_connect)
    with (
        serving({"echo": lambda value: value}) as server,
        zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client,
    ):
        assert client.echo(1) == 1
    assert caplog.text.count("it will be tried again") == 2


def test_a_thread_that_breaks_with_a_connection_in_hand_makes_another(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[BlockingLink] = []
    add = Polling.add

    def maybe_add(polling: Polling, link: BlockingLink) -> None:
        made.append(link)
        if len(made) == 1:
            raise MemoryError("broken")
        add(polling, link)

    monkeypatch.setattr(Polling, "add", maybe_add)
    with (
        serving({"echo": lambda value: value}) as server,
        zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client,
    ):
        assert client.echo(1) == 1
        broken, second = made
        eventually(lambda: broken.closed and list(client._core.hub.links.values()) == [second])
        assert broken.sock.fileno() < 0


# Interrupts

FILES = {"dialing.py", "names.py", "dialer.py", "blocking_link.py", "blocking.py"}
# CPython runs no signal handler between taking a lock and entering its block; a tracer does.
LOCKING = ("with self.lock", "with hub.lock", "with self._hub.lock")


class Interrupt:
    """Raises KeyboardInterrupt at the n-th line that a thread runs in the transport; ``where`` is that line."""

    def __init__(self, line: int) -> None:
        self.where = ""
        self._lines = itertools.count(1)
        self._line = line

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        path = Path(frame.f_code.co_filename)
        if path.parent.name != "transport" or path.name not in FILES or self.where:
            return None
        source = linecache.getline(str(path), frame.f_lineno).strip()
        if event == "line" and not source.startswith(LOCKING) and next(self._lines) == self._line:
            self.where = f"{path.name}:{frame.f_lineno} {source}"
            sys.settrace(None)
            raise KeyboardInterrupt
        return self


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_interrupt_at_any_line_of_the_end_of_a_connection_leaves_a_client_that_connects_again(host: str) -> None:
    """To an address and to a name's. Each line for a client of its own, all side by side."""

    def interrupt_at(line: int) -> str:
        with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
            assert client.echo(1) == 1
            for link in list(client._core.hub.links.values()):
                link.sock.shutdown(socket.SHUT_RDWR)
            interrupt, before = Interrupt(line), sys.gettrace()
            sys.settrace(interrupt)
            try:
                with contextlib.suppress(zerorpc.LostRemote):
                    client.echo(2)
            except KeyboardInterrupt:
                pass
            finally:
                sys.settrace(before)
            while True:
                with contextlib.suppress(zerorpc.LostRemote):
                    assert client.echo(3) == 3, interrupt.where
                    break
            eventually(lambda: len(client._core.hub.links) == 1, interrupt.where)
            return interrupt.where

    with serving({"echo": lambda value: value}) as server, ThreadPoolExecutor(30) as pool:
        endpoint = server.endpoints[0].replace("127.0.0.1", host)
        places = ["none yet"]
        while places[-1]:  # the thread that waits takes more turns on a busy machine, and so more lines
            places += pool.map(interrupt_at, range(len(places), len(places) + 150))
    assert {where.partition(":")[0] for where in places if where} >= {"dialing.py", "dialer.py", "blocking_link.py"}
    assert any(where.startswith("names.py") for where in places) is (host == "localhost")
