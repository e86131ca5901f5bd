"""What deploy/ shows fits to what is published: its commands run here as they are written there.

HAProxy's configuration is run by tests/interop/test_haproxy.py.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.cli.programs import Program
from tests.service.running import unused_port

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "deploy" / "docker"
UNIT = ROOT / "deploy" / "systemd" / "cooler.service"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
INSTRUCTIONS = {"FROM", "RUN", "COPY", "WORKDIR", "USER", "EXPOSE", "CMD", "HEALTHCHECK"}


def serve_and_call(command: list[str], folder: Path, call: list[str]) -> None:
    """Run a command that serves, and one that calls it, both at a free port; SIGTERM has to end the server well."""
    shutil.copy(ROOT / "examples" / "cooler.py", folder)
    port = str(unused_port())
    server = Program(*moved(command, port)[1:], folder=folder, script=command[0])
    try:
        server.wait_for("serving")
        caller = Program(*moved(call, port)[1:], folder=folder, script=call[0])
        try:
            outcome = caller.finish()
        finally:
            caller.end()
        assert outcome.code == 0, outcome
        server.process.send_signal(signal.SIGTERM)
        assert server.finish().code == 0
    finally:
        server.end()


def moved(command: list[str], port: str) -> list[str]:
    return [word.replace(":4242", f":{port}") for word in command]


# systemd


def test_the_unit_serves_and_ends_well(tmp_path: Path) -> None:
    (line,) = re.findall(r"^ExecStart=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)
    program, *arguments = shlex.split(line)
    assert Path(program).name in PROJECT["scripts"]
    call = ["zerorpc", "tcp://127.0.0.1:4242", "add_man", "hi"]
    serve_and_call([Path(program).name, *arguments], tmp_path, call)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "zerorpc"  # in place of the unit's, which has to be there
    text = UNIT.read_text(encoding="utf-8").replace("/opt/cooler/venv/bin/zerorpc", str(program))
    unit = tmp_path / UNIT.name
    unit.write_text(text.replace("/opt/cooler", str(tmp_path)), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if UNIT.name in line]) == (0, []), done


# Docker


def instructions() -> list[tuple[str, str]]:
    """Those of the Dockerfile, each with what follows it, a line for each."""
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split()[0], line.partition(" ")[2]) for line in text.splitlines() if line]


def test_the_image_copies_and_installs_what_there_is() -> None:
    assert {name for name, _ in instructions()} <= INSTRUCTIONS
    let_through = re.findall(r"^!(.+)$", (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    copied = [word for name, rest in instructions() if name == "COPY" for word in rest.split()[:-1]]
    assert sorted(copied) == sorted(let_through)
    assert all((ROOT / path).exists() for path in copied)
    assert {PROJECT["readme"], *PROJECT["license-files"], "pyproject.toml", "src"} <= set(copied)  # to build the wheel
    named = {extra for name, rest in instructions() if name == "RUN" for extra in re.findall(r"\[(\w+)\]", rest)}
    assert named
    assert named <= set(PROJECT["optional-dependencies"])


def test_the_image_has_a_python_that_is_tested() -> None:
    (version,) = {re.match(r"python:([\d.]+)-slim", rest)[1] for name, rest in instructions() if name == "FROM"}  # type: ignore[index]
    assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]


def test_the_image_serves_and_knows_that_it_is_well(tmp_path: Path) -> None:
    found = dict(instructions())
    health = found["HEALTHCHECK"].partition("CMD ")[2]
    serve_and_call(json.loads(found["CMD"]), tmp_path, json.loads(health))


def test_the_composed_services_find_each_other(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    composed = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))["services"]
    for service in composed.values():
        context = (DOCKER / service["build"]["context"]).resolve()
        assert context == ROOT
        assert (context / service["build"]["dockerfile"]).is_file()
    (needed,) = composed["caller"]["depends_on"]
    assert needed in composed
    call = composed["caller"]["command"]
    assert f"tcp://{needed}:4242" in call
    here = [word.replace(needed, "127.0.0.1") for word in call]
    serve_and_call(json.loads(dict(instructions())["CMD"]), tmp_path, here)
