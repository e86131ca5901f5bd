"""Arguments are what a method's annotations say when it runs, whoever sent them and wherever it runs; or it doesn't."""

from __future__ import annotations

import dataclasses
import datetime
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import zerorpc
from tests.service import process_services
from tests.service.process_services import Axis
from tests.service.running import PATIENCE, eventually, joined, on_thread, run
from zerorpc.cli import main


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


class Stage:
    def __init__(self) -> None:
        self.moved: list[Axis] = []

    def step(self, axis: Axis, n: int) -> list[Any]:
        self.moved.append(axis)
        return [axis.name, n]

    async def step_on_loop(self, axis: Axis, n: int) -> list[Any]:
        return self.step(axis, n)

    @zerorpc.on_loop
    def step_at_once(self, axis: Axis, n: int) -> list[Any]:
        return self.step(axis, n)

    def steps(self, axis: Axis, n: int) -> Iterator[Any]:
        yield from self.step(axis, n)

    async def steps_on_loop(self, axis: Axis, n: int) -> AsyncIterator[Any]:
        for each in self.step(axis, n):
            yield each

    @zerorpc.rep
    def steps_as_list(self, axis: Axis, n: int) -> Iterator[Any]:
        yield from self.step(axis, n)

    @zerorpc.idempotent
    def step_safely(self, axis: Axis, n: int) -> list[Any]:
        return self.step(axis, n)

    def path(self, *points: Point, pause: float = 0.0, **marks: datetime.date) -> list[Any]:
        return [[(point.x, point.y) for point in points], pause, {name: day.year for name, day in marks.items()}]

    def at(self, day: datetime.date = None) -> str:  # type: ignore[assignment]  # noqa: RUF013 - as it was once written
        return repr(day)

    def takes(self, a, b: Any, c: object, d: Any, e: Any = None) -> list[Any]:  # type: ignore[no-untyped-def]
        return [a, b, c, d, e]

    def total(self, numbers: Iterator[int]) -> int:
        return sum(numbers)

    async def total_on_loop(self, numbers: AsyncIterator[float]) -> float:
        return sum([number async for number in numbers])

    def counts(self, one: Iterator[int] | None = None, other: Iterator[int] | str = "") -> list[Any]:
        return [None if one is None else list(one), "".join(map(str, other))]

    def starts(self, done: Callable[[str], None]) -> None:
        done("now")

    def scaled(self, by: int, numbers: Iterator[int]) -> int:
        return sum(by * number for number in numbers)

    def repeats(self, tell: Callable[[int], None], times: int) -> None:
        for n in range(times):
            tell(n)

    def nothing(self) -> int:
        return "text"  # type: ignore[return-value]


Stage.takes.__annotations__.update(d="NoSuchName", e="the voltage")
ALL = [
    "step",
    "step_on_loop",
    "step_at_once",
    "steps",
    "steps_on_loop",
    "steps_as_list",
    "step_safely",
    "step_in_process",
]


@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage()


@pytest.fixture(scope="module")
def endpoint(stage: Stage) -> Iterator[str]:
    server = zerorpc.Server(stage, heartbeat=30, grace=0.1)
    server.register({"step_in_process": process_services.step})
    server.bind("tcp://127.0.0.1:0")
    with on_thread(server):
        yield server.endpoints[0]


@pytest.fixture
def client(endpoint: str) -> Iterator[zerorpc.Client]:
    with zerorpc.Client(endpoint, timeout=PATIENCE, heartbeat=30) as client:
        yield client


def outcome(client: zerorpc.Client, method: str, *args: Any, **kwargs: Any) -> Any:
    result = client(method, *args, **kwargs)
    return list(result) if isinstance(result, Iterator) else result


@pytest.mark.parametrize("method", ALL)
def test_a_method_of_each_kind_gets_what_its_annotations_say(client: zerorpc.Client, method: str) -> None:
    assert outcome(client, method, "y", 3) == ["Y", 3]
    assert outcome(client, method, Axis.Y, 3) == ["Y", 3]
    assert outcome(client, method, n=3, axis="x") == ["X", 3]


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize(
    ("args", "kwargs", "why"),
    [
        (("z", 3), {}, "axis: expected Axis ('x', 'y'), got 'z'"),
        (("x", "3"), {}, "n: expected int, got str"),
        (("x",), {"n": 1.5}, "n: expected int, got float"),
        ((), {"axis": None, "n": 1}, "axis: expected Axis ('x', 'y'), got None"),
    ],
)
def test_or_does_not_run(
    client: zerorpc.Client, stage: Stage, method: str, args: Any, kwargs: dict[str, Any], why: str
) -> None:
    stage.moved.clear()
    with pytest.raises(zerorpc.InvalidArguments) as caught:
        outcome(client, method, *args, **kwargs)
    error = caught.value
    name = "step" if method == "step_in_process" else method
    assert error.msg == f"{method}(): {why}"
    assert (error.name, error.ran, error.method) == ("TypeError", False, method)
    assert isinstance(error, (zerorpc.WrongArguments, TypeError))
    assert "schema.py" not in str(error), name
    assert stage.moved == []


@pytest.mark.parametrize("method", ALL)
def test_too_few_and_too_many_are_told_as_ever(client: zerorpc.Client, method: str) -> None:
    for args in ((), ("x",), ("x", 1, 2)):
        with pytest.raises(zerorpc.WrongArguments) as caught:
            outcome(client, method, *args)
        assert type(caught.value) is zerorpc.WrongArguments
        assert caught.value.ran is False


def test_an_async_client_and_a_key(endpoint: str, stage: Stage) -> None:
    async def calls() -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE, heartbeat=30) as client:
            stage.moved.clear()
            keyed = zerorpc.options(client, key="k")
            with pytest.raises(zerorpc.InvalidArguments):
                await keyed.step("z", 1)
            assert await zerorpc.options(client, key="l").step("x", 1) == ["X", 1]
            assert await zerorpc.options(client, key="l").step("x", 1) == ["X", 1]
            assert stage.moved == [Axis.X]

    run(calls())


def test_each_of_many_and_of_those_by_any_name(client: zerorpc.Client) -> None:
    assert client.path({"x": 1}, {"x": 2, "y": 3}, pause=1, begun="2026-11-27") == [
        [[1.0, 0.0], [2.0, 3.0]],
        1.0,
        {"begun": 2026},
    ]
    with pytest.raises(zerorpc.InvalidArguments, match=r"path\(\): points\[1\]\.y: expected float, got str"):
        client.path({"x": 1}, {"x": 2, "y": "3"})
    with pytest.raises(zerorpc.InvalidArguments, match=r"path\(\): begun: invalid RFC3339 encoded date"):
        client.path(begun="yesterday")


def test_a_default_of_none_may_be_sent_as_well(client: zerorpc.Client) -> None:
    assert client.at(None) == "None"
    assert client.at("2026-11-27") == "datetime.date(2026, 11, 27)"
    with pytest.raises(zerorpc.InvalidArguments):
        client.at(3)


def test_what_has_no_annotation_or_one_that_means_nothing_takes_anything(
    client: zerorpc.Client, caplog: pytest.LogCaptureFixture
) -> None:
    assert client.takes("x", [1], {"a": None}, 4, b"") == ["x", [1], {"a": None}, 4, b""]
    with caplog.at_level(logging.INFO, "zerorpc.server"):
        zerorpc.Server(Stage()).close()
    assert "takes takes anything as d: NameError: name 'NoSuchName' is not defined" in caplog.text
    assert "takes takes anything as e: SyntaxError: Forward reference must be an expression" in caplog.text


@pytest.mark.parametrize(("method", "wrong"), [("total", "int, got str"), ("total_on_loop", "float, got str")])
def test_the_items_of_a_stream(client: zerorpc.Client, method: str, wrong: str) -> None:
    assert client(method, iter([1, 2, 3])) == 6
    assert client(method, [1, 2, 3]) == 6
    with pytest.raises(zerorpc.InvalidArguments) as caught:
        client(method, [1, "2"])
    assert caught.value.msg == f"{method}(): numbers[1]: expected {wrong}"
    with pytest.raises(zerorpc.RemoteError) as raised:  # the method has begun, and gets it from its iterator
        client(method, iter([1, 2, "3"]))
    assert (type(raised.value), raised.value.ran) == (zerorpc.RemoteError, True)
    assert raised.value.msg == f"{method}(): numbers[2]: expected {wrong}"


def test_a_stream_or_nothing_or_something_else(client: zerorpc.Client) -> None:
    assert client.counts() == client.counts(None, "") == [None, ""]
    assert client.counts([1, 2], "ab") == [[1, 2], "ab"]
    assert client.counts(None, ["a", 1]) == [None, "a1"]
    with pytest.raises(zerorpc.InvalidArguments, match=r"counts\(\): one: expected a stream or a list, got str"):
        client.counts("12")


def test_a_function_of_the_callers(client: zerorpc.Client) -> None:
    told: list[str] = []
    client.starts(told.append)
    assert told == ["now"]
    with pytest.raises(zerorpc.InvalidArguments, match="done: expected a function, got str"):
        client.starts("told.append")


def test_hooks_see_what_was_sent(endpoint: str) -> None:
    context = zerorpc.Context()
    seen: list[Any] = []

    class Hooks:
        def server_before_exec(self, event: Any) -> None:
            seen.append(event.args)

        def server_inspect_exception(self, event: Any, reply: Any, task: Any, exc_info: Any) -> None:
            seen.append(exc_info[0])

    context.register_middleware(Hooks())
    with joined(Stage(), context=context) as client:
        assert client.step("x", 1) == ["X", 1]
        with pytest.raises(zerorpc.InvalidArguments):
            client.step("z", 1)
    assert [list(seen[0]), list(seen[1]), seen[2]] == [["x", 1], ["z", 1], TypeError]


def test_any_types() -> None:
    with joined({"echo": lambda_of_texts}, any_types=True) as client:
        assert client.echo(3) == 3
    with joined({"echo": lambda_of_texts}) as client, pytest.raises(zerorpc.InvalidArguments):
        client.echo(3)


def lambda_of_texts(text: str) -> str:
    return text


class Results:
    def number(self) -> int:
        return self.given()

    async def number_on_loop(self) -> int:
        return self.given()

    def numbers(self) -> Iterator[int]:
        yield 1
        yield self.given()

    async def numbers_on_loop(self) -> AsyncIterator[int]:
        yield 1
        yield self.given()

    @zerorpc.rep
    def numbers_as_list(self) -> Iterator[int]:
        yield self.given()

    @zerorpc.stream
    def numbers_of_list(self) -> list[int]:
        return [1, self.given()]

    def anything(self) -> Any:
        return self.given()

    def unsaid(self):  # type: ignore[no-untyped-def]
        return self.given()

    def point(self) -> Point:
        return Point(1)

    def given(self) -> Any:
        return "text"


def test_results_are_checked_on_request() -> None:
    with joined(Results(), check_results=True) as client, joined(Results()) as unchecked:
        for method in ("number", "number_on_loop", "numbers", "numbers_on_loop", "numbers_of_list"):
            with pytest.raises(zerorpc.RemoteError) as caught:
                outcome(client, method)
            assert caught.value.msg == f"{method}(): the result: expected int, got str"
            assert (caught.value.name, caught.value.ran) == ("TypeError", True)
            assert outcome(unchecked, method) in ("text", [1, "text"])
        assert client.anything() == client.unsaid() == "text"
        assert client.point() == {"x": 1, "y": 0.0}


def test_results_of_lists_and_of_processes() -> None:
    with joined(process_services, check_results=True) as client:
        with pytest.raises(zerorpc.RemoteError, match=r"text_as_number\(\): the result: expected int, got str"):
            client.text_as_number()
        assert client.step("x", 1) == ["X", 1]
    with joined(Results(), check_results=True) as client:
        with pytest.raises(zerorpc.RemoteError, match=r"the result\[0\]: expected int, got str"):
            client.numbers_as_list()


class Right:
    @zerorpc.rep
    def as_list(self) -> Iterator[int]:
        yield 1

    def iterator(self) -> Iterator[int]:
        return iter([1, 2])

    async def iterator_on_loop(self) -> Iterator[int]:
        return iter([1, 2])

    @zerorpc.stream
    def pairs(self) -> tuple[int, str]:
        return 1, "a"


def test_right_results_of_each_form_pass() -> None:
    with joined(Right(), check_results=True) as client:
        assert client.as_list() == [1]
        assert list(client.iterator()) == list(client.iterator_on_loop()) == [1, 2]
        assert list(client.pairs()) == [1, "a"]


@pytest.mark.parametrize("how", ["run", "serve"])
def test_a_puller_does_not_run_it_either(how: str, caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    puller = zerorpc.Puller(stage)
    puller.bind("tcp://127.0.0.1:0")
    if how == "serve":
        puller.run = lambda: run(puller.serve())  # type: ignore[method-assign]
    with on_thread(puller), zerorpc.Pusher() as pusher:
        pusher.connect(puller.endpoints[0])
        for axis in ("z", "y"):
            pusher.step(axis, 1)
            pusher.step_on_loop(axis, 1)
        eventually(lambda: len(stage.moved) == 2)
    assert stage.moved == [Axis.Y, Axis.Y]
    assert "step(): axis: expected Axis ('x', 'y'), got 'z'" in caplog.text


def test_words_become_what_the_annotations_say(client: zerorpc.Client) -> None:
    typed = zerorpc.options(client, words=True)
    assert typed.step("x", "3") == ["X", 3]
    assert typed.step(axis="x", n="-3") == ["X", -3]
    assert typed.path('{"x": 1}', pause="1.5") == [[[1.0, 0.0]], 1.5, {}]
    assert typed.takes("1", "[2]", "true", "x") == ["1", "[2]", "true", "x", None]
    assert typed.at("None") == "None"
    assert typed.total("[1, 2]") == 3
    assert typed.step_in_process("y", "4") == ["Y", 4]
    for args, why in [
        (("z", "3"), "axis: expected Axis"),
        (("x", "three"), "n: expected int, got 'three'"),
        (("x", "1.5"), "n: expected int, got '1.5'"),
        (("x", "[" * 100_000), "n: expected int, got '[[[["),
    ]:
        with pytest.raises(zerorpc.InvalidArguments) as caught:
            typed.step(*args)
        assert caught.value.msg.startswith(f"step(): {why}")
        assert caught.value.ran is False


def test_words_beside_a_stream_and_beside_a_function(client: zerorpc.Client) -> None:
    typed = zerorpc.options(client, words=True)
    assert typed.scaled("2", iter([1, 2, 3])) == 12
    assert typed.scaled("2", "[1, 2]") == 6
    told: list[Any] = []
    typed.repeats(told.append, "3")
    assert told == [0, 1, 2]


def test_a_word_may_be_bytes_or_text() -> None:
    def size(data: bytes, text: str, either: int | str) -> list[Any]:
        return [len(data), text, either]

    size.__annotations__ = {"data": bytes, "text": str, "either": int | str}
    with joined({"size": size}) as client:
        assert zerorpc.options(client, words=True).size("é", "3", "3") == [2, "3", "3"]


def test_on_the_command_line(endpoint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([endpoint, "step", "y", "3"]) == 0
    assert capsys.readouterr().out == "['Y', 3]\n"
    assert main([endpoint, "step", "y", "three"]) != 0
    assert "n: expected int, got 'three'" in capsys.readouterr().err
    assert main(["--json", endpoint, "step", '"y"', '"3"']) != 0
    assert "n: expected int, got str" in capsys.readouterr().err
