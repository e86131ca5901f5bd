"""Servers that the user trusts, in a file; and the user's own keys."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

import zerorpc
from tests.service.running import PATIENCE, serving
from zerorpc import known_servers
from zerorpc.keys import KeyPair, encode_z85, write_certificates, write_public
from zerorpc.known_servers import KnownServers, known_server, own_keys, settings_folder

ROBOT, OTHER = KeyPair.generate(), KeyPair.generate()
ENDPOINT = "tcp://robot:4242"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Of a user who has never used it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "zerorpc"


def test_a_server_is_trusted_forgotten_and_trusted_with_another_key(home: Path) -> None:
    servers = KnownServers()
    assert (servers.find(ENDPOINT), servers.all(), servers.forget(ENDPOINT)) == (None, {}, False)
    servers.trust(ENDPOINT, ROBOT.public)
    servers.trust("ipc:///run/my robot", OTHER.public)
    assert KnownServers().all() == {ENDPOINT: ROBOT.public, "ipc:///run/my robot": OTHER.public}
    servers.trust(ENDPOINT, OTHER.public)
    assert servers.find(ENDPOINT) == OTHER.public
    assert servers.forget(ENDPOINT)
    assert servers.all() == {"ipc:///run/my robot": OTHER.public}
    assert (home / "known_servers").read_text().count("\n") == 2
    assert sorted(path.name for path in home.iterdir()) == ["known_servers"]
    assert (home.stat().st_mode & 0o777, (home / "known_servers").stat().st_mode & 0o777) == (0o700, 0o600)
    assert repr(servers) == f"<KnownServers {str(home / 'known_servers')!r}>"


def test_several_that_trust_at_once(home: Path) -> None:
    def trust(number: int) -> None:
        KnownServers().trust(f"tcp://robot:{number}", ROBOT.public)

    threads = [threading.Thread(target=trust, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(KnownServers().all()) == 8


def test_one_that_trusts_while_another_one_forgets(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it had written was lost, and so calls went out in clear."""
    KnownServers().trust(ENDPOINT, ROBOT.public)
    trusting = threading.Thread(target=lambda: KnownServers().trust("tcp://other:1", OTHER.public))
    replace = os.replace

    def slow_replace(*paths: str) -> None:
        trusting.start()
        trusting.join(0.1)
        replace(*paths)

    monkeypatch.setattr(os, "replace", slow_replace)
    assert KnownServers().forget(ENDPOINT)
    trusting.join(PATIENCE)
    assert KnownServers().all() == {"tcp://other:1": OTHER.public}


def test_a_last_line_that_was_left_open(home: Path) -> None:
    home.mkdir(parents=True)
    (home / "known_servers").write_text(f"{ENDPOINT} {encode_z85(ROBOT.public)}")
    KnownServers().trust("tcp://other:1", OTHER.public)
    assert KnownServers().all() == {ENDPOINT: ROBOT.public, "tcp://other:1": OTHER.public}


@pytest.mark.parametrize("endpoint", ["ipc:///run/a ", "ipc:///run/a\nipc:///run/b", "ipc:///run/a\u2028"])
def test_what_would_not_be_read_again(endpoint: str) -> None:
    with pytest.raises(ValueError, match="in one line"):
        KnownServers().trust(endpoint, ROBOT.public)
    assert KnownServers().all() == {}


def test_a_symbolic_link_stays_one(home: Path, tmp_path: Path) -> None:
    home.mkdir(parents=True)
    (home / "known_servers").symlink_to(tmp_path / "elsewhere")
    KnownServers().trust(ENDPOINT, ROBOT.public)
    assert KnownServers().forget(ENDPOINT)
    assert (home / "known_servers").is_symlink()
    assert KnownServers().all() == {}


DAMAGED = {
    "half a key": (f"{ENDPOINT} {encode_z85(ROBOT.public)[:20]}\n", "line 1: a key in Z85 has 40 characters"),
    "no key": (f"# comment\n\n{ENDPOINT}\n", "line 3: a key in Z85 has 40 characters"),
    "no endpoint": (f"robot:4242 {encode_z85(ROBOT.public)}\n", "line 1: .*no scheme"),
    "no text": ("\udcff", "can't decode byte 0xff"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_file_is_not_taken_for_an_empty_one(home: Path, what: str) -> None:
    text, why = DAMAGED[what]
    home.mkdir(parents=True)
    (home / "known_servers").write_text(text, errors="surrogateescape")
    with pytest.raises(ValueError, match=why):
        known_server(ENDPOINT)


def test_what_is_no_endpoint() -> None:
    for act in (known_server, KnownServers().find, KnownServers().forget, lambda text: KnownServers().trust(text, b"")):
        with pytest.raises(zerorpc.EndpointError):
            act("robot")


def test_a_server_that_is_not_known() -> None:
    with pytest.raises(LookupError, match=f"zerorpc trust {ENDPOINT}"):
        known_server(ENDPOINT)


def test_own_keys_are_made_once(home: Path) -> None:
    assert own_keys() is None
    assert not home.exists()
    made = own_keys(make=True)
    assert made is not None
    assert (own_keys(), own_keys(make=True)) == (made, made)
    assert (home / "me.key_secret").stat().st_mode & 0o777 == 0o600


def test_two_programs_that_make_own_keys_at_once(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    def come_second(folder: str, name: str, pair: KeyPair) -> tuple[str, str]:
        write_certificates(folder, name, OTHER)
        return write_certificates(folder, name, pair)

    monkeypatch.setattr(known_servers, "write_certificates", come_second)
    assert own_keys(make=True) == OTHER


def test_own_keys_of_which_the_public_one_is_left(home: Path) -> None:
    home.mkdir(parents=True)
    write_public(home, "me", ROBOT.public)
    assert own_keys() is None
    with pytest.raises(ValueError, match=r"has me\.key, and no me\.key_secret"):
        own_keys(make=True)


def test_own_keys_without_the_secret_one(home: Path) -> None:
    home.mkdir(parents=True)
    os.rename(write_public(home, "me", ROBOT.public), home / "me.key_secret")
    with pytest.raises(ValueError, match="has no secret key"):
        own_keys()


def test_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", "/home/alice")
    assert settings_folder() == "/home/alice/.config/zerorpc"
    monkeypatch.setenv("XDG_CONFIG_HOME", "")
    assert settings_folder() == "/home/alice/.config/zerorpc"


def test_a_client_of_a_server_that_is_known() -> None:
    def identity() -> str | None:
        return zerorpc.current_call().identity

    curve = zerorpc.Curve(ROBOT.secret)
    with serving({"identity": identity}, curve=curve, authenticator=lambda caller: caller.key) as server:
        endpoint = server.endpoints[0]
        KnownServers().trust(endpoint, ROBOT.public)
        with zerorpc.Client(endpoint, curve=known_server(endpoint), timeout=PATIENCE) as client:
            assert client.identity() != (mine := own_keys(make=True))
        assert mine is not None
        with zerorpc.Client(endpoint, curve=known_server(endpoint), timeout=PATIENCE) as client:
            assert client.identity() == encode_z85(mine.public)
        KnownServers().trust(endpoint, OTHER.public)
        with (
            zerorpc.Client(endpoint, curve=known_server(endpoint), timeout=PATIENCE) as client,
            pytest.raises(zerorpc.HandshakeFailed) as failed,
        ):
            client.identity()
        assert failed.value.server_key == encode_z85(ROBOT.public)
        assert failed.value.endpoint == endpoint
