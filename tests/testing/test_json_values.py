"""Values in a cassette's file: whatever a message may hold comes back the same, and reads well."""

from __future__ import annotations

import datetime
import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.client.value_types import NATURAL, NUMBERS, same
from zerorpc.testing.json_values import from_json, to_json

KEYS = st.one_of(st.text(), st.integers(-(2**63), 2**64 - 1), st.binary(max_size=8), st.booleans(), st.none())
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=False),
        st.text(),
        st.binary(),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)


@given(VALUES)
def test_what_is_written_comes_back(value: Any) -> None:
    back = from_json(json.loads(json.dumps(to_json(value))))
    assert msgspec.msgpack.encode(back) == msgspec.msgpack.encode(value)


@pytest.mark.parametrize("kind", [*NATURAL, *NUMBERS])
def test_types_that_messagepack_lacks_come_back(kind: str) -> None:
    value = {**NATURAL, **NUMBERS}[kind]
    for each in (value, [value], {"key": value}):
        assert same(from_json(json.loads(json.dumps(to_json(each)))), each)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (b"abc", {"$bytes": "abc"}),
        (b"", {"$bytes": ""}),
        (b"\x00\xff", {"$base64": "AP8="}),
        (math.inf, {"$float": "inf"}),
        ((1, 2), [1, 2]),
        ({"a": b"b"}, {"a": {"$bytes": "b"}}),
        ({1: "one"}, {"$map": [[1, "one"]]}),
        ({"$bytes": "no bytes"}, {"$map": [["$bytes", "no bytes"]]}),
        (msgspec.msgpack.Ext(5, b"x"), {"$ext": [5, {"$bytes": "x"}]}),
        (datetime.date(2026, 11, 28), {"$ext": [70, {"$bytes": "2026-11-28"}]}),
        (
            datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
            {"$time": "2026-01-02T03:04:05+00:00"},
        ),
    ],
)
def test_what_it_looks_like(value: Any, written: Any) -> None:
    assert to_json(value) == written
    back = from_json(written)
    assert back == (list(value) if isinstance(value, tuple) else value)


def test_no_number_and_keys_of_lists() -> None:
    assert math.isnan(from_json(to_json(math.nan)))  # type: ignore[arg-type]
    assert from_json({"$map": [[[1, 2], 3]]}) == {(1, 2): 3}


@pytest.mark.parametrize(
    "written",
    [
        {"$unknown": 1},
        {"$bytes": "a", "b": 1},
        {"$bytes": 5},
        {"$bytes": "ä"},
        {"$base64": "?"},
        {"$float": "x"},
        {"$time": "yesterday"},
        {"$map": 5},
        {"$map": [1]},
        {"$ext": 5},
        {"$ext": [1, "x"]},
    ],
)
def test_what_nobody_writes(written: Any) -> None:
    with pytest.raises(ValueError, match=r"\$"):
        from_json(written)


def test_what_has_no_place_in_a_message() -> None:
    with pytest.raises(TypeError, match="object"):
        to_json(object())
