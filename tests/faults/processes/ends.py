"""Processes that end: killed, or by their own doing."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

from tests.faults.processes.stage import AT_ONCE, HEARTBEAT, IN_FLIGHT, Stage, case
from tests.service.running import eventually


@case("kill -9 of the server")
def kill_server(stage: Stage) -> dict[str, Any]:
    server = stage.server()
    caller = stage.caller(server.endpoint)
    stage.hold(caller)
    killed = time.monotonic()
    server.kill()
    caller.join()
    known = stage.check("LostRemote").last - killed
    assert known < AT_ONCE
    while_down = stage.ids(IN_FLIGHT)
    caller.start(f"{caller.prefix}quick", while_down)
    stage.server(bind=server.endpoint)
    caller.join()
    tally = stage.check("LostRemote")
    assert (tally.answered, tally.failed) == (IN_FLIGHT, {"LostRemote": IN_FLIGHT})
    return {**tally.figures, "known_s": known, "again_s": stage.again(caller)}


@case("os._exit in a method")
def exit_in_method(stage: Stage) -> dict[str, Any]:
    server = stage.server()
    caller = stage.caller(server.endpoint)
    stage.hold(caller, IN_FLIGHT - 1)
    begun = time.monotonic()
    caller.start(f"{caller.prefix}die", stage.ids(1))
    caller.join()
    tally = stage.check("LostRemote")
    known = tally.last - begun
    assert known < AT_ONCE
    assert tally.failed == {"LostRemote": IN_FLIGHT}
    assert server.process.wait(10) == 7
    stage.server(bind=server.endpoint)
    return {**tally.figures, "known_s": known, "again_s": stage.again(caller)}


@case("SystemExit in a method")
def system_exit_in_method(stage: Stage) -> dict[str, Any]:
    server = stage.server()
    caller = stage.caller(server.endpoint)
    stage.hold(caller, IN_FLIGHT // 2)
    begun = time.monotonic()
    caller.start(f"{caller.prefix}leave", stage.ids(IN_FLIGHT // 2))
    eventually(lambda: len(stage.outcomes.ends) == IN_FLIGHT // 2, "SystemExit as an error")
    known = stage.last_end - begun
    caller("release")
    caller.join()
    tally = stage.check("SystemExit")
    assert (tally.answered, tally.failed) == (IN_FLIGHT // 2, {"SystemExit": IN_FLIGHT // 2})
    return {**tally.figures, "known_s": known, "again_s": stage.again(caller)}


@case("kill -9 of one of processes=4")
def kill_one_of_four(stage: Stage) -> dict[str, Any]:
    server = stage.server(processes=4)
    callers = [stage.caller(server.endpoint) for _ in range(20)]
    pids = {caller: caller("pid") for caller in callers}
    assert len(set(pids.values())) == 4
    mine = {caller: stage.hold(caller, IN_FLIGHT // len(callers)) for caller in callers}
    victim = pids[callers[0]]
    lost = sorted(call_id for caller in callers if pids[caller] == victim for call_id in mine[caller])
    killed = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: len(stage.outcomes.ends) == len(lost), "the killed process's calls end")
    known = stage.last_end - killed
    assert known < AT_ONCE
    again = max(stage.again(caller) for caller in callers)
    for caller in callers:
        caller("release")
    for caller in callers:
        caller.join()
    tally = stage.check("LostRemote")
    assert sorted(end.call_id for end in stage.outcomes.ends if end.error) == lost
    assert tally.failed == {"LostRemote": len(lost)}
    return {**tally.figures, "known_s": known, "again_s": again}


@case("kill -9 of a client")
def kill_client(stage: Stage) -> dict[str, Any]:
    server = stage.server()
    streams = 20
    ids = stage.ids(IN_FLIGHT)
    options = {"kind": stage.kind, "endpoint": server.endpoint, "heartbeat": HEARTBEAT, "ids": ids, "streams": streams}
    client = stage.program("calls.py", json.dumps(options))
    stage.wait_for(ids)
    watcher = stage.caller(server.endpoint)
    assert watcher("state")["channels"] == IN_FLIGHT + 1
    killed = time.monotonic()
    client.kill()
    eventually(lambda: watcher("state")["channels"] == 1, "the client's channels are gone")
    if stage.kind == "AsyncClient":  # a plain method can't be cancelled: it ends when it is released
        expected = {"cancelled": IN_FLIGHT - 2 * streams, "closed": streams, "aclosed": streams}
    else:
        expected = {"closed": streams, "aclosed": streams}
    eventually(lambda: watcher("state")["ended"] == expected, f"methods end: {expected}")
    known = time.monotonic() - killed
    assert known < AT_ONCE
    watcher("release")
    eventually(lambda: watcher("state")["links"] == 1, "one connection is left")
    assert sorted(stage.runs) == ids
    return {"asked": IN_FLIGHT, "run": len(stage.runs), "known_s": known, "again_s": stage.again(watcher)}
