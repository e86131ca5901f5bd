"""What SECURITY.md promises and no other test shows."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "zerorpc"

# They could make code run from bytes; a reader of bytes from the network must not know them.
UNSAFE_MODULES = {"pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "multiprocessing.reduction"}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__"}

# Between a server and its own worker processes, through pipes that nobody else can open.
OWN_PIPES = {"service/process_jobs.py", "service/process_worker.py", "service/carried_errors.py"}


def test_only_what_talks_to_our_own_worker_processes_knows_pickles() -> None:
    assert {path for path, name in used() if name in UNSAFE_MODULES} == OWN_PIPES


def test_nothing_is_evaluated() -> None:
    """But by those again: they make the frames of a worker's traceback; and what the user types into a prompt."""
    assert {path for path, name in used() if name in UNSAFE_CALLS} <= {*OWN_PIPES, "cli/prompt.py"}


def used() -> list[tuple[str, str]]:
    """Each module imported and each function called by its bare name, with the file that does it."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        file = path.relative_to(SOURCE).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found += [(file, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                found.append((file, str(node.module)))
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                found.append((file, node.func.id))
    return found
