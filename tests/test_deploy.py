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
import urllib.request
from pathlib import Path

import pytest

import zerorpc
from tests.cli.programs import Program
from tests.service.running import serving, unused_port
from zerorpc.observe.counts import OUTCOMES

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
    needed = {PROJECT["readme"], *PROJECT["license-files"], "pyproject.toml", "src"}  # to build the wheel
    assert {name for name in needed if not name.startswith("src/")} <= set(copied)
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


# Prometheus

PROMETHEUS = ROOT / "deploy" / "prometheus"
METRIC = re.compile(r"\bzerorpc_[a-z_]+\b")


@pytest.fixture(scope="module")
def told() -> set[str]:
    """The names of all metrics that a server tells."""
    client_library = pytest.importorskip("prometheus_client.parser", reason="prometheus_client is not installed")
    with serving({"add": lambda a, b: a + b}, metrics=True) as server, zerorpc.Client(server.endpoints[0]) as client:
        assert client.add(1, 2) == 3
        (http,) = server.bind("http://127.0.0.1:0")
        with urllib.request.urlopen(f"{http}/metrics") as response:
            families = client_library.text_string_to_metric_families(response.read().decode())
            return {sample.name for family in families for sample in family.samples}


def expressions() -> list[str]:
    """Those of the panels, of the variables, and of the alerts."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    board = json.loads((PROMETHEUS / "dashboard.json").read_text(encoding="utf-8"))
    rules = yaml.safe_load((PROMETHEUS / "alerts.yaml").read_text(encoding="utf-8"))
    found = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    found += [variable["definition"] for variable in board["templating"]["list"] if "definition" in variable]
    return found + [rule["expr"] for group in rules["groups"] for rule in group["rules"]]


def test_each_metric_that_is_looked_at_is_told_and_each_that_is_told_is_looked_at(told: set[str]) -> None:
    named = {name for text in expressions() for name in METRIC.findall(text)}
    assert named <= told
    looked_at = {re.sub("_(bucket|sum|count)$", "", name) for name in named}
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in told} == looked_at


def test_the_panels_of_the_dashboard_stand_side_by_side() -> None:
    panels = json.loads((PROMETHEUS / "dashboard.json").read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in panels
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23, "Grafana has 24 columns"


def test_the_outcomes_that_alerts_look_for_exist() -> None:
    named = {
        outcome
        for text in expressions()
        for found in re.findall(r'outcome[!=]?=?~?"([^"]+)"', text)
        for outcome in found.split("|")
    }
    assert {"raised", "gone", "ServerOverloaded"} <= named <= set(OUTCOMES)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_takes_the_rules() -> None:
    command = ["promtool", "check", "rules", str(PROMETHEUS / "alerts.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_nothing_to_say_about_what_a_server_tells() -> None:
    with serving({"add": lambda a, b: a + b}, metrics=True) as server, zerorpc.Client(server.endpoints[0]) as client:
        assert client.add(1, 2) == 3
        (http,) = server.bind("http://127.0.0.1:0")
        with urllib.request.urlopen(f"{http}/metrics") as response:
            text = response.read()
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
