"""What services of every age tell about themselves, and how it is shown."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, ForwardRef

import pytest

from tests.service.running import serving
from zerorpc.cli import main
from zerorpc.cli.asking import ask_service
from zerorpc.cli.flags import build_parser
from zerorpc.cli.listing import listing_of, show_service
from zerorpc.described import METHODS_MAX
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
negate  {}
builtin builtin(x)
none    {}
"""


@pytest.mark.parametrize(
    ("service", "undocumented"),
    [
        (VERSION_3, ("()", "(x=None, y='z')")),
        (VERSION_2, ("()", "(x=None, y='z', *rest, **keywords)")),
        (OLD_ON_NEW_PYTHON, ("<undocumented>", "<undocumented>")),
    ],
)
def test_the_list_is_names_and_first_lines(
    capsys: pytest.CaptureFixture[str], service: FakeService, undocumented: tuple[str, str]
) -> None:
    assert show_service(service, None, signatures=False, as_json=False) == 0
    assert capsys.readouterr().out == LIST.format(*undocumented)


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
    head, add, *others = lines
    expected = [head, add, "    Add two numbers.", *others]
    expected.insert(expected.index("builtin(...)") + 1, "    builtin(x)")
    assert capsys.readouterr().out.splitlines() == expected


@pytest.mark.parametrize("service", [VERSION_3, VERSION_2])
def test_inspecting_one_method_shows_all_of_it(capsys: pytest.CaptureFixture[str], service: FakeService) -> None:
    assert show_service(service, "add", signatures=True, as_json=False) == 0
    assert capsys.readouterr().out == f"[Math]\nadd(a, b=2)\n\n{DOC}\n\n"


def test_inspecting_an_undocumented_method(capsys: pytest.CaptureFixture[str]) -> None:
    assert show_service(VERSION_3, "negate", signatures=True, as_json=False) == 0
    assert capsys.readouterr().out == "[Math]\nnegate()\n\n<undocumented>\n\n"


@pytest.mark.parametrize("service", [VERSION_3, VERSION_2, OLD_ON_NEW_PYTHON])
def test_inspecting_what_is_not_there_fails(capsys: pytest.CaptureFixture[str], service: FakeService) -> None:
    assert show_service(service, "zzz", signatures=True, as_json=False) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == 'No documentation for "zzz": [Math] has no such method.\n'


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

    service = ask_service(Strange(list=["add"], name="S", help={"add": DOC}), signatures=False)
    assert service.name == "S"
    assert [method.doc for method in service.methods.values()] == [DOC]


def test_odd_details_do_not_end_the_list() -> None:
    told = {"m": None, "n": {"args": ["x", {"name": b"\xff"}], "doc": b"d"}}
    listing = listing_of(ask_service(FakeService(inspect={"name": "S", "methods": told})))
    assert [tuple(entry) for entry in listing.entries] == [("m", "(...)", "", ""), ("n", "(x, \ufffd)", "d", "")]


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
    (entry,) = listing_of(ask_service(FakeService(inspect={"name": deep, "methods": told}))).entries
    assert entry.name + entry.signature == shown


@pytest.mark.parametrize("told", [5, "add", {"add": 1}, True])
def test_a_list_that_is_none_is_told_in_a_sentence(told: Any) -> None:
    why = "can't tell its methods: instead of a list of names a value of type"
    with pytest.raises(ProtocolError, match=why):
        ask_service(FakeService(list=told))


def test_a_list_puts_no_questions_for_signatures() -> None:
    service = FakeService(list=["add"], name="Math", help={"add": DOC})
    ask_service(service, signatures=False)
    assert "_zerorpc_args" not in service.asked


def test_only_remote_errors_lead_to_more_questions() -> None:
    service = FakeService(inspect=LostRemote("gone"))
    with pytest.raises(LostRemote):
        ask_service(service)
    assert service.asked == ["_zerorpc_inspect"]


# What our own servers know of types


def step(axis: str, n: int = 1, speed: float = 1.5) -> float:
    """Move."""
    return n * speed


def positions(every: float) -> Iterator[int]:
    yield 1


def untyped(a, b=2):  # type: ignore[no-untyped-def]
    pass


def test_types_and_results_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with serving({"step": step, "positions": positions, "untyped": untyped}, name="stage") as server:
        assert main([server.endpoints[0]]) == 0
        listed = capsys.readouterr().out
        assert main(["-?", server.endpoints[0]]) == 0
        inspected = capsys.readouterr().out
        assert main(["-?", server.endpoints[0], "step"]) == 0
        one = capsys.readouterr().out
    assert listed == "[stage]\nstep      Move.\npositions (every: float) → streams int\nuntyped   (a, b=2)\n"
    signature = "step(axis: str, n: int = 1, speed: float = 1.5) → float"
    assert inspected == (f"[stage]\n{signature}\n    Move.\npositions(every: float) → streams int\nuntyped(a, b=2)\n")
    assert one == f"[stage]\n{signature}\n\nMove.\n\n"


def placed(x: int, /, y: int = 2, *, z: int) -> None: ...


def only_placed(x, /):  # type: ignore[no-untyped-def]
    return x


def test_how_arguments_are_given_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with serving({"placed": placed, "only_placed": only_placed}, name="stage") as server:
        assert main(["-?", server.endpoints[0]]) == 0
        assert main([server.endpoints[0], "only_placed", "x=1"]) == 0
    shown = "[stage]\nplaced(x: int, /, y: int = 2, *, z: int) → None\nonly_placed(x, /)\n"
    assert capsys.readouterr().out == f"{shown}'x=1'\n", "a parameter without a name takes the word as it is"


class Axis(enum.Enum):
    X = "x"


def defaults(  # type: ignore[no-untyped-def]
    a: Axis = Axis.X,
    b=None,
    c: frozenset[int] = frozenset(),
    d: bytes = b"d",
    e: str = "frozenset()",
    f=Axis.X,
    *,
    g: timedelta = timedelta(1),
): ...


defaults.__annotations__["b"] = dict[ForwardRef("Literal['a']"), ForwardRef("Axis")]  # of typing's types in quotes


def test_a_default_is_what_a_caller_would_send_or_else_what_stands_in_the_source(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with serving({"defaults": defaults}, name="stage") as server:
        assert main(["-?", server.endpoints[0]]) == 0
    assert capsys.readouterr().out == (
        "[stage]\ndefaults(a: Axis = 'x', b: dict[Literal['a'], Axis] = None, c: frozenset[int] = frozenset(), "
        "d: bytes = b'd', e: str = 'frozenset()', f='x', *, g: timedelta = datetime.timedelta(days=1))\n"
    )


def test_programs_get_pythons_arrow(capsys: pytest.CaptureFixture[str]) -> None:
    with serving({"step": step}, name="stage") as server:
        assert main(["-pj", server.endpoints[0]]) == 0
    told = json.loads(capsys.readouterr().out)["methods"]["step"]
    assert told["signature"] == "step(axis: str, n: int = 1, speed: float = 1.5) -> float"


# Services that mean no good


HOSTILE = "x\x1b]0;owned\x07\x9b2J\r\nforged\tline\u202e\u2028[bold]"
MANY = METHODS_MAX + 5
HUGE = "n" * 1_000_000


def printed(capsys: pytest.CaptureFixture[str], service: Any, *, signatures: bool = False) -> list[str]:
    assert show_service(service, None, signatures, as_json=False) == 0
    return capsys.readouterr().out.split("\n")


@pytest.mark.parametrize("signatures", [True, False])
@pytest.mark.parametrize(
    "service",
    [
        FakeService(inspect={"name": HOSTILE, "methods": {HOSTILE: {"args": [{"name": HOSTILE}], "doc": HOSTILE}}}),
        FakeService(inspect={"name": HOSTILE, "methods": [[HOSTILE, [[HOSTILE], HOSTILE, None, [HOSTILE]], HOSTILE]]}),
        FakeService(inspect={"name": HOSTILE, "methods": [[HOSTILE.encode(), None, HOSTILE.encode()]]}),
        FakeService(
            inspect={"name": HOSTILE, "methods": {HOSTILE: {"args": [{"name": "a", "default": {HOSTILE: 1}}]}}}
        ),
        FakeService(
            inspect={
                "name": HOSTILE,
                "methods": {
                    HOSTILE: {
                        "args": [{"name": "a", "default": HOSTILE, "type": HOSTILE}],
                        "schema": {"arguments": {"properties": {"a": {}}}},
                    }
                },
            }
        ),
        FakeService(
            list=[HOSTILE], name=HOSTILE, help={HOSTILE: HOSTILE}, args={HOSTILE: [[HOSTILE], None, None, None]}
        ),
    ],
)
def test_each_method_is_one_harmless_line(
    capsys: pytest.CaptureFixture[str], service: FakeService, signatures: bool
) -> None:
    head, method, *docs, end = printed(capsys, service, signatures=signatures)
    assert (head + method + "".join(docs)).isprintable()
    assert head.startswith(r"[x\x1b]0;owned\x07\x9b2J\x0d\nforged\tline\u202e\u2028[bold]")
    assert method.startswith(r"x\x1b]0;owned\x07")
    assert end == ""


def test_one_method_in_full_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    service = FakeService(inspect={"name": HOSTILE, "methods": {HOSTILE: {"args": [HOSTILE], "doc": HOSTILE}}})
    show_service(service, HOSTILE, signatures=True, as_json=False)
    lines = capsys.readouterr().out.split("\n")
    assert all(each.replace("\t", "").isprintable() for each in lines)
    assert lines[3:5] == [
        r"x\x1b]0;owned\x07\x9b2J\x0d",
        "forged\tline\\u202e\\u2028[bold]",
    ]  # a documentation has lines


def test_what_is_not_there_is_told_harmlessly(capsys: pytest.CaptureFixture[str]) -> None:
    show_service(FakeService(inspect={"name": HOSTILE, "methods": {}}), "m", signatures=True, as_json=False)
    told = capsys.readouterr().err
    assert told.removesuffix("\n").isprintable()


@pytest.mark.parametrize(
    "service",
    [
        FakeService(inspect={"methods": {f"m{number}": {} for number in range(MANY)}}),
        FakeService(inspect={"methods": [[f"m{number}"] for number in range(MANY)]}),
        FakeService(list=[f"m{number}" for number in range(MANY)]),
    ],
)
def test_a_list_without_end_has_one_here(capsys: pytest.CaptureFixture[str], service: FakeService) -> None:
    assert show_service(service, None, signatures=True, as_json=False) == 0
    captured = capsys.readouterr()
    assert captured.err == "5 more methods are left out\n"
    assert len(captured.out.splitlines()) == METHODS_MAX + 1
    assert len(service.asked) <= 2 * METHODS_MAX + 3
    assert show_service(service, f"m{MANY - 1}", signatures=True, as_json=False) == 0  # it is found all the same


def test_a_name_that_comes_again_and_again_is_asked_about_once() -> None:
    service = FakeService(list=["m"] * 1_000_000, help={"m": DOC})
    assert list(ask_service(service).methods) == ["m"]
    assert len(service.asked) == 5


def test_long_names_are_cut_and_no_question_is_put_about_them(capsys: pytest.CaptureFixture[str]) -> None:
    methods = {HUGE: {"doc": HUGE}, **{f"m{number}": {"doc": "d"} for number in range(1000)}}
    lines = printed(capsys, FakeService(inspect={"name": HUGE, "methods": methods}))
    assert max(map(len, lines)) < 2100
    assert lines[2] == "m0   d"
    service = FakeService(list=[HUGE, "m"], help={"m": DOC})
    assert max(map(len, printed(capsys, service))) < 1100
    assert service.asked.count("_zerorpc_help") == 1


def test_a_stream_in_place_of_an_answer() -> None:
    def endless() -> Any:
        raise AssertionError("nobody asked for it")
        yield

    with pytest.raises(ProtocolError, match="instead of a list of names a value of type generator came"):
        ask_service(FakeService(inspect=endless(), list=endless(), name=endless()))
    assert ask_service(FakeService(inspect=endless(), list=["m"], name=endless(), help={"m": endless()})).methods


class Hostile:
    def methods(self) -> Any:
        return {HOSTILE: self.lend, "fail": self.fail}

    def lend(self) -> Any:
        def function() -> None: ...

        function.__name__ = HOSTILE
        return [function]

    def fail(self) -> None:
        raise type(HOSTILE, (Exception,), {})(HOSTILE * 30_000)


@pytest.mark.parametrize("params", [[], ["-?"], [HOSTILE], ["fail"], ["fail" + HOSTILE], ["-?", "no" + HOSTILE]])
def test_a_real_service_with_such_names(params: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Hostile().methods()) as server:
        main([server.endpoints[0], *params])
    captured = capsys.readouterr()
    for text in (captured.out, captured.err):
        assert all(each.replace("\t", "").isprintable() for each in text.split("\n"))
    assert len(captured.err) < 300_000  # of a million, with each escaped character as four


def test_the_shell_completes_nothing_that_a_peer_says() -> None:
    """Its words would be the shell's: argcomplete asks our parser only, which knows no remote names."""
    parser = build_parser()
    assert not any(hasattr(action, "completer") for action in parser._actions)
