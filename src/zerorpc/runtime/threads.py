"""Starting a thread while signals come."""

from __future__ import annotations

import threading

__all__ = ["start"]


def start(thread: threading.Thread) -> None:
    """``thread.start()``, and what a signal's handler raises in the middle of it comes out as it is.

    If the thread has begun by then, CPython raises a KeyError in its place: it takes it for a thread that could not be
    started, and forgets it a second time (``threading.Thread.start``, 3.11 to 3.14).
    """
    try:
        thread.start()
    except KeyError as error:
        if error.args != (thread,) or error.__context__ is None:  # somebody's own
            raise
        raise error.__context__ from None
