"""An owner for hubs that are tested without a client or server above them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tests.service.running import PATIENCE
from zerorpc.protocol.peer import Peer
from zerorpc.zmtp import SocketType
from zerorpc.zmtp.mechanisms import NewMechanism, Null


class Owner:
    """Has peers that do nothing; keeps the links."""

    def __init__(self) -> None:
        self.links: list[Any] = []
        self.lost: list[Any] = []

    def make_peer(self, mechanism: NewMechanism = Null) -> Peer:
        return Peer(SocketType.DEALER, mechanism=mechanism)

    def peer_ready(self, link: Any) -> None:
        self.links.append(link)

    def received(self, link: Any, touched: list[Any]) -> None: ...

    def forked(self) -> None: ...

    def peer_writable(self, link: Any) -> None: ...

    def peer_leaves(self, link: Any) -> None: ...

    def peer_retires(self, link: Any) -> None: ...

    def is_idle(self, link: Any) -> bool:
        return True

    def peer_lost(self, link: Any, ended: list[Any]) -> None:
        self.lost.append(link)


def in_a_thread(act: Callable[[], object]) -> None:
    """Do it in another thread, while this one blocks."""
    thread = threading.Thread(target=act)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()
