"""What is told to who typed something that can't be meant."""

from __future__ import annotations

import os
import sys


class UsageError(Exception):
    """The command line is wrong: `problem` says how, `remedy` what to type instead."""

    def __init__(self, problem: str, remedy: str | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy: str = remedy or f"type: {program_name()} --help"


def program_name() -> str:
    """What the user typed to start us, to be repeated where we say what to type."""
    name = os.path.basename(sys.argv[0])
    return "python -m zerorpc" if name == "__main__.py" else name
