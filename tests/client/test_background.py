"""async_=True: its result is a future, no thread is started for it, cancelling it reaches the method."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, as_completed, wait
from typing import Any

import pytest

import zerorpc
from tests.service.running import PATIENCE, Program, eventually, eventually_async, joined, run, serving, unused_port
from tests.service.services import Blocking, open_calls


class Holding:
    """Methods that tell what became of each of their calls."""

    def __init__(self) -> None:
        self.begun: set[int] = set()
        self.cancelled: set[int] = set()
        self._release: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def hold(self, number: int) -> int:
        self._event()
        self.begun.add(number)
        try:
            await self._event().wait()
        except asyncio.CancelledError:
            self.cancelled.add(number)
            raise
        return number

    def _event(self) -> asyncio.Event:
        if self._release is None:
            self._release, self._loop = asyncio.Event(), asyncio.get_running_loop()
        return self._release

    async def echo(self, number: int) -> int:
        await asyncio.sleep(number % 7 / 1000)
        return number

    async def fail(self, number: int) -> None:
        raise ValueError(number)

    async def count(self, limit: int) -> Any:
        for number in range(limit):
            yield number

    async def stream_later(self, number: int) -> Any:
        self.begun.add(number)
        try:
            await self._event().wait()
            yield number
        finally:
            self.cancelled.add(number)

    def release(self) -> None:
        """From any thread."""
        if self._loop is not None and self._release is not None:
            with contextlib.suppress(RuntimeError):  # it has served
                self._loop.call_soon_threadsafe(self._release.set)


@pytest.fixture
def service() -> Iterator[Holding]:
    service = Holding()
    yield service
    service.release()


@pytest.fixture
def client(service: Holding) -> Iterator[zerorpc.Client]:
    with joined(service) as client:
        yield client


def settled(client: zerorpc.Client) -> bool:
    """Whether the client has nothing more to do for any call."""
    background = client._core.hub.background
    return not (background.open or background._ended or background._finishing) and open_calls(client) == 0


# A future


@pytest.mark.usefixtures("no_second_looks")
def test_it_is_a_future(client: zerorpc.Client, service: Holding) -> None:
    held = client.hold(1, async_=True)
    assert isinstance(held, Future)
    assert (held.done(), held.running(), held.cancelled(), held.ready(), held.successful()) == (False,) * 5
    assert held.value is None
    for late in (held.result, held.exception):
        with pytest.raises(TimeoutError, match=r"timeout after 0\.01s, when waiting for the result of hold") as caught:
            late(timeout=0.01)
        assert type(caught.value) is zerorpc.TimeoutExpired
        assert caught.value.method == "hold"
    eventually(lambda: service.begun)
    service.release()
    assert held.result(PATIENCE) == 1
    assert held.exception(PATIENCE) is None
    assert (held.done(), held.running(), held.cancelled(), held.ready(), held.successful()) == (
        True,
        False,
        False,
        True,
        True,
    )
    assert held.value == 1


def test_whoever_sees_that_it_is_done_gets_its_outcome_without_waiting(
    client: zerorpc.Client, service: Holding
) -> None:
    """Another thread may see it before anything else is told."""
    held = client.hold(1, async_=True)
    seen: list[object] = []
    held._done_callbacks.insert(0, lambda done: seen.append((done.done(), done.get(block=False), done.result(0))))
    eventually(lambda: service.begun)
    service.release()
    assert held.get() == 1
    assert seen == [(True, 1, 1)]


@pytest.mark.usefixtures("no_second_looks")
def test_the_error_of_a_call_is_the_futures(client: zerorpc.Client) -> None:
    failed = client.fail(7, async_=True)
    error = failed.exception(PATIENCE)
    assert isinstance(error, zerorpc.RemoteError)
    assert (error.name, error.msg, error.ran) == ("ValueError", "7", True)
    assert (failed.done(), failed.successful(), failed.value) == (True, False, None)
    for get in (failed.result, failed.get):
        with pytest.raises(zerorpc.RemoteError) as caught:
            get()
        assert caught.value is error


@pytest.mark.usefixtures("no_second_looks")
def test_as_completed_and_wait(client: zerorpc.Client, service: Holding) -> None:
    held = client.hold(0, async_=True)
    calls = [client.echo(number, async_=True) for number in range(20)]
    done, rest = wait([held, *calls], timeout=PATIENCE, return_when=FIRST_COMPLETED)
    assert done
    assert held in rest
    assert sorted(call.result() for call in as_completed(calls, PATIENCE)) == list(range(20))
    failing = client.fail(1, async_=True)
    done, rest = wait([held, failing], timeout=PATIENCE, return_when=concurrent.futures.FIRST_EXCEPTION)
    assert (done, rest) == ({failing}, {held})
    with pytest.raises(TimeoutError):
        next(as_completed([held], 0.01))
    eventually(lambda: service.begun)
    service.release()
    assert wait([held], PATIENCE).done == {held}


@pytest.mark.usefixtures("no_second_looks")
def test_an_event_loop_awaits_it(client: zerorpc.Client, service: Holding) -> None:
    async def main() -> None:
        calls = [asyncio.wrap_future(client.echo(number, async_=True)) for number in range(20)]
        assert await asyncio.gather(*calls) == list(range(20))
        with pytest.raises(zerorpc.RemoteError):
            await asyncio.wrap_future(client.fail(1, async_=True))
        held = client.hold(1, async_=True)
        awaited = asyncio.wrap_future(held)
        await eventually_async(lambda: service.begun)
        awaited.cancel()
        await eventually_async(lambda: service.cancelled)
        assert held.cancelled()

    run(main())


@pytest.mark.usefixtures("no_second_looks")
def test_a_stream(client: zerorpc.Client) -> None:
    calls = [client.count(300, async_=True) for _ in range(3)]
    assert [list(call.result(PATIENCE)) for call in calls] == [list(range(300))] * 3
    assert calls[0].get() is calls[0].value


@pytest.mark.usefixtures("no_second_looks")
def test_a_call_times_out_though_nobody_waits(client: zerorpc.Client) -> None:
    told: list[BaseException | None] = []
    client.hold(1, async_=True, timeout=0.05).add_done_callback(lambda call: told.append(call.exception()))
    eventually(lambda: told)
    assert isinstance(told[0], zerorpc.TimeoutExpired)
    nowhere = zerorpc.Client(f"tcp://127.0.0.1:{unused_port()}", timeout=0.05)
    nowhere.hold(1, async_=True).add_done_callback(lambda call: told.append(call.exception()))
    eventually(lambda: len(told) == 2)
    assert isinstance(told[1], zerorpc.TimeoutExpired)
    nowhere.close()


def test_a_client_that_is_connected_to_nothing_yet() -> None:
    with zerorpc.Client(timeout=PATIENCE) as client, serving({"echo": lambda value: value}) as server:
        assert isinstance(client.echo(0, async_=True, timeout=0.01).exception(), zerorpc.TimeoutExpired)
        call = client.echo(1, async_=True)
        client.connect(server.endpoints[0])
        assert call.result(PATIENCE) == 1


# Who waits, and who leads


@pytest.mark.usefixtures("no_second_looks")
@pytest.mark.parametrize("end", ["reply", "cancel", "close"])
def test_several_threads_wait_for_one_result(client: zerorpc.Client, service: Holding, end: str) -> None:
    held = client.hold(1, async_=True)
    eventually(lambda: service.begun)
    ways: list[Callable[[], Any]] = [held.get, held.result, lambda: wait([held]).done.pop().result(), held.exception]
    with ThreadPoolExecutor(len(ways)) as pool:
        waiting = [pool.submit(way) for way in ways]
        eventually(lambda: len(held._gate._waiting) == 3 and held._waiters)
        {"reply": service.release, "cancel": held.cancel, "close": client.close}[end]()
        outcomes = [each.exception(PATIENCE) or each.result() for each in waiting]
    if end == "reply":
        assert outcomes == [1, 1, 1, None]
    else:
        assert {type(each) for each in outcomes} == {CancelledError if end == "cancel" else zerorpc.LostRemote}


@pytest.mark.usefixtures("no_second_looks")
@pytest.mark.parametrize("first", ["the thread leads", "the keeper leads"])
def test_while_another_thread_makes_ordinary_calls(client: zerorpc.Client, service: Holding, first: str) -> None:
    """One that leads reads the replies of the others as well, and leaves that to the keeper at its end."""
    with ThreadPoolExecutor(1) as pool:
        if first == "the thread leads":
            ordinary = pool.submit(client.hold, 1)
            eventually(lambda: service.begun)
            assert [client.echo(number, async_=True).get(timeout=PATIENCE) for number in range(5)] == list(range(5))
        else:
            held = client.hold(2, async_=True)
            eventually(lambda: service.begun)
            ordinary = pool.submit(client.hold, 1)
        eventually(lambda: 1 in service.begun)
        calls = [client.hold(number, async_=True) for number in range(3, 6)]
        eventually(lambda: len(service.begun) >= 4)
        service.release()
        assert ordinary.result(PATIENCE) == 1
        assert [call.get(timeout=PATIENCE) for call in calls] == [3, 4, 5]
        if first == "the keeper leads":
            assert held.get(timeout=PATIENCE) == 2
    assert client.echo(1) == 1
    eventually(lambda: settled(client))


@pytest.mark.usefixtures("no_second_looks")
def test_ordinary_calls_and_background_ones_take_turns(client: zerorpc.Client) -> None:
    for number in range(200):
        call = client.echo(number, async_=True)
        assert client.echo(-number) == -number
        assert call.get(timeout=PATIENCE) == number
    eventually(lambda: settled(client))


@pytest.mark.parametrize("connected", [True, False], ids=["sent", "waiting for a server"])
def test_closing_the_client_ends_its_calls(service: Holding, connected: bool) -> None:
    with serving(service) as server:
        client = zerorpc.Client(server.endpoints[0] if connected else f"tcp://127.0.0.1:{unused_port()}", timeout=None)
        calls = [client.hold(number, async_=True) for number in range(10)]
        eventually(lambda: not connected or len(service.begun) == 10)
        client.close()
        for call in as_completed(calls, PATIENCE):
            with pytest.raises(zerorpc.LostRemote if connected else zerorpc.Closed, match="the client was closed"):
                call.result()
        with pytest.raises(zerorpc.Closed):
            client.echo(1, async_=True)


def test_a_thousand_calls_take_no_thread(client: zerorpc.Client, service: Holding) -> None:
    client.echo(0)
    before = set(threading.enumerate())
    calls = [client.hold(number, async_=True) for number in range(1000)]
    assert set(threading.enumerate()) <= before
    eventually(lambda: len(service.begun) == 1000)
    assert set(threading.enumerate()) <= before
    service.release()
    assert [call.get(timeout=PATIENCE) for call in calls] == list(range(1000))
    assert set(threading.enumerate()) <= before
    eventually(lambda: settled(client))


def test_a_thousand_calls_of_eight_threads_half_of_them_cancelled(client: zerorpc.Client, service: Holding) -> None:
    """Each ends with its value, its error or its cancellation, and the server hears of all that were cancelled."""
    kinds = ["echo", "fail", "hold"]
    meanwhile: list[Counter[str]] = []

    def begin(thread: int) -> dict[Future[Any], tuple[str, int, bool]]:
        dice = random.Random(thread)
        numbers = range(125 * thread, 125 * (thread + 1))
        calls = {client(kinds[n % 3], n, async_=True): (kinds[n % 3], n) for n in numbers}
        done, rest = wait(calls, PATIENCE, FIRST_COMPLETED)
        assert done
        assert len(done) + len(rest) == 125
        return {call: (*what, dice.random() < 0.5 and call.cancel()) for call, what in calls.items()}

    def end(calls: dict[Future[Any], tuple[str, int, bool]]) -> None:
        outcomes: Counter[str] = Counter()
        for call in as_completed(calls, PATIENCE):
            kind, number, is_cancelled = calls[call]
            assert call.cancelled() is is_cancelled, "who cancelled it was told the truth"
            if is_cancelled:
                with pytest.raises(CancelledError):
                    call.get()  # type: ignore[attr-defined]
            elif kind == "fail":
                error = call.exception()
                assert isinstance(error, zerorpc.RemoteError)
                assert error.msg == str(number)
            else:
                assert call.result() == number
            outcomes["cancelled" if is_cancelled else kind] += 1
        meanwhile.append(outcomes)

    with ThreadPoolExecutor(8) as pool:
        begun = list(pool.map(begin, range(8)))
        everything = [what for calls in begun for what in calls.values()]
        cancelled = {number for kind, number, is_cancelled in everything if kind == "hold" and is_cancelled}
        kept = {number for kind, number, is_cancelled in everything if kind == "hold" and not is_cancelled}
        assert len(cancelled) > 100
        assert len(kept) > 100
        assert client.echo(1) == 1
        eventually(lambda: kept <= service.begun and service.begun & cancelled == service.cancelled)
        service.release()
        list(pool.map(end, begun))
    assert sum(meanwhile, Counter()).total() == 1000
    eventually(lambda: settled(client))


# Cancelling


@pytest.mark.usefixtures("no_second_looks")
@pytest.mark.parametrize("method", ["hold", "stream_later"])
def test_cancel_reaches_the_method_at_once(client: zerorpc.Client, service: Holding, method: str) -> None:
    call = client(method, 1, async_=True)
    eventually(lambda: service.begun)
    assert call.cancel()
    eventually(lambda: service.cancelled == {1})
    assert (call.cancelled(), call.done(), call.ready(), call.successful(), call.value) == (
        True,
        True,
        True,
        False,
        None,
    )
    assert call.cancel(), "as with any future"
    for outcome in (call.get, call.result, call.exception, lambda: call.get(block=False)):
        with pytest.raises(CancelledError):
            outcome()
    call.wait()
    assert wait([call], PATIENCE).done == {call}
    assert client.echo(1) == 1
    eventually(lambda: settled(client))


def test_what_is_done_is_not_cancelled(client: zerorpc.Client) -> None:
    call = client.echo(1, async_=True)
    call.wait(PATIENCE)
    assert not call.cancel()
    assert not call.cancelled()
    assert call.get() == 1
    failed = client.fail(1, async_=True)
    failed.wait(PATIENCE)
    assert not failed.cancel()
    assert isinstance(failed.exception(), zerorpc.RemoteError)


@pytest.mark.usefixtures("no_second_looks")
def test_cancelling_what_waits_for_a_server() -> None:
    with zerorpc.Client(f"tcp://127.0.0.1:{unused_port()}", timeout=None) as client:
        calls = [client.echo(number, async_=True) for number in range(3)]
        assert all(call.cancel() for call in calls)
        assert wait(calls, PATIENCE).not_done == set()
        eventually(lambda: settled(client))


@pytest.mark.usefixtures("no_second_looks")
def test_cancelling_where_the_same_thread_holds_the_lock(client: zerorpc.Client, service: Holding) -> None:
    """As a signal handler or a finalizer may: the keeper does the rest."""
    call = client.hold(1, async_=True)
    eventually(lambda: service.begun)
    with client._core.hub.lock:
        assert call.cancel()
        with pytest.raises(CancelledError):
            call.get()
    eventually(lambda: service.cancelled == {1})
    assert wait([call], PATIENCE).done == {call}


def test_cancelling_in_the_very_moment_of_the_reply(client: zerorpc.Client) -> None:
    """By several threads, each of which is told the same."""
    ends: Counter[bool] = Counter()
    with ThreadPoolExecutor(3) as pool:
        for number in range(300):
            call = client.echo(7 * number, async_=True)
            told = {cancelling.result(PATIENCE) for cancelling in [pool.submit(call.cancel) for _ in range(3)]}
            assert wait([call], PATIENCE).done == {call}
            assert call.cancelled() is (True in told)
            if not call.cancelled():
                assert call.get() == 7 * number
            ends[call.cancelled()] += 1
    eventually(lambda: settled(client))


# Callbacks


@pytest.mark.usefixtures("no_second_looks")
def test_callbacks_run_though_nobody_waits_nor_keeps_the_result(service: Holding) -> None:
    told: list[Any] = []
    with serving(service) as server:
        client = zerorpc.Client(server.endpoints[0], timeout=PATIENCE)
        call = client.hold(1, async_=True)
        for _ in range(3):
            call.add_done_callback(lambda call: told.append(call.result()))
        del call, client
        gc.collect()
        eventually(lambda: service.begun)
        service.release()
        eventually(lambda: told == [1, 1, 1])
        eventually(lambda: not server._core.hub.links, "the client is gone, as nobody keeps it any more")


def test_a_callback_of_what_is_done_runs_at_once(client: zerorpc.Client) -> None:
    told: list[str] = []
    call = client.echo(1, async_=True)
    call.wait(PATIENCE)
    call.add_done_callback(lambda _: told.append(threading.current_thread().name))
    assert told == [threading.current_thread().name]


@pytest.mark.usefixtures("no_second_looks")
def test_a_callback_calls_and_waits_and_takes_its_time(client: zerorpc.Client, service: Holding) -> None:
    """Meanwhile other results come, of other calls, and nobody waits in the client itself."""
    told: list[Any] = []
    go_on = threading.Event()

    def callback(call: Future[Any]) -> None:
        told.append(client.echo(call.result() + 1))
        told.append(client.echo(call.result() + 2, async_=True).get(timeout=PATIENCE))
        told.append(list(client.count(3)))
        go_on.wait(PATIENCE)
        told.append("over")

    client.echo(1, async_=True).add_done_callback(callback)
    eventually(lambda: len(told) == 3)
    calls = [client.echo(number, async_=True) for number in range(20)]
    assert wait(calls, PATIENCE).not_done == set()
    late = client.hold(1, async_=True, timeout=0.02)
    assert wait([late], PATIENCE).done == {late}
    go_on.set()
    eventually(lambda: told == [2, 3, [0, 1, 2], "over"])


@pytest.mark.parametrize("error", [ValueError("why"), SystemExit(3)], ids=repr)
def test_a_callback_that_raises_is_logged_and_disturbs_nothing(
    client: zerorpc.Client, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Future[Any]) -> None:
        raise error

    told: list[int] = []
    call = client.echo(1, async_=True)
    call.add_done_callback(fail)
    call.add_done_callback(lambda call: told.append(call.result()))
    eventually(lambda: told == [1])
    assert call.get() == 1
    assert [record.getMessage()[:35] for record in caplog.records] == ["exception calling callback for <Asy"]
    assert caplog.records[0].name == "concurrent.futures"


def test_callbacks_of_what_is_cancelled_do_not_keep_the_server_from_hearing_of_it(
    client: zerorpc.Client, service: Holding
) -> None:
    told: list[bool] = []
    call = client.hold(1, async_=True)

    def callback(call: Future[Any]) -> None:
        eventually(lambda: service.cancelled)
        told.append(call.cancelled())

    call.add_done_callback(callback)
    eventually(lambda: service.begun)
    call.cancel()
    eventually(lambda: told == [True])


def test_callbacks_of_a_process_out_of_threads_run_in_the_keeper(
    client: zerorpc.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they may call, but not wait for what the keeper has to finish."""
    start = threading.Thread.start
    told: list[Any] = []

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "zerorpc-callbacks":
            raise RuntimeError("can't start new thread")
        start(thread)

    def callback(call: Future[Any]) -> None:
        told.append(threading.current_thread().name)
        told.append(client.echo(call.result() + 1))
        other = client.echo(3, async_=True)
        with pytest.raises(RuntimeError, match="in the thread that has to finish it"):
            other.get()
        told.append(other)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    client.echo(1, async_=True).add_done_callback(callback)
    eventually(lambda: len(told) == 3)
    assert told[:2] == ["zerorpc-keeper", 2]
    assert told[2].get(timeout=PATIENCE) == 3


# Hooks


@pytest.mark.usefixtures("no_second_looks")
def test_hooks_may_call_and_take_their_time(service: Holding) -> None:
    seen: list[Any] = []
    go_on = threading.Event()
    context = zerorpc.Context()

    def after(request: Any, reply: Any, error: Any) -> None:
        if request.name == "hold":
            seen.append((threading.current_thread() is threading.main_thread(), error and type(error)))
            if error is None:
                seen.append(client.echo(7))
                go_on.wait(PATIENCE)

    context.register_middleware({"client_after_request": after})
    with serving(service) as server:
        client = zerorpc.Client(server.endpoints[0], timeout=PATIENCE, context=context)
        late = client.hold(1, async_=True, timeout=0.01)
        assert isinstance(late.exception(PATIENCE), zerorpc.TimeoutExpired)
        call = client.hold(2, async_=True)
        eventually(lambda: 2 in service.begun)
        service.release()
        eventually(lambda: len(seen) == 3)
        assert client.echo(8) == 8
        assert not call.done()
        go_on.set()
        assert call.get(timeout=PATIENCE) == 2
        client.close()
    assert seen == [(False, zerorpc.TimeoutExpired), (False, None), 7]


@pytest.mark.usefixtures("no_second_looks")
def test_a_callback_may_wait_for_a_call_with_hooks_and_a_hook_may_not(service: Holding) -> None:
    told: list[Any] = []
    context = zerorpc.Context()

    def after(request: Any, reply: Any, error: Any) -> None:
        if request.name == "fail":
            with pytest.raises(RuntimeError, match=r"a hook .* waits for an async_=True call"):
                client.echo(1, async_=True).get()
            told.append("refused")

    context.register_middleware({"client_after_request": after})
    with serving(service) as server:
        client = zerorpc.Client(server.endpoints[0], timeout=PATIENCE, context=context)
        client.echo(1, async_=True).add_done_callback(
            lambda _: told.append(client.echo(2, async_=True).get(timeout=PATIENCE))
        )
        eventually(lambda: told == [2])
        assert isinstance(client.fail(3, async_=True).exception(PATIENCE), zerorpc.RemoteError)
        client.close()
    assert told == [2, "refused"]


# Elsewhere


def test_the_keeper_leads_only_while_there_are_background_calls(client: zerorpc.Client, service: Holding) -> None:
    leading = client._core.hub.leading
    assert client.echo(1) == 1
    held = client.hold(1, async_=True)
    eventually(lambda: leading.leader == client._core.hub._keeper.ident)
    held.cancel()
    eventually(lambda: leading.leader is None)


def test_an_end_that_an_interrupt_kept_from_being_told_is_found(
    client: zerorpc.Client, service: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = client.hold(1, async_=True)
    eventually(lambda: service.begun)
    with client._core.hub.lock:
        channel = held.call.request.channel
        channel.waiter = None  # all that Ctrl-C may leave of it
        channel.fail(zerorpc.LostRemote("in a test"))
    with pytest.raises(zerorpc.LostRemote, match="in a test"):
        held.get(timeout=PATIENCE)


def test_a_cancellation_that_is_interrupted_is_made_whole(client: zerorpc.Client, service: Holding) -> None:
    held = client.hold(1, async_=True)
    eventually(lambda: service.begun)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(held._gate, "open", interrupted)
        with pytest.raises(KeyboardInterrupt):
            held.cancel()
    assert wait([held], PATIENCE).done == {held}
    eventually(lambda: service.cancelled == {1})


def interrupted() -> None:
    raise KeyboardInterrupt


FORKED = """
import concurrent.futures, os, sys, threading, zerorpc
from zerorpc.client.background import AsyncResult
forked, parent, settle = threading.Event(), os.getpid(), AsyncResult.settle
def settle_and_wait(self, *outcome):
    settle(self, *outcome)
    if os.getpid() == parent:
        forked.wait()
{before}
client = zerorpc.Client(sys.argv[1], timeout=10)
held, told = [client.hold(n, async_=True) for n in range(4)], []
done, given_up = client.echo(1, async_=True), client.hold(4, async_=True)
done.wait()
given_up.cancel()
for call in held:
    call.add_done_callback(told.append)
pid = os.fork()
if pid == 0:
    outcomes = {type(call.exception()).__name__ for call in concurrent.futures.as_completed(held, 5)}
    print(outcomes, [call.cancel() for call in held], done.result(), told, client.echo("child"), end=" ")
    print(given_up.cancelled(), flush=True)
    os._exit(0)
forked.set()
print(os.waitpid(pid, 0)[1], [call.cancel() for call in held], flush=True)
assert concurrent.futures.wait(held, 5).done == set(held)
"""


@pytest.mark.parametrize("before", ["", "AsyncResult.settle = settle_and_wait"], ids=["at rest", "just done"])
def test_in_a_forked_child_the_parents_calls_are_lost_and_its_callbacks_not_run(before: str) -> None:
    service = Holding()
    methods = {"hold": service.hold, "echo": lambda value: value}
    with serving(methods) as server, Program(FORKED.replace("{before}", before), server.endpoints[0]) as program:
        code, out, err = program.end()
    assert (code, out) == (
        0,
        "{'LostRemote'} [False, False, False, False] 1 [] child True\n0 [True, True, True, True]\n",
    ), err


def test_a_call_that_one_server_refuses_is_made_elsewhere_though_nobody_waits() -> None:
    """The first leaves while the calls wait for their turn."""
    leaves, stays = Blocking("leaves"), Blocking("stays")
    told: list[str] = []
    with (
        serving(leaves, pool_size=1, grace=PATIENCE) as leaving,
        serving(stays, pool_size=1) as staying,
        zerorpc.Client(leaving.endpoints[0], timeout=PATIENCE) as client,
    ):
        busy = client.block(async_=True)
        eventually(lambda: leaves.blocked)
        calls = [client.who(async_=True) for _ in range(20)]
        for call in calls:
            call.add_done_callback(lambda call: told.append(call.result()))
        client.connect(staying.endpoints[0])
        eventually(lambda: len(client._core.calls.peers) == 2)
        leaving.stop()
        eventually(lambda: not leaving.endpoints)
        leaves.release.set()
        assert busy.get(timeout=PATIENCE) == "released"
        eventually(lambda: told == ["stays"] * 20)
