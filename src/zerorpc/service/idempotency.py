"""Idempotency keys: which of them were used, for what, and with what answer.

A key is used once: the first call with it runs, and each repeat gets the same answer. It is known together with the
method and with a digest of the arguments, since the same key for anything else is a mistake of the program's.
"""

from __future__ import annotations

import enum
import hashlib
import secrets
from collections import OrderedDict
from typing import Any, NamedTuple, TypeAlias

import msgspec

from zerorpc.protocol.packing import Forms, pack
from zerorpc.settings import Answers

__all__ = ["AnswersInMemory", "Claim", "Claimed", "Key", "digest_of"]

Key: TypeAlias = tuple[str, "str | bytes"]  # the method, and what the caller has given


class Claim(enum.Enum):
    """What becomes of a call with a key."""

    RUN = "it is the first"
    BUSY = "the first one runs still"
    ANSWERED = "the first one has been answered"
    GONE = "it has been answered, and the answer was too much to keep"
    DIED = "the process in which it ran has ended"
    OTHER = "the key was used for other arguments"


class Claimed(NamedTuple):
    """The same, with the answer, if there is one."""

    claim: Claim
    answer: bytes | None = None


def digest_of(args: Any, kwargs: dict[str, Any] | None) -> bytes:
    """What tells arguments from others, in each process of a server. The order of keywords, of a map's entries and of a
    set's elements doesn't count.
    """
    return hashlib.sha256(_packed((args, kwargs or {}))).digest()


def _packed(value: object) -> bytearray:
    return pack(_in_order(value), _encoder)


def _in_order(value: object) -> object:
    if isinstance(value, (list, tuple)):
        return [_in_order(each) for each in value]
    if isinstance(value, (set, frozenset)):
        return [type(value).__name__, sorted(bytes(_packed(each)) for each in value)]
    if isinstance(value, dict):  # whose keys may be of any type
        return ["dict", sorted((bytes(_packed(key)), bytes(_packed(each))) for key, each in value.items())]
    try:
        return Forms(natural=True, in_band=True).of(value)
    except TypeError:  # what stands for something of the caller's
        return repr(value)


_encoder = msgspec.msgpack.Encoder(enc_hook=repr)


class _Entry:
    __slots__ = ("answer", "at", "digest", "running")

    def __init__(self, digest: bytes) -> None:
        self.digest = digest
        self.running = True
        self.answer: bytes | None = None  # None once it is over: it was too much to keep
        self.at = 0.0  # when it was answered


class AnswersInMemory:
    """The keys of one process, by time and by number of octets as many as there is room for.

    What is too old is forgotten, and so are the oldest beyond so many ``keys``. Beyond ``octets`` the answers of the
    oldest are forgotten, and their keys are not: a repeat gets an error then, and doesn't run. What runs is never
    forgotten. Not thread-safe.
    """

    def __init__(self, settings: Answers) -> None:
        self.id: str = secrets.token_hex(8)
        self._settings = settings
        self._octets = 0
        self._running: dict[Key, _Entry] = {}
        self._answered: OrderedDict[Key, _Entry] = OrderedDict()  # the oldest first

    def claim(self, key: Key, digest: bytes, now: float) -> Claimed:
        """Use a key: whoever is told RUN has to call ``answered`` or ``free`` later."""
        self._forget(now)
        entry = self._running.get(key) or self._answered.get(key)
        if entry is None:
            self._running[key] = _Entry(digest)
            return Claimed(Claim.RUN)
        if entry.digest != digest:
            return Claimed(Claim.OTHER)
        if entry.running:
            return Claimed(Claim.BUSY)
        return Claimed(Claim.GONE) if entry.answer is None else Claimed(Claim.ANSWERED, entry.answer)

    def answered(self, key: Key, answer: bytes, now: float) -> None:
        """This is the outcome of what was told to run."""
        entry = self._running.pop(key)
        entry.running, entry.answer, entry.at = False, answer, now
        self._answered[key] = entry
        self._octets += len(answer)
        self._forget(now)

    def free(self, key: Key) -> None:
        """It did not run after all: the next one may."""
        del self._running[key]

    def renew(self, now: float) -> None: ...

    def close(self) -> None: ...

    def _forget(self, now: float) -> None:
        answered = self._answered
        while answered:
            key, oldest = next(iter(answered.items()))
            if now - oldest.at < self._settings.seconds and len(answered) <= self._settings.keys:
                break
            self._octets -= len(oldest.answer or b"")
            del answered[key]
        octets_max = self._settings.octets
        if self._octets > octets_max:
            for entry in answered.values():
                self._octets -= len(entry.answer or b"")
                entry.answer = None
                if self._octets <= octets_max:
                    break

    def __repr__(self) -> str:
        running, answered = len(self._running), len(self._answered)
        return f"<AnswersInMemory running={running} answered={answered} octets={self._octets}>"
