"""Patterns of method names, and endpoints that other machines reach."""

from __future__ import annotations

from typing import Any

import pytest

import zerorpc
import zerorpc.testing
from tests.certificates import certificates
from zerorpc.exposure import Patterns, is_public

NAMES = ["get", "get_up", "set", "arm.move", "arm.stop", "[x]"]


@pytest.mark.parametrize(
    ("allow", "deny", "exposed"),
    [
        (None, None, NAMES),
        (["get*"], None, ["get", "get_up"]),
        (None, ["get*"], ["set", "arm.move", "arm.stop", "[x]"]),
        (["get*", "set"], ["*_up"], ["get", "set"]),
        (["get"], ["get"], []),
        ([], None, []),
        (None, [], NAMES),
        (["*"], None, NAMES),
        (["arm.*"], None, ["arm.move", "arm.stop"]),
        (["*.stop"], None, ["arm.stop"]),
        (["?et"], None, ["get", "set"]),
        (["[gs]et"], None, ["get", "set"]),
        (["[!g]et"], None, ["set"]),
        (["GET"], None, []),
        (["ge"], None, []),
        (["[[]x]"], None, ["[x]"]),
        (["(", "get"], None, ["get"]),
    ],
)
def test_which_methods_match(allow: Any, deny: Any, exposed: list[str]) -> None:
    patterns = Patterns(allow, deny)
    assert [name for name in NAMES if patterns.admit(name)] == exposed


def test_a_name_ends_where_it_ends() -> None:
    assert not Patterns(["get"]).admit("get\n")
    assert Patterns(None, ["set*"]).admit("reset")
    assert not Patterns(None, ["set*"]).admit("set\nup")


def test_those_that_match_nothing_are_told() -> None:
    patterns = Patterns(["get", "gte"], ["set", "get"])
    assert patterns.idle == ["allow='get'", "allow='gte'", "deny='set'", "deny='get'"]
    patterns.admit("get")
    assert patterns.idle == ["allow='gte'", "deny='set'"]
    assert repr(patterns) == "<Patterns allow=['get', 'gte'] deny=['set', 'get']>"
    assert repr(Patterns()) == "<Patterns allow=None deny=[]>"


# On servers and pullers


class Robot:
    def get(self) -> str:
        return "got"

    def get_up(self) -> str:
        return "up"

    def wipe(self) -> str:
        return "wiped"


def test_a_server_exposes_what_is_allowed_and_not_denied() -> None:
    server = zerorpc.Server(Robot(), allow=["get*", "arm.*"], deny="*up")
    server.register(Robot(), prefix="arm")
    server.register(Robot(), prefix="leg")
    exposed = ["get", "arm.get", "arm.wipe"]
    with zerorpc.testing.client(server) as client:
        assert client("_zerorpc_list") == exposed
        assert list(client("_zerorpc_inspect")["methods"]) == exposed
        assert client.get() == client.arm.get() == "got"
        for denied in ("get_up", "wipe", "leg.get", "arm.get_up", "no_such"):
            with pytest.raises(zerorpc.UnknownMethod) as caught:
                client(denied)
            assert (caught.value.msg, caught.value.ran) == (denied, False)
            with pytest.raises(zerorpc.RemoteError):
                client("_zerorpc_help", denied)
    with pytest.raises(NameError):
        server("wipe")


@pytest.mark.parametrize("kind", [zerorpc.Server, zerorpc.Puller, zerorpc.Subscriber])
@pytest.mark.parametrize("name", ["allow", "deny"])
@pytest.mark.parametrize("value", [5, [5], ["get", None], b"get", {"get": 1}.items()])
def test_what_is_no_pattern(kind: Any, name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=rf'{name} has to be patterns of method names, as \["get_\*"\], or None, not'):
        kind(Robot(), **{name: value})


@pytest.mark.parametrize("kind", [zerorpc.Puller, zerorpc.Subscriber])
def test_a_puller_runs_what_is_allowed(kind: Any) -> None:
    with kind(Robot(), allow=("get*",), deny=["*_up"]) as puller:
        assert puller("get") == "got"
        for denied in ("get_up", "wipe"):
            with pytest.raises(NameError):
                puller(denied)


def test_a_mistyped_pattern_is_told_when_it_serves(caplog: pytest.LogCaptureFixture) -> None:
    server = zerorpc.Server(Robot(), allow=["get*", "arm.*"], deny=["wpie"], name="robot")
    server.register(Robot(), prefix="arm")
    assert caplog.messages == []
    server.stop()
    server.run()
    assert caplog.messages == ["no method of robot matches deny='wpie'"]
    caplog.clear()
    zerorpc.Puller(Robot(), deny="wpie").close()
    assert caplog.messages == ["no method of Robot matches deny='wpie'"]


# Open to the network


@pytest.mark.parametrize(
    ("endpoint", "public"),
    [
        ("tcp://0:1", True),
        ("tcp://*:1", True),
        ("tcp://0.0.0.0:1", True),
        ("tcp://[::]:1", True),
        ("tcp://10.1.2.3:1", True),
        ("tcp://[fe80::1%eth0]:1", True),
        ("tcp://example.org:1", True),
        ("tcp://127.0.0.1.example.org:1", True),
        ("tcp://127.0.0.1:1", False),
        ("tcp://127.1.2.3:1", False),
        ("tcp://localhost:1", False),
        ("tcp://[::1]:1", False),
        ("tcp://[::ffff:127.0.0.1]:1", False),
        ("tcp://[::ffff:10.0.0.1]:1", True),
        ("other://10.0.0.1:1", True),
        ("ipc:///tmp/s", False),
        ("inproc://name", False),
    ],
)
def test_what_is_public(endpoint: str, public: bool) -> None:
    assert is_public(endpoint) == public


@pytest.mark.parametrize("kind", [zerorpc.Server, zerorpc.Puller, zerorpc.Subscriber])
def test_one_that_other_machines_may_reach_warns_once(kind: Any, caplog: pytest.LogCaptureFixture) -> None:
    with kind(Robot()) as socket:
        (endpoint,) = socket.bind("tcp://0:0")
        (told,) = caplog.messages
        assert told.startswith(f"{endpoint} is open to the network, and whoever reaches it can call what is exposed: ")
        assert "anyone_may_call=True" in told
        assert [record.name for record in caplog.records] == ["zerorpc.server"]
        socket.unbind(endpoint)
        socket.bind(endpoint)
        assert len(caplog.messages) == 1
        socket.bind(["tcp://127.0.0.1:0", "tcp://[::1]:0", "inproc://robot"])
        assert len(caplog.messages) == 1
        socket.bind("tcp://*:*")
        assert len(caplog.messages) == 2


@pytest.mark.parametrize("kind", [zerorpc.Server, zerorpc.Puller, zerorpc.Subscriber])
def test_no_warning_if_that_is_meant(kind: Any, caplog: pytest.LogCaptureFixture) -> None:
    with kind(Robot(), anyone_may_call=True) as socket:
        socket.bind("tcp://0:0")
    assert caplog.messages == []


def test_clients_and_pushers_say_nothing(caplog: pytest.LogCaptureFixture) -> None:
    for kind in (zerorpc.Client, zerorpc.Pusher):
        with kind() as socket:
            socket.bind("tcp://0:0")
    assert caplog.messages == []


def test_who_is_asked_for_a_certificate_may_call_from_anywhere(caplog: pytest.LogCaptureFixture) -> None:
    made = certificates()
    serves = made.serves
    asks = zerorpc.Tls(serves.certificate, serves.key, ca=made.trusts.ca)
    accepts = zerorpc.Tls(serves.certificate, serves.key, ca=made.trusts.ca, client_certificates="accepted")
    for tls, warnings in ((asks, 0), (serves, 1), (accepts, 1)):
        caplog.clear()
        with zerorpc.Server(Robot(), tls=tls) as server:
            server.bind("tls+tcp://0:0")
            assert len(caplog.messages) == warnings
            server.bind("tcp://0:0")  # open beside it
            assert len(caplog.messages) == warnings + 1
