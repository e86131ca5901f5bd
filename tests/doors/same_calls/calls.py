"""The calls, and what becomes of each, by whatever door it comes."""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

from tests.doors.same_calls.service import PIXEL


class Outcome(NamedTuple):
    """What became of a call, as JSON would say it. ``error`` is the name of the class that a program would catch."""

    value: Any = None
    items: list[Any] | None = None  # of a stream
    error: str | None = None
    message: str = ""


class Given(NamedTuple):
    """A call, and what is to become of it."""

    method: str
    arguments: dict[str, Any]
    outcome: Outcome


def value(method: str, value: Any, /, **arguments: Any) -> Given:
    return Given(method, arguments, Outcome(value))


def items(method: str, items: list[Any], /, **arguments: Any) -> Given:
    return Given(method, arguments, Outcome(items=items))


def error(method: str, error: str, message: str = "", items: list[Any] | None = None, /, **arguments: Any) -> Given:
    return Given(method, arguments, Outcome(items=items, error=error, message=message))


NESTED = {"a": [1, 2.5, None, True], "b": {"c": "é\n\u2028"}, "": []}
GOOD = [
    value("add", 5, a=2, b=3),
    value("add", 4, a=2),
    value("add", -(2**60), a=-(2**60), b=0),
    value("echo", NESTED, value=NESTED),
    value("echo", [{"x": 1}, {"x": 2}], value=[{"x": 1}, {"x": 2}]),
    value("echo", False, value=False),
    value("echo", "", value=""),
    value("nothing", None),
    value("axis", "Y", axis="y"),
    value("mirrored", {"x": -1.5, "y": -2.0}, point={"x": 1.5, "y": 2}),
    value("next_day", "2025-01-01", day="2024-12-31"),
    value("half", "0.05", price="0.10"),
    value("named", "hihi", name="hi", times=2),
    value("gear", "high", gear="high"),
    value("gear", "none", gear=None),
    value("picture", base64.b64encode(PIXEL).decode()),
    value("apart", 6, numbers=[1, 2, 3]),
    value("caller", "alice"),
]
STREAMED = [
    items("count", [0, 1, 2], stop=3),
    items("acount", [0, 1, 2], stop=3),
    items("count", [], stop=0),
    items("points", [{"x": 1.0, "y": 0.0}, {"x": 2.0, "y": 0.0}]),
    error("breaks", "NoPower", "in the middle", [1, 2]),
]
BAD = [
    error("adds", "UnknownMethod", "adds"),
    error("_hidden", "UnknownMethod", "_hidden"),
    error("add", "WrongArguments", "Robot.add() missing 1 required positional argument: 'a'"),
    error("add", "WrongArguments", "Robot.add() got an unexpected keyword argument 'c'", a=1, c=2),
    error("add", "InvalidArguments", "add(): a: expected int, got str", a="two"),
    error("axis", "InvalidArguments", "axis(): axis: expected Axis ('x', 'y'), got 'z'", axis="z"),
    error("mirrored", "InvalidArguments", "mirrored(): point: missing required field x", point={"y": 1}),
    error("named", "InvalidArguments", "named(): times: expected int <= 3", name="hi", times=4),
    error("fail", "ValueError", "no such luck"),
    error("no_power", "NoPower", "empty: 0 V"),
    error("forbids", "PermissionError", "not on Sundays"),
]
DENIED = [
    error("secret", "PermissionDenied", "alice may not call secret"),
    error("secrets", "PermissionDenied", "alice may not call secrets"),
]
LATE = [error("waits", "TimeoutExpired", ""), error("ever", "TimeoutExpired", "")]  # each door says more, in its way
OVERLOADED = error("add", "ServerOverloaded", "", a=1)
GONE = ["waits", "ever"]  # whose caller doesn't wait for the reply
