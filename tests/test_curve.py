"""``zerorpc.Curve``: what it takes for keys, and that it shows no secret."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest

import zerorpc
from zerorpc.curve import curve_or_none
from zerorpc.keys import KeyPair, encode_z85, write_certificates

PAIR, SERVER = KeyPair.generate(), KeyPair.generate()
SECRET, PUBLIC = encode_z85(PAIR.secret), encode_z85(PAIR.public)


def test_keys_are_text_octets_or_files(tmp_path: Path) -> None:
    public, secret = write_certificates(tmp_path, "me", PAIR)
    server = write_certificates(tmp_path, "server", SERVER)[0]
    for given in (SECRET, SECRET.encode(), PAIR.secret, secret, Path(secret)):
        for server_key in (encode_z85(SERVER.public), SERVER.public, server, Path(server)):
            assert zerorpc.Curve(given, server_key) == zerorpc.Curve(PAIR.secret, SERVER.public)
    assert zerorpc.Curve(server_key=secret).server == PAIR.public  # the file has both
    with pytest.raises(
        ValueError, match=r"me\.key has a public key only: secret_key needs the file whose name ends in"
    ):
        zerorpc.Curve(public)


def test_the_role_and_what_is_shown() -> None:
    server = zerorpc.Curve(PAIR.secret)
    assert (server.public_key, server.server_key) == (PUBLIC, None)
    assert repr(server) == f"<Curve public_key={PUBLIC!r}>"
    client = zerorpc.Curve(PAIR.secret, SERVER.public)
    assert client.server_key == encode_z85(SERVER.public)
    assert repr(client) == f"<Curve public_key={PUBLIC!r}, server_key={client.server_key!r}>"
    for shown in (repr(server), str(client), repr(client.keys)):
        assert SECRET not in shown
        assert repr(PAIR.secret) not in shown


def test_a_client_without_a_key_of_its_own_has_a_new_one_each_time() -> None:
    assert zerorpc.Curve(server_key=SERVER.public) != zerorpc.Curve(server_key=SERVER.public)


def test_it_is_frozen_and_a_value() -> None:
    curve = zerorpc.Curve(PAIR.secret, SERVER.public)
    with pytest.raises(AttributeError, match="a Curve can't be changed"):
        curve.server = None
    with pytest.raises(AttributeError, match="a Curve can't be changed"):
        del curve.keys
    assert curve == copy.copy(curve) == pickle.loads(pickle.dumps(curve))
    assert hash(curve) == hash(copy.deepcopy(curve))
    assert curve != zerorpc.Curve(PAIR.secret)
    assert curve != (curve.keys, curve.server)


@pytest.mark.parametrize("given", [5, bytearray(32), [SECRET], object()], ids=lambda given: type(given).__name__)
def test_what_is_no_key_by_its_type(given: Any) -> None:
    with pytest.raises(TypeError, match="secret_key has to be a key in Z85, 32 bytes or a path, not a "):
        zerorpc.Curve(given)


@pytest.mark.parametrize("given", [b"", bytes(31), bytes(33), SECRET.encode() + b"x", b"\xff" * 40], ids=len)
def test_octets_that_are_no_key(given: bytes) -> None:
    with pytest.raises(ValueError, match="server_key as bytes has to have 32, or be Z85"):
        zerorpc.Curve(server_key=given)


def test_a_mistyped_secret_is_not_shown() -> None:
    for given in (SECRET[:-1], SECRET + "x", SECRET.encode()[:-1]):
        with pytest.raises(ValueError, match="secret_key") as caught:
            zerorpc.Curve(given)
        shown = str(caught.value)
        assert SECRET[:20] not in shown
        assert caught.value.__suppress_context__


def test_neither_key() -> None:
    with pytest.raises(TypeError, match="Curve needs a secret_key"):
        zerorpc.Curve()


@pytest.mark.parametrize("given", [SECRET, PAIR, True, 0, b""], ids=lambda given: type(given).__name__)
def test_a_setting_that_is_no_curve_is_refused_and_not_shown(given: Any) -> None:
    assert curve_or_none("curve", None) is None
    for refuses in (
        lambda: zerorpc.Client(curve=given),
        lambda: zerorpc.AsyncClient(curve=given),
        lambda: zerorpc.Server({}, curve=given),
        lambda: zerorpc.Puller({}, curve=given),
        lambda: zerorpc.Subscriber({}, curve=given),
        lambda: zerorpc.Pusher(curve=given),
        lambda: zerorpc.Publisher(curve=given),
        lambda: zerorpc.Pusher().bind("tcp://127.0.0.1:0", curve=given),
        lambda: zerorpc.Pusher().connect("tcp://127.0.0.1:1", curve=given),
    ):
        with pytest.raises(TypeError, match=r"curve has to be a zerorpc\.Curve, or None, not a ") as caught:
            refuses()
        assert SECRET not in str(caught.value)
