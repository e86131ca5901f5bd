"""Plays conversations against a real server process, while an innocent client beside them calls on.

What is a fault: the server ends, or has something to complain of; a connection that we have closed is not closed by
it; a call of the innocent's fails, or is not answered; connections, threads or tasks are left when all have gone; and
memory that grows. For the last the server is asked what it takes when nobody calls, before the first conversation, and
after each twentieth part of them, when garbage is collected and what malloc keeps is given back. At the end that may be
``GROWTH_MAX`` more than after the first tenth, which fills caches and pools: 45 octets each of 100,000.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from statistics import median
from typing import Any, NamedTuple

import zerorpc
from tests.attacks.ground import Innocent
from tests.certificates import certificates
from tests.fuzz.conversations import Conversation
from tests.fuzz.inputs import shortened
from tests.fuzz.talks import Talk, talk_of

__all__ = ["Fault", "Figures", "Stage", "narrowed", "play"]

AT_ONCE = 32  # conversations
PATIENCE = 60.0  # s until a server that does nothing hangs
SILENCE = 0.2  # s after which nobody waits for the rest of a handshake that was spoiled
LOOKS = 20  # at what the server takes
GROWTH_MAX = 4.0  # MB
TRIES = 60  # to find out which conversation is to blame; each starts a server
SETTLED = {"connections": 2, "tasks": 5, "threads": 40}  # what there may be at rest: the innocent's and our own


class Fault(Exception):
    """What the server did. One of the ``conversations`` is to blame, or several."""

    def __init__(self, why: str, conversations: Iterable[Conversation] = ()) -> None:
        super().__init__(why)
        self.conversations = list(conversations)


class Figures(NamedTuple):
    """Of a run: times in seconds, memory in MB."""

    conversations: int
    seconds: float
    calls: int  # of the innocent's
    worst: float  # the longest that one took
    resident: list[float]

    @property
    def growth(self) -> float:
        return _growth(self.resident)


class Stage:
    """A server process, and a client that asks it how it does."""

    def __init__(self) -> None:
        made = certificates()
        argv = [sys.executable, "-m", "tests.fuzz.server", made.server, made.server_key]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        self.endpoints: dict[str, str] = json.loads(self.process.stdout.readline())
        self.client = zerorpc.Client(self.endpoints["clear"], timeout=PATIENCE, heartbeat=None)

    def look(self) -> dict[str, float]:
        """What the server takes at rest. Raises Fault for what should not be there."""
        end = time.monotonic() + PATIENCE
        while True:
            self.check()
            found: dict[str, float] = self.client.at_rest()
            left = {name: found[name] for name, most in SETTLED.items() if found[name] > most}
            if not left:
                return found
            if time.monotonic() > end:
                raise Fault(f"left when all have gone: {left}")
            time.sleep(0.05)

    def check(self) -> None:
        """Raises Fault for what it complains of."""
        if self.process.poll() is not None:
            raise Fault(f"the server has ended with {self.process.returncode}")
        if complaints := self.client.complaints():
            raise Fault("the server complains:\n" + "\n".join(complaints))

    def close(self) -> None:
        self.client.close()
        self.process.kill()
        self.process.communicate()


def play(conversations: Iterable[Conversation], count: int, seconds: float = float("inf")) -> Figures:
    """So many of them, or as many as there is time for. Raises Fault."""
    with contextlib.closing(Stage()) as stage, _innocent(stage) as innocent:
        source, played, begun = iter(conversations), 0, time.monotonic()
        resident = [stage.look()["resident"]]
        share = max(1, count // LOOKS) if seconds == float("inf") else 200
        while played < count and time.monotonic() < begun + seconds:
            batch = list(itertools.islice(source, min(share, count - played)))
            try:
                asyncio.run(_play_all(batch, stage))
                resident.append(stage.look()["resident"])
            except (Fault, zerorpc.ZeroRPCError, OSError) as error:
                code = stage.process.poll()
                why = f"{type(error).__name__}: {error}" if code is None else f"the server has ended with {code}"
                raise Fault(why, batch) from error
            played += len(batch)
        figures = Figures(played, time.monotonic() - begun, innocent.calls, innocent.worst, resident)
    if figures.growth > GROWTH_MAX:
        raise Fault(f"memory grows: {[round(each, 1) for each in resident]} MB")
    return figures


def narrowed(fault: Fault) -> list[Conversation]:
    """The conversations that find the fault again: few, or all if it was chance."""

    def finds(conversations: list[Conversation]) -> bool:
        try:
            play(conversations, len(conversations))
        except Fault:
            return True
        return False

    return shortened(fault.conversations, finds, TRIES)


def _growth(resident: list[float]) -> float:
    """From after the first tenth to the end; of single looks one may be an accident."""
    first = len(resident) // 10 + 1
    return median(resident[-3:]) - median(resident[first : first + 3]) if len(resident) > 6 else 0.0


@contextlib.contextmanager
def _innocent(stage: Stage) -> Iterator[Innocent]:
    innocent = Innocent(stage.endpoints["clear"])
    innocent.start()
    try:
        yield innocent
    except Fault:
        innocent._over.set()
        raise
    try:
        innocent.stop()
    except AssertionError as error:
        raise Fault(f"the innocent client: {error}") from error


async def _play_all(batch: list[Conversation], stage: Stage) -> None:
    """Some at once. The first that finds a fault ends all."""
    source = iter(batch)

    async def player() -> None:
        for conversation in source:
            await _play(conversation, stage.endpoints[conversation.kind])

    await asyncio.gather(*(player() for _ in range(AT_ONCE)))


async def _play(conversation: Conversation, endpoint: str) -> None:
    host, _, port = endpoint.rpartition("/")[2].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        with contextlib.suppress(ConnectionError):
            await _say(talk_of(conversation), reader, writer)
        await asyncio.sleep(conversation.pause)
        sock: Any = writer.get_extra_info("socket")
        with contextlib.suppress(OSError):  # the server has closed it
            if conversation.resets:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                writer.write_eof()
        if not conversation.resets:
            await _end(reader)
    finally:
        writer.transport.abort()


async def _end(reader: asyncio.StreamReader) -> None:
    """Read until the server has closed, too."""
    try:
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                while await reader.read(1 << 16):
                    pass
    except TimeoutError:
        raise Fault("the server doesn't close a connection that its client has closed") from None


async def _say(talk: Talk, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """All that there is to say, and what the server has to say before."""
    while True:
        for chunk in talk.take():
            writer.write(chunk)
            await asyncio.sleep(0)
        if talk.said:
            return
        try:
            async with asyncio.timeout(SILENCE):
                data = await reader.read(1 << 16)
        except TimeoutError:
            return
        if not data:
            return
        talk.receive(data)
