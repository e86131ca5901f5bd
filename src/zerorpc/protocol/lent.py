"""What a caller has lent to one of its calls.

The server's half is ``references.Pending`` (docs/protocol.md, References).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import msgspec

from zerorpc.protocol.events import CALL_KEY, DECODE_ERRORS, Buffer
from zerorpc.protocol.references import CALLS_MAX, FORGET, RELEASE, Borrow, Lent, Table, borrowing

__all__ = ["CallBack", "Hand", "LentToCall", "decode_request"]


class _Lending(msgspec.Struct):
    kwargs: dict[str, Any] | None = None


class _LendingHeader(msgspec.Struct):
    call: _Lending = msgspec.field(name=CALL_KEY, default_factory=_Lending)


class _LendingRequest(msgspec.Struct, array_like=True):
    header: _LendingHeader
    name: Any
    args: Any


def decode_request(data: Buffer, borrow: Borrow) -> tuple[Any, dict[str, Any] | None]:
    """The arguments of a request, with what ``borrow`` makes of each reference. Raises ValueError if that can't be."""
    try:
        request: _LendingRequest = borrowing(_LendingRequest, borrow, data)
    except DECODE_ERRORS as error:
        raise ValueError(f"the arguments can't be decoded: {error}") from None
    return request.args, request.header.call.kwargs


class CallBack(NamedTuple):
    """A function that the server calls."""

    number: int  # of this call of it
    function: Callable[..., Any] | None  # None if it is not lent any more
    args: list[object]
    kwargs: dict[str, object]

    def run(self) -> Any:
        """What it returns. Raises what it raises, and LookupError if there is none."""
        if self.function is None:
            raise LookupError("no such function is passed, or not any more")
        return self.function(*self.args, **self.kwargs)


class Hand(Protocol):
    """Who runs the functions, in tasks or on threads, and sends their outcomes. Called as the channel's peer is."""

    def begin(self, call: CallBack, /) -> None:
        """Run a function."""

    def forget(self, number: int, /) -> None:
        """Nobody waits for the outcome any more."""

    def end(self) -> None:
        """The call is over, or this attempt of it: what begins from now on is of the next one. From any thread, at any
        moment; more than once, perhaps.
        """


class LentToCall(Lent):
    """A channel has one if its call lends something. ``under_way`` counts what runs."""

    def __init__(self) -> None:
        super().__init__()
        self.hand: Hand | None = None
        self.under_way: int = 0
        self.async_functions: list[str] = []  # the names of those that have to be awaited
        self._kept: dict[int, Table] = {}  # what this attempt's server has released: another attempt's may need it

    def receive(self, name: str, args: Any) -> str | None:
        """Take an event of the server's; what is wrong with it, if something is."""
        hand = self.hand
        assert hand is not None
        if name == RELEASE:
            self._kept.update(self.objects)
            self.release(args)
        elif name == FORGET:
            if isinstance(args, list) and args and type(args[0]) is int:
                hand.forget(args[0])
        elif not _is_call(args):
            return f"calls a function in a way that has no meaning: {args!r:.100}"
        elif self.under_way >= CALLS_MAX:
            return f"calls more than {CALLS_MAX} functions at once"
        else:
            number, reference, function, arguments, kwargs = args
            self.under_way += 1
            hand.begin(CallBack(number, self.objects.get(reference, {}).get(function), arguments, kwargs))
        return None

    def end_attempt(self) -> None:
        """Another may follow, for which everything is lent as at first."""
        self.objects.update(self._kept)
        self.under_way = 0
        if self.hand is not None:
            self.hand.end()

    def end(self) -> None:
        self.objects.clear()
        self._kept.clear()
        if self.hand is not None:
            self.hand.end()


def _is_call(args: Any) -> bool:
    kinds = (int, int, str, list, dict)
    return isinstance(args, list) and len(args) == 5 and all(map(isinstance, args, kinds))
