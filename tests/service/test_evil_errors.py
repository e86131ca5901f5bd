"""Exceptions, results and objects that raise when they are looked at: callers get their error, nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import zerorpc
from tests.service import evil_errors as evil
from tests.service.running import PATIENCE, TCP, eventually, eventually_async, joined, on_thread, run, serving
from tests.service.services import remote_error
from zerorpc.service import process_pool

pytestmark = pytest.mark.timeout(60)  # starting a process takes a moment, on a loaded machine more

STREAMS = ("generator", "async_generator", "streamed", "astreamed")


def echo(value: Any) -> Any:
    return value


async def aecho(value: Any) -> Any:
    return value


@zerorpc.process
def pecho(value: Any) -> Any:
    return value


@pytest.fixture(scope="module")
def client() -> Iterator[zerorpc.Client]:
    """Of a server that runs one method at a time: a slot that leaks is the last one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process_pool, "usable_cores", lambda: 1)
        methods = {**evil.METHODS, **evil.RESULT_METHODS, "echo": echo, "aecho": aecho, "pecho": pecho}
        with joined(methods, pool_size=1, grace=0) as client:
            yield client


@pytest.fixture(autouse=True)
def all_is_well(request: pytest.FixtureRequest) -> Iterator[None]:
    """Afterwards the same connection serves healthy calls, and no thread has died."""
    with no_thread_dies():
        yield
        if "client" in request.fixturenames:
            client = request.getfixturevalue("client")
            connections = client._core.hub.links.copy()
            assert [client.echo(1), client.aecho(2), client.pecho(3)] == [1, 2, 3]
            assert client._core.hub.links == connections
            assert len(connections) == 1


@contextlib.contextmanager
def no_thread_dies() -> Iterator[None]:
    died: list[Any] = []
    before, threading.excepthook = threading.excepthook, died.append
    try:
        yield
    finally:
        threading.excepthook = before
    assert not died


@pytest.mark.parametrize("name", evil.EVIL)
def test_whatever_a_method_raises_its_caller_is_told_its_name(client: zerorpc.Client, name: str) -> None:
    for how in evil.METHODS:
        error = remote_error(raising(client, how, name))
        assert (how, error.name) == (how, evil.name_of(name))
        assert "Traceback (most recent call last):" in str(error.traceback)
        assert [client.echo(1), client.aecho(2)] == [1, 2]


def raising(client: zerorpc.Client, how: str, name: str) -> Any:
    """What raises the error of a method: the call, or the next item of a stream."""
    if not how.endswith(STREAMS):
        return lambda: client(how, name, timeout=4 * PATIENCE)  # for what is huge, on a loaded machine
    items = client(how, name)
    assert next(items) == 1
    return lambda: next(items)


def test_what_can_be_shown_of_an_exception_is_shown(client: zerorpc.Client) -> None:
    error = remote_error(client.plain, "BadStr")
    assert error.msg == "<its message can't be shown: RuntimeError>"
    error = remote_error(client.plain, "ApiError")
    assert error.msg == "{}"
    assert "raise _made(name)" in str(error.traceback)  # frames, even where Python fails to show them
    assert "ApiError: {}\n" in str(error.traceback)
    error = remote_error(client.plain, "Surrogate")
    assert error.msg == "half a character: \\ud800"
    error = remote_error(client.process, "ExitsOnArrival")
    assert error.msg == ""


@pytest.mark.parametrize("how", ["plain", "coroutine", "generator", "process"])
def test_a_huge_message_is_clipped(client: zerorpc.Client, how: str) -> None:
    """Whole it would be over the limit of a message."""
    error = remote_error(raising(client, how, "Huge"))
    assert error.name == "Huge"
    assert error.msg.startswith("begin")
    assert error.msg.endswith("end")
    assert "characters are left out here" in error.msg
    assert len(error.msg) + len(str(error.traceback)) < 3_000_000


@pytest.mark.parametrize("how", ["plain", "coroutine", "process"])
def test_a_chain_of_thousands_is_no_reason_for_another_name(client: zerorpc.Client, how: str) -> None:
    error = remote_error(client, how, "Chained")
    assert (error.name, error.msg) == ("Chained", "the outermost")
    assert "Chained: 4999" in str(error.traceback)


@pytest.mark.parametrize("name", evil.RESULTS)
def test_whatever_packing_a_result_raises_its_caller_is_told(client: zerorpc.Client, name: str) -> None:
    for how in evil.RESULT_METHODS:
        error = remote_error(raising(client, how, name))
        goes_on = name in ("SystemExit", "KeyboardInterrupt") and how != "result_process"  # pickled before it is packed
        assert (how, error.name) == (how, name if goes_on else "TypeError")
        assert goes_on or "can't be sent" in error.msg
        assert client.echo(1) == 1


# Neighbours


@pytest.mark.parametrize("how", evil.METHODS)
def test_neighbours_of_evil_calls_notice_nothing(how: str) -> None:
    release, released = threading.Event(), asyncio.Event()
    begun: list[asyncio.AbstractEventLoop | None] = []

    def on_thread_waits() -> str:
        begun.append(None)
        release.wait(PATIENCE)
        return "on a thread"

    async def on_loop_waits() -> str:
        begun.append(asyncio.get_running_loop())
        await released.wait()
        return "on the loop"

    def streams() -> Iterator[int]:
        yield from range(1000)

    waits = {"on_thread_waits": on_thread_waits, "on_loop_waits": on_loop_waits, "streams": streams}
    with joined({**evil.METHODS, **waits}) as client:
        neighbours = [client(name, async_=True) for name in ("on_thread_waits", "on_loop_waits") for _ in range(3)]
        items = client.streams()
        assert next(items) == 0
        eventually(lambda: len(begun) == len(neighbours))
        evils = [client(how, name, async_=True) for name in evil.EVIL]
        for call, name in zip(evils, evil.EVIL, strict=True):
            if how in STREAMS:
                items_of_it = call.get(timeout=PATIENCE)
                assert next(items_of_it) == 1
                assert remote_error(next, items_of_it).name == evil.name_of(name)
            else:
                assert remote_error(call.get, True, PATIENCE).name == evil.name_of(name)
        release.set()
        next(loop for loop in begun if loop).call_soon_threadsafe(released.set)
        assert [call.get(timeout=PATIENCE) for call in neighbours] == ["on a thread"] * 3 + ["on the loop"] * 3
        assert list(items) == list(range(1, 1000))
        assert len(client._core.hub.links) == 1


# Worker processes: what goes there


@pytest.mark.parametrize("how", ["BadStr", "ExitingStr", "InterruptingStr", "arrives", "endless"])
def test_an_object_that_raises_when_it_is_pickled_or_unpickled(how: str) -> None:
    with joined(evil.Stateful(how)) as client:
        for _ in range(2):
            error = remote_error(client.method)
            assert error.name == "TypeError"
            assert error.msg.startswith(f"method can't be {'loaded in' if how == 'arrives' else 'sent to'} a worker")


# Pullers and subscribers


@pytest.mark.parametrize("how", ["plain", "coroutine", "waiting", "wrapper", "generator", "async_generator"])
@pytest.mark.parametrize(("kinds", "way"), [(("Pusher", "Puller"), "run"), (("Publisher", "Subscriber"), "serve")])
def test_a_puller_handles_the_next_event_whatever_its_methods_raise(kinds: tuple[str, str], how: str, way: str) -> None:
    taken: list[int] = []
    sends, takes = (getattr(zerorpc, kind) for kind in kinds)
    puller = takes({**evil.METHODS, "take": taken.append})
    if way == "serve":
        puller.run = lambda: asyncio.run(puller.serve())
    endpoint = puller.bind(TCP)[0]
    with on_thread(puller), sends() as sender:
        sender.connect(endpoint)
        eventually(lambda: sender.take(0) or taken)  # a publisher sends to those that are there
        for number, name in enumerate(evil.EVIL, 1):
            sender(how, name)
            sender.take(number)
        eventually(lambda: taken[-len(evil.EVIL) :] == list(range(1, len(evil.EVIL) + 1)))


# Hooks

HOOK_ERRORS = (
    "Frozen",
    "ApiError",
    "BadStr",
    "ExitingStr",
    "BadClass",
    "SystemExit",
    "KeyboardInterrupt",
    "CancelledError",
)
SERVER_HOOKS = (
    *("load_task_context", "get_task_context", "server_before_exec", "server_after_exec"),
    "server_inspect_exception",
)


class Breaking:
    """A middleware whose hook of one name raises, and the others don't."""

    def __init__(self) -> None:
        self.broken = ""
        self.error = ""

    def __getattr__(self, hook: str) -> Any:
        if hook not in (*SERVER_HOOKS, *CLIENT_HOOKS):
            raise AttributeError(hook)

        def run(*args: Any) -> Any:
            if self.broken == hook:
                raise evil.EVIL[self.error]()
            return {} if hook == "get_task_context" else args[0] if hook == "client_patterns_list" else None

        return run


CLIENT_HOOKS = ("client_before_request", "client_patterns_list", "client_handle_remote_error", "client_after_request")


def call(client: zerorpc.Client, how: str) -> Any:
    """The result of a method, or the last item of a stream."""
    result = client(how)
    return list(result)[-1] if isinstance(result, Iterator) else result


def ok() -> str:
    return "ok"


async def aok() -> str:
    return "ok"


async def wok() -> str:
    await asyncio.sleep(0)
    return "ok"


def gok() -> Iterator[str]:
    yield "ok"


async def agok() -> AsyncIterator[str]:
    yield "ok"


@zerorpc.process
def pok() -> str:
    return "ok"


def fail() -> None:
    raise ValueError("its own")


OKS: dict[str, Any] = {"ok": ok, "aok": aok, "wok": wok, "gok": gok, "agok": agok, "pok": pok}
OKS["qok"] = zerorpc.on_loop(lambda: "ok")


@pytest.fixture(scope="module")
def breaking() -> Breaking:
    return Breaking()


@pytest.fixture(scope="module")
def hooked(breaking: Breaking) -> Iterator[zerorpc.Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process_pool, "usable_cores", lambda: 1)
        context = zerorpc.Context()
        context.register_middleware(breaking)
        with joined({**OKS, "fail": fail}, pool_size=1, grace=0, context=context) as client:
            yield client


@pytest.mark.parametrize("error", HOOK_ERRORS)
@pytest.mark.parametrize("hook", SERVER_HOOKS[:-1])
def test_a_hook_that_raises_before_or_after_a_method_is_its_error(
    hooked: zerorpc.Client, breaking: Breaking, hook: str, error: str
) -> None:
    for how in OKS:
        breaking.broken, breaking.error = hook, error
        assert (how, remote_error(call, hooked, how).name) == (how, evil.name_of(error))
        breaking.broken = ""
        assert call(hooked, how) == "ok"


@pytest.mark.parametrize("error", HOOK_ERRORS)
@pytest.mark.parametrize("hook", ["server_inspect_exception", "get_task_context"])
def test_a_hook_that_raises_when_an_error_is_told_changes_nothing(
    hooked: zerorpc.Client, breaking: Breaking, hook: str, error: str
) -> None:
    breaking.broken, breaking.error = hook, error
    assert remote_error(hooked.fail).msg == "its own"
    assert remote_error(hooked.unknown).name == "NameError"
    breaking.broken = ""
    assert call(hooked, "ok") == "ok"


UNSENDABLE = {"object": (object(), "", ""), "evil": evil.Result(SystemExit(3)), "huge": ("x" * 140_000_000, "", "")}


@pytest.mark.parametrize("args", UNSENDABLE)
def test_a_hook_that_makes_a_reply_that_can_t_be_sent(args: str) -> None:
    def spoil(request: Any, reply: Any, context: Any, exc_info: Any) -> None:
        reply.args = UNSENDABLE[args]

    context = zerorpc.Context()
    context.register_middleware({"server_inspect_exception": spoil})
    with joined({"fail": fail, "ok": ok}, pool_size=1, context=context) as client:
        assert remote_error(client.fail).msg == "its own"
        assert client.ok() == "ok"


@pytest.mark.parametrize("error", HOOK_ERRORS)
@pytest.mark.parametrize("hook", [*CLIENT_HOOKS, "get_task_context"])
def test_a_client_s_hook_that_raises_raises_in_the_call_and_frees_it(hook: str, error: str) -> None:
    breaking, context = Breaking(), zerorpc.Context()
    context.register_middleware(breaking)
    kind = type(evil.EVIL[error]())
    with serving({**OKS, "fail": fail}) as server:
        with zerorpc.Client(server.endpoints[0], context=context, timeout=PATIENCE) as client:
            for how in ("fail",) if hook == "client_handle_remote_error" else ("ok", "aok", "gok", "agok"):
                breaking.broken, breaking.error = hook, error
                with pytest.raises(kind):
                    call(client, how)
                breaking.broken = ""
                assert call(client, "ok") == "ok"
                eventually(lambda: not any(peer.channels for peer in client._core.calls.peers))


@pytest.mark.parametrize("error", ["Frozen", "ApiError", "BadStr", "BadClass"])  # what a task may raise
@pytest.mark.parametrize("hook", [*CLIENT_HOOKS, "get_task_context"])
def test_an_async_client_s_hook_that_raises_raises_in_the_call_and_frees_it(hook: str, error: str) -> None:
    breaking, context = Breaking(), zerorpc.Context()
    context.register_middleware(breaking)
    kind = type(evil.EVIL[error]())

    async def acall(client: zerorpc.AsyncClient, how: str) -> Any:
        result = await client(how)
        return [item async for item in result][-1] if isinstance(result, AsyncIterator) else result

    async def main(endpoint: str) -> None:
        async with zerorpc.AsyncClient(endpoint, context=context, timeout=PATIENCE) as client:
            for how in ("fail",) if hook == "client_handle_remote_error" else ("ok", "aok", "gok", "agok"):
                breaking.broken, breaking.error = hook, error
                with pytest.raises(kind):
                    await acall(client, how)
                breaking.broken = ""
                assert await acall(client, "ok") == "ok"
                await eventually_async(lambda: not any(peer.channels for peer in client._core.calls.peers))

    with serving({**OKS, "fail": fail}) as server:
        run(main(server.endpoints[0]))
