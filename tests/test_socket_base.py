"""What all sockets have in common, for each of them: where they listen, what they are connected to, and ``debug``."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Callable
from typing import Any

import pytest

import zerorpc
from tests.service.running import TCP, unused_port

SOCKETS: dict[str, Callable[..., Any]] = {
    "Server": lambda **options: zerorpc.Server({}, **options),
    "Client": zerorpc.Client,
    "AsyncClient": zerorpc.AsyncClient,
    "Pusher": zerorpc.Pusher,
    "Publisher": zerorpc.Publisher,
    "Puller": lambda **options: zerorpc.Puller({}, **options),
    "Subscriber": lambda **options: zerorpc.Subscriber({}, **options),
}
EACH = pytest.mark.parametrize("kind", SOCKETS)


@EACH
def test_endpoints_come_and_go(kind: str, ipc_endpoint: str) -> None:
    sock = SOCKETS[kind]()
    bound = sock.bind([TCP, ipc_endpoint])
    assert sock.endpoints == bound
    assert bound[0] != TCP  # the port that the system chose
    assert bound[1] == ipc_endpoint
    dead = f"tcp://127.0.0.1:{unused_port()}"
    assert sock.connect(dead) == [dead]
    assert dead in repr(sock) or kind == "Server"
    sock.unbind(bound)
    sock.disconnect(dead)
    assert sock.endpoints == []
    sock.close()


@EACH
def test_mistakes_are_told_at_once_and_name_the_endpoint(kind: str) -> None:
    with zerorpc.Server({}) as other:
        taken = other.bind(TCP)[0]
        sock = SOCKETS[kind]()
        with pytest.raises(zerorpc.AddressInUse, match=taken):
            sock.bind(taken)
        for act in (sock.bind, sock.connect):
            with pytest.raises(zerorpc.EndpointError, match=r"'nonsense'.*accepted forms"):
                act("nonsense")
        with pytest.raises(zerorpc.EndpointError, match=f"'{taken}'.*not bound"):
            sock.unbind(taken)
        with pytest.raises(zerorpc.EndpointError, match=f"'{taken}'.*not connected"):
            sock.disconnect(taken)
        sock.close()


@EACH
def test_a_taken_address_is_one_traceback_without_the_systems(kind: str) -> None:
    with zerorpc.Server({}) as other:
        sock = SOCKETS[kind]()
        for endpoint in other.bind([TCP, "inproc://taken"]):
            with pytest.raises(zerorpc.AddressInUse) as raised:
                sock.bind(endpoint)
            assert raised.value.errno == errno.EADDRINUSE
            assert "Traceback" not in "".join(traceback.format_exception(raised.value)[1:])
        sock.close()


@EACH
def test_an_endpoint_that_is_none_is_told_apart_from_one_that_cant_be_used_here(kind: str) -> None:
    sock = SOCKETS[kind]()
    with pytest.raises(zerorpc.EndpointError, match=r"^'tcp:/x' is no endpoint: it has no .*accepted forms") as none:
        sock.bind("tcp:/x")
    assert none.value.malformed
    for endpoint in ("tcp://nowhere.invalid:1", "tcp://192.0.2.1:0", "ipc:///no/such/folder/s"):
        with pytest.raises(zerorpc.EndpointError, match=f"'{endpoint}': it can't be used here: ") as unusable:
            sock.bind(endpoint)
        assert not unusable.value.malformed
        assert "accepted forms" not in str(unusable.value)
    sock.close()


@EACH
def test_a_closed_socket_says_so(kind: str) -> None:
    sock = SOCKETS[kind]()
    sock.close()
    for act in (sock.bind, sock.connect, sock.unbind, sock.disconnect):
        with pytest.raises(zerorpc.Closed, match="closed"):
            act(TCP)


@EACH
def test_an_endpoint_passes_the_contexts_hook_unless_told_not_to(kind: str, ipc_endpoint: str) -> None:
    context = zerorpc.Context()
    context.register_middleware({"resolve_endpoint": lambda endpoint: {"a name": ipc_endpoint}.get(endpoint, endpoint)})
    sock = SOCKETS[kind](context=context)
    assert sock.bind("a name") == sock.endpoints == [ipc_endpoint]
    sock.unbind("a name")
    for act in (sock.bind, sock.connect):
        with pytest.raises(zerorpc.EndpointError, match="'a name'"):
            act("a name", resolve=False)
    sock.close()


@EACH
def test_debug_is_off_until_it_is_put_on(kind: str) -> None:
    sock = SOCKETS[kind]()
    assert sock.debug is False
    sock.debug = True
    assert sock.debug is True
    sock.debug = False
    assert sock.debug is False
    sock.close()
