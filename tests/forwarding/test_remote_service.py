"""A gateway in front of a server of ours: by zerorpc and by HTTP all is as if callers had called that one."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import socket
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import httpx
import numpy as np
import pytest

import zerorpc
from tests.doors.http.test_calls import Service, problem
from tests.forwarding.gateways import Front, callers_of, gateway, in_front_of
from tests.service.running import PATIENCE, eventually, on_thread, run, serving, unused_port
from zerorpc.described import read_answer
from zerorpc.forwarding import call as forwarded_call
from zerorpc.forwarding import remote_service
from zerorpc.keys import KeyPair


class Stage(Service):
    """Of tests, with what only streams, metadata and progress need."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()

    async def left(self) -> AsyncIterator[float | None]:
        """Yield how long the caller waits: for the first item, then for the end."""
        for _ in range(2):
            yield zerorpc.current_call().remaining()

    def doubled(self, numbers: Iterator[int]) -> Iterator[int]:
        for n in numbers:
            yield 2 * n

    def tags(self) -> str:
        call = zerorpc.current_call()
        call.reply_metadata["shard"] = "7"
        call.end_metadata["cost"] = "3"
        return str(call.metadata.get("tenant"))

    def tagged(self) -> Iterator[int]:
        zerorpc.current_call().reply_metadata["shard"] = "7"
        yield 1
        zerorpc.current_call().end_metadata["cost"] = "3"

    def fails_tagged(self) -> None:
        zerorpc.current_call().end_metadata["cost"] = "3"
        raise ValueError("no")

    def reports(self) -> None:
        zerorpc.progress(1, 2, "half")
        assert self.begun.wait(PATIENCE)

    @zerorpc.tool
    def steps(self) -> str:
        """Take a step."""
        return "done"

    @zerorpc.tool
    @zerorpc.safe
    def look(self, n: int, *more: int) -> list[int]:
        return [n, *more]

    @zerorpc.idempotent
    def runs(self) -> int:
        self.made += 1
        return self.made

    async def waits(self) -> None:
        self.begun.set()
        await self.ever()

    async def tells_and_waits(self) -> AsyncIterator[int]:
        yield 1
        self.begun.set()
        await self.ever()

    def spelled(self, it: bytes | None, text: str | bytes = "", *more: bytes, **named: bytes) -> str:
        return repr((it, text, more, named))


@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage()


@pytest.fixture(scope="module")
def direct(stage: Stage) -> Iterator[Front]:
    """The server itself."""
    with serving(stage, name="stage") as server, callers_of(server) as front:
        yield front


@pytest.fixture(scope="module")
def front(direct: Front) -> Iterator[Front]:
    with in_front_of(direct.server.endpoints[0]) as front:
        yield front


CALLS: list[tuple[str, Any]] = [
    ("add", {"a": 3}),
    ("add", [3, 4]),
    ("move", {"to": {"x": 2}, "speed": "1.5"}),
    ("placed", {"a": 1, "b": 2, "more": [3, 4], "c": 5}),
    ("placed", [1, 2, 3]),
    ("only_placed", {"a": 1, "b": 2}),
    ("echo", {"it": [1, {"a": None}, "ü", 1.5, True]}),
    ("octets", ["YWJj"]),
    ("octets", {"it": "YWJj"}),
    ("spelled", {"it": "YWJj", "text": "YWJj", "more": ["YWJj"], "b": "YWJj"}),
    ("spelled", ["YWJj", "YWJj", "YWJj"]),
    ("spelled", {"it": None}),
    ("total", {"numbers": [1, 2, 3]}),
    ("kept", []),
    ("quick", {"day": "2026-11-28"}),
    ("apart", {"day": "2026-11-28", "octets": "YWJj"}),
    ("many", []),
    ("count", [3]),
    ("acount", [3]),
    ("count", [0]),
    ("breaks", []),
    ("breaks_at_once", []),
    ("add", {"a": "x"}),
    ("octets", ["no base64"]),
    ("add", {}),
    ("add", {"c": 3}),
    ("add", 3),
    ("borrows", [1]),
    ("nothing", []),
    ("_zerorpc_list", []),
    ("fail", []),
]


@pytest.mark.parametrize(("method", "arguments"), CALLS)
def test_by_http_all_is_as_if_there_were_no_gateway(
    direct: Front, front: Front, method: str, arguments: object
) -> None:
    here, there = (each.http.post(f"/call/{method}", json=arguments) for each in (front, direct))
    assert (here.status_code, here.headers["content-type"]) == (there.status_code, there.headers["content-type"])
    assert here.text == there.text


def test_a_safe_tool_may_be_called_by_get(direct: Front, front: Front) -> None:
    for query in ("n=3", "n=3&more=4&more=5", "n=x", ""):
        here, there = (each.http.get(f"/call/look?{query}") for each in (front, direct))
        assert (here.status_code, here.text) == (there.status_code, there.text)
    assert here.status_code == 400


def test_a_result_that_cant_be_sent(front: Front) -> None:
    told = problem(front.http.post("/call/opaque"))
    assert (told["status"], told["title"], told["ran"]) == (500, "TypeError", True)
    assert "the result of opaque can't be sent: a value of type object" in told["detail"]


def outcome(client: zerorpc.Client, method: str, *args: Any, **kwargs: Any) -> Any:
    try:
        result = client(method, *args, **kwargs)
        return list(result) if isinstance(result, zerorpc.Stream) else result
    except zerorpc.RemoteError as error:
        return type(error), error.name, error.msg, error.ran, error.traceback, error.metadata


@pytest.mark.parametrize(
    ("method", "args", "kwargs"),
    [
        ("add", (1,), {}),
        ("add", (1,), {"b": 5}),
        ("add", (), {}),
        ("add", (1, 2, 3), {}),
        ("add", ("x",), {}),
        ("octets", (b"abc",), {}),
        ("octets", ("YWJj",), {}),
        ("placed", (1, 2, 3), {"c": 4}),
        ("count", (1000,), {}),
        ("breaks_at_once", (), {}),
        ("fail", (), {}),
        ("opaque", (), {}),
        ("nothing", (), {}),
        ("_nothing", (), {}),
        ("fails_tagged", (), {}),
        ("_zerorpc_list", (), {}),
        ("_zerorpc_help", ("add",), {}),
        ("_zerorpc_args", ("add",), {}),
        ("_zerorpc_inspect", (), {}),
        ("_zerorpc_name", (), {}),
    ],
)
def test_by_zerorpc_too(direct: Front, front: Front, method: str, args: Any, kwargs: Any) -> None:
    assert outcome(front.client, method, *args, **kwargs) == outcome(direct.client, method, *args, **kwargs)


@pytest.mark.parametrize(
    "value",
    [
        datetime.datetime(2026, 11, 28, tzinfo=datetime.UTC), Decimal("1.5"), uuid.UUID(int=7), {1, 2}, 1 + 2j, 2**100,
        {1: 2, (1, 2): 3}, b"x" * 100_000, np.arange(20_000).reshape(10, -1), np.float32(1.5), None, [],
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_values_of_any_type_pass(front: Front, value: object) -> None:
    came = front.client.echo(value)
    assert type(came) is type(value)
    assert repr(came) == repr(value)


def test_functions_pass_and_objects_dont(front: Front) -> None:
    assert front.client.borrows(lambda n: n + 1) == 2
    with pytest.raises(zerorpc.RemoteError, match="RemoteObject can't be sent") as caught:
        front.client.echo(zerorpc.by_reference(Service()))
    assert caught.value.ran is False


def test_openapi_is_that_of_the_server_behind_it(direct: Front, front: Front) -> None:
    here, there = (each.http.get("/openapi.json").json() for each in (front, direct))
    assert here.pop("x-endpoints") == front.server.endpoints[:1]
    del there["x-endpoints"]
    assert here == there


def test_hooks_are_around_calls_that_are_forwarded(direct: Front) -> None:
    seen: list[object] = []

    @contextlib.contextmanager
    def noted(call: zerorpc.ServerCall) -> Iterator[None]:
        try:
            yield
        except zerorpc.RemoteError as error:
            seen.append((call.method, list(call.args), error.name))
            raise
        seen.append((call.method, list(call.args), call.result if call.method == "add" else call.items))

    with in_front_of(direct.server.endpoints[0], on_call=noted) as front:
        assert front.client.add(1, b=2) == 3
        assert list(front.client.count(3)) == [0, 1, 2]
        assert problem(front.http.post("/call/fail"))["title"] == "ValueError"
        assert problem(front.http.post("/call/nothing"))["title"] == "UnknownMethod"
    assert seen == [("add", [1], 3), ("count", [3], 3), ("fail", [], "ValueError"), ("nothing", [], "NameError")]


def test_words_of_the_command_line_are_converted_there(front: Front) -> None:
    assert zerorpc.options(front.client, words=True).add("3", b="4") == 7
    with pytest.raises(zerorpc.InvalidArguments):
        front.client.add("3")


# Streams, and what goes along with a call


def test_streams_from_the_caller_and_both_ways(front: Front) -> None:
    assert front.client.total(iter([1, 2, 3])) == 6
    assert list(front.client.doubled(iter([1, 2]))) == [2, 4]
    assert list(front.client.doubled(numbers=iter([1, 2]))) == [2, 4]
    lines = "\n".join(map(json.dumps, [{}, 1, 2]))
    told = front.http.post("/call/doubled", content=lines, headers={"content-type": "application/x-ndjson"})
    assert told.text == "2\n4\n"


def test_no_more_of_a_stream_is_made_than_is_read(front: Front, stage: Stage) -> None:
    stream = front.client.count(10_000_000)
    assert next(stream) == 0
    eventually(lambda: stage.made > 1)
    stream.close()
    assert stage.made < 10_000_000


def test_the_caller_says_how_long_it_waits(front: Front) -> None:
    told = front.http.post("/call/who", headers={"x-zerorpc-timeout": "20"}).json()
    assert told["remaining"] == pytest.approx(20, abs=10)
    first, end = front.http.post("/call/left", headers={"x-zerorpc-timeout": "20"}).text.split()
    assert float(first) == pytest.approx(20, abs=10)
    assert end == "null"
    assert zerorpc.options(front.client, timeout=20).who()["remaining"] == pytest.approx(20, abs=10)
    first, end = zerorpc.options(front.client, deadline=20).left()
    assert (first, end) == (pytest.approx(20, abs=10), pytest.approx(20, abs=10))


def test_metadata_goes_both_ways(front: Front) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    told = front.http.post("/call/who", headers={"traceparent": traceparent, "x-zerorpc-meta-tenant": "a"}).json()
    assert told["metadata"] == {"traceparent": traceparent, "tenant": "a"}

    async def act() -> None:
        async with zerorpc.AsyncClient(front.server.endpoints[0], timeout=PATIENCE) as client:
            call = zerorpc.options(client, metadata={"tenant": "b"}).tags()
            assert await call == "b"
            assert (call.metadata, call.end_metadata) == ({"shard": "7"}, {"cost": "3"})
            stream = await client.tagged()
            assert [item async for item in stream] == [1]
            assert (stream.metadata, stream.end_metadata) == ({"shard": "7"}, {"cost": "3"})

    run(act())


def test_progress(front: Front, stage: Stage) -> None:
    told: list[object] = []
    stage.begun.clear()

    def heard(*report: object) -> None:
        told.append(report)
        stage.begun.set()

    zerorpc.options(front.client, progress=heard).reports()
    assert told == [(1, 2, "half")]


def ask_mcp(front: Front, method: str, **params: object) -> Any:
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return front.http.post("/mcp", json=message).json()["result"]


def test_tools_for_language_models(front: Front) -> None:
    look, steps = ask_mcp(front, "tools/list")["tools"]
    assert (steps["name"], steps["description"]) == ("steps", "Take a step.")
    assert look["annotations"] == {"readOnlyHint": True, "idempotentHint": True}
    assert ask_mcp(front, "tools/call", name="steps", arguments={})["content"] == [{"type": "text", "text": "done"}]


def test_a_call_with_a_key_runs_once(front: Front) -> None:
    one, two = (front.http.post("/call/runs", headers={"idempotency-key": "one"}).json() for _ in range(2))
    assert one == two
    assert front.http.post("/call/runs").json() == one + 1


# Who waits no longer


@pytest.mark.parametrize("method", ["ever", "ever_streams"])
def test_who_goes_away_cancels_the_call_behind(front: Front, stage: Stage, method: str) -> None:
    stage.cancelled.clear()
    with pytest.raises(httpx.TimeoutException), front.http.stream("POST", f"/call/{method}", timeout=1.5) as response:
        response.read()
    assert stage.cancelled.wait(PATIENCE)


def test_who_gives_up_cancels_the_call_behind(front: Front, stage: Stage) -> None:
    stage.cancelled.clear()
    stage.begun.clear()

    async def act() -> None:
        async with zerorpc.AsyncClient(front.server.endpoints[0], timeout=PATIENCE) as client:
            task = asyncio.create_task(client.waits())
            await asyncio.to_thread(stage.begun.wait, PATIENCE)
            task.cancel()

    run(act())
    assert stage.cancelled.wait(PATIENCE)


def test_a_deadline(front: Front, stage: Stage) -> None:
    stage.cancelled.clear()
    told = problem(front.http.post("/call/ever", headers={"x-zerorpc-timeout": "1.0"}))
    assert (told["status"], told["title"], told["ran"]) == (504, "TimeoutExpired", None)
    assert stage.cancelled.wait(PATIENCE)


def test_a_timeout_of_the_gateways_own(direct: Front) -> None:
    with in_front_of(zerorpc.AsyncClient(direct.server.endpoints[0], timeout=1.0)) as front:
        told = problem(front.http.post("/call/ever"))
        assert (told["status"], told["title"], told["ran"]) == (504, "TimeoutExpired", None)
        with pytest.raises(zerorpc.RemoteError) as caught:
            front.client.ever()
    assert (caught.value.name, caught.value.ran) == ("TimeoutExpired", None)


# Refused there


def test_overload_behind_it() -> None:
    stage = Stage()
    limits = zerorpc.Limits(waiting=1)
    with (
        serving(stage, pool_size=1, limits=limits) as server,
        in_front_of(server.endpoints[0]) as front,
        ThreadPoolExecutor() as pool,
    ):
        held = [pool.submit(front.http.post, "/call/held") for _ in range(2)]
        eventually(lambda: sum(places.waiting for places in server._core.running._all_places) == 1)
        told = front.http.post("/call/add", json=[1])
        stage.free.set()
        assert [each.result().json() for each in held] == ["done", "done"]
    assert (problem(told)["status"], problem(told)["title"], problem(told)["ran"]) == (503, "ServerOverloaded", False)
    assert int(told.headers["retry-after"]) >= 1


def test_rights_there() -> None:
    may = {"add", "_zerorpc_inspect"}
    options = {"authenticator": lambda _: "gateway", "authorizer": lambda _, name: name in may}
    with gateway(Stage(), options) as front:
        assert front.http.post("/call/add", json=[1]).json() == 3
        assert list(front.http.get("/openapi.json").json()["paths"]) == ["/call/add"]
        may.add("fail")  # is told when somebody asks for it
        may.remove("add")
        told = problem(front.http.post("/call/add", json=[1]))
        assert (told["status"], told["title"], told["ran"]) == (403, "PermissionDenied", False)
        with pytest.raises(zerorpc.PermissionDenied):
            front.client.add(1)


def test_what_a_server_doesnt_list_is_called_all_the_same() -> None:
    options = {"authenticator": lambda _: "gateway", "authorizer": lambda _, name: name in ("add", "fail")}
    with gateway(Stage(), options) as front:
        assert front.client.add(1, b=4) == 5
        assert front.http.post("/call/add", json=[1]).json() == 3
        assert problem(front.http.post("/call/fail"))["title"] == "ValueError"
        assert problem(front.http.post("/call/who"))["title"] == "UnknownMethod"
        assert front.http.get("/openapi.json").json()["paths"] == {}
        assert front.http.get("/readyz").status_code == 200


def test_rights_here(direct: Front) -> None:
    options = {"authenticator": lambda _: "me", "authorizer": lambda _, name: name in ("add", "_zerorpc_inspect")}
    with in_front_of(direct.server.endpoints[0], **options, deny="ech*") as front:
        assert front.http.post("/call/add", json=[1]).json() == 3
        assert problem(front.http.post("/call/fail"))["status"] == 403
        assert problem(front.http.post("/call/echo", json=[1]))["status"] == 404
        assert problem(front.http.post("/call/nothing"))["status"] == 404
        with pytest.raises(zerorpc.PermissionDenied):
            front.client.fail()


def test_a_name_that_isnt_known_yet_needs_the_right_as_well() -> None:
    options = {"authenticator": lambda _: "me", "authorizer": lambda _, name: name in ("add", "_zerorpc_inspect")}
    with in_front_of(f"tcp://127.0.0.1:{unused_port()}", **options) as front:
        assert outcome(front.client, "add", 1)[1] == "LostRemote"
        assert outcome(front.client, "fail")[0] is zerorpc.UnknownMethod
        assert problem(front.http.post("/call/add", json=[1]))["title"] == "LostRemote"
        assert problem(front.http.post("/call/fail"))["title"] == "UnknownMethod"


def test_a_server_that_lets_nobody_in_without_a_key(caplog: pytest.LogCaptureFixture) -> None:
    keys = KeyPair.generate()
    with serving(Stage(), curve=zerorpc.Curve(keys.secret)) as server:
        with in_front_of(server.endpoints[0]) as front:
            eventually(lambda: "CURVE" in front.http.get("/readyz").text)
            told = problem(front.http.post("/call/add", json=[1]))
            assert (told["status"], told["title"], told["ran"]) == (502, "HandshakeFailed", False)
        assert "the connection is lost" not in caplog.text, "there was none"
        curve = zerorpc.Curve(server_key=keys.public)
        with in_front_of(zerorpc.AsyncClient(server.endpoints[0], curve=curve)) as front:
            assert front.http.post("/call/add", json=[1]).json() == 3


# Many at once, and the life of both


@pytest.mark.parametrize("method", ["waits", "tells_and_waits"])
def test_a_connection_that_is_lost_while_a_method_runs(method: str) -> None:
    stage = Stage()
    with (
        serving(stage) as server,
        in_front_of(server.endpoints[0]) as front,
        ThreadPoolExecutor() as pool,
    ):
        answer = pool.submit(front.http.post, f"/call/{method}")
        assert stage.begun.wait(PATIENCE)
        loop = server._core.hub.loop
        assert loop is not None
        for link in list(server._core.hub.links):
            loop.call_soon_threadsafe(link.abort, zerorpc.LostRemote("cut"))
        told = answer.result()
        if method == "waits":
            assert (problem(told)["status"], problem(told)["title"], problem(told)["ran"]) == (502, "LostRemote", None)
        else:
            first, last = map(json.loads, told.text.splitlines())
            assert (first, last["error"]["title"], last["error"]["ran"]) == (1, "LostRemote", True)
        assert front.http.post("/call/add", json=[1]).json() == 3


def test_many_calls_at_once(front: Front, direct: Front) -> None:
    async def act() -> None:
        endpoint = front.server.endpoints[0]
        limits = httpx.Limits(max_connections=50)
        async with (
            zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client,
            httpx.AsyncClient(base_url=front.http.base_url, timeout=PATIENCE, limits=limits) as http,
        ):
            calls = [client.add(n, n) for n in range(50)]
            posts = [http.post("/call/add", json=[n, n]) for n in range(50)]
            assert await asyncio.gather(*calls) == [2 * n for n in range(50)]
            assert [each.json() for each in await asyncio.gather(*posts)] == [2 * n for n in range(50)]

    run(act())


def test_a_server_that_starts_late(caplog: pytest.LogCaptureFixture) -> None:
    where = f"tcp://127.0.0.1:{unused_port()}"
    with in_front_of(where) as front:
        for path in ("/call/add", "/openapi.json", "/mcp"):
            answer = front.http.get(path) if path.endswith("json") else front.http.post(path, json=[1])
            told = problem(answer)
            assert (told["status"], told["title"], told["ran"]) == (503, "LostRemote", False)
            assert where in told["detail"]
            assert answer.headers["retry-after"] == "1"
        ready = front.http.get("/readyz")
        assert (ready.status_code, where in ready.text) == (503, True)
        with pytest.raises(zerorpc.RemoteError) as caught:
            front.client.add(1)
        assert (caught.value.name, caught.value.ran) == ("LostRemote", False)
        assert outcome(front.client, "_zerorpc_list")[1:4:2] == ("LostRemote", False)
        assert outcome(front.client, "_zerorpc_ping")[0] == "pong"
        with serving(Stage(), bind=where, name="stage"):
            eventually(lambda: front.http.get("/readyz").status_code == 200)
            assert front.http.post("/call/add", json=[1]).json() == 3
            assert front.client.add(1) == 3
            eventually(lambda: front.http.get("/openapi.json").json()["info"]["title"] == "stage")
    lost = [record for record in caplog.records if "calls can't be forwarded" in record.getMessage()]
    assert len(lost) >= 1


def test_a_server_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.forwarding.reach._SILENCE_MAX", PATIENCE)
    with socket.create_server(("127.0.0.1", 0)) as listening:  # and accepts nobody
        where = f"tcp://127.0.0.1:{listening.getsockname()[1]}"
        with in_front_of(where, metrics=True) as front:
            for path in ("/call/add", "/mcp"):
                told = problem(front.http.post(path, json=[1], headers={"x-zerorpc-timeout": "1.0"}))
                assert (told["status"], told["title"], told["ran"]) == (504, "TimeoutExpired", False)
                assert "connected, but the handshake isn't over" in told["detail"]
            states = [front.http.get(path).status_code for path in ("/livez", "/readyz", "/metrics")]
            assert states == [200, 503, 200]
            with pytest.raises(zerorpc.TimeoutExpired):
                zerorpc.options(front.client, timeout=0.2).add(1)


def test_a_server_that_restarts_under_load() -> None:
    where = f"tcp://127.0.0.1:{unused_port()}"
    with in_front_of(where) as front:
        for name in ("one", "two"):
            failed = [each for each in outcomes_of_a_life(where, front, name) if each != 3]
            assert failed
            assert {each[1] for each in failed} <= {"LostRemote", "ServerStopping"}
            assert {each[3] for each in failed} <= {False, None}


def outcomes_of_a_life(where: str, front: Front, name: str) -> list[Any]:
    """Of calls by two threads, from a server's beginning on, until it has ended and they have noticed."""
    outcomes: list[Any] = []
    over = threading.Event()

    def call() -> None:
        while not over.wait(0.001):
            outcomes.append(outcome(front.client, "add", 1, 2))

    callers = [threading.Thread(target=call) for _ in range(2)]
    with serving({"add": lambda a, b: a + b, name: lambda: None}, bind=where):
        eventually(lambda: outcome(front.client, "add", 1, 2) == 3)
        for caller in callers:
            caller.start()
        eventually(lambda: outcomes.count(3) > 20)
        eventually(lambda: name in front.client("_zerorpc_list"))
    eventually(lambda: outcomes[-1] != 3)
    over.set()
    for caller in callers:
        caller.join()
    return outcomes


def test_a_method_that_comes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_service, "_AGAIN", 10 * PATIENCE)
    with serving(Stage()) as server, in_front_of(server.endpoints[0]) as front:
        assert problem(front.http.post("/call/later"))["status"] == 404
        before = [tool["name"] for tool in ask_mcp(front, "tools/list")["tools"]]
        asked = asks(front)
        assert problem(front.http.post("/call/later"))["status"] == 404
        assert asks(front) == asked, "it was asked just now"
        zerorpc.Server.register(server, {"later": zerorpc.tool(lambda: "here")})
        monkeypatch.setattr(remote_service, "_AGAIN", 0.0)
        assert front.http.post("/call/later").json() == "here"
        assert "later" in front.client("_zerorpc_list")
        assert front.client.later() == "here"
        assert [tool["name"] for tool in ask_mcp(front, "tools/list")["tools"]] == [*before, "later"]


def test_names_that_nobody_has_are_not_kept(front: Front) -> None:
    http = front.server._core.http
    assert http is not None
    before = len(http.door._calls._placing)
    for n in range(20):
        assert front.http.post(f"/call/unknown_{n}", json={"a": 1}).status_code == 404
    assert len(http.door._calls._placing) == before


def asks(front: Front) -> float:
    (source,) = front.server._core.registry.sources._prefixes  # type: ignore[union-attr]
    assert isinstance(source, zerorpc.RemoteService)
    return source._asked_at


def test_several_services_behind_one_server() -> None:
    with serving({"add": lambda a, b: a + b}) as one, serving({"add": lambda a, b: [a, b]}) as two:
        server = zerorpc.Server({"add": lambda: "own"}, heartbeat=30.0)
        server.register(zerorpc.RemoteService(one.endpoints[0]), "one")
        server.register(zerorpc.RemoteService(two.endpoints[0]), "two")
        with serving_it(server), callers_of(server) as front:
            assert (front.client.one.add(1, 2), front.client.two.add(1, 2)) == (3, [1, 2])
            assert (front.client.add(), front.http.post("/call/two.add", json=[1, 2]).json()) == ("own", [1, 2])
            assert set(front.client("_zerorpc_list")) == {"add", "one.add", "two.add"}
            assert problem(front.http.post("/call/one.nothing"))["detail"] == "nothing"
            assert problem(front.http.post("/call/nothing"))["status"] == 404


def test_a_gateway_in_front_of_a_gateway(direct: Front, front: Front) -> None:
    with in_front_of(front.server.endpoints[0]) as far:
        for method, args in (("add", (1,)), ("fail", ()), ("nothing", ()), ("count", (3,)), ("_zerorpc_inspect", ())):
            assert outcome(far.client, method, *args) == outcome(direct.client, method, *args)
        assert far.client.borrows(lambda n: n + 1) == 2
        assert list(far.client.doubled(iter([1, 2]))) == [2, 4]


def test_a_method_of_its_own_comes_first(caplog: pytest.LogCaptureFixture) -> None:
    with serving({"add": lambda: "there", "sub": lambda: "there"}) as behind:
        server = zerorpc.Server({"add": lambda: "here"}, heartbeat=30.0)
        server.register(zerorpc.RemoteService(behind.endpoints[0]))
        with serving_it(server), callers_of(server) as front:
            assert front.client.sub() == "there"
            assert front.client.add() == front.http.post("/call/add").json() == "here"
            behind_it = front.client("_zerorpc_list")
    assert sorted(behind_it) == ["add", "sub"]
    assert "not exposed, since others have these names: add" in caplog.text


def serving_it(server: zerorpc.Server) -> contextlib.AbstractContextManager[zerorpc.Server]:
    server.bind("tcp://127.0.0.1:0")
    return on_thread(server)


def test_it_belongs_to_one_server(direct: Front) -> None:
    service = zerorpc.RemoteService(direct.server.endpoints[0])
    with in_front_of(service) as front:
        assert front.client.add(1) == 3
        assert repr(service) == f"<RemoteService {direct.server.endpoints[0]} connected>"
        with pytest.raises(RuntimeError, match="is served by another server"):
            run(zerorpc.Server(service).serve())
        with pytest.raises(ValueError, match="is exposed already"):
            front.server.register(service)
    with pytest.raises(zerorpc.EndpointError):
        zerorpc.RemoteService("nonsense")
    with pytest.raises(TypeError, match="here nobody waits for an answer"):
        zerorpc.Puller(zerorpc.RemoteService("tcp://127.0.0.1:9"))


# Descriptions that make no sense


class Evaluated:
    """Would be noticed if an annotation were evaluated."""

    noticed = False

    @classmethod
    def notice(cls) -> None:
        cls.noticed = True


def test_nothing_of_a_description_is_evaluated_or_breaks_the_others() -> None:
    here = f"__import__({__name__!r}, fromlist=['']).Evaluated.notice()"
    deep: dict[str, Any] = {}
    for _ in range(200):
        deep = {"items": deep}
    bad = [
        {"arguments": []},
        {"arguments": {"properties": {"a": 1}}},
        {"arguments": {"properties": {}, "required": [1]}},
        {"arguments": {"properties": {"a": deep}}, "result": {"$ref": 3}},
        {"arguments": {"properties": {"a": {"description": b"\xff", 1: 2}}}, "$defs": {"A": 1}},
    ]
    told = {f"m{n}": {"args": [{"name": "a", "type": here}], "doc": None, "schema": each} for n, each in enumerate(bad)}
    told |= {"odd": {"args": [{"name": "1"}, {"name": "1"}]}, "none": None, "text": "x"}  # type: ignore[dict-item]
    assert read_answer({"methods": told}) is not None
    with serving({"m0": lambda a: a, "odd": lambda *args: list(args)}) as server:
        server._core.registry.answering["_zerorpc_inspect"].functor = lambda: {"name": "x", "methods": told}
        with in_front_of(server.endpoints[0]) as front:
            assert set(told) == set(front.client("_zerorpc_list"))
            assert front.http.post("/call/m0", json={"a": 1}).json() == 1
            assert front.http.post("/call/odd", json=[1, 2]).json() == [1, 2]
            assert set(front.http.get("/openapi.json").json()["paths"]) == {f"/call/{name}" for name in told}
            assert set(front.client("_zerorpc_inspect")["methods"]) == set(told)
    assert not Evaluated.noticed


@pytest.mark.parametrize("name", ["_zerorpc_status", "_zerorpc_inspect", "_zpc_methods", "arm._hidden", "_hidden"])
def test_what_every_server_answers_for_itself_isnt_forwarded(direct: Front, name: str) -> None:
    """It would take the gateway for its caller, and tell of methods that are denied here."""
    server = zerorpc.Server({}, name="gateway")
    server.register(zerorpc.RemoteService(direct.server.endpoints[0]), "robot")
    server.bind("tcp://127.0.0.1:0")
    with on_thread(server), zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
        assert client("robot.add", 1) == 3
        with pytest.raises(zerorpc.UnknownMethod) as caught:
            client(f"robot.{name}")
    assert caught.value.ran is False


def test_a_server_that_accepts_and_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.forwarding.reach._SILENCE_MAX", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = zerorpc.Server(zerorpc.RemoteService(f"tcp://127.0.0.1:{silent.getsockname()[1]}"))
        server.bind("tcp://127.0.0.1:0")
        with on_thread(server), zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
            with pytest.raises(zerorpc.RemoteError) as caught:
                client.move()
    assert (caught.value.name, caught.value.ran) == ("LostRemote", False)


def test_a_callers_own_time_is_its_own_to_tell(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the gateway's word it would be a RemoteError, and no TimeoutExpired. Both find out at the same time; here the
    gateway is first.
    """
    options = forwarded_call._options
    monkeypatch.setattr(forwarded_call, "_options", lambda *args: options(*args)._replace(timeout=0.01))
    monkeypatch.setattr(forwarded_call, "_NEAR", PATIENCE)
    monkeypatch.setattr(forwarded_call, "_CALLERS_OWN", PATIENCE)
    with pytest.raises(zerorpc.TimeoutExpired):
        zerorpc.options(front.client, timeout=0.5).ever()
