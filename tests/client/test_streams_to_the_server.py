"""Arguments that stream, on every kind of method and by every way to call; and both directions at once."""

from __future__ import annotations

import asyncio
import gc
import io
import itertools
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import zerorpc
from tests.client.ways import EACH_WAY, EITHER_CLIENT, Way, background
from tests.service.process_services import moved_in_process
from tests.service.running import PATIENCE, RawPeer, eventually, eventually_async, joined, run, serving
from zerorpc.protocol.channel import DEFAULT_SLOTS
from zerorpc.protocol.flow import FIRST_SLOTS
from zerorpc.protocol.peer import EXTENSION_LEVEL
from zerorpc.zmtp import SocketType

SHORT = 0.2  # s
OURS = {"X-Zerorpc": str(EXTENSION_LEVEL).encode()}


class Service:
    def __init__(self) -> None:
        self.read: list[Any] = []
        self.entered = threading.Event()
        self.release = threading.Event()
        self.ended = threading.Event()
        self.failures: list[BaseException] = []

    def total(self, numbers: Iterator[int]) -> int:
        return sum(numbers)

    def total_of_iterable(self, numbers: Iterable[int], *, start: int = 0) -> int:
        return sum(numbers, start)

    def total_of_generator(self, start: int, numbers: Generator[int, None, None]) -> int:
        return sum(numbers, start)

    @zerorpc.takes_stream("numbers")
    def marked(self, numbers):  # type: ignore[no-untyped-def]
        return sum(numbers)

    async def atotal(self, numbers: AsyncIterator[int]) -> int:
        return sum([number async for number in numbers])

    async def atotal_of_iterable(self, numbers: AsyncIterable[int], start: int = 0) -> int:
        return sum([number async for number in numbers], start)

    async def atotal_of_generator(self, *, numbers: AsyncGenerator[int, None]) -> int:
        return sum([number async for number in numbers])

    @zerorpc.takes_stream("numbers")
    async def amarked(self, numbers):  # type: ignore[no-untyped-def]
        return sum([number async for number in numbers])

    def chat(self, words: Iterator[str]) -> Iterator[str]:
        for word in words:
            yield word.upper()

    async def achat(self, words: AsyncIterator[str]) -> AsyncIterator[str]:
        async for word in words:
            yield word.upper()

    async def areads_one(self, numbers: AsyncIterator[int]) -> None:
        await anext(numbers)
        await asyncio.sleep(PATIENCE)

    def first(self, words: Iterator[Any], count: int = 1) -> list[Any]:
        return [next(words) for _ in range(count)]

    async def afirst(self, words: AsyncIterator[Any], count: int = 1) -> list[Any]:
        return [await anext(words) for _ in range(count)]

    def only_reads(self, words: Iterator[Any]) -> None:
        self._noting(lambda: self.read.extend(words))

    async def aonly_reads(self, words: AsyncIterator[Any]) -> None:
        self.entered.set()
        try:
            async for word in words:
                self.read.append(word)
        except BaseException as error:
            self.failures.append(error)
            raise
        finally:
            self.ended.set()

    def reads_nothing(self, words: Iterator[Any]) -> str:
        self.entered.set()
        self.release.wait(PATIENCE)
        return "read nothing"

    def reads_one(self, words: Iterator[Any]) -> Any:
        word = next(words)
        self.entered.set()
        self.release.wait(PATIENCE)
        return word

    def fails(self, words: Iterator[Any]) -> None:
        next(words)
        raise ValueError("on purpose")

    def sizes(self, chunks: Iterator[bytes]) -> list[int]:
        return [len(chunk) for chunk in chunks]

    def nothing_streams(self, words: list[str], *rest: Any, other: Any = None, **more: Any) -> None: ...

    async def blocks_the_loop(self, words: Iterator[str]) -> None: ...

    in_process = staticmethod(moved_in_process)

    def plain(self, value: Any) -> Any:
        return value

    def _noting(self, act: Any) -> None:
        self.entered.set()
        try:
            act()
        except BaseException as error:
            self.failures.append(error)
            raise
        finally:
            self.ended.set()


@pytest.fixture
def service() -> Iterator[Service]:
    found = Service()
    yield found
    found.release.set()


@pytest.fixture
def endpoint(service: Service) -> Iterator[str]:
    with serving(service) as server:
        yield server.endpoints[0]


TOTALS = ["total", "total_of_iterable", "marked", "atotal", "atotal_of_iterable", "amarked"]


@EACH_WAY
@pytest.mark.parametrize("method", TOTALS)
@pytest.mark.parametrize("count", [0, 1, 4, 1000])
def test_items_arrive_in_order_and_all(endpoint: str, method: str, count: int, way: Way) -> None:
    assert way(endpoint, lambda client: client(method, iter(range(count)))) == sum(range(count))


@EACH_WAY
def test_by_keyword_and_among_others(endpoint: str, way: Way) -> None:
    assert way(endpoint, lambda c: c.total_of_iterable(start=5, numbers=(n for n in [1, 2]))) == 8
    assert way(endpoint, lambda c: c.total_of_generator(5, (n for n in [1, 2]))) == 8
    assert way(endpoint, lambda c: c.atotal_of_iterable(iter([1, 2]), 5)) == 8
    assert way(endpoint, lambda c: c.atotal_of_generator(numbers=iter([1, 2]))) == 3


@EACH_WAY
@pytest.mark.parametrize("method", [*TOTALS, "chat", "achat"])
def test_a_list_does_for_one(endpoint: str, method: str, way: Way) -> None:
    """An older client sends no stream; and the method gets what its annotation says."""
    if "chat" in method:
        assert way(endpoint, lambda client: client(method, ["a", "b"])) == ["A", "B"]
    else:
        assert way(endpoint, lambda client: client(method, [1, 2, 3])) == 6


def test_an_async_iterator_of_an_async_client(endpoint: str) -> None:
    async def numbers(count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number
            if number % 100 == 0:
                await asyncio.sleep(0)

    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            for method in TOTALS:
                assert await client(method, numbers(1000)) == sum(range(1000))

    run(main())


def test_a_blocking_client_takes_no_async_iterator(endpoint: str) -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1

    with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        for kwargs in ({}, {"async_": True}):
            with pytest.raises(TypeError, match="an AsyncClient sends async iterators"):
                client.total(numbers(), **kwargs)
        assert client.plain(1) == 1


@EACH_WAY
def test_a_file_goes_in_chunks(endpoint: str, tmp_path: Path, way: Way) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x\n" * 100_000)
    with path.open("rb") as file:
        sizes = way(endpoint, lambda client: client.sizes(file))
    assert sizes == [65536, 65536, 65536, 3392]
    assert way(endpoint, lambda client: client.sizes(io.BytesIO(b"abc"))) == [3]
    assert way(endpoint, lambda client: client.chat(io.StringIO("a\nb\n"))) == ["A\n", "B\n"]


# Both directions


@EACH_WAY
@pytest.mark.parametrize("method", ["chat", "achat"])
def test_both_directions(endpoint: str, method: str, way: Way) -> None:
    words = [f"word {n}" for n in range(500)]
    assert way(endpoint, lambda client: client(method, iter(words))) == [word.upper() for word in words]


@pytest.mark.parametrize("method", ["chat", "achat"])
def test_question_and_answer_in_turn(endpoint: str, method: str) -> None:
    """gRPC's ping_pong: nothing is asked before the answer to what was asked before."""
    asked: list[str] = []
    turn = threading.Semaphore(1)

    def questions() -> Iterator[str]:
        for number in range(50):
            assert turn.acquire(timeout=PATIENCE)
            asked.append(f"word {number}")
            yield asked[-1]

    with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        for number, answer in enumerate(client(method, questions())):
            assert answer == f"WORD {number}"
            assert len(asked) == number + 1
            turn.release()
        assert number == 49

    async def main() -> None:
        may_ask = asyncio.Event()
        may_ask.set()

        async def aquestions() -> AsyncIterator[str]:
            for number in range(50):
                await may_ask.wait()
                may_ask.clear()
                yield f"word {number}"

        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            number = 0
            async for answer in client(method, aquestions()):
                assert answer == f"WORD {number}"
                number += 1
                may_ask.set()
            assert number == 50

    run(main())


# Credit and time


@EITHER_CLIENT
def test_who_is_not_read_is_not_asked(service: Service, endpoint: str, way: Way) -> None:
    asked: list[int] = []

    def numbers() -> Iterator[int]:
        while True:
            asked.append(1)
            yield len(asked)

    def later(client: Any) -> Any:
        timer = threading.Timer(SHORT, lambda: (service.entered.wait(PATIENCE), service.release.set()))
        timer.start()
        return client.reads_nothing(numbers())

    assert way(endpoint, later) == "read nothing"
    assert asked == []
    service.entered.clear()
    service.release.clear()
    assert way(endpoint, lambda client: (_once(service), client.reads_one(numbers()))[1]) == 1
    assert 1 <= len(asked) <= DEFAULT_SLOTS + 1


def _once(service: Service) -> None:
    threading.Timer(SHORT, lambda: (service.entered.wait(PATIENCE), service.release.set())).start()


@EACH_WAY
def test_a_server_that_does_not_read_is_given_up_in_time(service: Service, endpoint: str, way: Way) -> None:
    with pytest.raises(zerorpc.TimeoutExpired, match="calling remote method reads_nothing"):
        way(endpoint, lambda client: client.reads_nothing(iter([1])), timeout=SHORT)
    with pytest.raises(zerorpc.TimeoutExpired, match="calling remote method reads_one"):
        way(endpoint, lambda client: client.reads_one(iter([1])), timeout=SHORT)


@EITHER_CLIENT
def test_an_iterator_may_take_longer_than_the_timeout(endpoint: str, way: Way) -> None:
    """At both ends: time counts while the other side is at it."""

    def slowly() -> Iterator[int]:
        for number in (1, 2):
            time.sleep(2)  # not for a condition: so slow is it
            yield number

    assert way(endpoint, lambda client: client.total(slowly()), timeout=3.5) == 3
    with pytest.raises(zerorpc.TimeoutExpired):
        way(endpoint, lambda client: client.total(slowly()), timeout=PATIENCE, deadline=SHORT)


# Ends


@EACH_WAY
@pytest.mark.parametrize("method", ["first", "afirst"])
def test_the_server_may_end_first(endpoint: str, method: str, way: Way) -> None:
    ended = threading.Event()

    def numbers() -> Iterator[int]:
        try:
            number = 0
            while True:
                yield number
                number += 1
        finally:
            ended.set()

    assert way(endpoint, lambda client: client(method, numbers(), 3)) == [0, 1, 2]
    eventually(lambda: gc.collect() is not None and ended.is_set())


class Mine(Exception):
    pass


def failing() -> Iterator[str]:
    yield "a"
    raise Mine("my own")


@EACH_WAY
@pytest.mark.parametrize("method", ["only_reads", "aonly_reads", "chat", "achat"])
def test_what_the_callers_iterator_raises_is_raised_at_both_ends(
    service: Service, endpoint: str, method: str, way: Way
) -> None:
    with pytest.raises(Mine, match="my own"):
        way(endpoint, lambda client: client(method, failing()))
    if "reads" in method:
        assert service.ended.wait(PATIENCE)
        (told,) = service.failures
        assert isinstance(told, zerorpc.RemoteError)
        assert (told.name, told.msg) == ("Mine", "my own")
        assert "in failing" in str(told)
        assert service.read == ["a"]
    assert way(endpoint, lambda client: client.plain("alive")) == "alive"


class Broken(Iterator[str]):
    def __iter__(self) -> Iterator[str]:
        raise Mine("not even begun")

    def __next__(self) -> str:
        raise AssertionError


@EACH_WAY
@pytest.mark.parametrize("method", ["only_reads", "aonly_reads"])
def test_an_iterator_that_cannot_begin_fails_at_both_ends(
    service: Service, endpoint: str, method: str, way: Way
) -> None:
    with pytest.raises(Mine, match="not even begun"):
        way(endpoint, lambda client: client(method, Broken()))
    assert service.ended.wait(PATIENCE)
    (told,) = service.failures
    assert isinstance(told, zerorpc.RemoteError)
    assert (told.name, service.read) == ("Mine", [])


def test_what_sends_ends_with_a_call_that_is_refused_for_good(service: Service) -> None:
    """By a server that stops, and there is no other."""
    way = background
    with serving(service, pool_size=1, grace=PATIENCE) as server:
        endpoint = server.endpoints[0]

        def refused(client: Any) -> Any:
            with zerorpc.Client(endpoint, timeout=PATIENCE) as other:
                running = other.reads_one(iter([1]), async_=True)
                assert service.entered.wait(PATIENCE)
                call = client.total(iter([1]))
                eventually(lambda: server._core.runners is not None and server._core.runners._places.waiting)
                server.stop()
                eventually(server._core.unbound.is_set)
                service.release.set()
                assert running.get() == 1
            return call

        with pytest.raises(zerorpc.ServerStopping):
            way(endpoint, refused)
    eventually(lambda: not [thread for thread in threading.enumerate() if thread.name == "zerorpc-upload"])


@EACH_WAY
def test_an_item_that_cannot_be_sent(service: Service, endpoint: str, way: Way) -> None:
    with pytest.raises(zerorpc.SerializationError, match="object can't be sent"):
        way(endpoint, lambda client: client.only_reads(iter([1, object()])))
    assert service.read == [1]


@EACH_WAY
def test_what_the_method_raises_ends_the_iterator(endpoint: str, way: Way) -> None:
    with pytest.raises(zerorpc.RemoteError, match="on purpose"):
        way(endpoint, lambda client: client.fails(iter(range(10**9))))


def test_a_generator_that_waits_for_credit_is_closed_with_its_call(endpoint: str) -> None:
    """At once, and not when it is collected, perhaps much later."""
    sent: list[int] = []
    ended = threading.Event()

    async def numbers() -> AsyncIterator[int]:
        try:
            for number in itertools.count():
                sent.append(number)
                yield number
        finally:
            ended.set()

    async def waits() -> bool:
        before = len(sent)
        await asyncio.sleep(0.05)
        return len(sent) == before > 0

    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            call = asyncio.ensure_future(client.areads_one(numbers()))
            while not await waits():
                pass
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert ended.is_set()

    gc.disable()
    try:
        run(main())
    finally:
        gc.enable()


@pytest.mark.parametrize("how", ["cancelled", "closed"])
@pytest.mark.parametrize("method", ["only_reads", "aonly_reads"])
def test_giving_the_call_up_ends_both(service: Service, endpoint: str, method: str, how: str) -> None:
    ended = threading.Event()

    async def numbers() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
                await asyncio.sleep(0.001)
        finally:
            ended.set()

    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            call = asyncio.ensure_future(client(method, numbers()))
            await eventually_async(lambda: len(service.read) > 3)
            call.cancel() if how == "cancelled" else client.close()
            with pytest.raises((asyncio.CancelledError, zerorpc.LostRemote)):
                await call
            await eventually_async(ended.is_set)

    run(main())
    assert service.ended.wait(PATIENCE)
    eventually(lambda: service.failures)
    assert isinstance(service.failures[0], (zerorpc.Cancelled, asyncio.CancelledError))


def test_the_connection_is_lost_in_the_middle(service: Service) -> None:
    asked = threading.Event()

    def numbers() -> Iterator[int]:
        yield 1
        asked.set()
        while True:
            yield 2
            time.sleep(0.001)

    with serving(service, grace=0) as server, zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
        call = client.only_reads(numbers(), async_=True)
        assert asked.wait(PATIENCE)
        for link in list(server._core.hub.links):
            server._core.hub.loop.call_soon_threadsafe(link.abort, zerorpc.LostRemote("cut"))
        with pytest.raises(zerorpc.LostRemote) as caught:
            call.get()
        assert caught.value.ran is None
        assert service.ended.wait(PATIENCE)
    eventually(lambda: not [thread for thread in threading.enumerate() if thread.name == "zerorpc-upload"])


# Several readers


def test_two_threads_and_two_tasks_share_the_items() -> None:
    class Shares:
        def threads(self, words: Iterator[int]) -> list[list[int]]:
            found: list[list[int]] = [[], [], []]
            readers = [threading.Thread(target=lambda mine=mine: mine.extend(words)) for mine in found]
            for reader in readers:
                reader.start()
            for reader in readers:
                reader.join(PATIENCE)
                assert not reader.is_alive()
            return found

        async def tasks(self, words: AsyncIterator[int]) -> list[list[int]]:
            async def read() -> list[int]:
                return [word async for word in words]

            return await asyncio.gather(read(), read(), read())

    with joined(Shares()) as client:
        for method in ("threads", "tasks"):
            found = client(method, iter(range(2000)))
            assert sorted(itertools.chain(*found)) == list(range(2000))


def test_many_at_once_on_one_connection(endpoint: str) -> None:
    with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        calls = [client(TOTALS[n % len(TOTALS)], iter(range(n * 10)), async_=True) for n in range(60)]
        assert [call.get() for call in calls] == [sum(range(n * 10)) for n in range(60)]


# What is refused


@EITHER_CLIENT
@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda c: c.nothing_streams(iter("ab")), "argument 0 is a stream, which the method doesn't take"),
        (lambda c: c.nothing_streams([], 1, iter("ab")), "argument 2 is a stream"),
        (lambda c: c.nothing_streams([], other=iter("ab")), "argument other is a stream"),
        (lambda c: c.nothing_streams([], more=iter("ab")), "argument more is a stream"),
        (lambda c: c.plain(1, 2, iter("ab")), "too many positional arguments"),
        (lambda c: c.in_process(iter("ab")), "argument 0 is a stream"),
        (lambda c: c.blocks_the_loop(iter("ab")), "annotate words as AsyncIterator"),
        (lambda c: c._zerorpc_help(iter("ab")), "argument 0 is a stream"),
    ],
)
def test_a_method_that_takes_no_stream(endpoint: str, call: Any, why: str, way: Way) -> None:
    with pytest.raises(zerorpc.WrongArguments) as caught:
        way(endpoint, call)
    assert why in caught.value.msg
    assert caught.value.ran is False


@EITHER_CLIENT
def test_one_argument_streams(endpoint: str, way: Way) -> None:
    with pytest.raises(TypeError, match=r"one argument of a call can stream, and these are iterators: \[0, 'other'\]"):
        way(endpoint, lambda client: client.nothing_streams(iter("a"), other=iter("b")))
    with pytest.raises(zerorpc.UnknownMethod):
        way(endpoint, lambda client: client.missing(iter("a")))


@EACH_WAY
def test_an_old_server_cannot_take_one(monkeypatch: pytest.MonkeyPatch, way: Way) -> None:
    monkeypatch.setattr("zerorpc.protocol.peer.EXTENSION_LEVEL", 0)
    with serving({"total": sum}) as server:
        expected = rf"total: the server at {server.endpoints[0]} .*has no streams from the client"
        with pytest.raises(zerorpc.NotSupported, match=expected):
            way(server.endpoints[0], lambda client: client.total(iter([1])))


def test_a_mark_for_what_isnt_there() -> None:
    with pytest.raises(TypeError, match="has no parameter words"):

        @zerorpc.takes_stream("words")
        def method(numbers: list[int]) -> None: ...


def test_a_client_that_disregards_its_credit_loses_its_call(service: Service, endpoint: str) -> None:
    with RawPeer.to(endpoint, SocketType.DEALER, OURS) as peer:
        peer.send({"message_id": b"1", "v": 3, "_zpc_call": {"stream": 0}}, "reads_one", [None])
        granted = peer.next_event()
        assert (granted.name, granted.args) == ("_zpc_more", [FIRST_SLOTS])
        for number in range(3 * DEFAULT_SLOTS):
            peer.send({"message_id": b"%d" % number, "v": 3, "response_to": b"1"}, "STREAM", number)
        peer.send({"message_id": b"2", "v": 3}, "plain", ["alive"])
        while peer.next_event().args != ["alive"]:
            pass  # it has granted more meanwhile
        service.release.set()


@pytest.mark.parametrize("place", [-1, 5, "words", 2**40, ""])
def test_a_place_that_isnt_there(endpoint: str, place: Any) -> None:
    with RawPeer.to(endpoint, SocketType.DEALER, OURS) as peer:
        peer.send({"message_id": b"1", "v": 3, "_zpc_call": {"stream": place}}, "first", [None])
        event = peer.next_event()
        assert event.name == "ERR"
        assert "stream" in event.args[1]


@pytest.mark.parametrize("method", ["total", "atotal"])
def test_a_peer_of_an_older_level_is_refused_at_once(endpoint: str, method: str) -> None:
    """Its items would be ignored, and the method wait for them for ever."""
    with RawPeer.to(endpoint, SocketType.DEALER, {}) as peer:
        peer.send({"message_id": b"1", "v": 3, "_zpc_call": {"stream": 0}}, method, [None])
        event = peer.next_event()
        assert (event.name, event.args[0]) == ("ERR", "TypeError")
        assert event.args[1].endswith("argument 0 is a stream, whose items a peer without extension level 1 can't send")


def test_an_async_client_takes_many_items_in_one_hop_to_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """And sends each as soon as it is there: the next one may take its time."""
    hops: list[int] = []
    to_thread = asyncio.to_thread

    def counting(*args: Any) -> Any:
        hops.append(1)
        return to_thread(*args)

    class Echo:
        async def heard(self, numbers: AsyncIterator[int]) -> AsyncIterator[int]:
            async for number in numbers:
                yield number

    def numbers() -> Iterator[int]:
        yield from range(2000)
        assert go_on.wait(PATIENCE)
        yield 2000

    async def main(endpoint: str) -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            found = 0
            async for number in client.heard(numbers()):
                assert number == found
                found += 1
                if found == 2000:
                    go_on.set()
            assert found == 2001

    go_on = threading.Event()
    monkeypatch.setattr(asyncio, "to_thread", counting)
    with serving(Echo()) as server:
        run(main(server.endpoints[0]))
    assert len(hops) <= 200
