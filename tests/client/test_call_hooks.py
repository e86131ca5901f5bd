"""``Client(…, on_call=…)`` and ``AsyncClient(…, on_call=…)``: hooks around calls of every kind."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import gc
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Protocol

import pytest

import zerorpc
from tests.service.running import PATIENCE, eventually, eventually_async, run, serving
from zerorpc.client.call_hooks import ClientHook
from zerorpc.client.every import Outcome, Peer
from zerorpc.protocol.events import decode_header

INSIDE: contextvars.ContextVar[str] = contextvars.ContextVar("INSIDE", default="outside")


class Service:
    def __init__(self) -> None:
        self.ran = 0

    def echo(self, *args: Any) -> Any:
        self.ran += 1
        return [list(args), dict(zerorpc.current_call().metadata)]

    def count(self, n: int) -> Iterator[int]:
        self.ran += 1
        yield from range(n)

    def fails(self, x: Any) -> Any:
        raise KeyError(x)

    def fails_in_a_stream(self, x: Any) -> Iterator[Any]:
        yield x
        raise KeyError(x)

    def child(self) -> Any:
        return zerorpc.by_reference(Child())

    def number(self) -> int:
        return 7

    @zerorpc.on_loop
    def forever(self) -> Any:
        return asyncio.sleep(PATIENCE)


class Child:
    def name(self) -> str:
        return "child"


class Log:
    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.calls: list[zerorpc.ClientCall] = []
        self.act: Callable[[zerorpc.ClientCall], object] = lambda call: None

    @contextlib.contextmanager
    def hook(self, call: zerorpc.ClientCall) -> Iterator[None]:
        self.calls.append(call)
        self.seen.append("begin")
        token = INSIDE.set("inside")
        self.act(call)
        try:
            yield
        except BaseException as error:
            self.seen.append(type(error).__name__)
            raise
        finally:
            INSIDE.reset(token)  # in the context where it was set, or this raises
            self.seen.append("end")


class Use(Protocol):
    def __call__(self, endpoint: str, use: Callable[[Any], Any], **settings: Any) -> Any: ...


def blocking(endpoint: str, use: Callable[[Any], Any], **settings: Any) -> Any:
    with zerorpc.Client(endpoint, timeout=PATIENCE, **settings) as client:
        value = use(client)
        return list(value) if isinstance(value, zerorpc.Stream) else value


def background(endpoint: str, use: Callable[[Any], Any], **settings: Any) -> Any:
    with zerorpc.Client(endpoint, timeout=PATIENCE, **settings) as client:
        value = use(zerorpc.options(client, async_=True)).get()
        return list(value) if isinstance(value, zerorpc.Stream) else value


def on_loop(endpoint: str, use: Callable[[Any], Any], **settings: Any) -> Any:
    async def main() -> Any:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE, **settings) as client:
            value = await use(client)
            return [item async for item in value] if isinstance(value, zerorpc.AsyncStream) else value

    return run(main())


EACH_WAY = pytest.mark.parametrize("way", [blocking, background, on_loop])


@pytest.fixture(scope="module")
def service() -> Service:
    return Service()


@pytest.fixture(scope="module")
def endpoint(service: Service) -> Iterator[str]:
    with serving(service) as server:
        yield server.endpoints[0]


@EACH_WAY
def test_around_a_call(way: Use, endpoint: str) -> None:
    log = Log()
    assert way(endpoint, lambda client: client.echo(1, 2), on_call=log.hook) == [[1, 2], {}]
    call = log.calls[0]
    assert (call.method, list(call.args), dict(call.kwargs)) == ("echo", [1, 2], {})
    assert (call.result, call.items, call.endpoint, call.attempts) == ([[1, 2], {}], 0, endpoint, 1)
    assert log.seen == ["begin", "end"]
    assert INSIDE.get() == "outside"


@EACH_WAY
def test_around_a_stream_until_its_end(way: Use, endpoint: str) -> None:
    log = Log()
    items: list[Any] = []
    log.act = lambda call: setattr(call, "on_item", items.append)
    assert way(endpoint, lambda client: client.count(3), on_call=log.hook) == items == [0, 1, 2]
    assert log.seen == ["begin", "end"]
    assert log.calls[0].items == 3


@EACH_WAY
def test_an_error_is_raised_in_the_hook(way: Use, endpoint: str) -> None:
    log = Log()
    with pytest.raises(zerorpc.RemoteError, match="KeyError"):
        way(endpoint, lambda client: client.fails(1), on_call=log.hook)
    with pytest.raises(zerorpc.RemoteError, match="KeyError"):
        way(endpoint, lambda client: client.fails_in_a_stream(1), on_call=log.hook)
    assert log.seen == ["begin", "RemoteError", "end"] * 2
    assert log.calls[1].items == 1


@EACH_WAY
def test_what_cant_be_sent_is_an_error_too(way: Use, endpoint: str) -> None:
    log = Log()
    with pytest.raises(zerorpc.SerializationError):
        way(endpoint, lambda client: client.echo(object()), on_call=log.hook)
    assert log.seen == ["begin", "SerializationError", "end"]


@EACH_WAY
def test_a_hook_may_answer(way: Use, service: Service, endpoint: str) -> None:
    log = Log()
    log.act = lambda call: setattr(call, "result", "kept")
    before = service.ran
    assert way(endpoint, lambda client: client.echo(1), on_call=log.hook) == "kept"
    assert log.seen == ["begin", "end"]
    assert service.ran == before
    assert log.calls[0].endpoint is None


@EACH_WAY
def test_a_hook_may_put_a_result_in_the_place_of_an_error(way: Use, endpoint: str) -> None:
    @contextlib.contextmanager
    def hook(call: zerorpc.ClientCall) -> Iterator[None]:
        try:
            yield
        except zerorpc.RemoteError as error:
            call.result = error.name

    assert way(endpoint, lambda client: client.fails(1), on_call=hook) == "KeyError"
    assert way(endpoint, lambda client: client.fails_in_a_stream(1), on_call=hook) == [1]


@EACH_WAY
def test_an_error_that_is_swallowed_without_a_result_stays(way: Use, endpoint: str) -> None:
    def hook(call: zerorpc.ClientCall) -> contextlib.suppress:
        return contextlib.suppress(zerorpc.RemoteError)

    with pytest.raises(zerorpc.RemoteError, match="KeyError"):
        way(endpoint, lambda client: client.fails(1), on_call=hook)


@EACH_WAY
def test_what_a_hook_raises(way: Use, endpoint: str) -> None:
    @contextlib.contextmanager
    def before(call: zerorpc.ClientCall) -> Iterator[None]:
        raise LookupError("before")
        yield

    @contextlib.contextmanager
    def after(call: zerorpc.ClientCall) -> Iterator[None]:
        yield
        raise LookupError("after")

    log = Log()
    for hook, said in ((before, "before"), (after, "after")):
        for use in (lambda client: client.echo(1), lambda client: client.count(2)):
            with pytest.raises(LookupError, match=said):
                way(endpoint, use, on_call=[log.hook, hook])
    assert log.seen == ["begin", "LookupError", "end"] * 4


@EACH_WAY
def test_metadata_and_arguments(way: Use, endpoint: str) -> None:
    log = Log()

    def act(call: zerorpc.ClientCall) -> None:
        assert call.metadata == {"own": "x"}
        call.metadata["more"] = b"y"
        call.args = [*call.args, 2]

    log.act = act
    assert way(endpoint, lambda client: zerorpc.options(client, metadata={"own": "x"}).echo(1), on_call=log.hook) == [
        [1, 2],
        {"own": "x", "more": b"y"},
    ]


@EACH_WAY
def test_headers_go_to_every_server_and_leave_the_protocols_own_alone(way: Use) -> None:
    log, headers = Log(), []
    log.act = lambda call: call.headers.update(traceparent="00-1", v=99)
    context = zerorpc.Context()
    context.register_middleware({"load_task_context": headers.append})
    with serving({"echo": lambda: 1}, context=context) as server:
        way(server.endpoints[0], lambda client: client.echo(), on_call=log.hook)
    assert (headers[0]["traceparent"], headers[0]["v"]) == ("00-1", 3)


@EACH_WAY
def test_repeats_are_inside_of_one_call(way: Use) -> None:
    log = Log()
    refusals = iter([True, False])

    @contextlib.contextmanager
    def refuse_once(call: zerorpc.ServerCall) -> Iterator[None]:
        if next(refusals):
            raise zerorpc.ServerOverloaded("not yet")
        yield

    with serving({"one": lambda: 1}, on_call=refuse_once) as server:
        settings = {"on_call": log.hook, "retry": zerorpc.Retry(backoff=0.001)}
        assert way(server.endpoints[0], lambda client: client.one(), **settings) == 1
    assert log.seen == ["begin", "end"]
    assert log.calls[0].attempts == 2


@EACH_WAY
def test_options_typed_clients_and_objects_by_reference_keep_them(way: Use, endpoint: str) -> None:
    log = Log()
    assert way(endpoint, lambda client: zerorpc.options(client, timeout=PATIENCE).echo(), on_call=log.hook) == [[], {}]
    assert len(log.calls) == 1
    if way is background:
        return
    assert way(endpoint, lambda client: zerorpc.typed(client, Service).echo(), on_call=log.hook) == [[], {}]
    assert way(endpoint, lambda client: list_of(zerorpc.typed(client, Service).count(2)), on_call=log.hook) == [0, 1]
    assert way(endpoint, name_of_child, on_call=log.hook) == "child"
    assert [call.method for call in log.calls] == ["echo", "echo", "count", "child", "name"]


def list_of(items: Any) -> Any:
    if hasattr(items, "__aiter__"):

        async def listed() -> Any:
            return [item async for item in items]

        return listed()
    return list(items)


def name_of_child(client: Any) -> Any:
    if isinstance(client, zerorpc.Client):
        return client.child().name()

    async def name() -> Any:
        return await (await client.child()).name()

    return name()


def test_hooks_of_0_6_run_inside(endpoint: str) -> None:
    log = Log()
    context = zerorpc.Context()
    context.register_middleware({"client_before_request": lambda request: log.seen.append(INSIDE.get())})
    assert blocking(endpoint, lambda client: client.echo(), context=context, on_call=log.hook) == [[], {}]
    assert log.seen == ["begin", "inside", "end"]


def test_a_clients_own_hook_may_call() -> None:
    @contextlib.contextmanager
    def hook(call: zerorpc.ClientCall) -> Iterator[None]:
        if call.method == "echo":
            client.count(1)
        yield

    log = Log()
    with serving(Service()) as server:
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE, on_call=[log.hook, hook]) as client:
            assert client.echo() == [[], {}]
            gc.collect()
    assert log.seen == ["begin", "begin", "end", "end"]  # the stream that nobody wanted is over


# Ends of streams


def test_a_stream_that_is_closed_or_dropped(endpoint: str) -> None:
    log = Log()
    with zerorpc.Client(endpoint, timeout=PATIENCE, on_call=log.hook) as client:
        stream = client.count(10**9)
        assert next(stream) == 0
        assert log.seen == ["begin"]
        stream.close()
        stream.close()
        assert log.seen == ["begin", "end"]
        for _ in client.count(10**9):
            break
        gc.collect()
        assert log.seen == ["begin", "end"] * 2
        with client.count(3) as stream:
            assert list(stream.latest())[-1] == 2
    assert log.seen == ["begin", "end"] * 3


def test_interleaved_streams_have_contexts_of_their_own(endpoint: str) -> None:
    log = Log()
    with zerorpc.Client(endpoint, timeout=PATIENCE, on_call=log.hook) as client:
        first, second = client.count(2), client.count(2)
        assert INSIDE.get() == "outside"
        assert [next(first), next(second), next(first), next(second)] == [0, 0, 1, 1]
        assert list(first) == list(second) == []
    assert log.seen == ["begin", "begin", "end", "end"]


def test_a_stream_that_another_thread_closes(endpoint: str) -> None:
    log = Log()
    with zerorpc.Client(endpoint, timeout=PATIENCE, on_call=log.hook) as client:
        stream = client.count(10**9)
        closing = threading.Thread(target=stream.close)
        for item in stream:
            if item == 10:
                closing.start()
        closing.join(PATIENCE)
    assert log.seen == ["begin", "end"]


def test_a_call_in_the_background_that_is_cancelled(endpoint: str) -> None:
    log = Log()
    with zerorpc.Client(endpoint, timeout=PATIENCE, on_call=log.hook) as client:
        call = client.forever(async_=True)
        assert call.cancel()
        with pytest.raises(concurrent.futures.CancelledError):
            call.get()
        eventually(lambda: log.seen == ["begin", "CancelledError", "end"])


def test_many_calls_in_the_background(endpoint: str) -> None:
    log = Log()
    with zerorpc.Client(endpoint, timeout=PATIENCE, on_call=log.hook) as client:
        calls = [client.echo(n, async_=True) for n in range(100)]
        assert [call.get()[0] for call in calls] == [[n] for n in range(100)]
        kept = threading.Event()
        client.echo(1, async_=True).add_done_callback(lambda call: kept.set())
        assert kept.wait(PATIENCE)


# Of an AsyncClient


def async_test(test: Callable[[zerorpc.AsyncClient, Log], Any]) -> Callable[[str], None]:
    def on_the_loop(endpoint: str) -> None:
        async def main() -> None:
            log = Log()
            async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE, on_call=log.hook) as client:
                await test(client, log)

        run(main())

    return on_the_loop


@async_test
async def test_an_async_stream_that_is_left_early(client: zerorpc.AsyncClient, log: Log) -> None:
    stream = await client.count(10**9)
    assert await anext(stream) == 0
    await stream.aclose()
    assert log.seen == ["begin", "end"]
    async for _ in client.count(10**9):
        break
    gc.collect()
    await eventually_async(lambda: log.seen == ["begin", "end"] * 2)
    stream = await client.count(10**9)
    stream.close()
    await eventually_async(lambda: log.seen == ["begin", "end"] * 3)


@async_test
async def test_an_async_stream_that_is_dropped(client: zerorpc.AsyncClient, log: Log) -> None:
    stream = await client.count(10**9)
    assert await anext(stream) == 0
    del stream
    await eventually_async(lambda: log.seen == ["begin", "end"])
    call: Any = client.count(10**9)  # that nobody awaits
    await eventually_async(lambda: len(log.calls) == 2 and log.calls[1].endpoint is not None)
    del call
    await eventually_async(lambda: log.seen == ["begin", "end"] * 2)


@async_test
async def test_a_call_is_a_coroutine_and_may_be_awaited_again(client: zerorpc.AsyncClient, log: Log) -> None:
    call = client.echo(1)
    assert isinstance(call, zerorpc.Call)
    assert await asyncio.create_task(call) == await call == [[1], {}]
    assert await asyncio.wait_for(client.echo(2), PATIENCE) == [[2], {}]
    failing = client.fails(1)
    for _ in range(2):
        with pytest.raises(zerorpc.RemoteError, match="KeyError"):
            await failing
    streams = client.count(2)
    assert [item async for item in await streams] == [0, 1]
    with pytest.raises(RuntimeError, match="gives its stream once"):
        await streams
    with pytest.raises(TypeError, match="number returned int"):
        async for _ in client.number():
            pass


@async_test
async def test_one_task_awaits_a_call_at_a_time(client: zerorpc.AsyncClient, log: Log) -> None:
    call = client.forever()
    first = asyncio.ensure_future(call)
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="forever is being awaited already"):
        await call
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await eventually_async(lambda: log.seen == ["begin", "CancelledError", "end"])


@async_test
async def test_a_wait_for_an_item_may_be_cancelled(client: zerorpc.AsyncClient, log: Log) -> None:
    stream = await client.count(3)
    waiting = asyncio.ensure_future(anext(stream))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert [item async for item in stream] == [0, 1, 2]
    assert log.seen == ["begin", "end"]


@async_test
async def test_many_at_once(client: zerorpc.AsyncClient, log: Log) -> None:
    results = await asyncio.gather(*(client.echo(n) for n in range(100)))
    assert [result[0] for result in results] == [[n] for n in range(100)]
    assert log.seen.count("end") == 100


def test_async_hooks(endpoint: str) -> None:
    seen: list[str] = []

    @contextlib.asynccontextmanager
    async def hook(call: zerorpc.ClientCall) -> AsyncIterator[None]:
        await asyncio.sleep(0)
        seen.append("begin")
        yield
        await asyncio.sleep(0)
        seen.append("end")

    assert on_loop(endpoint, lambda client: client.echo(1), on_call=[hook, hook]) == [[1], {}]
    assert on_loop(endpoint, lambda client: client.count(2), on_call=hook) == [0, 1]
    assert seen == ["begin", "begin", "end", "end", "begin", "end"]
    with pytest.raises(TypeError, match="an async hook needs an event loop"):
        blocking(endpoint, lambda client: client.echo(1), on_call=hook)


def test_what_is_no_hook(endpoint: str) -> None:
    no_hooks: list[Any] = ["hook", [print, 1], 7]
    for value in no_hooks:
        for kind in (zerorpc.Client, zerorpc.AsyncClient):
            with pytest.raises(TypeError, match="on_call has to be a function, several of them, or None, not "):
                kind(on_call=value)
    hook: ClientHook = lambda call: None  # type: ignore[assignment, return-value]  # noqa: E731
    with pytest.raises(TypeError, match="a hook has to return a context manager"):
        blocking(endpoint, lambda client: client.echo(1), on_call=hook)


def test_a_client_that_closes_ends_what_is_under_way(endpoint: str) -> None:
    log = Log()

    async def main() -> None:
        client = zerorpc.AsyncClient(endpoint, timeout=PATIENCE, on_call=log.hook)
        call = asyncio.ensure_future(client.forever())
        await eventually_async(lambda: log.calls and log.calls[0].endpoint is not None)
        await client.aclose()
        with pytest.raises(zerorpc.LostRemote):
            await call

    run(main())
    assert log.seen == ["begin", "LostRemote", "end"]


def test_a_header_that_hooks_set_is_packed_once() -> None:
    """What a request says besides isn't lost when hooks add to it."""
    log = Log()
    log.act = lambda call: call.headers.update(traceparent="00-1")
    sent: list[Any] = []
    with serving({"echo": lambda x: x}) as server:
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE, on_call=log.hook) as client:
            client._core.tap = lambda direction, data: sent.append((direction, bytes(data)))
            assert zerorpc.options(client, deadline=PATIENCE).echo(x=1) == 1
    header = next(decode_header(data) for direction, data in sent if direction == "-->")
    assert header["traceparent"] == "00-1"
    assert header["_zpc_call"]["kwargs"] == {"x": 1}


# On every server


@pytest.mark.parametrize("ask", ["blocking", "on_loop"])
def test_for_hooks_every_is_one_call_whose_items_are_the_outcomes(ask: str) -> None:
    log = Log()
    items: list[Any] = []

    def act(call: zerorpc.ClientCall) -> None:
        call.metadata["trace"] = "abc"
        call.on_item = items.append

    log.act = act
    with serving(Service()) as one, serving(Service()) as other:
        endpoints = [one.endpoints[0], other.endpoints[0]]
        outcomes = asked_every(ask, endpoints, log.hook, lambda every: every.echo(7))
        assert sorted(peer.address for peer, _ in outcomes) == sorted(endpoints)
        assert [outcome.value for _, outcome in outcomes] == [[[7], {"trace": "abc"}]] * 2
        assert items == outcomes
        assert log.seen == ["begin", "end"]
        assert (log.calls[0].method, log.calls[0].items) == ("echo", 2)
        failed = asked_every(ask, endpoints, log.hook, lambda every: every.fails(1))
        assert [type(outcome.error) for _, outcome in failed] == [zerorpc.RemoteError] * 2
        assert log.seen == ["begin", "end"] * 2
        log.act = lambda call: setattr(call, "result", "kept")
        assert asked_every(ask, endpoints, log.hook, lambda every: every.echo(7)) == [(Peer(""), Outcome("kept"))]
        assert log.seen == ["begin", "end"] * 3
        log.act = refuse
        with pytest.raises(PermissionError, match="not you"):
            asked_every(ask, endpoints, log.hook, lambda every: every.echo(7))
    log.act = lambda call: None
    with pytest.raises(zerorpc.TimeoutExpired):
        asked_every(ask, endpoints, log.hook, lambda every: every("echo", 7, timeout=0.1))
    assert log.seen[6:] == ["begin", "begin", "TimeoutExpired", "end"]


def refuse(call: zerorpc.ClientCall) -> None:
    raise PermissionError("not you")


def asked_every(ask: str, endpoints: list[str], hook: ClientHook, use: Callable[[Any], Any]) -> Any:
    async def main() -> Any:
        async with zerorpc.AsyncClient(endpoints, timeout=PATIENCE, on_call=hook) as client:
            return [each async for each in use(zerorpc.every(client))]

    if ask == "on_loop":
        return run(main())
    with zerorpc.Client(endpoints, timeout=PATIENCE, on_call=hook) as client:
        return list(use(zerorpc.every(client)))


def test_every_that_is_left_early(endpoint: str) -> None:
    log = Log()
    with zerorpc.Client(endpoint, timeout=PATIENCE, on_call=log.hook) as client:
        for _ in zerorpc.every(client).echo():
            break
        gc.collect()
        assert log.seen == ["begin", "end"]
        zerorpc.every(client).forever().close()
    assert log.seen == ["begin", "end"] * 2


@async_test
async def test_every_of_an_async_client_that_is_left_early(client: zerorpc.AsyncClient, log: Log) -> None:
    async with zerorpc.every(client).echo() as replies:
        assert (await anext(replies))[1].value == [[], {}]
    assert log.seen == ["begin", "end"]
    async for _ in zerorpc.every(client).echo():
        break
    gc.collect()
    await eventually_async(lambda: log.seen == ["begin", "end"] * 2)


# Calls that end before their time


@contextlib.contextmanager
def nothing(call: zerorpc.ClientCall) -> Iterator[None]:
    yield


def test_a_call_that_was_given_up_says_so_to_who_awaits_it() -> None:
    """Before its hooks have begun, and afterwards, however often it is asked."""

    async def act(endpoint: str) -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE, on_call=nothing) as client:
            for begun in (False, True):
                call = client.forever()
                if begun:
                    await eventually_async(lambda call=call: call._course.inner is not None)  # type: ignore[misc]
                call.close()
                for _ in range(2):
                    with pytest.raises(zerorpc.LostRemote, match="given up"):
                        await asyncio.wait_for(call, PATIENCE)

    with serving(Service()) as server:
        run(act(server.endpoints[0]))


def test_a_hook_that_ends_before_its_stream_ends_that() -> None:
    @contextlib.asynccontextmanager
    async def hook(call: zerorpc.ClientCall) -> AsyncIterator[None]:
        async with asyncio.timeout(None) as limit:
            limits.append(limit)
            yield

    limits: list[asyncio.Timeout] = []

    async def act(endpoint: str) -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE, on_call=hook) as client:
            async for item in client.count(10**9):
                seen.append(item)
                if item == 3:
                    limits[0].reschedule(0)

    seen: list[int] = []
    with serving(Service()) as server, pytest.raises(TimeoutError):
        run(act(server.endpoints[0]))
    assert seen[:4] == [0, 1, 2, 3]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_on_item_that_raises_ends_the_stream_and_the_hook_sees_it(asynchronous: bool) -> None:
    seen: list[object] = []

    @contextlib.contextmanager
    def hook(call: zerorpc.ClientCall) -> Iterator[None]:
        call.on_item = lambda item: {0: item}[item]
        try:
            yield
        except KeyError as error:
            seen.append(error.args)
            raise

    def read(endpoint: str) -> None:
        with zerorpc.Client(endpoint, timeout=PATIENCE, on_call=hook) as client:
            seen.extend(client.count(3))

    async def read_async(endpoint: str) -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE, on_call=hook) as client:
            stream = await client.count(3)
            seen.append(await anext(stream))
            await anext(stream)

    with serving(Service()) as server, pytest.raises(KeyError):
        run(read_async(server.endpoints[0])) if asynchronous else read(server.endpoints[0])
    assert seen == [0, (1,)]


def test_on_item_may_close_its_stream() -> None:
    left: list[str] = []

    @contextlib.contextmanager
    def hook(call: zerorpc.ClientCall) -> Iterator[None]:
        call.on_item = lambda item: stream.close() if item == 2 else None
        yield
        left.append("left")

    with serving(Service()) as server, zerorpc.Client(server.endpoints[0], timeout=PATIENCE, on_call=hook) as client:
        stream = client.count(10)
        assert list(stream) == [0, 1, 2]
    assert left == ["left"]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_so_it_is_with_every(asynchronous: bool) -> None:
    left: list[str] = []

    @contextlib.contextmanager
    def hook(call: zerorpc.ClientCall) -> Iterator[None]:
        call.on_item = lambda item: {}[item]
        try:
            yield
        except KeyError:
            left.append("KeyError")
            raise

    async def read_async(endpoint: str) -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE, on_call=hook) as client:
            await anext(zerorpc.every(client).number())

    def read(endpoint: str) -> None:
        with zerorpc.Client(endpoint, timeout=PATIENCE, on_call=hook) as client:
            next(zerorpc.every(client).number())

    with serving(Service()) as server, pytest.raises(KeyError):
        run(read_async(server.endpoints[0])) if asynchronous else read(server.endpoints[0])
    assert left == ["KeyError"]


def test_a_hook_that_ends_before_every_has_all_outcomes_ends_that() -> None:
    @contextlib.asynccontextmanager
    async def hook(call: zerorpc.ClientCall) -> AsyncIterator[None]:
        async with asyncio.timeout(None) as limit:
            limits.append(limit)
            yield

    limits: list[asyncio.Timeout] = []

    async def act(endpoint: str) -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE, on_call=hook) as client:
            reading = asyncio.ensure_future(anext(zerorpc.every(client).forever()))
            await eventually_async(lambda: limits)
            limits[0].reschedule(0)
            assert (await asyncio.wait([reading], timeout=PATIENCE / 2))[0], "the reader is told at once"
            await reading

    with serving(Service()) as server, pytest.raises(TimeoutError) as caught:
        run(act(server.endpoints[0]))
    assert not isinstance(caught.value, zerorpc.TimeoutExpired)
