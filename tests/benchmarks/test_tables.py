"""results.md, and the table of targets in docs/performance.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import targets
from benchmarks.report import markdown, number
from tests.benchmarks.reports import report, rounds

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"


@pytest.mark.parametrize(
    "line",
    [
        "| **zerorpc, AsyncClient** | 21.0 | 200,000 |",  # one at a time in µs, in flight in calls a second
        "| gRPC aio | 500 | – |",
        "| *floor: uvloop* | 9.30 | – |",
        "| **zerorpc, AsyncClient** | 2,097 |",  # 1 MiB in MB/s, both ways
        "| **zerorpc, AsyncClient** | 101 | 101 | 2,004 |",  # percentiles
        "| gRPC aio | (101) | (101) | (2,004) |",  # a rate that it didn't hold
        "| **zerorpc, AsyncClient** | 14.0 + 7.00 | 3.33 + 1.67 | 667 + 333 | 667 + 333 |",  # CPU
        "| zerorpc | 20 |",  # ms of its import over bare Python
        "| zerorpc | 120 |",  # ms of its command line
        "| zerorpc, AsyncClient: idle connection | 4,096 | 5,000 | 0.50 |",
        "| 2 | 190,000 | 5.10 | 0.10 |",
        "- zerorpc, AsyncClient: zerorpc 1",
        "- gRPC aio: grpcio 2; a note",
        "- Pyro5: missing, no wheel for this Python",
        "- gRPC aio, flight-100: failed every time on one core: no answer in 60 s",
        "- floor: uvloop, flight-100: it is made up",
    ],
)
def test_the_tables_have(line: str) -> None:
    assert line in markdown(report()).splitlines()


def test_who_has_no_figures_has_no_row() -> None:
    rows = [line for line in markdown(report()).splitlines() if line.startswith("| Pyro5")]
    assert rows == []


def test_a_machine_that_was_not_quiet_is_told_of() -> None:
    quiet = report()
    disturbed = report()
    disturbed["measured"]["one core"]["alone"]["async"]["rounds"][0]["server_cpu"] = 0.0
    assert "not quiet" not in markdown(quiet)
    assert "in 20% of the measurements on one core, other programs had more than 10% of that core" in markdown(
        disturbed
    )


def test_a_run_of_few_cases_says_nothing_of_targets() -> None:
    assert "## Targets" not in markdown(report())


@pytest.mark.parametrize(("value", "text"), [(1234.5, "1,234"), (99.94, "99.9"), (9.876, "9.88"), (0.5, "0.50")])
def test_numbers_have_the_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


def row(name: str, made: dict[str, object]) -> list[str]:
    lines = [line for line in targets.table(made).splitlines() if line.startswith(f"| {name}")]
    assert len(lines) == 1
    return [cell.strip() for cell in lines[0].strip("|").split("|")]


@pytest.mark.parametrize(
    ("name", "measured", "met"),
    [
        ("one call at a time, AsyncClient", "21.0 µs", "yes"),
        ("one call at a time, blocking Client", "not measured", "?"),
        ("1 MiB echo", "2,097 MB/s", "**no**"),
        ("`import zerorpc`", "20 ms", "yes"),
        ("`zerorpc-client`", "120 ms", "yes"),
        ("idle connection", "4.0 KiB", "yes"),
        ("`processes=2`", "1.90 ×", "yes"),
    ],
)
def test_a_target_is_judged(name: str, measured: str, met: str) -> None:
    assert row(name, report())[2:4] == [measured, met]


@pytest.mark.parametrize(
    ("grpc_us", "capnp_us", "met"),
    [(500, 50, "yes"), (200, 50, "**no**"), (500, 20, "**no**"), (500, None, "?"), (200, None, "**no**")],
)
def test_a_target_may_be_a_multiple_of_what_peers_reach(grpc_us: float, capnp_us: float | None, met: str) -> None:
    made = report()
    flight = made["measured"]["one core"]["flight-100"]
    flight["grpc-aio"] = rounds(grpc_us)
    if capnp_us is not None:
        flight["pycapnp"] = rounds(capnp_us)
    assert row("echo, 100 in flight, async handler", made)[3] == met


@pytest.mark.parametrize(("thrift_us", "met"), [(20, "yes"), (10, "**no**"), (None, "?")])
def test_a_target_may_be_to_be_quicker_than_a_peer(thrift_us: float | None, met: str) -> None:
    made = report()
    made["measured"]["one core"]["alone"]["blocking"] = rounds(15)
    if thrift_us is not None:
        made["measured"]["one core"]["alone"]["thriftpy2"] = rounds(thrift_us)
    assert row("one call at a time, blocking Client", made)[3] == met


def test_the_page_has_a_place_for_the_table_and_keeps_the_rest() -> None:
    page = PAGE.read_text(encoding="utf-8")
    made = targets.put_into(page, report())
    assert targets.table(report()) in made
    assert targets.put_into(made, report()) == made
    assert made.partition(targets.BEGIN)[0] == page.partition(targets.BEGIN)[0]
    assert made.partition(targets.END)[2] == page.partition(targets.END)[2]


def test_a_page_without_a_place_is_refused() -> None:
    with pytest.raises(ValueError, match="no <!-- targets"):
        targets.put_into("# Nothing here", report())
