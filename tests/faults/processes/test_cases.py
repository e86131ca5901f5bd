"""Every fault of this room, for each kind of caller."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.processes.cases import ALL
from tests.faults.processes.stage import Case

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes the way Linux shows them")


@pytest.mark.parametrize("case", sorted(ALL, key=lambda case: case.slow), ids=str)
def test_a_fault(case: Case, outcome: Callable[[Case], dict[str, Any]]) -> None:
    figures = outcome(case)
    print(case, figures)
    assert figures
