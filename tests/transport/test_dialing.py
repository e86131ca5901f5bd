"""Threads that connect: they end as soon as nobody wants the connection any more."""

from __future__ import annotations

import contextlib
import socket
import time

import pytest

import zerorpc
from tests.service.running import PATIENCE, eventually, serving, unused_port
from zerorpc.transport import dialing


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
        dial = next(iter(client._core.hub.dialing.values()))
        eventually(lambda: dial._sock is not None)
        time.sleep(0.05)  # not for a condition: until it is connecting, most likely
        client.close()
        dial.join(2.0)
        assert not dial.is_alive(), "it goes on for the 3 s that an attempt takes"


def test_disconnecting_ends_a_pause_between_attempts_at_once() -> None:
    endpoint = f"tcp://127.0.0.1:{unused_port()}"
    with zerorpc.Client(endpoint) as client:
        hub = client._core.hub
        dial = next(iter(hub.dialing.values()))
        eventually(lambda: "refused" in hub.describe())
        client.disconnect(endpoint)
        dial.join(PATIENCE)
        assert not dial.is_alive()
        assert not hub.dialing


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
