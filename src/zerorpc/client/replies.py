"""What ``zerorpc.every`` of a blocking client gives: the outcomes, as they come."""

from __future__ import annotations

from collections.abc import Iterator
from os import getpid
from time import monotonic
from typing import Protocol

from zerorpc.calls.dispatch import Calls
from zerorpc.client.every import CONNECTING, Asked, Gathering, Outcome, Peer
from zerorpc.client.request import Caller, Request
from zerorpc.errors import Closed
from zerorpc.not_picklable import NotPicklable
from zerorpc.protocol.channel import ClientChannel
from zerorpc.protocol.client_peer import ClientPeer, late
from zerorpc.runtime import forks
from zerorpc.transport.blocking import BlockingHub
from zerorpc.transport.blocking_link import BlockingLink

__all__ = ["Replies"]


class StartsAt(Protocol):
    """What a blocking client knows of its peers."""

    calls: Calls
    links: dict[object, BlockingLink]

    def start_at(self, peer: ClientPeer, channel: ClientChannel, now: float, /) -> None:
        """Send a request to this peer. With the hub's lock held."""


class EveryCaller(Caller, Protocol):
    """The core of a blocking client."""

    hub: BlockingHub

    def attend(self, channel: ClientChannel) -> None: ...

    @property
    def peers(self) -> StartsAt: ...


class Replies(NotPicklable):
    """The outcomes of the calls, as an iterator and context manager. Safe from any thread: each goes to one."""

    def __init__(self, core: EveryCaller, asked: Asked) -> None:
        if getpid() != forks.pid:
            forks.catch_up()
        self._core = core
        self._gathering = Gathering()
        self._pid = getpid()
        now = monotonic()
        request = Request(core, *asked, now)
        try:
            while not self._gathering.peers:  # again, if those who were there are gone by now
                live = self._live(request, now)
                requests = [request, *(Request(core, *asked, now) for _ in live[1:])]
                for each in requests:
                    asked.attend(core, each)
                with core.hub.lock:
                    for (peer, link), each in zip(live, requests, strict=True):
                        if peer in core.peers.calls.peers:
                            self._gathering.add(each, link.name)
                            core.peers.start_at(peer, each.channel, now)
        except BaseException:
            self.close()
            raise

    def _live(self, request: Request, now: float) -> list[tuple[ClientPeer, BlockingLink]]:
        """Who is to be asked, once there is somebody and nobody else is about to be there."""
        core, channel = self._core, request.channel
        hub, peers = core.hub, core.peers

        live: list[tuple[ClientPeer, BlockingLink]] = []

        def is_known(_: Gathering) -> bool:
            then = monotonic()
            if then >= now + CONNECTING or not hub.connecting:
                live[:] = [(peer, peers.links[peer]) for peer in peers.calls.peers]
            return bool(live) or hub.closed or then >= channel.deadline

        def look(_: Gathering, now: float) -> None:
            if hub.closed:
                raise Closed("this client is closed")
            hub.check_may_wait()
            if hub.stale:
                hub.revive()
            hub.polling.look(now)
            hub.mend()
            peers.calls.wake_by(min(channel.deadline, now + CONNECTING))

        hub.leading.wait(self._gathering, is_known, now, look)
        if hub.closed:
            raise Closed("this client is closed")
        if not live:
            channel.fail(late(channel, f": no server was reached ({hub.describe()})"))
            request.outcome()
        return live

    def __iter__(self) -> Iterator[tuple[Peer, Outcome]]:
        return self

    def __next__(self) -> tuple[Peer, Outcome]:
        """The next server and what became of its call. StopIteration after the last one, and when it was closed."""
        gathering = self._gathering
        if self._pid != getpid():
            forks.catch_up()
            self._pid = getpid()
            gathering.look()
        while True:
            if not gathering.ended:
                self._core.hub.leading.wait(gathering, _has_news, monotonic())
            try:
                return gathering.take()
            except IndexError:  # another thread was quicker
                if not gathering.under_way:
                    raise StopIteration from None

    def close(self) -> None:
        """Give up the calls that still run. Safe to call twice, and from any thread."""
        for request in self._gathering.close():
            self._core.abandon(request.channel)

    def __enter__(self) -> Replies:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        if "_gathering" not in self.__dict__:  # an interrupt left half of one
            return
        for request in self._gathering.close():
            self._core.drop(request.channel)


def _has_news(gathering: Gathering) -> bool:
    return bool(gathering.ended) or not gathering.under_way
