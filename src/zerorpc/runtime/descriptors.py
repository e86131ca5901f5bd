"""The descriptors that a process has from the start: 0, 1 and 2."""

from __future__ import annotations

import os

__all__ = ["occupy_standard_descriptors"]


def occupy_standard_descriptors() -> None:
    """Open the null device as stdin, stdout and stderr where they are closed, so that no socket gets their numbers.

    What is written to them would go to a peer, and libuv never closes a connection of such a number, and aborts the
    process when it closes something else.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(fd)
