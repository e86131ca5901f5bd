"""Idempotency keys in a file: across a restart, across processes, and after a process was killed."""

from __future__ import annotations

import os
import signal
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import zerorpc
from tests.server.test_keyed_calls import Shop, keyed
from tests.service.running import PATIENCE, Program, eventually, joined, unused_port
from zerorpc.doors import keyed_calls
from zerorpc.service import answers_file

PROGRAM = """
    import os, sys, time
    import zerorpc
    from zerorpc.service import answers_file

    class Shop:
        def order(self, item):
            with open(ledger, "a") as file:
                file.write(item + "\\n")
            return [item, os.getpid()]

        def hold(self, item):
            self.order(item)
            time.sleep(60)

        def slowly(self, item):
            time.sleep(0.2)
            return self.order(item)

    endpoint, answers, ledger, processes, lease = sys.argv[1:]
    answers_file.LEASE = float(lease)
    server = zerorpc.Server(Shop(), answers=answers or None, processes=int(processes))
    server.bind(endpoint)
    print("serves", flush=True)
    server.run()
"""


class Place:
    def __init__(self, folder: Path) -> None:
        self.endpoint = f"tcp://127.0.0.1:{unused_port()}"
        self.answers = str(folder / "answers.sqlite")
        self.ledger = folder / "ledger"

    def serve(self, processes: int = 1, answers: bool = True, lease: float = PATIENCE) -> Program:
        answers_told = self.answers if answers else ""
        program = Program(PROGRAM, self.endpoint, answers_told, str(self.ledger), str(processes), str(lease))
        assert program.line() == "serves", program.end()
        return program

    def client(self, **settings: Any) -> zerorpc.Client:
        return zerorpc.Client(self.endpoint, timeout=PATIENCE, **settings)

    @property
    def runs(self) -> list[str]:
        return self.ledger.read_text().split() if self.ledger.exists() else []


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="several processes need fork")


def test_an_answer_survives_a_restart(place: Place) -> None:
    with place.client() as client:
        with place.serve() as server:
            first = keyed(client).order("tea")
            server.signal(signal.SIGKILL)
            server.process.wait()
        with place.serve():
            assert keyed(client).order("tea") == first
    assert place.runs == ["tea"]


def test_who_repeats_what_a_dead_server_ran_is_told_that_nobody_knows(place: Place) -> None:
    with place.client() as client:
        with place.serve(lease=1.0) as server:
            call = keyed(client, async_=True, retry=zerorpc.Retry()).hold("tea")
            eventually(lambda: place.runs)
            server.signal(signal.SIGKILL)
            server.process.wait()
        with place.serve():
            with pytest.raises(zerorpc.WorkerDied) as caught:  # the retry asks the new server, which keeps the same
                call.get()
            assert caught.value.ran is None
            with pytest.raises(zerorpc.WorkerDied):
                keyed(client).hold("tea")
    assert place.runs == ["tea"]


@needs_fork
def test_in_several_processes_a_key_runs_once(place: Place) -> None:
    with place.serve(processes=2), ThreadPoolExecutor(8) as pool:

        def order(n: int) -> Any:
            with place.client() as client:  # a connection of its own, to either process
                return keyed(client).slowly("tea")

        assert len({tuple(answer) for answer in pool.map(order, range(8))}) == 1
    assert place.runs == ["tea"]


@needs_fork
def test_in_several_processes_without_a_file_keys_are_refused(place: Place) -> None:
    with place.serve(processes=2, answers=False), place.client() as client:
        with pytest.raises(zerorpc.WrongArguments, match=r"keys hold across them with Server\(answers=path\)") as e:
            keyed(client, retry=zerorpc.Retry()).order("tea")
        assert e.value.ran is False
    assert place.runs == []


def test_while_a_stopped_process_keeps_the_file_locked_calls_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers_file, "_BUSY_MAX", 0.01)
    shop, path = Shop(), tmp_path / "answers.sqlite"
    with joined(shop, answers=path) as client:
        assert keyed(client, "first").order("tea") == ["tea", 1, 1]
        with closing(sqlite3.connect(path, isolation_level=None)) as stopped:
            stopped.execute("BEGIN IMMEDIATE")
            call = keyed(client, async_=True).order("coffee")
            with pytest.raises(zerorpc.TimeoutExpired):
                keyed(client, "other", timeout=0.2).order("milk")
            assert not call.done()
            stopped.execute("ROLLBACK")
            assert call.get() == ["coffee", 1, 1]
    assert shop.runs["coffee"] == 1


def test_a_file_that_fails_lets_nothing_run(tmp_path: Path) -> None:
    shop = Shop()
    with joined(shop, answers=tmp_path / "answers.sqlite") as client:
        assert keyed(client).order("tea") == ["tea", 1, 1]
        assert keyed(client).order("tea") == ["tea", 1, 1]
        for name in tmp_path.iterdir():
            os.truncate(name, 0)
            name.write_bytes(b"no database " * 1000)
        with pytest.raises(zerorpc.RemoteError) as caught:
            keyed(client, "other").order("milk")
        assert caught.value.ran is False
    assert shop.runs == {"tea": 1}


def test_a_lease_is_renewed_as_long_as_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0, time=lambda: clock.now)
    monkeypatch.setattr(keyed_calls, "time", clock)
    monkeypatch.setattr(keyed_calls, "_RENEW_EVERY", 0.05)
    shop, path = Shop(), tmp_path / "answers.sqlite"
    with (
        joined(shop, answers=path) as client,
        joined(shop, answers=path) as other,
        closing(sqlite3.connect(path)) as looking,
    ):
        first = keyed(client, async_=True).slow("tea")
        assert shop.begun.wait(PATIENCE)

        def renewed() -> bool:
            return looking.execute("SELECT at FROM answers").fetchall() == [(clock.now + answers_file.LEASE,)]

        for _ in range(3):
            clock.now += 0.6 * answers_file.LEASE
            eventually(renewed, "the lease is renewed")
        with pytest.raises(zerorpc.TimeoutExpired):
            keyed(other, timeout=0.3).slow("tea")
        shop.release.set()
        assert first.get() == keyed(other).slow("tea") == ["tea", 1]
