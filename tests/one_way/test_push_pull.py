"""Pusher and Puller, Publisher and Subscriber: order, turns, waiting, ending, in blocking and in async use."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import zerorpc
from tests.service.running import TCP, RawPeer, eventually, eventually_async, on_thread, run, unused_tcp
from tests.service.services import Work, first_arg, hears, until_heard
from zerorpc.zmtp import SocketType


@pytest.fixture
def work() -> Iterator[Work]:
    work = Work()
    yield work
    work.release.set()


@pytest.fixture
def puller(work: Work) -> Iterator[zerorpc.Puller]:
    puller = zerorpc.Puller(work)
    puller.bind(TCP)
    with on_thread(puller):
        yield puller


@pytest.fixture
def endpoint(puller: zerorpc.Puller) -> str:
    return puller.endpoints[0]


# Blocking use


def test_what_is_pushed_arrives_in_order(work: Work, endpoint: str) -> None:
    with zerorpc.Pusher() as pusher:
        assert pusher.connect(endpoint) == [endpoint]
        for n in range(3000):
            assert pusher.take(n) is None
        eventually(lambda: len(work.taken) == 3000)
    assert work.taken == list(range(3000))
    assert work.threads == {"under test"}  # that of run()


def test_names_prefixes_and_any_number_of_arguments(work: Work, endpoint: str) -> None:
    with zerorpc.Pusher() as pusher:
        pusher.connect(endpoint)
        pusher.take()
        pusher.take(1, "two", [3])
        pusher("take", 4)
        pusher(b"take", 5)  # type: ignore[arg-type]  # as old programs do
        eventually(lambda: len(work.taken) == 4)
        assert repr(pusher.robot.move) == "<RemoteMethod robot.move>"
        with pytest.raises(AttributeError):
            pusher.__wrapped__  # noqa: B018
    assert work.taken == [(), (1, "two", [3]), 4, 5]


def test_arguments_that_cant_be_sent(endpoint: str) -> None:
    with zerorpc.Pusher() as pusher:
        pusher.connect(endpoint)
        with pytest.raises(zerorpc.SerializationError, match="the arguments of take can't be sent"):
            pusher.take(object())


def test_a_pusher_that_binds(work: Work) -> None:
    with zerorpc.Pusher() as pusher:
        endpoint = pusher.bind(TCP)[0]
        assert pusher.endpoints == [endpoint]
        pusher.take(1)
        puller = zerorpc.Puller(work)
        puller.connect(endpoint)
        with on_thread(puller):
            eventually(lambda: work.taken == [1])
        pusher.unbind(endpoint)
        assert pusher.endpoints == []


@pytest.mark.parametrize(
    "where",
    ["ipc", "inproc://push-pull", f"ipc://@zerorpc-test-push-{os.getpid()}", "tcp://[::1]:0"],
    ids=["ipc", "inproc", "abstract", "IPv6"],
)
def test_every_transport(work: Work, where: str, ipc_endpoint: str) -> None:
    puller = zerorpc.Puller(work)
    endpoint = puller.bind(ipc_endpoint if where == "ipc" else where)[0]
    with on_thread(puller), zerorpc.Pusher() as pusher:
        pusher.connect(endpoint)
        pusher.take("hello")
        eventually(lambda: work.taken == ["hello"])
        pusher.disconnect(endpoint)
        with pytest.raises(zerorpc.EndpointError):
            pusher.disconnect(endpoint)


# A puller's life


def test_a_subclass_exposes_its_own_methods() -> None:
    taken: list[str] = []

    class Mine(zerorpc.Puller):
        def take(self, value: str) -> None:
            taken.append(value)

    puller = Mine()
    endpoint = puller.bind(TCP)[0]
    with on_thread(puller), zerorpc.Pusher() as pusher:
        pusher.connect(endpoint)
        pusher.stop()  # not a method of the service
        pusher.take("value")
        eventually(lambda: taken == ["value"])


def test_a_puller_called_here(work: Work) -> None:
    with zerorpc.Puller(work) as puller:
        puller("take", 1)
        assert work.taken == [1]
        with pytest.raises(NameError):
            puller("unknown")


# Async use


def test_pushing_and_pulling_on_a_loop(work: Work) -> None:
    async def main() -> None:
        puller = zerorpc.Puller(work)
        endpoint = puller.bind(TCP)[0]
        task = asyncio.ensure_future(puller.serve())
        async with zerorpc.Pusher() as pusher:
            pusher.connect(endpoint)
            for n in range(500):
                await pusher.take(n)
                await pusher.take_async(n)
            await pusher.fail("logged")
            await pusher.take("last")
            await eventually_async(lambda: len(work.taken) == 1001)
        puller.stop()
        await task

    run(main())
    assert work.taken == [*[n for n in range(500) for _ in range(2)], "last"]


def test_closing_from_the_loop_itself(work: Work) -> None:
    async def main() -> None:
        puller = zerorpc.Puller(work)
        puller.bind(TCP)
        task = asyncio.ensure_future(puller.serve())
        async with zerorpc.Pusher() as pusher:
            pusher.connect(puller.endpoints)
            await pusher.take(1)
            await eventually_async(lambda: work.taken)
            pusher.close()
        puller.close()
        await task

    run(main())


# Publishing


def test_everybody_who_subscribes_gets_everything() -> None:
    works = [Work() for _ in range(3)]
    with zerorpc.Publisher() as publisher:
        endpoint = publisher.bind(TCP)[0]
        publisher.take("nobody hears this")
        subscribers = [zerorpc.Subscriber(work) for work in works]
        for subscriber in subscribers:
            subscriber.connect(endpoint)
        with on_thread(subscribers[0]), on_thread(subscribers[1]), on_thread(subscribers[2]):
            until_heard(publisher, works)
            for n in range(500):
                publisher.take(n)
            eventually(lambda: all(work.taken[-1] == 499 for work in works))
    for each in works:
        assert [item for item in each.taken if item != "hello"] == list(range(500))


def test_a_publisher_that_connects_to_a_subscriber_that_binds(work: Work) -> None:
    subscriber = zerorpc.Subscriber(work)
    endpoint = subscriber.bind(TCP)[0]
    with on_thread(subscriber), zerorpc.Publisher() as publisher:
        publisher.connect(endpoint)
        until_heard(publisher, [work])


def test_a_publisher_sends_only_what_is_subscribed() -> None:
    with zerorpc.Publisher() as publisher:
        endpoint = publisher.bind(TCP)[0]
        publisher.take(0)
        with RawPeer.to(endpoint, SocketType.SUB) as picky, RawPeer.to(endpoint, SocketType.SUB) as all_of_it:
            picky.connection.send_subscribe(b"no event begins like this")
            picky._flush()
            all_of_it.connection.send_subscribe(b"")
            all_of_it._flush()
            all_of_it.sock.settimeout(0.05)
            eventually(lambda: publisher.take(1) or hears(all_of_it))
            picky.sock.settimeout(0.1)
            with pytest.raises(TimeoutError):
                first_arg(picky)


def test_publishing_on_a_loop(work: Work) -> None:
    async def main() -> None:
        async with zerorpc.Publisher() as publisher:
            endpoint = publisher.bind(TCP)[0]
            subscriber = zerorpc.Subscriber(work)
            subscriber.connect(endpoint)
            task = asyncio.ensure_future(subscriber.serve())
            while not work.taken:
                await publisher.take("hello")
                await asyncio.sleep(0.001)
            subscriber.stop()
            await task

    run(main())


def test_a_publisher_wakes_subscribers_while_its_program_sleeps() -> None:
    """The subscription is taken by the background loop, without a call into the publisher."""
    with zerorpc.Publisher() as publisher:
        endpoint = publisher.bind(TCP)[0]
        publisher.take("starts the background loop")
        with RawPeer.to(endpoint, SocketType.SUB):
            pass


@pytest.mark.parametrize("kind", [zerorpc.Pusher, zerorpc.Publisher])
def test_a_with_block_gives_the_socket_itself(kind: type[zerorpc.Pusher]) -> None:
    """And says so to type checkers: a Publisher's block is not just a Pusher's."""
    for enter in (kind.__enter__, kind.__aenter__):
        assert inspect.signature(enter).return_annotation == "Self"
    made = kind()
    with made as entered:
        assert entered is made

    async def main() -> None:
        made = kind()
        async with made as entered:
            assert entered is made

    run(main())


def test_debug_logs_each_event(work: Work, caplog: pytest.LogCaptureFixture) -> None:
    puller = zerorpc.Puller(work)
    assert puller.debug is False
    puller.debug = True
    endpoint = puller.bind(TCP)[0]
    with caplog.at_level("DEBUG", "zerorpc.events"), on_thread(puller), zerorpc.Pusher() as pusher:
        pusher.debug = True
        pusher.connect(endpoint)
        pusher.take(1)
        eventually(lambda: work.taken)
        assert repr(pusher).startswith("<Pusher <AioHub")
    lines = [record.getMessage() for record in caplog.records if record.name == "zerorpc.events"]
    assert [line.split(" ")[:2] for line in lines] == [["-->", "take"], ["<--", "take"]]


def test_bad_and_taken_addresses_are_errors_at_once(endpoint: str) -> None:
    for kind in (zerorpc.Pusher, zerorpc.Publisher, functools.partial(zerorpc.Puller, {})):
        make: Callable[[], Any] = kind
        with make() as sock:
            with pytest.raises(zerorpc.AddressInUse):
                sock.bind(endpoint)
            with pytest.raises(zerorpc.EndpointError):
                sock.connect("nonsense")


@pytest.mark.parametrize("kind", [zerorpc.Puller, zerorpc.Subscriber])
def test_a_subclass_with_a_close_and_a_stop_of_its_own_is_closed_all_the_same(kind: type[zerorpc.Puller]) -> None:
    class Mine(kind):  # type: ignore[misc, valid-type]
        def stop(self) -> None:
            raise AssertionError("it is a method")

        close = stop

    with Mine() as mine:
        endpoint = mine.bind(unused_tcp())[0]
    with kind({}) as other:
        assert other.bind(endpoint) == [endpoint]
