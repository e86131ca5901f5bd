"""What was really said: the octets of whole conversations, to be mutated.

They are of the conformance kit (ours, with all that our extension has), of our own peers, made here in memory, and of
zerorpc 0.6.3, Node's zerorpc and libzmq, which ``record`` has written down in ``recorded/``. The same in every run.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conformance.driver.cases import Case, load
from tests.conformance.driver.octets import read_octets
from tests.conformance.driver.talker import command, greeting, metadata
from tests.protocol.pairs import Pair, end, item, reply
from tests.zmtp.links import encoded, octets
from zerorpc.errors import ProtocolError
from zerorpc.zmtp import Limits
from zerorpc.zmtp.frames import FrameDecoder

__all__ = ["answered", "events", "heard"]

RECORDED = Path(__file__).parent / "recorded"
_NAME = re.compile(r"\{(\w+)\}")  # in the kit's notation, of octets that were saved
Chunks = tuple[bytes, ...]


@functools.cache
def heard() -> tuple[Chunks, ...]:
    """What clients have said to servers."""
    recorded = (_chunks(told["heard"]) for told in _recorded())
    return (*_kit("server"), *recorded, _our_own()[0])


@functools.cache
def answered() -> tuple[Chunks, ...]:
    """And servers to clients."""
    recorded = (_chunks(told["answered"]) for told in _recorded())
    return (*_kit("client"), *recorded, _our_own()[1])


@functools.cache
def events() -> tuple[bytes, ...]:
    """The events in all of them, each once."""
    found: dict[bytes, None] = {}
    for chunks in (*heard(), *answered()):
        decoder, items = FrameDecoder(Limits()), list[Any]()
        with contextlib.suppress(ProtocolError):
            decoder.receive(b"".join(chunks)[64:], items)
        found.update((bytes(message[-1]), None) for message in items if isinstance(message, list))
    return tuple(event for event in found if 3 < len(event) < 2048)


def _recorded() -> Iterator[dict[str, list[str]]]:
    for path in sorted(RECORDED.glob("*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))


def _chunks(told: list[str]) -> Chunks:
    return tuple(map(bytes.fromhex, told))


def _kit(role: str) -> Iterator[Chunks]:
    """The driver's side of the conformance kit's conversations with programs in this role."""
    for case in load():
        if case.role == role:
            yield tuple(chunk for chunk in _said(case, case.steps) if len(chunk) < 65536)


def _said(case: Case, steps: list[dict[str, Any]]) -> Iterator[bytes]:
    if case.handshake and steps is case.steps:
        yield greeting(case.minor)
        yield command("READY", metadata(case.all_properties()))
    saved = dict.fromkeys(_NAME.findall(str(steps)), b"\1")  # what a program under test would have said
    for step in steps:
        if "repeat" in step:
            yield from _said(case, step["steps"])
        elif "octets" in step:
            yield read_octets(step["octets"], saved)
        elif "send" in step:
            yield encoded([read_octets(octets, saved) for octets in (*step.get("before", [""]), step["send"])])


@functools.cache
def _our_own() -> tuple[Chunks, Chunks]:
    """Calls, streams and liveness between two of our peers."""
    pair = _Overheard()
    for value in (None, 1.5, "text", b"\xff" * 300, {"a": [1, 2, 3]}):
        channel, request = pair.call("echo", value)
        reply(request, value)
        pair.exchange()
    channel, request = pair.call("count", 3)
    for number in range(3):
        item(request, number)
    pair.exchange()
    channel.next_event()
    channel.grant()
    pair.exchange()
    end(request, "STREAM_DONE")
    pair.exchange()
    pair.call("slow", 1)
    pair.advance(30.0)
    channel, _ = pair.call("endless")
    channel.abandon()
    pair.client.ask(pair.clock.now)
    pair.server.send_goaway()
    pair.exchange()
    return tuple(pair.heard), tuple(pair.answered)


class _Overheard(Pair):
    """A pair of which everything that is sent is known."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.answered: list[bytes] = []
        super().__init__()

    def exchange(self) -> tuple[list[Any], list[Any]]:
        touched: tuple[list[Any], list[Any]] = [], []
        while self.client.connection.output or self.server.connection.output:
            there, back = octets(self.client.connection), octets(self.server.connection)
            for told, sent in ((self.heard, there), (self.answered, back)):
                if sent:
                    told.append(sent)
            touched[0].extend(self.client.receive_data(back, self.clock.now) if back else ())
            touched[1].extend(self.server.receive_data(there, self.clock.now) if there else ())
        return touched
