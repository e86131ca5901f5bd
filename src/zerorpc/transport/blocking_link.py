"""One connection over a plain, non-blocking socket, driven by whichever thread leads its hub."""

from __future__ import annotations

import contextlib
import itertools
import socket
from collections import deque
from typing import ClassVar, Protocol

from zerorpc.errors import LostRemote
from zerorpc.protocol.channel import ClientChannel
from zerorpc.protocol.client_peer import ClientPeer
from zerorpc.transport.dialer import LEAVING, Dialer
from zerorpc.transport.endpoints import address_text
from zerorpc.transport.link import Link, Owner, are_joined, lost_connection
from zerorpc.transport.sockets import output_progress
from zerorpc.zmtp import Frame

__all__ = ["BlockingLink"]

_UNSENT_HIGH = 1024 * 1024  # octets unsent to one peer above which it gets no further calls
# Octets a read; the rest of a large frame is read into its place. A reply with 64 KiB comes in one; memory of more than
# 128 KiB would come from the system each time.
_READ_MAX = 96 * 1024
_IN_ONE_GO_MIN = 16 * 1024  # octets missing of a frame for which it is worth looking again
_AT_ONCE_MAX = 64  # frames that are sent in one go; Linux takes 1024


class Polled(Protocol):
    """What polls the sockets of links."""

    links: dict[int, BlockingLink]

    def watch(self, link: BlockingLink, for_writing: bool, /) -> None:
        """Whether to tell when the link's socket takes more."""

    def forget(self, link: BlockingLink, /) -> None:
        """The link is over, its socket not closed yet."""


class BlockingLinks(Protocol):
    """What a link needs of its hub."""

    @property
    def owner(self) -> Owner[BlockingLink, ClientChannel, ClientChannel]: ...

    @property
    def polling(self) -> Polled: ...

    def connect_again(self, dialer: Dialer, why: object, /) -> None:
        """The dialer's connection is over."""


class BlockingLink(Link[ClientChannel, ClientChannel]):
    """One connection over a non-blocking socket. All methods need the hub's lock."""

    __slots__ = (
        "_hub",
        "_reason",
        "_unsent",
        "fileno",
        "leaving",
        "sock",
        "unsent",
        "watched",
    )

    scheme: ClassVar[str] = "tcp"

    peer: ClientPeer

    def __init__(self, hub: BlockingLinks, sock: socket.socket, peer: ClientPeer, dialer: Dialer | None) -> None:
        super().__init__(hub.owner, peer, dialer)
        self.sock: socket.socket = sock
        self.fileno: int = sock.fileno()
        self.leaving: bool = False  # its dialer makes another, or has made it
        self._reason: Exception | None = None  # for which it is over; none if the work on it was interrupted
        self._hub = hub
        self._unsent: deque[memoryview] = deque()
        self.unsent: int = 0
        self.watched: bool = False  # for being writable
        peer.name = self.name

    def read(self, now: float) -> None:
        """Take what the socket has; tell the owner."""
        if self.closed:  # and not finished yet
            return
        peer = self.peer
        decoder = peer.connection.decoder
        data, filled = b"", 0
        try:
            if decoder.body is None:
                data = self.sock.recv(_READ_MAX)
            else:
                filled = self.sock.recv_into(decoder.body_room())
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.lose(lost_connection(self.name, error))
            return
        if data or filled:
            self.act_on(peer.receive_data(data, now, filled))
            if decoder.body is not None and decoder.missing >= _IN_ONE_GO_MIN and not self.closed:
                self._read_on(now)
        else:
            self.lose(lost_connection(self.name))

    def _read_on(self, now: float) -> None:
        """Take what is here of a large frame by now: a look costs less than another round of the poll."""
        decoder = self.peer.connection.decoder
        try:
            filled = self.sock.recv_into(decoder.body_room())
        except OSError:  # nothing yet; what else it is comes again
            return
        if filled:
            self.act_on(self.peer.receive_data(b"", now, filled))

    def flush(self) -> None:
        """Send what the peer has to send, as far as the socket takes it; the rest when it is writable again."""
        connection = self.peer.connection
        output = connection.output
        if not output:
            return
        try:
            connection.output = []  # take_output(), without the call
            if self.closed:
                return
            frames = output
            if len(output) == 1:
                size = len(output[0])
                sent = 0 if self._unsent else self._send(output[0])
            else:
                size = sum(map(len, output))
                if are_joined(len(output), size):
                    output = [b"".join(output)]
                sent = 0 if self._unsent else self._send_several(output)
            if sent < 0:
                connection.output = frames  # of which nothing has left
                self._lose()
            elif sent < size:
                self._keep(output, sent)
        except BaseException:  # Ctrl-C: nobody knows how much of a message is out
            self.peer.writable = False
            self.closed: bool = True
            self.finish()
            raise

    def _keep(self, output: list[Frame], sent: int) -> None:
        """Not all went out at once; ``sent`` octets did."""
        for frame in output:
            if sent < len(frame):
                self._unsent.append(memoryview(frame)[sent:])
            sent = max(0, sent - len(frame))
        self.unsent = sum(map(len, self._unsent))
        self.write()

    def write(self) -> None:
        """Send of the unsent what the socket takes."""
        unsent = self._unsent
        while unsent:
            sent = self._send(unsent[0])
            if sent < 0:
                self._lose()
                return
            self.unsent -= sent
            if sent < len(unsent[0]):
                unsent[0] = unsent[0][sent:]
                break
            unsent.popleft()
        if self.watched is not self._wants_to_write():
            self.watched = not self.watched
            self._hub.polling.watch(self, self.watched)
        writable = self.unsent <= _UNSENT_HIGH
        if writable is not self.peer.writable:
            self.peer.writable = writable
            if writable:
                self.peer.take_again()
                self.owner.peer_writable(self)

    def _wants_to_write(self) -> bool:
        """Whether there is something to send as soon as the socket takes it."""
        return bool(self._unsent)

    def _send(self, data: Frame | memoryview) -> int:
        """How much the socket took; -1 when it takes nothing any more, and ``_reason`` says why."""
        try:
            return self.sock.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self._reason = lost_connection(self.name, error)
            return -1

    def _send_several(self, output: list[Frame]) -> int:
        """The same for several frames: one by one, each would wake up the other side. Windows has no sendmsg."""
        if len(output) == 1 or not hasattr(self.sock, "sendmsg"):
            return self._send(output[0])
        try:
            return self.sock.sendmsg(output[:_AT_ONCE_MAX])
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self._reason = lost_connection(self.name, error)
            return -1

    def output_progress(self) -> tuple[int, int]:
        return output_progress(self.sock, self.unsent)

    def replace(self) -> None:
        self.leaving = True
        if self.dialer is not None:
            self._hub.connect_again(self.dialer, LEAVING)

    @property
    def name(self) -> str:
        """The other side, for errors: the endpoint that we connected to, or the address that it came from."""
        if self.dialer is not None:
            return self.dialer.endpoint.text
        with contextlib.suppress(OSError):
            return address_text(self.sock.getpeername(), self.scheme)
        return address_text(None)

    def fail(self, error: Exception) -> None:
        self.lose(error)

    def lose(self, reason: Exception) -> None:
        """The connection is over."""
        if self.closed:
            return
        if self._unsent and not isinstance(reason, LostRemote):
            self._send(self._unsent[0])  # a last word, such as ERROR
        self._reason = reason
        self._lose()

    def _lose(self) -> None:
        self.peer.writable = False
        self.closed = True
        self.peer.connection.output[:0] = map(bytes, itertools.islice(self._unsent, 1, None))  # has not left either
        self.finish()

    def finish(self) -> None:
        """Clear up after the end. An interrupt may cut this short: then the keeper calls it again.

        Who was interrupted in the middle of the work on it (by Ctrl-C, an alarm, RecursionError) takes the
        peer's ``writable``, sets ``closed`` and calls this: an assignment always comes through.
        """
        polling = self._hub.polling
        polling.forget(self)
        if self._reason is None:
            self._reason = LostRemote(f"the work on the connection to {self.name} was interrupted")
        self.lost(self._reason)
        self.sock.close()  # not before: whoever got the descriptor then would take the place of an unfinished link
        if polling.links.get(self.fileno) is self:  # by now another may have got the descriptor
            del polling.links[self.fileno]
        if self.dialer is not None and not self.leaving:
            self._hub.connect_again(self.dialer, self._reason)

    def __repr__(self) -> str:
        return f"<BlockingLink {self.peer!r}{' closed' if self.closed else ''}>"
