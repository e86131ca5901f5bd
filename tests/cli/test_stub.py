"""``zerorpc stub``: what type checkers make of it, and that a typed client works with it."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray

import zerorpc
from tests.service.running import PATIENCE, run, serving
from zerorpc.cli import main

ROOT = Path(__file__).parents[2]
CHECKERS = {
    "mypy": (["mypy", "--strict"], r"program\.py:(\d+): error"),
    "pyright": (["pyright"], r"program\.py:(\d+):\d+ - error"),
}


class Axis(enum.Enum):
    X = "x"
    Y = "y"


@dataclasses.dataclass
class Point:
    x: float
    axis: Axis = Axis.X
    below: list[Point] = dataclasses.field(default_factory=list)


class Fields(TypedDict):
    at: datetime.datetime
    note: NotRequired[str]


Odd = TypedDict("Odd", {"a-b": int, "class": NotRequired[Point]})


@dataclasses.dataclass
class Visit:
    """Its fields are called like types."""

    date: datetime.date
    until: datetime.date
    list: list[str]
    more: list[str]


class Pair(NamedTuple):
    n: int
    when: datetime.date


class Service:
    def step(self, axis: Axis, n: int = 1, *, speed: float = 1.5, origin: Point | None = None) -> float:
        """Move the axis.

        It says \"\"\"stop\"\"\" at the end, and \\ there: "here\""""
        return n * speed

    def count(self, stop: int) -> Iterator[Point]:
        for n in range(stop):
            yield Point(n)

    async def total(self, numbers: AsyncIterator[int]) -> int:
        return sum([number async for number in numbers])

    def odd(self, odd: Odd, fields: Fields, pair: Pair, /, *ids: UUID, **costs: Decimal) -> dict[int, set[str]]:
        return {1: {"a"}}

    def times(self, a: datetime.time, b: datetime.timedelta = datetime.timedelta(1), c: bytes = b"c") -> list[Fields]:
        return [{"at": datetime.datetime(2026, 11, 27)}]

    def literal(self, way: Literal["up", 1] = "up", axis: Axis = Axis.X, text: str | None = None) -> None: ...

    def list_all(self, some: list[Point], more: list[Point] | None = None) -> dict[str, Point]:
        return {"a": some[0]}

    def filtered(self, image: NDArray[np.float32], mask: np.ndarray | None = None) -> NDArray[np.float32]:  # type: ignore[type-arg]
        return image * 2

    def visit(self, visit: Visit) -> Visit:
        return visit

    def tag(self, tags: frozenset[str], more: set[int] | None = None) -> frozenset[str]:
        return tags

    def untyped(self, a, b=3, *c, **d):  # type: ignore[no-untyped-def]
        return a

    def list(self, text: str) -> set[str]:  # its name is that of a type
        return set(text)


PROGRAM = """\
from collections.abc import AsyncIterator

import zerorpc
from stage import AsyncStage, Point, Stage


def blocking(client: zerorpc.Client) -> None:
    stage = zerorpc.typed(client, Stage)
    far: float = stage.step("x", 3, origin={"x": 1.0})
    points: list[Point] = list(stage.count(3))
    total: int = stage.total([1, 2])
    stage.step("x", origin=points[0])
    print(far, points[0]["axis"], total, stage.untyped(1, 2, 3, d=4), stage.list("a"))
    print(stage.tag(frozenset({"a"}), {1}) | {"b"}, stage.tag({"a"}, frozenset({1})))
    stage.tag({1})  # mistake: tags are texts
    stage.stepp("x")  # mistake: no such method
    stage.step("z")  # mistake: no such axis
    stage.step("x", "3")  # mistake: a text is no number
    stage.step("x", steps=3)  # mistake: no such keyword
    stage.step("x", 3, 1.0)  # mistake: by keyword only
    stage.step("x", origin={"y": 1.0})  # mistake: no such key
    stage.total(["a"])  # mistake: the items are numbers
    text: str = stage.step("x")  # mistake: the result is a number
    print(stage.filtered([[1.0]]).shape, stage.filtered(stage.filtered([1]), mask=None).dtype)
    stage.filtered([1]).shap  # mistake: an array has no such attribute
    print(text, stage.list_all([{"x": 1.0}], points)["a"])
    stage.list_all([{"x": 1.0, "z": 3}])  # mistake: no such key


async def on_loop(client: zerorpc.AsyncClient, numbers: AsyncIterator[int]) -> None:
    stage = zerorpc.typed(client, AsyncStage)
    far: float = await stage.step("y")
    print(far, [point["axis"] async for point in stage.count(3)], await stage.total(numbers))
    await stage.stepp("x")  # mistake: no such method
    await stage.step(3)  # mistake: a number is no axis
    wrong: list[str] = [point async for point in stage.count(3)]  # mistake: the items are points
    print(wrong)
"""


@pytest.fixture
def endpoint() -> Iterator[str]:
    with serving(Service(), name="my-stage") as server:
        yield server.endpoints[0]


def written(endpoint: str, capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    capsys.readouterr()
    assert main(["stub", *flags, endpoint]) == 0
    return capsys.readouterr().out


def loaded(text: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "stage"}
    module = type(sys)("stage")
    sys.modules["stage"] = module
    exec(compile(text, "stage.py", "exec"), module.__dict__)
    return {**names, **module.__dict__}


@pytest.fixture
def no_module() -> Iterator[None]:
    yield
    sys.modules.pop("stage", None)


@pytest.mark.timeout(300)  # they read the whole package first
@pytest.mark.parametrize("suffix", ["py", "pyi"])
@pytest.mark.parametrize("checker", CHECKERS)
def test_type_checkers_take_it_and_report_each_mistake(
    endpoint: str, checker: str, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stub, program = tmp_path / f"stage.{suffix}", tmp_path / "program.py"
    stub.write_text(written(endpoint, capsys, "--name", "Stage"))
    program.write_text(PROGRAM)
    command, pattern = CHECKERS[checker]
    where = tmp_path if checker == "pyright" else ROOT  # pyright imports from where it is, mypy has its cache there
    said = subprocess.run(
        [sys.executable, "-m", *command, str(stub), str(program)],
        capture_output=True,
        text=True,
        check=False,
        cwd=where,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    mistakes = [n for n, line in enumerate(PROGRAM.splitlines(), 1) if "# mistake: " in line]
    assert sorted({int(n) for n in re.findall(pattern, said.stdout)}) == mistakes, said.stdout + said.stderr
    assert f"stage.{suffix}:" not in said.stdout, "nothing is wrong with the stub"


def test_it_says_what_the_service_says(endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = written(endpoint, capsys)
    assert "class MyStage(Protocol):" in text
    assert "class AsyncMyStage(Protocol):" in text
    assert "    async def step(self, axis: Axis, n: int = 1, *, speed: float = 1.5, " in text
    assert "origin: Point | PointArgument | None = None) -> float:" in text
    assert "class Point(TypedDict):\n    x: float\n    axis: Axis\n    below: _list[Point]\n" in text
    assert "    below: NotRequired[Sequence[Point | PointArgument]]\n" in text
    assert "    def count(self, stop: int) -> AsyncIterator[Point]: ..." in text
    assert "    def total(self, numbers: Iterable[int]) -> int: ..." in text
    assert "*ids: UUID, **costs: Decimal) -> dict[int, set[str]]: ..." in text
    assert "a: time, b: timedelta = ..., c: bytes = ...) -> _list[Fields]: ..." in text
    assert "    def tag(self, tags: Set[str], more: Set[int] | None = None) -> set[str]: ..." in text
    assert "    def untyped(self, a: Any, b: Any = 3, *c: Any, **d: Any) -> Any: ..." in text
    assert "image: ArrayLike, mask: ArrayLike | None = None) -> NDArray[float32]: ..." in text
    assert 'Axis: TypeAlias = Literal["x", "y"]' in text
    assert 'axis: Axis = "x", text: str | None = None) -> None: ...' in text


@pytest.mark.usefixtures("no_module")
def test_a_typed_client_works_with_it(
    endpoint: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    module = loaded(written(endpoint, capsys, "--name", "Stage"))
    doc = module["Stage"].step.__doc__
    assert [line.strip() for line in doc.strip().splitlines()] == [
        line.strip() for line in str(Service.step.__doc__).splitlines()
    ]
    with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        stage = zerorpc.typed(client, module["Stage"])
        assert stage.step("x", 2) == 3.0
        assert list(stage.count(1)) == [{"x": 0.0, "axis": "x", "below": []}]
        assert stage.odd({"a-b": 1}, {"at": datetime.datetime(2026, 1, 1)}, (1, datetime.date(2026, 1, 1))) == {
            1: {"a"}
        }
        image = stage.filtered(np.array([[1.5]], np.float32))
        assert (image.dtype, image.tolist()) == (np.float32, [[3.0]])
        assert stage.times(datetime.time(1)) == [{"at": datetime.datetime(2026, 11, 27)}]
        assert not caplog.records, "its annotations can be read"
        with pytest.raises(AttributeError, match="did you mean 'step'"):
            stage.stepp("x")

    async def on_loop() -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            stage = zerorpc.typed(client, module["AsyncStage"])
            assert await stage.total([1, 2]) == 3
            assert [point["x"] async for point in stage.count(2)] == [0.0, 1.0]

    run(on_loop())


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "one address is needed"),
        (["tcp://a:1", "method"], "one address is needed"),
        (["--name", "a b", "tcp://a:1"], "no class can be called 'a b'"),
        (["--name", "class", "tcp://a:1"], "no class can be called 'class'"),
        (["--tls-ca", "ca.pem", "tcp://a:1"], "--tls-ca does nothing at tcp://a:1"),
    ],
)
def test_what_can_not_be_meant(words: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stub", *words]) == 2
    assert problem in capsys.readouterr().err


def test_what_a_server_says_of_itself_may_make_no_sense(capsys: pytest.CaptureFixture[str]) -> None:
    with serving({"f": len}) as server:
        nonsense = {"methods": {"f": {"schema": {"parameters": [{"name": "a", "kind": "upside down"}]}}}}
        server._core.registry.answering["_zerorpc_inspect"].functor = lambda: nonsense
        assert main(["stub", server.endpoints[0]]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "says of itself can't be read: 'upside down' is not a valid Kind" in said.err


def test_the_usual_address(endpoint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ZERORPC_ADDRESS", endpoint)
    assert main(["stub"]) == 0
    assert "class " in capsys.readouterr().out


def test_the_help(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["zerorpc"])
    assert main(["stub", "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: zerorpc stub [options] address\n")
