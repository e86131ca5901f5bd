"""What arrives for a Puller: methods run one by one, in order, and links wait for them."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

import zerorpc
from tests.service.running import PATIENCE, TCP, Program, RawPeer, eventually, on_thread, run
from tests.service.services import Work
from zerorpc.protocol.events import encode
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
    assert "unknown raised NameError" in caplog.text


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
    monkeypatch.setattr("zerorpc.service.inbox._QUEUED_MAX", 100)
    puller = zerorpc.Puller(work)
    endpoint = puller.bind(TCP)[0]
    with on_thread(puller), zerorpc.Pusher() as pusher:
        pusher.connect(endpoint)
        pusher.block()
        part = b"x" * 10_000
        thread = threading.Thread(target=lambda: [pusher.take(part) for _ in range(5000)])
        thread.start()
        eventually(lambda: puller._core._arrived.qsize() >= 100)
        before, since = -1, time.monotonic()
        while time.monotonic() - since < 0.2:
            if puller._core._arrived.qsize() != before:
                before, since = puller._core._arrived.qsize(), time.monotonic()
            time.sleep(0.005)
        assert before < 300  # of 5,000
        work.release.set()
        thread.join(PATIENCE)
        eventually(lambda: len(work.taken) == 5000)


def test_a_pusher_that_goes_while_it_is_read_no_further(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    monkeypatch.setattr("zerorpc.service.inbox._QUEUED_MAX", 10)
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


# Its life


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
        endpoint = puller.bind(TCP)[0]
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
        signal.alarm(5)
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
