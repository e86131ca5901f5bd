"""The picture of ``zerorpc top``: it fits, whatever is told and however small the terminal is."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from zerorpc.cli.top_figures import SORTS, Figures, read_status
from zerorpc.cli.top_screen import Screen


def answer(time: float, **more: Any) -> dict[str, Any]:
    seconds = {"bounds": [0.001, 0.01], "counts": [10 * time, time, 0]}
    methods = [
        {"name": f"method_{number:02}", "calls": 11 * time * number, "errors": time * (number % 3), "seconds": seconds}
        for number in range(30)
    ]
    calls = [
        {"method": f"m{number}", "caller": "tcp://10.0.0.7:40000", "seconds": 9.5 - number / 10, "state": state}
        for number, state in enumerate(["running", "waiting"] * 20)
    ]
    blocked = [{"method": name, "seconds": 0.3, "when": time - 5, "stack": "  File x\n" * 6} for name in ("load", None)]
    errors = [{"method": "boom", "error": "ValueError", "message": "no", "when": time - 3, "caller": "x"}] * 20
    told = {"time": time, "pid": 7, "version": "1.0", "name": "Robot", "uptime": 3700, "loop_lag": 0.2, "running": 3}
    return {**told, "methods": methods, "calls": calls, "blocked": blocked, "errors": errors, **more}


def figures(**more: Any) -> Figures:
    made = Figures()
    for time in (100.0, 101.0, 102.0):
        status = read_status(answer(time, **more))
        assert status is not None
        made.add(status)
    return made


def drawn(
    made: Figures, width: int = 100, height: int | None = 31, problem: str = "", sort: str = "calls/s", **options: Any
) -> list[str]:
    console = Console(
        width=width, height=height or 25, file=io.StringIO(), force_terminal=True, color_system=None, **options
    )
    screen = Screen("tcp://robot:4242", 1.0, console)
    with console.capture() as captured:
        console.print(screen.picture(made, sort, problem, height))
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [20, 60, 100, 200])
@pytest.mark.parametrize("height", [5, 8, 12, 24, 31, 60, 200])
@pytest.mark.parametrize("problem", ["", "no answer: nothing listens at tcp://robot:4242"])
def test_it_is_no_larger_than_the_terminal(width: int, height: int, problem: str) -> None:
    rows = drawn(figures(), width, height, problem)
    if height >= 12:
        assert len(rows) <= height
        assert rows[-1].startswith("q leaves")
    assert max(map(len, rows)) <= width


def test_all_parts_have_their_place() -> None:
    rows = drawn(figures())
    told = "\n".join(rows)
    for part in ("method ", "oldest calls ─", "what blocked the event loop ─", "newest errors ─", "q leaves   s sorts"):
        assert part in told
    assert rows[0].startswith("Robot  zerorpc 1.0 · pid 7 · up 1 h 1 min")
    assert "method_29" in rows[4], "that which is called most"
    assert "5 s ago  load for 300 ms" in told
    assert "3 s ago  boom  ValueError: no" in told
    assert len(rows) == 31


def test_without_a_height_everything_is_there() -> None:
    told = "\n".join(drawn(figures(), height=None))
    assert all(f"method_{number:02}" in told for number in range(30))
    assert told.count("  running  m") == told.count("  waiting  m") == 20
    assert "no method for 300 ms" in told
    assert told.count("boom  ValueError") == 20
    assert "q leaves" not in told


def test_without_calls_errors_and_blocks_there_are_methods_alone() -> None:
    rows = drawn(figures(calls=[], blocked=[], errors=[]))
    told = "\n".join(rows)
    assert "─" not in told
    assert sum("method_" in row for row in rows) >= 24


def test_a_service_without_methods() -> None:
    assert drawn(figures(methods=[]))[-1].startswith("q leaves")


@pytest.mark.parametrize("sort", SORTS)
def test_the_column_that_it_sorts_by_is_told(sort: str) -> None:
    assert f"now by {sort}" in drawn(figures(), sort=sort)[-1]


def test_where_the_encoding_is_ascii() -> None:
    made = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    console = Console(width=100, height=31, file=made, force_terminal=True, color_system=None)
    console.print(Screen("tcp://robot:4242", 1.0, console).picture(figures(), height=31))
    made.flush()
    told = made.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]
    assert "Robot  zerorpc 1.0 - pid 7" in told
    assert "####" in told


@pytest.mark.parametrize("name", ["\x1b[2J", "a\nb", "x" * 500, "[bold]", "日本" * 30])
def test_a_server_commands_no_terminal(name: str) -> None:
    hostile = {"name": name, "version": name}
    call = {"method": name, "caller": name, "seconds": 1}
    blocked = [{"method": name, "seconds": 1, "when": 100, "stack": name}]
    errors = [{"method": name, "error": name, "message": name, "when": 100, "caller": name}]
    methods = [{"name": name, "calls": 1}]
    made = figures(**hostile, methods=methods, calls=[call], blocked=blocked, errors=errors)
    rows = drawn(made)
    assert len(rows) <= 31
    assert "\x1b" not in "".join(rows)


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -1, 1e300])
def test_odd_numbers(odd: float) -> None:
    call = {"method": "m", "seconds": odd}
    assert drawn(figures(uptime=odd, loop_lag=odd, calls=[call], blocked=[{"when": odd, "seconds": odd}]))
