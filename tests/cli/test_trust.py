"""``zerorpc trust``: whose key is trusted, pairing, and what calls make of it."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import zerorpc
from tests.certificates import certificates
from tests.service.running import PATIENCE, Program, serving, unused_port
from zerorpc import allowed_keys
from zerorpc.cli import main
from zerorpc.cli.trust import _our_name
from zerorpc.keys import KeyPair, encode_z85, fingerprint, write_certificates
from zerorpc.known_servers import KnownServers, own_keys

SERVER, OTHER = KeyPair.generate(), KeyPair.generate()
CURVE = zerorpc.Curve(SERVER.secret)
SHOWN = fingerprint(SERVER.public)


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(sys, "argv", ["zerorpc"])
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "zerorpc"


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> zerorpc.AllowedKeys:
    monkeypatch.setattr(allowed_keys, "_LOOK_EVERY", 0.0)
    (tmp_path / "keys").mkdir()
    return zerorpc.AllowedKeys(tmp_path / "keys")


@pytest.fixture
def endpoint(keys: zerorpc.AllowedKeys) -> Iterator[str]:
    """A server that lets in whose key is in a folder."""
    with serving({"add": lambda a, b: a + b}, curve=CURVE, authenticator=keys) as server:
        yield server.endpoints[0]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def told(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


# Trusting


@pytest.mark.parametrize(("answer", "trusted"), [("yes\n", True), ("YES \n", True), ("y\n", False), ("", False)])
def test_it_shows_the_key_and_asks(
    endpoint: str, answer: str, trusted: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert main(["trust", endpoint]) == (not trusted)
    shown = told(capsys)
    assert f"{endpoint} shows this key:\n\n    {encode_z85(SERVER.public)}\n    {SHOWN}\n" in shown
    assert KnownServers().all() == ({endpoint: SERVER.public} if trusted else {})
    assert (f"{endpoint} is trusted: {SHOWN}\n" in shown) == trusted
    assert ("it doesn't let you in yet: " in shown) == trusted


def test_without_a_terminal_somebody_has_to_have_decided(endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trust", endpoint]) == 2
    assert "no terminal to ask whether that is right\nadd --fingerprint" in told(capsys)
    assert main(["trust", "--fingerprint", fingerprint(OTHER.public), endpoint]) == 1
    assert f"has the key {SHOWN}, and not {fingerprint(OTHER.public)}: it is not trusted" in told(capsys)
    assert not KnownServers().all()
    assert main(["trust", "--fingerprint", SHOWN, endpoint]) == 0
    assert KnownServers().all() == {endpoint: SERVER.public}
    assert main(["trust", endpoint]) == 0
    assert f"{endpoint} is trusted already: {SHOWN}" in told(capsys)


def test_a_key_that_is_here_already(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    public, _ = write_certificates(tmp_path, "server", SERVER)
    with serving({}, curve=CURVE) as server:
        endpoint = server.endpoints[0]
        assert main(["trust", endpoint, "--yes"]) == 2  # who has its key may call, so that it tells nobody
        assert "doesn't tell its key to strangers\nask its owner for the file" in told(capsys)
        assert main(["trust", "--key", public, endpoint]) == 0
        assert told(capsys) == f"{endpoint} is trusted: {SHOWN}\n"
        assert main(["trust", "--key", "missing.key", "tcp://robot:1"]) == 2
    assert KnownServers().all() == {endpoint: SERVER.public}


def test_a_changed_key_of_the_usual_server(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    named = endpoint.replace("127.0.0.1", "localhost")  # an error alone would have what that was resolved to
    KnownServers().trust(named, OTHER.public)
    monkeypatch.setenv("ZERORPC_ADDRESS", named)
    assert main(["add", "1", "2"]) == 1
    assert f"THE KEY OF {named} HAS CHANGED. Nothing was sent to it.\n" in told(capsys)


def test_a_changed_key_is_refused_loudly(endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    KnownServers().trust(endpoint, OTHER.public)
    for command in (
        [endpoint, "add", "1", "2"],
        [f"--connect={endpoint}", "add", "1", "2"],
        ["bench", endpoint],
        ["trust", "--yes", endpoint],
    ):
        assert main(command) == 1
        shown = told(capsys)
        assert f"THE KEY OF {endpoint} HAS CHANGED. Nothing was sent to it.\n" in shown
        assert f"trusted: {fingerprint(OTHER.public)}\n    now:     {SHOWN}\n" in shown
        assert f"zerorpc trust --replace {endpoint}\n" in shown
    assert KnownServers().find(endpoint) == OTHER.public
    assert main(["trust", "--yes", "--replace", endpoint]) == 0
    assert KnownServers().find(endpoint) == SERVER.public


def test_lists_and_forgets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trust"]) == 0
    assert capsys.readouterr() == ("", "")
    KnownServers().trust("tcp://robot:1", SERVER.public)
    KnownServers().trust("tcp://robot:2", OTHER.public)
    assert main(["trust"]) == 0
    assert capsys.readouterr().out == f"tcp://robot:1 {SHOWN}\ntcp://robot:2 {fingerprint(OTHER.public)}\n"
    assert [main(["trust", "--forget", "tcp://robot:1"]) for _ in range(2)] == [0, 1]
    assert told(capsys) == "tcp://robot:1 is trusted no more\ntcp://robot:1 was not trusted\n"
    assert list(KnownServers().all()) == ["tcp://robot:2"]


def test_a_server_without_keys(capsys: pytest.CaptureFixture[str]) -> None:
    with serving({}) as server:
        assert main(["trust", "--yes", server.endpoints[0]]) == 2
    assert "has no key: it doesn't speak CURVE\nstart it with --curve" in told(capsys)


def test_nobody_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trust", "--timeout", "0.05", f"tcp://127.0.0.1:{unused_port()}"]) == 1
    assert "timeout after 0.05s" in told(capsys)


WRONG = {
    "two addresses": (["tcp://a:1", "tcp://b:1"], "one address at a time"),
    "TLS": (["tls+tcp://a:1"], "TLS has certificates in the place of keys"),
    "a code in the place of an address": (["--pair", "tcp://a:1"], "no address given"),
    "nothing to forget": (["--forget"], "no address given"),
    "no address": (["robot"], "no scheme, such as tcp://"),
    "two lines": (["ipc://a\nb"], "an address in one line"),
    "no code": (["--pair", "1234", "tcp://a:1"], "a pairing code has 12 letters and digits"),
    "no key": (["--key", "1234", "tcp://a:1"], "neither the path of a file that is there, nor a key"),
}


def test_half_of_ones_own_keys(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home.mkdir(parents=True)
    (home / "me.key").touch()
    assert main(["trust", "--pair", "k7qf-9xm2-wzt4", "tcp://127.0.0.1:1"]) == 2
    assert "has me.key, and no me.key_secret" in told(capsys)


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_command_line(what: str, capsys: pytest.CaptureFixture[str], home: Path) -> None:
    words, why = WRONG[what]
    assert main(["trust", *words]) == 2
    assert why in told(capsys)
    assert not home.exists()


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trust", "--help"]) == 0
    assert "--pair code" in capsys.readouterr().out


# Pairing


def test_pairing(endpoint: str, keys: zerorpc.AllowedKeys, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code = keys.pair(CURVE)
    assert main(["trust", "--pair", "0000-0000-0000", endpoint]) == 1
    assert "doesn't know this code: it is mistyped, or was used already, or is too old" in told(capsys)
    assert main(["trust", "--pair", code, "--name", "alice", endpoint]) == 0
    assert told(capsys) == f"{endpoint} is trusted: {SHOWN}\nit knows you as alice\n"
    assert main(["trust", "--pair", code, endpoint]) == 1
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == ["alice.key"]
    assert main(["--json", endpoint, "add", "1", "2"]) == 0
    assert capsys.readouterr().out == "3\n"


def test_who_has_paired_is_called_by_its_keys_elsewhere_too(endpoint: str, keys: zerorpc.AllowedKeys) -> None:
    assert main(["trust", "--pair", keys.pair(CURVE), endpoint]) == 0
    mine = own_keys()
    assert mine is not None
    with zerorpc.Client(endpoint, curve=zerorpc.known_server(endpoint), timeout=PATIENCE) as client:
        assert client.add(1, 2) == 3
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}", _our_name())


def test_without_a_name_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise OSError("no user of this number")

    monkeypatch.setattr("getpass.getuser", fail)
    monkeypatch.setattr("socket.gethostname", lambda: "an odd name.example")
    assert _our_name() == "user@an_odd_name"


def test_a_server_of_the_command_line_shows_a_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each user has a home of their own: first with nothing in it, then started again without a code."""
    home = tmp_path / "server"
    start = f"""
        import os, sys
        os.environ["XDG_CONFIG_HOME"] = {str(home)!r}
        sys.stderr = sys.stdout
        sys.argv = ["zerorpc"]
        from zerorpc.cli import main
        main(sys.argv_given)
    """
    port = unused_port()
    endpoint = f"tcp://127.0.0.1:{port}"
    flags = ["--server", "--bind", endpoint, "--pair-as", "alice", "time"]
    with Program(start.replace("sys.argv_given", repr(flags))) as program:
        lines = [program.line() for _ in range(5)]
        assert lines[0] == f'binding to "{endpoint}"'
        assert lines[1].startswith("its key is SHA256:")
        said = re.fullmatch(r"pairing code (\S+): good once, for 10 minutes; the client's key goes to (.+)", lines[2])
        assert said is not None
        assert said[2] == str(home / "zerorpc" / "allowed_keys")
        assert lines[3] == f"there, type: zerorpc trust --pair {said[1]} address"
        assert main(["trust", "--pair", said[1], "--name", "admin", endpoint]) == 0
        assert lines[1].removeprefix("its key is ") in told(capsys)
        assert main([endpoint, "strftime", "now"]) == 0
        assert capsys.readouterr().out == "'now'\n"
    assert [path.name for path in (home / "zerorpc" / "allowed_keys").iterdir()] == ["alice.key"]
    mine = str(home / "zerorpc" / "me.key_secret")
    flags = ["--server", "--bind", endpoint, "--curve", mine, "--allow-keys", said[2], "time"]
    with Program(start.replace("sys.argv_given", repr(flags))) as program:
        assert [program.line() for _ in range(3)] == [lines[0], lines[1], 'serving "time"']
        assert main([endpoint, "strftime", "again"]) == 0
        assert capsys.readouterr().out == "'again'\n"


def test_a_code_is_not_used_up_where_the_server_cannot_be_remembered(
    endpoint: str, keys: zerorpc.AllowedKeys, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = keys.pair(CURVE)
    (home / "known_servers").mkdir(parents=True)
    assert main(["trust", "--pair", code, endpoint]) == 1
    assert "known_servers" in capsys.readouterr().err
    (home / "known_servers").rmdir()
    assert main(["trust", "--pair", code, endpoint]) == 0


RIGHTS = '[identities.admin]\nuids = [0]\nroles = ["all"]\n[roles.all]\nallow = ["*"]\n'


def test_where_names_have_rights_the_server_says_who_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rights.toml").write_text(RIGHTS)
    flags = ["--server", "--bind", "tcp://127.0.0.1:0", "--rights", str(tmp_path / "rights.toml"), "time"]
    assert main([*flags, "--pair"]) == 2
    assert "a client that pairs would choose its name, and so its rights" in capsys.readouterr().err
    assert main([*flags, "--pair-as", "bob"]) == 2
    assert "rights.toml has no identity bob: who pairs could call nothing" in capsys.readouterr().err
    assert main(["--server", "--bind", "tcp://127.0.0.1:0", "--pair-as", "no name", "time"]) == 2
    assert "a name has letters, digits" in capsys.readouterr().err


def test_a_name_that_has_a_key_is_not_given_again(
    endpoint: str, keys: zerorpc.AllowedKeys, capsys: pytest.CaptureFixture[str]
) -> None:
    write_certificates(Path(keys.folder), "alice", OTHER)
    with pytest.raises(ValueError, match="alice has a key already: remove"):
        keys.pair(CURVE, name="alice")
    code = keys.pair(CURVE, name="bob")
    write_certificates(Path(keys.folder), "bob", KeyPair.generate())  # meanwhile
    assert main(["trust", "--pair", code, endpoint]) == 0
    assert "it knows you as bob-2" in told(capsys)


# Calls


def test_a_call_to_a_server_that_wants_keys_says_what_to_do(endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([endpoint, "add"]) == 1
    assert told(capsys).endswith(f"type: zerorpc trust {endpoint}, or add --curve-server with its public key\n")
    named = endpoint.replace("127.0.0.1", "localhost")  # what is to be trusted is what is typed
    assert main([named, "add"]) == 1
    shown = told(capsys)
    assert f"{named} is encrypted by keys, and you have none for it" in shown
    assert f"type: zerorpc trust {named}, or" in shown


def test_inside_of_tls_keys_come_from_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    with serving({}, bind="tls+tcp://127.0.0.1:0", tls=certificates().serves, curve=CURVE) as server:
        assert main(["--tls-ca", certificates().ca, server.endpoints[0], "add"]) == 1
    shown = told(capsys)
    assert shown.endswith("\nadd --curve-server with its public key\n")
    assert "zerorpc trust" not in shown


def test_a_server_that_is_trusted_and_is_another_one_now_is_refused_loudly(capsys: pytest.CaptureFixture[str]) -> None:
    """One that doesn't tell its key, as nobody is asked who they are; and one that doesn't encrypt any more."""
    with serving({}, curve=CURVE) as server:
        endpoint = server.endpoints[0]
        KnownServers().trust(endpoint, OTHER.public)
        assert main([endpoint, "add"]) == 1
        shown = told(capsys)
        assert f"{endpoint} HAS ANOTHER KEY, AND DOESN'T SAY WHICH. Nothing was sent to it.\n" in shown
        assert f"trusted: {fingerprint(OTHER.public)}\n" in shown
        assert f"zerorpc trust --replace --key server.key {endpoint}\n" in shown
    with serving({}) as server:
        endpoint = server.endpoints[0]
        KnownServers().trust(endpoint, OTHER.public)
        assert main([endpoint, "add"]) == 1
        shown = told(capsys)
        assert f"{endpoint} DOES NOT ENCRYPT ANY MORE. Nothing was sent to it.\n" in shown
        assert f"zerorpc trust --forget {endpoint}\n" in shown


def test_a_wrong_key_is_told_when_it_is_trusted(endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trust", "--key", encode_z85(OTHER.public), endpoint]) == 0
    shown = told(capsys)
    assert f"it has another key than this one: type zerorpc trust --forget {endpoint}, and ask its owner" in shown


def test_a_damaged_list_stops_calls(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home.mkdir(parents=True)
    (home / "known_servers").write_text("tcp://robot:4242 key\n")
    assert main(["tcp://robot:4242", "add"]) == 2
    assert "known_servers, line 1: a key in Z85 has 40 characters" in told(capsys)
    assert main(["robot", "add"]) == 2
    assert "no scheme, such as tcp://" in told(capsys)
    assert main(["trust"]) == 2
    assert "known_servers, line 1: a key in Z85 has 40 characters" in told(capsys)


def test_a_damaged_list_is_nothing_to_a_call_by_keys_that_are_given(
    endpoint: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home.mkdir(parents=True)
    (home / "known_servers").write_text("tcp://robot:4242 key\n")
    assert main(["--curve-server", encode_z85(OTHER.public), endpoint, "add"]) == 1
    assert "has another key than the one that the client was given" in told(capsys)


def test_a_server_that_is_trusted_gets_no_password_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It went there in clear, to whoever was there."""
    monkeypatch.setenv("ZERORPC_PASSWORD", "secret")
    asked: list[object] = []
    with serving({}, plain=zerorpc.Plain(), authenticator=asked.append, bind=f"ipc://{tmp_path}/s") as server:
        endpoint = server.endpoints[0]
        KnownServers().trust(endpoint, SERVER.public)
        assert main(["--user", "alice", endpoint, "add"]) == 2
    assert f"{endpoint} is trusted by its key, and would get a password" in told(capsys)
    assert not asked


def test_keys_that_are_given_count_more(
    endpoint: str, keys: zerorpc.AllowedKeys, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, secret = write_certificates(tmp_path / "keys", "bob", OTHER)
    KnownServers().trust(endpoint, OTHER.public)
    call = ["--curve", secret, "--json", endpoint, "add", "1", "2"]
    assert main(["--curve-server", encode_z85(SERVER.public), *call]) == 0
    KnownServers().trust(endpoint, SERVER.public)
    assert main(call) == 0  # as bob, to a server that is known
    assert capsys.readouterr().out == "3\n3\n"
    assert main(call[2:]) == 1
    assert "this server doesn't know you" in told(capsys)
