"""``zerorpc doctor`` on the servers that came before ours."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.interop.programs import PATIENCE


def test_what_an_older_server_lacks_is_told(older: str) -> None:
    command = [sys.executable, "-m", "zerorpc", "doctor", "--json", "--timeout", str(PATIENCE), older]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = {each["check"]: each for each in json.loads(done.stdout)}
    assert told["peer"]["verdict"] == "warning"
    assert "keyword arguments" in told["peer"]["remedy"]
    assert told["answer"]["verdict"] == told["inspect"]["verdict"] == "ok"
