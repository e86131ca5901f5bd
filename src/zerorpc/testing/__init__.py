"""Tools for the tests of programs that use zerorpc: import it where you test, zerorpc itself never does.

``client`` and ``async_client`` call a service in the same process without sockets; a ``Clock`` moves their time.
``Faults`` happen to them, or on the way to a real server, behind a ``proxy``.
A ``cassette`` records what a real server says, and says it again without the server.
"""

from __future__ import annotations

from zerorpc.testing.cassettes import Mode, cassette
from zerorpc.testing.clock import Clock
from zerorpc.testing.faults import Faults
from zerorpc.testing.in_process import async_client, client
from zerorpc.testing.proxy import Proxy, proxy
from zerorpc.testing.redaction import SECRET_NAMES
from zerorpc.testing.tape import CassetteMiss

__all__ = [
    "SECRET_NAMES",
    "CassetteMiss",
    "Clock",
    "Faults",
    "Mode",
    "Proxy",
    "async_client",
    "cassette",
    "client",
    "proxy",
]
