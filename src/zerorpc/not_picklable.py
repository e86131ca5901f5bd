"""What lives on the connections, threads and locks of one process says so when it is to be pickled or copied."""

from __future__ import annotations

from typing import NoReturn, SupportsIndex

__all__ = ["NotPicklable"]


class NotPicklable:
    """A base for such classes: pickle, ``copy``, and a process pool by way of them raise a TypeError that helps."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> NoReturn:
        name = type(self).__name__.lstrip("_")
        article = "an" if name[0] in "AEIOU" else "a"
        raise TypeError(
            f"{article} {name} can't be pickled or copied: its connections are this process's. "
            "Make one in the other process"
        )
