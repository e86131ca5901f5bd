"""What a server itself says of a call, and whether the method ran: to each kind of caller, and to old ones.

``ran`` is False only where the method certainly did not run, since whatever retries relies on that.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import zerorpc
from tests.service import process_services
from tests.service.running import PATIENCE, TCP, Program, RawPeer, eventually, on_thread, run, serving, unused_port
from zerorpc.protocol.events import decode_header, encode
from zerorpc.zmtp import SocketType

HEADER: dict[str, Any] = {"message_id": b"1" * 32, "v": 3}
OURS = {"X-Zerorpc": b"1"}

Failing = Callable[..., zerorpc.ZeroRPCError]


# Each way to call


def failing_blocking(endpoint: str, context: zerorpc.Context | None = None, **options: Any) -> Failing:
    def fail(method: str, *args: Any) -> zerorpc.ZeroRPCError:
        with zerorpc.Client(endpoint, context, **{"timeout": PATIENCE, **options}) as client:
            with pytest.raises(zerorpc.ZeroRPCError) as caught:
                taken(client(method, *args))
            return caught.value

    return fail


def failing_in_the_background(endpoint: str) -> Failing:
    def fail(method: str, *args: Any) -> zerorpc.ZeroRPCError:
        with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
            with pytest.raises(zerorpc.ZeroRPCError) as caught:
                taken(client(method, *args, async_=True).get())
            return caught.value

    return fail


def failing_async(endpoint: str, context: zerorpc.Context | None = None, **options: Any) -> Failing:
    async def fail(method: str, *args: Any) -> zerorpc.ZeroRPCError:
        async with zerorpc.AsyncClient(endpoint, context, **{"timeout": PATIENCE, **options}) as client:
            with pytest.raises(zerorpc.ZeroRPCError) as caught:
                await ataken(client(method, *args))
            return caught.value

    return lambda method, *args: run(fail(method, *args))  # type: ignore[no-any-return]


def taken(result: Any) -> None:
    """A stream's items, to the end."""
    if hasattr(result, "__next__"):
        for _ in result:
            pass


async def ataken(call: Any) -> None:
    result = await call
    if hasattr(result, "__anext__"):
        async for _ in result:
            pass


def hooked() -> zerorpc.Context:
    context = zerorpc.Context()
    context.register_middleware({"client_after_request": lambda *_: None})
    return context


CALLERS: dict[str, Callable[[str], Failing]] = {
    "blocking": failing_blocking,
    "in the background": failing_in_the_background,
    "async": failing_async,
    "blocking, with hooks": lambda endpoint: failing_blocking(endpoint, hooked()),
    "async, with hooks": lambda endpoint: failing_async(endpoint, hooked()),
}
EACH_CALLER = pytest.mark.parametrize("make_caller", CALLERS.values(), ids=CALLERS)


# What the server refuses, and what looks like it


class Service:
    def one(self, number: int) -> int:
        return number

    async def one_async(self, number: int) -> int:
        return number

    @zerorpc.on_loop
    def one_on_loop(self, number: int) -> int:
        return number

    @zerorpc.stream
    def stream(self, number: int) -> Iterator[int]:
        yield number
        raise ValueError("broken")

    async def stream_async(self, number: int) -> AsyncIterator[int]:
        yield number
        raise TypeError("broken")

    @zerorpc.rep
    def listed(self, number: int) -> Iterator[int]:
        yield number

    @zerorpc.stream
    async def listed_async(self, number: int) -> list[int]:
        return [number]

    def name_error(self) -> None:
        raise NameError("name_error")

    def type_error(self) -> None:
        raise TypeError("type_error")

    async def inner(self) -> None:
        self.one()  # type: ignore[call-arg]

    def unsendable(self) -> object:
        return object()

    def overloaded(self) -> None:
        raise zerorpc.ServerOverloaded("ServerOverloaded", "somebody else is", None, ran=False)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with serving(Service(), grace=PATIENCE) as server:
        yield server.endpoints[0]


@EACH_CALLER
def test_an_unknown_method(endpoint: str, make_caller: Callable[[str], Failing]) -> None:
    error = make_caller(endpoint)("nothing", 1)
    assert isinstance(error, zerorpc.UnknownMethod)
    assert isinstance(error, LookupError)
    assert (error.name, error.msg, error.ran, error.method) == ("NameError", "nothing", False, "nothing")
    assert error.traceback == "Traceback (most recent call last):\nNameError: nothing\n"
    assert str(error) == error.traceback


@EACH_CALLER
def test_wrong_arguments(endpoint: str, make_caller: Callable[[str], Failing]) -> None:
    for method in ("one", "one_async", "one_on_loop", "stream", "stream_async", "listed", "listed_async"):
        for args in ((), (1, 2)):
            error = make_caller(endpoint)(method, *args)
            assert isinstance(error, zerorpc.WrongArguments)
            assert isinstance(error, TypeError)
            assert (error.name, error.ran, error.method) == ("TypeError", False, method)
            assert method in error.msg


@EACH_CALLER
@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("name_error", "NameError"),
        ("type_error", "TypeError"),
        ("inner", "TypeError"),
        ("unsendable", "TypeError"),
        ("overloaded", "RemoteError"),  # of a server that this one's method has called: as in 0.6
    ],
)
def test_what_a_method_raises_is_none_of_the_servers(
    endpoint: str, method: str, name: str, make_caller: Callable[[str], Failing]
) -> None:
    error = make_caller(endpoint)(method)
    assert type(error) is zerorpc.RemoteError
    assert (error.name, error.ran, error.method) == (name, True, method)


@EACH_CALLER
@pytest.mark.parametrize(("method", "name"), [("stream", "ValueError"), ("stream_async", "TypeError")])
def test_an_error_of_a_stream(endpoint: str, method: str, name: str, make_caller: Callable[[str], Failing]) -> None:
    error = make_caller(endpoint)(method, 1)
    assert type(error) is zerorpc.RemoteError
    assert (error.name, error.msg, error.ran, error.method) == (name, "broken", True, method)


def test_programs_that_look_at_the_name_go_on_working(endpoint: str) -> None:
    with zerorpc.Client(endpoint) as client:
        for method, name in (("nothing", "NameError"), ("one", "TypeError")):
            try:
                client(method)
            except zerorpc.RemoteError as error:
                assert error.name == name  # noqa: PT017 - as programs do it
            else:
                pytest.fail("it didn't raise")


# What only Python's own signature can tell


def show_less(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that adds an argument: what it makes shows the signature of what it was made of, whose annotations
    are those of other arguments: such methods need ``any_types``.
    """

    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function("added", *args)

    return wrapper


@show_less
def shows_two(added: str, number: int) -> int:
    return number


def claims_two(*args: Any) -> int:
    return len(args)


claims_two.__signature__ = inspect.signature(lambda one, two: None)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("method", "args", "kind", "ran"),
    [
        (
            "shows",
            [1],
            zerorpc.WrongArguments,
            None,
        ),  # it ran, and an int has no items; but its signature says it couldn't
        ("claims", [1], zerorpc.WrongArguments, None),  # the same
        ("claims", [1, 2], zerorpc.RemoteError, None),
        ("len", [5], zerorpc.RemoteError, None),  # a built-in leaves no frame
        ("len", [], zerorpc.WrongArguments, None),
        ("max", [5], zerorpc.RemoteError, None),  # which says nothing of its arguments
        ("bound", [], zerorpc.WrongArguments, False),
        ("bound", [1, 2], zerorpc.WrongArguments, False),
        ("partial", [1, 2], zerorpc.WrongArguments, None),
    ],
)
def test_certainly_is_certainly(
    method: str, args: list[Any], kind: type[zerorpc.RemoteError], ran: bool | None
) -> None:
    methods = {
        "shows": zerorpc.stream(shows_two),
        "claims": zerorpc.stream(claims_two),
        "len": len,
        "max": max,
        "bound": Service().one,
        "partial": functools.partial(Service.one, None),
    }
    with serving(methods, any_types=True) as server:
        error = failing_blocking(server.endpoints[0])(method, *args)
        assert isinstance(error, zerorpc.RemoteError)
        assert (error.name, error.ran) == ("TypeError", ran)
        assert type(error) is kind


def test_a_method_that_ran_is_never_said_not_to_have() -> None:
    """By its signature it couldn't be called with one argument. It was, and then its result had no items."""
    ran = []

    def method(added: str, number: int) -> int:
        ran.append(number)
        return number

    with serving({"method": zerorpc.stream(show_less(method))}, any_types=True) as server:
        error = failing_blocking(server.endpoints[0])("method", 1)
        assert ran == [1]
        assert error.ran is not False
        error = failing_blocking(server.endpoints[0])("method")
        assert ran == [1]
        assert error.ran is True  # the decorator's part of it did


# Hooks


@pytest.mark.parametrize("hook", ["load_task_context", "server_before_exec"])
@pytest.mark.parametrize("kind", [NameError, TypeError, PermissionError])
def test_a_hook_that_lets_no_call_through(hook: str, kind: type[Exception]) -> None:
    """The method did not run; but that isn't what an unknown method or wrong arguments are."""

    def refuse(*args: Any) -> None:
        raise kind("not you")

    context = zerorpc.Context()
    context.register_middleware({hook: refuse})
    with serving(Service(), context=context) as server:
        for method, args in (("one", [1]), ("one_async", [1]), ("stream", [1]), ("one", [])):
            error = failing_blocking(server.endpoints[0])(method, *args)
            assert type(error) is zerorpc.RemoteError
            assert (error.name, error.msg, error.ran) == (kind.__name__, "not you", False)


def test_a_hook_that_fails_afterwards() -> None:
    def fail(*args: Any) -> None:
        raise ValueError("too late")

    context = zerorpc.Context()
    context.register_middleware({"server_after_exec": fail})
    with serving(Service(), context=context) as server:
        assert failing_blocking(server.endpoints[0])("one", 1).ran is True


@pytest.mark.parametrize("failing", [failing_blocking, failing_async])
def test_a_hook_of_the_client_still_chooses_the_exception(endpoint: str, failing: Callable[..., Failing]) -> None:
    class Own(zerorpc.ZeroRPCError):
        pass

    seen: list[dict[str, Any]] = []

    def choose(event: Any) -> Exception | None:
        seen.append(event.header)
        return Own(*event.args[:2]) if event.args[0] == "NameError" else None

    context = zerorpc.Context()
    context.register_middleware({"client_handle_remote_error": choose})
    assert failing(endpoint, context)("nothing").args == ("NameError", "nothing")
    assert isinstance(failing(endpoint, context)("one"), zerorpc.WrongArguments)
    assert [(header["_zpc_ran"], header["_zpc_error"]) for header in seen] == [
        (False, "UnknownMethod"),
        (False, "WrongArguments"),
    ]


def test_hooks_of_the_server_see_the_public_class() -> None:
    seen: list[tuple[Any, ...]] = []
    context = zerorpc.Context()
    hooks = {"server_inspect_exception": lambda request, reply, task, infos: seen.append((infos[0], infos[1].ran))}
    context.register_middleware(hooks)
    release = threading.Event()
    with serving({"f": lambda: release.wait(PATIENCE)}, pool_size=1, context=context) as server:
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
            calls = [client.f(async_=True) for _ in range(2)]
            eventually(lambda: "running=1 waiting=1" in repr(server._core.runners))
            server.stop()
            with pytest.raises(zerorpc.ServerStopping):
                calls[1].get(timeout=PATIENCE)
            release.set()
    assert seen == [(zerorpc.ServerStopping, False)]


def test_a_task_context_does_not_change_what_is_said() -> None:
    """A program may send on the whole header of an error that it has got itself."""
    context = zerorpc.Context()
    context.register_middleware({"get_task_context": lambda: {"_zpc_ran": False, "trace": "x"}})
    with serving(Service(), context=context) as server:
        assert failing_blocking(server.endpoints[0])("name_error").ran is True


# A server that can't, or won't any more


@EACH_CALLER
def test_an_overloaded_server(make_caller: Callable[[str], Failing], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.limits.Limits.waiting", 0)
    release = threading.Event()
    with serving({"f": lambda: release.wait(PATIENCE)}, pool_size=1) as server:
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
            running = client.f(async_=True)
            eventually(lambda: "running=1" in repr(server._core.runners))
            error = make_caller(server.endpoints[0])("f")
            assert isinstance(error, zerorpc.ServerOverloaded)
            assert (error.name, error.ran, error.method) == ("ServerOverloaded", False, "f")
            assert error.msg == "f: 1 calls are running and 0 waiting"
            assert (
                error.traceback == f"Traceback (most recent call last):\nzerorpc.errors.ServerOverloaded: {error.msg}\n"
            )
            release.set()
            assert running.get(timeout=PATIENCE) is True


@pytest.mark.parametrize("failing", [failing_blocking, failing_async])
def test_a_stopping_server(failing: Callable[..., Failing]) -> None:
    """What waits for its turn doesn't get it any more."""
    release = threading.Event()
    server = zerorpc.Server({"f": lambda: release.wait(PATIENCE)}, pool_size=1, grace=PATIENCE)
    endpoint = server.bind(TCP)[0]
    errors: list[zerorpc.ZeroRPCError] = []
    with on_thread(server), zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        running = client.f(async_=True)
        eventually(lambda: "running=1" in repr(server._core.runners))
        waiting = threading.Thread(target=lambda: errors.append(failing(endpoint)("f")))
        waiting.start()
        eventually(lambda: "running=1 waiting=1" in repr(server._core.runners))
        server.stop()
        waiting.join(PATIENCE)
        release.set()
        assert running.get(timeout=PATIENCE) is True
    (error,) = errors
    assert isinstance(error, zerorpc.ServerStopping)
    assert (error.name, error.msg, error.ran, error.method) == (
        "ServerStopping", "f: the server is shutting down", False, "f",
    )  # fmt: skip


def test_several_processes() -> None:
    program = """
        import zerorpc
        server = zerorpc.Server({"one": lambda number: number}, processes=2)
        print(server.bind("tcp://127.0.0.1:0")[0], flush=True)
        server.run()
    """
    with Program(program) as served:
        endpoint = served.line()
        for failing in (failing_blocking, failing_async):
            error = failing(endpoint)("nothing")
            assert (type(error), error.ran) == (zerorpc.UnknownMethod, False)
            error = failing(endpoint)("one")
            assert (type(error), error.ran) == (zerorpc.WrongArguments, False)


# Worker processes

needs_time = pytest.mark.timeout(60)  # starting a process takes a moment, many at a time on a loaded machine more


@needs_time
@EACH_CALLER
def test_a_worker_process_that_dies_with_the_method(make_caller: Callable[[str], Failing]) -> None:
    with serving({"die": process_services.die}) as server:
        error = make_caller(server.endpoints[0])("die")
        assert isinstance(error, zerorpc.WorkerDied)
        assert (error.name, error.ran, error.method) == ("WorkerDied", None, "die")
        assert error.msg == "die: the process that ran it has ended (exit code 3)"


@needs_time
def test_a_worker_process_that_can_t_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    from multiprocessing.process import BaseProcess

    def start(self: object) -> None:
        raise OSError(11, "no more processes")

    with serving({"pid": process_services.pid}) as server:
        monkeypatch.setattr(BaseProcess, "start", start)
        error = failing_blocking(server.endpoints[0])("pid")
        assert isinstance(error, zerorpc.WorkerDied)
        assert error.ran is False
        assert error.traceback is not None
        assert "BlockingIOError: [Errno 11] no more processes" in error.traceback


@needs_time
def test_a_worker_process_that_dies_while_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    from zerorpc.service import process_pool

    monkeypatch.setattr(process_pool, "work", exits)
    with serving({"pid": process_services.pid}) as server:
        error = failing_blocking(server.endpoints[0])("pid")
        assert isinstance(error, zerorpc.WorkerDied)
        assert "while it was starting" in error.msg
        assert error.ran is False


def exits(pipe: object) -> None:
    """In place of a worker process's life."""
    os._exit(5)


@needs_time
def test_what_a_method_in_a_process_raises(tmp_path: Path) -> None:
    methods = {"pair": process_services.pair, "echo": process_services.echo, "lock": process_services.lock}
    with serving(methods) as server:
        fail = failing_blocking(server.endpoints[0])
        for args in ((), (1, 2, 3)):
            error = fail("pair", *args)
            assert (type(error), error.ran) == (zerorpc.WrongArguments, False)
        assert (type(error := fail("lock")), error.ran) == (zerorpc.RemoteError, True)  # a result that can't be sent


# Old peers, and what is on the wire


def reply_to(endpoint: str, properties: dict[str, bytes], name: str, args: list[Any], v: int | None = 3) -> Any:
    """A header and the whole event."""
    header = {"message_id": b"1" * 32} if v is None else {"message_id": b"1" * 32, "v": v}
    with RawPeer.to(endpoint, SocketType.DEALER, properties) as peer:
        peer.send(header, name, args)
        data = peer.next_data()
        return decode_header(data), data


@pytest.mark.parametrize(
    ("method", "texts"),
    [
        ("nothing", ["NameError", "nothing"]),
        ("one", ["TypeError", "Service.one() missing 1 required positional argument: 'number'"]),
    ],
)
def test_old_peers_see_what_they_always_saw(endpoint: str, method: str, texts: list[str]) -> None:
    header, data = reply_to(endpoint, {}, method, [])
    assert list(header) == ["message_id", "v", "response_to"]
    assert data == encode(header, "ERR", [*texts, "Traceback (most recent call last):\n{}: {}\n".format(*texts)])
    header, data = reply_to(endpoint, {}, method, [], None)  # of protocol 1
    assert data == encode(header, "ERR", [f"{texts[0]}({texts[1]!r})"])


@pytest.mark.parametrize(
    ("method", "args", "ran", "kind"),
    [
        ("nothing", [], False, "UnknownMethod"),
        ("one", [], False, "WrongArguments"),
        ("one", {"number": 1}, False, "WrongArguments"),
        ("name_error", [], True, None),
        ("unsendable", [], True, None),
    ],
)
def test_peers_of_ours_are_told_more(endpoint: str, method: str, args: Any, ran: bool, kind: str | None) -> None:
    header, _ = reply_to(endpoint, OURS, method, args)
    expected = {"_zpc_ran": ran} if kind is None else {"_zpc_ran": ran, "_zpc_error": kind}
    assert {name: value for name, value in header.items() if name.startswith("_zpc")} == expected


@pytest.mark.parametrize("properties", [{}, OURS])
def test_old_peers_see_a_refusal_as_they_always_did(
    properties: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zerorpc.limits.Limits.waiting", 0)
    release = threading.Event()
    with serving({"f": lambda: release.wait(PATIENCE)}, pool_size=1) as server:
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
            running = client.f(async_=True)
            eventually(lambda: "running=1" in repr(server._core.runners))
            header, _ = reply_to(server.endpoints[0], properties, "f", [])
            assert ("_zpc_ran" in header) is bool(properties)
            header, data = reply_to(server.endpoints[0], properties, "f", [], None)
            assert data.endswith(b"ServerOverloaded('f: 1 calls are running and 0 waiting')")
            release.set()
            assert running.get(timeout=PATIENCE) is True


def test_a_puller_answers_nobody(caplog: pytest.LogCaptureFixture) -> None:
    got: list[int] = []
    puller = zerorpc.Puller({"one": got.append})
    endpoint = puller.bind(TCP)[0]
    with on_thread(puller), zerorpc.Pusher() as pusher:
        pusher.connect(endpoint)
        pusher.nothing()
        pusher.one()
        pusher.one(1)
        eventually(lambda: got == [1])
    assert ": NameError: nothing" in caplog.text
    assert "one raised TypeError" in caplog.text


# Without an answer


@pytest.mark.parametrize("failing", [failing_blocking, failing_async])
def test_no_server_in_time(failing: Callable[..., Failing]) -> None:
    error = failing(f"tcp://127.0.0.1:{unused_port()}", timeout=0.05)("f")
    assert isinstance(error, zerorpc.TimeoutExpired)
    assert (error.ran, error.method, error.timeout) == (False, "f", 0.05)


def test_no_answer_in_time() -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient(server.endpoints[0], timeout=PATIENCE) as client:
            await client._zerorpc_ping()  # now it has a server
            await client.f(timeout=0.1)

    release = threading.Event()
    with serving({"f": lambda: release.wait(PATIENCE)}) as server:
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
            client._zerorpc_ping()
            for call in (lambda: client.f(timeout=0.1), lambda: run(main())):
                with pytest.raises(zerorpc.TimeoutExpired) as caught:
                    call()
                assert (caught.value.ran, caught.value.method) == (None, "f")
            with pytest.raises(zerorpc.TimeoutExpired) as caught:
                client.f(async_=True).get(timeout=0)
            assert (caught.value.ran, caught.value.method) == (None, "f")
        release.set()


@pytest.mark.parametrize("failing", [failing_blocking, failing_async])
@pytest.mark.parametrize(("method", "ran"), [("f", None), ("stream", True)])
def test_a_server_that_goes_away(failing: Callable[..., Failing], method: str, ran: bool | None) -> None:
    begun, release = threading.Event(), threading.Event()

    def f() -> None:
        begun.set()
        release.wait(PATIENCE)

    def stream() -> Iterator[int]:
        yield 1
        f()

    errors: list[zerorpc.ZeroRPCError] = []
    with serving({"f": f, "stream": stream}, grace=0) as server:
        endpoint = server.endpoints[0]
        calling = threading.Thread(target=lambda: errors.append(failing(endpoint)(method)))
        calling.start()
        assert begun.wait(PATIENCE)
        if method == "stream":
            eventually(lambda: all(not link.peer.connection.output for link in server._core.hub.links))
        server.stop()
        calling.join(PATIENCE)
        release.set()
    (error,) = errors
    assert isinstance(error, zerorpc.LostRemote)
    assert (error.ran, error.method, error.endpoint) == (ran, method, endpoint)


def test_a_client_that_is_closed_while_calls_wait() -> None:
    """They share the cause; each error tells of its own call."""
    endpoint = f"tcp://127.0.0.1:{unused_port()}"

    async def main() -> list[zerorpc.ZeroRPCError]:
        client = zerorpc.AsyncClient(endpoint)
        calls = [client("one"), client("two")]
        await client.aclose()
        return await asyncio.gather(*calls, return_exceptions=True)  # type: ignore[return-value]

    errors = run(main())
    with zerorpc.Client(endpoint) as client:
        results = [client("one", async_=True), client("two", async_=True)]
    for result in results:
        with contextlib.suppress(zerorpc.ZeroRPCError):
            result.get(timeout=PATIENCE)
    errors += [result.exception() for result in results]
    assert [(type(error), error.ran, error.method) for error in errors] == [
        (zerorpc.Closed, False, "one"),
        (zerorpc.Closed, False, "two"),
    ] * 2


def test_arguments_that_can_t_be_sent() -> None:
    async def main() -> None:
        async with zerorpc.AsyncClient() as client:
            client.f(object())

    with zerorpc.Client() as client, zerorpc.Pusher() as pusher:
        for send in (lambda: client.f(object()), lambda: pusher.f(object()), lambda: run(main())):
            with pytest.raises(zerorpc.SerializationError) as caught:
                send()
            assert (caught.value.ran, caught.value.method) == (False, "f")
