"""What Node makes of a value: JavaScript has doubles for numbers and no difference between 1 and 1.0."""

from __future__ import annotations

from typing import Any

from tests.interop.values import same


def same_to_node(left: object, right: object) -> bool:
    """Equal in value and type, all the way down, as far as JavaScript can tell.

    0 and -0 are the same here too: msgpack-lite packs -0 as 0.
    """
    return same(_in_javascript(left), _in_javascript(right))


def _in_javascript(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) + 0.0  # which turns -0.0 into 0.0
    if isinstance(value, list):
        return [_in_javascript(item) for item in value]
    if isinstance(value, dict):
        return {key: _in_javascript(item) for key, item in value.items()}
    return value
