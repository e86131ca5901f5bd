"""Connecting on an event loop: each endpoint stays connected until it is disconnected."""

from __future__ import annotations

import asyncio
import errno
from typing import Any

import zerorpc
from tests.service.running import (
    PATIENCE,
    TCP,
    eventually,
    eventually_async,
    run,
    serving,
)
from tests.service.services import Cooler
from tests.transport.owners import Owner, in_a_thread
from zerorpc.errors import LostRemote
from zerorpc.transport.aio import AioHub


def test_an_endpoint_connected_from_another_thread_just_before_the_end_is_never_dialed() -> None:
    async def main(endpoint: str) -> None:
        owner = Owner()
        hub = AioHub(owner, lambda endpoint: endpoint)
        hub.attach(asyncio.get_running_loop())
        in_a_thread(lambda: hub.connect(endpoint))
        await hub.aclose(LostRemote("the end"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not owner.links
        assert not owner.lost

    with serving({}) as server:
        run(main(server.endpoints[0]))
        assert not server._core.hub.links


def test_disconnecting_from_another_thread_just_as_the_connection_is_made() -> None:
    """The connection is ended at once, though the loop hears of the call to disconnect later."""

    class Loop(asyncio.SelectorEventLoop):
        hub: AioHub

        async def connect_accepted_socket(self, *args: Any, **kwargs: Any) -> Any:
            made = await super().connect_accepted_socket(*args, **kwargs)
            in_a_thread(lambda: self.hub.disconnect(endpoint))
            return made

    async def main() -> None:
        owner = Owner()
        loop.hub = hub = AioHub(owner, lambda endpoint: endpoint)
        hub.attach(loop)
        hub.connect(endpoint)
        await eventually_async(lambda: owner.lost)
        assert not hub.links
        assert not hub.dialers
        await hub.aclose(LostRemote("the end"))

    loop = Loop()
    with serving({}) as server:
        endpoint = server.endpoints[0]
        loop.run_until_complete(asyncio.wait_for(main(), PATIENCE))
        eventually(lambda: not server._core.hub.links)
    loop.close()


def test_a_cancellation_in_the_very_turn_in_which_the_connection_is_made_ends_the_task() -> None:
    """Or ``asyncio.run`` would wait for it for ever: it cancels all tasks, and most of all in a short program."""

    class Loop(asyncio.SelectorEventLoop):
        async def sock_connect(self, *_: Any) -> None:
            await made

    async def main() -> None:
        hub = AioHub(Owner(), lambda endpoint: endpoint)
        hub.attach(loop)
        hub.connect("tcp://127.0.0.1:1")
        (task,) = hub.dialing.tasks.values()
        await eventually_async(lambda: made._callbacks)  # it waits
        made.set_result(None)
        task.cancel()
        await asyncio.wait([task], timeout=PATIENCE)
        assert task.cancelled()
        await hub.aclose(LostRemote("the end"))

    loop = Loop()
    made: Any = asyncio.Future(loop=loop)
    loop.run_until_complete(asyncio.wait_for(main(), 2 * PATIENCE))
    loop.close()


def test_a_socket_that_the_loop_does_not_take_is_closed_and_another_tried() -> None:
    refusals = [OSError(errno.ENOMEM, "Cannot allocate memory")] * 2

    class Loop(asyncio.SelectorEventLoop):
        async def connect_accepted_socket(self, *args: Any, **kwargs: Any) -> Any:
            if refusals:
                raise refusals.pop()
            return await super().connect_accepted_socket(*args, **kwargs)

    async def main() -> None:
        server = zerorpc.Server(Cooler())
        endpoint = server.bind(TCP)[0]
        task = asyncio.ensure_future(server.serve())
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            assert await client.add_42(1) == 43
        server.stop()
        await task

    loop = Loop()
    loop.run_until_complete(asyncio.wait_for(main(), PATIENCE))
    loop.close()
    assert not refusals


def test_disconnecting_one_endpoint_leaves_the_connections_of_the_others() -> None:
    async def main(stays: str, goes: str) -> None:
        owner = Owner()
        hub = AioHub(owner, lambda endpoint: endpoint)
        hub.attach(asyncio.get_running_loop())
        assert hub.connect([stays, goes]) == [stays, goes]
        await eventually_async(lambda: len(owner.links) == 2)
        hub.disconnect(goes)
        await eventually_async(lambda: owner.lost)
        assert [link.name for link in owner.lost] == [goes]
        assert [link.name for link in hub.links] == [stays]
        assert repr(hub) == f"<AioHub bound=[] connected=['{stays}'] links=1>"
        await hub.aclose(LostRemote("the end"))

    with serving({}) as one, serving({}) as other:
        run(main(one.endpoints[0], other.endpoints[0]))


def test_connect_and_disconnect_while_serving() -> None:
    with serving(Cooler()) as server, zerorpc.Client() as client:
        endpoint = client.bind(TCP)[0]
        assert server.connect(endpoint) == [endpoint]
        assert client.add_42(1) == 43
        server.disconnect(endpoint)
        eventually(lambda: not answers(client))


def answers(client: zerorpc.Client) -> bool:
    try:
        return bool(client.add_42(1, timeout=0.1))
    except (zerorpc.TimeoutExpired, zerorpc.LostRemote):
        return False
