"""The ways in which a program calls, for tests that hold for each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import zerorpc
from tests.service.running import PATIENCE, run

Way = Callable[..., Any]


def blocking(endpoint: str, use: Callable[[Any], Any], **options: Any) -> Any:
    """What ``use(client)`` returns; a stream as the list of its items."""
    with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        return _listed(use(zerorpc.options(client, **options) if options else client))


def background(endpoint: str, use: Callable[[Any], Any], **options: Any) -> Any:
    """The same, with ``async_=True``."""
    with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        return _listed(use(zerorpc.options(client, async_=True, **options)).get())


def on_loop(endpoint: str, use: Callable[[Any], Any], **options: Any) -> Any:
    """The same, by an AsyncClient."""

    async def main() -> Any:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            result = await use(zerorpc.options(client, **options) if options else client)
            return [item async for item in result] if _is_stream(result) else result

    return run(main())


def _listed(result: Any) -> Any:
    return list(result) if _is_stream(result) else result


def _is_stream(result: Any) -> bool:
    return type(result).__name__ in ("Stream", "AsyncStream")


EACH_WAY = pytest.mark.parametrize("way", [blocking, background, on_loop])
EITHER_CLIENT = pytest.mark.parametrize("way", [blocking, on_loop])

__all__ = ["EACH_WAY", "EITHER_CLIENT", "Way", "background", "blocking", "on_loop"]
