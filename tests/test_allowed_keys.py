"""``zerorpc.AllowedKeys``: whose key is in the folder is let in, and who is taken out loses the connection."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import zerorpc
from tests.service.running import PATIENCE, eventually, serving
from zerorpc import allowed_keys
from zerorpc.callers import Caller
from zerorpc.keys import KeyPair, encode_z85, write_certificates, write_public
from zerorpc.pairing import keys_of_code
from zerorpc.transport import authentication

SERVER, ALICE, BOB = KeyPair.generate(), KeyPair.generate(), KeyPair.generate()
CURVE = zerorpc.Curve(SERVER.secret)


@pytest.fixture(autouse=True)
def looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowed_keys, "_LOOK_EVERY", 0.0)
    monkeypatch.setattr(authentication, "_LOOK_EVERY", 0.01)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_certificates(tmp_path, "alice", ALICE)
    return tmp_path


def who(keys: zerorpc.AllowedKeys, pair: KeyPair) -> Any:
    return keys(Caller("tcp://192.0.2.1:1", "x", key=encode_z85(pair.public)))


def curve(pair: KeyPair) -> zerorpc.Curve:
    return zerorpc.Curve(pair.secret, SERVER.public)


class Robot:
    def __init__(self) -> None:
        self.waits = threading.Event()

    def me(self) -> Any:
        return zerorpc.current_call().identity

    async def wait(self) -> None:
        self.waits.set()
        await asyncio.Event().wait()


# Who


def test_who_has_a_key_is_called_as_its_file(folder: Path) -> None:
    keys = zerorpc.AllowedKeys(folder)
    assert (who(keys, ALICE), who(keys, BOB)) == ("alice", None)
    assert keys(Caller("ipc:///run/x", "x")) is None
    assert repr(keys) == f"<AllowedKeys {str(folder)!r}: 1>"


def test_others_are_for_somebody_else_to_say(folder: Path) -> None:
    keys = zerorpc.AllowedKeys(folder, others=lambda caller: caller.endpoint)
    assert who(keys, ALICE) == "alice"
    assert who(keys, BOB) == "tcp://192.0.2.1:1"
    assert keys(Caller("ipc:///run/x", "x")) == "ipc:///run/x"


def test_of_two_files_with_one_key_the_first_counts(folder: Path) -> None:
    write_public(folder, "aaron", ALICE.public)
    assert who(zerorpc.AllowedKeys(folder), ALICE) == "aaron"


def test_what_is_no_key_lets_nobody_in(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "bad.key").write_text("no key")
    (folder / ".key").write_text((folder / "alice.key").read_text())
    (folder / "gone.key").symlink_to(folder / "nothing.key")
    (folder / "a folder.key").mkdir()
    write_public(folder, "bob", BOB.public)
    (folder / "bob.key").rename(folder / "bob.txt")
    keys = zerorpc.AllowedKeys(folder)
    assert repr(keys).endswith(": 1>")
    assert [record.getMessage().partition(" lets")[0] for record in caplog.records] == [
        str(folder / "a folder.key"),
        str(folder / "bad.key"),
    ]


def test_a_folder_that_cannot_be_read(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        zerorpc.AllowedKeys(folder / "missing")
    with pytest.raises(NotADirectoryError):
        zerorpc.AllowedKeys(folder / "alice.key")
    with pytest.raises(TypeError, match="folder has to be a path, not a int"):
        zerorpc.AllowedKeys(1)  # type: ignore[arg-type]


# Changes


def test_a_change_is_seen(folder: Path) -> None:
    keys = zerorpc.AllowedKeys(folder)
    assert not keys.changed()
    write_public(folder, "bob", BOB.public)
    assert who(keys, BOB) == "bob"
    assert keys.changed()  # also if it was seen before by who came
    assert not keys.changed()
    os.unlink(folder / "bob.key")
    assert keys.changed()
    assert who(keys, BOB) is None


def test_a_file_that_is_written_anew(folder: Path) -> None:
    keys = zerorpc.AllowedKeys(folder)
    text = (folder / "alice.key").read_text().replace(encode_z85(ALICE.public), encode_z85(BOB.public))
    (folder / "alice.key").write_text(text + "\n")
    assert (who(keys, ALICE), who(keys, BOB)) == (None, "alice")


def test_a_file_that_may_be_read_from_now_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its size nor its time of change tells that."""
    monkeypatch.setattr(allowed_keys, "read_certificate", lambda path: os.close(os.open(path + "?", os.O_RDONLY)))
    keys = zerorpc.AllowedKeys(folder)
    assert who(keys, ALICE) is None
    monkeypatch.undo()
    (folder / "alice.key").chmod(0o600)
    assert keys.changed()
    assert who(keys, ALICE) == "alice"


def test_files_that_cannot_be_read_just_now_change_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody was let in any more, until the folder changed again."""
    keys = zerorpc.AllowedKeys(folder)

    def fail(path: str) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)

    write_public(folder, "bob", BOB.public)
    with monkeypatch.context() as without_descriptors:
        without_descriptors.setattr(allowed_keys, "read_certificate", fail)
        for _ in range(3):
            assert not keys.changed()
        assert who(keys, ALICE) == "alice"
    assert caplog.text.count("go on to count") == 1
    assert keys.changed()
    assert (who(keys, ALICE), who(keys, BOB)) == ("alice", "bob")


def test_a_key_that_comes_and_goes_between_two_looks_was_a_change(folder: Path) -> None:
    """Its caller may have been let in meanwhile."""
    keys = zerorpc.AllowedKeys(folder)
    write_public(folder, "bob", BOB.public)
    assert who(keys, BOB) == "bob"
    os.unlink(folder / "bob.key")
    assert keys.changed()


def test_a_folder_that_is_gone_changes_nothing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys = zerorpc.AllowedKeys(folder)
    away = folder.rename(folder.with_name("away"))
    for _ in range(3):
        assert not keys.changed()
        assert who(keys, ALICE) == "alice"
    assert caplog.text.count("go on to count") == 1
    away.rename(folder)
    os.unlink(folder / "alice.key")
    assert keys.changed()
    assert who(keys, ALICE) is None


def test_how_often_it_looks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowed_keys, "_LOOK_EVERY", 1.0)
    now = [0.0]
    monkeypatch.setattr(allowed_keys, "monotonic", lambda: now[0])
    keys = zerorpc.AllowedKeys(folder)
    os.unlink(folder / "alice.key")
    assert who(keys, ALICE) == "alice"
    now[0] = 1.0
    assert who(keys, ALICE) is None


def test_whose_key_is_taken_out_loses_the_connection_and_nobody_else_does(folder: Path) -> None:
    write_public(folder, "bob", BOB.public)
    keys = zerorpc.AllowedKeys(folder)
    robot = Robot()
    with serving(robot, curve=CURVE, authenticator=keys) as server:
        endpoint = server.endpoints[0]
        with (
            zerorpc.Client(endpoint, curve=curve(ALICE), timeout=PATIENCE) as alice,
            zerorpc.Client(endpoint, curve=curve(BOB), timeout=PATIENCE) as bob,
            zerorpc.Client(endpoint, curve=curve(ALICE), timeout=PATIENCE) as waiting,
        ):
            assert (alice.me(), bob.me(), waiting.me()) == ("alice", "bob", "alice")
            running = waiting.wait(async_=True)
            assert robot.waits.wait(PATIENCE)
            links = set(server._core.hub.links)
            os.unlink(folder / "alice.key")
            with pytest.raises(zerorpc.LostRemote):  # what ran is lost, and ends
                running.get(PATIENCE)
            eventually(lambda: len(server._core.hub.links & links) == 1)
            assert bob.me() == "bob"
            with pytest.raises(zerorpc.HandshakeFailed, match="this server doesn't know you"):
                alice.me()
            write_public(folder, "alison", ALICE.public)
            with zerorpc.Client(endpoint, curve=curve(ALICE), timeout=PATIENCE) as again:
                assert again.me() == "alison"


def test_servers_that_share_the_keys_are_all_told(folder: Path) -> None:
    """Only the first that asked was, and the other one's connections went on."""
    keys = zerorpc.AllowedKeys(folder)
    with (
        serving(Robot(), curve=CURVE, authenticator=keys) as one,
        serving(Robot(), curve=CURVE, authenticator=keys) as other,
        zerorpc.Client(one.endpoints[0], curve=curve(ALICE), timeout=PATIENCE) as here,
        zerorpc.Client(other.endpoints[0], curve=curve(ALICE), timeout=PATIENCE) as there,
    ):
        assert (here.me(), there.me()) == ("alice", "alice")
        links = [*one._core.hub.links, *other._core.hub.links]
        os.unlink(folder / "alice.key")
        eventually(lambda: not any(link in server._core.hub.links for link in links for server in (one, other)))


def test_what_others_say_may_change(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    path = write_public(tmp_path / "more", "bob", BOB.public)
    keys = zerorpc.AllowedKeys(folder, others=zerorpc.AllowedKeys(tmp_path / "more"))
    assert who(keys, BOB) == "bob"
    assert not keys.changed()
    os.unlink(path)
    assert keys.changed()
    assert who(keys, BOB) is None
    assert not keys.changed()


# Pairing


def test_a_client_with_the_code_gets_its_key_in_and_learns_the_servers(folder: Path) -> None:
    keys = zerorpc.AllowedKeys(folder)
    with serving(Robot(), curve=CURVE, authenticator=keys, authorizer=lambda *_: True) as server:
        endpoint = server.endpoints[0]
        known_by, visitor = keys_of_code(keys.pair(CURVE).upper().replace("0", "O"))
        with zerorpc.Client(endpoint, curve=zerorpc.Curve(visitor.secret, known_by.public), timeout=PATIENCE) as client:
            assert client._zerorpc_list() == ["pair"]
            with pytest.raises(zerorpc.UnknownMethod):
                client.me()
            with pytest.raises(zerorpc.RemoteError, match="a name and a key are needed"):
                client.pair("bob", b"short")
            assert client.pair("bob", BOB.public) == [SERVER.public, "bob"]
            with pytest.raises((zerorpc.RemoteError, zerorpc.LostRemote, zerorpc.HandshakeFailed)):
                client.pair("eve", KeyPair.generate().public)
        with zerorpc.Client(endpoint, curve=curve(BOB), timeout=PATIENCE) as bob:
            assert bob.me() == "bob"
        with (
            pytest.raises(zerorpc.HandshakeFailed),
            zerorpc.Client(endpoint, curve=zerorpc.Curve(visitor.secret, known_by.public)) as late,
        ):
            late.pair("eve", KeyPair.generate().public)
    assert sorted(path.name for path in folder.glob("*.key")) == ["alice.key", "bob.key"]


def test_who_has_paired_gets_the_answer_though_the_code_lets_nobody_in_any_more(folder: Path) -> None:
    keys = zerorpc.AllowedKeys(folder)
    looks: list[bool] = []
    watch = keys._zerorpc_watch

    def watching() -> Callable[[], bool]:
        changed = watch()

        def look() -> bool:
            looks.append(bool(changed()))
            return looks[-1]

        return look

    keys._zerorpc_watch = watching  # type: ignore[method-assign]
    with serving(Robot(), curve=CURVE, authenticator=keys) as server:
        known_by, visitor = keys_of_code(keys.pair(CURVE))
        by_code = zerorpc.Curve(visitor.secret, known_by.public)
        with (
            zerorpc.Client(server.endpoints[0], curve=curve(ALICE), timeout=PATIENCE) as alice,
            zerorpc.Client(server.endpoints[0], curve=by_code, timeout=PATIENCE) as client,
        ):
            assert alice.me() == "alice"  # so that somebody is asked about
            assert client.pair("bob", BOB.public) == [SERVER.public, "bob"]
            eventually(lambda: True in looks)
            seen = len(looks)
            eventually(lambda: len(looks) > seen + 1)
            with pytest.raises(zerorpc.RemoteError, match="used already"):  # by the same connection
                client.pair("eve", KeyPair.generate().public)


def test_a_new_code_ends_the_one_before_also_for_who_has_connected_with_it(folder: Path) -> None:
    keys = zerorpc.AllowedKeys(folder)
    with serving(Robot(), curve=CURVE, authenticator=keys) as server:
        known_by, visitor = keys_of_code(keys.pair(CURVE))
        by_code = zerorpc.Curve(visitor.secret, known_by.public)
        with zerorpc.Client(server.endpoints[0], curve=by_code, timeout=PATIENCE) as client:
            assert client._zerorpc_list() == ["pair"]
            keys.pair(CURVE)
            with pytest.raises(zerorpc.RemoteError, match="used already, or is too old"):
                client.pair("bob", BOB.public)
    assert sorted(path.name for path in folder.glob("*.key")) == ["alice.key"]


NAMES = {
    "free": ("bob", BOB, "bob"),
    "taken": ("alice", BOB, "alice-2"),
    "hers, under another name": ("other", ALICE, "alice"),
}


@pytest.mark.parametrize("what", NAMES)
def test_the_name_of_who_pairs(folder: Path, what: str) -> None:
    name, pair, given = NAMES[what]
    keys = zerorpc.AllowedKeys(folder)
    keys.pair(CURVE)
    assert keys._pairing is not None
    assert keys._pairing.pair(name, pair.public) == (SERVER.public, given)
    assert who(keys, pair) == given
    assert who(keys, ALICE) == "alice"


def test_the_server_may_say_who_pairs(folder: Path) -> None:
    """With an authorizer a name is worth something: who pairs as admin would be admin."""
    keys = zerorpc.AllowedKeys(folder)
    keys.pair(CURVE, name="bob")
    assert keys._pairing is not None
    assert keys._pairing.pair("admin", BOB.public) == (SERVER.public, "bob")
    assert who(keys, BOB) == "bob"
    with pytest.raises(ValueError, match="a name has letters"):
        keys.pair(CURVE, name="../bob")


@pytest.mark.parametrize("name", ["", "../bob", ".bob", "-bob", "a/b", "a\0b", "a b", "ä", "x" * 65])
def test_what_is_no_name_for_a_file(folder: Path, name: str) -> None:
    keys = zerorpc.AllowedKeys(folder)
    keys.pair(CURVE)
    assert keys._pairing is not None
    with pytest.raises(ValueError, match="a name has letters"):
        keys._pairing.pair(name, BOB.public)
    assert sorted(path.name for path in folder.iterdir()) == ["alice.key", "alice.key_secret"]
    assert keys._pairing.pair("bob", BOB.public) == (SERVER.public, "bob")  # the code is good for another try


def test_all_names_are_taken(folder: Path) -> None:
    for number in range(2, 100):
        (folder / f"alice-{number}.key").write_text("")
    keys = zerorpc.AllowedKeys(folder)
    keys.pair(CURVE)
    assert keys._pairing is not None
    with pytest.raises(ValueError, match="99 keys called alice already"):
        keys._pairing.pair("alice", BOB.public)


def test_a_second_code_ends_the_first(folder: Path) -> None:
    keys = zerorpc.AllowedKeys(folder)
    first, second = keys_of_code(keys.pair(CURVE)), keys_of_code(keys.pair(CURVE))
    assert keys.pairing_keys == second[0]
    assert who(keys, first[1]) is None
    assert who(keys, second[1]) == "who has the pairing code"


def test_a_second_code_ends_the_first_also_for_who_has_connected_with_it(folder: Path) -> None:
    keys = zerorpc.AllowedKeys(folder)
    with serving(Robot(), curve=CURVE, authenticator=keys) as server:
        known_by, visitor = keys_of_code(keys.pair(CURVE))
        with zerorpc.Client(
            server.endpoints[0], curve=zerorpc.Curve(visitor.secret, known_by.public), timeout=PATIENCE
        ) as client:
            assert client._zerorpc_list() == ["pair"]
            keys.pair(CURVE)
            with pytest.raises(zerorpc.RemoteError, match="used already, or is too old"):
                client.pair("eve", BOB.public)
    assert who(keys, BOB) is None


def test_pairing_needs_the_servers_key(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"pair\(\) needs the server's curve"):
        zerorpc.AllowedKeys(folder).pair(curve(ALICE))


def test_what_is_logged(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    keys = zerorpc.AllowedKeys(folder)
    code = keys.pair(CURVE)
    assert keys._pairing is not None
    keys._pairing.pair("bob", BOB.public)
    assert f"paired: from now on {folder / 'bob.key'} lets in who has the key SHA256:" in caplog.text
    assert "was read again: alice, bob" in caplog.text
    assert code not in caplog.text + repr(keys) + repr(keys._pairing)
