"""``zerorpc.health`` and ``zerorpc.watch_health``: of a whole server and of its services, for both clients."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import zerorpc
from tests.service.running import PATIENCE, RawPeer, eventually, on_thread, run, serving, unused_port


class Gate:
    """A check that says what it is told to."""

    def __init__(self, answer: Any = True) -> None:
        self.answer = answer

    def __call__(self) -> Any:
        return self.answer


class Stage:
    def __init__(self) -> None:
        self.whole, self.arm = Gate(), Gate()
        self.server = zerorpc.Server({"m": lambda: 1}, ready=self.whole, heartbeat=30.0, grace=0.1)
        self.server.register({"move": lambda: 1}, "arm", ready=self.arm)
        self.server.register({"see": lambda: 1}, "eye")


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    made.server.bind("tcp://127.0.0.1:0")
    with on_thread(made.server):
        yield made


def test_each_service_is_as_its_own_check_says_or_as_the_server(stage: Stage) -> None:
    with zerorpc.Client(stage.server.endpoints[0], timeout=PATIENCE) as client:

        def told() -> list[tuple[bool, str]]:
            return [zerorpc.health(client, service) for service in ("", "arm", "eye")]

        assert told() == [(True, "")] * 3
        stage.arm.answer = False
        assert told() == [(True, ""), (False, "its check says no"), (True, "")]
        stage.arm.answer, stage.whole.answer = True, False
        assert told() == [(False, "its check says no"), (True, ""), (False, "its check says no")]
        with pytest.raises(zerorpc.UnknownService, match="no service 'leg'"):
            zerorpc.health(client, "leg")
        with pytest.raises(LookupError):
            zerorpc.health(client, "arm.move")


def test_for_an_async_client(stage: Stage) -> None:
    async def act() -> None:
        async with zerorpc.AsyncClient(stage.server.endpoints[0], timeout=PATIENCE) as client:
            assert await zerorpc.health(client) == zerorpc.Health(True, "")
            stage.arm.answer = False
            assert await zerorpc.health(client, "arm") == (False, "its check says no")
            with pytest.raises(zerorpc.UnknownService):
                await zerorpc.health(client, "leg")
            changes = zerorpc.watch_health(client, "arm", interval=0.01)
            assert await anext(changes) == (False, "its check says no")
            stage.arm.answer = True
            assert await anext(changes) == (True, "")
            with pytest.raises(zerorpc.UnknownService):
                await anext(zerorpc.watch_health(client, "leg"))

    run(act())


def test_watching_tells_each_change_and_that_a_server_goes_and_comes_back() -> None:
    endpoint = f"tcp://127.0.0.1:{unused_port()}"
    gate = Gate()
    with zerorpc.Client(endpoint, timeout=1.5) as client:
        changes = zerorpc.watch_health(client, interval=0.01)
        assert next(changes).ready is False
        with serving({"m": lambda: 1}, bind=endpoint, ready=gate):
            while not (found := next(changes)).ready:  # on its way it may be said in other words
                pass
            assert found == (True, "")
            gate.answer = False
            assert next(changes) == (False, "its check says no")
            gate.answer = True
            assert next(changes) == (True, "")
        assert next(changes).ready is False


def test_several_threads_ask_at_once(stage: Stage) -> None:
    with zerorpc.Client(stage.server.endpoints[0], timeout=PATIENCE) as client:
        found: list[object] = []

        def ask() -> None:
            found.extend(zerorpc.health(client, service) for service in ("", "arm", "eye") * 5)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [(True, "")] * 60


def test_nobody_is_there() -> None:
    with zerorpc.Client(f"tcp://127.0.0.1:{unused_port()}", timeout=0.1) as client:
        with pytest.raises(zerorpc.TimeoutExpired):
            zerorpc.health(client)


def test_a_server_that_stops() -> None:
    free, began = threading.Event(), threading.Event()

    def m() -> None:
        began.set()
        free.wait(PATIENCE)

    with serving({"m": m}, grace=PATIENCE) as server:
        endpoint = server.endpoints[0]
        peer = RawPeer.to(endpoint)  # one that can't be told to go elsewhere
        with peer:
            peer.send({"message_id": "m", "v": 3}, "m", [])
            assert began.wait(PATIENCE)
            server.stop()
            eventually(lambda: server._core.running.stopping)
            peer.send({"message_id": "r", "v": 3}, "_zpc_ready", ["arm"])
            assert peer.next_event().args[0] == "ServerStopping"
            free.set()


def test_an_old_server_has_no_services(stage: Stage) -> None:
    """It is there, which is all that it can tell."""
    with zerorpc.Client(stage.server.endpoints[0], timeout=PATIENCE) as client:
        client("_zerorpc_ping")
        for link in client._core.hub.links.values():
            link.peer.level = 0
        assert zerorpc.health(client) == (True, "")
        with pytest.raises(zerorpc.UnknownService):
            zerorpc.health(client, "arm")


def test_a_check_belongs_to_a_prefix() -> None:
    with zerorpc.Server({"m": lambda: 1}) as server:
        with pytest.raises(ValueError, match="Server\\(ready=\\)"):
            server.register({"n": lambda: 1}, ready=lambda: True)
        with pytest.raises(TypeError, match="ready has to be a function"):
            server.register({"n": lambda: 1}, "arm", ready=1)  # type: ignore[arg-type]
        server.register({"n": lambda: 1}, "arm")


def test_the_log_names_the_service(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.arm.answer = False
    with zerorpc.Client(stage.server.endpoints[0], timeout=PATIENCE) as client:
        zerorpc.health(client, "arm")
    assert "the service arm is not ready: its check says no" in caplog.text


@pytest.mark.parametrize("interval", [-1, 0, "x"])
def test_a_wrong_interval(interval: Any) -> None:
    with zerorpc.Client() as client, pytest.raises((TypeError, ValueError)):
        next(zerorpc.watch_health(client, interval=interval))


def test_leaving_a_watch_ends_it(stage: Stage) -> None:
    async def act() -> None:
        async with zerorpc.AsyncClient(stage.server.endpoints[0], timeout=PATIENCE) as client:

            async def watch() -> None:
                async for _ in zerorpc.watch_health(client, interval=0.01):
                    seen.set()

            seen = asyncio.Event()
            task = asyncio.create_task(watch())
            await seen.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run(act())
