"""``zerorpc.RightsFile``: what the file may say, what follows from it, and what happens when it changes."""

from __future__ import annotations

import errno
import logging
import os
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

import zerorpc
from tests.service.running import PATIENCE, serving
from zerorpc import rights_file
from zerorpc.callers import Caller, Certificate, UnixProcess
from zerorpc.keys import KeyPair, encode_z85

ALICE, SERVER = KeyPair.generate(), KeyPair.generate()
KEY = encode_z85(ALICE.public)

TEXT = f"""
[identities.alice]
keys = ['{KEY}']
certificates = ["alice.example", "spiffe://lab/alice"]
uids = [1000]
roles = ["viewer", "operator"]

[identities.guest]
endpoints = ["ipc://*", "tcp://127.0.0.1:*"]
roles = ["viewer"]

[identities.six]
endpoints = ["tcp://[::1]:*"]
roles = ["viewer"]

[identities.nobody]
endpoints = ["tcp://10.*"]
roles = []

[roles.operator]
allow = ["*"]
deny = ["shut_down"]

[roles.viewer]
allow = ["get_*"]
list = false
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "rights.toml"
    path.write_text(TEXT)
    return path


class Clock:
    """A time that only tests move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def certificate(common_name: str | None, *names: tuple[str, str]) -> Certificate:
    return Certificate(common_name, names, "us", "1", "never", b"")


CALLERS: dict[str, tuple[Caller, str | None]] = {
    "a key": (Caller("tls+tcp://10.0.0.1:1", "x", key=KEY), "alice"),
    "another key": (Caller("tcp://192.0.2.1:1", "x", key=KEY[::-1]), None),
    "a common name": (Caller("tls+tcp://192.0.2.1:1", "x", certificate=certificate("alice.example")), "alice"),
    "an alternative name": (
        Caller("y", "x", certificate=certificate(None, ("DNS", "a"), ("URI", "spiffe://lab/alice"))),
        "alice",
    ),
    "another certificate": (Caller("y", "x", certificate=certificate("alice.example.org")), None),
    "a user": (Caller("ipc:///run/x", "x", process=UnixProcess(1, 1000, 1000)), "alice"),
    "another user": (Caller("ipc:///run/x", "x", process=UnixProcess(1000, 1, 1000)), "guest"),
    "an address": (Caller("tcp://127.0.0.1:4242", "x"), "guest"),
    "another address": (Caller("tcp://128.0.0.1:4242", "x"), None),
    "an IPv6 address": (Caller("tcp://[::1]:4242", "x"), "six"),
    "another IPv6 address": (Caller("tcp://:", "x"), None),
    "no role": (Caller("tcp://10.0.0.1:4242", "x"), "nobody"),
}


@pytest.mark.parametrize("what", CALLERS)
def test_who_a_caller_is(path: Path, what: str) -> None:
    caller, identity = CALLERS[what]
    assert zerorpc.RightsFile(path).identify(caller) == identity


def test_what_an_identity_may_call(path: Path) -> None:
    rights = zerorpc.RightsFile(path)
    for _ in range(2):  # the second time it is known
        assert [rights.permits("alice", name) for name in ("get_x", "move", "shut_down")] == [True, True, False]
        assert [rights.permits("guest", name) for name in ("get_x", "move", "shut_down")] == [True, False, False]
        assert [rights.permits(name, "get_x") for name in ("nobody", "stranger")] == [False, False]
        listing = ("_zerorpc_list", "_zerorpc_inspect", "_zerorpc_help", "_zerorpc_args")
        assert {rights.permits("alice", name) for name in listing} == {True}
        assert {rights.permits("guest", name) for name in listing} == {False}


def test_list_counts_for_a_role_that_allows_all(path: Path) -> None:
    path.write_text('identities.a.roles = ["r"]\n[roles.r]\nallow = ["*"]\nlist = false')
    rights = zerorpc.RightsFile(path)
    assert [rights.permits("a", name) for name in ("x", "_zerorpc_inspect")] == [True, False]


BAD: dict[str, tuple[str, str]] = {
    "no TOML": ("[identities", "rights.toml: Expected ']'"),
    "nothing": ("", "missing required field `identities`"),
    "a word that is none": (TEXT.replace("uids", "uid"), "unknown field `uid` - at `.*identities"),
    "a text for a list": (TEXT.replace("[1000]", '"root"'), "Expected `array`, got `str`"),
    "a text for a number": (TEXT.replace("[1000]", '["root"]'), "Expected `int`, got `str`"),
    "a role that isn't there": (
        TEXT.replace("roles.operator", "roles.operators"),
        "alice has the role operator, which",
    ),
    "an empty name": (TEXT.replace('"ipc://*"', '""'), "Expected `str` of length >= 1"),
    "no roles": (TEXT.replace("roles = []", ""), "missing required field `roles`"),
    "no text": ("\0", "rights.toml: "),
}


@pytest.mark.parametrize("what", BAD)
def test_a_file_that_makes_no_sense(path: Path, what: str) -> None:
    text, why = BAD[what]
    path.write_text(text)
    with pytest.raises(ValueError, match=why):
        zerorpc.RightsFile(path)


def test_a_path_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        zerorpc.RightsFile(tmp_path / "missing.toml")
    with pytest.raises(TypeError, match="path has to be a path"):
        zerorpc.RightsFile(5)  # type: ignore[arg-type]
    (tmp_path / "latin.toml").write_bytes("# grün".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin\.toml: "):
        zerorpc.RightsFile(tmp_path / "latin.toml")


def test_it_is_read_again_when_it_has_changed(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    rights = zerorpc.RightsFile(path, clock)
    assert rights.permits("guest", "move") is False
    path.write_text(TEXT.replace('"get_*"', '"get_*", "move"'))
    assert rights.permits("guest", "move") is False  # nobody has looked yet
    clock.now += 1
    assert rights.permits("guest", "move") is True
    assert caplog.messages == [f"{path} was read again"]
    path.write_text("[identities")
    clock.now += 1
    assert rights.permits("guest", "move") is True
    assert "its last usable state stays in use" in caplog.messages[-1]
    clock.now += 1
    assert rights.permits("guest", "move") is True
    assert len(caplog.messages) == 2  # told once
    path.unlink()
    for _ in range(2):
        clock.now += 1
        assert rights.permits("guest", "move") is True
    assert "No such file or directory" in caplog.messages[2]
    assert len(caplog.messages) == 3
    path.write_text(TEXT.replace("identities.guest", "identities.visitor"))
    clock.now += 1
    assert rights.permits("guest", "get_x") is False
    assert rights.identify(CALLERS["an address"][0]) == "visitor"


def test_after_an_error_of_the_system_it_is_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strangers can have a server run out of descriptors: rights that were taken away meanwhile are not to stay."""
    clock = Clock()
    rights = zerorpc.RightsFile(path, clock)
    path.write_text(TEXT.replace('"get_*"', '"move"'))

    def fails(*_: object) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as out_of_descriptors:
        out_of_descriptors.setattr(rights_file, "open", fails, raising=False)
        clock.now += 1
        assert rights.permits("guest", "get_x") is True
    clock.now += 1
    assert rights.permits("guest", "get_x") is False


def test_while_one_thread_reads_it_others_go_by_what_it_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    rights = zerorpc.RightsFile(path, clock)
    path.write_text(TEXT.replace('"get_*"', '"move"'))
    clock.now += 1
    reads, go_on = threading.Event(), threading.Event()

    def slowly(*args: Any) -> Any:
        reads.set()
        go_on.wait(PATIENCE)
        return open(*args)

    monkeypatch.setattr(rights_file, "open", slowly, raising=False)
    thread = threading.Thread(target=rights.permits, args=("guest", "get_x"))
    thread.start()
    assert reads.wait(PATIENCE)
    assert rights.permits("guest", "get_x") is True  # at once
    go_on.set()
    thread.join(PATIENCE)
    assert rights.permits("guest", "get_x") is False


def test_of_two_threads_that_read_it_the_slow_one_does_not_bring_back_what_was_taken_away(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    rights = zerorpc.RightsFile(path, clock)
    path.write_text(TEXT + "# changed")
    has_read, go_on = threading.Event(), threading.Event()
    convert = msgspec.convert

    def slowly(*args: Any) -> Any:
        made = convert(*args)
        if not has_read.is_set():
            has_read.set()
            go_on.wait(PATIENCE)
        return made

    monkeypatch.setattr(msgspec, "convert", slowly)
    clock.now += 1
    thread = threading.Thread(target=rights.permits, args=("guest", "get_x"))
    thread.start()
    assert has_read.wait(PATIENCE)
    path.write_text(TEXT.replace('"get_*"', '"move"'))
    clock.now += 1
    assert rights.permits("guest", "get_x") is False
    go_on.set()
    thread.join(PATIENCE)
    clock.now += 1  # the slow one was the last, with an older state
    assert rights.permits("guest", "get_x") is False


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_reads_it_too_whatever_the_parent_did(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    rights = zerorpc.RightsFile(path, clock)
    reads, go_on = threading.Event(), threading.Event()

    def slowly(*args: Any) -> Any:
        reads.set()
        go_on.wait(PATIENCE)
        return open(*args)

    path.write_text(TEXT.replace('"get_*"', '"move"'))
    clock.now += 1
    with monkeypatch.context() as slow:
        slow.setattr(rights_file, "open", slowly, raising=False)
        thread = threading.Thread(target=rights.permits, args=("guest", "get_x"))
        thread.start()
        assert reads.wait(PATIENCE)
    child = os.fork()
    if child == 0:
        clock.now += 1
        os._exit(int(rights.permits("guest", "get_x")))
    go_on.set()
    thread.join(PATIENCE)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


class Robot:
    def get_heat(self) -> int:
        return 20

    def move(self) -> str:
        return "moved"

    def shut_down(self) -> str:
        return "down"


def test_a_server_goes_by_it(path: Path) -> None:
    rights = zerorpc.RightsFile(path)
    options: dict[str, Any] = {"authenticator": rights.identify, "authorizer": rights.permits}
    with (
        serving(Robot(), curve=zerorpc.Curve(SERVER.secret), **options) as server,
        zerorpc.Client(
            server.endpoints[0], timeout=PATIENCE, curve=zerorpc.Curve(ALICE.secret, SERVER.public)
        ) as alice,
        zerorpc.Client(server.endpoints[0], timeout=PATIENCE, curve=zerorpc.Curve(server_key=SERVER.public)) as guest,
    ):
        assert (alice.get_heat(), alice.move()) == (20, "moved")
        with pytest.raises(zerorpc.PermissionDenied, match="alice may not call shut_down"):
            alice.shut_down()
        assert guest.get_heat() == 20
        with pytest.raises(zerorpc.UnknownMethod):
            guest.move()
        assert list(alice._zerorpc_inspect()["methods"]) == ["get_heat", "move"]


def test_a_key_that_is_none_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "rights.toml"
    path.write_text('[identities.alice]\nkeys = ["alice.key"]\nroles = []\n[roles]\n')
    with pytest.raises(ValueError, match=r"the keys of alice: 'alice\.key': a key in Z85 has 40 characters, not 9"):
        zerorpc.RightsFile(path)
