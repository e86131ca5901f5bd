"""The implementations that this project's tests put through the conversations; each is set up when it is asked for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.conformance.driver.programs import Implementation
from tests.interop.node.set_up import node as node_program
from tests.interop.old_venv import old_python

_PROGRAMS = Path(__file__).parent / "programs"


def ours() -> Implementation:
    command = [sys.executable, str(_PROGRAMS / "our_client.py")]
    return Implementation("zerorpc", [sys.executable, str(_PROGRAMS / "our_server.py")], command)


def ours_blocking() -> Implementation:
    return Implementation("zerorpc-blocking", None, [sys.executable, str(_PROGRAMS / "our_client.py"), "--blocking"])


def old() -> Implementation:
    python = old_python()
    hidden = {"PYTHONPATH", "PYTHONHOME"}  # they would lead it to our own packages
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    programs = [[python, str(_PROGRAMS / name)] for name in ("old_server.py", "old_client.py")]
    return Implementation("python-0.6.3", programs[0], programs[1], environment)


def node() -> Implementation:
    program = node_program()
    commands = [[program, str(_PROGRAMS / name)] for name in ("node_server.js", "node_client.js")]
    return Implementation("node-0.9.8", *commands)


IMPLEMENTATIONS = {"zerorpc": ours, "zerorpc-blocking": ours_blocking, "python-0.6.3": old, "node-0.9.8": node}
SERVERS = ["zerorpc", "python-0.6.3", "node-0.9.8"]
CLIENTS = ["zerorpc", "zerorpc-blocking", "python-0.6.3", "node-0.9.8"]
