"""Names looked up on daemon threads: no hung resolver keeps a program or a loop, whatever has ended already."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import zerorpc
from tests.service.running import (
    NEEDS_THREADS_AT_THE_END,
    PATIENCE,
    Program,
    eventually,
    eventually_async,
    run,
    serving,
)
from tests.service.services import Cooler
from zerorpc.transport.endpoints import Endpoint, parse
from zerorpc.transport.lookups import look_up

NAME = parse("tcp://localhost:4242")


@pytest.fixture
def hung(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A resolver that answers when this is set."""
    answer = threading.Event()

    def resolve(endpoint: Endpoint) -> list[Any]:
        answer.wait(PATIENCE)
        return []

    monkeypatch.setattr("zerorpc.transport.lookups.resolve", resolve)
    yield answer
    answer.set()
    eventually(lambda: not lookups())


def lookups() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "zerorpc-lookup"]


def test_a_name_has_addresses_and_an_unknown_one_raises() -> None:
    async def main() -> None:
        assert "127.0.0.1" in [address[0] for _, address in await look_up(NAME)]
        with pytest.raises(OSError, match=r"the name 'nowhere\.invalid' can't be resolved"):
            await look_up(parse("tcp://nowhere.invalid:4242"))

    run(main())


def test_a_program_ends_while_the_resolver_hangs(hung: threading.Event) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient("tcp://some.name:4242") as client:
            with pytest.raises(zerorpc.TimeoutExpired):
                await client("echo", timeout=0.05)

    begun = time.monotonic()
    run(main())
    assert time.monotonic() - begun < PATIENCE / 2
    assert lookups()
    hung.set()  # its loop is closed: nobody hears of the answer


def test_a_cancelled_look_up_leaves_nothing_behind(hung: threading.Event) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(look_up(NAME))
        await eventually_async(lookups)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        hung.set()
        await eventually_async(lambda: not lookups())
        await asyncio.sleep(0)  # the answer comes, and finds nobody

    run(main())


def test_out_of_threads_it_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    refused = []

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "zerorpc-lookup" and not refused:
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)

    async def main(endpoint: str) -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            (dialer,) = client._core.hub.dialers.values()
            await eventually_async(lambda: "thread" in dialer.status)
            assert "no thread could be started to look up the name 'localhost': can't start new" in dialer.status
            assert await client.add_42(1) == 43

    with serving(Cooler()) as server:
        run(main(server.endpoints[0].replace("127.0.0.1", "localhost")))
    assert refused


@NEEDS_THREADS_AT_THE_END
def test_names_are_found_when_the_main_thread_has_ended() -> None:
    text = """
    import asyncio, threading, zerorpc
    def work():
        threading.main_thread().join()
        server = zerorpc.Server({"echo": lambda value: value})
        port = server.bind("tcp://127.0.0.1:0")[0].rpartition(":")[2]
        async def main():
            serving = asyncio.ensure_future(server.serve())
            async with zerorpc.AsyncClient("tcp://localhost:" + port, timeout=5) as client:
                print(await client.echo("found"), flush=True)
            server.stop()
            await serving
        asyncio.run(main())
    threading.Thread(target=work).start()
    """
    with Program(text) as program:
        assert program.end() == (0, "found\n", "")
