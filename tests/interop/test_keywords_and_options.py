"""Keyword arguments, options, deadlines and metadata with older peers: they work, or fail before anything is sent."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import zerorpc
from tests.client.ways import EACH_WAY, EITHER_CLIENT, Way
from tests.interop.node.programs import NodeClient, node_client, node_server
from tests.interop.ours import our_server
from tests.interop.programs import PATIENCE, OldCallError, OldClient, old_client, old_server, telling_server
from tests.interop.raw_zmq import Sockets, broker
from tests.service.running import timed_out

TCP = "tcp://127.0.0.1:0"
SHORT = 0.3  # s


@pytest.fixture(scope="module")
def telling() -> Iterator[str]:
    """Where zerorpc 0.6.3 serves, and tells its methods' parameters."""
    with telling_server("--bind", TCP) as server:
        yield server.endpoint


@pytest.fixture(scope="module")
def mute() -> Iterator[str]:
    """Where it serves on Python 3.11 or later: it answers the question with an error."""
    with old_server("--bind", TCP) as server:
        yield server.endpoint


@pytest.fixture(scope="module")
def node() -> Iterator[str]:
    """Where Node's zerorpc serves."""
    with node_server("--bind", TCP) as server:
        yield server.endpoint


@pytest.fixture
def old(request: pytest.FixtureRequest) -> str:
    endpoint: str = request.getfixturevalue(request.param)
    return endpoint


OF_THOSE_THAT_TELL = pytest.mark.parametrize("old", ["telling", "node"], indirect=True)
OF_ALL = pytest.mark.parametrize("old", ["telling", "mute", "node"], indirect=True)

Use = Callable[[Any], Any]


def refused(way: Way, endpoint: str, use: Use, **options: Any) -> zerorpc.NotSupported:
    """The error of a call that the server never saw."""
    before = way(endpoint, lambda client: client.moves())
    with pytest.raises(zerorpc.NotSupported, match=rf"^move: the server at {endpoint} speaks an older ") as caught:
        way(endpoint, use, **options)
    assert way(endpoint, lambda client: client.moves()) == before
    assert isinstance(caught.value, TypeError)
    assert (caught.value.ran, caught.value.method) == (False, "move")
    return caught.value


# Keyword arguments


@EACH_WAY
@OF_THOSE_THAT_TELL
@pytest.mark.parametrize(
    ("use", "result"),
    [
        (lambda client: client.move(1, 2, 3), [1, 2, 3]),
        (lambda client: client.move(note="n", x=1, y=5), [1, 5, "n"]),
        (lambda client: client.move(1, y=5, note=b"\xff"), [1, 5, b"\xff"]),
        (lambda client: client.add(right=40, left=2), 42),
        (lambda client: client("add", 2, right=40), 42),
        (lambda client: client.count(stop=3), [0, 1, 2]),
    ],
)
def test_keywords_become_positions(old: str, use: Use, result: Any, way: Way) -> None:
    assert way(old, use) == result


@EACH_WAY
def test_a_default_that_is_told_stands_where_nothing_is_given(telling: str, way: Way) -> None:
    assert way(telling, lambda client: client.move(1, note="n")) == [1, 2, "n"]
    assert way(telling, lambda client: client.move(x=1)) == [1, 2, None]


@EACH_WAY
def test_node_has_no_defaults(node: str, way: Way) -> None:
    error = refused(way, node, lambda client: client.move(1, note="n"))
    assert "y can't be given by position: it stands before one that is given, and has no default" in str(error)


@EACH_WAY
@OF_THOSE_THAT_TELL
@pytest.mark.parametrize(
    ("use", "why"),
    [
        (lambda client: client.move(1, speed=2), "speed can't be .*: the method has no such parameter"),
        (lambda client: client.move(1, x=2), "x can't be .*: it is given by position as well"),
        (lambda client: client.move(y=2), "x can't be .*: it stands before one that is given"),
    ],
)
def test_what_does_not_fit_is_not_sent(old: str, use: Use, why: str, way: Way) -> None:
    assert re.search(why, str(refused(way, old, use)))


@EACH_WAY
def test_one_that_tells_no_parameters_gets_no_keywords(mute: str, way: Way) -> None:
    error = refused(way, mute, lambda client: client.move(1, y=2))
    assert "y can't be given by position: the server doesn't tell what the method takes" in str(error)
    assert way(mute, lambda client: client.move(1, 2)) == [1, 2, None]


def test_a_worker_of_an_older_kind_is_named_too() -> None:
    with zerorpc.Client() as client:
        (endpoint,) = client.bind(TCP)
        with old_server("--connect", endpoint):
            assert client.move(1) == [1, 2, None]
            with pytest.raises(zerorpc.NotSupported, match=r"the server at tcp://127\.0\.0\.1:\d+ speaks an older"):
                client.move(x=1)
            assert client.moves() == 1


# Options


@EACH_WAY
@OF_ALL
def test_options_stay_on_our_side(old: str, way: Way) -> None:
    assert way(old, lambda client: client.echo("here"), timeout=20) == "here"
    assert way(old, lambda client: client.count(300), slots=10, deadline=20, item_timeout=20) == list(range(300))
    assert way(old, lambda client: client.limits(1, 2), timeout=20, detached=True) == [1, 2]


@EITHER_CLIENT
@OF_ALL
def test_the_old_spelling_is_what_it_was(old: str, way: Way) -> None:
    assert way(old, lambda client: client.echo("here", timeout=20, slots=5)) == "here"
    assert way(old, lambda client: client.count(300, slots=10)) == list(range(300))
    assert way(old, lambda client: client.limits(1, 2, timeout=20, slots=5)) == [1, 2]


@EACH_WAY
@OF_THOSE_THAT_TELL
def test_on_a_view_the_same_names_are_the_methods(old: str, way: Way) -> None:
    assert way(old, lambda client: client.limits(slots=3, timeout=2.5), timeout=20) == [2.5, 3]


# Metadata


@EACH_WAY
@OF_ALL
def test_metadata_is_refused(old: str, way: Way) -> None:
    for use in (lambda client: client.move(1), lambda client: client.move(x=1)):
        error = refused(way, old, use, metadata={"trace": "abc"})
        assert str(error).endswith("speaks an older protocol, which has no metadata")
    assert way(old, lambda client: client.move(1, 2, 3), metadata={}) == [1, 2, 3]


# Functions and objects by reference


@EACH_WAY
@OF_ALL
def test_functions_are_refused(old: str, way: Way) -> None:
    for use in (
        lambda client: client.move(print),
        lambda client: client.move(1, note=[print]),
        lambda client: client.move(zerorpc.by_reference(Movable())),
    ):
        assert "which has no functions and objects passed by reference" in str(refused(way, old, use))


# Deadlines


@EACH_WAY
@OF_ALL
@pytest.mark.parametrize("bound", ["timeout", "deadline"])
def test_a_call_ends_in_time(old: str, bound: str, way: Way) -> None:
    with pytest.raises(zerorpc.TimeoutExpired, match=rf"after {SHORT}s, when calling remote method slow"):
        way(old, lambda client: client.slow(5, None), **{bound: SHORT})


@EACH_WAY
@OF_ALL
def test_so_does_a_stream(old: str, way: Way) -> None:
    timed_out(
        lambda seconds: way(old, lambda client: client.endless(), deadline=seconds), "when reading all of endless"
    )
    with pytest.raises(zerorpc.TimeoutExpired, match=rf"after {SHORT}s, when waiting for an item of slow_count"):
        way(old, lambda client: client.slow_count(5, 1), item_timeout=SHORT)


@OF_ALL
def test_so_do_all_calls_inside_of_a_deadline(old: str) -> None:
    with zerorpc.Client(old) as client:
        with zerorpc.deadline(3.0):
            assert client.echo("here") == "here"
            with pytest.raises(zerorpc.TimeoutExpired, match="when calling remote method slow"):
                client.slow(5, None)
            with pytest.raises(zerorpc.TimeoutExpired, match="no time was left to begin it") as caught:
                client.echo("here")
            assert caught.value.ran is False
        assert client.echo("still here") == "still here"


# Their clients, and our server: everything is as it was


class Knowing:
    """Methods that use what is new, on a thread and on the loop."""

    def plain(self, x: int, *, speed: float = 1.0) -> Any:
        return _known(x, speed)

    async def coroutine(self, x: int, *, speed: float = 1.0) -> Any:
        await asyncio.sleep(0)
        return _known(x, speed)

    async def stream(self, x: int, *, speed: float = 1.0) -> AsyncIterator[Any]:
        for value in _known(x, speed):
            yield value

    def must(self, *, speed: float) -> float:
        return speed

    def gives_a_function(self) -> Any:
        return _known


def _known(*arguments: Any) -> list[Any]:
    call = zerorpc.current_call()
    call.reply_metadata["first"] = "told to nobody"
    call.end_metadata["last"] = b"\xff"
    return [*arguments, call.method, dict(call.metadata), call.remaining(), call.cancelled]


@pytest.fixture(scope="module")
def knowing() -> Iterator[str]:
    with our_server(Knowing(), bind=TCP) as server:
        yield server.endpoints[0]


@pytest.fixture(scope="module")
def old_caller(knowing: str) -> Iterator[OldClient]:
    with old_client("--connect", knowing) as client:
        yield client


@pytest.fixture(scope="module")
def node_caller(knowing: str) -> Iterator[NodeClient]:
    with node_client("--connect", knowing) as client:
        yield client


@pytest.mark.parametrize("method", ["plain", "coroutine", "stream"])
def test_a_method_that_uses_it_answers_old_clients(old_caller: OldClient, node_caller: NodeClient, method: str) -> None:
    known = [7, 1.0, method, {}, None, False]
    assert old_caller.call(method, 7) == known
    assert node_caller.call(method, 7) == known


def test_what_they_cannot_give_is_a_type_error(old_caller: OldClient) -> None:
    with pytest.raises(OldCallError, match="speed") as caught:
        old_caller.call("must")
    assert (caught.value.kind, caught.value.name) == ("RemoteError", "TypeError")
    with pytest.raises(OldCallError, match="the result of gives_a_function can't be sent") as caught:
        old_caller.call("gives_a_function")
    assert caught.value.name == "TypeError"
    described = old_caller.call("_zerorpc_inspect")["methods"]["plain"]
    assert described["args"][0]["name"] == "x"


# Two of ours with a broker of libzmq's between them, which hides from each what the other is


class Movable:
    def move(self, x: int, y: int = 2, *, note: Any = None) -> list[Any]:
        self._moves = self.moves() + 1
        return [x, y, note]

    def moves(self) -> int:
        return getattr(self, "_moves", 0)

    def tell(self) -> float | None:
        return zerorpc.current_call().remaining()

    async def wait(self) -> None:
        await asyncio.sleep(2 * PATIENCE)


@pytest.fixture
def behind_a_broker(sockets: Sockets) -> Iterator[str]:
    with broker(sockets) as (front, back), our_server(Movable(), connect=back):
        yield front


@EACH_WAY
def test_behind_a_broker(behind_a_broker: str, way: Way) -> None:
    assert way(behind_a_broker, lambda client: client.move(y=5, x=1)) == [1, 5, None]
    error = refused(way, behind_a_broker, lambda client: client.move(1, note="n"))
    assert "note can't be given by position" in str(error)
    assert "by reference" in str(refused(way, behind_a_broker, lambda client: client.move(print)))
    assert "no metadata" in str(refused(way, behind_a_broker, lambda client: client.move(1), metadata={"a": "b"}))


@EACH_WAY
def test_time_travels_through_a_broker(behind_a_broker: str, way: Way) -> None:
    assert 0 < way(behind_a_broker, lambda client: client.tell(), timeout=9) <= 9
    assert 0 < way(behind_a_broker, lambda client: client.tell(), deadline=8) <= 8
    with pytest.raises(zerorpc.TimeoutExpired, match=rf"after {SHORT}s, when calling remote method wait"):
        way(behind_a_broker, lambda client: client.wait(), deadline=SHORT)
