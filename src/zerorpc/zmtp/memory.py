"""The memory of large frames, kept for the next ones."""

from __future__ import annotations

import sys
from collections import deque
from sys import getrefcount

__all__ = ["keep_memory_for", "memory_for", "use_again"]


# By malloc


def keep_memory_for(size: int) -> None:
    """Have the memory of large frames kept for the next ones.

    glibc gives memory at the heap's end back to the system when it is more than twice the largest block that was
    ever mapped and freed (mallopt(3), M_MMAP_THRESHOLD): for a 1 MiB echo at each call, and then most of its time is
    page faults. So map and free a larger block, once; nobody touches it. Measured: 0.44 ms an echo instead of 1.47.
    """
    global _kept  # noqa: PLW0603 - malloc is the process's
    if size > _kept:
        _kept = size
        bytes(min(8 * size, _MAPPED_MAX))


_kept = 128 * 1024  # below that memory isn't mapped
_MAPPED_MAX = 32 * 1024 * 1024 - 65536  # DEFAULT_MMAP_THRESHOLD_MAX, and room for what malloc adds


# By ourselves

# Frames of one size after another are pictures, or arrays, each of which is dropped when the next one is here. Python
# clears a bytearray that it makes, and a frame that grows is copied: where the last one's memory is used again that
# is saved. Measured: an array of 8 MiB there and back in 7.2 ms instead of 10.1.

_AGAIN_MIN = 256 * 1024  # octets
_AGAIN_MAX = 16 * 1024 * 1024
_used: deque[bytearray] = deque(maxlen=4)  # the last ones, whoever has them: 64 MiB at most that nobody has


def use_again(memory: bytearray) -> None:
    """This is for ``memory_for``, as soon as nobody has it. From any thread."""
    if _AGAIN_MIN <= len(memory) <= _AGAIN_MAX and _COUNTS:
        _used.append(memory)


def memory_for(size: int) -> bytearray | None:
    """So many octets, of any content, that nobody has any more; None if there are none. From any thread: what one has
    taken out of the queue no other one sees.
    """
    ours = min(_OURS, _next(deque((bytearray(),)))[1])  # a debugger that looks on here has references, too
    for _ in range(len(_used)):
        try:
            memory, references = _next(_used)
        except IndexError:  # another thread has them
            return None
        if references == ours and len(memory) == size:
            return memory
        _used.append(memory)
    return None


def _next(used: deque[bytearray]) -> tuple[bytearray, int]:
    """The next one, and how many references there are to it. Whoever looks at its octets has one: an array, a view."""
    memory = used.popleft()
    return memory, getrefcount(memory)


_OURS = _next(deque((bytearray(),)))[1]  # which differs between Pythons
_COUNTS = "t" not in getattr(sys, "abiflags", "")  # without the GIL, references are counted in several places
