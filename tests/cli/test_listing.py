"""What services of every age tell about themselves, and how it is shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from zerorpc.cli.listing import describe, show_service
from zerorpc.errors import LostRemote, ProtocolError, RemoteError


class FakeService:
    """Answers the builtin methods as one kind of peer does; a name that is missing fails remotely."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, method: str, *args: str) -> Any:
        self.asked.append(method)
        answer = self.answers.get(method[len("_zerorpc_") :])
        if isinstance(answer, BaseException):
            raise answer
        if isinstance(answer, dict) and args:
            answer = answer.get(args[0], KeyError)
        if answer is None or answer is KeyError:
            raise RemoteError("KeyError", method, "Traceback: …")
        return answer


DOC = "Add two numbers.\n\nSlowly."

VERSION_3 = FakeService(
    inspect={
        "name": "Math",
        "methods": {
            "add": {"args": [{"name": "a"}, {"name": "b", "default": 2}], "doc": DOC},
            "negate": {"args": [], "doc": None},
            "builtin": {"args": None, "doc": "\n  builtin(x)\n"},
            "none": {"args": [{"name": "x", "default": None}, {"name": "y", "default": "z"}], "doc": ""},
        },
    }
)
VERSION_2 = FakeService(
    inspect={
        "name": b"Math",
        "methods": [
            [b"add", [["a", "b"], None, None, [2]], DOC],
            ["negate", [[], None, None, None], None],
            ["builtin", None, "\n  builtin(x)\n"],
            ["none", [["x", "y"], "rest", "keywords", [None, "z"]], ""],
        ],
    }
)
NAMES = ["add", "negate", "builtin", "none"]
HELP = {"add": DOC, "negate": None, "builtin": "\n  builtin(x)\n", "none": ""}
OLD_ON_NEW_PYTHON = FakeService(list=NAMES, name="Math", help=HELP)
VERSION_1 = FakeService(list=NAMES, help=HELP, args={"add": [["a", "b"], None, None, [2]]})

LIST = """\
[Math]
add     Add two numbers.
negate  <undocumented>
builtin builtin(x)
none    <undocumented>
"""


@pytest.mark.parametrize("service", [VERSION_3, VERSION_2, OLD_ON_NEW_PYTHON])
def test_the_list_is_names_and_first_lines(capsys: pytest.CaptureFixture[str], service: FakeService) -> None:
    assert show_service(service, None, signatures=False, as_json=False) == 0
    assert capsys.readouterr().out == LIST


@pytest.mark.parametrize(
    ("service", "lines"),
    [
        (VERSION_3, ["[Math]", "add(a, b=2)", "negate()", "builtin(...)", "none(x=None, y='z')"]),
        (
            VERSION_2,
            ["[Math]", "add(a, b=2)", "negate()", "builtin(...)", "none(x=None, y='z', *rest, **keywords)"],
        ),
        (OLD_ON_NEW_PYTHON, ["[Math]", "add(...)", "negate(...)", "builtin(...)", "none(...)"]),
        (VERSION_1, ["[N/A]", "add(a, b=2)", "negate(...)", "builtin(...)", "none(...)"]),
    ],
)
def test_inspecting_shows_signatures(
    capsys: pytest.CaptureFixture[str], service: FakeService, lines: list[str]
) -> None:
    assert show_service(service, None, signatures=True, as_json=False) == 0
    assert capsys.readouterr().out.splitlines() == lines


@pytest.mark.parametrize("service", [VERSION_3, VERSION_2])
def test_inspecting_one_method_shows_all_of_it(capsys: pytest.CaptureFixture[str], service: FakeService) -> None:
    assert show_service(service, "add", signatures=True, as_json=False) == 0
    assert capsys.readouterr().out == f"[Math]\nadd(a, b=2)\n\n{DOC}\n\n"


def test_inspecting_an_undocumented_method(capsys: pytest.CaptureFixture[str]) -> None:
    assert show_service(VERSION_3, "negate", signatures=True, as_json=False) == 0
    assert capsys.readouterr().out == "[Math]\nnegate()\n\n<undocumented>\n\n"


@pytest.mark.parametrize("service", [VERSION_3, VERSION_2, OLD_ON_NEW_PYTHON])
def test_inspecting_what_is_not_there_fails(capsys: pytest.CaptureFixture[str], service: FakeService) -> None:
    assert show_service(service, "nope", signatures=True, as_json=False) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == 'No documentation for "nope": [Math] has no such method.\n'


def test_a_list_can_be_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert show_service(VERSION_3, "add", signatures=True, as_json=True) == 0
    methods = {"add": {"signature": "add(a, b=2)", "doc": DOC}}
    assert json.loads(capsys.readouterr().out) == {"name": "Math", "methods": methods}


def test_a_service_without_methods(capsys: pytest.CaptureFixture[str]) -> None:
    assert show_service(FakeService(inspect={"methods": {}}), None, signatures=False, as_json=False) == 0
    assert capsys.readouterr().out == "[N/A]\n"


def test_a_remote_documentation_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    service = FakeService(inspect={"name": "\x1b", "methods": {"m": {"doc": "\x1b[2J"}}})
    show_service(service, None, signatures=False, as_json=False)
    assert capsys.readouterr().out == "[\\x1b]\nm \\x1b[2J\n"


@pytest.mark.parametrize("answer", ["text", {"methods": 3}, {}])
def test_a_strange_answer_is_followed_by_questions(answer: object) -> None:
    class Strange(FakeService):
        def __call__(self, method: str, *args: str) -> Any:
            return answer if method == "_zerorpc_inspect" else super().__call__(method, *args)

    service = describe(Strange(list=["add"], name="S", help={"add": DOC}), signatures=False)
    assert service.name == "S"
    assert [method.doc for method in service.methods] == [DOC]


def test_odd_details_do_not_end_the_list() -> None:
    told = {"m": None, "n": {"args": ["x", {"name": b"\xff"}], "doc": b"d"}}
    methods = describe(FakeService(inspect={"name": "S", "methods": told})).methods
    assert [tuple(method) for method in methods] == [("m", "(...)", ""), ("n", "(x, \ufffd)", "d")]


deep: list[Any] = []
for _ in range(100_000):
    deep = [deep]


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ([5], "5(...)"),
        ([[]], "(...)"),
        ([["m"]], "m(...)"),
        ([["m", "args", {"doc": 1}, "more"]], "m(...)"),
        ([["m", [["a"], None, None], "doc"]], "m(...)"),
        ([["m", ["names", None, None, None], "doc"]], "m(...)"),
        ([["m", [["a"], None, None, [1, 2, 3]], "doc"]], "m(a=3)"),
        ([["m", [["a"], None, None, 7], "doc"]], "m(a)"),
        (
            [["m", [["a", [deep]], 1, 2.5, [deep]], deep]],
            "m(a, <a value of type list>=<a value of type list>, *1, **2.5)",
        ),
        ({"m": {"args": [{"name": deep, "default": deep}]}}, "m(<a value of type list>=<a value of type list>)"),
        ({5: {"args": 5, "doc": 5}}, "5(...)"),
        ({"m": {"args": [5, None, {}]}}, "m(5, , )"),
    ],
)
def test_a_malformed_answer_is_shown_as_far_as_it_goes(told: Any, shown: str) -> None:
    (method,) = describe(FakeService(inspect={"name": deep, "methods": told})).methods
    assert method.name + method.signature == shown


@pytest.mark.parametrize("told", [5, "add", {"add": 1}, True])
def test_a_list_that_is_none_is_told_in_a_sentence(told: Any) -> None:
    why = "can't tell its methods: instead of a list of names a value of type"
    with pytest.raises(ProtocolError, match=why):
        describe(FakeService(list=told))


def test_a_list_puts_no_questions_for_signatures() -> None:
    service = FakeService(list=["add"], name="Math", help={"add": DOC})
    describe(service, signatures=False)
    assert "_zerorpc_args" not in service.asked


def test_only_remote_errors_lead_to_more_questions() -> None:
    service = FakeService(inspect=LostRemote("gone"))
    with pytest.raises(LostRemote):
        describe(service)
    assert service.asked == ["_zerorpc_inspect"]
