"""The scenes of `make demo`, at a free port. Left out: the first, which README shows too, and the measurement."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from tests.service.running import unused_port

DEMO = Path(__file__).parents[1] / "demo" / "run.py"
SHOWN = {
    "reverse_the_roles": ["--bind tcp://0:1234 localtime"],
    "stream": ["countdown 5", "5", "4", "3", "2", "1"],
    "types_keywords_and_arrays": [".picture(rows=2, columns=3))", "]]", "one picture: (480, 640)", "refused: expose()"],
    "by_http": ["--bind http://127.0.0.1:1234", "/call/picture", "]]", "expected int, got str"],
    "listen_twice": ["zerorpc-client ipc://"],
}


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch, ipc_endpoint: str) -> Any:
    port = str(unused_port())
    monkeypatch.setenv("PORT", port)
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    assert spec
    assert spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.IPC = ipc_endpoint
    return module


@pytest.mark.parametrize("scene", SHOWN)
def test_a_scene_shows_what_it_promises(demo: Any, capsys: pytest.CaptureFixture[str], scene: str) -> None:
    started: list[Any] = []
    try:
        getattr(demo, scene)(demo.Terminal(started))  # raises Failure if a command says something else
    finally:
        for command in started:
            command.end()
    said = capsys.readouterr().out.replace(demo.PORT, "1234")
    for text in SHOWN[scene]:
        before, found, said = said.partition(text)
        assert found, f"no {text!r} in {before}"


def test_every_scene_is_played(demo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[str] = []
    for scene in [*SHOWN, "serve_a_module", "measure"]:
        monkeypatch.setattr(demo, scene, lambda terminal, scene=scene: played.append(scene))
    demo.show(demo.Terminal([]))
    assert sorted(played) == sorted([*SHOWN, "serve_a_module", "measure"])
