"""Plain methods: they may block and fork."""

from __future__ import annotations

import signal
import threading
import time

import zerorpc
from tests.service.running import PATIENCE, Program, joined, serving


def test_fifty_methods_that_block_run_at_once() -> None:
    barrier = threading.Barrier(50)
    with joined({"meet": lambda: barrier.wait(PATIENCE) >= 0}) as client:
        calls = [client.meet(async_=True) for _ in range(50)]
        assert all(call.get(timeout=PATIENCE) for call in calls)


def test_a_blocking_method_stops_neither_heartbeats_nor_others() -> None:
    release = threading.Event()
    methods = {"block": lambda: release.wait(PATIENCE), "quick": lambda: 1}
    with (
        serving(methods, heartbeat=1.5) as server,
        zerorpc.Client(server.endpoints[0], heartbeat=1.5) as client,
        zerorpc.Client(server.endpoints[0], heartbeat=1.5) as other,
    ):
        blocked = client.block(async_=True)
        begun = time.monotonic()
        while time.monotonic() - begun < 3.5:  # more than two heartbeats: the call must live through them
            assert other.quick() == 1
        assert not blocked.ready()
        release.set()
        assert blocked.get(timeout=PATIENCE) is True


def test_a_method_may_fork() -> None:
    text = """
    import multiprocessing, os, zerorpc
    def child(pipe):
        pipe.send(os.getpid())
    def with_multiprocessing():
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        process = context.Process(target=child, args=(theirs,))
        process.start()
        other = ours.recv()
        process.join()
        return [other != os.getpid(), process.exitcode]
    def with_fork():
        pid = os.fork()
        if pid == 0:
            os._exit(7)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    async def on_the_loop():
        return with_fork()
    server = zerorpc.Server({f.__name__: f for f in
                             (with_multiprocessing, with_fork, on_the_loop)})
    print(server.bind("tcp://127.0.0.1:0")[0], flush=True)
    server.run()
    """
    with Program(text) as program, zerorpc.Client(program.line(), timeout=PATIENCE) as client:
        for _ in range(3):
            assert client.with_multiprocessing() == [True, 0]
            assert client.with_fork() == 7
            assert client.on_the_loop() == 7
        program.signal(signal.SIGTERM)
        assert program.end()[0] == 0
