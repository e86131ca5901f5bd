"""Tools for the tests of programs that use zerorpc: import it where you test, zerorpc itself never does.

``client`` and ``async_client`` call a service in the same process without sockets; a ``Clock`` moves their time.
"""

from __future__ import annotations

from zerorpc.testing.clock import Clock
from zerorpc.testing.in_process import async_client, client

__all__ = ["Clock", "async_client", "client"]
