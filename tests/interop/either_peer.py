"""zerorpc 0.6.3 and Node, for tests that hold with either at the other end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import zerorpc
from tests.interop.node.programs import NodeCallError, node_client, node_server
from tests.interop.ours import CALLERS, BlockingCaller, Caller
from tests.interop.programs import PATIENCE, OldCallError, old_client, telling_server

SERVERS: dict[str, Callable[..., Any]] = {"0.6.3": telling_server, "Node": node_server}
CLIENTS: dict[str, Callable[..., Any]] = {"0.6.3": old_client, "Node": node_client}
ERRORS = (OldCallError, NodeCallError)

EACH_SERVER = pytest.mark.parametrize("start_server", SERVERS.values(), ids=SERVERS)
EACH_CLIENT = pytest.mark.parametrize("start_client", CLIENTS.values(), ids=CLIENTS)
EACH_CALLER = pytest.mark.parametrize("make_caller", CALLERS.values(), ids=CALLERS)


def begin(caller: Caller, use: Callable[[Any], Any], **options: Any) -> Callable[[], Any]:
    """Begin a call; what is returned gives its outcome."""
    if isinstance(caller, BlockingCaller):
        result = use(zerorpc.options(caller.client, async_=True, **options))
        return lambda: result.get(timeout=PATIENCE)

    async def act() -> Any:
        return await use(zerorpc.options(caller.client, **options))

    future = asyncio.run_coroutine_threadsafe(act(), caller._loop)
    return lambda: future.result(PATIENCE)
