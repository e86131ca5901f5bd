"""The examples that need more than a command: arrays, a notebook, a web service, pytest.

tests/test_readme.py runs the others.
"""

from __future__ import annotations

import asyncio
import json
import re
import runpy
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.running import eventually_async, serving
from tests.test_readme import STRICT_PYTHON, Surroundings, example, run_example

EXAMPLES = Path(__file__).parents[1] / "examples"
HERE = "tcp://127.0.0.1:4242"  # in the examples; a test moves it

# Runs each cell as Jupyter does: on a loop that runs already, where it may await.
NOTEBOOK = """
import ast, asyncio, json, pathlib
async def play():
    names = {"__name__": "__main__"}
    for number, cell in enumerate(json.loads(pathlib.Path("cells.json").read_text())):
        code = compile(cell, f"cell {number}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        waiting = eval(code, names)
        if waiting is not None:
            await waiting
asyncio.run(play())
"""


@pytest.fixture
def surroundings() -> Iterator[Surroundings]:
    with tempfile.TemporaryDirectory(prefix="zerorpc-") as folder:
        surroundings = Surroundings(Path(folder))
        yield surroundings
        surroundings.end()


@pytest.fixture
def instrument(surroundings: Surroundings) -> str:
    """Where it is."""
    endpoint = surroundings.moved(HERE)
    surroundings.start(*example("instrument", "serve", endpoint), says=f"listening on {endpoint}")
    return endpoint


def test_the_list_of_examples_has_each_of_them() -> None:
    listed = re.findall(r"^\| \[(.+?)\]\(\1\) \| .+ \|$", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in EXAMPLES.glob("*.[pi]*"))


# The instrument


def test_arrays_and_types_travel_as_themselves(surroundings: Surroundings, instrument: str) -> None:
    said = run_example(surroundings, "instrument", "measure", instrument)
    corner = said.pop(2)
    assert re.fullmatch(r"a corner of one: \[\[\d+, \d+, \d+\], \[\d+, \d+, \d+\]\]", corner)
    assert said == [
        "exposure was Exposure(seconds=0.02, gain=<Gain.LOW: 1>)",
        "one picture: (480, 640) uint16 mean 2000.0",
        "live picture 0 (480, 640)",
        "live picture 1 (480, 640)",
        "live picture 2 (480, 640)",
        "against itself: 0.0",
        "refused: expose(): exposure.seconds: expected float, got str",
    ]


def test_without_arguments_it_says_how_it_is_used(surroundings: Surroundings) -> None:
    command = surroundings.start(*example("instrument"))
    assert command.finish() == 2
    assert command.said == "usage: python instrument.py serve|measure [endpoint]\n"


def test_the_cells_of_the_notebook_run_one_after_the_other(surroundings: Surroundings, instrument: str) -> None:
    notebook = json.loads((EXAMPLES / "notebook.ipynb").read_text(encoding="utf-8"))
    assert all(cell["outputs"] == [] for cell in notebook["cells"] if cell["cell_type"] == "code")
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    shutil.copy(EXAMPLES / "instrument.py", surroundings.folder)
    (surroundings.folder / "cells.json").write_text(json.dumps([surroundings.moved(cell) for cell in cells]))
    played = surroundings.start(*STRICT_PYTHON, "-c", NOTEBOOK)
    assert played.finish() == 0, played
    shape, noise, equal = played.said.splitlines()
    assert (shape, equal) == ("(480, 640) uint16", "equal: False")
    assert re.fullmatch(r"noise of one: 11\d\d - of ten: 3\d\d", noise)  # the root of ten less


# The web service


def test_a_browser_gets_what_the_service_says(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fastapi", reason="FastAPI is not installed")
    httpx = pytest.importorskip("httpx", reason="httpx is not installed")
    cooler = runpy.run_path(str(EXAMPLES / "cooler.py"))["Cooler"]
    with serving(cooler()) as server:
        monkeypatch.setenv("COOLER", server.endpoints[0])
        app = runpy.run_path(str(EXAMPLES / "web.py"))["app"]

        async def browse() -> None:
            transport = httpx.ASGITransport(app)
            client = httpx.AsyncClient(transport=transport, base_url="http://web")
            async with app.router.lifespan_context(app), client as web:
                assert (await web.get("/cool", params={"sentence": "hi"})).json() == "hi, man!"
                assert (await web.get("/countdown/2")).text == "2\n1\n"
                refused = await web.get("/divide", params={"dividend": 1, "divisor": 0})
                assert (refused.status_code, refused.json()) == (422, {"detail": "ZeroDivisionError: division by zero"})
                server.stop()
                await eventually_async(lambda: not server._core.life.serving)  # until then it answers
                away = await web.get("/cool", params={"sentence": "hi"}, timeout=20)
                assert (away.status_code, away.json()) == (503, {"detail": "the service can't be reached"})

        asyncio.run(browse())


# pytest


def test_the_tests_of_the_cooler_pass(surroundings: Surroundings) -> None:
    for name in ("cooler.py", "test_cooler.py"):
        shutil.copy(EXAMPLES / name, surroundings.folder)
    tested = surroundings.start(*STRICT_PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_cooler.py")
    assert tested.finish() == 0, tested
    assert "5 passed" in tested.said
