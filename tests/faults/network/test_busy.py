"""Faults of the network under hundreds of calls: begun apart from those that would be late because of them."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from tests.faults.network.cases import CASES, Figures
from tests.faults.network.scene import KINDS

pytestmark = pytest.mark.timeout(120)  # the first test waits for most of those that were begun with it

NAMES = [case.name for case in CASES if case.busy]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_fault(results: dict[tuple[str, str], Future[Figures]], name: str, kind: str) -> None:
    assert results[name, kind].result()
