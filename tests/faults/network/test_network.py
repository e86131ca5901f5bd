"""Every fault of the network, with both clients, between hosts that are network namespaces."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from tests.faults.network.cases import CASES, Figures
from tests.faults.network.scene import KINDS

pytestmark = pytest.mark.timeout(240)  # the first test waits for most of those that were begun with it

NAMES = [case.name for case in CASES if not case.long and not case.busy]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_fault(results: dict[tuple[str, str], Future[Figures]], name: str, kind: str) -> None:
    assert results[name, kind].result()
