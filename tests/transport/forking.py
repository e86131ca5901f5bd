"""Ways to fork, for programs that tests run: each is Python text for a function that returns like ``os.fork``."""

from __future__ import annotations

import pytest

# ctypes.PyDLL keeps the GIL, as those who embed Python and fork (uWSGI) do; Python's own hooks don't run.
WAYS = {"os.fork": "__import__('os').fork", "past Python": "__import__('ctypes').PyDLL(None).fork"}

EACH_WAY = pytest.mark.parametrize("fork", WAYS.values(), ids=WAYS)
