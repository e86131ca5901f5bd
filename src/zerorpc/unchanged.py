"""What stands in the place of an option that isn't given, where None has a meaning."""

from __future__ import annotations

from typing import Any

__all__ = ["UNCHANGED"]


class _Unchanged:
    def __repr__(self) -> str:
        return "unchanged"


UNCHANGED: Any = _Unchanged()
