"""What objects of data classes travel as."""

from __future__ import annotations

import collections
import dataclasses
import datetime
from typing import Any

import attrs
import msgspec
import pydantic
import pytest

from zerorpc.protocol.data_classes import fields_of
from zerorpc.protocol.events import decode, encode

DAY = datetime.date(2026, 11, 28)


@dataclasses.dataclass
class Data:
    day: datetime.date
    inner: Any = None


@attrs.define
class Attrs:
    day: datetime.date
    tags: set[str] = attrs.Factory(set)


class Struct(msgspec.Struct, rename="camel"):
    first_day: datetime.date
    no_day: datetime.date | msgspec.UnsetType = msgspec.UNSET


class Tagged(msgspec.Struct, tag="shot", tag_field="kind", omit_defaults=True):
    day: datetime.date
    count: int = 1
    names: list[str] = []


class Row(msgspec.Struct, array_like=True, tag=True):
    day: datetime.date
    count: int = 1


class Model(pydantic.BaseModel):
    day: datetime.date
    other_name: int = pydantic.Field(1, alias="otherName")


Pair = collections.namedtuple("Pair", "day n")


class Bag(dict[str, Any]): ...


class Items(list[Any]): ...


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (Data(DAY, Data(DAY)), {"day": DAY, "inner": {"day": DAY, "inner": None}}),
        (Attrs(DAY, {"a"}), {"day": DAY, "tags": {"a"}}),
        (Struct(DAY), {"firstDay": DAY}),
        (Struct(DAY, DAY), {"firstDay": DAY, "noDay": DAY}),
        (Tagged(DAY), {"kind": "shot", "day": DAY}),
        (Tagged(DAY, 2, ["x"]), {"kind": "shot", "day": DAY, "count": 2, "names": ["x"]}),
        (Row(DAY), ["Row", DAY, 1]),
        (Model(day=DAY, otherName=3), {"day": DAY, "otherName": 3}),
        (Pair(DAY, 1), [DAY, 1]),
        (Bag(day=DAY), {"day": DAY}),
        (Items([DAY]), [DAY]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_fields(value: Any, arrives: Any) -> None:
    for each, expected in ((value, arrives), ([value], [arrives])):
        event = decode(encode({"message_id": b"1", "v": 3}, "m", each, True))
        assert getattr(event, "args", event) == expected


@pytest.mark.parametrize("value", [Data(1, [2]), Attrs(1), Struct(1), Tagged(1, 2), Tagged(1), Row(1)])
def test_as_msgspec_has_it(value: Any) -> None:
    assert msgspec.msgpack.encode(fields_of(value)) == msgspec.msgpack.encode(value)


def test_what_has_no_fields() -> None:
    assert fields_of(object()) is None
    assert fields_of(Data) is None
