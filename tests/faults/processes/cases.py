"""All cases, in the order in which the table of docs/reliability.md has them."""

from __future__ import annotations

from tests.faults.processes import ends, forks, limits, repeats, restarts, silence
from tests.faults.processes.stage import CASES, Case

__all__ = ["ALL"]

MODULES = (ends, silence, repeats, restarts, limits, forks)

ALL: list[Case] = sorted(CASES, key=lambda each: [module.__name__ for module in MODULES].index(each.run.__module__))
