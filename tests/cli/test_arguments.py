"""What the user typed, understood."""

from __future__ import annotations

import sys

import pytest

from zerorpc.cli.arguments import parse
from zerorpc.cli.usage import UsageError, program_name

HERE = "tcp://127.0.0.1:4242"

KEY = "-l&8[P)n3Xzk=%.{N%x^=03#e98df[(tZACRxD3="  # in Z85


@pytest.fixture(autouse=True)
def typed_zerorpc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/zerorpc-client"])


# Every line of the README and of the old program's help, with what it means.
@pytest.mark.parametrize(
    ("line", "connect", "bind", "command", "params"),
    [
        ("{0}", [HERE], [], None, []),
        ("{0} strftime %Y/%m/%d", [HERE], [], "strftime", ["%Y/%m/%d"]),
        ("--client --connect {0} strftime %Y", [HERE], [], "strftime", ["%Y"]),
        ("--connect {0} strftime %Y", [HERE], [], "strftime", ["%Y"]),
        ("--bind {0} localtime", [], [HERE], "localtime", []),
        ("--bind {0} add 1 2", [], [HERE], "add", ["1", "2"]),
        ("--bind {0}", [], [HERE], None, []),
        ("--json {0} sleep 3", [HERE], [], "sleep", ["3"]),
        ("{0} --json sleep 3", [HERE], [], "sleep", ["3"]),
        ("{0} sleep --json 3", [HERE], [], "sleep", ["3"]),
        ("{0} sleep 3 --json", [HERE], [], "sleep", ["3"]),
        ("sleep 3 --bind {0}", [], [HERE], "sleep", ["3"]),
        ("{0} abs -3", [HERE], [], "abs", ["-3"]),
        ("-j {0} add -1.5e3 -2", [HERE], [], "add", ["-1.5e3", "-2"]),
        ("{0} echo -", [HERE], [], "echo", ["-"]),
        ("{0} echo -- -x --json", [HERE], [], "echo", ["-x", "--json"]),
        ("{0} -- echo -- -x", [HERE], [], "echo", ["--", "-x"]),
        ("--timeout=3 {0} echo", [HERE], [], "echo", []),
        ("--conn {0} echo", [HERE], [], "echo", []),
        ("--server {0} time", [HERE], [], "time", []),
        ("--server --bind {0} --bind ipc://s time", [], [HERE, "ipc://s"], "time", []),
        ("--server --bind {0} --pair time", [], [HERE], "time", []),
        ("--server --pair --bind {0} time", [], [HERE], "time", []),
        ("--server --pair-as alice --bind {0} time", [], [HERE], "time", []),
        ("--server --bind {0} --connect ipc://s time", ["ipc://s"], [HERE], "time", []),
    ],
)
def test_words_get_their_meaning(
    line: str, connect: list[str], bind: list[str], command: str | None, params: list[str]
) -> None:
    arguments = parse(line.format(HERE).split())
    assert (arguments.connect, arguments.bind) == (connect, bind)
    assert (arguments.command, arguments.params) == (command, params)
    assert arguments.server == ("--server" in line)
    assert arguments.json == ("-j" in line.partition("-- ")[0])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{0} --allow-keys folder add", "--allow-keys is for servers"),
        ("{0} --pair add", "--pair is for servers"),
        ("{0} --pair-as alice add", "--pair-as is for servers"),
        ("{0} --rights rights.toml add", "--rights is for servers"),
        ("--server --bind {0} --user alice time", "--user is for clients"),
        ("--server --bind {0} --tls-cert tls.pem time", "--tls-cert does nothing at {0}, which is in clear"),
        ("--server --bind {0} --tls-ca ca.pem time", "--tls-ca does nothing at {0}, which is in clear"),
        ("{0} --tls-ca ca.pem add", "--tls-ca does nothing at {0}, which is in clear"),
    ],
)
def test_what_would_protect_nothing_is_refused(line: str, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(line.format(HERE).split())
    assert caught.value.problem == problem.format(HERE)


def test_tls_at_one_address_of_several() -> None:
    assert parse(["--server", "--bind", HERE, "--bind", f"tls+{HERE}", "--tls-cert", "tls.pem", "time"]).tls is not None


def test_an_empty_parameter_stays_a_parameter() -> None:
    assert parse([HERE, "echo", ""]).params == [""]


def test_flags_and_their_defaults() -> None:
    arguments = parse([HERE])
    assert (arguments.timeout, arguments.heartbeat, arguments.pool_size, arguments.processes) == (30, 5, None, 1)
    assert (arguments.grace, arguments.max_wait, arguments.proxy_protocol) == (10, None, False)
    assert not any([arguments.print_json, arguments.inspect, arguments.active_hb, arguments.debug])
    line = "-pj -? --active-hb -d --timeout 0.5 --heartbeat 1.5 --pool-size 8 --processes 2"
    arguments = parse([*line.split(), HERE])
    assert (arguments.timeout, arguments.heartbeat, arguments.pool_size, arguments.processes) == (0.5, 1.5, 8, 2)
    arguments = parse(["--grace", "0", "--max-wait", "2.5", "--proxy-protocol", HERE])
    assert (arguments.grace, arguments.max_wait, arguments.proxy_protocol) == (0, 2.5, True)
    arguments = parse([*line.split(), HERE])
    assert all([arguments.print_json, arguments.inspect, arguments.active_hb, arguments.debug])


@pytest.mark.parametrize("flag", ["--print-json", "--inspect", "--debug", "--json"])
def test_long_flags(flag: str) -> None:
    assert getattr(parse([flag, HERE]), flag[2:].replace("-", "_"))


@pytest.mark.parametrize(
    ("line", "problem", "remedy"),
    [
        ("", "no address given", "type: zerorpc-client tcp://127.0.0.1:4242 [method [parameter ...]]"),
        ("--json", "no address given", "type: zerorpc-client tcp://127.0.0.1:4242 [method [parameter ...]]"),
        (
            "--server",
            "no address given",
            "type: zerorpc-client --server --bind tcp://127.0.0.1:4242 module",
        ),
        (
            "--server --bind ipc://s",
            "nothing to serve: no module given",
            "type: zerorpc-client --server --bind tcp://127.0.0.1:4242 module",
        ),
        (
            "--server --bind ipc://s time os",
            'only one module can be served, and "os" came after "time"',
            "type: zerorpc-client --server --bind tcp://127.0.0.1:4242 module",
        ),
        (
            "ipc://s echo -x",
            "unrecognized arguments: -x",
            "type: zerorpc-client --help, or put -- before a parameter that starts with a dash",
        ),
        (
            "--timeout soon ipc://s",
            "argument --timeout: 'soon' is not a number of seconds above 0",
            "type: zerorpc-client --help",
        ),
        (
            "--pool-size 0 ipc://s",
            "argument --pool-size: '0' is not a whole number above 0",
            "type: zerorpc-client --help",
        ),
        (
            "--grace -1 ipc://s",
            "argument --grace: '-1' is not a number of seconds, 0 or above",
            "type: zerorpc-client --help",
        ),
        (
            "--max-wait 0 ipc://s",
            "argument --max-wait: '0' is not a number of seconds above 0",
            "type: zerorpc-client --help",
        ),
        ("ipc://s --connect", "argument --connect: expected one argument", "type: zerorpc-client --help"),
    ],
)
def test_wrong_lines_say_what_to_type(line: str, problem: str, remedy: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(line.split())
    assert raised.value.problem == problem
    assert raised.value.remedy == remedy


@pytest.mark.parametrize("number", ["0", "-1", "nan", "inf"])
def test_times_must_be_times(number: str) -> None:
    with pytest.raises(UsageError, match="not a number of seconds above 0"):
        parse([f"--heartbeat={number}", HERE])


def test_client_and_server_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="not allowed with"):
        parse(["--client", "--server", HERE, "time"])


def test_version_needs_no_address() -> None:
    assert parse(["--version"]).version


@pytest.mark.parametrize(
    ("started", "name"),
    [("/usr/bin/zerorpc", "zerorpc"), ("lib/zerorpc/__main__.py", "python -m zerorpc")],
)
def test_the_program_is_called_as_it_was_typed(monkeypatch: pytest.MonkeyPatch, started: str, name: str) -> None:
    monkeypatch.setattr(sys, "argv", [started])
    assert program_name() == name


@pytest.mark.parametrize("form", [["--curve-server", KEY], [f"--curve-server={KEY}"], ["--curve-s", KEY]])
def test_a_key_that_begins_with_a_dash(form: list[str]) -> None:
    understood = parse([*form, "tcp://127.0.0.1:1", "method"])
    assert understood.curve is not None
    assert understood.curve.server_key == KEY


def test_a_flag_where_a_value_is_needed_is_told() -> None:
    with pytest.raises(UsageError, match="--curve-server: expected one argument"):
        parse(["--curve-server", "--json", "tcp://127.0.0.1:1"])


@pytest.mark.parametrize(
    ("line", "connect", "bind", "command", "params"),
    [
        ("", [HERE], [], None, []),
        ("echo 1", [HERE], [], "echo", ["1"]),
        ("-? echo", [HERE], [], "echo", []),
        ("arm.lift tcp://a:1", [HERE], [], "arm.lift", ["tcp://a:1"]),
        ("tcp://a:1 echo", ["tcp://a:1"], [], "echo", []),
        ("ipc://s", ["ipc://s"], [], None, []),
        ("a:1 echo", ["a:1"], [], "echo", []),  # it is told that the scheme is missing
        ("--connect ipc://s echo", ["ipc://s"], [], "echo", []),
        ("--bind ipc://s echo", [], ["ipc://s"], "echo", []),
        ("--server ipc://s time", ["ipc://s"], [], "time", []),
    ],
)
def test_the_usual_address(
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    connect: list[str],
    bind: list[str],
    command: str | None,
    params: list[str],
) -> None:
    monkeypatch.setenv("ZERORPC_ADDRESS", HERE)
    arguments = parse(line.split())
    assert (arguments.connect, arguments.bind) == (connect, bind)
    assert (arguments.command, arguments.params) == (command, params)


def test_a_server_has_no_usual_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZERORPC_ADDRESS", HERE)
    with pytest.raises(UsageError, match="no address given"):
        parse(["--server"])


@pytest.mark.parametrize(
    ("line", "literal"), [("{0} m 1 2", 0), ("{0} m 1 -- 2 3", 2), ("-- {0} m 1", 1), ("{0} m --", 0), ("{0} -- m", 0)]
)
def test_parameters_that_stay_as_they_are(line: str, literal: int) -> None:
    assert parse(line.format(HERE).split()).literal == literal


@pytest.mark.parametrize("flag", ["-o file", "--raw", "--jsonl", "--watch 2"])
def test_flags_of_calls_are_for_calls(flag: str) -> None:
    name = flag.split(maxsplit=1)[0]
    for line, whose in (("{0}", "calls"), ("-? {0} m", "calls"), ("--server {0} time", "clients")):
        with pytest.raises(UsageError) as caught:
            parse([*flag.split(), *line.format(HERE).split()])
        assert caught.value.problem == f"{name} is for {whose}"
    arguments = parse([*flag.split(), HERE, "m"])
    assert any([arguments.output, arguments.raw, arguments.jsonl, arguments.watch])
