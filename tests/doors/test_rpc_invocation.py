"""A zerorpc request as an invocation."""

from __future__ import annotations

from typing import Any

import pytest

import zerorpc
from zerorpc.doors.rpc_invocation import RpcInvocation
from zerorpc.protocol.events import USUAL_TIMEOUT, decode, encode
from zerorpc.protocol.server_channel import ServerChannel


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({}, 30),
        ({"_zpc_timeout": 5}, 5),
        ({"_zpc_timeout": 0.25}, 0.25),
        ({"_zpc_timeout": None}, float("inf")),
        ({"_zpc_timeout": float("inf")}, float("inf")),
        ({"_zpc_timeout": 1e300}, 1e300),
        ({"_zpc_timeout": -1.0}, -1),
        ({"_zpc_timeout": "soon"}, 30),
        ({"_zpc_timeout": float("nan")}, 30),
        ({"_zpc_timeout": True}, 30),
        ({"_zpc_timeout": [1]}, 30),
    ],
)
def test_a_caller_says_how_long_it_waits_or_is_taken_to_be_like_most(header: dict[str, Any], expected: float) -> None:
    assert invocation({"message_id": b"1", "v": 3, **header}).patience == expected


@pytest.mark.parametrize(
    ("said", "expected"), [({}, 1), ({"attempt": None}, 1), ({"attempt": 1}, 1), ({"attempt": 2}, 2)]
)
def test_which_attempt_it_is(said: dict[str, Any], expected: int) -> None:
    found = invocation({"message_id": b"1", "v": 3, "_zpc_call": said})
    found.channel.heed_header(0.0)
    assert found.channel.problem is None
    assert found.attempt == expected


def test_all_clients_wait_for_what_is_usual() -> None:
    with zerorpc.Client() as client:
        assert client._core.timeout == USUAL_TIMEOUT
    assert zerorpc.AsyncClient()._core.timeout == USUAL_TIMEOUT


def invocation(header: dict[str, Any]) -> RpcInvocation:
    data = encode(header, "f", [])
    channel = ServerChannel(None, b"1", decode(data), data, None)  # type: ignore[arg-type]  # nothing is sent
    return RpcInvocation(None, "f", [], channel, None)  # type: ignore[arg-type]
