"""Forked children, which call with the parent's clients from several threads at once, tell how it went, and end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from tests.model.book import Call, named
from tests.model.world import TIMEOUT, Actor
from zerorpc import RemoteError
from zerorpc.runtime import forks

THREADS = 4
CALLS = 3  # of each
PATIENCE = 2 * TIMEOUT + 10  # s

Ends = list[tuple[int, str, str]]  # of calls: id, the error's name if it was one, and what it said


def fork(actor: Actor, unnoticed: bool) -> None:
    """``unnoticed``: as C libraries do, which don't tell Python, so that nothing of ours has been told either.

    Python itself then hangs in the child, if another thread was waiting for the interpreter's lock. So here only we are
    not told; real forks of that kind are made in the tests with uWSGI.
    """
    client, call_id = actor.world.client, actor.new_id()
    what = "fork without hooks" if unnoticed else "fork"
    under_way = actor.new_id()
    ends: Ends = []
    actor.book.note(actor.name, f"{what} (calls from {call_id} on)")
    with actor.call(f"under way at a {what}", under_way, client) as found:
        result = client.slow(under_way, 0.02, async_=True)
        begun = time.monotonic()
        ends = _ends_of_child(actor, client, call_id, unnoticed)
        found.append(result.get(timeout=TIMEOUT * 2))
    for child_id, name, text in ends:
        call = Call(actor.name, f"in the child of a {what}", child_id, client, 2 * TIMEOUT, ())
        call.begun = begun
        actor.book.end(actor.book.begin(call), child_id if not name else Told(name, text))


class Told(RemoteError):
    """An error of a child, by its name."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(name, text, None)


def _ends_of_child(actor: Actor, client: Any, first_id: int, unnoticed: bool) -> Ends:
    ours, childs = os.pipe()
    with _forking, _nobody_tells() if unnoticed else contextlib.nullcontext():
        pid = os.fork()
    if pid == 0:
        _live(actor, client, first_id, childs)
    os.close(childs)
    try:
        told = _read(ours)
    finally:
        os.close(ours)
    if told is None:
        os.kill(pid, signal.SIGUSR2)  # it shows its stacks
        time.sleep(1.0)
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    if not told:
        actor.book.complain(f"{actor.name}: a child {'hangs' if told is None else 'died'} (calls from {first_id} on)")
        return []
    return [tuple(end) for end in json.loads(told)]


_forking = threading.Lock()


@contextlib.contextmanager
def _nobody_tells() -> Iterator[None]:
    """Have zerorpc's hook find the process that it knows."""
    forks.os = SimpleNamespace(getpid=lambda: forks.pid)  # type: ignore[assignment]
    try:
        yield
    finally:
        forks.os = os  # type: ignore[assignment]


def _read(fileno: int) -> bytes | None:
    """All that comes; None when it takes too long."""
    data, end = b"", time.monotonic() + PATIENCE
    while select.select([fileno], [], [], max(0.0, end - time.monotonic()))[0]:
        piece = os.read(fileno, 65536)
        if not piece:
            return data
        data += piece
    return None


# In the child


def _live(actor: Actor, client: Any, first_id: int, fileno: int) -> None:
    try:
        os.write(fileno, json.dumps(_call(actor, client, first_id)).encode())
    finally:
        os._exit(0)


def _call(actor: Actor, client: Any, first_id: int) -> Ends:
    ends: Ends = []

    def several(number: int) -> None:
        for call_id in range(first_id + number * CALLS, first_id + (number + 1) * CALLS):
            _one(ends, call_id, client.echo)

    def with_loop(call_id: int) -> Any:
        async def call() -> Any:
            return await actor.world.async_client.echo(call_id)

        return asyncio.run(call())

    threads = [threading.Thread(target=several, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    _one(ends, first_id + THREADS * CALLS, with_loop)
    for thread in threads:
        thread.join()
    return ends


def _one(ends: Ends, call_id: int, method: Any) -> None:
    try:
        result = method(call_id)
    except BaseException as error:
        ends.append((call_id, named(error)[0], traceback.format_exc()))
    else:
        ends.append((call_id, *(("", "") if result == call_id else ("another's answer", repr(result)))))
