"""An exception of somebody else's (Ctrl-C, an alarm, the end of the stack) may come between any two lines of a client.

Whichever line it is, no other call is forgotten: what still waits, and what lives on a connection, is ended with it.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from tests.protocol.pairs import call, new_ids
from tests.zmtp.links import handshake
from zerorpc.calls.dispatch import Calls
from zerorpc.errors import Closed, LostRemote
from zerorpc.protocol.channel import ClientChannel
from zerorpc.protocol.client_peer import ClientPeer
from zerorpc.protocol.events import CANCEL, DONE, ERR, OK, STREAM, encode


class Scene:
    """A peer, and a call that waits for one."""

    def __init__(self) -> None:
        self.calls = Calls()
        self.peer = ClientPeer(5.0, new_ids())
        self.peer.receive_data(handshake("ROUTER", **{"X-Zerorpc": b"1"}), 0.0)
        self.channel = call()

    def wait(self) -> None:
        """The call has no peer yet."""
        self.calls.start(self.channel, 0.0)
        self.calls.add(self.peer)

    def send(self) -> None:
        """It has been sent."""
        self.wait()
        self.calls.assign(0.0)

    def end(self) -> ClientChannel:
        """The connection is over, and the client closed."""
        self.peer.close(LostRemote("interrupted"))
        self.calls.close(Closed("the client was closed"))
        return self.channel


def interrupted(act: Callable[[], object], line: int) -> bool:
    """Run with KeyboardInterrupt before the nth line of our own; False when it has fewer."""
    lines = itertools.count()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if not any(room in frame.f_code.co_filename for room in ("/zerorpc/protocol/", "/zerorpc/calls/")):
            return None
        if event == "line" and next(lines) == line:
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def every_interrupt(prepare: Callable[[Scene], object], act: Callable[[Scene], object]) -> Iterator[Scene]:
    """The scene as an interrupt leaves it, for each line of what is done there."""
    for line in itertools.count():
        scene = Scene()
        prepare(scene)
        if not interrupted(lambda scene=scene: act(scene), line):  # type: ignore[misc]
            assert line > 3, "hardly a line of ours was run"
            return
        yield scene


def reply(name: str, args: Any) -> Callable[[Scene], object]:
    def act(scene: Scene) -> None:
        header = {"message_id": b"x" * 32, "v": 3, "response_to": scene.channel.message_id}
        scene.peer.receive_message([b"", encode(header, name, args)], 0.0, [])

    return act


@pytest.mark.parametrize(
    "act",
    [
        lambda scene: scene.calls.assign(0.0),
        lambda scene: scene.calls.sweep(1e9, ""),
        lambda scene: scene.calls.close(Closed("the client was closed")),
    ],
)
def test_a_call_that_waits(act: Callable[[Scene], object]) -> None:
    for scene in every_interrupt(Scene.wait, act):
        assert scene.end().answered


@pytest.mark.parametrize(
    "act",
    [
        reply(OK, [1]),
        reply(ERR, ["E", "", None]),
        reply(STREAM, 1),
        reply(DONE, None),
        lambda scene: scene.peer.sweep(1e9),
        lambda scene: scene.peer.close(LostRemote("gone")),
    ],
)
def test_a_call_that_was_sent(act: Callable[[Scene], object]) -> None:
    for scene in every_interrupt(Scene.send, act):
        channel = scene.end()
        assert channel.answered
        assert channel.reply is not None or channel.error is not None
        if channel.reply is not None and channel.reply.name in (STREAM, DONE):
            assert channel.inflow is not None  # who takes the stream finds the item, or the error
            assert channel.readable


@pytest.mark.parametrize("act", [reply(STREAM, 2), reply(DONE, None), reply(ERR, ["E", "", None]), reply(OK, [1])])
def test_a_stream_that_has_begun(act: Callable[[Scene], object]) -> None:
    def begin(scene: Scene) -> None:
        scene.send()
        reply(STREAM, 1)(scene)
        assert scene.channel.inflow is not None
        scene.channel.inflow.inbox.clear()

    for scene in every_interrupt(begin, act):
        assert scene.end().readable


def test_giving_up_is_finished_by_giving_up_again() -> None:
    def give_up(scene: Scene) -> None:
        scene.channel.abandon()

    for scene in every_interrupt(Scene.send, give_up):
        assert not scene.channel.answered or scene.channel.error is not None
        scene.channel.abandon()
        assert not scene.peer.channels
        assert any(CANCEL.encode() in bytes(frame) for frame in scene.peer.take_output())
