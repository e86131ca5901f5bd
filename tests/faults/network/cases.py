"""The cases: what happens to the network, and what has to come of it. Each returns its figures, in seconds."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.faults.ledger import check
from tests.faults.network.scene import HEARTBEAT, SERVER, SLACK, TIMEOUT, USUAL, Report, Scene, wait
from tests.faults.repeats import plain, repeatable, under_way
from tests.service.running import eventually

Figures = dict[str, Any]
KIB = 1024
MIB = 1024 * KIB
UNHURRIED = 4.5  # s, the heartbeat where nobody may be taken for lost: a busy machine is silent for 5 s by itself
KEEPALIVE = 120.0  # s: transport/sockets.py
AGAIN = 3.0  # s after healing within which the client has to have its first answer
IN_FLIGHT = 500
LOSES = ("LostRemote", "TimeoutExpired")
PATIENT = tuple({**call, "timeout": 4 * TIMEOUT} for call in USUAL)  # where none may fail
LONG = {"do": "work", "arg": 60.0, "timeout": 90.0, "once": True}  # under way whatever happens


def cut(scene: Scene, seconds: float, towards: tuple[int, ...] = (0, 1)) -> Figures:
    """The cable is cut in the middle of calls and of a stream, in both directions or in one."""
    client = scene.call(PATIENT if seconds < scene.promise else (*USUAL, LONG))
    at = scene.cable.cut(towards=towards)
    wait(seconds, at)
    healed = scene.cable.heal()
    report = scene.report_of(client)
    figures = report.check(LOSES)
    if seconds < scene.promise:
        assert not figures["failed"], f"so short a cut is no loss, but calls have failed: {figures['failed']}"
    else:
        figures |= noticed(report, at, answers_pass=1 not in towards)
        figures["noticed by the server"] = noticed_by_server(scene, at)
    return figures | works_again(report, healed)


def one_of_two_cut(scene: Scene, towards: tuple[int, ...]) -> Figures:
    """The cable to one of two servers is cut while both have calls that may be made again, and some that may not. Both
    methods go on; where only answers are lost, those with a key get theirs by way of the other server.
    """
    one, other = scene.serve_two()
    calls = scene.call_two(IN_FLIGHT)
    eventually(lambda: under_way(range(IN_FLIGHT), scene.runs), "all calls run")
    at = scene.cable.cut(towards=towards)
    one.release()
    other.release()
    outcomes = calls.outcomes()
    scene.cable.heal()
    tally = check(outcomes, scene.runs, allowed=["LostRemote"], repeatable=repeatable)
    failed = [end for end in outcomes.ends if end.error]
    assert failed
    assert all(plain(end.call_id) and end.ran is None for end in failed)
    assert min(end.at for end in failed) > at, "a server was taken for lost before the cut"
    seconds = tally.last - at
    assert seconds <= scene.promise + SLACK, f"noticed after {seconds:.1f} s only"
    return tally.figures | {"noticed": seconds}


def server_gone(scene: Scene) -> Figures:
    """The server's host is switched off: no FIN. Another takes its place later, with the same address."""
    client = scene.call((*USUAL, LONG))
    at = scene.cable.cut()
    scene.server.vanish()
    scene.server_host.remove()
    wait(2 * scene.promise, at)
    host = scene.network.host(SERVER, plugged=False)
    scene.serve(host)
    scene.cable.plug(host, scene.client_host)
    back = scene.cable.heal()
    host.up()
    report = scene.report_of(client)
    return report.check(LOSES) | noticed(report, at) | works_again(report, back)


def taken_over(scene: Scene) -> Figures:
    """Another host, whose server is running already, takes the address over; the first one is cut off."""
    host = scene.network.host(SERVER, plugged=False)
    scene.serve(host)
    client = scene.call((*USUAL, LONG))
    at = scene.cable.plug(host, scene.client_host)
    host.up()
    report = scene.report_of(client)
    return report.check(LOSES) | noticed(report, at) | works_again(report, at)


def client_gone(scene: Scene, with_answers: bool) -> Figures:
    """The client's host is switched off: no FIN. Its methods end, and its connection too: also if all that was left
    to do was to send answers.
    """
    client = scene.call(USUAL[:3] if with_answers else (*USUAL, LONG))
    assert scene.server_host.connections() == 1
    at = scene.cable.cut()
    client.vanish()
    scene.client_host.remove()
    while scene.server_host.connections():
        assert time.monotonic() - at < scene.promise + SLACK, "the server keeps the connection of a host that is gone"
        wait(0.05)
    freed = time.monotonic() - at
    return {"connection freed": freed} | (
        {} if with_answers else {"noticed by the server": noticed_by_server(scene, at)}
    )


def noticed_by_server(scene: Scene, fault: float) -> float:
    """Seconds from a fault until the server has ended what it ran for the caller behind it."""
    longest = scene.promise + SLACK
    while True:
        stopped = [when - fault for when in scene.server.stopped.values()]
        within = [seconds for seconds in stopped if seconds <= longest]
        if len(within) >= 2:
            return max(within)
        told_by = fault + longest + SLACK  # what the server tells takes a moment to arrive here
        assert time.monotonic() < told_by, f"the stream and the long call should have been ended, but were at {stopped}"
        wait(0.05)


def noticed(report: Report, fault: float, answers_pass: bool = False) -> Figures:
    """How soon the client's side knew."""
    seconds = report.noticed(fault, answers_pass)
    assert seconds <= report.promise + SLACK, f"noticed after {seconds:.1f} s only"
    return {"noticed": seconds}


def works_again(report: Report, healed: float) -> Figures:
    again = report.first_answer(healed)
    assert again <= AGAIN + SLACK, f"the client worked again after {again:.1f} s only"
    return {"first answer after healing": again}


def worse(scene: Scene, seconds: float, may_fail: bool, **faults: Any) -> Figures:
    """The cable gets worse in the middle of calls, for a while, but lets something through."""
    client = scene.call(USUAL if may_fail else PATIENT)
    at = scene.cable.spoil(**faults)
    wait(seconds, at)
    healed = scene.cable.heal()
    report = scene.report_of(client)
    figures = report.check(LOSES if may_fail else ())
    meanwhile = [call for call in report.calls if at < call.begun and call.ended < healed and not call.end.error]
    figures["answered meanwhile"] = len(meanwhile)
    assert len(meanwhile) >= 3, "too few calls came through"
    figures["longest call meanwhile"] = max(call.ended - call.begun for call in meanwhile if not call.items)
    figures["first answer after healing"] = report.first_answer(healed)
    return figures


def black_hole(scene: Scene) -> Figures:
    """Only packets of 600 octets and less get through: small calls work, large ones fail. No ICMP tells anybody."""
    large = [{"do": do, "arg": MIB, "timeout": 4 * TIMEOUT, "later": True, "pause": 3} for do in ("take", "result")]
    client = scene.call((*USUAL, *large))
    at = scene.cable.spoil(largest=600)
    client.go()
    wait(25, at)  # a large call costs the connection up to 5 s, with those that are behind it; then come small ones
    healed = scene.cable.heal()
    report = scene.report_of(client)
    figures = report.check(LOSES)
    meanwhile = [call for call in report.calls if at < call.begun and call.ended < healed]
    stuck = [call for call in meanwhile if call.do in {"take", "result"}]
    assert len(stuck) >= 2, "large calls were meant to be made meanwhile"
    passed = [call for call in stuck if not call.end.error]
    assert not passed, f"large calls passed: {passed}"
    figures["noticed"] = max(call.ended - call.begun for call in stuck)
    figures["small calls answered meanwhile"] = small = sum(bool(call.answers) for call in meanwhile)
    assert small >= 3, f"only {small} small calls were answered meanwhile"
    # not promise + SLACK: a call may first wait for the connection that the one before it has cost
    assert figures["noticed"] < 4 * TIMEOUT - 0.1, "the deadline ended it, and not the heartbeat"
    return figures | works_again(report, healed)


def narrow(scene: Scene, do: str, size: int, seconds: float, rate: float = 1e6) -> Figures:
    """1 Mbit/s, much to carry, and calls beside it: they may be late, but nobody may be taken for lost."""
    much = {"do": do, "arg": size, "timeout": 300.0, "later": True, "once": do != "blocks"}
    client = scene.call((USUAL[0], much))
    at = scene.cable.spoil(rate=rate)
    client.go()
    wait(seconds, at)
    healed = scene.cable.heal()
    report = scene.report_of(client)
    figures = report.check(("TimeoutExpired",))
    carried = [call for call in report.calls if call.do == do and not call.end.error]
    assert carried, "nothing came through"
    if do != "blocks":
        assert carried[0].ended - at > min(seconds, size * 8 / rate), "the cable was meant to be narrow"
        figures["whole call"] = carried[0].ended - carried[0].begun
    return figures | works_again(report, healed)


def idle_client_gone(scene: Scene) -> Figures:
    """The client's host is switched off while no call runs: the system finds out, which takes it two minutes."""
    client = scene.call(({"do": "work", "arg": 0.1, "timeout": TIMEOUT, "pause": 1000.0},))
    wait(scene.promise)
    at = scene.cable.cut()
    client.vanish()
    scene.client_host.remove()
    while scene.server_host.connections():
        assert time.monotonic() - at < KEEPALIVE + 10, "the server keeps the connection of a host that is gone"
        wait(0.5)
    return {"connection freed": time.monotonic() - at}


class Case(NamedTuple):
    """``long`` ones take minutes, and are only for `python -m tests.faults.network`. ``busy`` ones are so much work
    that the others, which run beside each other, would be late.
    """

    name: str
    run: Callable[[Scene], Figures]
    heartbeat: float = HEARTBEAT
    long: bool = False
    busy: bool = False


result = functools.partial(narrow, do="result", size=16 * MIB)
blocks = functools.partial(narrow, do="blocks")

CASES = [
    Case("cable cut for 1 s", functools.partial(cut, seconds=1), heartbeat=UNHURRIED),
    Case("cable cut for 5 s", functools.partial(cut, seconds=5)),
    Case("cable cut for 30 s", functools.partial(cut, seconds=30)),
    Case("cable cut for 30 s, heartbeat 5 s", functools.partial(cut, seconds=30), heartbeat=5.0),
    Case("cut towards the server for 5 s", functools.partial(cut, seconds=5, towards=(0,))),
    Case("cut towards the client for 5 s", functools.partial(cut, seconds=5, towards=(1,))),
    Case(
        "cable to one of two servers cut",
        functools.partial(one_of_two_cut, towards=(0, 1)),
        heartbeat=UNHURRIED,
        busy=True,
    ),
    Case(
        "cut from one of two servers towards the client",
        functools.partial(one_of_two_cut, towards=(1,)),
        heartbeat=UNHURRIED,
        busy=True,
    ),
    Case("server's host gone", server_gone),
    Case("address taken over by another server", taken_over),
    Case("client's host gone", functools.partial(client_gone, with_answers=False)),
    Case("client's host gone, only answers under way", functools.partial(client_gone, with_answers=True)),
    Case("client's host gone, no call open", idle_client_gone, long=True),
    Case("30% loss", functools.partial(worse, seconds=30, may_fail=True, loss=0.3)),
    Case("200 ms delay each way", functools.partial(worse, seconds=8, may_fail=False, delay=0.2), heartbeat=UNHURRIED),
    Case(
        "reordering", functools.partial(worse, seconds=8, may_fail=False, delay=0.002, jitter=0.03), heartbeat=UNHURRIED
    ),
    Case("MTU black hole", black_hole),
    Case("1 Mbit/s, 16 MiB result", functools.partial(result, seconds=20), heartbeat=UNHURRIED),
    Case("1 Mbit/s, 16 MiB result, to the end", functools.partial(result, seconds=160), long=True),
    Case(
        "1 Mbit/s, 16 MiB argument",
        functools.partial(narrow, do="take", size=16 * MIB, seconds=20),
        heartbeat=UNHURRIED,
    ),
    Case("1 Mbit/s, stream of 64 KiB items", functools.partial(blocks, size=64 * KIB, seconds=20), heartbeat=UNHURRIED),
    Case(
        "15 Mbit/s, stream of 256 KiB items",
        functools.partial(narrow, do="blocks", size=256 * KIB, seconds=10, rate=15e6),
        heartbeat=UNHURRIED,
    ),
]
