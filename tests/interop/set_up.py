"""What the tests with other programs need: makes what can be made, says what is missing and what then is skipped.

`make test` and `make test-interop` run it, as `python -m tests.interop.set_up`, so that no test's time limit pays.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.interop.mcp_suite import set_up as mcp_suite
from tests.interop.node.set_up import choose, install
from tests.interop.old_venv import old_python, telling_python
from tests.interop.requirements import found
from tests.interop.wsgi import servers

ROOT = Path(__file__).parents[2]
NAME = r"\"([\w.+-]+)\""
NEEDS = re.compile(rf"\bneeds\({NAME}, {NAME}(?:, instead={NAME})?\)")  # the calls of requirements.needs()


def main() -> None:
    try:
        old_python()
        telling_python()
        complaints = list(missing_programs(ROOT / "tests"))
        node = choose()
        if isinstance(node, str):
            complaints.append(f"{node} (for tests/interop/node)")
        else:
            install(node)
        complaints += servers.complaints_of_install()
        complaints += mcp_suite.complaints_of_install()
    except RuntimeError as error:
        lines = str(error).splitlines()
        sys.exit(f"the tests can't be set up: {lines[0]} {lines[-1]}")
    for complaint in complaints:
        print(f"{complaint}; the tests that use it are skipped")
    if complaints and os.environ.get("CI") == "true":
        sys.exit("CI has to run all tests")


def missing_programs(folder: Path) -> Iterator[str]:
    """A line for each program that the tests in a folder need and that isn't there, from the tests themselves."""
    users: dict[tuple[str, str, str], list[str]] = {}
    for path in sorted(folder.rglob("*.py")):
        for needed in NEEDS.findall(path.read_text(encoding="utf-8")):
            users.setdefault(needed, []).append(path.relative_to(folder.parent).as_posix())
    for (program, package, instead), files in sorted(users.items()):
        if not (found(program) or found(instead)):
            yield f"{program} is missing: apt-get install {package} (for {', '.join(files)})"


if __name__ == "__main__":
    main()
