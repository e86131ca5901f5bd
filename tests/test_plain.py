"""``zerorpc.Plain``: users and passwords, and where they may go."""

from __future__ import annotations

import copy
import os
import pickle
from typing import Any

import pytest
import zmq

import zerorpc
from tests.certificates import certificates
from tests.service.running import PATIENCE, run, serving
from zerorpc.callers import Caller
from zerorpc.keys import KeyPair
from zerorpc.protocol.events import decode, encode

PASSWORDS = {"alice": "secret", "zoë": "пароль \udcff"}
CURVE = zerorpc.Curve(KeyPair.generate().secret)


def check(caller: zerorpc.Caller) -> str | None:
    if caller.user is None:
        return "nobody"
    return caller.user if PASSWORDS.get(caller.user) == caller.password else None


def whoami() -> str | None:
    return zerorpc.current_call().identity


SERVICE = {"whoami": whoami}


def ask(endpoint: str, **options: Any) -> Any:
    with zerorpc.Client(endpoint, timeout=PATIENCE, **options) as client:
        return client.whoami()


def ask_on_loop(endpoint: str, **options: Any) -> Any:
    async def main() -> Any:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE, **options) as client:
            return await client.whoami()

    return run(main())


EITHER_CLIENT = pytest.mark.parametrize("asks", [ask, ask_on_loop])


# Where


@EITHER_CLIENT
@pytest.mark.parametrize("user", PASSWORDS)
def test_by_ipc(asks: Any, user: str, ipc_endpoint: str) -> None:
    plain = zerorpc.Plain(user, PASSWORDS[user])
    with serving(SERVICE, plain=zerorpc.Plain(), authenticator=check, bind=ipc_endpoint) as server:
        assert asks(server.endpoints[0], plain=plain) == user


@EITHER_CLIENT
def test_inside_tls(asks: Any) -> None:
    found = certificates()
    with serving(
        SERVICE, plain=zerorpc.Plain(), authenticator=check, tls=found.serves, bind="tls+tcp://127.0.0.1:0"
    ) as server:
        plain = zerorpc.Plain("alice", "secret")
        assert asks(server.endpoints[0], plain=plain, tls=found.trusts) == "alice"


def test_over_the_network_in_clear_only_if_both_say_so() -> None:
    for refused in (
        lambda: zerorpc.Server(SERVICE, plain=zerorpc.Plain(), authenticator=check).bind("tcp://127.0.0.1:0"),
        lambda: zerorpc.Client("tcp://127.0.0.1:1", plain=zerorpc.Plain("alice", "secret")),
        lambda: zerorpc.Pusher(plain=zerorpc.Plain("alice", "secret")).connect("tcp://127.0.0.1:1"),
        lambda: zerorpc.Client().connect("tcp://127.0.0.1:1", plain=zerorpc.Plain("alice", "secret")),
    ):
        with pytest.raises(zerorpc.EndpointError, match="would send passwords in clear there"):
            refused()
    with serving(SERVICE, plain=zerorpc.Plain(in_clear=True), authenticator=check) as server:
        plain = zerorpc.Plain("alice", "secret", in_clear=True)
        with zerorpc.Client(server.endpoints[0], plain=plain, timeout=PATIENCE) as client:
            assert client.whoami() == "alice"


def test_one_endpoint_with_passwords_one_with_keys_and_an_open_one(ipc_endpoint: str) -> None:
    with serving(SERVICE, authenticator=check) as server:
        open_one = server.endpoints[0]
        by_password = server.bind(ipc_endpoint, plain=zerorpc.Plain())[0]
        by_key = server.bind("tcp://127.0.0.1:0", curve=CURVE)[0]
        with zerorpc.Client(open_one, timeout=PATIENCE) as client:
            assert client.whoami() == "nobody"
        with zerorpc.Client(timeout=PATIENCE) as client:
            client.connect(by_password, plain=zerorpc.Plain("alice", "secret"))
            assert client.whoami() == "alice"
            with pytest.raises(zerorpc.EndpointError, match="another curve= or plain="):
                client.connect(by_password, plain=zerorpc.Plain("alice", "other"))
        key = zerorpc.Curve(server_key=CURVE.public_key)
        with zerorpc.Client(by_key, curve=key, timeout=PATIENCE) as client:
            assert client.whoami() == "nobody"


# Who


REFUSED = {
    "a wrong password": (zerorpc.Plain("alice", "secret "), "this server doesn't know you"),
    "another user": (zerorpc.Plain("bob", "secret"), "this server doesn't know you"),
    "no user": (None, "the peer wants the security mechanism 'PLAIN', here it is 'NULL'.*plain= with user"),
}


@EITHER_CLIENT
@pytest.mark.parametrize("what", REFUSED)
def test_who_is_refused(asks: Any, what: str, ipc_endpoint: str) -> None:
    plain, why = REFUSED[what]
    with serving(SERVICE, plain=zerorpc.Plain(), authenticator=check, bind=ipc_endpoint) as server:
        with pytest.raises(zerorpc.HandshakeFailed, match=why):
            asks(server.endpoints[0], plain=plain)


def test_a_caller_does_not_show_its_password() -> None:
    caller = Caller("ipc:///run/x", "a peer on this machine", user="alice", password="secret")
    assert repr(caller) == "<Caller a peer on this machine at ipc:///run/x: user='alice'>"


# Settings


def test_it_is_a_value_that_does_not_show_the_password() -> None:
    plain = zerorpc.Plain("alice", "secret")
    assert repr(plain) == "<Plain user='alice'>"
    assert repr(zerorpc.Plain()) == "<Plain of a server>"
    assert plain == zerorpc.Plain("alice", "secret") == copy.deepcopy(plain) == pickle.loads(pickle.dumps(plain))
    assert plain != zerorpc.Plain("alice", "secret", in_clear=True)


@pytest.mark.parametrize(
    ("given", "error", "why"),
    [
        (("alice",), TypeError, "Plain needs a user and a password"),
        ((None, "secret"), TypeError, "Plain needs a user and a password"),
        ((b"alice", "secret"), TypeError, "user has to be a text, not a bytes"),
        (("alice", 1), TypeError, "password has to be a text, not a int"),
        (("a" * 256, "secret"), ValueError, "user has more than the 255 octets"),
        (("alice", "ä" * 128), ValueError, "password has more than the 255 octets"),
    ],
)
def test_what_is_refused(given: tuple[Any, ...], error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why):
        zerorpc.Plain(*given)
    zerorpc.Plain("a" * 255, "ä" * 127)


def test_what_does_not_go_together() -> None:
    plain = zerorpc.Plain("alice", "secret")
    with pytest.raises(TypeError, match=r"plain has to be a zerorpc\.Plain, or None, not a tuple"):
        zerorpc.Client(plain=("alice", "secret"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="either CURVE or PLAIN"):
        zerorpc.Client(plain=plain, curve=CURVE)
    with pytest.raises(ValueError, match="needs an authenticator"):
        zerorpc.Server(SERVICE, plain=zerorpc.Plain())
    with pytest.raises(ValueError, match="needs an authenticator"):
        zerorpc.Puller(SERVICE).bind("inproc://plain", plain=zerorpc.Plain())
    with pytest.raises(ValueError, match="the server's role in PLAIN"):
        zerorpc.Server(SERVICE, plain=plain, authenticator=check)
    with zerorpc.Client(curve=zerorpc.Curve(server_key=CURVE.public_key)) as client:
        client.connect("inproc://other", plain=plain)  # in the place of the keys
        client.connect("inproc://none", plain=None)
        secured = [dialer.security for dialer in client._core.hub.dialers.values()]
        assert [(one.curve is None, one.plain) for one in secured] == [(True, plain), (False, None)]
    with zerorpc.Client(plain=plain) as client:
        client.connect("inproc://other", curve=zerorpc.Curve(server_key=CURVE.public_key))
        client.connect("inproc://same", curve=None)
        secured = [dialer.security for dialer in client._core.hub.dialers.values()]
        assert [(one.curve is None, one.plain) for one in secured] == [(False, None), (True, plain)]
        assert repr(secured[1]) == "<Security <Plain user='alice'>>"


def test_libzmqs_client_by_plain(ipc_endpoint: str) -> None:
    """Its request is one that zerorpc 0.6 would send."""
    with (
        serving(SERVICE, plain=zerorpc.Plain(), authenticator=check, bind=ipc_endpoint) as server,
        zmq.Context() as context,
        context.socket(zmq.DEALER) as sock,
    ):
        sock.linger, sock.rcvtimeo = 0, int(PATIENCE * 1000)
        sock.plain_username, sock.plain_password = b"alice", b"secret"
        sock.connect(server.endpoints[0])
        sock.send_multipart([b"", encode({"message_id": os.urandom(16), "v": 3}, "whoami", [])])
        _, reply = sock.recv_multipart()
        assert decode(reply).args == ["alice"]  # type: ignore[union-attr]
