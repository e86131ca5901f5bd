"""Processes that are there and say nothing: stopped, or with the interpreter's lock held in C."""

from __future__ import annotations

import time
from typing import Any

from tests.faults.processes.stage import IN_FLIGHT, Caller, ServerProgram, Stage, case

HEARTBEAT = 3.0  # s; two of them are how long silence stays unnoticed, also that of a machine which is busy
_HELD = 20  # s that the interpreter's lock is held
_BY = _HELD - 2.0  # s until it has to be noticed: still before the lock is free; 500 threads are slow on a loaded core
_THIRD = IN_FLIGHT // 3


@case("SIGSTOP and SIGCONT of the server")
def stop_server(stage: Stage) -> dict[str, Any]:
    server = stage.server(heartbeat=HEARTBEAT)
    caller = stage.caller(server.endpoint, heartbeat=HEARTBEAT)
    stage.hold(caller, IN_FLIGHT // 2)
    stopped = time.monotonic()
    server.pause()
    caller.start(f"{caller.prefix}quick", stage.ids(IN_FLIGHT // 2))  # they wait in the system's buffer
    caller.join(_BY)
    lost = _lost(stage, IN_FLIGHT // 2)
    known = stage.last_end - stopped
    assert HEARTBEAT < known < _BY, known
    server.resume()
    again = stage.again(caller)
    caller("release")  # what was lost is answered now, to nobody
    stage.again(caller)
    caller.join()
    tally = stage.check("LostRemote")
    assert (tally.answered, tally.failed) == (2 + IN_FLIGHT - lost, {"LostRemote": lost})
    return {**tally.figures, "known_s": known, "again_s": again}


def _lost(stage: Stage, at_least: int) -> int:
    """How many calls have ended, all as lost. Those that a loaded machine made too late to be sent wait, as they do
    for any server that isn't there.
    """
    assert {end.error for end in stage.outcomes.ends} == {"LostRemote"}
    lost = {end.call_id for end in stage.outcomes.ends}
    assert lost >= set(range(1, at_least + 1)), "a call that ran before has not ended"
    return len(lost)


def _hold_lock(stage: Stage, heartbeat: float) -> dict[str, Any]:
    """A third of the calls is held before, one call holds the lock, and the others are made meanwhile."""
    server = stage.server(heartbeat=heartbeat)
    caller = stage.caller(server.endpoint, heartbeat=heartbeat, timeout=120)
    stage.hold(caller, _THIRD)
    held = time.monotonic()
    (freezer,) = stage.ids(1)
    caller.start("freeze", [freezer], _HELD)
    stage.wait_for([freezer])
    caller.start(f"{caller.prefix}quick", stage.ids(_THIRD))
    caller.start(f"{caller.prefix}hold", stage.ids(IN_FLIGHT - 2 * _THIRD - 1))
    caller.join(held + _BY - time.monotonic())
    lost = _lost(stage, _THIRD + 1)
    known = stage.last_end - held
    assert heartbeat < known < _BY, known
    return {"known_s": known, **_after_the_lock(stage, server, caller, held, lost)}


def _after_the_lock(stage: Stage, server: ServerProgram, caller: Caller, held: float, lost: int) -> dict[str, Any]:
    """The server lives, whatever has been waiting is run once at most, and nobody hears of it."""
    (call_id,) = stage.ids(1)
    caller.start(f"{caller.prefix}quick", [call_id])
    answered = stage.answer_to(call_id, _HELD + 30).at - held
    assert answered >= _HELD - 1, "the lock was not held"
    caller("release")
    again = stage.again(caller)
    caller.join()
    tally = stage.check("LostRemote")
    assert (tally.answered, tally.failed) == (2 + IN_FLIGHT - lost, {"LostRemote": lost})
    assert server.process.poll() is None
    return {**tally.figures, "again_s": again, "again_after_s": answered - _HELD}


@case("the GIL held for 20 s", seconds=90, slow=True)
def hold_lock(stage: Stage) -> dict[str, Any]:
    return _hold_lock(stage, HEARTBEAT)


@case("the GIL held for 20 s, default heartbeat", seconds=90, slow=True)
def hold_lock_by_default(stage: Stage) -> dict[str, Any]:
    return _hold_lock(stage, 5.0)
