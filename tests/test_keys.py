"""Keys as text and in files, and that pyzmq reads what we write, and the reverse."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
import zmq
import zmq.auth
from hypothesis import given
from hypothesis import strategies as st
from zmq.utils import z85

from zerorpc.keys import KeyPair, decode_z85, encode_z85, read_certificate, write_certificates


@given(st.binary(min_size=32, max_size=32))
def test_z85_comes_back_and_is_pyzmqs(key: bytes) -> None:
    text = encode_z85(key)
    assert text.encode() == z85.encode(key)
    assert decode_z85(text) == key


@pytest.mark.parametrize("text", ["", "x" * 39, "x" * 41, "x" * 39 + "~", "x" * 39 + "é", "#" * 40])
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(ValueError, match="key in Z85"):
        decode_z85(text)


def test_a_pair_is_libzmqs() -> None:
    public, secret = zmq.curve_keypair()
    pair = KeyPair.of_secret(decode_z85(secret.decode()))
    assert encode_z85(pair.public).encode() == public
    made = KeyPair.generate()
    assert zmq.curve_public(encode_z85(made.secret).encode()) == encode_z85(made.public).encode()
    assert KeyPair.of_secret(made.secret) == made
    assert made != KeyPair.generate()


def test_a_pair_shows_no_secret() -> None:
    pair = KeyPair.generate()
    for shown in (repr(pair), str(pair), f"{pair}"):
        assert shown == f"<KeyPair {encode_z85(pair.public)}>"


def test_pyzmq_reads_our_files(tmp_path: Path) -> None:
    pair = KeyPair.generate()
    public, secret = write_certificates(tmp_path, "me", pair)
    assert (public, secret) == (str(tmp_path / "me.key"), str(tmp_path / "me.key_secret"))
    texts = encode_z85(pair.public).encode(), encode_z85(pair.secret).encode()
    assert zmq.auth.load_certificate(public) == (texts[0], None)
    assert zmq.auth.load_certificate(secret) == texts
    assert zmq.auth.load_certificates(tmp_path) == {texts[0]: True}
    assert read_certificate(public) == (pair.public, None)
    assert read_certificate(secret) == pair


def test_we_read_pyzmqs_files(tmp_path: Path) -> None:
    public, secret = zmq.auth.create_certificates(tmp_path, "me", {"name": "me", "note": "secret-key = no"})
    keys = zmq.auth.load_certificate(secret)
    assert read_certificate(public) == (decode_z85(keys[0].decode()), None)
    assert read_certificate(Path(secret)) == tuple(decode_z85(key.decode()) for key in keys if key)


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such modes")
def test_a_secret_file_is_its_owners_from_the_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    open_ = os.open
    monkeypatch.setattr(os, "open", lambda path, flags, mode: opened.append(mode) or open_(path, flags, mode))
    before = os.umask(0)
    try:
        public, secret = write_certificates(tmp_path, "me", KeyPair.generate())
    finally:
        os.umask(before)
    assert opened == [0o600, 0o644]
    assert stat.S_IMODE(os.stat(secret).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(public).st_mode) == 0o644


@pytest.mark.parametrize("there", ["me.key", "me.key_secret"])
def test_no_file_is_replaced(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("precious")
    with pytest.raises(FileExistsError):
        write_certificates(tmp_path, "me", KeyPair.generate())
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "precious"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has no public-key"),
        ('curve\n    secret-key = "' + "x" * 40 + '"', "has no public-key"),
        ('curve\n    public-key = "short"', "public-key: a key in Z85 has 40 characters, not 5"),
        ("public-key", "has no public-key"),
        ("\0\xff" * 1000, "has no public-key"),
    ],
)
def test_a_file_that_is_no_certificate(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "file").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=problem):
        read_certificate(tmp_path / "file")


def test_without_pynacl_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nacl.bindings", None)
    for make in (KeyPair.generate, lambda: KeyPair.of_secret(bytes(32))):
        with pytest.raises(ModuleNotFoundError, match=r"CURVE needs PyNaCl: pip install pynacl"):
            make()
