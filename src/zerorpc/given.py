"""What a program has given as a setting or an option: whether it did, and a word for it in an error."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["UNCHANGED", "described", "path_of"]


class _Unchanged:
    def __repr__(self) -> str:
        return "unchanged"


UNCHANGED: Any = _Unchanged()  # in the place of an option that isn't given, where None has a meaning


def described(value: object) -> str:
    """It may be a secret, or anything else that an error must not show."""
    return f"a {type(value).__name__}"


def path_of(name: str, value: object) -> str:
    """A setting that is a path. Raises TypeError for what isn't."""
    if not isinstance(value, (str, os.PathLike)) or not isinstance(path := os.fspath(value), str):
        raise TypeError(f"{name} has to be a path, not {described(value)}")
    return path
