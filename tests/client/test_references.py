"""Functions and objects that are passed by reference: what they do at the other side, and for how long."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import zerorpc
from tests.client.ways import EACH_WAY, EITHER_CLIENT, Way, blocking, on_loop
from tests.service.process_services import echo as echo_in_process
from tests.service.running import PATIENCE, eventually, eventually_async, joined, run, serving
from zerorpc.client.lending import Within
from zerorpc.protocol.channel import ClientChannel
from zerorpc.protocol.references import AT_ONCE, CALLS_MAX
from zerorpc.zmtp import frames

Function = Callable[..., Any]


class Calculator:
    """An object that is passed by reference, to either side."""

    def __init__(self, total: int = 0) -> None:
        self.total = total

    def add(self, n: int, *, times: int = 1) -> int:
        self.total += n * times
        return self.total

    async def wait(self) -> None:
        await asyncio.sleep(PATIENCE)

    def count(self, n: int) -> Iterator[int]:
        yield from range(n)

    def fail(self) -> None:
        raise ValueError("why")

    def _hidden(self) -> None: ...


class Service:
    """Has functions and objects passed to it, and passes some itself."""

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self.outcomes: list[Any] = []
        self.begun = threading.Event()
        self.waits = threading.Event()
        self.counting = threading.Lock()
        self.counts = self.most_at_once = 0

    # Called with them

    def plain(self, function: Function, *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    async def coroutine(self, function: Function, *args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)

    @zerorpc.on_loop
    def on_loop(self, function: Function, *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    def generator(self, function: Function, n: int) -> Iterator[Any]:
        for i in range(n):
            yield function(i)

    async def async_generator(self, function: Function, n: int) -> AsyncIterator[Any]:
        for i in range(n):
            yield await function(i)

    def nested(self, things: list[Any], *, more: dict[str, Any]) -> list[Any]:
        return [things[0](1), things[1]["f"](2), more["g"](3)]

    async def at_once(self, function: Function, n: int) -> list[Any]:
        return await asyncio.gather(*(function(i) for i in range(n)))

    def use(self, calculator: Any) -> list[Any]:
        return [calculator.add(1), calculator.add(2, times=3)]

    def told(self, function: Function) -> list[Any]:
        try:
            return [None, function()]
        except zerorpc.RemoteError as error:
            return [error.name, error.msg, error.ran, error.method]

    def keep(self, function: Function) -> None:
        self.kept.append(function)

    def call_kept(self) -> Any:
        return self.kept[-1]()

    async def keep_on_loop(self, function: Function) -> None:
        self.kept.append(function)

    async def call_kept_on_loop(self) -> Any:
        return await self.kept[-1]()

    def release_and_call(self, function: Function) -> Any:
        zerorpc.release(function)
        function.release()  # once more
        return function()

    async def within(self, function: Function, seconds: float) -> Any:
        with zerorpc.deadline(seconds):
            return await function()

    def within_on_thread(self, function: Function, seconds: float) -> Any:
        with zerorpc.deadline(seconds):
            return function()

    async def until_cancelled(self, function: Function) -> Any:
        try:
            return await function()
        except BaseException as error:
            self.outcomes.append(error)
            raise

    def until_cancelled_on_thread(self, function: Function) -> Any:
        try:
            return function()
        except BaseException as error:
            self.outcomes.append(error)
            raise

    async def forget(self, function: Function, n: int, at_once: bool) -> int:
        """Calls it ``n`` times, and waits for none of them; how often it was late."""
        late = 0
        for _ in range(n):
            call = asyncio.ensure_future(function())
            await asyncio.sleep(0 if at_once else 0.001)
            call.cancel()
            late += isinstance((await asyncio.gather(call, return_exceptions=True))[0], asyncio.CancelledError)
        return late

    async def forget_and_call(self, function: Function, other: Function, n: int) -> list[Any]:
        """While ``n`` are under way, which nobody waits for any more, others are called."""
        forgotten = [asyncio.ensure_future(function()) for _ in range(n)]
        await asyncio.sleep(0)
        others = [asyncio.ensure_future(other(i)) for i in range(n)]
        await asyncio.sleep(0)
        for each in forgotten:
            each.cancel()
        return await asyncio.gather(*others)

    async def pass_and_forget(self, function: Function, n: int) -> None:
        calls = [asyncio.ensure_future(function(lambda: 1)) for _ in range(n)]
        await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    def many_to_one(self, function: Function, n: int) -> list[Any]:
        """From several threads at once."""
        found: list[Any] = []
        threads = [threading.Thread(target=lambda i=i: found.append(function(i))) for i in range(n)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        return sorted(found)

    def forever(self, function: Function) -> Iterator[int]:
        yield 0
        self.outcomes.append(function("while nobody reads"))
        self.waits.set()
        yield 1

    # Passed by it

    def adder(self, n: int) -> Function:
        return lambda m: n + m

    async def async_adder(self, n: int) -> Function:
        async def add(m: int) -> int:
            return n + m

        return add

    def calculator(self) -> Any:
        return zerorpc.by_reference(Calculator(100))

    def several(self) -> list[Any]:
        return [zerorpc.by_reference(Calculator(1)), {"add": Calculator(2).add}, 3]

    def functions(self, n: int) -> Iterator[Function]:
        for i in range(n):
            yield functools.partial(int.__add__, i)

    def slowly(self) -> Any:
        self.begun.set()
        self.waits.wait(PATIENCE)
        return zerorpc.by_reference(Calculator())

    async def take_out(self, functions: list[Any]) -> None:
        self.kept.append(functions.pop())
        self.begun.set()
        await asyncio.to_thread(self.waits.wait, PATIENCE)

    def offer(self, function: Function) -> Any:
        """Passes a function to the caller's function."""
        return function(lambda n: n * 2)

    def large(self, size: int) -> list[Any]:
        return [lambda: 1, "x" * size]

    def pass_large(self, function: Function, size: int) -> Any:
        return function(lambda: 1, "x" * size)

    def half(self) -> list[Any]:
        return [lambda: 1, object()]

    # For the tests

    async def counted_on_loop(self, n: int) -> int:
        self.counts += 1
        self.most_at_once = max(self.most_at_once, self.counts)
        await asyncio.sleep(0)
        self.counts -= 1
        return n

    def counted(self, n: int) -> int:
        with self.counting:
            self.counts += 1
            self.most_at_once = max(self.most_at_once, self.counts)
        with self.counting:
            self.counts -= 1
        return n

    def echo(self, value: Any = None) -> Any:
        return value


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.waits.set()


@pytest.fixture
def server(service: Service) -> Iterator[zerorpc.Server]:
    with serving(service) as server:
        yield server


@pytest.fixture
def often_switching() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def endpoint(server: zerorpc.Server) -> str:
    return server.endpoints[0]


def lent(server: zerorpc.Server) -> int:
    """How many references the server has lent to its clients."""
    return sum(len(link.peer.lent.objects) for link in list(server._core.door.hub.links))


# A caller's functions

KINDS = ["plain", "coroutine", "on_loop"]


@pytest.mark.parametrize("kind", KINDS)
@EACH_WAY
def test_a_method_calls_its_callers_function(endpoint: str, way: Way, kind: str) -> None:
    assert way(endpoint, lambda client: client(kind, lambda *args: list(args), 1, "two")) == [1, "two"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_coroutine_function_of_an_async_client(endpoint: str, kind: str) -> None:
    async def double(n: int) -> int:
        await asyncio.sleep(0)
        return n * 2

    assert on_loop(endpoint, lambda client: client(kind, double, 4)) == 8


@EITHER_CLIENT
def test_keyword_arguments_of_the_function(endpoint: str, way: Way) -> None:
    def move(x: int, *, speed: float = 1.0) -> list[Any]:
        return [x, speed]

    assert way(endpoint, lambda client: client.plain(move, 1, speed=2.5)) == [1, 2.5]
    assert way(endpoint, lambda client: client.coroutine(function=move, x=3)) == [3, 1.0]


@pytest.mark.parametrize("kind", ["generator", "async_generator"])
@EACH_WAY
def test_a_stream_calls_it_for_each_item(endpoint: str, way: Way, kind: str) -> None:
    assert way(endpoint, lambda client: client(kind, lambda n: n * 10, 300)) == [n * 10 for n in range(300)]


@EACH_WAY
def test_wherever_it_stands_among_the_arguments(endpoint: str, way: Way) -> None:
    def use(client: Any) -> Any:
        return client.nested([lambda n: n, {"f": lambda n: n * 2}], more={"g": lambda n: n * 3})

    assert way(endpoint, use) == [1, 4, 9]


@EITHER_CLIENT
def test_what_counts_as_a_function(endpoint: str, way: Way) -> None:
    for function in (Calculator(1).add, functools.partial(int.__add__, 1), [].append, len):
        assert way(endpoint, lambda client, f=function: client.told(f))[0] in (None, "TypeError")
    for value in (Calculator, Calculator(), object()):
        with pytest.raises(zerorpc.SerializationError, match="the arguments of told can't be sent"):
            way(endpoint, lambda client, v=value: client.told(v))


@EITHER_CLIENT
def test_a_remote_method_is_passed_on(endpoint: str, way: Way) -> None:
    """The other server calls the client, which calls the first server."""
    assert way(endpoint, lambda client: client.plain(client.echo, "by way of the client")) == "by way of the client"


@EITHER_CLIENT
def test_what_it_raises_the_method_gets(endpoint: str, way: Way) -> None:
    def fail() -> None:
        raise ValueError("why")

    assert way(endpoint, lambda client: client.told(fail)) == ["ValueError", "why", True, "fail"]
    assert way(endpoint, lambda client: client.told(functools.partial(object)))[0] == "SerializationError"
    with pytest.raises(zerorpc.RemoteError, match="in fail") as caught:  # its traceback comes back to where it is
        way(endpoint, lambda client: client.coroutine(fail))
    assert caught.value.name == "RemoteError"


@pytest.mark.parametrize("way", [on_loop])
def test_more_at_once_than_may_be_under_way(endpoint: str, way: Way) -> None:
    assert way(endpoint, lambda client: client.at_once(lambda n: n, 1500)) == list(range(1500))


@EITHER_CLIENT
def test_from_several_threads_of_the_method_at_once(endpoint: str, way: Way) -> None:
    assert way(endpoint, lambda client: client.many_to_one(lambda n: n, 40)) == list(range(40))


def test_it_runs_in_its_callers_context(endpoint: str) -> None:
    user = contextvars.ContextVar("user", default="nobody")
    for way in (blocking, on_loop):

        def use(client: Any) -> Any:
            user.set("somebody")
            return client.plain(user.get)

        assert contextvars.copy_context().run(way, endpoint, use) == "somebody"


def test_while_nobody_reads_the_stream_it_is_called_all_the_same(endpoint: str, service: Service) -> None:
    with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        items = client.forever(lambda text: f"heard {text}")
        assert next(items) == 0
        assert service.waits.wait(PATIENCE)
        assert service.outcomes == ["heard while nobody reads"]
        assert list(items) == [1]
        eventually(lambda: not client._core.hub.background.open)


def test_a_blocking_client_has_no_loop_for_a_coroutine_function(endpoint: str) -> None:
    async def function() -> None: ...

    with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        with pytest.raises(TypeError, match="plain: function is async: an AsyncClient passes such functions"):
            client.plain(function)
        assert client.echo("still") == "still"


# Both programs call each other


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
@pytest.mark.parametrize("pool_size", [None, 1])
def test_calls_from_within_each_other_dont_wait_for_each_other(kind: str, pool_size: int | None) -> None:
    """With one place a call that is made for the one that runs would wait for ever."""
    with joined(Service(), pool_size=pool_size) as client:

        def down(n: int) -> int:
            return 0 if n == 0 else 1 + client(kind, down, n - 1)

        assert client(kind, down, 5) == 5


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_the_same_by_an_async_client(kind: str) -> None:
    async def main(endpoint: str) -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:

            async def down(n: int) -> int:
                return 0 if n == 0 else 1 + await client(kind, down, n - 1)

            assert await client(kind, down, 5) == 5

    with serving(Service(), pool_size=1) as server:
        run(main(server.endpoints[0]))


def test_another_callers_call_waits_its_turn_all_the_same() -> None:
    service = Service()
    with joined(service, pool_size=1) as client, zerorpc.Client(timeout=PATIENCE) as other:
        other.connect(next(iter(client._core.hub.dialers)))
        order: list[str] = []

        def function() -> None:
            waiting = other.echo("other", async_=True)
            waiting.add_done_callback(lambda _: order.append("other"))
            client.echo("within")
            order.append("within")

        client.plain(function)
        eventually(lambda: len(order) == 2)
    assert order == ["within", "other"]


@pytest.mark.parametrize("kind", ["counted", "counted_on_loop"])
def test_as_many_at_a_time_as_methods_may_run(kind: str) -> None:
    """A function that makes many calls at once doesn't have the server run all of them at once."""
    service = Service()

    async def main(endpoint: str) -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:

            async def function() -> list[int]:
                return await asyncio.gather(*(client(kind, n) for n in range(50)))

            assert await client.coroutine(function) == list(range(50))
            assert await client.echo("and the usual ones") == "and the usual ones"

    with serving(service, pool_size=2) as server:
        run(main(server.endpoints[0]))
        runners = server._core.runners
        assert not runners._nested._of
        assert not runners._nested.running
    assert service.most_at_once <= 2


def test_those_that_wait_are_given_up_with_their_caller() -> None:
    service = Service()

    async def main(server: zerorpc.Server) -> None:
        async with zerorpc.AsyncClient(server.endpoints[0], timeout=PATIENCE) as client:
            assert await client.echo("it runs") == "it runs"
            runners = server._core.runners

            async def function() -> None:
                await asyncio.gather(*(client.slowly() for n in range(10)))

            call = asyncio.ensure_future(client.coroutine(function))
            await eventually_async(lambda: any(len(each.waiting) == 9 for each in list(runners._nested._of.values())))
            call.cancel()
            await eventually_async(lambda: len(runners._nested.running) == 1)
            service.waits.set()
            await eventually_async(lambda: not runners._nested._of)
            assert runners.running == 0

    with serving(service, pool_size=1) as server:
        run(main(server))


class Mutual:
    """One of two programs that call each other from within their methods."""

    def __init__(self) -> None:
        self.other: Any = None
        self.async_other: Any = None

    def plain(self, n: int) -> int:
        return 0 if n == 0 else 1 + self.other.plain(n - 1)

    async def coroutine(self, n: int) -> int:
        async with zerorpc.AsyncClient(self.async_other, timeout=PATIENCE) as other:
            return 0 if n == 0 else 1 + await other.coroutine(n - 1)


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_two_servers_that_call_each_other(kind: str) -> None:
    one, two = Mutual(), Mutual()
    with serving(one) as first, serving(two) as second:
        one.async_other, two.async_other = second.endpoints[0], first.endpoints[0]
        with (
            zerorpc.Client(second.endpoints[0], timeout=PATIENCE) as one.other,
            zerorpc.Client(first.endpoints[0], timeout=PATIENCE) as two.other,
        ):
            assert two.other(kind, 6) == 6


# How long a caller's function can be called


@pytest.mark.parametrize("on", ["", "_on_loop"])
@EITHER_CLIENT
def test_it_ends_with_the_call(endpoint: str, service: Service, way: Way, on: str) -> None:
    way(endpoint, lambda client: client(f"keep{on}", lambda: 1))
    with pytest.raises(zerorpc.RemoteError, match=r"as long as that call goes on|waits no longer") as caught:
        way(endpoint, lambda client: client(f"call_kept{on}"))
    assert caught.value.name in ("Closed", "Cancelled")


@EITHER_CLIENT
def test_the_method_releases_it(endpoint: str, way: Way) -> None:
    with pytest.raises(zerorpc.RemoteError, match="this was released") as caught:
        way(endpoint, lambda client: client.release_and_call(lambda: 1))
    assert caught.value.name == "Closed"


@pytest.mark.parametrize("kind", ["within", "within_on_thread"])
@EITHER_CLIENT
def test_a_deadline_around_it(endpoint: str, way: Way, kind: str) -> None:
    release = threading.Event()

    async def wait() -> None:
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            release.set()

    def block() -> None:
        release.wait(PATIENCE)

    with pytest.raises(zerorpc.RemoteError, match="no time was left for it") as caught:
        way(endpoint, lambda client: client(kind, wait if way is on_loop else block, 0.05))
    assert caught.value.name == "TimeoutExpired"
    if way is blocking or kind == "within":
        release.set()


def test_how_long_it_was_waited_for_is_told(endpoint: str) -> None:
    async def wait() -> None:
        await asyncio.sleep(PATIENCE)

    for kind in ("within", "within_on_thread"):
        with pytest.raises(zerorpc.RemoteError, match=r"timeout after 0.0\d+s, when calling wait, a function of the"):
            on_loop(endpoint, lambda client, kind=kind: client(kind, wait, 0.05))


def waiter(way: Way, release: threading.Event) -> Function:
    """A function that waits until that, or until nobody waits for it."""

    async def wait() -> None:
        await asyncio.sleep(PATIENCE)

    def block() -> None:
        release.wait(PATIENCE)

    return wait if way is on_loop else block


@pytest.mark.parametrize("at_once", [True, False])
@EITHER_CLIENT
def test_any_number_may_be_forgotten(endpoint: str, way: Way, at_once: bool) -> None:
    """The server has no more of them under way than it may, those included that run on."""
    release = threading.Event()
    n = CALLS_MAX + 10
    try:
        assert way(endpoint, lambda client: client.forget(waiter(way, release), n, at_once)) == n
    finally:
        release.set()


@EITHER_CLIENT
def test_others_are_called_when_the_forgotten_have_ended(endpoint: str, way: Way) -> None:
    release = threading.Event()

    def use(client: Any) -> Any:
        threading.Timer(0.1, release.set).start()
        return client.forget_and_call(waiter(way, release), lambda n: n, AT_ONCE)

    assert way(endpoint, use) == list(range(AT_ONCE))


def test_what_nobody_waits_for_any_more_is_cancelled(endpoint: str) -> None:
    ended = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            ended.set()

    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            for kind in ("within", "within_on_thread"):
                ended.clear()
                with pytest.raises(zerorpc.RemoteError):
                    await client(kind, wait, 1.0)  # by then it has begun, or it would not have to end
                await asyncio.wait_for(ended.wait(), PATIENCE)

    run(main())


@pytest.mark.parametrize("kind", ["until_cancelled", "until_cancelled_on_thread"])
def test_a_call_that_is_given_up_ends_its_functions_and_the_method(endpoint: str, service: Service, kind: str) -> None:
    ended: list[str] = []

    async def main() -> None:
        begun = asyncio.Event()

        async def function() -> None:
            begun.set()
            try:
                await asyncio.sleep(PATIENCE)
            finally:
                ended.append("function")

        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            call = asyncio.ensure_future(client(kind, function))
            await asyncio.wait_for(begun.wait(), PATIENCE)
            call.cancel()
            await eventually_async(lambda: ended and service.outcomes)

    run(main())
    assert isinstance(service.outcomes[0], (asyncio.CancelledError, zerorpc.Cancelled))


def test_a_lost_connection_ends_it(service: Service) -> None:
    begun, release = threading.Event(), threading.Event()

    def function() -> None:
        begun.set()
        release.wait(PATIENCE)

    with serving(service) as server:
        client = zerorpc.Client(server.endpoints[0], timeout=PATIENCE)
        call = client.until_cancelled_on_thread(function, async_=True)
        assert begun.wait(PATIENCE)
        client.close()
        eventually(lambda: service.outcomes)
        release.set()
    assert isinstance(service.outcomes[0], zerorpc.Cancelled)
    assert isinstance(call.exception(PATIENCE), zerorpc.LostRemote | zerorpc.Closed)


def test_calls_that_it_makes_end_with_the_call_that_it_was_passed_to(endpoint: str, service: Service) -> None:
    outcomes: list[BaseException] = []
    with zerorpc.Client(endpoint, timeout=PATIENCE) as client:

        def function() -> None:
            try:
                client.slowly()
            except BaseException as error:
                outcomes.append(error)

        call = client.plain(function, async_=True)
        assert service.begun.wait(PATIENCE)
        call.cancel()
        eventually(lambda: outcomes)
    assert isinstance(outcomes[0], zerorpc.Cancelled)


def test_the_same_of_an_async_client(endpoint: str, service: Service) -> None:
    """The calls are cancelled with the tasks that they are made in, and the others by themselves."""
    outcomes: list[BaseException] = []

    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:

            async def calls() -> None:
                try:
                    await client.slowly()
                except BaseException as error:
                    outcomes.append(error)

            tasks: list[asyncio.Task[None]] = []

            async def function() -> None:
                tasks.append(asyncio.create_task(calls()))
                await calls()

            call = asyncio.ensure_future(client.plain(function))
            await asyncio.to_thread(service.begun.wait, PATIENCE)
            call.cancel()
            await eventually_async(lambda: len(outcomes) == 2)

    run(main())
    assert {type(outcome) for outcome in outcomes} <= {asyncio.CancelledError, zerorpc.Cancelled}


def test_calls_that_begin_just_when_it_ends(often_switching: None) -> None:
    """Functions begin calls in threads of their own, while another thread ends those that there are."""

    class Begun:
        ended = False

        def cancel(self) -> None:
            self.ended = True

    scope, enough = Within(ClientChannel(b"1", "method", b"")), threading.Event()
    latest = [deque[Begun](maxlen=1000) for _ in range(4)]

    def begin(calls: deque[Begun]) -> None:
        while not enough.is_set():
            calls.append(call := Begun())
            try:
                scope.adopt(call)
            except zerorpc.Cancelled:
                call.ended = True

    with ThreadPoolExecutor(4) as pool:
        threads = [pool.submit(begin, calls) for calls in latest]
        try:
            eventually(lambda: all(latest), "all have begun")
            for _ in range(50):
                scope.end()
        finally:
            enough.set()
        for thread in threads:
            thread.result(PATIENCE)
    assert all(call.ended for calls in latest for call in calls)


# A caller's objects


@EITHER_CLIENT
def test_an_object_of_the_callers(endpoint: str, way: Way) -> None:
    calculator = Calculator()
    assert way(endpoint, lambda client: client.use(zerorpc.by_reference(calculator))) == [1, 7]
    assert calculator.total == 7


@EITHER_CLIENT
def test_only_its_public_methods(endpoint: str, way: Way) -> None:
    class Sly:
        def told(self, target: Any) -> Any:
            return target._hidden()

    with serving(Sly()) as server, pytest.raises(zerorpc.RemoteError, match="no such function is passed"):
        way(server.endpoints[0], lambda client: client.told(zerorpc.by_reference(Calculator())))


# What a server passes


@pytest.mark.parametrize("kind", ["adder", "async_adder"])
def test_a_function_that_a_method_returns(endpoint: str, kind: str) -> None:
    with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        add = client(kind, 5)
        assert isinstance(add, zerorpc.RemoteFunction)
        assert [add(n) for n in range(3)] == [5, 6, 7]

    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            add = await client(kind, 5)
            assert [await add(n) for n in range(3)] == [5, 6, 7]

    run(main())


def test_an_object_that_a_method_returns(endpoint: str) -> None:
    with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        calculator = client.calculator()
        assert isinstance(calculator, zerorpc.RemoteObject)
        assert calculator.add(1) == 101
        assert calculator.add(n=2, times=2) == 105
        assert list(calculator.count(300)) == list(range(300))
        with pytest.raises(zerorpc.RemoteError, match="why"):
            calculator.fail()
        for hidden in ("_hidden", "nothing"):
            with pytest.raises(zerorpc.UnknownMethod, match=hidden):
                getattr(calculator, hidden)()
        with pytest.raises(zerorpc.TimeoutExpired):
            zerorpc.options(calculator, timeout=0.05).wait()
        with pytest.raises(zerorpc.WrongArguments):
            calculator.add()

    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            calculator = await client.calculator()
            assert await calculator.add(1) == 101
            assert [n async for n in calculator.count(5)] == list(range(5))
            with pytest.raises(zerorpc.TimeoutExpired):
                await zerorpc.options(calculator, timeout=0.05).wait()

    run(main())


def test_several_in_one_result_and_in_the_items_of_a_stream(endpoint: str) -> None:
    with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        one, two, three = client.several()
        assert (one.add(1), two["add"](2), three) == (2, 4, 3)
        assert [function(10) for function in client.functions(150)] == [n + 10 for n in range(150)]

    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            assert [await function(10) async for function in client.functions(150)] == [n + 10 for n in range(150)]

    run(main())


@EITHER_CLIENT
def test_a_function_that_is_passed_to_the_callers(endpoint: str, way: Way) -> None:
    def blocking_use(client: Any) -> Any:
        return client.offer(lambda double: double(21))

    def async_use(client: Any) -> Any:
        async def function(double: Any) -> Any:
            return await double(21)

        return client.offer(function)

    assert way(endpoint, blocking_use if way is blocking else async_use) == 42


@pytest.mark.parametrize("how", ["release", "drop"])
def test_what_a_client_needs_no_longer_the_server_forgets(server: zerorpc.Server, how: str) -> None:
    endpoint = server.endpoints[0]
    with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        add, calculator = client.adder(1), client.calculator()
        assert lent(server) == 2
        if how == "release":
            for each in (add, calculator):
                zerorpc.release(each)
                zerorpc.release(each)
                with pytest.raises(zerorpc.Closed, match="this was released"):
                    (each if each is add else each.add)(1)
        del add, calculator
        gc.collect()
        eventually(lambda: lent(server) == 0)

    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            add = await client.adder(1)
            assert lent(server) == 1
            if how == "release":
                add.release()
            del add
            gc.collect()
            await eventually_async(lambda: lent(server) == 0)

    run(main())


def test_what_comes_for_nobody_is_given_back(server: zerorpc.Server, service: Service) -> None:
    with zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
        with pytest.raises(zerorpc.TimeoutExpired):
            client.slowly(timeout=0.05)
        service.waits.set()
        assert client.echo(1) == 1
        eventually(lambda: lent(server) == 0)


def test_a_result_that_cannot_be_sent_lends_nothing(server: zerorpc.Server) -> None:
    with zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
        with pytest.raises(zerorpc.RemoteError, match="the result of half can't be sent: a value of type object"):
            client.half()
        assert lent(server) == 0


def test_a_call_of_a_function_that_is_never_sent_lends_nothing(server: zerorpc.Server) -> None:
    release = threading.Event()

    def function(other: Any) -> None:
        release.wait(PATIENCE)

    with zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
        client.pass_and_forget(function, AT_ONCE + 20)
        release.set()
        eventually(lambda: lent(server) == 0)


def test_what_a_method_drops_is_given_back_a_turn_of_the_loop_later(service: Service) -> None:
    """It may be dropped in the middle of sending."""
    seen: list[bool] = []
    events: list[bytes] = []

    async def drop() -> None:
        service.kept.clear()
        gc.collect()
        seen.append(any(b"_zpc_release" in bytes(data) for data in events))
        await eventually_async(lambda: any(b"_zpc_release" in bytes(data) for data in events))

    service.drop = drop  # type: ignore[attr-defined]
    with serving(service) as server:
        server._core.door.tap = lambda _, data: events.append(data)
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
            call = client.take_out([lambda: 1], async_=True)
            assert service.begun.wait(PATIENCE)
            client.drop()
            service.waits.set()
            call.get(PATIENCE)
    assert seen == [False]


def test_a_result_that_is_too_large_lends_nothing_and_ends_no_connection(
    server: zerorpc.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
        monkeypatch.setattr(frames, "MESSAGE_MAX", 100_000)
        with pytest.raises(zerorpc.RemoteError, match="the result of large can't be sent: a message of 2"):
            client.large(200_000)
        with pytest.raises(zerorpc.RemoteError, match="the arguments of <lambda> can't be sent: a message of 2"):
            client.pass_large(lambda *args: 1, 200_000)
        assert client.large(1)[1] == "x"
        gc.collect()
        eventually(lambda: lent(server) == 0)


def test_it_lives_as_long_as_the_connection(service: Service) -> None:
    with serving(service) as server, zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
        add = client.adder(1)
        (link,) = server._core.door.hub.links
        server._core.runners.loop.call_soon_threadsafe(link.abort, zerorpc.LostRemote("cut"))
        eventually(lambda: link not in server._core.door.hub.links)
        eventually(lambda: _answers(client))
        assert client.echo("again") == "again"
        with pytest.raises(zerorpc.LostRemote) as caught:
            add(1)
        assert caught.value.ran is False
    with pytest.raises(zerorpc.Closed):
        add(1)


def _answers(client: zerorpc.Client) -> bool:
    try:
        return bool(client.echo(True))
    except zerorpc.LostRemote:  # this was how it noticed
        return False


def test_it_may_be_dropped_while_it_is_called(endpoint: str) -> None:
    """It is given back right behind the request, and both may come in one piece."""
    with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        calls = [zerorpc.options(client.calculator(), async_=True).add(n) for n in range(50)]
        assert [call.get(PATIENCE) for call in calls] == [100 + n for n in range(50)]

    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            for n in range(50):
                assert await (await client.adder(n))(1) == n + 1

            async def add(n: int) -> int:
                call = (await client.adder(n))(1)
                await asyncio.sleep(0)
                return await call

            assert await asyncio.gather(*(add(n) for n in range(50))) == [n + 1 for n in range(50)]

    run(main())


def test_it_may_be_dropped_before_its_call_is_sent(endpoint: str, server: zerorpc.Server) -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            add = await client.adder(1)
            (peer,) = client._core.calls.peers
            peer.writable = False  # as while the server doesn't read
            call = add(2)
            del add
            gc.collect()
            await asyncio.sleep(0)
            assert lent(server) == 1
            peer.writable = True
            client._core._peers.peer_writable(client._core._links[peer])
            assert await call == 3
            del call
            await eventually_async(lambda: lent(server) == 0)

    run(main())


def test_it_goes_to_the_server_that_has_it() -> None:
    with serving({"adder": Service().adder}) as one, serving({"adder": Service().adder}) as two:
        with zerorpc.Client([one.endpoints[0], two.endpoints[0]], timeout=PATIENCE) as client:
            eventually(lambda: len(client._core.calls.peers) == 2)
            functions = [client.adder(n) for n in range(20)]
            assert [function(100) for function in functions] == [n + 100 for n in range(20)]


def test_it_keeps_the_client_open(endpoint: str) -> None:
    add = zerorpc.Client(endpoint, timeout=PATIENCE).adder(1)
    gc.collect()
    assert add(1) == 2


def test_only_references_can_be_released() -> None:
    with pytest.raises(TypeError, match="only what the other side has passed"):
        zerorpc.release(len)  # type: ignore[arg-type]


def test_what_they_look_like(endpoint: str) -> None:
    with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        (function,) = client.functions(1)
        assert repr(function) == "<RemoteFunction partial>"
        assert repr(client.calculator()) == "<RemoteObject>"
        assert not hasattr(client.calculator(), "__len__")
    assert "Calculator" in repr(zerorpc.by_reference(Calculator()))


# Where it isn't possible


def test_in_a_worker_process(service: Service) -> None:
    with joined({"echo": echo_in_process}) as client:
        with pytest.raises(zerorpc.WrongArguments, match="in a worker process, which can't call") as caught:
            client.echo(lambda: 1)
        assert caught.value.ran is False


@EITHER_CLIENT
def test_with_an_idempotency_key(endpoint: str, way: Way) -> None:
    with pytest.raises(zerorpc.WrongArguments, match="with an idempotency key"):
        way(endpoint, lambda client: client.plain(lambda: 1), key="k")
    with pytest.raises(zerorpc.RemoteError, match="the result of adder can't be sent"):
        way(endpoint, lambda client: client.adder(1), key="l")


@EITHER_CLIENT
def test_with_a_hedge(endpoint: str, way: Way) -> None:
    with pytest.raises(TypeError, match="can't be hedged"):
        way(endpoint, lambda client: client.plain(lambda: 1), hedge=True)


@EITHER_CLIENT
def test_every_server_gets_it_and_no_stream(endpoint: str, way: Way) -> None:
    def use_blocking(client: Any) -> Any:
        return [outcome.value for _, outcome in zerorpc.every(client).plain(lambda: 5)]

    async def use_async(client: Any) -> Any:
        return [outcome.value async for _, outcome in zerorpc.every(client).plain(lambda: 5)]

    assert way(endpoint, use_blocking if way is blocking else use_async) == [5]

    def stream_blocking(client: Any) -> Any:
        return list(zerorpc.every(client).echo(iter("abc")))

    async def stream_async(client: Any) -> Any:
        return [each async for each in zerorpc.every(client).echo(iter("abc"))]

    with pytest.raises(TypeError, match="an argument that streams can only go to one server"):
        way(endpoint, stream_blocking if way is blocking else stream_async)


def test_through_a_pusher() -> None:
    with zerorpc.Pusher() as pusher:
        pusher.bind("tcp://127.0.0.1:0")
        with pytest.raises(zerorpc.SerializationError, match="can't be sent"):
            pusher.told(lambda: 1)


# Beside other features


def test_middleware_sees_what_stands_for_them() -> None:
    class Watch:
        def __init__(self) -> None:
            self.seen: list[Any] = []

        def server_before_exec(self, request_event: Any) -> None:
            self.seen.append(request_event.args[0])

    watch = Watch()
    context = zerorpc.Context()
    context.register_middleware(watch)
    with joined(Service(), context=context) as client:
        assert client.plain(lambda: 1) == 1
        assert isinstance(watch.seen[0], zerorpc.RemoteFunction)
        assert client.adder(1)(2) == 3
        assert [function(1) for function in client.functions(3)] == [1, 2, 3]


def test_a_stopping_servers_refusal_takes_them_to_another() -> None:
    with serving(Service(), grace=PATIENCE) as one, serving(Service()) as two:
        with zerorpc.Client(one.endpoints[0], timeout=PATIENCE) as client:
            assert client.plain(lambda: "first") == "first"
            one._core.runners.stopping = True  # it refuses, and the client has not heard that it goes away
            client.connect(two.endpoints[0])
            eventually(lambda: len(client._core.calls.peers) == 2)
            retrying = zerorpc.options(client, retry=zerorpc.Retry())
            assert [retrying.plain(lambda n=n: n) for n in range(10)] == list(range(10))
            one._core.runners.stopping = False


def test_another_attempt_gets_the_outcome_of_its_own_function() -> None:
    """Both servers number their calls alike."""

    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

        @zerorpc.idempotent
        def ask(self, function: Function) -> list[Any]:
            return [self.name, function(self.name)]

    begun, second_begun, first_ended = threading.Event(), threading.Event(), threading.Event()
    asked: list[str] = []

    def function(name: str) -> int:
        asked.append(name)
        attempt = len(asked)
        if attempt == 1:
            begun.set()
            second_begun.wait(PATIENCE)
            threading.Timer(0.1, first_ended.set).start()  # when its outcome has gone, if it goes
        else:
            second_begun.set()
            first_ended.wait(PATIENCE)
        return attempt

    with serving(Named("one")) as one, serving(Named("two")) as two:
        endpoints = [one.endpoints[0], two.endpoints[0]]
        with zerorpc.Client(endpoints, timeout=PATIENCE, retry=zerorpc.Retry()) as client:
            eventually(lambda: len(client._core.calls.peers) == 2)
            call = client.ask(function, async_=True)
            assert begun.wait(PATIENCE)
            first = one if asked == ["one"] else two
            (link,) = first._core.door.hub.links
            first._core.runners.loop.call_soon_threadsafe(link.abort, zerorpc.LostRemote("cut"))
            assert call.get(PATIENCE) == [asked[1], 2]


def test_with_an_argument_that_streams_beside_it() -> None:
    class Sums:
        def total(self, numbers: Iterator[int], function: Function) -> Any:
            return function(sum(numbers))

    with joined(Sums()) as client:
        assert client.total(iter(range(10)), lambda n: n * 2) == 90


def test_in_a_server_of_several_processes() -> None:
    from tests.service.running import Program

    source = """
        import zerorpc
        from tests.client.test_references import Service
        server = zerorpc.Server(Service(), processes=2)
        print(server.bind("tcp://127.0.0.1:0")[0], flush=True)
        server.run()
    """
    with Program(source) as program, zerorpc.Client(program.line(), timeout=PATIENCE) as client:
        assert client.plain(lambda: "heard") == "heard"
        assert client.adder(1)(2) == 3


# What the errors say


@EITHER_CLIENT
def test_an_object_that_is_not_passed_by_reference(endpoint: str, way: Way) -> None:
    with pytest.raises(zerorpc.SerializationError, match=r"type Calculator can't be sent; zerorpc\.by_reference"):
        way(endpoint, lambda client: client.use(Calculator()))


def test_what_has_options_and_what_can_be_asked_everywhere(endpoint: str) -> None:
    with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        calculator = client.calculator()
        for wrong in (client.echo, 3, "tcp://127.0.0.1:1"):
            with pytest.raises(TypeError, match="options are for a Client"):
                zerorpc.options(wrong)  # type: ignore[arg-type]
        for wrong in (client.echo, calculator, 3):
            with pytest.raises(TypeError, match="can be asked, not of"):
                zerorpc.every(wrong)
        with pytest.raises(zerorpc.RemoteError, match="the result of a function that was passed to plain"):
            client.plain(functools.partial(object))


def test_a_plain_method_that_ends_as_it_was_asked_to_is_no_error(
    endpoint: str, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        call = client.until_cancelled_on_thread(
            lambda: service.begun.set() or service.waits.wait(PATIENCE), async_=True
        )
        assert service.begun.wait(PATIENCE)
        call.cancel()
        eventually(lambda: service.outcomes)
    assert isinstance(service.outcomes[0], zerorpc.Cancelled)
    assert not caplog.records


def test_nothing_is_kept_of_calls_that_are_over(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keeper is told of each end, and need not look for it."""
    with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        background = client._core.hub.background
        monkeypatch.setattr(background, "look", lambda: None)
        for n in range(50):
            assert client.plain(lambda n=n: n) == n
        eventually(lambda: not background.open)


def test_the_first_call_in_a_forked_child_may_lend(endpoint: str) -> None:
    from tests.service.running import Program

    source = """
        import os, sys, zerorpc
        client = zerorpc.Client(sys.argv[1], timeout=30)
        assert client.plain(lambda: 1) == 1
        if (pid := os.fork()) == 0:
            assert client.plain(lambda: 2) == 2
            polling = client._core.hub.polling
            polling._poller.modify(polling._bell.fileno(), 1)  # raises if that poller doesn't know what rings
            os._exit(0)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """
    with Program(source, endpoint) as program:
        assert program.end()[0] == 0
