"""What arrives for a Puller: methods run one by one, in order, and links wait for them."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import logging
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import zerorpc
from tests.service.running import (
    NEEDS_THREADS_AT_THE_END,
    PATIENCE,
    TCP,
    Program,
    RawPeer,
    eventually,
    on_thread,
    run,
    serving,
    unused_tcp,
)
from tests.service.services import Work
from tests.transport.forking import EACH_WAY as EACH_WAY_TO_FORK
from zerorpc.protocol.events import encode
from zerorpc.transport.aio_link import AioLink
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
    assert "NameError: unknown" in caplog.text


def test_events_that_make_no_sense_disturb_nobody(work: Work, endpoint: str) -> None:
    with RawPeer.to(endpoint, SocketType.PUSH) as peer:
        for data in (b"", b"\xc1", b"\x93\x80\xa4take\xa1\xff"):
            peer.connection.send_message([data])
        peer._flush()
    with zerorpc.Pusher() as pusher:
        pusher.connect(endpoint)
        pusher.take("sense")
        eventually(lambda: work.taken == ["sense"])


def test_a_puller_takes_no_more_than_it_can_hold(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    monkeypatch.setattr("zerorpc.one_way.arrivals._QUEUED_MAX", 100)
    puller = zerorpc.Puller(work)
    endpoint = puller.bind(TCP)[0]
    with on_thread(puller), zerorpc.Pusher() as pusher:
        pusher.connect(endpoint)
        pusher.block()
        part = b"x" * 10_000
        thread = threading.Thread(target=lambda: [pusher.take(part) for _ in range(5000)])
        thread.start()
        eventually(lambda: puller._core._paused)  # and not that 100 are queued: one of them may be in hand by then
        before, since = -1, time.monotonic()
        while time.monotonic() - since < 0.2:
            if puller._core._arrived.qsize() != before:
                before, since = puller._core._arrived.qsize(), time.monotonic()
            time.sleep(0.005)
        assert before < 300  # of 5,000
        work.release.set()
        thread.join(PATIENCE)
        eventually(lambda: len(work.taken) == 5000)


def test_nor_more_octets(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    monkeypatch.setattr("zerorpc.one_way.arrivals._OCTETS_MAX", 3_000_000)
    puller = zerorpc.Puller(work)
    endpoint = puller.bind(TCP)[0]
    with on_thread(puller), zerorpc.Pusher() as pusher:
        pusher.connect(endpoint)
        pusher.block()
        thread = threading.Thread(target=lambda: [pusher.take(bytes(1_000_000)) for _ in range(40)])
        thread.start()
        inbox = puller._core
        eventually(lambda: inbox._paused)
        assert inbox._arrived.octets < 5_000_000  # of 40
        work.release.set()
        thread.join(PATIENCE)
        eventually(lambda: len(work.taken) == 40)
        assert inbox._arrived.octets == 0


def test_what_is_paused_just_when_the_last_event_has_been_taken_is_read_on(
    monkeypatch: pytest.MonkeyPatch, work: Work
) -> None:
    """The methods' thread may take all that is queued between the look at the queue and the pause."""
    monkeypatch.setattr("zerorpc.one_way.arrivals._QUEUED_MAX", 10)
    pause = AioLink.pause_reading

    def pause_late(link: AioLink) -> None:
        work.release.set()
        eventually(puller._core._arrived.empty)
        pause(link)

    monkeypatch.setattr(AioLink, "pause_reading", pause_late)
    puller = zerorpc.Puller(work)
    endpoint = puller.bind(TCP)[0]
    with on_thread(puller), zerorpc.Pusher() as pusher:
        pusher.connect(endpoint)
        pusher.block()
        for _ in range(500):
            pusher.take(b"x" * 1000)
        eventually(lambda: len(work.taken) == 500)


def test_a_pusher_that_goes_while_it_is_read_no_further(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    monkeypatch.setattr("zerorpc.one_way.arrivals._QUEUED_MAX", 10)
    puller = zerorpc.Puller(work)
    endpoint = puller.bind(TCP)[0]
    inbox = puller._core
    with on_thread(puller):
        with RawPeer.to(endpoint, SocketType.PUSH) as peer:
            for n in range(20):
                peer.connection.send_message(
                    [encode({"message_id": n, "v": 3}, "block" if n == 0 else "take", [n][:n])]
                )
            peer.sock.sendall(b"".join(peer.connection.take_output()))
            eventually(lambda: inbox._paused)
            (link,) = inbox.hub.links
            inbox.hub.loop.call_soon_threadsafe(link.abort, zerorpc.LostRemote("it is gone"))
            eventually(lambda: not inbox._paused)
        work.release.set()
        eventually(lambda: len(work.taken) == 19)  # what had arrived is done
        with zerorpc.Pusher() as pusher:
            pusher.connect(endpoint)
            for _ in range(50):
                pusher.take("more")
            eventually(lambda: work.taken.count("more") == 50)


# What methods may do. Each on ``run`` and on ``serve``.


@contextlib.contextmanager
def pulling(how: str, methods: Any, context: zerorpc.Context | None = None) -> Iterator[zerorpc.Puller]:
    """A puller that runs in a thread, or serves there; its endpoint is its first."""
    puller = zerorpc.Puller(methods, context)
    puller.bind(TCP)
    if how == "serve":
        puller.run = lambda: asyncio.run(puller.serve())  # type: ignore[method-assign]
    with on_thread(puller):
        yield puller


@contextlib.contextmanager
def pushing_to(puller: zerorpc.Puller) -> Iterator[zerorpc.Pusher]:
    with zerorpc.Pusher() as pusher:
        pusher.connect(puller.endpoints)
        yield pusher


EACH_WAY = pytest.mark.parametrize("how", ["run", "serve"])
KINDS = [
    "coroutine",
    "wrapped",
    "plain",
    "generator",
    "wrapped_generator",
    "async_generator",
    "wrapped_async_generator",
]
EACH_KIND = pytest.mark.parametrize("kind", KINDS)


class Kinds:
    """``act``, in the middle of each kind of method."""

    def __init__(self, act: Callable[[Any], object]) -> None:
        self.act = act

    async def coroutine(self, value: Any) -> None:
        await asyncio.sleep(0)
        self.act(value)

    def wrapped(self, value: Any) -> Any:
        return self.coroutine(value)

    def plain(self, value: Any) -> None:
        self.act(value)

    def generator(self, value: Any) -> Iterator[int]:
        yield 1
        self.act(value)
        yield 2

    def wrapped_generator(self, value: Any) -> Any:
        return self.generator(value)

    async def async_generator(self, value: Any) -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(0)
        self.act(value)
        yield 2

    def wrapped_async_generator(self, value: Any) -> Any:
        return self.async_generator(value)


@EACH_WAY
@EACH_KIND
def test_every_kind_of_method_runs_to_its_end_in_order(how: str, kind: str) -> None:
    taken: list[int] = []
    with pulling(how, Kinds(taken.append)) as puller, pushing_to(puller) as pusher:
        for n in range(50):
            pusher(kind, n)
        eventually(lambda: len(taken) == 50)
    assert taken == list(range(50))


@EACH_WAY
@EACH_KIND
def test_each_event_sees_the_context_of_who_runs_and_of_no_other_event(how: str, kind: str) -> None:
    variable: contextvars.ContextVar[Any] = contextvars.ContextVar("variable")
    seen: list[Any] = []

    def act(value: Any) -> None:
        seen.append(variable.get())
        variable.set(value)

    class Runs(zerorpc.Puller):
        def run(self) -> None:
            variable.set("the caller's")
            if how == "run":
                super().run()
            else:
                asyncio.run(self.serve())

    puller = Runs(Kinds(act))
    puller.bind(TCP)
    with on_thread(puller), pushing_to(puller) as pusher:
        for n in range(3):
            pusher(kind, n)
        eventually(lambda: len(seen) == 3)
    assert seen == ["the caller's"] * 3


@EACH_WAY
@pytest.mark.parametrize("kind", ["coroutine", "wrapped", "async_generator"])
def test_each_coroutine_has_a_task_of_its_own_and_may_cancel_it(how: str, kind: str) -> None:
    tasks: list[Any] = []

    def act(value: Any) -> None:
        task = asyncio.current_task()
        tasks.append(task)
        assert task is not None
        if value == "cancel":
            task.cancel()

    with pulling(how, Kinds(act)) as puller, pushing_to(puller) as pusher:
        for value in ("cancel", 1, "cancel", 2):
            pusher(kind, value)
        eventually(lambda: len(tasks) == 4)
    assert len({id(task) for task in tasks}) == 4


class Base(BaseException):
    """Derived from what nobody catches."""


@EACH_WAY
@EACH_KIND
@pytest.mark.parametrize("error", [Base("why"), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()], ids=repr)
def test_whatever_a_method_raises_the_next_event_has_its_turn(how: str, kind: str, error: BaseException) -> None:
    """Unless it is the main thread's own: see the tests of Ctrl-C."""
    taken: list[Any] = []

    def act(value: Any) -> None:
        if value == "raise":
            raise error
        taken.append(value)

    with pulling(how, Kinds(act)) as puller, pushing_to(puller) as pusher:
        pusher(kind, "raise")
        pusher(kind, 1)
        pusher("plain", "raise")
        pusher("coroutine", 2)
        eventually(lambda: taken == [1, 2])


@EACH_WAY
def test_a_hook_or_log_that_raises_ends_nothing(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hooks:
        def server_inspect_exception(self, *_: Any) -> None:
            raise Base("a hook")

    taken: list[Any] = []
    context = zerorpc.Context()
    context.register_middleware(Hooks())
    with pulling(how, Kinds(taken.append), context) as puller, pushing_to(puller) as pusher:
        pusher.unknown()
        pusher.plain(1)
        eventually(lambda: taken == [1])

        class Filter(logging.Filter):
            def filter(self, record: Any) -> bool:
                raise Base("a filter")

        broken = Filter()
        logging.getLogger("zerorpc.server").addFilter(broken)
        try:
            pusher.unknown()
            pusher.coroutine(2)
            eventually(lambda: taken == [1, 2])
        finally:
            logging.getLogger("zerorpc.server").removeFilter(broken)


@EACH_WAY
def test_a_method_gets_the_args_of_a_hook_that_changed_them(how: str) -> None:
    def change(event: Any) -> None:
        event.args = ["changed"]

    taken: list[Any] = []
    context = zerorpc.Context()
    context.register_middleware({"server_before_exec": change})
    with pulling(how, Kinds(taken.append), context) as puller, pushing_to(puller) as pusher:
        pusher.plain("as sent")
        pusher.coroutine("as sent")
        eventually(lambda: taken == ["changed", "changed"])


@EACH_WAY
def test_a_header_that_can_not_be_decoded_ends_nothing(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Any] = []
    failed: list[Any] = []

    def fail(data: bytes) -> None:
        failed.append(data)
        raise ZeroDivisionError

    with pulling(how, Kinds(taken.append)) as puller, pushing_to(puller) as pusher:
        with monkeypatch.context() as patch:
            patch.setattr("zerorpc.doors.event_invocation.decode_header", fail)
            pusher.plain("bad")
            eventually(lambda: failed)
        pusher.plain("good")
        eventually(lambda: taken == ["good"])


@pytest.mark.parametrize("junk", ["many", "text"])
@pytest.mark.parametrize("kind", [zerorpc.Puller, zerorpc.Subscriber])
def test_an_event_with_a_header_of_no_sense_ends_nothing(kind: type[zerorpc.Puller], junk: str) -> None:
    taken: list[Any] = []
    puller = kind({"take": taken.append})
    endpoint = puller.bind(TCP)[0]
    text = b"\xa1k\xa3\xff\xfe\xfd"  # a value that isn't UTF-8
    header = b"\x82\xa1v\x03" + text
    items = b"\xdc\x05\xdc" + b"\x01" * 1500 if junk == "many" else b"\x91\x01"
    sender = SocketType.PUB if kind is zerorpc.Subscriber else SocketType.PUSH
    with on_thread(puller), RawPeer.to(endpoint, sender) as peer:
        for data in (b"\x93" + header + b"\xa4take" + items, encode({"message_id": 1, "v": 3}, "take", ["good"])):
            peer.connection.send_message([data])
        peer.sock.sendall(b"".join(peer.connection.take_output()))
        eventually(lambda: taken[-1:] == ["good"])


class Awaits:
    """Something to await that is no coroutine."""

    def __init__(self, act: Callable[[Any], object], value: Any) -> None:
        self.act = lambda: act(value)

    def __await__(self) -> Any:
        yield from asyncio.sleep(0).__await__()
        self.act()


class Gives(Awaits):
    """As clients of databases do, which are connected when they are awaited."""

    def __await__(self) -> Any:
        self.act()
        return self
        yield


class Items:
    """Has items, and is no iterator."""

    def __init__(self, act: Callable[[Any], object], value: Any) -> None:
        self.act = lambda: act(value)

    def __iter__(self) -> Iterator[int]:
        yield 1
        self.act()


class AsyncItems(Items):
    __iter__ = None  # type: ignore[assignment]

    async def __aiter__(self) -> AsyncIterator[int]:
        yield 1
        self.act()


class Returns:
    """What a method returns is awaited, or iterated over, as a server does it."""

    def __init__(self, act: Callable[[Any], object]) -> None:
        self.kinds = Kinds(act)

    def awaitable(self, value: Any) -> Any:
        return Awaits(self.kinds.act, value)

    @zerorpc.on_loop
    def awaitable_on_loop(self, value: Any) -> Any:
        return Awaits(self.kinds.act, value)

    async def awaitable_of_a_coroutine(self, value: Any) -> Any:
        return Awaits(self.kinds.act, value)

    def awaitable_that_gives_itself(self, value: Any) -> Any:
        return Gives(self.kinds.act, value)

    async def coroutine_of_a_coroutine(self, value: Any) -> Any:
        return self.kinds.coroutine(value)

    async def async_generator_of_a_coroutine(self, value: Any) -> Any:
        return self.kinds.async_generator(value)

    @zerorpc.stream
    def iterable(self, value: Any) -> Any:
        return Items(self.kinds.act, value)

    @zerorpc.stream
    def async_iterable(self, value: Any) -> Any:
        return AsyncItems(self.kinds.act, value)

    @zerorpc.stream
    async def coroutine_of_an_iterable(self, value: Any) -> Any:
        return self.kinds.generator(value)


@EACH_WAY
def test_what_a_method_returns_runs_to_its_end(how: str) -> None:
    taken: list[str] = []
    names = [name for name in vars(Returns) if not name.startswith("_")]
    with pulling(how, Returns(taken.append)) as puller, pushing_to(puller) as pusher:
        for name in names:
            pusher(name, name)
        eventually(lambda: len(taken) == len(names), f"{taken}")
    assert taken == names


@EACH_WAY
def test_tasks_that_a_method_leaves_behind_go_on_and_are_cancelled_at_the_end(how: str) -> None:
    taken: list[Any] = []
    release = threading.Event()
    tasks: list[Any] = []

    async def background() -> None:
        try:
            for n in range(10**6):
                taken.append(n)
                await asyncio.sleep(0.001)
        finally:
            taken.append("cancelled")

    async def begin() -> None:
        tasks.append(asyncio.create_task(background()))

    methods = {"begin": begin, "block": lambda: release.wait(PATIENCE)}
    with pulling(how, methods) as puller, pushing_to(puller) as pusher:
        pusher.begin()
        eventually(lambda: taken)
        pusher.block()
        before = len(taken)
        eventually(lambda: len(taken) > before + 5)
        release.set()
    assert taken[-1] == "cancelled"


def test_out_of_threads_an_event_is_lost_and_the_next_has_its_turn(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    start = threading.Thread.start
    refused: list[str] = []
    taken: list[int] = []

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "zerorpc-methods" and len(refused) < 2:
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pulling("run", Kinds(taken.append)) as puller, pushing_to(puller) as pusher:
        pusher.coroutine(1)
        pusher.wrapped(2)
        pusher.coroutine(3)
        eventually(lambda: taken == [3])
    assert "coroutine raised RuntimeError" in caplog.text
    assert "wrapped raised RuntimeError" in caplog.text
    gc.collect()  # nothing was left that was never awaited


# Methods that push, call and block. The sockets live on a loop where none of them runs.


@EACH_KIND
def test_a_blocking_pusher_in_a_method(kind: str, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its first use, and when its queue is full."""
    monkeypatch.setattr("zerorpc.one_way.send_queue.QUEUED_MAX", 5)
    with zerorpc.Pusher() as onward, zerorpc.Publisher() as publisher, pulling("run", work) as last:
        onward.connect(last.endpoints)
        publisher.bind(TCP)

        def act(value: Any) -> None:
            for n in range(50):
                onward.take(n)
            publisher.take(value)

        with pulling("run", Kinds(act)) as puller, pushing_to(puller) as pusher:
            pusher(kind, 1)
            eventually(lambda: work.taken == list(range(50)))


@EACH_KIND
def test_a_blocking_client_in_a_method(kind: str) -> None:
    replies: list[Any] = []
    with serving({"echo": lambda value: value}) as server, zerorpc.Client(server.endpoints[0]) as client:
        with pulling("run", Kinds(lambda value: replies.append(client.echo(value)))) as puller:
            with pushing_to(puller) as pusher:
                pusher(kind, 1)
                eventually(lambda: replies == [1])


@EACH_KIND
def test_a_method_that_blocks_holds_up_no_other_socket(kind: str, work: Work) -> None:
    release = threading.Event()
    begun = threading.Event()

    def act(value: Any) -> None:
        begun.set()
        release.wait(PATIENCE)

    with pulling("run", Kinds(act)) as puller, pushing_to(puller) as pusher:
        pusher(kind, 1)
        assert begun.wait(PATIENCE)
        with pulling("run", work) as other, pushing_to(other) as onward:
            onward.take(1)
            onward.take_async(2)
            eventually(lambda: work.taken == [1, 2])
        release.set()


@EACH_WAY
@EACH_KIND
def test_a_method_that_pushes_to_its_own_puller(how: str, kind: str) -> None:
    taken: list[int] = []
    with zerorpc.Pusher() as pusher:

        def act(value: int) -> None:
            taken.append(value)
            if value < 20:
                pusher(kind, value + 1)

        with pulling(how, Kinds(act)) as puller:
            pusher.connect(puller.endpoints)
            pusher(kind, 0)
            eventually(lambda: taken == list(range(21)))


@pytest.mark.parametrize("kind", KINDS)
def test_two_pullers_of_one_process_whose_methods_call_each_other(kind: str) -> None:
    """Each pushes to the other and waits until that one's method has run."""
    done = [threading.Event(), threading.Event()]
    pushers = [zerorpc.Pusher(), zerorpc.Pusher()]

    def method(own: int) -> Callable[[Any], None]:
        def act(value: Any) -> None:
            if value == "first":
                pushers[1 - own](kind, "second")
                assert done[1 - own].wait(PATIENCE)
            done[own].set()

        return act

    with pulling("run", Kinds(method(0))) as one, pulling("run", Kinds(method(1))) as two:
        for pusher, puller in zip(pushers, (one, two), strict=True):
            pusher.connect(puller.endpoints)
        pushers[0](kind, "first")
        assert done[0].wait(PATIENCE)
        for pusher in pushers:
            pusher.close()


@EACH_WAY
@EACH_KIND
@pytest.mark.parametrize("end", ["stop", "close"])
def test_any_kind_of_method_may_end_its_puller(how: str, kind: str, end: str) -> None:
    puller = zerorpc.Puller(Kinds(lambda value: getattr(puller, end)()))
    puller.bind(TCP)
    run = puller.run if how == "run" else lambda: asyncio.run(puller.serve())
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    with pushing_to(puller) as pusher:
        pusher(kind, 1)
        thread.join(PATIENCE)
        assert not thread.is_alive()
    puller.close()


# Its life


def test_a_puller_runs_once_at_a_time(puller: zerorpc.Puller) -> None:
    eventually(lambda: puller._core.hub.loop)
    with pytest.raises(RuntimeError, match="this socket is receiving already, in another thread or task"):
        puller.run()
    with pytest.raises(RuntimeError, match="this socket is receiving already"):
        run(puller.serve())


@NEEDS_THREADS_AT_THE_END
@pytest.mark.parametrize("how", ["puller.run()", "asyncio.run(puller.serve())"])
def test_a_puller_in_a_thread_when_the_main_thread_has_ended(how: str) -> None:
    text = """
    import asyncio, sys, threading
    import zerorpc
    class Work:
        def take(self, value):
            print(value, flush=True)
        async def end(self):
            puller.stop()
    def work():
        threading.main_thread().join()
        global puller
        puller = zerorpc.Puller(Work())
        print(puller.bind("tcp://127.0.0.1:0")[0], flush=True)
        RUN
        puller.close()
    threading.Thread(target=work).start()
    """
    with Program(text.replace("RUN", how)) as program, zerorpc.Pusher() as pusher:
        pusher.connect(program.line())
        pusher.take("hello")
        pusher.end()
        assert program.end() == (0, "hello\n", "")


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
@pytest.mark.parametrize("how", ["Ctrl-C", "sys.exit"])
def test_a_signal_in_a_method_ends_a_puller_on_the_main_thread(kind: str, how: str) -> None:
    text = """
    import asyncio, signal, sys, time, zerorpc
    class Work:
        def plain(self):
            print("begun", flush=True)
            for _ in range(2000):  # a signal just before a sleep is heeded after it
                time.sleep(0.01)
        async def coroutine(self):
            print("begun", flush=True)
            try:
                await asyncio.sleep(20)
            finally:
                print("cancelled", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    puller = zerorpc.Puller(Work())
    print(puller.bind("tcp://127.0.0.1:0")[0], flush=True)
    try:
        puller.run()
    except (KeyboardInterrupt, SystemExit) as error:
        print(repr(error), flush=True)
    puller.close()
    """
    with Program(text) as program, zerorpc.Pusher() as pusher:
        pusher.connect(program.line())
        pusher(kind)
        assert program.line() == "begun"
        program.signal(signal.SIGINT if how == "Ctrl-C" else signal.SIGTERM)
        ended = "KeyboardInterrupt()" if how == "Ctrl-C" else "SystemExit(7)"
        assert program.end() == (0, ("cancelled\n" if kind == "coroutine" else "") + ended + "\n", "")


@pytest.mark.parametrize("kind", ["take", "take_async"])
def test_cancelling_serve_in_a_method_cancels_a_coroutine_and_waits_for_its_end(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    begun, ended, release = asyncio.Event(), asyncio.Event(), threading.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def take() -> None:
            loop.call_soon_threadsafe(begun.set)
            release.wait(PATIENCE)

        async def take_async() -> None:
            begun.set()
            try:
                await asyncio.sleep(PATIENCE)
            finally:
                await asyncio.sleep(0.01)
                ended.set()

        puller = zerorpc.Puller({"take": take, "take_async": take_async})
        puller.bind(TCP)
        task = asyncio.ensure_future(puller.serve())
        async with zerorpc.Pusher() as pusher:
            pusher.connect(puller.endpoints)
            await pusher(kind)
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert ended.is_set() == (kind == "take_async")
        release.set()

    run(main())
    assert not caplog.records


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


def test_a_dropped_puller_closes(work: Work, ipc_endpoint: str) -> None:
    with zerorpc.Pusher() as pusher:
        puller = zerorpc.Puller(work)
        puller.connect(pusher.bind(TCP))
        puller.bind(ipc_endpoint)
        thread = threading.Thread(target=puller.run)
        thread.start()
        pusher.take(1)
        eventually(lambda: work.taken == [1])
        puller.stop()
        thread.join(PATIENCE)
        assert pusher._core.hub.links
        del puller, thread
        eventually(lambda: not pusher._core.hub.links, "the connection is closed")
        zerorpc.Puller(work).bind(ipc_endpoint)  # dropped at once
        with zerorpc.Puller(work) as again:
            again.bind(ipc_endpoint)


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


def test_cancelling_serve_closes_the_puller(work: Work) -> None:
    async def main() -> None:
        puller = zerorpc.Puller(work)
        endpoint = puller.bind(unused_tcp())[0]
        task = asyncio.ensure_future(puller.serve())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with zerorpc.Puller(work) as again:
            again.bind(endpoint)

    run(main())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("end", ["puller.stop()", "puller.close(); puller.close()"])
def test_a_forked_child_ends_its_copy_of_a_puller_at_once_and_leaves_the_parents_alone(end: str) -> None:
    text = """
    import os, signal, threading, zerorpc
    class Work:
        def take(self, value):
            print(value, flush=True)
            taken.set()
    taken = threading.Event()
    puller = zerorpc.Puller(Work())
    endpoint = puller.bind("tcp://127.0.0.1:0")[0]
    print(endpoint, flush=True)
    runs = threading.Thread(target=puller.run)
    runs.start()
    taken.wait()
    if (pid := os.fork()) == 0:
        signal.alarm(30)
        END
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    taken.clear()
    print("child", code, flush=True)
    taken.wait()
    puller.close()
    runs.join()
    """
    with Program(text.replace("END", end)) as program, zerorpc.Pusher() as pusher:
        pusher.connect(program.line())
        pusher.take("before")
        assert program.line() == "before"
        assert program.line() == "child 0"
        pusher.take("after")
        code, out, err = program.end()
    assert (code, out) == (0, "after\n"), err


@EACH_WAY_TO_FORK
@pytest.mark.parametrize("how", ["puller.run()", "asyncio.run(puller.serve())"])
def test_a_puller_in_use_works_anew_in_a_forked_child(fork: str, how: str) -> None:
    text = """
    import asyncio, os, signal, sys, threading, zerorpc
    class Work:
        def take(self, value):
            print(os.getpid() == first, value, flush=True)
        def fork(self):
            asked.set()
        async def end(self):
            puller.stop()
    first, asked = os.getpid(), threading.Event()
    puller = zerorpc.Puller(Work())
    puller.connect(sys.argv[1])
    pulls = threading.Thread(target=puller.run)
    pulls.start()
    asked.wait()
    puller.stop()
    pulls.join()
    if (pid := FORK()) == 0:
        signal.alarm(30)
        RUN
        puller.close()
        os._exit(0)
    puller.close()
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """
    with zerorpc.Pusher() as pusher:
        endpoint = pusher.bind(TCP)[0]
        with Program(text.replace("FORK", fork).replace("RUN", how), endpoint) as program:
            pusher.take("before")
            assert program.line() == "True before"
            links = pusher._core._queue.links
            parents = set(links)  # the child has none as long as it isn't asked for
            pusher.fork()
            eventually(lambda: links and not parents.intersection(links), "only the child is connected")
            pusher.take("after")
            assert program.line() == "False after"
            pusher.end()
            code, out, err = program.end()
            assert (code, out) == (0, ""), err


@EACH_WAY_TO_FORK
@EACH_KIND
def test_a_child_that_a_method_forks_ends_with_the_method(fork: str, kind: str) -> None:
    text = """
    import os, signal, sys, threading, zerorpc
    from tests.one_way.test_inbox import Kinds
    def act(value):
        if value == "end":
            print("ended", flush=True)
            puller.stop()
        elif (pid := FORK()) == 0:
            signal.alarm(30)
            return
        else:
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    puller = zerorpc.Puller(Kinds(act))
    print(puller.bind("tcp://127.0.0.1:0")[0], flush=True)
    puller.run()
    puller.close()
    """
    with Program(text.replace("FORK", fork)) as program, zerorpc.Pusher() as pusher:
        pusher.connect(program.line())
        pusher(kind, "fork")
        assert program.line() == "0"
        pusher(kind, "end")
        code, out, err = program.end()
        assert (code, out) == (0, "ended\n"), err
