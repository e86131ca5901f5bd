"""Who is let in by an ``authenticator``, and what an ``authorizer`` lets them call."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import zerorpc
import zerorpc.testing
from tests.certificates import certificates
from tests.client.ways import EITHER_CLIENT, Way, blocking
from tests.service.process_services import identity_in_process
from tests.service.running import (
    PATIENCE,
    TCP,
    Program,
    RawPeer,
    connect,
    eventually,
    eventually_async,
    joined,
    run,
    serving,
)
from tests.transport.proxy_headers import IPV4, IPV4_CALLER, header
from zerorpc.callers import UnixProcess
from zerorpc.doors.keyed_calls import _own
from zerorpc.keys import KeyPair, encode_z85
from zerorpc.transport import authentication
from zerorpc.zmtp import SocketType
from zerorpc.zmtp.commands import Command, encode_metadata
from zerorpc.zmtp.greeting import Greeting

SERVER, ALICE, BOB = KeyPair.generate(), KeyPair.generate(), KeyPair.generate()
NAMES = {encode_z85(ALICE.public): "alice", encode_z85(BOB.public): "bob"}
needs_peer_credentials = pytest.mark.skipif(sys.platform != "linux", reason="SO_PEERCRED is Linux's")


# All that a peer says before it is let in
HELLO = Greeting("NULL", False).encode() + Command(b"READY", encode_metadata({"Socket-Type": b"DEALER"})).encode()


def me() -> str | None:
    return zerorpc.current_call().identity


class Robot:
    def plain(self) -> Any:
        return me()

    async def coroutine(self) -> Any:
        await asyncio.sleep(0)
        return me()

    @zerorpc.on_loop
    def quick(self) -> Any:
        return me()

    async def in_a_task(self) -> Any:
        return await asyncio.to_thread(me)

    def generator(self) -> Iterator[Any]:
        yield me()

    in_process = staticmethod(identity_in_process)

    def stop(self) -> str:
        """Stop it."""
        return "stopped"


METHODS = ("plain", "coroutine", "quick", "in_a_task", "generator", "in_process")


def by_key(caller: zerorpc.Caller) -> str | None:
    return NAMES.get(caller.key or "")


def curve(pair: KeyPair) -> zerorpc.Curve:
    return zerorpc.Curve(pair.secret, SERVER.public)


def anybody(_: zerorpc.Caller) -> str:
    return "anybody"


# Who


@needs_peer_credentials
def test_an_ipc_path_a_curve_port_and_a_tls_port_with_different_rights(ipc_endpoint: str) -> None:
    seen: dict[str, zerorpc.Caller] = {}

    def authenticate(caller: zerorpc.Caller) -> str | None:
        name = None
        if caller.process is not None:
            name = f"uid {caller.process.uid}"
        elif caller.certificate is not None:
            name = caller.certificate.common_name
        elif caller.key is not None:
            name = NAMES.get(caller.key)
        if name is not None:
            seen[name] = caller
        return name

    rights = {f"uid {os.getuid()}": {"plain", "stop"}, "alice": {"plain"}, "robot": {"stop"}}
    server = zerorpc.Server(
        Robot(), authenticator=authenticate, authorizer=lambda identity, method: method in rights[identity]
    )
    ipc = server.bind(ipc_endpoint)[0]
    by_curve = server.bind("tcp://127.0.0.1:0", curve=zerorpc.Curve(SERVER.secret))[0]
    by_tls = server.bind("tls+tcp://127.0.0.1:0", tls=certificates().asks)[0]

    def tried(client: zerorpc.Client) -> list[str]:
        with client:
            found = []
            for method in ("plain", "stop", "quick"):
                try:
                    found.append(client(method))
                except zerorpc.RemoteError as error:
                    found.append(error.name)
            return found

    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        uid = f"uid {os.getuid()}"
        assert tried(zerorpc.Client(ipc, timeout=PATIENCE)) == [uid, "stopped", "NameError"]
        assert tried(zerorpc.Client(by_curve, timeout=PATIENCE, curve=curve(ALICE))) == [
            "alice",
            "NameError",
            "NameError",
        ]
        assert tried(zerorpc.Client(by_tls, timeout=PATIENCE, tls=certificates().shows)) == [
            "NameError",
            "stopped",
            "NameError",
        ]
        with pytest.raises(zerorpc.HandshakeFailed, match="this server doesn't know you"):
            tried(zerorpc.Client(by_curve, timeout=PATIENCE, curve=curve(KeyPair.generate())))
    finally:
        server.stop()
        thread.join(PATIENCE)
    assert seen[uid].process == UnixProcess(os.getpid(), os.getuid(), os.getgid())
    assert [caller.endpoint for caller in seen.values()] == [ipc, by_curve, by_tls]
    assert seen["alice"].key == encode_z85(ALICE.public)
    assert seen["alice"].peer.startswith("tcp://127.0.0.1:")
    assert seen["robot"].peer.startswith("tls+tcp://127.0.0.1:")
    assert ("DNS", "robot.cooler.example") in seen["robot"].certificate.names  # type: ignore[union-attr]
    assert "alice" not in repr(seen["alice"])
    assert "certificate of 'robot'" in repr(seen["robot"])


@needs_peer_credentials
def test_the_process_of_a_proxy_is_not_the_callers(ipc_endpoint: str) -> None:
    seen: list[zerorpc.Caller] = []

    def authenticate(caller: zerorpc.Caller) -> str:
        seen.append(caller)
        return "somebody"

    with (
        serving(Robot(), bind=ipc_endpoint, proxy_protocol=True, authenticator=authenticate),
        connect(ipc_endpoint) as sock,
    ):
        sock.sendall(header(0x11, IPV4))
        peer = RawPeer(sock)
        peer.handshake()
        peer.send({"message_id": b"1", "v": 3}, "plain", [])
        assert peer.next_event().args == ["somebody"]
    assert [(caller.endpoint, caller.process) for caller in seen] == [(ipc_endpoint, None)]
    assert seen[0].peer == IPV4_CALLER


@pytest.mark.parametrize("endpoint", ["inproc://admission", "ipc://@zerorpc-admission"])
def test_where_a_caller_has_come_to_if_that_is_no_file(endpoint: str) -> None:
    with (
        serving(Robot(), bind=endpoint, authenticator=lambda caller: caller.endpoint),
        zerorpc.Client(endpoint, timeout=PATIENCE) as client,
    ):
        assert client.plain() == ("inproc://" if endpoint.startswith("inproc") else endpoint)


def test_what_fails_while_one_is_let_in_ends_its_connection(caplog: pytest.LogCaptureFixture) -> None:
    def ready(_: Any) -> None:
        raise ValueError("a bug")

    with serving(Robot(), authenticator=anybody) as server:
        server._core.door.peer_ready = ready  # type: ignore[method-assign]
        with zerorpc.Client(server.endpoints[0]) as client:
            call = client("plain", async_=True)
            eventually(lambda: "could not be let in" in caplog.text)
            assert not call.done()
        eventually(lambda: not server._core.hub.links)


@EITHER_CLIENT
@pytest.mark.parametrize("method", METHODS)
def test_a_method_of_each_kind_knows_who_calls(way: Way, method: str) -> None:
    with serving(Robot(), authenticator=anybody) as server:
        assert way(server.endpoints[0], lambda client: client(method)) in ("anybody", ["anybody"])


def test_without_an_authenticator_there_is_no_identity() -> None:
    with joined(Robot()) as client:
        assert [client.plain(), client.quick(), client.in_process()] == [None, None, None]


async def as_coroutine(caller: zerorpc.Caller) -> str | None:
    await asyncio.sleep(0)
    return by_key(caller)


class AsObject:
    async def __call__(self, caller: zerorpc.Caller) -> str | None:
        return by_key(caller)


ACCEPTED: dict[str, Any] = {
    "a function": by_key,
    "a coroutine function": as_coroutine,
    "an object": AsObject(),
    "a function that returns something to await": lambda caller: as_coroutine(caller),  # noqa: PLW0108 - a coroutine function would be another form
}


@pytest.mark.parametrize("form", ACCEPTED)
def test_an_authenticator_of_each_form(form: str) -> None:
    with serving(Robot(), authenticator=ACCEPTED[form], curve=zerorpc.Curve(SERVER.secret)) as server:
        endpoint = server.endpoints[0]
        with zerorpc.Client(endpoint, timeout=PATIENCE, curve=curve(BOB)) as client:
            assert client.plain() == "bob"
        with (
            zerorpc.Client(endpoint, timeout=PATIENCE, curve=curve(KeyPair.generate())) as client,
            pytest.raises(zerorpc.HandshakeFailed, match="doesn't know you") as caught,
        ):
            client.plain()
        assert caught.value.ran is False


def test_a_plain_authenticator_has_a_thread_and_a_coroutine_the_loop() -> None:
    names: list[str] = []

    def plain(_: zerorpc.Caller) -> str:
        names.append(threading.current_thread().name)
        return "x"

    async def coroutine(_: zerorpc.Caller) -> str:
        names.append(threading.current_thread().name)
        return "x"

    for authenticator in (plain, coroutine):
        with joined(Robot(), authenticator=authenticator) as client:
            assert client.plain() == "x"
    assert names == ["zerorpc-authenticator", "under test"]


def raises(error: BaseException) -> Callable[[zerorpc.Caller], str]:
    def authenticate(_: zerorpc.Caller) -> str:
        raise error

    return authenticate


REFUSED: dict[str, Any] = {
    "None": lambda _: None,
    "an error": raises(ValueError("secret reason")),
    "an OSError": raises(OSError("secret reason")),
    "SystemExit": raises(SystemExit(3)),
    "CancelledError": raises(asyncio.CancelledError()),
    "StopIteration": raises(StopIteration()),
    "a number": lambda _: 5,
    "True": lambda _: True,
    "octets": lambda _: b"root",
}


@pytest.mark.parametrize("on_loop", [False, True])
@pytest.mark.parametrize("what", REFUSED)
def test_whatever_is_no_identity_refuses_and_the_server_goes_on(what: str, on_loop: bool) -> None:
    answers: list[Any] = [REFUSED[what], anybody]

    def authenticate(caller: zerorpc.Caller) -> Any:
        return answers[0](caller)

    async def authenticate_on_loop(caller: zerorpc.Caller) -> Any:
        return answers[0](caller)

    with serving(Robot(), authenticator=authenticate_on_loop if on_loop else authenticate) as server:
        with (
            zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client,
            pytest.raises(zerorpc.HandshakeFailed, match="doesn't know you") as caught,
        ):
            client.plain()
        assert "secret" not in str(caught.value)
        del answers[0]
        assert blocking(server.endpoints[0], lambda client: client.plain()) == "anybody"


def test_one_that_takes_long_holds_up_nobody_who_is_in() -> None:
    slow, asked = threading.Event(), threading.Event()

    def authenticate(_: zerorpc.Caller) -> str:
        if asked.is_set():
            slow.wait(PATIENCE)
        asked.set()
        return "somebody"

    with serving(Robot(), authenticator=authenticate) as server, zerorpc.Client(server.endpoints[0]) as inside:
        assert inside.plain() == "somebody"
        waiting = zerorpc.Client(server.endpoints[0], timeout=PATIENCE)
        result = zerorpc.options(waiting, async_=True).plain()
        for _ in range(20):
            assert inside.quick() == "somebody"
        assert not result.done()
        slow.set()
        assert result.get() == "somebody"
        waiting.close()


def test_nobody_is_asked_any_more_about_one_that_is_gone() -> None:
    seen: list[str] = []

    async def authenticate(_: zerorpc.Caller) -> str:
        seen.append("asked")
        try:
            await asyncio.sleep(PATIENCE)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        return "late"

    with serving(Robot(), authenticator=authenticate) as server:
        client = zerorpc.Client(server.endpoints[0], timeout=PATIENCE)
        result = zerorpc.options(client, async_=True).plain()
        eventually(lambda: seen == ["asked"])
        client.close()
        eventually(lambda: seen == ["asked", "cancelled"])
        assert isinstance(result.exception(), zerorpc.Closed)
    with serving(Robot(), authenticator=authenticate) as server, zerorpc.Client(server.endpoints[0]) as client:
        zerorpc.options(client, async_=True).plain()
        eventually(lambda: len(seen) == 3)  # and the server can stop
    assert seen[3:] == ["cancelled"]


def test_strangers_that_come_and_go_get_no_more_threads() -> None:
    go_on = threading.Event()
    running: list[int] = []

    def authenticate(_: zerorpc.Caller) -> str:
        running.append(threading.get_ident())
        go_on.wait(PATIENCE)
        return "late"

    with serving(Robot(), authenticator=authenticate) as server:
        for number in range(8):
            with connect(server.endpoints[0]) as sock:
                sock.sendall(HELLO)
                eventually(lambda number=number: len(running) >= min(number + 1, 4))
                eventually(lambda: server._core.hub.admission._tasks)  # type: ignore[union-attr]
            eventually(lambda: not server._core.hub.links)
        assert len(running) == 4
        go_on.set()
        assert blocking(server.endpoints[0], lambda client: client.plain()) == "late"
        assert len(running) == 5  # those that had gone were asked about no more
        assert len(set(running)) <= 4


REQUEST = b"\x93\x82\xaamessage_id\xa1x\xa1v\x03\xa5count\x90"  # of the method count
EARLY = {
    "a request": b"\x01\x00\x00" + bytes((len(REQUEST),)) + REQUEST,
    "its first octet": b"\x01",
    "the head of a large one": b"\x01\x00\x02" + (1_000_000).to_bytes(8, "big"),
    "the start of a large one": b"\x01\x00\x02" + (1_000_000).to_bytes(8, "big") + bytes(100_000),
}


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("what", EARLY)
def test_what_comes_before_one_is_let_in_ends_the_connection(what: str, at_once: bool) -> None:
    ran: list[str] = []
    asked = threading.Event()

    async def authenticate(_: zerorpc.Caller) -> str:
        asked.set()
        await asyncio.sleep(PATIENCE)
        return "somebody"

    class Counts:
        def count(self) -> None:
            ran.append("count")

    with serving(Counts(), authenticator=authenticate) as server, connect(server.endpoints[0]) as sock:
        sock.sendall(HELLO + (EARLY[what] if at_once else b""))
        if not at_once:
            assert asked.wait(PATIENCE)
            sock.sendall(EARLY[what])
        left = b""
        with contextlib.suppress(ConnectionResetError):  # of what it has sent something was not read
            while chunk := sock.recv(4096):
                left += chunk
        assert b"READY" not in left
        assert asked.is_set() is not at_once
    assert ran == []


def test_a_peer_of_zerorpc_0_6_is_asked_too() -> None:
    with serving(Robot(), authenticator=anybody, authorizer=lambda _, method: method == "plain") as server:
        with RawPeer.to(server.endpoints[0], SocketType.DEALER) as peer:
            peer.send({"message_id": b"1", "v": 3}, "plain", [])
            assert peer.next_event().args == ["anybody"]
            peer.send({"message_id": b"2", "v": 3}, "stop", [])
            assert peer.next_event().args[0] == "NameError"


def test_with_several_processes(tmp_path: Any) -> None:
    program = """
        import zerorpc
        class Robot:
            def who(self):
                return zerorpc.current_call().identity
            def stop(self):
                return "stopped"
        def authenticate(caller):
            return "tcp" if caller.endpoint.startswith("tcp://127.0.0.1:") else None
        server = zerorpc.Server(
            Robot(), processes=2, authenticator=authenticate, authorizer=lambda identity, method: method == "who"
        )
        print(server.bind("tcp://127.0.0.1:0")[0], flush=True)
        server.run()
    """
    with Program(program) as started:
        endpoint = started.line()
        for _ in range(4):
            with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
                assert client.who() == "tcp"
                with pytest.raises(zerorpc.UnknownMethod):
                    client.stop()


def test_in_one_process_for_tests_too() -> None:
    server = zerorpc.Server(Robot(), authenticator=anybody, authorizer=lambda _, method: method != "stop")
    with zerorpc.testing.client(server) as client:
        assert client.plain() == "anybody"
        with pytest.raises(zerorpc.PermissionDenied):
            client.stop()
    refuses = zerorpc.Server(Robot(), authenticator=lambda _: None)
    with zerorpc.testing.client(refuses) as client, pytest.raises(zerorpc.ZeroRPCError):
        zerorpc.options(client, timeout=0.2).plain()


# What


def only(*allowed: str) -> Callable[[str, str], bool]:
    return lambda _, method: method in allowed


@EITHER_CLIENT
def test_to_whom_may_list_a_denied_method_is_denied(way: Way) -> None:
    with serving(Robot(), authenticator=anybody, authorizer=only("plain", "_zerorpc_inspect")) as server:
        with pytest.raises(zerorpc.PermissionDenied, match="anybody may not call stop") as caught:
            way(server.endpoints[0], lambda client: client.stop())
        assert isinstance(caught.value, PermissionError)
        assert (caught.value.name, caught.value.ran, caught.value.method) == ("PermissionError", False, "stop")
        with pytest.raises(zerorpc.UnknownMethod):
            way(server.endpoints[0], lambda client: client.nothing())


@EITHER_CLIENT
@pytest.mark.parametrize("other", ["_zerorpc_list", "_zerorpc_inspect", "_zerorpc_help", "_zerorpc_args", "in_process"])
def test_to_others_a_denied_and_an_unknown_method_look_alike(way: Way, other: str) -> None:
    with serving(Robot(), authenticator=anybody, authorizer=only("plain")) as server:
        told = []
        for method in (other, "nothing"):
            with pytest.raises(zerorpc.UnknownMethod) as caught:
                way(server.endpoints[0], lambda client, method=method: client(method, "stop"))
            error = caught.value
            told.append([error.name, error.msg.replace(method, "*"), str(error).replace(method, "*"), error.ran])
        assert told[0] == told[1]


def test_a_caller_is_told_of_what_it_may_call() -> None:
    allowed = ("plain", "_zerorpc_list", "_zerorpc_inspect", "_zerorpc_help", "_zerorpc_args")
    with joined(Robot(), authenticator=anybody, authorizer=only(*allowed)) as client:
        assert client._zerorpc_list() == ["plain"]
        assert list(client._zerorpc_inspect()["methods"]) == ["plain"]
        assert list(client("_zpc_methods")["methods"]) == ["plain"]
        assert client._zerorpc_ping() == ["pong", "Robot"]
        assert client._zerorpc_args("plain") == [[], None, None, None]
        for method in ("_zerorpc_help", "_zerorpc_args"):
            with pytest.raises(zerorpc.RemoteError) as caught:
                client(method, "stop")
            assert (caught.value.name, caught.value.msg) == ("NameError", "stop")


BAD: dict[str, Any] = {
    "raises": lambda *_: 1 / 0,
    "SystemExit": lambda *_: sys.exit(3),
    "CancelledError": lambda *_: raises(asyncio.CancelledError())(zerorpc.Caller("", "")),
    "a coroutine": lambda *_: asyncio.sleep(0),
    "a truth that is no bool": lambda *_: "yes",
    "None": lambda *_: None,
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_neither_yes_nor_no_is_a_no(what: str) -> None:
    made: list[Any] = []

    def authorize(identity: str, method: str) -> Any:
        made.append(BAD[what](identity, method))
        return made[-1]

    with joined(Robot(), authenticator=anybody, authorizer=authorize) as client:
        for _ in range(2):
            with pytest.raises(zerorpc.UnknownMethod):
                client.plain()
        assert client._zerorpc_ping() == ["pong", "Robot"]
    for each in made:
        if asyncio.iscoroutine(each):
            each.close()


def test_it_is_asked_for_each_call() -> None:
    allowed: set[str] = {"plain"}
    with joined(Robot(), authenticator=anybody, authorizer=lambda _, method: method in allowed) as client:
        assert client.plain() == "anybody"
        allowed.clear()
        with pytest.raises(zerorpc.UnknownMethod):
            client.plain()
        allowed.add("plain")
        assert client.plain() == "anybody"


def test_a_key_belongs_to_who_has_used_it() -> None:
    orders: list[str | None] = []

    class Shop:
        def order(self) -> str | None:
            orders.append(me())
            return me()

    with serving(Shop(), authenticator=by_key, curve=zerorpc.Curve(SERVER.secret)) as server:
        answers = []
        for pair in (ALICE, BOB, ALICE):
            for key in ("k", b"k"):
                with zerorpc.Client(server.endpoints[0], timeout=PATIENCE, curve=curve(pair)) as client:
                    answers.append(zerorpc.options(client, key=key).order())
    assert answers == ["alice", "alice", "bob", "bob", "alice", "alice"]
    assert orders == ["alice", "alice", "bob", "bob"]


def test_a_key_of_a_user_whose_name_is_no_utf_8_is_a_text_for_a_database() -> None:
    keys = [_own(key, identity) for identity in ("\udcff", "\\udcff", "ff", None) for key in ("k", b"k")]
    assert len(set(keys)) == len(keys)
    for key in keys:
        assert isinstance(key, bytes) or key.encode().decode() == key


def test_what_a_method_has_lent_may_be_called() -> None:
    class Lends:
        def lend(self) -> Any:
            return zerorpc.by_reference(Robot())

    with joined(Lends(), authenticator=anybody, authorizer=only("lend")) as client:
        assert client.lend().stop() == "stopped"


# Settings and logs


def test_settings() -> None:
    with pytest.raises(TypeError, match="authorizer needs an authenticator"):
        zerorpc.Server(Robot(), authorizer=lambda *_: True)
    for name in ("authenticator", "authorizer"):
        with pytest.raises(TypeError, match=f"{name} has to be a function, or None, not a str"):
            zerorpc.Server(Robot(), **{"authenticator": anybody, name: "everybody"})  # type: ignore[arg-type]


def test_who_has_the_clients_role_in_curve_cannot_ask() -> None:
    """Its handshake is over for the other side before anybody could be asked."""
    with pytest.raises(ValueError, match="an authenticator needs the server's role in CURVE"):
        zerorpc.Server(Robot(), authenticator=anybody, curve=curve(ALICE))
    with zerorpc.Server(Robot(), authenticator=anybody) as server:
        for opens in (server.bind, server.connect):
            with pytest.raises(ValueError, match="an authenticator needs the server's role in CURVE"):
                opens("tcp://127.0.0.1:4242", curve=curve(ALICE))
        assert server.endpoints == []


def test_the_log_says_who_was_let_in_refused_and_denied(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    answers = ["alice", None]
    with serving(Robot(), authenticator=lambda _: answers.pop(0), authorizer=only("plain")) as server:
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
            client.plain()
            with pytest.raises(zerorpc.UnknownMethod):
                client.stop()
        with zerorpc.Client(server.endpoints[0]) as client, pytest.raises(zerorpc.HandshakeFailed):
            client.plain()
    lines = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "zerorpc.server"]
    assert [level for level, _ in lines] == ["INFO", "WARNING", "WARNING"]
    assert lines[0][1].startswith("let in <Caller tcp://127.0.0.1:")
    assert lines[0][1].endswith("has shown nothing>, who is alice")
    assert lines[1][1] == "denied stop to alice"
    assert lines[2][1].startswith("refused <Caller tcp://127.0.0.1:")


@pytest.mark.parametrize("lists", [False, True])
@pytest.mark.parametrize("authorize", [lambda *_: False, lambda *_: 1 / 0], ids=["says no", "raises"])
def test_calls_that_are_denied_do_not_flood_the_log(
    authorize: Callable[[str, str], Any], lists: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def authorizer(identity: str, method: str) -> Any:
        return True if lists and method == "_zerorpc_inspect" else authorize(identity, method)

    begun = time.monotonic()
    with joined(Robot(), authenticator=anybody, authorizer=authorizer) as client:
        for _ in range(100):
            with pytest.raises(zerorpc.PermissionDenied if lists else zerorpc.UnknownMethod):
                client.plain()
    kinds = Counter(record.getMessage().partition(" ")[0] for record in caplog.records)
    assert set(kinds) <= {"denied", "the"}  # the authorizer raised
    assert all(20 <= count <= 21 + time.monotonic() - begun for count in kinds.values())


def test_strangers_whose_authenticator_fails_do_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    begun = time.monotonic()
    with serving(Robot(), authenticator=raises(OSError("the directory is down"))) as server:
        for _ in range(50):
            with connect(server.endpoints[0]) as sock:
                sock.sendall(HELLO)
                while sock.recv(4096):
                    pass
    kinds = Counter(record.getMessage().partition(" ")[0] for record in caplog.records)
    assert set(kinds) == {"the", "refused"}
    assert all(20 <= count <= 21 + time.monotonic() - begun for count in kinds.values())
    assert "the directory is down" in caplog.text


# Afterwards


class Changing:
    """An authenticator whose answers change. ``on_loop`` or on a thread; ``changed`` may be of either kind, too."""

    def __init__(self, identity: Any = "alice") -> None:
        self.identity = identity
        self.asked = 0
        self.looks = 0
        self.has_changed: Any = False

    def __call__(self, caller: zerorpc.Caller) -> Any:
        self.asked += 1
        return self.identity(caller) if callable(self.identity) else self.identity

    def changed(self) -> Any:
        self.looks += 1
        changed, self.has_changed = self.has_changed, False
        if isinstance(changed, BaseException):
            raise changed
        return changed


class ChangingOnLoop(Changing):
    async def __call__(self, caller: zerorpc.Caller) -> Any:
        return super().__call__(caller)

    async def changed(self) -> Any:
        return super().changed()


@pytest.fixture
def looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "_LOOK_EVERY", 0.001)


@pytest.mark.usefixtures("looking_often")
@pytest.mark.parametrize("kind", [Changing, ChangingOnLoop])
@pytest.mark.parametrize("later", [None, "bob"])
def test_who_is_somebody_else_now_loses_the_connection(kind: type[Changing], later: str | None) -> None:
    authenticator = kind()
    with joined(Robot(), authenticator=authenticator) as client:
        assert client.plain() == "alice"
        authenticator.has_changed = True
        eventually(lambda: authenticator.asked == 2)  # it is the same
        assert client.plain() == "alice"
        authenticator.identity = later
        looks = authenticator.looks
        eventually(lambda: authenticator.looks >= looks + 2)
        assert authenticator.asked == 2  # nothing has changed, as it says
        authenticator.has_changed = True
        if later is None:
            with pytest.raises(zerorpc.HandshakeFailed):
                once_lost(client)
        else:
            assert once_lost(client) == "bob"


def once_lost(client: zerorpc.Client) -> Any:
    """What a call returns on the next connection."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with contextlib.suppress(zerorpc.LostRemote):
            if (found := client.plain()) != "alice":
                return found
    raise AssertionError("its connection goes on")


@pytest.mark.usefixtures("looking_often")
@pytest.mark.parametrize("kind", [Changing, ChangingOnLoop])
def test_what_fails_when_asked_again_changes_nothing_and_is_asked_again(
    kind: type[Changing], caplog: pytest.LogCaptureFixture
) -> None:
    authenticator = kind()
    with joined(Robot(), authenticator=authenticator) as client:
        assert client.plain() == "alice"
        authenticator.has_changed = OSError("the disk is gone")
        eventually(lambda: "asked for whether anything has changed" in caplog.text)
        authenticator.identity = raises(OSError("the directory is down"))
        authenticator.has_changed = True
        eventually(lambda: "the directory is down" in caplog.text)
        assert client.plain() == "alice"
        authenticator.identity = None  # it has not said again that anything has changed
        with pytest.raises(zerorpc.HandshakeFailed):
            once_lost(client)


@pytest.mark.usefixtures("looking_often")
@pytest.mark.parametrize("kind", [Changing, ChangingOnLoop])
def test_one_for_whom_there_is_no_answer_holds_up_nobody_elses(
    kind: type[Changing], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Alice came first, and is asked about first."""
    monkeypatch.setattr(authentication, "ANSWER_MAX", 1.0)
    released = threading.Event()
    known = {encode_z85(ALICE.public): "alice", encode_z85(BOB.public): "bob"}
    slow: set[str] = set()

    def identity(caller: zerorpc.Caller) -> str | None:
        if known[caller.key or ""] in slow:
            released.wait(PATIENCE)
        return known[caller.key or ""]

    async def identity_on_loop(caller: zerorpc.Caller) -> str | None:
        if known[caller.key or ""] in slow:
            await asyncio.sleep(PATIENCE)
        return known[caller.key or ""]

    class OnLoop(Changing):
        async def __call__(self, caller: zerorpc.Caller) -> Any:
            return await identity_on_loop(caller)

    authenticator = Changing(identity) if kind is Changing else OnLoop()
    with serving(Robot(), authenticator=authenticator, curve=zerorpc.Curve(SERVER.secret)) as server:
        with (
            zerorpc.Client(server.endpoints[0], timeout=PATIENCE, curve=curve(ALICE)) as alice,
            zerorpc.Client(server.endpoints[0], timeout=PATIENCE, curve=curve(BOB)) as bob,
        ):
            assert (alice.plain(), bob.plain()) == ("alice", "bob")
            slow.add("alice")
            known[encode_z85(BOB.public)] = "robert"
            authenticator.has_changed = True
            eventually(lambda: "who was bob, is not any more" in caplog.text)
            eventually(lambda: "the authenticator raised TimeoutError, asked for <Caller" in caplog.text)
            slow.clear()
            released.set()
            assert alice.plain() == "alice"


@pytest.mark.usefixtures("looking_often")
@pytest.mark.parametrize("when", ["while it is asked", "just when it has answered", "with its loop"])
def test_a_coroutine_of_an_authenticator_that_nobody_waits_for_any_more_is_dropped(when: str) -> None:
    """Python would warn of it, and that is an error here."""
    asked, go = threading.Event(), threading.Event()

    class Late(Changing):
        def changed(self) -> Any:
            asked.set()
            go.wait(PATIENCE)
            self.looks += 1
            return self.later()

        async def later(self) -> bool:
            return False

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        server = zerorpc.Server(Robot(), authenticator=authenticator)
        endpoint = server.bind(TCP)[0]
        serving = asyncio.create_task(server.serve())
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            assert await client.plain() == "alice"
            await asyncio.to_thread(asked.wait, PATIENCE)
            asking = server._core.authentication
            assert asking is not None
            if when == "while it is asked":
                asking.close()
                await asyncio.sleep(0)
                go.set()
                await eventually_async(lambda: authenticator.looks)
            elif when == "just when it has answered":
                go.set()
                eventually(lambda: len(loop._ready) >= 2)  # it is to be told of the answer, and that a thread is free
                loop.call_soon(asking.close)
        server.stop()
        await serving

    authenticator = Late()
    run(main())
    go.set()
    eventually(lambda: authenticator.looks)
    eventually(lambda: not any("authenticator" in thread.name for thread in threading.enumerate()))


@pytest.mark.usefixtures("looking_often")
def test_what_changes_while_one_is_let_in_counts_for_it_too() -> None:
    """Its authenticator has looked something up, and was told of the change before it has answered."""
    looked_up, answer = threading.Event(), threading.Event()

    class Slow(ChangingOnLoop):
        async def __call__(self, caller: zerorpc.Caller) -> Any:
            found = self.identity
            if caller.peer != first.get("peer", caller.peer):
                looked_up.set()
                await asyncio.to_thread(answer.wait)
            first.setdefault("peer", caller.peer)
            return found

    first: dict[str, str] = {}
    authenticator = Slow()
    with serving(Robot(), authenticator=authenticator) as server:
        endpoint = server.endpoints[0]
        with zerorpc.Client(endpoint, timeout=PATIENCE) as here, zerorpc.Client(timeout=PATIENCE) as late:
            assert here.plain() == "alice"
            late.connect(endpoint)
            thread, found = in_thread(late.plain)
            assert looked_up.wait(PATIENCE)
            authenticator.identity, authenticator.has_changed = "bob", True
            asking = server._core.authentication
            assert asking is not None
            eventually(lambda: asking._changes)
            answer.set()
            thread.join()
            assert found == ["bob"]


def in_thread(act: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(act()))
    thread.start()
    return thread, found


@pytest.mark.usefixtures("looking_often")
def test_nobody_looks_when_nobody_is_there() -> None:
    authenticator = Changing()
    with serving(Robot(), authenticator=authenticator) as server:
        for _ in range(2):
            with zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
                client.plain()
                looks = authenticator.looks
                eventually(lambda looks=looks: authenticator.looks > looks)  # type: ignore[misc]
            watch = server._core.authentication._watch  # type: ignore[union-attr]
            eventually(watch.done)  # type: ignore[union-attr]


def test_a_server_that_asks_who_calls_needs_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    with zerorpc.Server(Robot(), authenticator=anybody) as server:
        server.bind("tcp://0:0")
    assert caplog.records == []


def test_many_that_connect_at_once() -> None:
    async def main() -> None:
        server = zerorpc.Server(Robot(), authenticator=by_key, curve=zerorpc.Curve(SERVER.secret))
        endpoint = server.bind("tcp://127.0.0.1:0")[0]
        serving = asyncio.ensure_future(server.serve())

        async def one(number: int) -> str:
            pair = (ALICE, BOB, KeyPair.generate())[number % 3]
            async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE, curve=curve(pair)) as client:
                try:
                    return str(await client.quick())
                except zerorpc.HandshakeFailed:
                    return "refused"

        found = await asyncio.gather(*(one(number) for number in range(30)))
        assert found == ["alice", "bob", "refused"] * 10
        await eventually_async(lambda: not server._core.hub.links)
        server.stop()
        await serving

    run(main())
