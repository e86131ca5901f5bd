"""Connections that a proxy makes: whom each of them is for."""

from __future__ import annotations

import asyncio
import socket

from zerorpc.errors import ProtocolError
from zerorpc.logs import Logger
from zerorpc.protocol.liveness import HANDSHAKE_TIMEOUT
from zerorpc.transport.proxy_protocol import ProxyHeader

__all__ = ["caller_behind"]

logger: Logger = Logger("zerorpc.transport")


async def caller_behind(proxy: str, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> str:
    """For whom a proxy connects: its header comes before all else. Raises OSError when there is none."""
    why: Exception
    try:
        async with asyncio.timeout(HANDSHAKE_TIMEOUT):
            return await _read_header(sock, loop) or proxy
    except TimeoutError:
        why = ProtocolError(f"no PROXY protocol header within {HANDSHAKE_TIMEOUT:g} s")
    except ProtocolError as error:
        why = error
    logger.warning("refused %s: %s", proxy, why)
    raise ConnectionAbortedError(str(why))


async def _read_header(sock: socket.socket, loop: asyncio.AbstractEventLoop) -> str | None:
    header = ProxyHeader()
    sock.setblocking(False)
    while header.missing:
        data = await loop.sock_recv(sock, header.missing)
        if not data:
            raise ConnectionResetError("it was closed before its header was whole")
        header.receive(data)
    return header.caller
