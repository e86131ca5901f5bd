"""gRPC's test service, for its interoperability cases (test_grpc_cases.py)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import zerorpc
from tests.service.running import PATIENCE

INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"


class Status(Exception):  # its name and its message travel
    """gRPC's status: code 2, UNKNOWN."""


class GrpcService:
    """The methods of gRPC's test service, with their features. ``running`` counts those that may be endless."""

    def __init__(self) -> None:
        self.running = 0
        self.peers: list[str | None] = []
        self.connections: list[zerorpc.ConnectionEvent] = []
        self.received: list[int] = []  # the sizes of what full_duplex_call got
        self._counting = threading.Lock()

    def empty_call(self) -> dict[str, Any]:
        return {}

    async def unary_call(self, payload: bytes = b"", *, response_size: int = 0, message: str | None = None) -> bytes:
        self.peers.append(zerorpc.current_call().peer)
        echo_metadata()
        if message is not None:
            raise Status(message)
        return bytes(response_size)

    def streaming_output_call(self, sizes: list[int], *, message: str | None = None) -> Iterator[bytes]:
        echo_metadata()
        yield from map(bytes, sizes)
        if message is not None:
            raise Status(message)

    def streaming_input_call(self, payloads: Iterator[bytes]) -> int:
        self._count(1)
        try:
            return sum(map(len, payloads))
        finally:
            self._count(-1)

    async def full_duplex_call(
        self, requests: AsyncIterator[tuple[bytes, int]], *, message: str | None = None
    ) -> AsyncIterator[bytes]:
        """Each request is a payload, and the size of the response."""
        self._count(1)
        try:
            echo_metadata()
            async for payload, response_size in requests:
                self.received.append(len(payload))
                yield bytes(response_size)
            if message is not None:
                raise Status(message)
        finally:
            self._count(-1)

    async def sleeping_call(self) -> None:
        self._count(1)
        try:
            await asyncio.sleep(2 * PATIENCE)
        finally:
            self._count(-1)

    async def sleeping_stream(self, sizes: list[int]) -> AsyncIterator[bytes]:
        self._count(1)
        try:
            for size in sizes:
                yield bytes(size)
            await asyncio.sleep(2 * PATIENCE)
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._counting:
            self.running += change


def echo_metadata() -> None:
    call = zerorpc.current_call()
    if INITIAL in call.metadata:
        call.reply_metadata[INITIAL] = call.metadata[INITIAL]
    if TRAILING in call.metadata:
        call.end_metadata[TRAILING] = call.metadata[TRAILING]
