"""What a target is, which inputs are made for it, and where those are kept that have found a fault.

A target that reads its choices in another way than before makes other runs of the inputs that are kept: whoever changes
it keeps what they have found by a test of its own, beside those of the room that had the fault.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple, TypeVar

from tests.fuzz.mutation import mutated

__all__ = ["FOUND", "LONGEST", "Target", "found", "input_of", "keep", "shortened"]

S = TypeVar("S", bytes, list)  # type: ignore[type-arg]  # of anything

FOUND = Path(__file__).parent / "found"
LONGEST = 4096  # octets of an input that is no seed


class Target(NamedTuple):
    """``play`` takes an input and raises what is a fault. ``seeds`` are inputs that get far; none if any octets do."""

    name: str
    play: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]] = tuple


def input_of(target: Target, seed: int, number: int) -> bytes:
    """One of a run's inputs: it follows from these three, whatever was played before."""
    chance = Random(f"{target.name} {seed} {number}")
    seeds = target.seeds()
    if not seeds or chance.random() < 0.1:
        return chance.randbytes(min(int(chance.expovariate(1 / 400)), LONGEST))
    return mutated(chance.choice(seeds), chance, seeds)


def found(target: str) -> list[bytes]:
    """The inputs that once found a fault."""
    return [path.read_bytes() for path in sorted((FOUND / target).glob("*"))]


def shortened(sequence: S, finds: Callable[[S], bool], tries: int) -> S:
    """What is left when parts are left out as long as it still finds the fault. ``finds`` is called ``tries`` times."""
    size = len(sequence) // 2
    while size:
        at = 0
        while at < len(sequence):
            tries -= 1
            if tries < 0:
                return sequence
            shorter = sequence[:at] + sequence[at + size :]
            if finds(shorter):
                sequence = shorter
            else:
                at += size
        size //= 2
    return sequence


def keep(target: str, octets: bytes, folder: Path = FOUND) -> Path:
    """Keep an input that has found a fault."""
    path = folder / target / hashlib.sha256(octets).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(octets)
    return path
