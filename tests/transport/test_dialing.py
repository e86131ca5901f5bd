"""Threads that connect: they end as soon as nobody wants the connection any more."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest

import zerorpc
from tests.service.running import PATIENCE, eventually, serving, unused_port
from zerorpc.transport import dialing
from zerorpc.transport.dialing import DialState


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
