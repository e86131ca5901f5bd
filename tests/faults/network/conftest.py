"""The outcomes of the cases."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from tests.faults.network.cases import CASES, Figures
from tests.faults.network.stage import Stage

Results = dict[tuple[str, str], Future[Figures]]


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest) -> Iterator[Results]:
    """All that pytest will ask for in this file, begun at once."""
    by_name = {case.name: case for case in CASES}
    chosen = [item.callspec.params for item in request.session.items if item.path == request.path]
    stage = Stage()
    try:
        yield stage.begin((by_name[each["name"]], each["kind"]) for each in chosen if "name" in each)
    finally:
        stage.close()
