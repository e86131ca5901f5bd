"""One of two servers fails under calls that may be made again, and under some that may not."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from typing import Any

import zerorpc
from tests.faults.processes.stage import IN_FLIGHT, Caller, ServerProgram, Stage, case
from tests.faults.repeats import RETRY, keyed, make, plain, repeatable, under_way
from tests.service.running import eventually

HEARTBEAT = 3.0  # s
LEASE = 2.0  # s that a server which says nothing may keep a key


class Fleet:
    """Two servers, which keep their answers in one file, a client of both, and one of each to look and to release."""

    def __init__(self, stage: Stage, retry: zerorpc.Retry | None = None) -> None:
        self._answers = str(stage.folder / "answers")
        options = {"heartbeat": HEARTBEAT, "answers": self._answers, "lease": LEASE}
        self.first, self.second = (stage.server(**options) for _ in range(2))
        self._stage = stage
        self.caller = stage.caller(self.first.endpoint, self.second.endpoint, heartbeat=HEARTBEAT, retry=retry)
        self._reach_both()

    def _reach_both(self) -> None:
        """Until the client is told by both where answers are kept: then both get calls with keys."""
        peers = self.caller.client._core.calls.peers
        self.caller("pid")  # an AsyncClient connects when it is first used
        eventually(lambda: len(peers) == 2, "both servers are reached")
        (first,) = self._stage.ids(1)
        self.caller.start_each(
            lambda client, call_id: zerorpc.options(client, key="k", retry=RETRY)("quick", call_id), [first]
        )
        self._stage.answer_to(first)
        eventually(lambda: all(peer.answers for peer in peers[:]), "both servers have told")

    def control(self, server: ServerProgram) -> Caller:
        return self._stage.caller(server.endpoint, kind="Client", heartbeat=HEARTBEAT)

    def pause_first(self) -> None:
        """Stop the first server, but not in a transaction: it would keep all keys busy for as long as it is stopped."""
        self.first.pause()
        while self._keeps_answers_locked():
            self.first.resume()
            time.sleep(0.01)
            self.first.pause()

    def _keeps_answers_locked(self) -> bool:
        database = sqlite3.connect(self._answers, timeout=HEARTBEAT / 5, isolation_level=None)
        with contextlib.closing(database):
            try:
                database.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
        return False

    def begin(self, number: int) -> list[int]:
        ids = self._stage.ids(number)
        hold = f"{self.caller.prefix}hold"
        self.caller.start_each(lambda client, call_id: make(client, call_id, hold), ids)
        return ids

    def hold(self, number: int) -> list[int]:
        """Calls that run when this returns, on both servers."""
        ids = self.begin(number)
        eventually(lambda: under_way(ids, self._stage.runs), "all calls run")
        return ids

    def check(self) -> dict[str, Any]:
        """Nothing but idempotent methods has run twice, and no call of one has failed."""
        tally = self._stage.check("LostRemote", "WorkerDied", repeatable=repeatable)
        ends = self._stage.outcomes.ends
        failed = {end.call_id: end for end in ends if end.error}
        assert not [end for call_id, end in failed.items() if repeatable(call_id)]
        assert {end.error for call_id, end in failed.items() if plain(call_id)} == {"LostRemote"}
        assert {end.remote for call_id, end in failed.items() if keyed(call_id)} == {"WorkerDied"}
        assert {end.ran for end in failed.values()} == {None}, "nobody knows how far those were that had begun"
        return tally.figures


@case("kill -9 of one of two servers, calls that may be made again")
def kill_one(stage: Stage) -> dict[str, Any]:
    fleet = Fleet(stage)
    control = fleet.control(fleet.second)
    fleet.hold(IN_FLIGHT)
    fleet.first.kill()
    control("release")
    fleet.caller.join()
    return fleet.check()


@case("kill -9 of one of two servers, idempotent calls and the usual retry")
def kill_one_of_a_steady_load(stage: Stage) -> dict[str, Any]:
    """The usual budget is a fifth of the calls of the last ten seconds, and a hundred: enough for all that are lost at
    once, if as many calls were made before as take a second. On a busy machine they take more than ten, and all but
    the last are forgotten: so fewer are lost than elsewhere.
    """
    fleet = Fleet(stage, zerorpc.Retry())
    control = fleet.control(fleet.second)
    ids = stage.ids(IN_FLIGHT * 3 // 5)
    hold = f"{fleet.caller.prefix}hold_idempotent"
    fleet.caller.start_each(lambda client, call_id: client(hold, call_id), ids)
    eventually(lambda: set(ids) <= set(stage.runs), "all calls run")
    for _ in range(3 * IN_FLIGHT):  # last, or a busy machine would make them too long before
        fleet.caller("pid")
    fleet.first.kill()
    control("release")
    fleet.caller.join()
    return stage.check(repeatable=lambda call_id: call_id in ids).figures


@case("SIGSTOP and SIGCONT of one of two servers, calls that may be made again")
def stop_one(stage: Stage) -> dict[str, Any]:
    """Some run when it stops; others wait in its system's buffer, and are run when it goes on, though nobody waits."""
    fleet = Fleet(stage)
    control = fleet.control(fleet.second)
    fleet.hold(IN_FLIGHT // 2)
    fleet.pause_first()
    fleet.begin(IN_FLIGHT // 2)
    control("release")
    fleet.caller.join()
    fleet.check()
    fleet.first.resume()
    late = fleet.control(fleet.first)
    late("release")
    eventually(lambda: late("state")["channels"] == 1, "what was left of the lost calls has ended")
    return fleet.check()
