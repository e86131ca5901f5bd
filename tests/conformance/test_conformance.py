"""Every conversation with every implementation. What is known to deviate has to, or the note about it is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from tests.conformance.driver.cases import load
from tests.conformance.driver.stage import Stage
from tests.conformance.implementations import CLIENTS, IMPLEMENTATIONS, SERVERS

pytestmark = pytest.mark.timeout(120)  # the first test of an implementation may wait for all that were begun with it

CASES = {case.name: case for case in load()}
Results = dict[str, Future[str | None]]


class Deviation(AssertionError):
    """What a strict xfail expects: anything else that goes wrong is a failure also where a deviation is known."""


@pytest.fixture(scope="module", params=SERVERS)
def of_server(request: pytest.FixtureRequest) -> Iterator[Results]:
    yield from begun(request)


@pytest.fixture(scope="module", params=CLIENTS)
def of_client(request: pytest.FixtureRequest) -> Iterator[Results]:
    yield from begun(request)


def begun(request: pytest.FixtureRequest) -> Iterator[Results]:
    """One implementation's results. All cases that pytest will ask for are begun at once: most of them only wait."""
    chosen = [item.callspec.params for item in request.session.items if item.path == request.path]
    names = [each["name"] for each in chosen if each.get(request.fixturename) == request.param]
    stage = Stage(IMPLEMENTATIONS[request.param]())
    try:
        yield stage.begin(CASES[name] for name in names)
    finally:
        stage.close()


def check(request: pytest.FixtureRequest, implementation: str, name: str, results: Results) -> None:
    known = CASES[name].deviations.get(implementation)
    if known is not None:
        request.applymarker(pytest.mark.xfail(raises=Deviation, strict=True, reason=known))
    deviation = results[name].result()
    if deviation is not None:
        raise Deviation(deviation)


@pytest.mark.parametrize("name", [case.name for case in CASES.values() if case.role == "server"])
def test_server(request: pytest.FixtureRequest, of_server: Results, name: str) -> None:
    check(request, request.node.callspec.params["of_server"], name, of_server)


@pytest.mark.parametrize("name", [case.name for case in CASES.values() if case.role == "client"])
def test_client(request: pytest.FixtureRequest, of_client: Results, name: str) -> None:
    check(request, request.node.callspec.params["of_client"], name, of_client)
