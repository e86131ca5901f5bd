"""What belongs to one process says so, in place of "cannot pickle 'socket' object"."""

from __future__ import annotations

import asyncio
import copy
import multiprocessing
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import zerorpc
from tests.service.running import serving


class Service:
    def echo(self, value: int) -> int:
        return value

    def count(self) -> Iterator[int]:
        yield from range(1000)


BLOCKING: dict[str, Callable[[zerorpc.Client], Any]] = {
    "a Client": lambda client: client,
    "a Stream": lambda client: client.count(),
    "an AsyncResult": lambda client: client.echo(1, async_=True),
    "a RemoteMethod": lambda client: client.echo,
    "a CallView": lambda client: zerorpc.options(client, timeout=3),
    "a Typed": lambda client: zerorpc.typed(client, Service),
    "a TypedStream": lambda client: zerorpc.typed(client, Service).count(),
    "an Every": zerorpc.every,
    "a Replies": lambda client: zerorpc.every(client).echo(1),
}
ASYNC: dict[str, Callable[[zerorpc.AsyncClient], Any]] = {
    "an AsyncClient": lambda client: client,
    "a Call": lambda client: client.echo(1),
    "an AsyncStream": lambda client: client.count(),  # awaited below
    "a TypedCall": lambda client: zerorpc.typed(client, Service).echo(1),
    "an AsyncReplies": lambda client: zerorpc.every(client).echo(1),
}
ALONE: dict[str, Callable[[], Any]] = {
    "a Server": lambda: zerorpc.Server({}),
    "a Pusher": zerorpc.Pusher,
    "a Publisher": zerorpc.Publisher,
    "a Puller": lambda: zerorpc.Puller({}),
    "a Subscriber": lambda: zerorpc.Subscriber({}),
}


def check(live: object, name: str) -> None:
    for act in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match=f"^{name} can't be pickled or copied: .* Make one in the other process$"):
            act(live)


@pytest.mark.parametrize("name", BLOCKING)
def test_a_blocking_client_and_what_comes_of_it(name: str) -> None:
    with serving(Service()) as server, zerorpc.Client(server.endpoints[0]) as client:
        live = BLOCKING[name](client)
        check(live, name)
        assert client.echo(2) == 2  # it works on
        if name.endswith("Stream"):
            assert sum(live) == sum(range(1000))


@pytest.mark.parametrize("name", ASYNC)
def test_an_async_client_and_what_comes_of_it(name: str) -> None:
    async def main(endpoint: str) -> None:
        async with zerorpc.AsyncClient(endpoint) as client:
            live = ASYNC[name](client)
            if name == "an AsyncStream":
                live = await live
            check(live, name)
            if name.endswith("Call"):
                assert await live == 1

    with serving(Service()) as server:
        asyncio.run(main(server.endpoints[0]))


@pytest.mark.parametrize("name", ALONE)
def test_servers_and_one_way_sockets(name: str) -> None:
    with ALONE[name]() as live:
        check(live, name)


def test_a_new_process_isnt_given_a_client() -> None:
    with zerorpc.Client() as client:
        other = multiprocessing.get_context("spawn").Process(target=print, args=(client,))
        with pytest.raises(TypeError, match="a Client can't be pickled"):
            other.start()
