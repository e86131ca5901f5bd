"""The slow cases, which mostly wait, run beside the others: begun before the first, asked for their outcome last."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.faults.processes.stage import Case, run_case
from tests.interop.programs import LIVE

Outcome = concurrent.futures.Future[dict[str, Any]]


def _begin(case: Case) -> Outcome:
    outcome: Outcome = concurrent.futures.Future()

    def run() -> None:
        try:
            outcome.set_result(run_case(case))
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, name=str(case), daemon=True).start()
    return outcome


@pytest.fixture(scope="package")
def begun(request: pytest.FixtureRequest) -> Iterator[dict[str, Outcome]]:
    """The slow cases that are to be run."""
    cases = [item.callspec.params["case"] for item in request.session.items if hasattr(item, "callspec")]
    outcomes = {str(case): _begin(case) for case in cases if isinstance(case, Case) and case.slow}
    yield outcomes
    concurrent.futures.wait(outcomes.values(), 60)


@pytest.fixture
def outcome(begun: dict[str, Outcome]) -> Callable[[Case], dict[str, Any]]:
    """Runs a case, or waits for one that was begun; its figures."""
    return lambda case: begun[str(case)].result(case.seconds) if case.slow else run_case(case)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each case with its own time limit; the slow ones last."""
    for item in items:
        case = getattr(item, "callspec", None) and item.callspec.params.get("case")
        if isinstance(case, Case):
            item.add_marker(pytest.mark.timeout(case.seconds + 5))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if report.failed:
        report.sections += [(f"stderr of {program!r}", program.stderr()) for program in LIVE]
    return report
