"""A proxy before a real server, in the test's process, which does to connections what a test says."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator

from zerorpc.errors import EndpointError
from zerorpc.testing.faults import Direction, Faults
from zerorpc.transport.endpoints import Endpoint, parse

__all__ = ["Proxy", "proxy"]

_READ_MAX = 64 * 1024
_BUFFER = 64 * 1024  # octets that the system holds of each side, so that a slow link is felt soon
_HELD_MAX = 4 * 1024 * 1024  # octets of one direction that are delayed at once
_PATIENCE = 1.0  # s for the proxy's thread to do what it is told
_TICKS = 20  # parts into which what a slow link does in a second is cut


@contextlib.contextmanager
def proxy(endpoint: str) -> Iterator[Proxy]:
    """A proxy before the server at ``endpoint``, which behaves like a network with faults.

    ::

        with zerorpc.testing.proxy("tcp://127.0.0.1:4242") as link, zerorpc.Client(link.endpoint) as cooler:
            link.delay(0.2)
            ...

    Connect clients, blocking or not, to its ``endpoint``. Its methods are those of ``Faults``; at first nothing is
    wrong. It runs on a thread of its own until the ``with`` block ends, so it may be used in coroutines too.

    Raises EndpointError for what is no ``tcp://``, ``tls+tcp://`` or ``ipc://`` endpoint. The server may come later.
    """
    made = Proxy(endpoint)
    try:
        yield made
    finally:
        made.close()


class Proxy(Faults):
    """What ``proxy`` gives: a link with faults. ``endpoint`` is where clients connect."""

    def __init__(self, endpoint: str) -> None:
        super().__init__()
        self._server = parse(endpoint)
        if self._server.scheme == "inproc":
            raise EndpointError(endpoint, "a proxy needs a server at tcp:// or ipc://")
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self._listening.setblocking(False)
        scheme = "tls+tcp" if self._server.scheme == "tls+tcp" else "tcp"  # TLS passes through
        self.endpoint: str = f"{scheme}://127.0.0.1:{self._listening.getsockname()[1]}"
        self._loop = asyncio.SelectorEventLoop()  # on Windows, too, where the usual one has no add_reader
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._thread.name = "zerorpc-testing-proxy"
        self._ended = asyncio.Event()
        self._thread.start()

    async def _serve(self) -> None:
        tasks: set[asyncio.Task[None]] = set()

        def accept() -> None:
            with contextlib.suppress(OSError):  # it has gone again
                connection = _Connection(self, self._loop, self._listening.accept()[0])
                task = self._loop.create_task(connection.run(self._server))
                tasks.add(task)
                task.add_done_callback(connection.close)  # also if it is cancelled before its first step
                task.add_done_callback(tasks.discard)

        # Not asyncio's server: it leaves open what it has accepted at the moment when it is closed.
        self._loop.add_reader(self._listening, accept)
        await self._ended.wait()
        self._loop.remove_reader(self._listening)
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # for the transports, which end in the loop's next turn

    def close(self) -> None:
        """Cut all connections, and end. Safe to call twice."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join()
        self._loop.close()
        self._listening.close()

    def __repr__(self) -> str:
        return f"<Proxy {self.endpoint} to_server={self.to_server!r} to_client={self.to_client!r}>"


class _Connection:
    """One client's connection and the one to the server that is made for it."""

    def __init__(self, faults: Faults, loop: asyncio.AbstractEventLoop, client: socket.socket) -> None:
        self._faults = faults
        self._loop = loop
        self._pumps: list[_Pump] = []
        self._writers: list[asyncio.StreamWriter] = []
        self._client = client
        self._aborted = False
        client.setblocking(False)
        faults.attach(self)

    async def run(self, server: Endpoint) -> None:
        try:
            reader, writer = await asyncio.open_connection(sock=self._client, limit=_READ_MAX)
            self._writers.append(writer)
            if self._faults.refused or self._aborted:
                raise ConnectionRefusedError
            there, back = await _connect(server)
            self._writers.append(back)
            back.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            self._pumps = [_Pump(reader, back, self._faults.to_server), _Pump(there, writer, self._faults.to_client)]
            async with asyncio.TaskGroup() as both:
                for pump in self._pumps:
                    both.create_task(pump.read())
                    both.create_task(pump.write())
        except* OSError:  # nobody is there, or no more
            pass

    def close(self, _: object) -> None:
        self.abort()
        self._client.close()

    def abort(self) -> None:
        self._aborted = True
        for writer in self._writers:
            writer.transport.abort()

    # In any thread

    def cut(self) -> None:
        self._do(self.abort)

    def changed(self) -> None:
        self._do(self._wake)

    def healed(self) -> None:
        self._do(self._heal)

    def _do(self, act: Callable[[], None]) -> None:
        """Do it in the proxy's thread. When this returns, it is done."""
        done = threading.Event()

        def do() -> None:
            act()
            done.set()

        with contextlib.suppress(RuntimeError):  # the proxy has ended
            self._loop.call_soon_threadsafe(do)
            done.wait(_PATIENCE)

    def _heal(self) -> None:
        if any(pump.swallowed for pump in self._pumps):
            self.abort()
        else:
            self._wake()

    def _wake(self) -> None:
        for pump in self._pumps:
            pump.changed.set()


async def _connect(server: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if server.scheme == "ipc":
        return await asyncio.open_unix_connection(server.unix_address, limit=_READ_MAX)
    return await asyncio.open_connection(server.host, server.port, limit=_READ_MAX)


class _Pump:
    """Moves the octets of one direction, as its faults have it. ``changed`` is set when they are others."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction) -> None:
        self.changed: asyncio.Event = asyncio.Event()
        self.swallowed: bool = False
        self._reader = reader
        self._writer = writer
        self._direction = direction
        self._held: deque[tuple[float, bytes]] = deque()  # and when each came
        self._octets = 0
        self._news = asyncio.Event()  # something is held, or less is
        self._over = False

    async def read(self) -> None:
        """Take what comes, until nothing does any more."""
        loop = asyncio.get_running_loop()
        while data := await self._next():
            if self._direction.swallows:
                self.swallowed = True
                continue
            self._held.append((loop.time(), data))
            self._octets += len(data)
            self._news.set()
            while self._octets >= (_HELD_MAX if self._direction.rate is None else 1):
                self._news.clear()
                await self._news.wait()
        self._over = True
        self._news.set()

    async def _next(self) -> bytes:
        with contextlib.suppress(OSError):
            return await self._reader.read(_READ_MAX)
        return b""  # cut off is over, too

    async def write(self) -> None:
        """Send it on, until that was all. Raises OSError then, and when the other side is gone."""
        loop = asyncio.get_running_loop()
        while True:
            while not self._held and not self._over:
                self._news.clear()
                await self._news.wait()
            if not self._held:
                break
            came, data = self._held.popleft()
            while (wait := came + self._direction.delay - loop.time()) > 0:
                await self._pause(wait)
            await self._send(data)
            self._octets -= len(data)
            self._news.set()
        while self._direction.swallows:  # that it is over
            self.swallowed = True
            await self._pause(None)
        self._writer.close()
        await self._writer.wait_closed()
        raise ConnectionAbortedError("one side has closed")

    async def _send(self, data: bytes) -> None:
        while data:
            rate = self._direction.rate
            size = len(data) if rate is None else max(1, min(len(data), int(rate / _TICKS)))
            if self._direction.swallows:
                self.swallowed = True
                return
            self._writer.write(data[:size])
            await self._writer.drain()
            data = data[size:]
            if rate is not None:
                await self._pause(size / rate)

    async def _pause(self, seconds: float | None) -> None:
        """For so long, unless the faults change."""
        self.changed.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.changed.wait(), seconds)
