"""Every fault of the network, with both clients, between hosts that are network namespaces."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from tests.faults.network.cases import CASES, Figures
from tests.faults.network.scene import KINDS
from tests.faults.network.stage import Stage

pytestmark = pytest.mark.timeout(120)  # the first test waits for most of those that were begun with it

BY_NAME = {case.name: case for case in CASES if not case.long}
Results = dict[tuple[str, str], Future[Figures]]


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest) -> Iterator[Results]:
    """All that pytest will ask for, begun at once."""
    chosen = [item.callspec.params for item in request.session.items if item.path == request.path]
    stage = Stage()
    try:
        yield stage.begin((BY_NAME[each["name"]], each["kind"]) for each in chosen if "name" in each)
    finally:
        stage.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", BY_NAME)
def test_fault(results: Results, name: str, kind: str) -> None:
    assert results[name, kind].result()
