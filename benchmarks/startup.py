"""How long it takes until anything happens: imports, and one call from the command line, start to exit."""

from __future__ import annotations

import functools
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import roster
from benchmarks.programs import Failure, Program
from benchmarks.venvs import ROOT, last_words

TIMES = 11  # each; medians are taken
PATIENCE = 60.0  # seconds for one
# The command lines that there are. The old one dies on today's Python before it prints: this is all that is mended.
OLD_COMMAND = "tests/interop/old_programs/cli.py"
COMMANDS = {"async": ["zerorpc-client"], "old": ["python", OLD_COMMAND]}
NOTHING = "bare Python"


def measure(pythons: Mapping[str, Path], core: int, times: int = TIMES) -> dict[str, Any]:
    """Milliseconds from start to exit: for each peer's import, for bare Python, and for the command lines."""
    imports = {peer.title: peer for peer in roster.PEERS if peer.module and peer.key in pythons}
    commands = {title: [str(pythons[peer.key]), "-c", f"import {peer.module}"] for title, peer in imports.items()}
    bare = next(iter(pythons.values()))
    return {
        "import": in_turns({NOTHING: [str(bare), "-c", "pass"], **commands}, core, times),
        "command_line": _command_lines(pythons, core, times),
    }


def _command_lines(pythons: Mapping[str, Path], core: int, times: int) -> dict[str, list[float]]:
    servers: list[Program] = []
    commands = {}
    try:
        for key, (name, *arguments) in COMMANDS.items():
            if key in pythons:
                peer = roster.BY_KEY[key]
                servers.append(Program(pythons[key], peer, [core], "server", peer.flavour))
                endpoint = servers[-1].read()["endpoint"]
                commands[peer.title] = [str(pythons[key].with_name(name)), *arguments, endpoint, "echo", "hello world"]
        return in_turns(commands, core, times)
    finally:
        for server in servers:
            server.end()


def in_turns(commands: Mapping[str, Sequence[str]], core: int, times: int) -> dict[str, list[float]]:
    """Run each command so often, one after the other; how many milliseconds each run took. Raises Failure."""
    for command in commands.values():
        run(command, core)  # compiles what isn't yet, and brings files into memory
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(times):
        for name, command in commands.items():
            begun = time.perf_counter()
            run(command, core)
            taken[name].append(round((time.perf_counter() - begun) * 1e3, 2))
    return taken


def run(command: Sequence[str], core: int) -> None:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=PATIENCE,
        check=False,
        preexec_fn=functools.partial(os.sched_setaffinity, 0, [core]),
    )
    if done.returncode:
        raise Failure(f"{Path(command[0]).name} ended with exit code {done.returncode}: {last_words(done.stderr)}")
