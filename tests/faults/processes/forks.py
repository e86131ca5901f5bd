"""Forks: of a client with calls in flight, and in a method."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

from tests.faults.ledger import Outcomes
from tests.faults.processes.stage import AT_ONCE, HEARTBEAT, IN_FLIGHT, Caller, Stage, case
from tests.service.running import eventually
from zerorpc.protocol.events import decode

# What a child does with the method that has forked it, and the exit code that it ends with.
ENDS = {"os._exit": 7, "SystemExit": 7, "raises": 1, "returns": 0}
METHODS = {"AsyncClient": ("afork", "afork_later", "afork_stream"), "Client": ("fork", "fork_stream")}


@case("fork in a method")
def fork_in_method(stage: Stage) -> dict[str, Any]:
    """Whatever the child does, it ends; the parent answers, once; and what is in flight never hears of it."""
    server = stage.server()
    replies: list[bytes] = []
    caller = stage.caller(server.endpoint, tap=lambda way, data: replies.append(bytes(data)) if way == "<--" else None)
    stage.hold(caller)
    begun = time.monotonic()
    for method in METHODS[stage.kind]:
        for how, code in ENDS.items():
            assert _child_code(stage, caller, method, how) == code, (method, how)
    if stage.kind == "AsyncClient":  # the loop that a child would go on on is its parent's
        assert _child_code(stage, caller, "afork_await", "returns") == 1
    seconds = time.monotonic() - begun
    forks = len(stage.outcomes.ends)
    assert caller("state")["channels"] == IN_FLIGHT + 1
    caller("release")
    caller.join()
    again = stage.again(caller)
    tally = stage.check()
    events = [decode(data) for data in replies]
    answers = Counter(bytes(event.header.response_to) for event in events if event.name in ("OK", "ERR", "STREAM"))
    assert set(answers.values()) == {1}, "a call was answered twice"
    assert tally.answered == IN_FLIGHT + forks + 1
    return {**tally.figures, "forks": forks, "fork_s": seconds / forks, "again_s": again}


def _child_code(stage: Stage, caller: Caller, method: str, how: str) -> int:
    """Call a method that forks, and wait for the child."""
    (call_id,) = stage.ids(1)
    caller.start(method, [call_id], how)
    stage.answer_to(call_id)
    return int(caller("child_code", call_id))


@case("fork in a method while requests wait", kinds=["AsyncClient"])
def fork_before_others(stage: Stage) -> dict[str, Any]:
    """The child has a copy of the requests that wait for a thread, and must not run them as well."""
    server = stage.server()
    caller = stage.caller(server.endpoint)
    ids = stage.ids(IN_FLIGHT)
    caller.start("fork_if", ids, ids[0])  # in one write: the first runs while all others wait
    caller.join()
    assert caller("child_code", ids[0]) == 0
    tally = stage.check()
    assert tally.answered == IN_FLIGHT
    return {**tally.figures, "again_s": stage.again(caller)}


@case("kill -9 of the server, whose method's child lives on")
def kill_parent(stage: Stage) -> dict[str, Any]:
    """The child has copies of all connections, and must not keep them open: callers know at once all the same."""
    server = stage.server()
    caller = stage.caller(server.endpoint)
    ids = stage.ids(1)
    caller.start(f"{caller.prefix}fork", ids, "sleeps")
    stage.answer_to(ids[0])
    stage.hold(caller)
    killed = time.monotonic()
    server.process.kill()
    eventually(lambda: len(stage.outcomes.ends) == IN_FLIGHT + 1, "calls end")
    known = stage.check("LostRemote").last - killed
    assert known < AT_ONCE
    stage.server(bind=server.endpoint)
    again = stage.again(caller)
    server.kill()  # the child, which is of its group
    return {**stage.check("LostRemote").figures, "known_s": known, "again_s": again}


def _fork_client(stage: Stage, how: str) -> dict[str, Any]:
    """The child calls with the same client object and ends; the parent's calls never hear of it."""
    server = stage.server()
    ids, child_ids = stage.ids(IN_FLIGHT), stage.ids(10)
    options = {"kind": stage.kind, "endpoint": server.endpoint, "how": how, "heartbeat": HEARTBEAT}
    client = stage.program("forking.py", json.dumps({**options, "ids": ids, "child_ids": child_ids}))
    assert client.next_line()["who"] == "ready"
    stage.wait_for(ids)
    begun = time.monotonic()
    client.write_line({})
    said = [client.next_line() for _ in range(2)]
    seconds = time.monotonic() - begun
    assert [line["who"] for line in said] == ["child", "parent"]
    assert said[0]["pid"] != said[1]["pid"]
    for line in said:
        stage.outcomes += Outcomes.load(line["outcomes"])
    assert client.process.wait(10) == 0, client.stderr()
    tally = stage.check()
    assert tally.answered == IN_FLIGHT + len(child_ids)
    return {**tally.figures, "seconds": seconds}


@case("fork of a client, whose child ends by os._exit")
def fork_client(stage: Stage) -> dict[str, Any]:
    return _fork_client(stage, "os._exit")


@case("fork of a client, whose child ends by SystemExit", kinds=["Client"])
def fork_client_exit(stage: Stage) -> dict[str, Any]:
    """Not from a coroutine: asyncio itself, closing the child's copy of a loop, deafens the parent's to its threads."""
    return _fork_client(stage, "SystemExit")
