"""The pool of worker threads: few for quick jobs, as many as needed for jobs that block."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from tests.service.running import PATIENCE, eventually_async, run
from zerorpc.service.workers import Workers


def test_what_is_posted_arrives_on_the_loop_in_order() -> None:
    async def main() -> None:
        got: list[Any] = []
        where: set[int] = set()

        def receive(item: Any) -> None:
            got.append(item)
            where.add(threading.get_ident())

        workers = Workers(asyncio.get_running_loop(), receive, 4)
        workers.submit(lambda n: [workers.post(k) for k in range(n)], 1000)
        await eventually_async(lambda: len(got) == 1000)
        assert got == list(range(1000))
        assert where == {threading.get_ident()}
        workers.close()

    run(main())


def test_jobs_that_block_get_a_thread_each_up_to_the_limit() -> None:
    async def main() -> None:
        release, running = threading.Event(), []
        workers = Workers(asyncio.get_running_loop(), lambda item: None, 20)

        def block(n: int) -> None:
            running.append(n)
            release.wait(PATIENCE)

        for n in range(30):
            workers.submit(block, n)
        await eventually_async(lambda: len(running) == 20)
        await asyncio.sleep(0.05)  # not for a condition: longer than it takes to start a thread too many
        assert workers.threads == len(running) == 20
        assert repr(workers) == "<Workers threads=20 waiting=10>"
        release.set()
        await eventually_async(lambda: len(running) == 30)
        workers.close()

    run(main())


def test_threads_that_nobody_needs_end_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.service.workers._IDLE", 0.05)

    async def main() -> None:
        workers = Workers(asyncio.get_running_loop(), lambda item: None, 20)
        for _ in range(2):
            release = threading.Event()
            for _ in range(20):
                workers.submit(release.wait, PATIENCE)
            await eventually_async(lambda: workers.threads == 20)
            await asyncio.sleep(0.1)  # not for a condition: longer than a thread may be idle
            assert workers.threads == 20, "one ended that was busy"
            release.set()
            await eventually_async(lambda: workers.threads == 2)
        workers.close()

    run(main())


def test_quick_jobs_are_done_by_few_threads() -> None:
    async def main() -> None:
        done: list[int] = []
        workers = Workers(asyncio.get_running_loop(), done.append, 500)
        for n in range(5000):
            workers.submit(workers.post, n)
        await eventually_async(lambda: len(done) == 5000)
        assert workers.threads <= 20
        workers.close()

    run(main())


def test_there_are_no_more_threads_than_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow they are to come to their first job: where the interpreter is contended, more would be slower."""

    def start_one_that_never_comes_to_it(self: Workers) -> bool:
        self.threads += 1
        return True

    monkeypatch.setattr(Workers, "_start_thread", start_one_that_never_comes_to_it)

    async def main() -> None:
        workers = Workers(asyncio.get_running_loop(), lambda item: None, 500)
        for _ in range(5):
            workers.submit(lambda _: None, None)
        for _ in range(20):
            workers._grow()
        assert workers.threads == 5
        workers.close()

    run(main())


def test_posting_does_not_keep_the_loop_from_its_other_work() -> None:
    async def main() -> None:
        stop = threading.Event()
        got: list[int] = []
        workers = Workers(asyncio.get_running_loop(), got.append, 2)

        def flood(_: Any) -> None:
            while not stop.is_set():
                workers.post(1)

        workers.submit(flood, None)
        await eventually_async(lambda: got)
        begun = time.monotonic()
        for _ in range(20):
            await asyncio.sleep(0)
        assert time.monotonic() - begun < PATIENCE / 2
        stop.set()
        workers.close()

    run(main())


def test_closing_ends_the_threads_and_late_posts_are_dropped() -> None:
    release, late = threading.Event(), threading.Event()
    before = {thread for thread in threading.enumerate() if thread.name.startswith("zerorpc-worker")}

    async def main() -> None:
        workers = Workers(asyncio.get_running_loop(), lambda item: None, 2)

        def work(_: Any) -> None:
            release.wait(PATIENCE)
            workers.post("nobody listens any more")
            late.set()

        workers.submit(work, None)
        workers.submit(work, None)
        workers.close()

    run(main())
    release.set()
    assert late.wait(PATIENCE)
    for thread in threading.enumerate():
        if thread.name.startswith("zerorpc-worker") and thread not in before:
            thread.join(PATIENCE)
            assert not thread.is_alive()


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
def test_threads_that_cannot_be_started_are_tried_again(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system has no room for one more, even for the first: jobs wait, and none is lost."""

    async def main() -> None:
        attempts: list[object] = []
        start = threading.Thread.start

        def refuse(thread: threading.Thread) -> None:
            attempts.append(thread)
            if len(attempts) <= 12:  # all ten of submit(), and two later ones
                raise error
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", refuse)
        done: list[int] = []
        workers = Workers(asyncio.get_running_loop(), done.append, 20)
        for n in range(10):
            workers.submit(workers.post, n)
        assert workers.threads == 0
        await eventually_async(lambda: len(done) == 10)
        assert workers.threads == len(attempts) - 12
        workers.close()

    run(main())


@pytest.mark.parametrize("error", [ValueError("why"), SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_a_job_that_raises_costs_no_thread_and_is_logged(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        done: list[int] = []

        def fail(_: Any) -> None:
            raise error

        workers = Workers(asyncio.get_running_loop(), done.append, 1)
        for n in range(3):
            workers.submit(fail, n)
            workers.submit(workers.post, n)
        await eventually_async(lambda: done == [0, 1, 2])
        assert workers.threads == 1
        workers.close()

    run(main())
    assert caplog.messages == ["a worker thread's job raised"] * 3


def test_a_post_that_can_t_be_received_loses_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        got: list[int] = []

        def receive(n: int) -> None:
            if n % 2:
                raise ValueError(n)
            got.append(n)

        workers = Workers(asyncio.get_running_loop(), receive, 1)
        workers.submit(lambda _: [workers.post(n) for n in range(10)], None)
        await eventually_async(lambda: got == [0, 2, 4, 6, 8])
        workers.close()

    run(main())
    assert len(caplog.records) == 5


def test_what_was_posted_before_a_ctrl_c_is_received_if_the_loop_goes_on() -> None:
    got: list[int] = []

    def receive(n: int) -> None:
        if n == 0:
            raise KeyboardInterrupt
        got.append(n)

    async def post() -> None:
        nonlocal workers
        workers = Workers(loop, receive, 1)
        workers.submit(lambda _: [workers.post(n) for n in range(5)], None)
        await asyncio.sleep(PATIENCE)

    async def rest() -> None:
        await eventually_async(lambda: got == [1, 2, 3, 4])
        workers.close()

    workers: Any = None
    loop = asyncio.new_event_loop()
    posting = loop.create_task(post())
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(posting)
    posting.cancel()
    loop.run_until_complete(rest())
    loop.close()
