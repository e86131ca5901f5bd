"""What a Pusher or Publisher sends: whose turn it is, what waits, what is dropped, and the end."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import zerorpc
from tests.service.running import (
    NEEDS_THREADS_AT_THE_END,
    PATIENCE,
    TCP,
    Program,
    RawPeer,
    alarm_soon,
    connect,
    eventually,
    eventually_async,
    on_thread,
    run,
    unused_port,
    unused_tcp,
)
from tests.service.services import Work, first_arg, hears, until_heard
from tests.transport.forking import EACH_WAY
from zerorpc.one_way.io_thread import io_loop
from zerorpc.one_way.outbox import LINGER
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


def test_two_threads_that_push_first_at_the_same_time(work: Work, endpoint: str) -> None:
    gate = threading.Event()
    with zerorpc.Pusher() as pusher:
        pusher.connect(endpoint)
        io_loop().call_soon_threadsafe(gate.wait, PATIENCE)
        threads = [threading.Thread(target=pusher.take, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        eventually(lambda: sum(map(_waits_for_the_loop, threads)) == 2)
        gate.set()
        for thread in threads:
            thread.join(PATIENCE)
        eventually(lambda: sorted(work.taken) == [0, 1])
        assert len(pusher._core.hub.links) == 1


def _waits_for_the_loop(thread: threading.Thread) -> bool:
    """Whether a thread is in ``_attach_to_io_loop``."""
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None and frame.f_code.co_name != "_attach_to_io_loop":
        frame = frame.f_back
    return frame is not None


def test_who_hangs_up_before_the_handshake_is_over_gets_nothing_and_disturbs_nobody(work: Work) -> None:
    with zerorpc.Pusher() as pusher:
        endpoint = pusher.bind(TCP)[0]
        pusher.take(1)
        with connect(endpoint) as sock:
            assert sock.recv(1) == b"\xff"  # a greeting begins
        eventually(lambda: not pusher._core.hub.links)
        puller = zerorpc.Puller(work)
        puller.connect(endpoint)
        with on_thread(puller):
            eventually(lambda: work.taken == [1])


# When too much waits


def test_a_pusher_blocks_when_too_much_waits(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    monkeypatch.setattr("zerorpc.one_way.send_queue.QUEUED_MAX", 10)
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


def test_an_async_pusher_waits_when_too_much_waits(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    monkeypatch.setattr("zerorpc.one_way.send_queue.QUEUED_MAX", 10)

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


def test_close_frees_a_pusher_that_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.one_way.send_queue.QUEUED_MAX", 1)
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
            received = [first_arg(puller) for _ in range(3001)]
            assert received == list(range(-1, 3000))
        thread.join(PATIENCE)


def test_a_publisher_drops_for_a_slow_subscriber_and_goes_on(work: Work) -> None:
    with zerorpc.Publisher() as publisher, socket.socket() as sock:
        endpoint = publisher.bind(TCP)[0]
        quick = zerorpc.Subscriber(work)
        quick.connect(endpoint)
        host, _, port = endpoint.removeprefix("tcp://").partition(":")
        sock.connect((host, int(port)))
        slow = RawPeer(sock, SocketType.SUB)
        with on_thread(quick):
            until_heard(publisher, [work])
            slow.handshake()
            slow.connection.send_subscribe(b"")
            slow._flush()
            slow.sock.settimeout(0.05)
            eventually(lambda: publisher.take("hello") or hears(slow))
            part = b"x" * 100_000
            for n in range(1000):
                publisher.take(n, part)
                eventually(lambda n=n: work.taken[-1] == (n, part))
            publisher.take("end")
            eventually(lambda: work.taken[-1] == "end")
            slow.sock.settimeout(0.2)
            got = 0
            while hears(slow):
                got += 1
            assert got < 900


# The end


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
    assert time.monotonic() - begun < LINGER


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


def test_a_program_that_ends_inside_its_async_with_is_not_kept() -> None:
    text = """
    import asyncio, zerorpc
    async def main():
        pusher = await zerorpc.Pusher().__aenter__()
        pusher.bind("inproc://never-left")
        await pusher.take(1)
        print("pushed", flush=True)
        return pusher
    pusher = asyncio.run(main())
    """
    with Program(text) as program:
        code, out, _ = program.end()
        assert (code, out) == (0, "pushed\n")


def test_a_forked_child_of_a_pusher_that_binds_leaves_the_address_to_its_parent(work: Work) -> None:
    text = """
    import os, sys, zerorpc
    pusher = zerorpc.Pusher()
    print(pusher.bind("tcp://127.0.0.1:0")[0], flush=True)
    pusher.take("before")
    pid = os.fork()
    if pid == 0:
        sys.exit(len(pusher.endpoints))
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    pusher.take("parent")
    sys.exit(code)
    """
    with Program(text) as program:
        puller = zerorpc.Puller(work)
        puller.connect(program.line())
        with on_thread(puller):
            code, out, err = program.end()
            assert (code, out) == (0, ""), err
            eventually(lambda: work.taken == ["before", "parent"])


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


@EACH_WAY
def test_a_forked_child_pushes_from_several_threads_at_once(fork: str, work: Work, endpoint: str) -> None:
    text = """
    import os, signal, sys, threading, warnings, zerorpc
    warnings.simplefilter("ignore", DeprecationWarning)  # since Python 3.12, of forking with threads
    pusher = zerorpc.Pusher()
    pusher.connect(sys.argv[1])
    pusher.take("before")
    if (pid := FORK()) == 0:
        signal.alarm(30)
        gate = threading.Barrier(8)
        def push(n):
            gate.wait()
            pusher.take(n)
        threads = [threading.Thread(target=push, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sys.exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    pusher.take("parent")
    sys.exit(code)
    """
    with Program(text.replace("FORK", fork), endpoint) as program:
        assert program.end() == (0, "", "")
    eventually(lambda: len(work.taken) >= 10)
    assert sorted(map(str, work.taken)) == sorted(["before", "parent", *map(str, range(8))])


@EACH_WAY
def test_a_forked_childs_async_pusher_is_its_own(fork: str, work: Work, endpoint: str) -> None:
    text = """
    import asyncio, os, signal, sys, zerorpc
    loop = asyncio.new_event_loop()
    async def main(*words):
        for word in words:
            await pusher.take(word)
        await pusher._core._until_empty(10)
    async def enter():
        return await zerorpc.Pusher().__aenter__()
    pusher = loop.run_until_complete(enter())
    pusher.connect(sys.argv[1])
    loop.run_until_complete(main("before"))
    if (pid := FORK()) == 0:
        signal.alarm(30)
        asyncio.new_event_loop().run_until_complete(main("child", "child"))
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    loop.run_until_complete(main("parent"))
    os._exit(code)
    """
    with Program(text.replace("FORK", fork), endpoint) as program:
        assert program.end()[0] == 0
    eventually(lambda: len(work.taken) >= 4)
    assert sorted(work.taken) == ["before", "child", "child", "parent"]


# At a program's end

ENDINGS = {
    "a handler that comes after ours": """
        @atexit.register
        def push():
            pusher = zerorpc.Pusher()
            pusher.connect(sys.argv[1])
            pusher.take("end")
        import zerorpc
        zerorpc.Pusher
        """,
    "a handler that is the first use": """
        import zerorpc
        @atexit.register
        def push():
            pusher = zerorpc.Pusher()
            pusher.connect(sys.argv[1])
            pusher.take("end")
        """,
    "a handler of a pusher in use": """
        @atexit.register
        def push():
            pusher.take("end")
        import zerorpc
        pusher = zerorpc.Pusher()
        pusher.connect(sys.argv[1])
        pusher.take("begin")
        """,
    "a thread after the main one": """
        import zerorpc
        def push():
            threading.main_thread().join()
            pusher = zerorpc.Pusher()
            pusher.connect(sys.argv[1])
            pusher.take("end")
        threading.Thread(target=push).start()
        """,
    "a finalizer that is the first use": """
        import zerorpc
        class Reports:
            pusher = zerorpc.Pusher()
            pusher.connect(sys.argv[1])
            def __del__(self):
                self.pusher.take("end")
        reports = Reports()
        """,
    "a finalizer of a pusher in use": """
        import zerorpc
        class Reports:
            pusher = zerorpc.Pusher()
            pusher.connect(sys.argv[1])
            def __del__(self):
                self.pusher.take("end")
                self.pusher.close()
        reports = Reports()
        reports.pusher.take("begin")
        """,
}


@NEEDS_THREADS_AT_THE_END
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("text", ENDINGS.values(), ids=ENDINGS)
def test_what_is_pushed_at_a_programs_end_goes_out(work: Work, endpoint: str, text: str, name: str) -> None:
    _end(text, endpoint.replace("127.0.0.1", name))
    eventually(lambda: "end" in work.taken)
    assert work.taken == (["begin"] if "begin" in text else []) + ["end"]


@NEEDS_THREADS_AT_THE_END
@pytest.mark.parametrize("text", ENDINGS.values(), ids=ENDINGS)
def test_a_programs_end_does_not_wait_long_for_a_puller_that_is_not_there(text: str) -> None:
    begun = time.monotonic()
    _end(text, f"tcp://127.0.0.1:{unused_port()}")
    assert time.monotonic() - begun < PATIENCE


def test_at_a_programs_end_no_thread_of_ours_is_left_that_the_interpreter_would_not_survive() -> None:
    """libuv's timers call into Python, also when there is none any more."""
    text = """
    import atexit, sys, threading
    @atexit.register
    def check():
        print([thread.name for thread in threading.enumerate()])
        pusher.take("still works")
        pusher.close()
        print([thread.name for thread in threading.enumerate()])
    import zerorpc
    pusher = zerorpc.Pusher()
    pusher.bind("tcp://127.0.0.1:0")
    pusher.take("begin")
    print([thread.name for thread in threading.enumerate()])
    """
    with Program(text) as program:
        code, out, err = program.end()
    assert (code, out.splitlines()) == (0, ["['MainThread', 'zerorpc-io']", "['MainThread']", "['MainThread']"])
    assert "Traceback" not in err


def _end(text: str, endpoint: str) -> None:
    with Program("import atexit, sys, threading\n" + textwrap.dedent(text), endpoint) as program:
        code, out, err = program.end()
    assert (code, out) == (0, "")
    assert "Traceback" not in err, err  # asyncio's debug mode may find the machine slow


def test_a_program_that_ends_leaves_no_file_of_an_ipc_endpoint(ipc_endpoint: str) -> None:
    text = """
    import sys, zerorpc
    pusher, unused = zerorpc.Pusher(), zerorpc.Pusher()
    pusher.bind(sys.argv[1])
    unused.bind(sys.argv[1] + "2")
    pusher.take(1)
    """
    with Program(text, ipc_endpoint) as program:
        assert program.end() == (0, "", "")
    assert not list(Path(ipc_endpoint.removeprefix("ipc://")).parent.iterdir())


# Called at any moment


def test_a_finalizer_that_pushes_in_the_middle_of_a_push(work: Work, endpoint: str) -> None:
    """Whatever thread it comes in, the loop's too; no message is mixed with another, or lost."""
    dropped = 300

    class Litter:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            pusher.take("dropped", b"x" * 300)

    with zerorpc.Pusher() as pusher:
        pusher.connect(endpoint)
        before = gc.get_threshold()
        gc.set_threshold(20, 2, 2)
        try:
            for n in range(dropped):
                Litter()
                pusher.take(n, [[k] for k in range(20)])
        finally:
            gc.set_threshold(*before)
        gc.collect()
        eventually(lambda: len(work.taken) == 2 * dropped)
    assert [item[0] for item in work.taken if item[0] != "dropped"] == list(range(dropped))


def test_a_finalizer_that_is_a_pushers_first_use_in_the_middle_of_anothers(work: Work, endpoint: str) -> None:
    text = """
    import gc, sys, zerorpc
    from zerorpc.one_way import io_thread
    class Litter:
        def __del__(self):
            pusher = zerorpc.Pusher()
            pusher.connect(sys.argv[1])
            pusher.take("inner")
            pusher.close()
    real = io_thread.new_event_loop
    def new_event_loop():
        loop = real()
        if litter:
            litter.pop()
        return loop
    io_thread.new_event_loop = new_event_loop
    litter = [Litter()]
    pusher = zerorpc.Pusher()
    pusher.connect(sys.argv[1])
    pusher.take("outer")
    pusher.close()
    """
    with Program(text, endpoint) as program:
        assert program.end() == (0, "", "")
    eventually(lambda: len(work.taken) == 2)
    assert work.taken == ["inner", "outer"]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no such timers")
@pytest.mark.timeout(method="thread")  # an alarm of the test's takes the place of the limit's own
def test_a_signal_handler_that_pushes_in_the_middle_of_a_push(work: Work, endpoint: str) -> None:
    handled = []

    def handle(*_: object) -> None:
        handled.append(1)
        pusher.take("handled", b"x" * 300)

    with zerorpc.Pusher() as pusher:
        pusher.connect(endpoint)
        before = signal.signal(signal.SIGALRM, handle)
        try:
            pushed = 0
            while len(handled) < 50:
                alarm_soon()
                pusher.take(pushed, b"y" * 300)
                pushed += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        eventually(lambda: len(work.taken) == pushed + len(handled))
    assert [item[0] for item in work.taken if item[0] != "handled"] == list(range(pushed))


def test_on_the_background_loop_itself_a_push_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a handler of our own log may push there."""
    monkeypatch.setattr("zerorpc.one_way.send_queue.QUEUED_MAX", 2)
    results: list[object] = []
    done = threading.Event()

    def push() -> None:
        for n in range(3):
            try:
                results.append(pusher.take(n))
            except RuntimeError as error:
                results.append(str(error))
        pusher.close()
        done.set()

    pusher = zerorpc.Pusher()
    pusher.bind(TCP)
    io_loop().call_soon_threadsafe(push)
    assert done.wait(PATIENCE)
    assert results == [None, None, "the queue is full, and this thread is the one that sends it"]
    eventually(lambda: pusher._core.hub.closed)


# Whose loop it is


@pytest.mark.parametrize("kind", [zerorpc.Pusher, zerorpc.Publisher])
def test_an_async_pusher_used_elsewhere_says_so(kind: type[zerorpc.Pusher], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.one_way.pusher.LINGER", 0.01)  # s; nobody comes for what is pushed

    async def main() -> None:
        async with kind() as pusher:
            pusher.bind(TCP)
            for use in (lambda: pusher.take(1), lambda: asyncio.run(push(pusher))):
                with pytest.raises(RuntimeError, match="entered with `async with`"):
                    await asyncio.to_thread(use)
            await pusher.take(2)

    async def push(pusher: zerorpc.Pusher) -> None:
        await pusher.take(1)

    run(main())


@pytest.mark.parametrize("kind", [zerorpc.Pusher, zerorpc.Publisher])
def test_a_pusher_in_blocking_use_can_not_be_entered(kind: type[zerorpc.Pusher]) -> None:
    with kind() as pusher:
        pusher.bind(TCP)
        pusher.take(1)

        async def main() -> None:
            with pytest.raises(RuntimeError, match="this socket belongs to another event loop"):
                async with pusher:
                    pass

        run(main())
        pusher.take(2)
        pusher._core.close(0.01)


def test_a_pusher_entered_twice_makes_one_connection(work: Work, endpoint: str) -> None:
    async def main() -> None:
        async with zerorpc.Pusher() as pusher:
            pusher.connect(endpoint)
            await pusher.__aenter__()
            await pusher.take(1)
            await eventually_async(lambda: work.taken == [1])
            assert len(pusher._core.hub.links) == 1
        with pytest.raises(zerorpc.Closed):
            await pusher.__aenter__()

    run(main())


def test_a_blocking_pusher_in_a_coroutine_of_the_programs_own_loop(work: Work, endpoint: str) -> None:
    async def main() -> None:
        with zerorpc.Pusher() as pusher:
            pusher.connect(endpoint)
            for n in range(3000):
                pusher.take(n)
            await eventually_async(lambda: len(work.taken) == 3000)

    run(main())


def test_leaving_the_block_when_cancelled_closes_all_the_same() -> None:
    async def main() -> None:
        pusher = await zerorpc.Pusher().__aenter__()
        endpoint = pusher.bind(unused_tcp())[0]
        await pusher.take("waits for ever")
        closing = asyncio.ensure_future(pusher.__aexit__())
        await asyncio.sleep(0.01)
        assert not closing.done()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        with zerorpc.Pusher() as again:
            again.bind(endpoint)
        with pytest.raises(zerorpc.Closed):
            await pusher.take(1)

    run(main())


def test_two_that_close_at_once(work: Work) -> None:
    with zerorpc.Pusher() as pusher:
        endpoint = pusher.bind(TCP)[0]
        pusher.take(1)
        threads = [threading.Thread(target=pusher.close) for _ in range(3)]
        for thread in threads:
            thread.start()
        puller = zerorpc.Puller(work)
        puller.connect(endpoint)
        with on_thread(puller):
            for thread in threads:
                thread.join(PATIENCE)
            assert not any(thread.is_alive() for thread in threads)
            eventually(lambda: work.taken == [1])
