"""``Server(…, on_call=…)``: hooks around methods of every kind."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import os
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import zerorpc
from tests.service.process_services import in_process_with
from tests.service.running import PATIENCE, eventually, eventually_async, joined, run, serving
from zerorpc.hooks import finish_now
from zerorpc.service.call_hooks import _OnLoop

SET: contextvars.ContextVar[str] = contextvars.ContextVar("SET", default="unset")


class Service:
    def __init__(self) -> None:
        self.ran = 0
        self.begun = threading.Event()

    def _told(self, x: object) -> list[Any]:
        self.ran += 1
        return [x, SET.get(), zerorpc.current_call().method]

    def plain(self, x: Any) -> Any:
        return self._told(x)

    async def coroutine(self, x: Any) -> Any:
        await asyncio.sleep(0)
        return self._told(x)

    @zerorpc.on_loop
    def quick(self, x: Any) -> Any:
        return self._told(x)

    def decorated(self, x: Any) -> Any:
        return self.coroutine(x)  # as a decorator returns it that knows nothing of coroutines

    def generator(self, x: Any) -> Iterator[Any]:
        yield from self._told(x)

    async def async_generator(self, x: Any) -> AsyncIterator[Any]:
        for item in self._told(x):
            yield item

    @zerorpc.stream
    def streamed(self, x: Any) -> Any:
        return self._told(x)

    async def gives_async_items(self, x: Any) -> Any:
        return self.async_generator(x)

    async def gives_items(self, x: Any) -> Any:
        return iter(self._told(x))

    def gives_async_items_on_a_thread(self, x: Any) -> Any:
        return self.async_generator(x)

    @zerorpc.rep
    def listed(self, x: Any) -> Any:
        return self.generator(x)

    def fails(self, x: Any) -> Any:
        raise KeyError(x)

    async def afails(self, x: Any) -> Any:
        raise KeyError(x)

    def fails_in_a_stream(self, x: Any) -> Iterator[Any]:
        yield x
        raise KeyError(x)

    def typed(self, number: int) -> int:
        return number

    async def forever(self) -> None:
        self.begun.set()
        await asyncio.sleep(PATIENCE)

    def endless(self) -> Iterator[int]:
        yield from iter(int, 1)

    async def async_endless(self) -> AsyncIterator[int]:
        while True:
            yield 0

    in_process = staticmethod(in_process_with)


KINDS = [
    "plain", "coroutine", "quick", "decorated", "generator", "async_generator", "streamed", "gives_async_items",
    "gives_items", "gives_async_items_on_a_thread", "listed",
]  # fmt: skip
STREAMS = ["generator", "async_generator", "streamed", "gives_async_items", "gives_items"]
EACH_KIND = pytest.mark.parametrize("kind", KINDS)
FAILING = pytest.mark.parametrize("method", ["fails", "afails"])


def listed(value: Any) -> Any:
    return list(value) if isinstance(value, zerorpc.Stream) else value


class Log:
    """A hook of either kind that notes what it sees."""

    def __init__(self, name: str = "hook") -> None:
        self.name = name
        self.seen: list[Any] = []
        self.calls: list[zerorpc.ServerCall] = []
        self.cancelled = False  # the last of them, when it ended

    @contextlib.contextmanager
    def sync(self, call: zerorpc.ServerCall) -> Iterator[None]:
        self.begins(call)
        try:
            yield
        except BaseException as error:
            self.seen.append(type(error).__name__)
            raise
        finally:
            self.ends(call)

    @contextlib.asynccontextmanager
    async def on_loop(self, call: zerorpc.ServerCall) -> AsyncIterator[None]:
        await asyncio.sleep(0)
        self.begins(call)
        try:
            yield
        except BaseException as error:
            self.seen.append(type(error).__name__)
            raise
        finally:
            await asyncio.sleep(0)
            self.ends(call)

    def ends(self, call: zerorpc.ServerCall) -> None:
        self.cancelled = call.cancelled
        self.seen.append(("end", self.name, call.items or call.result))

    def begins(self, call: zerorpc.ServerCall) -> None:
        self.calls.append(call)
        self.seen.append(("begin", self.name, list(call.args)))


EITHER_HOOK = pytest.mark.parametrize("form", ["sync", "on_loop"])


@EITHER_HOOK
@EACH_KIND
def test_around_a_method_of_each_kind(kind: str, form: str) -> None:
    log = Log()
    with joined(Service(), on_call=getattr(log, form)) as client:
        assert listed(client(kind, 7))[0] == 7
        eventually(lambda: len(log.seen) == 2)
    streams = kind not in ("plain", "coroutine", "quick", "decorated", "listed")
    assert log.seen[0] == ("begin", "hook", [7])
    assert log.seen[1] == ("end", "hook", 3 if streams else [7, "unset", kind])
    call = log.calls[0]
    assert (call.method, call.items, call.kwargs) == (kind, 3 if streams else 0, {})
    assert call.peer is not None
    assert call.peer.startswith("tcp://127.0.0.1:")


def set_var(*, on_loop: bool) -> Callable[[zerorpc.ServerCall], Any]:
    @contextlib.contextmanager
    def hook(call: zerorpc.ServerCall) -> Iterator[None]:
        token = SET.set("set")
        yield
        SET.reset(token)  # which has to be in the context where it was set

    @contextlib.asynccontextmanager
    async def async_hook(call: zerorpc.ServerCall) -> AsyncIterator[None]:
        token = SET.set("set")
        await asyncio.sleep(0)
        yield
        await asyncio.sleep(0)
        SET.reset(token)

    return async_hook if on_loop else hook


@pytest.mark.parametrize("on_loop", [False, True])
@pytest.mark.parametrize("kind", [k for k in KINDS if k not in ("gives_items", "gives_async_items_on_a_thread")])
def test_the_method_sees_the_context_variables_of_a_hook(kind: str, on_loop: bool) -> None:
    with joined(Service(), on_call=set_var(on_loop=on_loop)) as client:
        assert listed(client(kind, 7))[1] == "set"
        assert listed(client(kind, 7))[1] == "set"


def test_several_nest_in_their_order() -> None:
    outer, inner = Log("outer"), Log("inner")
    inner.seen = outer.seen
    with joined(Service(), on_call=[outer.sync, inner.on_loop]) as client:
        client.plain(1)
    assert [step[:2] for step in outer.seen] == [
        ("begin", "outer"), ("begin", "inner"), ("end", "inner"), ("end", "outer"),
    ]  # fmt: skip


@contextlib.contextmanager
def answers(call: zerorpc.ServerCall) -> Iterator[None]:
    if call.args == ["kept"]:
        call.result = ["from", "the", "cache"]
    yield


@contextlib.asynccontextmanager
async def answers_on_the_loop(call: zerorpc.ServerCall) -> AsyncIterator[None]:
    with answers(call):
        yield


@pytest.mark.parametrize("hook", [answers, answers_on_the_loop])
@EACH_KIND
def test_a_hook_that_answers_in_place_of_the_method(kind: str, hook: Callable[..., Any]) -> None:
    service, log = Service(), Log()
    with joined(service, on_call=[hook, log.sync]) as client:
        assert listed(client(kind, "kept")) == ["from", "the", "cache"]
        assert service.ran == 0
        assert log.seen == []  # those inside of it aren't called either
        assert listed(client(kind, "new"))[0] == "new"


def test_none_is_an_answer_too() -> None:
    @contextlib.contextmanager
    def hook(call: zerorpc.ServerCall) -> Iterator[None]:
        call.result = None
        yield

    service = Service()
    with joined(service, on_call=hook) as client:
        assert client.plain(1) is None
    assert service.ran == 0


@contextlib.contextmanager
def refuses(call: zerorpc.ServerCall) -> Iterator[None]:
    what = call.args[0]
    if what == "late":
        error = zerorpc.ServerOverloaded("too many")
        error.retry_after = 2.5
        raise error
    if isinstance(what, str) and what in zerorpc.errors.SERVER_ERRORS:
        raise zerorpc.errors.SERVER_ERRORS[what]("not today")
    raise ValueError(what)
    yield


@pytest.mark.parametrize("kind", [*KINDS, "in_process"])
def test_what_a_hook_refuses(kind: str) -> None:
    service, outer = Service(), Log()
    with joined(service, on_call=[outer.sync, refuses]) as client:
        for name, expected in zerorpc.errors.SERVER_ERRORS.items():
            with pytest.raises(zerorpc.RemoteError) as caught:
                listed(client(kind, name))
            assert type(caught.value) is expected
            assert (caught.value.msg, caught.value.ran) == ("not today", False)
        with pytest.raises(zerorpc.ServerOverloaded, match="too many") as late:
            listed(client(kind, "late"))
        assert late.value.retry_after == 2.5
        with pytest.raises(zerorpc.RemoteError, match="ValueError") as plain:
            listed(client(kind, "else"))
        assert (type(plain.value), plain.value.ran) == (zerorpc.RemoteError, False)
    assert service.ran == 0
    assert outer.seen.count("PermissionDenied") == 1  # the outer one sees it


def test_a_refusal_is_named_as_the_servers_own() -> None:
    with joined(Service(), on_call=refuses) as client, pytest.raises(PermissionError) as caught:
        client.plain("PermissionDenied")
    assert isinstance(caught.value, zerorpc.PermissionDenied)
    assert caught.value.name == "PermissionError"


def test_what_another_server_has_refused_is_no_refusal_of_this_one() -> None:
    @contextlib.contextmanager
    def asks(call: zerorpc.ServerCall) -> Iterator[None]:
        other.plain("PermissionDenied")
        yield

    with joined(Service(), on_call=refuses) as other, joined(Service(), on_call=asks) as client:
        with pytest.raises(zerorpc.RemoteError) as caught:
            client.plain(1)
    assert type(caught.value) is zerorpc.RemoteError
    assert caught.value.ran is False


@FAILING
@EITHER_HOOK
def test_a_hook_sees_the_methods_error_and_the_caller_gets_it(method: str, form: str) -> None:
    log = Log()
    with joined(Service(), on_call=getattr(log, form)) as client:
        with pytest.raises(zerorpc.RemoteError) as caught:
            client(method, "sugar")
    assert log.seen[1] == "KeyError"
    assert (caught.value.name, caught.value.ran) == ("KeyError", True)
    assert str(caught.value).count("File ") == 1  # the hooks' frames help nobody


@FAILING
def test_a_hook_may_put_a_result_in_the_place_of_an_error(method: str) -> None:
    @contextlib.contextmanager
    def hook(call: zerorpc.ServerCall) -> Iterator[None]:
        try:
            yield
        except KeyError as error:
            call.result = f"no {error.args[0]}"

    with joined(Service(), on_call=hook) as client:
        assert client(method, "sugar") == "no sugar"


@FAILING
def test_a_hook_that_swallows_an_error_and_gives_no_result_changes_nothing(method: str) -> None:
    with joined(Service(), on_call=lambda call: contextlib.suppress(KeyError)) as client:
        with pytest.raises(zerorpc.RemoteError, match="KeyError"):
            client(method, "sugar")


@EACH_KIND
def test_a_hook_that_raises_after_the_method(kind: str) -> None:
    @contextlib.contextmanager
    def hook(call: zerorpc.ServerCall) -> Iterator[None]:
        yield
        raise zerorpc.PermissionDenied("too late to refuse")

    with joined(Service(), on_call=hook) as client:
        with pytest.raises(zerorpc.RemoteError, match="too late to refuse") as caught:
            listed(client(kind, 1))
    assert type(caught.value) is zerorpc.RemoteError
    assert caught.value.ran is True


def test_a_hook_may_change_arguments_and_result() -> None:
    @contextlib.contextmanager
    def hook(call: zerorpc.ServerCall) -> Iterator[None]:
        call.args = [call.args[0] * 2]
        yield
        call.result = [*call.result, "changed"]

    with joined(Service(), on_call=hook) as client:
        assert client.plain(2) == [4, "unset", "plain", "changed"]


def test_hooks_see_converted_arguments_and_not_those_that_dont_fit() -> None:
    log = Log()
    with joined(Service(), on_call=log.sync) as client:
        assert zerorpc.options(client, words=True).typed("7") == 7
        with pytest.raises(zerorpc.InvalidArguments, match="number: expected int"):
            client.typed("seven")
        assert log.seen == [("begin", "hook", [7]), ("end", "hook", 7)]
        with pytest.raises(zerorpc.WrongArguments, match="typed") as caught:
            client.typed(1, 2)
        assert caught.value.ran is False
        assert client("_zerorpc_args", "typed")[0] == ["number"]
        assert client("_zerorpc_inspect")["methods"]["typed"]["args"][0]["type"] == "int"


def test_what_a_hook_answers_is_checked_like_a_result() -> None:
    @contextlib.contextmanager
    def hook(call: zerorpc.ServerCall) -> Iterator[None]:
        call.result = "no number"
        yield

    with joined(Service(), on_call=hook, check_results=True) as client:
        with pytest.raises(zerorpc.RemoteError, match="expected int"):
            client.typed(1)


def test_a_quick_method_with_an_async_hook_has_its_result_checked() -> None:
    class Quick:
        @zerorpc.on_loop
        def good(self) -> int:
            return 1

        @zerorpc.on_loop
        def bad(self) -> int:
            return "no number"  # type: ignore[return-value]

    with joined(Quick(), on_call=Log().on_loop, check_results=True) as client:
        assert client.good() == 1
        with pytest.raises(zerorpc.RemoteError, match="expected int"):
            client.bad()


def test_metadata_and_keywords_and_headers() -> None:
    seen: list[Any] = []

    @contextlib.contextmanager
    def hook(call: zerorpc.ServerCall) -> Iterator[None]:
        seen.append((dict(call.metadata), dict(call.kwargs), dict(call.headers), call.remaining() is not None))
        call.reply_metadata["from"] = "a hook"
        yield

    context = zerorpc.Context()
    context.register_middleware({"get_task_context": lambda: {"traceparent": "00-1"}})
    with serving(Service(), on_call=hook) as server:
        with zerorpc.Client(server.endpoints[0], context, timeout=PATIENCE) as client:
            call = zerorpc.options(client, metadata={"a": "b"}, async_=True).plain(x=7)
            assert call.get()[0] == 7
            assert call.metadata == {"from": "a hook"}
    assert seen == [({"a": "b"}, {"x": 7}, {"traceparent": "00-1"}, True)]


# The end of a call whose caller goes


@EITHER_HOOK
@pytest.mark.parametrize("method", ["endless", "async_endless"])
def test_a_stream_whose_reader_leaves(method: str, form: str) -> None:
    log = Log()
    with joined(Service(), on_call=getattr(log, form)) as client:
        for _ in client(method):
            break
        eventually(lambda: len(log.seen) == 3)
    assert log.seen[1] in ("GeneratorExit", "CancelledError")
    assert log.seen[2][2] >= 1
    assert log.cancelled


@EITHER_HOOK
def test_a_coroutine_whose_caller_gives_up(form: str) -> None:
    service, log = Service(), Log()
    with joined(service, on_call=getattr(log, form)) as client:
        call = client.forever(async_=True)
        assert service.begun.wait(PATIENCE)
        call.cancel()
        eventually(lambda: len(log.seen) == 3)
    assert log.seen[1] == "CancelledError"


def test_a_coroutine_that_a_plain_method_has_returned_is_cancelled() -> None:
    ended: list[str] = []
    begun = threading.Event()

    async def sleep() -> None:
        begun.set()
        try:
            await asyncio.sleep(PATIENCE)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    log = Log()

    def waits() -> Any:
        return sleep()

    with joined({"waits": waits}, on_call=log.sync) as client:
        call = client.waits(async_=True)
        assert begun.wait(PATIENCE)
        call.cancel()
        eventually(lambda: len(log.seen) == 3)
    assert ended == ["cancelled"]
    assert log.seen[1] == "Cancelled"


def test_a_stream_that_fails() -> None:
    log = Log()
    with joined(Service(), on_call=log.sync) as client:
        items = client.fails_in_a_stream(1)
        assert next(items) == 1
        with pytest.raises(zerorpc.RemoteError, match="KeyError"):
            next(items)
        eventually(lambda: len(log.seen) == 3)
    assert log.seen[1:] == ["KeyError", ("end", "hook", 1)]


@pytest.mark.parametrize("method", STREAMS)
def test_each_item_is_shown_to_who_asks_for_it(method: str) -> None:
    items: list[Any] = []

    @contextlib.contextmanager
    def hook(call: zerorpc.ServerCall) -> Iterator[None]:
        call.on_item = items.append
        yield

    with joined(Service(), on_call=hook) as client:
        assert list(client(method, 1)) == items == [1, "unset", "gives_async_items" if "async_it" in method else method]


# Elsewhere


def test_in_a_worker_process() -> None:
    log = Log()

    @contextlib.contextmanager
    def hook(call: zerorpc.ServerCall) -> Iterator[None]:
        assert zerorpc.current_call().method == "in_process"
        if call.args == ["inside"]:
            call.in_process = functools.partial(setting, "there")
        if call.args == ["kept"]:
            call.result = "kept"
        yield

    with joined(Service(), on_call=[log.sync, hook]) as client:
        assert client.in_process("inside")[1:] == ["inside", "there"]
        pid, *rest = client.in_process("outside")
        assert pid != os.getpid()
        assert rest == ["outside", "unset"]
        assert client.in_process("kept") == "kept"
        with pytest.raises(zerorpc.RemoteError, match="KeyError"):
            client.in_process("fails")
    assert [step for step in log.seen if isinstance(step, str)] == ["KeyError"]
    assert log.seen.count(("end", "hook", None)) == 1


@contextlib.contextmanager
def setting(value: str) -> Iterator[None]:
    os.environ["TESTS_CALL_HOOKS"] = value
    yield
    del os.environ["TESTS_CALL_HOOKS"]


def test_by_http() -> None:
    log = Log()
    with serving(Service(), on_call=[log.sync, answers, refuses_sugar]) as server:
        base = server.bind("http://127.0.0.1:0")[0]

        def post(method: str, body: bytes) -> tuple[int, bytes]:
            request = urllib.request.Request(
                f"{base}/call/{method}", body, {"content-type": "application/json", "traceparent": "00-2"}
            )
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
                    return reply.status, reply.read()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read()

        assert post("plain", b'["kept"]') == (200, b'["from","the","cache"]')
        assert post("coroutine", b"[7]") == (200, b'[7,"unset","coroutine"]')
        for method in KINDS:
            status, body = post(method, b'["sugar"]')
            assert status == 403, method
            assert b"not today" in body
    assert {call.metadata["traceparent"] for call in log.calls} == {"00-2"}


@contextlib.contextmanager
def refuses_sugar(call: zerorpc.ServerCall) -> Iterator[None]:
    if call.args == ["sugar"]:
        raise zerorpc.PermissionDenied("not today")
    yield


def test_a_repeat_of_a_call_with_a_key_is_no_call() -> None:
    log = Log()
    with joined(Service(), on_call=log.sync) as client:
        keyed = zerorpc.options(client, key="once")
        assert keyed.plain(1) == keyed.plain(1)
    assert len(log.calls) == 1


def test_what_is_lent_has_them_too() -> None:
    class Door:
        def open(self) -> str:
            return "open"

    log = Log()
    with joined({"door": lambda: zerorpc.by_reference(Door())}, on_call=log.sync) as client:
        door = client.door()
        assert door.open() == "open"
        assert door.open() == "open"
    assert [call.method for call in log.calls] == ["door", "open", "open"]


def test_what_the_program_calls_itself_has_none() -> None:
    log = Log()
    with zerorpc.Server({"double": lambda x: 2 * x}, on_call=log.sync) as server:
        assert server("double", 21) == 42
    assert log.calls == []


def test_builtins_have_none() -> None:
    with joined(Service(), on_call=refuses) as client:
        assert "plain" in client("_zerorpc_list")


@pytest.mark.parametrize("method", ["plain", "coroutine"])
def test_what_is_no_hook(method: str) -> None:
    with pytest.raises(TypeError, match="on_call has to be a function"):
        zerorpc.Server(Service(), on_call=[print, "hook"])  # type: ignore[list-item]
    with joined(Service(), on_call=lambda call: None) as client:  # type: ignore[arg-type, return-value]
        with pytest.raises(zerorpc.RemoteError, match=r"a hook has to return a context manager, .* NoneType") as caught:
            client(method, 1)
    assert caught.value.ran is False


def test_an_async_hook_that_ends_the_world_ends_its_call_only() -> None:
    @contextlib.asynccontextmanager
    async def hook(call: zerorpc.ServerCall) -> AsyncIterator[None]:
        if call.args == [1]:
            raise SystemExit(1)
        yield
        if call.args == [2]:
            raise SystemExit(2)

    with joined(Service(), on_call=hook) as client:
        for kind in ("plain", "coroutine", "generator"):
            for number in (1, 2):
                with pytest.raises(zerorpc.RemoteError, match="SystemExit"):
                    listed(client(kind, number))
            assert listed(client(kind, 3))[0] == 3


def test_many_at_once_have_hooks_of_their_own() -> None:
    @contextlib.asynccontextmanager
    async def hook(call: zerorpc.ServerCall) -> AsyncIterator[None]:
        SET.set(str(call.args[0]))
        await asyncio.sleep(0)
        yield

    async def main(endpoint: str) -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            for method in ("plain", "coroutine", "quick"):
                results = await asyncio.gather(*(client(method, n) for n in range(50)))
                assert [result[1] for result in results] == [str(n) for n in range(50)]

    with serving(Service(), on_call=hook) as server:
        run(main(server.endpoints[0]))


# Async hooks around what runs on a thread


def test_a_hook_that_is_cut_off_around_a_thread_is_left() -> None:
    seen: list[str] = []
    release = threading.Event()

    def slow() -> None:
        assert release.wait(PATIENCE)

    @contextlib.asynccontextmanager
    async def hook(call: zerorpc.ServerCall) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(0):
                yield
        finally:
            seen.append("left")
            release.set()

    with joined({"slow": slow}, on_call=hook) as client:
        with pytest.raises(zerorpc.RemoteError) as caught:
            client.slow()
    assert (caught.value.name, seen) == ("TimeoutError", ["left"])


def test_a_hook_that_waits_for_a_caller_who_is_gone_ends_and_the_method_is_not_run() -> None:
    ran: list[str] = []
    begun, ended = threading.Event(), threading.Event()

    @contextlib.asynccontextmanager
    async def hook(call: zerorpc.ServerCall) -> AsyncIterator[None]:
        begun.set()
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            ended.set()
        yield

    with serving({"slow": lambda: ran.append("slow")}, on_call=hook) as server:
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE, heartbeat=30.0) as client:
            call = client.slow(async_=True)
            assert begun.wait(PATIENCE)
            call.cancel()
            assert ended.wait(PATIENCE / 2)
            eventually(lambda: server._core.running.running == 0)
    assert ran == []


class Gone:
    """In place of an invocation: its caller goes while a hook is being entered."""

    name = "slow"

    def __init__(self) -> None:
        self.entering, self.gone = threading.Event(), threading.Event()

    def adopt(self, call: object) -> None:
        assert self.entering.wait(PATIENCE)
        raise zerorpc.Cancelled("gone")


def test_a_hook_that_is_entered_in_the_moment_its_caller_goes_is_left() -> None:
    seen: list[str] = []
    invocation = Gone()

    @contextlib.asynccontextmanager
    async def hook() -> AsyncIterator[None]:
        invocation.entering.set()
        assert invocation.gone.wait(PATIENCE)  # on the loop: it finds out when it has been entered
        try:
            yield
        except BaseException as error:
            seen.append(type(error).__name__)
            raise

    def enter(around: _OnLoop) -> None:
        try:
            finish_now(around.__aenter__())
        finally:
            invocation.gone.set()

    async def main() -> None:
        around = _OnLoop(hook(), asyncio.get_running_loop(), invocation)  # type: ignore[arg-type]
        with pytest.raises(zerorpc.Cancelled, match="the caller of slow waits no longer"):
            await asyncio.to_thread(enter, around)
        await eventually_async(lambda: seen)

    run(main())
    assert seen == ["CancelledError"]
