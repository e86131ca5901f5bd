"""A signal handler or a finalizer that uses the client, at any step of what its own thread is doing with it.

It works, or it is refused with RuntimeError at once; and what it came in the middle of goes on as if nothing was.
"""

from __future__ import annotations

import gc
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, wait
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import zerorpc
from tests.service.running import (
    PATIENCE,
    Program,
    acting_when,
    eventually,
    joined,
    main_thread_waits,
    once,
    raising_on,
    serving,
    throw,
)
from tests.service.services import Blocking, open_calls
from zerorpc.transport import dialing
from zerorpc.transport.dialing import Dial
from zerorpc.transport.keeper import Keeper

FILES = {"blocking.py", "blocking_link.py", "link.py", "leading.py", "polling.py", "stream.py", "hub.py", "waking.py"}
FILES |= {"background.py", "side_thread.py", "channel.py", "dispatch.py", "client_peer.py", "flow.py"}
MANY = "A" * 300  # more than one piece to send


class Stepper:
    """Does something once, at the n-th line that this thread runs in our code: of all lines, or of different ones."""

    def __init__(self, line: int, act: Callable[[], object], *, different: bool = False) -> None:
        self.lines = 0
        self._seen: set[tuple[str, int]] | None = set() if different else None
        self.where = ""
        self.raised = ""
        self._line = line
        self._act = act

    def run(self, what: Callable[[], Any]) -> Any:
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            return what()
        finally:
            sys.settrace(before)

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        name = Path(frame.f_code.co_filename).name
        if name not in FILES or self.where:
            return None
        if event == "line" and self._is_counted(name, frame.f_lineno):
            self.lines += 1
            if self.lines == self._line:
                self.where = f"{name}:{frame.f_lineno} in {frame.f_code.co_name}"
                sys.settrace(None)
                try:
                    self._act()
                except BaseException as error:
                    self.raised = repr(error)
        return self._trace

    def _is_counted(self, *line: Any) -> bool:
        if self._seen is None:
            return True
        seen = line in self._seen
        self._seen.add(line)
        return not seen


def _call(client: zerorpc.Client) -> None:
    assert client.echo(["outer", MANY]) == ["outer", MANY]


def _stream(client: zerorpc.Client) -> None:
    assert list(client.count(7, slots=2)) == list(range(7))


def _drop(client: zerorpc.Client) -> None:
    items = client.count(10**9)
    next(items)
    del items


def _connect(client: zerorpc.Client) -> None:
    client.connect("inproc://nested-outer")
    client.disconnect("inproc://nested-outer")


def _background(client: zerorpc.Client) -> None:
    assert client.echo("outer", async_=True).get(timeout=PATIENCE) == "outer"


def _cancel(client: zerorpc.Client) -> None:
    call = client.echo("outer", async_=True)
    is_cancelled = call.cancel()
    assert wait([call], PATIENCE).done == {call}
    assert call.cancelled() is is_cancelled


OUTER = [_call, _stream, _drop, _connect, _background, _cancel]


def _nested_call(client: zerorpc.Client, _: Any) -> None:
    assert client.echo(["nested", MANY]) == ["nested", MANY]


def _nested_stream(client: zerorpc.Client, _: Any) -> None:
    assert list(client.count(7, slots=2)) == list(range(7))


def _nested_next(_: Any, items: Any) -> None:
    next(items)


def _nested_close_stream(_: Any, items: Any) -> None:
    items.close()


def _nested_connect(client: zerorpc.Client, _: Any) -> None:
    client.connect("inproc://nested-inner")
    client.disconnect("inproc://nested-inner")


def _nested_bind(client: zerorpc.Client, _: Any) -> None:
    client.unbind(client.bind("tcp://127.0.0.1:0")[0])


def _nested_background(client: zerorpc.Client, _: Any) -> None:
    assert client.echo("nested", async_=True).get(timeout=PATIENCE) == "nested"


def _nested_cancel(client: zerorpc.Client, _: Any) -> None:
    _cancel(client)


def _nested_raises(client: zerorpc.Client, _: Any) -> None:
    with pytest.raises(zerorpc.RemoteError):
        client.fail("nested")


NESTED = [
    _nested_call,
    _nested_stream,
    _nested_next,
    _nested_close_stream,
    _nested_connect,
    _nested_bind,
    _nested_background,
    _nested_cancel,
    _nested_raises,
]


@pytest.fixture
def service() -> Iterator[Blocking]:
    service = Blocking()
    yield service
    service.release.set()


@pytest.mark.usefixtures("no_second_looks")
@pytest.mark.parametrize("nested", NESTED)
@pytest.mark.parametrize("outer", OUTER)
def test_at_any_line_it_works_or_is_refused_and_harms_nothing(
    service: Blocking, outer: Callable[[Any], None], nested: Callable[[Any, Any], None]
) -> None:
    problems, worked, line = [], 0, 0
    with joined(service) as client:
        outer(client)
        while True:
            line += 1
            items = client.count(1000, slots=1)
            stepper = Stepper(line, lambda items=items: nested(client, items), different=outer is not _call)
            try:
                stepper.run(lambda: outer(client))
            except BaseException as error:
                problems.append(f"{stepper.where}: the outer one raised {error!r}")
            items.close()
            if not stepper.where:
                break
            if not stepper.raised:
                worked += 1
            elif not stepper.raised.startswith("InUse("):
                problems.append(f"{stepper.where}: raised {stepper.raised}")
        assert client.echo("after") == "after"
        eventually(lambda: open_calls(client) == 0)
    assert not problems, "\n".join(problems)
    assert worked > 10
    assert line > 30


@pytest.mark.usefixtures("no_second_looks")
def test_a_wait_for_a_background_call_keeps_nothing_from_another_that_comes_in_the_middle(
    service: Blocking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor with what is locked in a concurrent Future, which the keeper tells."""
    monkeypatch.setattr(f"{__name__}.FILES", FILES | {"_base.py", "threading.py"})
    test_at_any_line_it_works_or_is_refused_and_harms_nothing(service, _background, _nested_background)


@pytest.mark.usefixtures("no_second_looks")
@pytest.mark.parametrize("outer", [_call, _stream])
def test_closing_at_any_line_ends_it_and_closes(service: Blocking, outer: Callable[[Any], None]) -> None:
    """As a handler of SIGTERM does. Where something is half done the keeper closes, a moment later."""
    problems, line = [], 0
    with serving(service) as server:
        while True:
            line += 1
            client = zerorpc.Client(server.endpoints[0], timeout=PATIENCE)
            outer(client)
            stepper = Stepper(line, client.close, different=outer is not _call)
            try:
                stepper.run(lambda client=client: outer(client))
            except (zerorpc.LostRemote, zerorpc.Closed):
                pass
            except BaseException as error:
                problems.append(f"{stepper.where}: the outer one raised {error!r}")
            if stepper.raised:
                problems.append(f"{stepper.where}: close() raised {stepper.raised}")
            if not stepper.where:
                break
            eventually(lambda client=client: client._core.hub.closed and not client._core.hub.links)
            eventually(lambda client=client: not client._core.hub._keeper.is_alive())
        client.close()
    assert not problems, "\n".join(problems)
    assert line > 30


# Signals


@pytest.mark.usefixtures("no_second_looks")
@pytest.mark.parametrize("leads", [True, False], ids=["leading", "following"])
def test_a_call_in_a_handler_while_the_main_thread_waits(service: Blocking, leads: bool) -> None:
    said: list[Any] = []
    with joined(service) as client:

        def handler() -> None:
            said.append(client.echo("handler"))
            said.append(list(client.count(300)))
            said.append(client.echo("background", async_=True).get(timeout=PATIENCE))
            service.release.set()

        others = [] if leads else [client.block(async_=True)]
        if others:
            eventually(lambda: client._core.hub.leading.leader is not None)
        with acting_when(lambda: open_calls(client) == 1 + len(others) and main_thread_waits(), handler):
            assert client.block() == "released"
            assert [other.get(timeout=PATIENCE) for other in others] == ["released"] * len(others)
            assert client.echo("after") == "after"
    assert said == ["handler", list(range(300)), "background"]


@pytest.mark.usefixtures("no_second_looks")
def test_what_the_interrupted_call_waits_for_may_come_to_the_handlers(service: Blocking) -> None:
    """The answer of the first is read by the second."""
    with joined(service) as client:

        def handler() -> None:
            service.release.set()
            for n in range(20):
                assert client.echo(n) == n

        with acting_when(lambda: open_calls(client) == 1 and main_thread_waits(), handler):
            assert client.block() == "released"


@pytest.mark.usefixtures("no_second_looks")
@pytest.mark.parametrize("end", ["reply", "cancel", "close"])
def test_a_handler_may_end_the_background_call_that_the_main_thread_waits_for(service: Blocking, end: str) -> None:
    with joined(service) as client:
        call = client.block(async_=True)
        eventually(lambda: service.blocked)

        def handler() -> None:
            assert client.echo("handler") == "handler"
            assert client.echo("background", async_=True).get(timeout=PATIENCE) == "background"
            {"reply": service.release.set, "cancel": call.cancel, "close": client.close}[end]()

        with acting_when(lambda: call._gate._waiting, handler):
            if end == "reply":
                assert call.get() == "released"
            else:
                with pytest.raises(CancelledError if end == "cancel" else zerorpc.LostRemote):
                    call.get()


@pytest.mark.usefixtures("no_second_looks")
def test_a_wait_for_a_background_call_that_is_interrupted_leaves_the_call_alone(service: Blocking) -> None:
    with joined(service) as client:
        call = client.block(async_=True)
        interrupt = partial(throw, KeyboardInterrupt())
        with acting_when(lambda: call._gate._waiting, interrupt), pytest.raises(KeyboardInterrupt):
            call.get()
        assert not call.done()
        service.release.set()
        assert call.get(timeout=PATIENCE) == "released"


@pytest.mark.parametrize("end", ["close", "stream", "disconnect"])
def test_a_handler_may_end_what_the_main_thread_waits_for(service: Blocking, end: str) -> None:
    with joined(service) as client:
        items = client.block_after(1)
        assert next(items) == 0
        endpoint = next(iter(client._core.hub.dialers))
        acts = {"close": client.close, "stream": items.close, "disconnect": lambda: client.disconnect(endpoint)}
        with acting_when(main_thread_waits, acts[end]):
            with pytest.raises(StopIteration if end == "stream" else zerorpc.LostRemote):
                next(items)
            if end == "stream":
                assert client.echo("after") == "after"


def test_a_handlers_call_that_is_interrupted_leaves_the_interrupted_one_alone(service: Blocking) -> None:
    with joined(service) as client:

        def handler() -> None:
            with pytest.raises(zerorpc.TimeoutExpired):
                client.block(timeout=0.05)
            with raising_on(signal.SIGUSR2, KeyboardInterrupt()) as interrupt:
                sender = threading.Thread(target=once, args=(lambda: open_calls(client) == 2, interrupt))
                sender.start()
                with pytest.raises(KeyboardInterrupt):
                    client.block()
                sender.join()
            service.release.set()

        with acting_when(lambda: open_calls(client) == 1 and main_thread_waits(), handler):
            assert client.block() == "released"
            assert open_calls(client) == 0
            assert client.echo("after") == "after"


@pytest.mark.parametrize("error", [RuntimeError("mine"), RecursionError("mine"), ValueError("mine")], ids=repr)
def test_what_a_handler_raises_comes_out_of_the_call(service: Blocking, error: Exception) -> None:
    with joined(service) as client:
        with acting_when(lambda: open_calls(client) == 1 and main_thread_waits(), partial(throw, error)):
            with pytest.raises(type(error), match="mine"):
                client.block()
        assert open_calls(client) == 0
        assert client.echo("after") == "after"


def test_reading_the_stream_that_the_main_thread_waits_for_is_refused(service: Blocking) -> None:
    refused: list[str] = []
    with joined(service) as client:
        items = client.block_after(1)
        assert next(items) == 0

        def handler() -> None:
            with pytest.raises(RuntimeError, match="is being read by another thread, or by a call that a signal"):
                next(items)
            refused.append("refused")
            service.release.set()

        with acting_when(main_thread_waits, handler):
            assert next(items) == -1
    assert refused == ["refused"]


def test_a_handler_that_takes_long_holds_other_threads_up_for_two_seconds_at_most(service: Blocking) -> None:
    said: list[Any] = []
    with joined(service) as client:

        def handler() -> None:
            others = [threading.Thread(target=lambda n=n: said.append(client.echo(n))) for n in range(3)]
            for other in others:
                other.start()
            for other in others:
                other.join(PATIENCE)
            service.release.set()

        with acting_when(lambda: open_calls(client) == 1 and main_thread_waits(), handler):
            assert client.block() == "released"
            assert sorted(said) == [0, 1, 2]


ECHO = """
import zerorpc
server = zerorpc.Server({"echo": lambda value: value})
print(server.bind("tcp://127.0.0.1:0")[0], flush=True)
server.run()
"""


def test_calls_from_finalizers_at_any_moment_mix_nothing_up() -> None:
    """What the garbage collector finds makes calls: in whatever thread, in the middle of whatever that one does."""
    refused: list[Any] = []
    answers: list[Any] = []

    class Caller:
        def __init__(self, client: zerorpc.Client, number: int) -> None:
            self.client, self.number, self.itself = client, number, self

        def __del__(self) -> None:
            try:
                answers.append(self.client.echo([self.number, "x" * 1000]) == [self.number, "x" * 1000])
            except RuntimeError as error:
                refused.append(str(error))

    before = gc.get_threshold()
    # In another process: a finalizer in the server's own thread would wait for itself.
    with Program(ECHO) as program, zerorpc.Client(program.line(), timeout=PATIENCE) as client:
        try:
            for n in range(1500):
                gc.set_threshold(5 + n % 97, 2, 2)  # so that it comes here and there
                Caller(client, n)
                assert client.echo([n, "y" * 1000]) == [n, "y" * 1000]
        finally:
            gc.set_threshold(*before)
        gc.collect()
        assert client.echo("after") == "after"
    assert len(answers) + len(refused) == 1500
    assert all(answers)
    assert answers
    assert all("have it set a flag and call later" in text for text in refused)


@pytest.mark.parametrize("kind", [Dial, Keeper])
def test_a_finalizer_in_a_thread_that_has_not_begun_is_refused_and_holds_nobody_up(
    kind: type[threading.Thread], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client waits, with its lock held, until its thread has begun."""
    begin = kind._set_native_id  # type: ignore[attr-defined]  # what Python calls there, right before it tells
    refused: list[str] = []

    def collect_garbage_and_begin(self: Any) -> None:
        if not refused:
            for use in (lambda: client.echo(1), lambda: client.connect(elsewhere), lambda: client.echo(1, async_=True)):
                with pytest.raises(RuntimeError) as caught:
                    use()
                refused.append(str(caught.value))
        begin(self)

    with serving({"echo": lambda value: value}) as server, zerorpc.Client(timeout=PATIENCE) as client:
        elsewhere = "inproc://elsewhere"
        with monkeypatch.context() as patch:
            patch.setattr(kind, "_set_native_id", collect_garbage_and_begin)
            client.connect(server.endpoints[0])
        assert len(refused) == 3
        assert client.echo(1) == 1


@pytest.mark.parametrize("step", ["connect_blocking", "resolve"])
def test_a_finalizer_in_a_thread_that_connects_is_refused_where_it_would_wait_for_that(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other thread would: a call would wait until its time is over, and the endpoint would be tried only then."""
    refused: list[str] = []
    calls: list[Any] = []
    real = getattr(dialing, step)

    def collect_garbage_and_go_on(*args: Any) -> Any:
        if not refused:
            uses = [
                lambda: client.echo(1),
                lambda: list(zerorpc.every(client).echo(1)),
                lambda: calls[0].get(timeout=PATIENCE),
                lambda: client.echo(1, async_=True).get(timeout=PATIENCE),
            ]
            began.wait(PATIENCE)
            for use in uses:
                with pytest.raises(RuntimeError, match="in the thread that connects it") as caught:
                    use()
                refused.append(str(caught.value))
        return real(*args)

    began = threading.Event()
    with serving({"echo": lambda value: value}) as server, zerorpc.Client(timeout=PATIENCE) as client:
        port = server.endpoints[0].rpartition(":")[2]
        monkeypatch.setattr(dialing, step, collect_garbage_and_go_on)
        client.connect(f"tcp://localhost:{port}")
        calls.append(client.echo("before", async_=True))
        began.set()
        assert client.echo(1) == 1
        assert calls[0].get(timeout=PATIENCE) == "before"
        assert len(refused) == 4
