"""Who may push to a Puller, and what: as for a Server, but that a pusher is told nothing of what was denied."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path
from typing import Any

import pytest

import zerorpc
from tests.service.running import PATIENCE, eventually, on_thread, run
from zerorpc.keys import KeyPair, encode_z85
from zerorpc.limits import Limits
from zerorpc.pairing import keys_of_code
from zerorpc.transport import authentication

SERVER, ALICE, EVE = (KeyPair.generate() for _ in range(3))
NAMES = {encode_z85(ALICE.public): "alice"}


class Work:
    def __init__(self) -> None:
        self.taken: list[Any] = []

    def take(self, item: Any) -> None:
        self.taken.append((zerorpc.current_call().identity, item))

    async def await_it(self, item: Any) -> None:
        await asyncio.sleep(0)
        self.taken.append((zerorpc.current_call().identity, item))

    def stop(self) -> None:
        self.taken.append("stopped")


def by_key(caller: zerorpc.Caller) -> str | None:
    return NAMES.get(caller.key or "")


def curve(pair: KeyPair) -> zerorpc.Curve:
    return zerorpc.Curve(pair.secret, SERVER.public)


def new_puller(work: Work, **options: Any) -> zerorpc.Puller:
    puller = zerorpc.Puller(work, curve=zerorpc.Curve(SERVER.secret), authenticator=by_key, **options)
    puller.bind("tcp://127.0.0.1:0")
    return puller


def test_only_who_is_known_pushes_and_only_what_it_may(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zerorpc.one_way.pusher.LINGER", 0.01)  # s; nobody takes what Eve pushes
    work = Work()
    puller = new_puller(work, authorizer=lambda identity, method: (identity, method) != ("alice", "stop"))
    with on_thread(puller):
        endpoint = puller.endpoints[0]
        with zerorpc.Pusher(curve=curve(EVE)) as eve, zerorpc.Pusher(curve=curve(ALICE)) as alice:
            eve.connect(endpoint)
            alice.connect(endpoint)
            eve.take(0)
            alice.take(1)
            alice.stop()
            alice.nothing()
            alice.await_it(2)
            eventually(lambda: len(work.taken) == 2)
            eventually(lambda: "refused <Caller" in caplog.text)
    assert work.taken == [("alice", 1), ("alice", 2)]
    assert "denied stop to alice" in caplog.text
    assert "NameError: nothing" in caplog.text


def test_who_has_a_pairing_code_only_has_nothing_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The code is for a server that has the same keys."""
    keys = zerorpc.AllowedKeys(tmp_path)
    _, visitor = keys_of_code(keys.pair(zerorpc.Curve(SERVER.secret)))
    work = Work()
    puller = zerorpc.Puller(work, curve=zerorpc.Curve(SERVER.secret), authenticator=keys)
    puller.bind("tcp://127.0.0.1:0")
    with on_thread(puller), zerorpc.Pusher(curve=curve(visitor)) as pusher:
        pusher.connect(puller.endpoints[0])
        pusher.take(1)
        eventually(lambda: "denied take to who has the pairing code" in caplog.text)
    assert work.taken == []


@pytest.mark.parametrize("how", ["run", "serve"])
def test_what_waits_is_not_run_once_its_sender_is_nobody_any_more(
    how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(authentication, "_LOOK_EVERY", 0.01)
    monkeypatch.setattr("zerorpc.one_way.pusher.LINGER", 0.01)

    class Directory:
        known = True
        told = False

        def __call__(self, caller: zerorpc.Caller) -> str | None:
            return by_key(caller) if self.known else None

        def changed(self) -> bool:
            return not self.known

    class Slow(Work):
        def __init__(self) -> None:
            super().__init__()
            self.began, self.may_end = threading.Event(), threading.Event()

        def take(self, item: Any) -> None:
            super().take(item)
            self.began.set()
            self.may_end.wait(PATIENCE)

    work, directory = Slow(), Directory()
    puller = zerorpc.Puller(work, curve=zerorpc.Curve(SERVER.secret), authenticator=directory)
    puller.bind("tcp://127.0.0.1:0")
    if how == "serve":
        puller.run = lambda: run(puller.serve())  # type: ignore[method-assign]
    with on_thread(puller), zerorpc.Pusher(curve=curve(ALICE)) as alice:
        alice.connect(puller.endpoints[0])
        for item in range(3):
            alice.take(item)
        work.began.wait(PATIENCE)
        eventually(lambda: puller._core._arrived.qsize() == 2)
        directory.known = False
        eventually(lambda: "is not any more: its connection ends" in caplog.text)
        work.may_end.set()
        eventually(puller._core._arrived.empty)
    assert work.taken == [("alice", 0)]
    assert caplog.text.count("denied take to alice") == 2


def test_an_event_that_cannot_be_read_is_left_out_which_the_log_says(caplog: pytest.LogCaptureFixture) -> None:
    work = Work()
    with on_thread(zerorpc.Puller(work)) as puller, zerorpc.Pusher() as pusher:
        pusher.connect(puller.bind("tcp://127.0.0.1:0")[0])
        pusher.take([None] * (Limits().values + 1))
        pusher.take(2)
        eventually(lambda: work.taken)
    assert work.taken == [(None, 2)]
    assert "an event was left out: " in caplog.text


def test_on_a_loop() -> None:
    work = Work()

    async def main() -> None:
        puller = new_puller(work)
        serving = asyncio.ensure_future(puller.serve())
        async with zerorpc.Pusher(curve=curve(ALICE)) as pusher:
            pusher.connect(puller.endpoints[0])
            await pusher.take(1)
            await pusher.await_it(2)
            async with asyncio.timeout(PATIENCE):
                while len(work.taken) < 2:  # noqa: ASYNC110 - a list tells nobody
                    await asyncio.sleep(0.001)
        puller.stop()
        await serving

    run(main())
    assert work.taken == [("alice", 1), ("alice", 2)]


def test_without_an_authenticator_there_is_no_identity() -> None:
    work = Work()
    puller = zerorpc.Puller(work)
    puller.bind("tcp://127.0.0.1:0")
    with on_thread(puller), zerorpc.Pusher() as pusher:
        pusher.connect(puller.endpoints[0])
        pusher.take(1)
        eventually(lambda: work.taken)
    assert work.taken == [(None, 1)]


def test_a_subscriber_asks_who_publishes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    work = Work()
    subscriber = zerorpc.Subscriber(work, curve=zerorpc.Curve(SERVER.secret), authenticator=by_key)
    subscriber.bind("tcp://127.0.0.1:0")
    with on_thread(subscriber), zerorpc.Publisher(curve=curve(ALICE)) as publisher:
        publisher.connect(subscriber.endpoints[0])
        publisher.take(0)  # connects; whether it arrives is up to chance: nobody may have subscribed yet
        eventually(lambda: "who is alice" in caplog.text)
        eventually(lambda: (publisher.take(1), ("alice", 1) in work.taken)[1])
    assert {who for who, _ in work.taken} == {"alice"}


def test_by_users_and_passwords(ipc_endpoint: str) -> None:
    work = Work()

    def check(caller: zerorpc.Caller) -> str | None:
        return caller.user if caller.password == "secret" else None

    puller = zerorpc.Puller(work, plain=zerorpc.Plain(), authenticator=check)
    puller.bind(ipc_endpoint)
    with on_thread(puller), zerorpc.Pusher(plain=zerorpc.Plain("alice", "secret")) as pusher:
        pusher.connect(ipc_endpoint)
        pusher.take(1)
        eventually(lambda: work.taken)
    assert work.taken == [("alice", 1)]


def test_a_pusher_that_was_lost_is_forgotten() -> None:
    puller = new_puller(Work())
    with on_thread(puller):
        with zerorpc.Pusher(curve=curve(ALICE)) as pusher:
            pusher.connect(puller.endpoints[0])
            pusher.take(1)
            eventually(lambda: puller._core.hub.links)
        eventually(lambda: not puller._core.hub.links)
        assert repr(puller._core.hub.admission) == "<Admission asking about 0>"


def test_settings() -> None:
    with pytest.raises(TypeError, match="authorizer needs an authenticator"):
        zerorpc.Puller(Work(), authorizer=lambda *_: True)
    with pytest.raises(TypeError, match="authenticator has to be a function, or None, not a str"):
        zerorpc.Puller(Work(), authenticator="alice")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the server's role in CURVE"):
        zerorpc.Puller(Work(), curve=curve(ALICE), authenticator=by_key)
