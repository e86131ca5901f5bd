"""Pusher and Puller, Publisher and Subscriber: order, turns, waiting, ending, in blocking and in async use."""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import zerorpc
from tests.service.running import (
    PATIENCE,
    TCP,
    Program,
    RawPeer,
    eventually,
    eventually_async,
    on_thread,
    run,
    unused_port,
)
from zerorpc.zmtp import SocketType


class Work:
    """Takes what comes."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.threads: set[str] = set()
        self.release = threading.Event()

    def take(self, *args: Any) -> None:
        self.threads.add(threading.current_thread().name)
        self.taken.append(args[0] if len(args) == 1 else args)

    async def take_async(self, value: Any) -> None:
        await asyncio.sleep(0)
        self.taken.append(value)

    def wrapped(self, value: Any) -> Any:
        return self.take_async(value)

    def fail(self, message: str) -> None:
        raise ValueError(message)

    def block(self) -> None:
        self.release.wait(PATIENCE)


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
        eventually(lambda: len(work.taken) == 3)
        assert repr(pusher.robot.move) == "<RemoteMethod robot.move>"
        with pytest.raises(AttributeError):
            pusher.__wrapped__  # noqa: B018
    assert work.taken == [(), (1, "two", [3]), 4]


@pytest.mark.parametrize("name", ["take_async", "wrapped"])
def test_methods_that_are_coroutines(work: Work, endpoint: str, name: str) -> None:
    with zerorpc.Pusher() as pusher:
        pusher.connect(endpoint)
        for n in range(50):
            pusher(name, n)
        eventually(lambda: len(work.taken) == 50)
    assert work.taken == list(range(50))


def test_a_method_that_raises_is_logged_and_the_next_runs(
    work: Work, endpoint: str, caplog: pytest.LogCaptureFixture
) -> None:
    with zerorpc.Pusher() as pusher:
        pusher.connect(endpoint)
        pusher.fail("why")
        pusher.unknown()
        pusher.take("next")
        eventually(lambda: work.taken)
    assert "fail raised ValueError" in caplog.text
    assert "why" in caplog.text
    assert "unknown raised NameError" in caplog.text


def test_arguments_that_cant_be_sent(endpoint: str) -> None:
    with zerorpc.Pusher() as pusher:
        pusher.connect(endpoint)
        with pytest.raises(zerorpc.SerializationError, match="the arguments of take can't be sent"):
            pusher.take(object())


def test_each_puller_has_its_turn() -> None:
    works = [Work() for _ in range(3)]
    pullers = [zerorpc.Puller(work) for work in works]
    with zerorpc.Pusher() as pusher:
        pusher.connect([puller.bind(TCP)[0] for puller in pullers])
        with on_thread(pullers[0]), on_thread(pullers[1]), on_thread(pullers[2]):

            def all_have_some() -> bool:
                pusher.take(-1)
                return all(work.taken for work in works)

            eventually(all_have_some)
            pusher.take("begin")
            eventually(lambda: any("begin" in work.taken for work in works))
            for work in works:
                work.taken.clear()
            for n in range(30):
                pusher.take(n)
            eventually(lambda: sum(len(work.taken) for work in works) >= 30)
    counts = [sum(1 for item in work.taken if isinstance(item, int) and item >= 0) for work in works]
    assert counts == [10, 10, 10]


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


def test_a_pusher_without_puller_keeps_its_messages_then_delivers(work: Work) -> None:
    endpoint = f"tcp://127.0.0.1:{unused_port()}"
    with zerorpc.Pusher() as pusher:
        pusher.connect(endpoint)
        for n in range(500):
            pusher.take(n)
        puller = zerorpc.Puller(work)
        puller.bind(endpoint)
        with on_thread(puller):
            eventually(lambda: len(work.taken) == 500)
    assert work.taken == list(range(500))


def test_a_pusher_blocks_when_too_much_waits(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    monkeypatch.setattr("zerorpc.transport.outbox.QUEUED_MAX", 10)
    endpoint = f"tcp://127.0.0.1:{unused_port()}"
    with zerorpc.Pusher() as pusher:
        pusher.connect(endpoint)
        pushed: list[int] = []

        def push() -> None:
            for n in range(30):
                pusher.take(n)
                pushed.append(n)

        thread = threading.Thread(target=push)
        thread.start()
        eventually(lambda: len(pushed) == 10)
        assert len(pushed) == 10
        puller = zerorpc.Puller(work)
        puller.bind(endpoint)
        with on_thread(puller):
            eventually(lambda: len(work.taken) == 30)
        thread.join(PATIENCE)
    assert work.taken == list(range(30))


def test_close_frees_a_pusher_that_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.transport.outbox.QUEUED_MAX", 1)
    pusher = zerorpc.Pusher()
    pusher.bind(TCP)
    pusher.take(1)
    ended: list[BaseException] = []

    def push() -> None:
        try:
            pusher.take(2)
        except zerorpc.Closed as error:
            ended.append(error)

    thread = threading.Thread(target=push)
    thread.start()
    eventually(thread.is_alive)
    pusher._core.close(0.01)
    thread.join(PATIENCE)
    assert [str(error) for error in ended] == ["this socket is closed"]


def test_a_pusher_waits_for_a_puller_that_does_not_read(work: Work) -> None:
    with zerorpc.Pusher() as pusher, socket.create_server(("127.0.0.1", 0)) as listener:
        pusher.connect(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        part, sent = b"x" * 100_000, []

        def push() -> None:
            for n in range(3000):  # 300 MB
                pusher.take(n, part)
                sent.append(n)

        thread = threading.Thread(target=push)
        with RawPeer(listener.accept()[0] if pusher.take(-1) is None else None, SocketType.PULL) as puller:
            puller.handshake()
            thread.start()
            deadline = time.monotonic() + PATIENCE
            before, since = -1, time.monotonic()
            while time.monotonic() - since < 0.2:
                assert time.monotonic() < deadline
                if len(sent) != before:
                    before, since = len(sent), time.monotonic()
                time.sleep(0.005)
            assert before < 1300  # 1,000 may wait, and what the socket's buffers take
            puller.sock.settimeout(PATIENCE)
            received = [_event(puller) for _ in range(3001)]
            assert received == list(range(-1, 3000))
        thread.join(PATIENCE)


def _event(peer: RawPeer) -> Any:
    while not peer._received:
        peer._receive()
    from zerorpc.protocol.events import decode

    event = decode(peer._received.pop(0)[-1])
    return event.args[0]  # type: ignore[union-attr]


def _hears(peer: RawPeer) -> bool:
    try:
        _event(peer)
    except TimeoutError:
        return False
    return True


def test_close_sends_what_waits(work: Work, endpoint: str) -> None:
    pusher = zerorpc.Pusher()
    pusher.connect(endpoint)
    for _ in range(20):
        pusher.take(b"x" * 1_000_000)
    pusher.close()
    pusher.close()
    eventually(lambda: len(work.taken) == 20)
    with pytest.raises(zerorpc.Closed):
        pusher.take(1)


def test_a_dropped_pusher_sends_what_waits(work: Work, endpoint: str) -> None:
    pusher = zerorpc.Pusher()
    pusher.connect(endpoint)
    for n in range(20):
        pusher.take(n)
    del pusher
    gc.collect()
    eventually(lambda: len(work.taken) == 20)


def test_a_pusher_that_was_never_used_closes(ipc_endpoint: str) -> None:
    pusher = zerorpc.Pusher()
    pusher.bind(ipc_endpoint)
    pusher.close()
    dropped = zerorpc.Pusher()
    dropped.bind(ipc_endpoint)
    del dropped
    gc.collect()
    with zerorpc.Pusher() as again:
        again.bind(ipc_endpoint)


def test_close_does_not_wait_for_a_pusher_that_leads_nowhere() -> None:
    begun = time.monotonic()
    with zerorpc.Pusher() as pusher:
        pusher.take(1)
    assert time.monotonic() - begun < 2


def test_a_program_that_pushes_and_ends(work: Work, endpoint: str) -> None:
    text = """
    import sys, zerorpc
    pusher = zerorpc.Pusher()
    pusher.connect(sys.argv[1])
    for n in range(500):
        pusher.take(n)
    """
    with Program(text, endpoint) as program:
        code, out, err = program.end()
        assert (code, out, err) == (0, "", "")
    eventually(lambda: len(work.taken) == 500)
    assert work.taken == list(range(500))


def test_a_forked_child_pushes_for_itself_and_ends(work: Work, endpoint: str) -> None:
    text = """
    import os, sys, zerorpc
    pusher = zerorpc.Pusher()
    pusher.connect(sys.argv[1])
    pusher.take("before")
    pid = os.fork()
    if pid == 0:
        pusher.take("child")
        sys.exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    pusher.take("parent")
    sys.exit(code)
    """
    with Program(text, endpoint) as program:
        assert program.end()[0] == 0
    eventually(lambda: len(work.taken) >= 3)
    assert sorted(work.taken) == ["before", "child", "parent"]


@pytest.mark.parametrize(
    "where", ["ipc", "inproc://push-pull", f"ipc://@zerorpc-test-push-{os.getpid()}", "tcp://[::1]:0"]
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


def test_events_that_make_no_sense_disturb_nobody(work: Work, endpoint: str) -> None:
    with RawPeer.to(endpoint, SocketType.PUSH) as peer:
        for data in (b"", b"\xc1", b"\x93\x80\xa4take\xa1\xff"):
            peer.connection.send_message([data])
        peer._flush()
    with zerorpc.Pusher() as pusher:
        pusher.connect(endpoint)
        pusher.take("sense")
        eventually(lambda: work.taken == ["sense"])


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


def test_a_method_may_stop_its_puller(work: Work) -> None:
    puller = zerorpc.Puller({"stop": lambda: puller.stop()})  # noqa: PLW0108 - it doesn't exist yet
    endpoint = puller.bind(TCP)[0]
    thread = threading.Thread(target=puller.run)
    thread.start()
    with zerorpc.Pusher() as pusher:
        pusher.connect(endpoint)
        pusher("stop")
        thread.join(PATIENCE)
        assert not thread.is_alive()
    puller.close()
    puller.close()


def test_a_stopped_puller_runs_again(work: Work) -> None:
    puller = zerorpc.Puller(work)
    endpoint = puller.bind(TCP)[0]
    with zerorpc.Pusher() as pusher:
        pusher.connect(endpoint)
        for n in range(2):
            thread = threading.Thread(target=puller.run)
            thread.start()
            pusher.take(n)
            eventually(lambda n=n: work.taken[-1:] == [n])
            puller.stop()
            thread.join(PATIENCE)
    puller.close()


def test_a_closed_puller_says_so(work: Work) -> None:
    puller = zerorpc.Puller(work)
    puller.close()
    for _ in range(2):
        with pytest.raises(zerorpc.Closed):
            puller.run()
    with pytest.raises(zerorpc.Closed):
        puller.bind(TCP)
    with pytest.raises(zerorpc.Closed):
        run(puller.serve())


def test_a_puller_takes_no_more_than_it_can_hold(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    monkeypatch.setattr("zerorpc.service.inbox._QUEUED_MAX", 100)
    puller = zerorpc.Puller(work)
    endpoint = puller.bind(TCP)[0]
    with on_thread(puller), zerorpc.Pusher() as pusher:
        pusher.connect(endpoint)
        pusher.block()
        part = b"x" * 10_000
        thread = threading.Thread(target=lambda: [pusher.take(part) for _ in range(5000)])
        thread.start()
        eventually(lambda: len(puller._core._arrived) >= 100)
        before, since = -1, time.monotonic()
        while time.monotonic() - since < 0.2:
            if len(puller._core._arrived) != before:
                before, since = len(puller._core._arrived), time.monotonic()
            time.sleep(0.005)
        assert before < 300  # of 5,000
        work.release.set()
        thread.join(PATIENCE)
        eventually(lambda: len(work.taken) == 5000)


def test_ctrl_c_ends_a_puller_that_runs_on_the_main_thread() -> None:
    text = """
    import sys, zerorpc
    class Work:
        def take(self, value):
            print(value, flush=True)
    puller = zerorpc.Puller(Work())
    print(puller.bind("tcp://127.0.0.1:0")[0], flush=True)
    try:
        puller.run()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    puller.close()
    """
    with Program(text) as program, zerorpc.Pusher() as pusher:
        pusher.connect(program.line())
        pusher.take("hello")
        assert program.line() == "hello"
        program.signal(signal.SIGINT)
        assert program.end() == (0, "interrupted\n", "")


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


def test_an_async_pusher_waits_when_too_much_waits(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    monkeypatch.setattr("zerorpc.transport.outbox.QUEUED_MAX", 10)

    async def main() -> None:
        async with zerorpc.Pusher() as pusher:
            endpoint = pusher.bind(TCP)[0]
            for n in range(10):
                await pusher.take(n)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(pusher.take(-1), 0.05)
            puller = zerorpc.Puller(work)
            puller.connect(endpoint)
            task = asyncio.ensure_future(puller.serve())
            for n in range(10, 30):
                await asyncio.wait_for(pusher.take(n), PATIENCE)
            await eventually_async(lambda: len(work.taken) == 30)
            puller.stop()
            await task

    run(main())
    assert work.taken == list(range(30))


def test_leaving_the_block_sends_what_waits(work: Work, endpoint: str) -> None:
    async def main() -> None:
        async with zerorpc.Pusher() as pusher:
            pusher.connect(endpoint)
            for _ in range(20):
                await pusher.take(b"x" * 1_000_000)
        with pytest.raises(zerorpc.Closed):
            await pusher.take(1)

    run(main())
    eventually(lambda: len(work.taken) == 20)


def test_cancelling_serve_closes_the_puller(work: Work) -> None:
    async def main() -> None:
        puller = zerorpc.Puller(work)
        endpoint = puller.bind(TCP)[0]
        task = asyncio.ensure_future(puller.serve())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with zerorpc.Puller(work) as again:
            again.bind(endpoint)

    run(main())


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
            _until_heard(publisher, works)
            for n in range(500):
                publisher.take(n)
            eventually(lambda: all(work.taken[-1] == 499 for work in works))
    for each in works:
        assert [item for item in each.taken if item != "hello"] == list(range(500))


def _until_heard(publisher: Any, works: list[Work]) -> None:
    def heard() -> bool:
        publisher.take("hello")
        return all(work.taken for work in works)

    eventually(heard)


def test_a_publisher_that_connects_to_a_subscriber_that_binds(work: Work) -> None:
    subscriber = zerorpc.Subscriber(work)
    endpoint = subscriber.bind(TCP)[0]
    with on_thread(subscriber), zerorpc.Publisher() as publisher:
        publisher.connect(endpoint)
        _until_heard(publisher, [work])


def test_a_publisher_drops_for_a_slow_subscriber_and_goes_on(work: Work) -> None:
    with zerorpc.Publisher() as publisher, socket.socket() as sock:
        endpoint = publisher.bind(TCP)[0]
        quick = zerorpc.Subscriber(work)
        quick.connect(endpoint)
        host, _, port = endpoint.removeprefix("tcp://").partition(":")
        sock.connect((host, int(port)))
        slow = RawPeer(sock, SocketType.SUB)
        with on_thread(quick):
            _until_heard(publisher, [work])
            slow.handshake()
            slow.connection.send_subscribe(b"")
            slow._flush()
            slow.sock.settimeout(0.05)
            eventually(lambda: publisher.take("hello") or _hears(slow))
            part = b"x" * 100_000
            for n in range(1000):
                publisher.take(n, part)
                eventually(lambda n=n: work.taken[-1] == (n, part))
            publisher.take("end")
            eventually(lambda: work.taken[-1] == "end")
            slow.sock.settimeout(0.2)
            got = 0
            while _hears(slow):
                got += 1
            assert got < 900


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
            eventually(lambda: publisher.take(1) or _hears(all_of_it))
            picky.sock.settimeout(0.1)
            with pytest.raises(TimeoutError):
                _event(picky)


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
