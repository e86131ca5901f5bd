"""The cases: what happens to the network, and what has to come of it. Each returns its figures, in seconds."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from tests.faults.network.scene import (
    HEARTBEAT,
    PROMISE,
    SLACK,
    TIMEOUT,
    USUAL,
    Report,
    Scene,
    wait,
)

Figures = dict[str, Any]
AGAIN = 3.0  # s after healing within which the client has to have its first answer
LOSES = ("LostRemote", "TimeoutExpired")


def cut(scene: Scene, seconds: float, towards: tuple[int, ...] = (0, 1)) -> Figures:
    """The cable is cut in the middle of calls and of a stream, in both directions or in one."""
    client = scene.call()
    at = scene.cable.cut(towards=towards)
    wait(seconds, at)
    healed = scene.cable.heal()
    report = scene.report_of(client)
    figures = report.check(LOSES)
    figures["first answer after healing"] = again = report.first_answer(healed)
    if seconds > PROMISE + SLACK:
        figures["noticed"] = noticed = report.noticed(at)
        assert noticed <= PROMISE + SLACK
        stopped = [when - at for when in scene.server.stopped.values() if when < healed]
        assert len(stopped) >= 3, "the server has to end what runs for a caller that is gone"
        figures["noticed by the server"] = max(stopped)
        assert max(stopped) <= PROMISE + SLACK
    else:
        assert not figures["failed"], "so short a cut is no loss"
    assert again <= AGAIN + SLACK
    return figures


def worse(scene: Scene, seconds: float, may_fail: bool, **faults: Any) -> Figures:
    """The cable gets worse in the middle of calls, for a while, but lets something through."""
    client = scene.call()
    at = scene.cable.spoil(**faults)
    wait(seconds, at)
    healed = scene.cable.heal()
    report = scene.report_of(client)
    figures = report.check(LOSES if may_fail else ())
    meanwhile = [call for call in report.calls if at < call.begun and call.ended < healed and not call.end.error]
    figures["answered meanwhile"] = len(meanwhile)
    assert len(meanwhile) >= 5
    figures["longest call meanwhile"] = max(call.ended - call.begun for call in meanwhile if not call.items)
    figures["first answer after healing"] = report.first_answer(healed)
    return figures


CASES: dict[str, Callable[[Scene], Figures]] = {
    "cable cut for 1 s": functools.partial(cut, seconds=1),
    "cable cut for 5 s": functools.partial(cut, seconds=5),
    "cable cut for 30 s": functools.partial(cut, seconds=30),
    "30% loss": functools.partial(worse, seconds=8, may_fail=True, loss=0.3),
    "200 ms delay": functools.partial(worse, seconds=8, may_fail=False, delay=0.2),
    "reordering": functools.partial(worse, seconds=8, may_fail=False, delay=0.002, jitter=0.03),
}
