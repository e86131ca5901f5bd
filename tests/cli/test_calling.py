"""What a call sends and prints, with a client that never leaves the process."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from types import SimpleNamespace, TracebackType
from typing import Any

import pytest

import zerorpc
from zerorpc.cli import main
from zerorpc.cli.usage import UsageError
from zerorpc.cli.words import decode_parameters


class FakeClient:
    """Stands in for zerorpc.Client: `answers` maps methods to results, functions or errors."""

    answers: dict[str, Any]
    made: FakeClient
    _core = SimpleNamespace(hub=SimpleNamespace(lock=contextlib.nullcontext(), links={}))

    def __init__(self, **settings: object) -> None:
        type(self).made = self
        self.settings = settings
        self.calls: list[tuple[object, ...]] = []
        self.links: list[str] = []
        self.words = False
        self.closed = False

    def connect(self, endpoint: str) -> None:
        self.links.append(f"connect {endpoint}")

    def bind(self, endpoint: str) -> list[str]:
        self.links.append(f"bind {endpoint}")
        return [endpoint]

    def __call__(self, method: str, *args: object) -> Any:
        self.calls.append((method, *args))
        answer = self.answers[method]
        if isinstance(answer, BaseException):
            raise answer
        return answer(*args) if callable(answer) else answer

    def __enter__(self) -> FakeClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.closed = True


def take_words(client: FakeClient, *, words: bool, progress: object) -> FakeClient:
    assert progress is None  # stderr is no terminal here
    client.words = words
    return client


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The methods of the service that every client of this test talks to."""
    monkeypatch.setattr(zerorpc, "Client", FakeClient, raising=False)
    monkeypatch.setattr(zerorpc, "options", take_words, raising=False)
    monkeypatch.setattr(FakeClient, "answers", {}, raising=False)
    return FakeClient.answers


def test_words_are_sent_as_text(answers: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    answers["add"] = "result"
    assert main(["ipc://s", "add", "1", "-2", "é"]) == 0
    assert FakeClient.made.calls == [("add", "1", "-2", "é")]
    assert FakeClient.made.links == ["connect ipc://s"]
    assert FakeClient.made.closed
    captured = capsys.readouterr()
    assert captured.out == "'result'\n"
    assert captured.err == 'Connecting to "ipc://s"\n'


def test_json_is_sent_as_values(answers: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    answers["echo"] = None
    assert main(["-j", "ipc://s", "echo", "-1", '"text"', "[null, 2.5]", '{"a": true}']) == 0
    assert FakeClient.made.calls == [("echo", -1, "text", [None, 2.5], {"a": True})]
    assert capsys.readouterr().out == "None\n"


@pytest.mark.parametrize(
    ("flags", "settings"),
    [
        ([], {"timeout": 30, "heartbeat": 5, "passive_heartbeat": True, "tls": None, "curve": None}),
        (
            ["--timeout", "0.5", "--heartbeat", "2.5", "--active-hb"],
            {"timeout": 0.5, "heartbeat": 2.5, "passive_heartbeat": False, "tls": None, "curve": None},
        ),
    ],
)
def test_flags_reach_the_client(answers: dict[str, Any], flags: list[str], settings: dict[str, object]) -> None:
    answers["m"] = None
    assert main([*flags, "ipc://s", "m"]) == 0
    assert FakeClient.made.settings == {
        **settings,
        "tls": None,
        "plain": None,
        "limits": zerorpc.Limits(),
    }


def test_a_client_that_binds_warns_of_false_workers(
    answers: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    answers["m"] = None
    assert main(["--bind", "tcp://0:1234", "m"]) == 0
    assert FakeClient.made.links == ["bind tcp://0:1234"]
    warning = "is open to the network: anyone who reaches this port can take the call and answer it"
    assert capsys.readouterr().err.splitlines()[1] == f'warning: "tcp://0:1234" {warning}'


def test_a_result_as_json(answers: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    answers["m"] = {"a": [1, None]}
    assert main(["-pj", "ipc://s", "m"]) == 0
    assert capsys.readouterr().out == '{"a": [1, null]}\n'


def test_a_list_is_one_result_and_no_stream(answers: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    answers["m"] = [1, 2]
    assert main(["ipc://s", "m"]) == 0
    assert capsys.readouterr().out == "[1, 2]\n"


@pytest.mark.parametrize(("flags", "out"), [([], "0\n1\n2\n"), (["-pj"], "[0\n,1\n,2\n]\n")])
def test_a_stream_is_printed_item_by_item(
    answers: dict[str, Any], capsys: pytest.CaptureFixture[str], flags: list[str], out: str
) -> None:
    answers["count"] = lambda n: iter(range(n))
    assert main([*flags, "-j", "ipc://s", "count", "3"]) == 0
    assert capsys.readouterr().out == out


def test_ctrl_c_in_a_stream_leaves_valid_json(answers: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    answers["count"] = interrupted
    assert main(["-pj", "ipc://s", "count"]) == 130
    assert FakeClient.made.closed
    assert json.loads(capsys.readouterr().out) == [1]


@pytest.mark.parametrize("flags", [[], ["-?"]])
def test_without_a_method_the_service_is_listed(
    answers: dict[str, Any], capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    answers["_zerorpc_inspect"] = {"name": "S", "methods": {"m": {"args": [], "doc": None}}}
    assert main([*flags, "ipc://s"]) == 0
    assert capsys.readouterr().out == ("[S]\nm()\n" if flags else "[S]\nm ()\n")


def test_inspecting_a_method_does_not_call_it(answers: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    answers["_zerorpc_inspect"] = {"name": "S", "methods": {"m": {"args": [], "doc": "Doc."}}}
    assert main(["-?", "ipc://s", "m"]) == 0
    assert FakeClient.made.calls == [("_zerorpc_inspect",)]
    assert capsys.readouterr().out == "[S]\nm()\n\nDoc.\n\n"


@pytest.mark.parametrize(
    ("text", "problem", "remedy"),
    [
        ("abc", "parameter 2 is not JSON: abc (Expecting value: line 1 column 1", "quotes: '\"abc\"'"),
        ("it's", "parameter 2 is not JSON: it's (Expecting value", """quotes: '"it'"'"'s"'"""),
        ("", "parameter 2 is not JSON:  (Expecting value", "quotes: '\"\"'"),
        ("[" * 100_000, "parameter 2 is not JSON: [[[", "for text, "),
    ],
)
def test_a_parameter_that_is_not_json(text: str, problem: str, remedy: str) -> None:
    with pytest.raises(UsageError) as raised:
        decode_parameters(["1", text], as_json=True)
    assert raised.value.problem.startswith(problem)
    assert remedy in raised.value.remedy


def test_a_parameter_that_is_not_utf8() -> None:
    with pytest.raises(UsageError, match="parameter 2 is not UTF-8"):
        decode_parameters(["é", "\udcff"], as_json=False)


def test_wrong_parameters_are_found_before_connecting(
    answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(zerorpc, "Client", None, raising=False)
    assert main(["-j", "ipc://s", "m", "text"]) == 2
    assert "parameter 1 is not JSON: text" in capsys.readouterr().err


PASSWORDS = {
    "in the environment": ({"ZERORPC_PASSWORD": "secret"}, False, zerorpc.Plain("alice", "secret")),
    "asked for": ({}, True, zerorpc.Plain("alice", "typed")),
    "nobody to ask": ({}, False, "there is no terminal to ask for alice's password"),
    "too long": ({"ZERORPC_PASSWORD": "x" * 256}, False, "password has more than the 255 octets"),
}


@pytest.mark.parametrize("what", PASSWORDS)
def test_a_user_and_the_password(
    what: str, answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment, terminal, made = PASSWORDS[what]
    monkeypatch.delenv("ZERORPC_PASSWORD", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdin", type("Stdin", (), {"isatty": lambda _: terminal})())
    monkeypatch.setattr("getpass.getpass", lambda prompt: "typed" if prompt == "Password of alice: " else "")
    answers["hello"] = "hello"
    if isinstance(made, zerorpc.Plain):
        assert main(["--user", "alice", "ipc:///tmp/x", "hello"]) == 0
        assert FakeClient.made.settings["plain"] == made
    else:
        assert main(["--user", "alice", "ipc:///tmp/x", "hello"]) == 2
        assert made in capsys.readouterr().err


def test_either_a_user_or_keys(answers: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    key = zerorpc.Curve(server_key=bytes(range(32))).server_key
    assert key is not None
    assert main(["--user", "alice", "--curve-server", key, "ipc:///tmp/x", "hello"]) == 2
    assert "either a user or keys can be given" in capsys.readouterr().err


def test_limits(answers: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    answers["hello"] = "hello"
    assert main(["--limit", "message=2000", "--limit", "values=1000", "ipc:///tmp/x", "hello"]) == 0
    assert FakeClient.made.settings["limits"] == zerorpc.Limits(message=2000, values=1000)
    for wrong in ("message", "message=x", "messages=1", "message=-1"):
        assert main(["--limit", wrong, "ipc:///tmp/x", "hello"]) == 2
        assert "is no limit such as message=1000000; there are message, values," in capsys.readouterr().err
    assert main(["--limit", "message=1", "ipc:///tmp/x", "hello"]) == 2
    assert "the limit message has to be from 1024 to 134217728, not 1" in capsys.readouterr().err


def test_the_usual_address_is_called(
    answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ZERORPC_ADDRESS", "ipc://usual")
    answers["add"] = 3
    assert main(["add", "1", "2"]) == 0
    assert FakeClient.made.links == ["connect ipc://usual"]
    answers["_zerorpc_inspect"] = {"name": "S", "methods": {}}
    assert main(["schema"]) == 0
    assert FakeClient.made.links == ["connect ipc://usual"]
