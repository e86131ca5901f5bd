"""Ways to fork, for programs that tests run: each is Python text for a function that returns like ``os.fork``."""

from __future__ import annotations

import pytest

# ctypes.PyDLL keeps the GIL, as those who embed Python and fork (uWSGI) do; Python's own hooks don't run.
# Not while another thread is about to take the GIL: the child would wait for that thread for ever.
_PAST = "(lambda: __import__('time').sleep(0.2) or __import__('ctypes').PyDLL(None).fork())"
WAYS = {"os.fork": "__import__('os').fork", "past Python": _PAST}

EACH_WAY = pytest.mark.parametrize("fork", WAYS.values(), ids=WAYS)
