"""Functions and objects that stay where they are, and are called from the other side (docs/protocol.md, References).

A reference travels as an extension type of MessagePack. What a *caller* lends with its arguments lives as long as the
channel of the call, and is called by events of that channel; what a *server* lends with a result lives as long as the
connection, and is called by requests that name it. Each side keeps a table of what it has lent; the numbers in it mean
nothing elsewhere.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

import msgspec
from msgspec.msgpack import Decoder, Encoder, Ext

from zerorpc.protocol.framed import FramedEvent, hook_with
from zerorpc.protocol.values import value_of

__all__ = [
    "AT_ONCE",
    "CALLS_MAX",
    "CALL_BACK",
    "FORGET",
    "FUNCTION_EVENTS",
    "OUTCOME",
    "PROGRESS",
    "REFERENCE",
    "RELEASE",
    "Borrow",
    "BorrowFrom",
    "HasReferences",
    "LendingMessage",
    "Lent",
    "Outcome",
    "Pending",
    "Reference",
    "Table",
    "borrow_nothing",
    "borrowing",
    "find_references",
]

REFERENCE = 82  # the extension type: [number, name of the function, or nil for an object]

CALL_BACK = "_zpc_call_back"  # of the server: [number of the call, of the reference, method, args, kwargs]
OUTCOME = "_zpc_outcome"  # the client's answer: [number of the call, true, value] or [number, false, an ERR's args]
RELEASE = "_zpc_release"  # [numbers of references]: they are not needed any more. Of the server, on the call's channel;
#                           of the client, on no channel
FORGET = "_zpc_forget"  # of the server: [number of the call]: nobody waits for its outcome any more

PROGRESS = 0  # the reference of the one function that a caller lends without an argument: what ``progress`` asks for

FUNCTION_EVENTS = (CALL_BACK, RELEASE, FORGET)  # what a server sends of the functions that its caller has lent

AT_ONCE = 100  # calls of a caller's functions that may be under way on one channel; further ones wait at the server
CALLS_MAX = 10 * AT_ONCE  # and what breaks the protocol: no server of ours has so many under way


class Reference(NamedTuple):
    """A reference as it travels."""

    number: int
    name: str | None  # of the function; None for an object


Borrow: TypeAlias = Callable[[Reference], object]  # makes what stands for the other side's object here
BorrowFrom: TypeAlias = Callable[[Any, Reference], object]  # the same, told from which peer it is


class HasReferences(ValueError):
    """A message has references, and somebody has to know whose: it is to be decoded again, by ``borrowing``."""


def find_references(code: int, data: memoryview) -> object:
    """As a decoder's hook: raises HasReferences for one, and reads other extension types."""
    if code == REFERENCE:
        raise HasReferences
    return value_of(code, data)


def borrow_nothing(_: object, reference: Reference) -> object:
    """Where nobody makes anything of a reference, it stays what it is."""
    return Ext(REFERENCE, _pack(reference))


def borrowing(kind: Any, borrow: Borrow, data: bytes | bytearray) -> Any:
    """Decode an event, with what ``borrow`` makes of each reference."""

    def hook(code: int, octets: memoryview) -> object:
        return borrow(_read(octets)) if code == REFERENCE else value_of(code, octets)

    if isinstance(data, FramedEvent):
        return msgspec.msgpack.decode(bytes(data), type=kind, ext_hook=hook_with(data.buffers, hook))
    return msgspec.msgpack.decode(data, type=kind, ext_hook=hook)


_fields_decoder = Decoder(tuple[int, str | None])


def _read(data: memoryview) -> Reference:
    try:
        return Reference(*_fields_decoder.decode(data))
    except msgspec.MsgspecError as error:
        raise ValueError(f"a reference that can't be read: {error}") from None


Table: TypeAlias = "Mapping[str, Any]"  # what is callable of one object, by name: the room above says how


class LendingMessage(FramedEvent):
    """A packed event, and the numbers of what it lends: it may never be sent."""

    numbers: list[int]


class Lent:
    """What one side has lent: on the channel of a call, or on a connection."""

    def __init__(self) -> None:
        self.objects: dict[int, Table] = {}
        self._numbers = itertools.count(1)

    def lend(self, name: str | None, table: Table) -> tuple[int, Ext]:
        """Its number, and what stands for it in a message. From any thread."""
        number = next(self._numbers)
        self.objects[number] = table
        return number, Ext(REFERENCE, _pack((number, name)))

    def take_back(self, unsent: Iterable[bytes]) -> None:
        """Nobody gets these messages: what they lend is not lent."""
        for message in unsent:
            if isinstance(message, LendingMessage):
                self.release(message.numbers)

    def release(self, numbers: object) -> None:
        for number in numbers if isinstance(numbers, list) else ():
            if type(number) is int:
                self.objects.pop(number, None)


_pack = Encoder().encode


class Outcome(NamedTuple):
    """What became of a function that a server has called."""

    number: int  # of that call
    returned: bool  # or else it raised
    what: object  # the value, or an ERR's args


class Asker(Protocol):
    """Who waits for the outcome of a function that the caller has lent."""

    def set_outcome(self, outcome: Outcome | None, /) -> None:
        """None when there will be none. On the loop."""


class Pending:
    """A server's calls of functions that its caller has lent, on one channel. ``lent`` has what they lend in turn."""

    def __init__(self, lent: Lent | None = None) -> None:
        self.waiting: dict[int, Asker] = {}  # sent, by number
        self._forgotten: set[int] = set()  # sent: they run on, and so keep their places, until their outcomes come
        self._unsent: deque[tuple[int, Asker, Callable[[], None], bytes]] = deque()
        self._numbers = itertools.count(1)
        self._lent = lent or Lent()

    def next_number(self) -> int:
        """From any thread."""
        return next(self._numbers)

    def begin(self, number: int, asker: Asker, send: Callable[[], None], data: bytes = b"") -> None:
        """``send`` a call, which is ``data``, now or when fewer are under way."""
        if len(self.waiting) + len(self._forgotten) < AT_ONCE:
            self.waiting[number] = asker
            send()
        else:
            self._unsent.append((number, asker, send, data))

    def forget(self, number: int) -> bool:
        """Whether it was sent, and its outcome is still to come: from now on it comes for nobody."""
        if self.waiting.pop(number, None) is not None:
            self._forgotten.add(number)
            return True
        self._lent.take_back(data for each, _, _, data in self._unsent if each == number)
        self._unsent = deque(each for each in self._unsent if each[0] != number)
        return False

    def take(self, args: object) -> None:
        """An outcome has come; nonsense is ignored."""
        if not isinstance(args, list) or len(args) != 3 or type(args[0]) is not int:
            return
        number, returned, what = args
        asker = self.waiting.pop(number, None)
        if asker is not None:
            asker.set_outcome(Outcome(number, returned is True, what))
        elif number in self._forgotten:
            self._forgotten.remove(number)
        else:
            return
        if self._unsent:
            self.begin(*self._unsent.popleft())

    def end(self) -> None:
        """The channel is over."""
        askers = [*self.waiting.values(), *(asker for _, asker, _, _ in self._unsent)]
        self._lent.take_back(data for _, _, _, data in self._unsent)
        self.waiting.clear()
        self._unsent.clear()
        for asker in askers:
            asker.set_outcome(None)
