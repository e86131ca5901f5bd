"""Results that are converted: which kind of them a client has."""

from __future__ import annotations

from collections.abc import Callable

from zerorpc.client.call_options import OptionsCore
from zerorpc.client.typed_results import Conversion, Results

__all__ = ["results_for"]


def results_for(core: OptionsCore) -> Callable[[str, Conversion], Results]:
    """What makes the results of a method's calls, by the method's name and what becomes of its values."""
    if "async_" in core.old_spelling:
        return Results
    from zerorpc.client.async_typed import AsyncResults  # blocking programs don't import asyncio

    return AsyncResults
