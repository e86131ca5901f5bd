"""Tools that go by ``/openapi.json``: one that calls whatever it says, and one that makes a client of it."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.running import PATIENCE, Program

# Not those that say that what is invalid has to be refused, and what is valid taken: JSON Schema has no word for what
# base64 is, or a number with a fraction, and natural forms are taken.
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "missing_required_header",
    "unsupported_method",
]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with Program(Path(__file__).parent / "tools_service.py") as program:
        yield program.line()


@pytest.mark.timeout(500)
def test_schemathesis(endpoint: str, tmp_path: Path) -> None:
    """The server keeps what it promises, whatever it is asked."""
    command = [Path(sys.executable).with_name("schemathesis"), "run", f"{endpoint}/openapi.json", "--seed", "1"]
    options = ["--checks", ",".join(CHECKS), "--max-examples", "20", "--no-color", "--phases", "coverage,fuzzing"]
    # It computes for 10 s: where two runs of all tests share two cores that takes 100.
    told = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, timeout=450, check=False)
    assert told.returncode == 0, told.stdout[-5000:]
    assert "Tested: 15" in told.stdout


@pytest.fixture(scope="module")
def generated(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("generated")
    (folder / "openapi.json").write_bytes(httpx.get(f"{endpoint}/openapi.json", timeout=PATIENCE).content)
    command = [str(Path(sys.executable).with_name("openapi-python-client")), "generate", "--meta", "none"]
    options = ["--path", folder / "openapi.json", "--output-path", folder / "made_client"]
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}  # it lets ruff put its files in shape
    told = subprocess.run(
        [*command, *options], capture_output=True, text=True, timeout=100, env=environment, check=False
    )
    assert told.returncode == 0, told.stdout
    sys.path.insert(0, str(folder))
    yield importlib.import_module("made_client")
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == "made_client"]:
        del sys.modules[name]


def test_a_client_that_is_generated(generated: Any, endpoint: str) -> None:
    models = importlib.import_module("made_client.models")
    with generated.Client(base_url=endpoint) as client:

        def call(method: str, *body: object, **arguments: object) -> Any:
            module = importlib.import_module(f"made_client.api.default.{method}")
            return module.sync(client=client, **({"body": body[0]} if body else {}), **arguments)

        assert call("add", models.AddBody(a=1)) == 3
        assert call("add", models.AddBody(a=1, b=5)) == 6
        point = call("move", models.MoveBody(to=models.Point(x=1.5), speed=2.0))
        assert (point.x, point.y) == (1.5, 2.0)
        assert call("paint", models.PaintBody(colour=models.Colour.BLUE)) == ["blue", "None"]
        assert call("find_by_get", name="anna") == ["anna"]
        problem = call("limited", models.LimitedBody(n=11))
        assert (problem.status, problem.title, problem.ran) == (400, "InvalidArguments", False)
