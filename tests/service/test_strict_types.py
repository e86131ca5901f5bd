"""``strict_types``: what travels as itself is taken as itself, and in no other form."""

from __future__ import annotations

import array
import dataclasses
import datetime
import enum
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import zerorpc
from tests.service.running import joined


class Axis(enum.Enum):
    X = "x"


@dataclasses.dataclass
class Shot:
    day: datetime.date
    axis: Axis = Axis.X


def methods() -> dict[str, Any]:
    def of(annotation: Any) -> Any:
        def method(value: Any) -> str:
            return type(value).__name__

        method.__annotations__ = {"value": annotation}
        return method

    kinds = (datetime.date, datetime.datetime, datetime.timedelta, Decimal, uuid.UUID, Axis, Shot)
    made = {kind.__name__: of(kind) for kind in kinds}
    return made | {
        "array": of(npt.NDArray[np.float64]),
        "number": of(np.int8),
        "numbers": of(list[float]),
        "dates": of(list[datetime.date] | None),
        "complex": of(complex),
        "path": of(Path),
        "tuple": of(tuple[int, str]),
        "set": of(set[int]),
        "real": of(float),
    }


DAY = datetime.date(2026, 11, 27)
ITSELF: list[tuple[str, Any, str]] = [
    ("date", DAY, "date"),
    ("datetime", datetime.datetime(2026, 11, 27), "datetime"),
    ("timedelta", datetime.timedelta(1), "timedelta"),
    ("Decimal", Decimal("1.5"), "Decimal"),
    ("UUID", uuid.UUID(int=5), "UUID"),
    ("Axis", Axis.X, "Axis"),
    ("Axis", "x", "Axis"),
    ("Shot", Shot(DAY), "Shot"),
    ("array", np.zeros(2), "ndarray"),
    ("number", np.int8(1), "int8"),
    ("dates", [DAY], "list"),
    ("dates", None, "NoneType"),
    ("complex", 1j, "complex"),
    ("tuple", (1, "a"), "tuple"),
    ("set", {1}, "set"),
    ("set", [1], "set"),
    ("real", 1, "float"),
]
ELSE: list[tuple[str, Any]] = [
    ("date", "2026-11-27"),
    ("datetime", "2026-11-27T12:00:00Z"),
    ("timedelta", "PT1S"),
    ("Decimal", "1.5"),
    ("Decimal", 1),
    ("UUID", str(uuid.UUID(int=5))),
    ("Axis", "y"),
    ("Shot", {"day": "2026-11-27"}),
    ("array", [1.0, 2.0]),
    ("array", array.array("d", [1])),
    ("number", 1),
    ("numbers", np.zeros(2)),
    ("dates", ["2026-11-27"]),
    ("complex", 1.5),
    ("path", "/tmp"),
    ("real", np.float64(1)),
]


def test_values_as_what_they_are_and_in_no_other_form() -> None:
    with joined(methods(), strict_types=True) as client:
        for name, value, kind in ITSELF:
            assert client(name, value) == kind, name
        for name, value in ELSE:
            with pytest.raises(zerorpc.InvalidArguments, match=r"value.*: expected |value.*: Expected "):
                client(name, value)


def test_words_become_what_they_mean_all_the_same() -> None:
    with joined(methods(), strict_types=True) as client:
        typed = zerorpc.options(client, words=True)
        assert typed.date("2026-11-27") == "date"
        assert typed.Decimal("1.5") == "Decimal"
        assert typed.Shot('{"day": "2026-11-27"}') == "Shot"
        assert typed.path("/tmp") == "PosixPath"


def test_without_it_they_are_taken() -> None:
    with joined(methods()) as client:
        assert client.date("2026-11-27") == "date"
        assert client.array([1.0]) == "ndarray"
