"""A name in an endpoint, and which of its addresses are to be connected. Knows no I/O.

All addresses of a name are used, each by a dialer of its own: they are taken for servers that can stand in for each
other, as those of a Kubernetes headless service are. The name is looked up again every 30 s, and when an address can't
be reached or its connection is lost. New addresses get connections; those that are gone are retired. If the look-up
fails, the old addresses stay.

Only addresses of one family are used at a time: IPv4 or IPv6, first that of the system's first answer (RFC 6724), and
the other one when no address of this one can be reached. A name's IPv4 and IPv6 addresses usually lead to the same
machines (RFC 8305), and DNS does not tell which belong together. gRPC takes each address for a server (gRFC A61), and
so a server with two would get two shares of the calls, and ``localhost`` two connections.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Iterable
from typing import NamedTuple

from zerorpc.errors import HandshakeFailed
from zerorpc.transport.dialer import Dialer
from zerorpc.transport.endpoints import Address, Endpoint, address_text, is_literal, parse
from zerorpc.transport.security import UNSECURED, Security

__all__ = ["Change", "Name", "new_dialer", "some"]

_EVERY = 30.0  # s between look-ups while all is well; as long as Kubernetes' DNS lets its answers be kept
_SOONEST = 1.0  # s between look-ups because of failures: each address that is down fails every 2 s


class Change(NamedTuple):
    """What is to be connected from now on, and what no more."""

    begin: tuple[Dialer, ...] = ()
    retire: tuple[Dialer, ...] = ()


class Name(Dialer):
    """A dialer of an endpoint with a name. It connects nothing itself: the dialers of the name's addresses do.

    ``dialers`` is replaced, never changed: who only reads it needs no lock.
    """

    def __init__(self, endpoint: Endpoint, security: Security = UNSECURED) -> None:
        super().__init__(endpoint, security=security)
        self.dialers: dict[Address, Dialer] = {}
        self.look_up_at: float = -math.inf  # when to look it up next; never while that is being done
        self._began = -math.inf
        self._families: dict[socket.AddressFamily, list[Address]] = {}  # as found last
        self._family = socket.AF_UNSPEC  # the one in use
        self._before: dict[Address, Dialer] = {}  # the latest dialer of each address

    def look_up_begins(self, now: float) -> None:
        """What follows is ``found`` or ``not_found``."""
        self._began, self.look_up_at = now, math.inf

    def found(self, addresses: Iterable[Address], now: float) -> Change:
        """It has these addresses, at least one."""
        self.succeeded()
        self.look_up_at = now + _EVERY
        families: dict[socket.AddressFamily, list[Address]] = {}
        for address in dict.fromkeys(addresses):
            families.setdefault(address[0], []).append(address)
        self._families = families
        known = {address for family in families.values() for address in family}
        self._before = {address: dialer for address, dialer in self._before.items() if address in known}
        return self._use(self._family if self._family in families else next(iter(families)))

    def not_found(self, why: object, now: float) -> float:
        """The look-up failed: how long to wait, in seconds. As long as usual, if there are addresses to go on with."""
        delay = self.failed(why)
        if self.dialers:
            delay = _EVERY
        self.look_up_at = now + delay
        return delay

    def address_failed(self, dialer: Dialer, delay: float, now: float) -> Change:
        """One of its addresses couldn't be reached, or the connection is lost, and ``delay`` seconds are to be waited.

        Perhaps it has others by now. If none of those in use can be reached, the other family's are tried.
        """
        if self.look_up_at < math.inf:
            self.look_up_at = min(self.look_up_at, max(now, self._began + _SOONEST))
        dialer.due = now + delay
        others = [family for family in self._families if family is not self._family]
        if not others or dialer.retired or any(each.reached is not False for each in self.dialers.values()):
            return Change()
        return self._use(others[0])

    def _use(self, family: socket.AddressFamily) -> Change:
        """Connect the addresses of this family, and no others. What an interrupt leaves undone, the next time does."""
        self._family = family
        wanted = self._families[family]
        kept = {address: each for address, each in self.dialers.items() if address in wanted and not each.retired}
        retired = tuple(each for address, each in self.dialers.items() if address not in kept)
        for dialer in retired:
            dialer.retired = True
        begun = {address: self._new_dialer(address) for address in wanted if address not in kept}
        self._before = {**self._before, **begun}
        self.dialers = {address: kept.get(address) or begun[address] for address in wanted}
        return Change(tuple(begun.values()), retired)

    def _new_dialer(self, address: Address) -> Dialer:
        dialer = Dialer(_endpoint(self.endpoint.scheme, address), self, self.security)
        if address in self._before:
            dialer.continue_from(self._before[address])
        return dialer

    @property
    def pending(self) -> bool:
        each = self.dialers.values()
        return any(dialer.pending for dialer in each) if each else super().pending

    @property
    def refusal(self) -> HandshakeFailed | None:
        """Why trying again is of no use at any of its addresses."""
        each = [dialer.refusal for dialer in self.dialers.values()]
        return None if None in each or not each else each[0]

    @refusal.setter
    def refusal(self, value: HandshakeFailed | None) -> None:
        """Only its addresses have one of their own."""

    def forget(self) -> None:
        super().forget()
        for dialer in self.dialers.values():
            dialer.forget()

    def close(self) -> None:
        super().close()
        for dialer in self.dialers.values():
            dialer.close()

    @property
    def status(self) -> str:
        each = list(self._before.values())
        if len(each) == 1:
            return each[0].status
        return ", ".join(f"{one.endpoint.text} {one.status}" for one in each) or self._status


def new_dialer(endpoint: Endpoint, security: Security = UNSECURED) -> Dialer:
    """What stays connected to an endpoint."""
    return Dialer(endpoint, security=security) if is_literal(endpoint) else Name(endpoint, security)


def some(name: Name, addresses: list[Address]) -> list[Address]:
    """What was found, if it is something. Raises OSError."""
    if not addresses:
        raise OSError(f"{name.endpoint.text} has no address")
    return addresses


def _endpoint(scheme: str, address: Address) -> Endpoint:
    """The endpoint that an address is by itself. A local IPv6 address needs its zone."""
    family, where = address
    assert isinstance(where, tuple)
    if family == socket.AF_INET6 and len(where) == 4 and where[3]:
        where = (f"{str(where[0]).partition('%')[0]}%{where[3]}", *where[1:])
    return parse(address_text(where, scheme))
