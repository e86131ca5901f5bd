"""What ``dir``, ``help``, ``inspect.signature`` and prompts see of a client's remote methods."""

from __future__ import annotations

import functools
import inspect
import pydoc
import rlcompleter
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import zerorpc
from tests.service.running import PATIENCE, Program, eventually_async, run, serving, unused_port
from zerorpc.client import exploring
from zerorpc.client.description import Description
from zerorpc.remote_method import RemoteMethod


def move(x: int, y: float = 0.5, *, speed: str = "slow") -> int:
    """Move the stage.

    In steps.
    """
    return x


def count(n: int) -> Iterator[int]:
    yield from range(n)


METHODS: dict[str, Callable[..., Any]] = {"move": move, "count": count, "robot.arm.lift": lambda height: height}
SIGNATURE = "(x: int, y: float = 0.5, *, speed: str = 'slow')"


class Asked:
    """The names of the methods that a server was asked for, in order."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def server_before_exec(self, event: Any) -> None:
        self.names.append(event.name)


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def endpoint(asked: Asked) -> Iterator[str]:
    context = zerorpc.Context()
    context.register_middleware(asked)
    with serving(METHODS, context=context) as server:
        yield server.endpoints[0]


@pytest.fixture
def client(endpoint: str) -> Iterator[zerorpc.Client]:
    with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        yield client


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loaded machine is slow."""
    monkeypatch.setattr(exploring, "TIME", PATIENCE)


# What is shown


def test_dir_shows_the_remote_methods_and_the_clients_own(client: zerorpc.Client) -> None:
    assert {"move", "count", "robot", "connect", "close", "__call__"} <= set(dir(client))
    assert "arm" in dir(client.robot)
    assert "lift" in dir(client.robot.arm)
    assert len(dir(client)) == len(set(dir(client)))


def test_dir_shows_no_misspelt_name(client: zerorpc.Client) -> None:
    client.moev  # noqa: B018
    assert "moev" not in dir(client)


def test_signature_doc_and_name(client: zerorpc.Client) -> None:
    method: Any = client.move
    assert str(inspect.signature(method)) == SIGNATURE
    assert inspect.getdoc(method) == "Move the stage.\n\nIn steps."
    assert (method.__name__, client.robot.arm.lift.__name__) == ("move", "lift")
    assert client.robot.arm.lift.__qualname__ == "robot.arm.lift"
    assert repr(method) == f"<RemoteMethod move{SIGNATURE}>"
    assert str(inspect.signature(client.count)) == "(n: int) -> Stream"
    assert inspect.getdoc(client.count) == "count(n: int) -> Stream"


def test_a_default_that_only_the_server_has_is_shown_as_it_stands_there() -> None:
    told = {
        "args": [{"name": "a", "default": "Path('.')\n\x1b[2J"}],
        "schema": {"arguments": {"properties": {"a": {}}}},
    }
    method = Description({"methods": {"m": told}}).method("m")
    assert method is not None
    assert str(method.signature).startswith("(a=Path('.')")
    assert str(method.signature).isprintable()


def test_help(client: zerorpc.Client) -> None:
    shown = pydoc.plain(pydoc.render_doc(client.move))
    assert SIGNATURE in shown
    assert "Move the stage." in shown


def test_the_standard_prompt_completes(client: zerorpc.Client) -> None:
    completer = rlcompleter.Completer({"client": client})
    assert completer.complete("client.mo", 0) == "client.move("


@pytest.mark.parametrize("view", [zerorpc.options, zerorpc.every])
def test_views_show_them_too(client: zerorpc.Client, view: Callable[[Any], Any]) -> None:
    assert {"move", "robot"} <= set(dir(view(client)))
    assert str(inspect.signature(view(client).move)) == SIGNATURE


def test_the_class_itself_is_shown_as_ever() -> None:
    assert (RemoteMethod.__doc__ or "").startswith("``client.method``")
    assert list(inspect.signature(RemoteMethod).parameters) == ["call", "name"]


# When the server is asked


def test_ipythons_question_mark_calls_nothing(endpoint: str, asked: Asked) -> None:
    """It asks what it is shown for a ``getdoc()``, which would be a remote method."""
    text = """
    import sys, zerorpc
    from IPython.core.oinspect import getdoc
    with zerorpc.Client(sys.argv[1]) as client:
        assert "Move the stage." in getdoc(client.move)
        for shown in (client, client.robot.arm, zerorpc.options(client, timeout=3)):
            getdoc(shown)
        client.getdoc  # a service may have one all the same
    """
    with Program(text, endpoint) as program:
        assert program.end() == (0, "", "")
    assert not {name for name in asked.names if "getdoc" in name}


def test_it_is_asked_once(client: zerorpc.Client, asked: Asked) -> None:
    for _ in range(2):
        dir(client)
        inspect.signature(client.move)
        inspect.getdoc(client.count)
    assert asked.names == ["_zerorpc_inspect"]


PLAIN = """
import functools, sys, zerorpc
with zerorpc.Client(sys.argv[1]) as client:
    assert client.move(3) == 3
    wrapped = functools.wraps(client.move)(lambda: None)
    repr(client), repr(client.move), client.move.__doc__, wrapped.__name__
    zerorpc.Server({"move": client.move, "again": zerorpc.rep(client.move)}).close()
"""


def test_a_plain_program_never_asks(endpoint: str, asked: Asked) -> None:
    done = subprocess.run([sys.executable, "-c", PLAIN, endpoint], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert asked.names == ["move"]


def test_wraps_asks_nothing(client: zerorpc.Client, asked: Asked) -> None:
    @functools.wraps(client.move)
    def wrapped() -> None: ...

    assert wrapped.__doc__ == RemoteMethod.__doc__
    assert asked.names == []


def test_at_a_prompt_a_doc_that_is_read_asks(
    client: zerorpc.Client, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    assert (client.move.__doc__ or "").startswith("Move")
    assert asked.names == ["_zerorpc_inspect"]


def test_nobody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exploring, "TIME", 0.05)
    with zerorpc.Client(f"tcp://127.0.0.1:{unused_port()}") as client:
        assert "move" not in dir(client)
        assert list(inspect.signature(client.move).parameters) == ["args", "options"]
        assert repr(client.move) == "<RemoteMethod move>"


def test_a_server_that_was_not_there_is_asked_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = f"tcp://127.0.0.1:{unused_port()}"
    monkeypatch.setattr(exploring, "TIME", 0.05)
    with zerorpc.Client(endpoint) as client:
        assert "move" not in dir(client)
        monkeypatch.setattr(exploring, "TIME", PATIENCE)
        with serving(METHODS, bind=endpoint):
            client("move", 1)
            assert "move" not in dir(client)
            monkeypatch.setattr(exploring, "AGAIN", 0.0)
            assert "move" in dir(client)


def test_a_client_that_is_connected_to_nothing_or_closed_or_unmade() -> None:
    client = zerorpc.Client()
    assert "connect" in dir(client)
    client.connect("tcp://127.0.0.1:9")
    client.close()
    assert "connect" in dir(client)
    assert "connect" in dir(zerorpc.Client.__new__(zerorpc.Client))


def test_an_old_server_that_cannot_describe_tells_its_names(asked: Asked) -> None:
    def fail() -> None:
        raise AttributeError("module 'inspect' has no attribute 'getargspec'")

    with serving(METHODS) as server:
        server._core.registry.answering["_zerorpc_inspect"].functor = fail
        with zerorpc.Client(server.endpoints[0]) as client:
            assert {"move", "count"} <= set(dir(client))
            assert inspect.getdoc(client.move) == "move(...)"
            assert list(inspect.signature(client.move).parameters) == ["args", "options"]


# AsyncClient


def test_an_async_client_waits_for_nothing(endpoint: str, asked: Asked) -> None:
    async def explore() -> None:
        async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
            assert "move" not in dir(client)
            await eventually_async(lambda: "move" in dir(client))
            assert str(inspect.signature(client.move)) == SIGNATURE
            assert await client.move(3) == 3

    run(explore())
    assert asked.names == ["_zerorpc_inspect", "move"]


def test_an_async_client_without_a_loop_is_given_none(endpoint: str, asked: Asked) -> None:
    client = zerorpc.AsyncClient(endpoint)
    assert "move" not in dir(client)

    async def explore() -> None:
        assert "move" not in dir(client)
        assert await client("move", 3) == 3
        dir(client)
        await eventually_async(lambda: "move" in dir(client))
        await client.aclose()

    run(explore())
    assert "move" in dir(client)  # as it was told
    assert asked.names == ["move", "_zerorpc_inspect"]
