"""Conversations that really took place, mutated; each follows from a seed and its number, and can be written down."""

from __future__ import annotations

import functools
import json
from random import Random
from typing import Any, NamedTuple

from tests.fuzz import sources
from tests.fuzz.mutation import mutated

__all__ = ["CLEAR", "CURVE", "TLS", "Conversation", "conversation_of"]

CLEAR, CURVE, TLS = "clear", "curve", "tls"
_KINDS, _SHARES = (CLEAR, CURVE, TLS), (80, 10, 10)  # the last two cost several times as much
_PAUSES = (0.0, 0.003, 0.01, 0.03)  # s
_SPOILED = 600  # octets of the ciphertext in which some are changed: the handshake, and a little more


class Conversation(NamedTuple):
    """What one client says.

    ``chunks`` are octets, sent one after the other; inside of TLS with the kind TLS, and with CURVE events, each of
    which is sealed. ``spoiled`` says which octets of the ciphertext are changed then: position, and which bits. After
    a ``pause``, in seconds, the connection ends, with a reset or without.
    """

    kind: str
    chunks: tuple[bytes, ...]
    spoiled: tuple[tuple[int, int], ...] = ()
    pause: float = 0.0
    resets: bool = False

    def dump(self) -> bytes:
        return json.dumps(self._replace(chunks=[chunk.hex() for chunk in self.chunks])).encode()  # type: ignore[arg-type]

    @classmethod
    def load(cls, octets: bytes) -> Conversation:
        kind, chunks, spoiled, pause, resets = json.loads(octets)
        return cls(kind, tuple(map(bytes.fromhex, chunks)), tuple((at, bits) for at, bits in spoiled), pause, resets)


def conversation_of(seed: int, number: int) -> Conversation:
    chance = Random(f"conversations {seed} {number}")
    (kind,) = chance.choices(_KINDS, _SHARES)
    chunks = _mutated_events(chance) if kind == CURVE else _mutated_chunks(chance)
    spoiled = [(chance.randrange(_SPOILED), 1 << chance.randrange(8)) for _ in range(chance.randrange(1, 4))]
    is_spoiled = kind != CLEAR and chance.random() < 0.3
    return Conversation(
        kind, chunks, tuple(spoiled) if is_spoiled else (), chance.choice(_PAUSES), chance.random() < 0.1
    )


def _mutated_chunks(chance: Random) -> tuple[bytes, ...]:
    """Mostly the handshake is left as it was: or hardly anything would be heard of what follows."""
    said = list(chance.choice(sources.heard()))
    head = 2 if chance.random() < 0.8 else 0
    start, rest = said[:head], said[head:]
    for _ in range(chance.randrange(4)):
        _move(rest, chance)
    data = b"".join(rest)
    if chance.random() < 0.8:
        data = mutated(data, chance, _joined())
    return (*start, *_pieces(data, chance))


def _mutated_events(chance: Random) -> tuple[bytes, ...]:
    events = sources.events()
    first = chance.randrange(len(events))
    said = list(events[first : first + chance.randrange(1, 12)])
    return tuple(mutated(event, chance, events) if chance.random() < 0.5 else event for event in said)


def _move(chunks: list[bytes], chance: Random) -> None:
    """Whole chunks: left out, said twice, in another order, or put in from another conversation."""
    at = chance.randrange(len(chunks) + 1)
    match chance.randrange(4):
        case 0:
            del chunks[at : at + 1]
        case 1:
            chunks[at:at] = chunks[at : at + 1] * chance.choice((1, 1, 20))
        case 2:
            chunks[at:], chunks[:at] = chunks[:at], chunks[at:]
        case 3:
            other = chance.choice((*sources.heard(), *sources.answered()))
            chunks[at:] = other[chance.randrange(len(other) + 1) :]


def _pieces(data: bytes, chance: Random) -> list[bytes]:
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.choice((0, 1, 3))))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True) if start < end]


@functools.cache
def _joined() -> tuple[bytes, ...]:
    whole: tuple[Any, ...] = (*sources.heard(), *sources.answered())
    return tuple(b"".join(chunks) for chunks in whole)
