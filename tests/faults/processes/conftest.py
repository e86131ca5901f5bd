"""The slow cases, which mostly wait, run beside the others: begun before the first, asked for their outcome last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.faults.processes.apart import Apart
from tests.faults.processes.stage import Case, run_case
from tests.interop.programs import LIVE


@pytest.fixture(scope="package")
def begun(request: pytest.FixtureRequest) -> Iterator[dict[str, Apart]]:
    """The slow cases that are to be run."""
    cases = [item.callspec.params.get("case") for item in request.session.items if hasattr(item, "callspec")]
    begun = {str(case): Apart(case) for case in cases if isinstance(case, Case) and case.slow}
    yield begun
    for apart in begun.values():
        apart.end()


@pytest.fixture
def outcome(begun: dict[str, Apart]) -> Callable[[Case], dict[str, Any]]:
    """Runs a case, or waits for one that was begun; its figures."""
    return lambda case: begun[str(case)].figures() if case.slow else run_case(case)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each case with its own time limit, which a machine that is busy with other things keeps as well."""
    for item in items:
        case = getattr(item, "callspec", None) and item.callspec.params.get("case")
        if isinstance(case, Case):
            item.add_marker(pytest.mark.timeout(4 * case.seconds + 60))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if report.failed:
        report.sections += [(f"stderr of {program!r}", program.stderr()) for program in LIVE]
    return report
