"""Real processes: our server and our client, as a person would type them."""

from __future__ import annotations

import ast
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import zerorpc
from tests.cli.programs import PATIENCE, Outcome, Program
from tests.service.running import RawPeer, connect, eventually, refused
from tests.transport.proxy_headers import IPV4, header

SOME_PORT = "tcp://127.0.0.1:0"

SHOP = '''
"""A shop to test with."""
import asyncio, math, sys, threading, time

def say(text):
    print(text, file=sys.stderr, flush=True)

class Shop:
    """Sells numbers."""

    def __init__(self):
        self._released = threading.Event()

    def add(self, a, b=2):
        """Add two things.

        They need not be numbers.
        """
        return a + b

    def boom(self):
        raise ValueError("out of numbers")

    def odd(self):
        """Values that JSON lacks."""
        return {1: math.nan, "bytes": b"\\xff", "tuple": (1, 2)}

    def odds(self):
        yield math.inf
        yield {2: b"text"}

    def count(self, n):
        yield from range(n)

    def ever(self):
        number = 0
        while True:
            yield number
            number += 1

    def pausing(self):
        """One item, and the other when released."""
        yield "first"
        self._released.wait(60)
        yield "second"

    def release(self):
        self._released.set()

    def failing(self):
        yield 1
        raise ValueError("halfway")

    def slow(self):
        print("slow began", file=sys.stderr, flush=True)
        time.sleep(60)  # longer than anybody waits

    async def waiting(self):
        say("waiting began")
        try:
            await asyncio.sleep(60)
        finally:
            say("waiting ended")

    def working(self):
        import zerorpc
        call = zerorpc.current_call()
        say("working began")
        while not call.cancelled:
            time.sleep(0.01)
        say("working ended")

    def flowing(self):
        say("flowing began")
        try:
            yield from self.ever()
        finally:
            say("flowing ended")

    async def trickle(self):
        say("trickle began")
        try:
            yield "first"
            await asyncio.sleep(60)
        finally:
            say("trickle ended")

    def brief(self):
        print("brief began", file=sys.stderr, flush=True)
        time.sleep(0.8)
        return "done"

    def die(self):
        import os
        os._exit(3)

shop = Shop()

class Demanding:
    def __init__(self, size): pass
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which all programs run, with modules to serve."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.py").write_text(SHOP)
    (folder / "broken.py").write_text("import shop\nraise OSError('no stock')\n")
    return folder


Start = Callable[..., Program]
Run = Callable[..., Outcome]


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Starts a program that is ended after the test, whatever happens."""
    started: list[Program] = []

    def start(*arguments: str, **options: str) -> Program:
        started.append(Program(*arguments, folder=folder, **options))
        return started[-1]

    yield start
    for program in started:
        program.end()


@pytest.fixture
def run(start: Start) -> Run:
    """Runs a program to its end."""

    def run(*arguments: str, **options: str) -> Outcome:
        return start(*arguments, **options).finish()

    return run


def serving(start: Start, *arguments: str) -> tuple[Program, str]:
    """A server that is ready, and where."""
    server = start("--server", *arguments)
    server.wait_for(r'^serving ".*"$')
    return server, server.wait_for(r'^binding to "(.*)"$')[1]


@pytest.fixture(scope="module")
def shared(folder: Path) -> Iterator[str]:
    """The endpoint of one shop for all tests that don't harm it."""
    server = Program("--server", "--bind", SOME_PORT, "shop.Shop", folder=folder)
    try:
        server.wait_for(r"^serving")
        yield server.wait_for(r'^binding to "(.*)"$')[1]
    finally:
        server.end()


# The README, line by line…


def test_the_readme_from_top_to_bottom(start: Start, run: Run) -> None:
    _, endpoint = serving(start, "--bind", SOME_PORT, "time")
    assert run("--client", "--connect", endpoint, "strftime", "%Y/%m/%d") == (
        0,
        time.strftime("'%Y/%m/%d'\n"),
        f'Connecting to "{endpoint}"\n',
    )
    assert run("--connect", endpoint, "strftime", "%%") == (0, "'%'\n", f'Connecting to "{endpoint}"\n')
    assert run(endpoint, "strftime", "%%") == (0, "'%'\n", f'Connecting to "{endpoint}"\n')

    listed = run(endpoint)
    assert (listed.code, listed.err) == (0, f'Connecting to "{endpoint}"\n')
    lines = listed.out.splitlines()
    assert lines[0] == "[time]"
    width = max(len(line.split()[0]) for line in lines)
    gmtime = "gmtime([seconds]) -> (tm_year, tm_mon, tm_mday, tm_hour, tm_min,"
    assert f"{'gmtime':{width}} {gmtime}" in lines
    assert f"{'strftime':{width}} strftime(format[, tuple]) -> string" in lines

    failed = run(endpoint, "sleep", "3")
    assert (failed.code, failed.out) == (1, "")
    connecting, traceback, *_, last, hint = failed.err.splitlines()
    assert connecting == f'Connecting to "{endpoint}"'
    assert traceback == "Traceback (most recent call last):"
    assert last == "TypeError: 'str' object cannot be interpreted as an integer"
    assert hint == "3 was sent as text: add --json, or annotate the method's parameters"

    assert run("--json", endpoint, "sleep", "0.01") == (0, "None\n", f'Connecting to "{endpoint}"\n')


def test_a_client_that_binds_waits_for_its_worker(start: Start) -> None:
    client = start("--bind", SOME_PORT, "localtime")
    endpoint = client.wait_for(r'^binding to "(.*)"$')[1]
    worker = start("--server", endpoint, "time")
    called = client.finish()
    assert (called.code, called.err) == (0, f'binding to "{endpoint}"\n')
    assert ast.literal_eval(called.out)[0] >= 2024
    worker.wait_for(f'^Connecting to "{endpoint}"\nserving "time"$')
    assert worker.process.poll() is None


def test_a_server_on_several_addresses(start: Start, run: Run, ipc_endpoint: str) -> None:
    _, endpoint = serving(start, "--bind", SOME_PORT, "--bind", ipc_endpoint, "time")
    for address in (endpoint, ipc_endpoint):
        assert run(address, "strftime", "%%").out == "'%'\n"


def test_a_server_that_binds_and_connects(start: Start, run: Run, ipc_endpoint: str) -> None:
    client = start("--bind", ipc_endpoint, "strftime", "%%")
    client.wait_for("^binding")
    _, endpoint = serving(start, "--bind", SOME_PORT, "--connect", ipc_endpoint, "time")
    assert client.finish().out == "'%'\n"
    assert run(endpoint, "strftime", "%%").out == "'%'\n"


# …what can be served…


@pytest.mark.parametrize("target", ["shop.Shop", "shop:Shop", "shop.shop", "shop:shop"])
def test_objects_and_classes_of_the_current_folder(start: Start, run: Run, target: str) -> None:
    _, endpoint = serving(start, "--bind", SOME_PORT, target)
    assert run("-j", endpoint, "add", "1").out == "3\n"


@pytest.mark.parametrize(
    ("target", "method", "out"),
    [("os.path", ["basename", "a/b"], "'b'\n"), ("email.utils", ["parseaddr", "a <b>"], "['a', 'b']\n")],
)
def test_modules_in_packages(start: Start, run: Run, target: str, method: list[str], out: str) -> None:
    _, endpoint = serving(start, "--bind", SOME_PORT, target)
    assert run(endpoint, *method).out == out


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nowhere", 'no module "nowhere" in the current folder or where Python looks for modules'),
        ("shop.Nothing", '"shop" has no "Nothing"'),
        ("shop.Demanding", '"shop.Demanding" is called without arguments, but takes size'),
    ],
)
def test_what_cannot_be_served(run: Run, target: str, said: str) -> None:
    ended = run("--server", "--bind", SOME_PORT, target)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines()[0] == f"zerorpc-client: {said}"


def test_a_module_that_raises(run: Run, folder: Path) -> None:
    ended = run("--server", "--bind", SOME_PORT, "broken")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.splitlines() == [
        'importing "broken" failed:',
        "Traceback (most recent call last):",
        f'  File "{folder}/broken.py", line 2, in <module>',
        "    raise OSError('no stock')",
        "OSError: no stock",
    ]


def test_a_public_interface_is_warned_of(start: Start) -> None:
    server, _ = serving(start, "--bind", "tcp://0:0", "time")
    warning = r'warning: "tcp://0:0" is open to the network: anyone who reaches this port can call it'
    server.wait_for(f"^{warning}$")
    server.interrupt()
    assert server.finish().err.count("\n") == 3


# …parameters, results and errors…


def test_parameters_and_results(run: Run, shared: str) -> None:
    assert run(shared, "add", "a", "b").out == "'ab'\n"
    assert run("-j", shared, "add", "-1", "-2.5").out == "-3.5\n"
    assert run(shared, "add", "-3", "-4").out == "'-3-4'\n"
    assert run(shared, "add", "--", "-x", "-y").out == "'-x-y'\n"
    assert run(shared, "--json", "add", "[1]", "--print-json", '[{"a": null}]').out == '[1, {"a": null}]\n'
    assert ast.literal_eval(run(shared, "odd").out.replace("nan", "0")) == {
        1: 0,
        "bytes": b"\xff",
        "tuple": [1, 2],
    }


def test_json_is_always_valid(run: Run, shared: str) -> None:
    assert json.loads(run("-pj", shared, "odd").out) == {"1": None, "bytes": "/w==", "tuple": [1, 2]}
    assert json.loads(run("-pj", shared, "odds").out) == [None, {"2": "dGV4dA=="}]
    assert json.loads(run("-pj", "-j", shared, "count", "0").out) == []
    assert json.loads(run("-pj", "-j", shared, "count", "1000").out) == list(range(1000))
    failed = run("-pj", shared, "failing")
    assert (failed.code, json.loads(failed.out)) == (1, [1])
    assert failed.err.splitlines()[-1] == "ValueError: halfway"


def test_remote_errors(run: Run, shared: str) -> None:
    failed = run(shared, "boom")
    assert (failed.code, failed.out) == (1, "")
    assert failed.err.splitlines()[-1] == "ValueError: out of numbers"
    assert failed.err.count("Traceback") == 1  # the remote one, and none of ours
    unknown = run(shared, "nothing")
    assert (unknown.code, unknown.out) == (1, "")
    assert unknown.err.splitlines()[1:] == ['zerorpc-client: there is no method "nothing"']
    near = run(shared, "addd")
    assert near.code == 1
    assert near.err.splitlines()[1:] == ['zerorpc-client: there is no method "addd"; did you mean add?']
    wrong = run(shared, "boom", "now")
    assert wrong.code == 1
    assert wrong.err.splitlines()[1:] == [
        "Traceback (most recent call last):",
        "TypeError: Shop.boom() takes 1 positional argument but 2 were given",
    ]


def test_inspection(run: Run, shared: str) -> None:
    assert run("-?", shared, "add").out == "[Shop]\nadd(a, b=2)\n\nAdd two things.\n\nThey need not be numbers.\n\n"
    lines = run("-?", shared).out.splitlines()
    assert lines[0] == "[Shop]"
    assert {"add(a, b=2)", "count(n) → streams", "boom()"} < set(lines)
    unknown = run("-?", shared, "nothing")
    assert (unknown.code, unknown.out) == (1, "")
    assert unknown.err.splitlines()[-1] == 'No documentation for "nothing": [Shop] has no such method.'
    listed = run(shared).out.splitlines()
    assert "pausing One item, and the other when released." in listed
    assert "boom    ()" in listed


def test_wrong_command_lines(run: Run, shared: str) -> None:
    ended = run("-j", shared, "add", "1", "abc")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines() == [
        "zerorpc-client: parameter 2 is not JSON: abc (Expecting value: line 1 column 1 (char 0))",
        "for text, put its double quotes inside the shell's quotes: '\"abc\"'",
    ]
    ended = run("127.0.0.1:1234", "add")
    assert (ended.code, ended.out) == (2, "")
    assert "'127.0.0.1:1234'" in ended.err
    assert "tcp://host:port" in ended.err
    assert run("-j", shared, "add", "1", str(2**70)).out == f"{2**70 + 1}\n"
    assert run("-j", shared, "add", "1", '"\\ud800"').code == 2
    assert run().code == 2
    assert run("--server").code == 2


def test_no_server_is_one_clear_line(run: Run) -> None:
    with socket.socket() as taken:  # bound but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        ended = run("--timeout", "0.3", endpoint, "add")
    assert (ended.code, ended.out) == (1, "")
    connecting, said = ended.err.splitlines()
    assert connecting == f'Connecting to "{endpoint}"'
    assert said.startswith("zerorpc-client: ")
    assert endpoint in said


def test_a_call_that_takes_too_long_is_one_clear_line(start: Start, run: Run) -> None:
    _, endpoint = serving(start, "--bind", SOME_PORT, "time")
    ended = run("--timeout", "0.3", "-j", endpoint, "sleep", "2")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.count("\n") == 2
    assert "0.3s" in ended.err
    assert "sleep" in ended.err


def test_a_server_that_dies_is_one_clear_line(start: Start, run: Run) -> None:
    _, endpoint = serving(start, "--bind", SOME_PORT, "shop.Shop")
    ended = run(endpoint, "die")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.count("\n") == 2
    assert "die" in ended.err.splitlines()[-1]


def test_an_address_in_use_is_one_clear_line(run: Run, shared: str) -> None:
    ended = run("--server", "--bind", shared, "time")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.splitlines()[-1] == f"zerorpc-client: address already in use: {shared}"
    assert "Traceback" not in ended.err


# …streams, readers that go away and Ctrl-C…


@pytest.mark.parametrize(("flags", "first"), [([], "^'first'\n"), (["-pj"], '^\\["first"\n')])
def test_streams_are_printed_as_they_arrive(start: Start, run: Run, flags: list[str], first: str) -> None:
    _, endpoint = serving(start, "--bind", SOME_PORT, "shop.Shop")
    client = start(*flags, endpoint, "pausing")
    client.wait_for(first, "out")
    assert client.process.poll() is None
    assert run(endpoint, "release").code == 0
    ended = client.finish()
    assert ended.code == 0
    assert (json.loads(ended.out) if flags else ended.out) == (["first", "second"] if flags else "'first'\n'second'\n")


def test_a_reader_that_goes_away_ends_us_quietly(start: Start, shared: str) -> None:
    client = start(shared, "ever")
    client.wait_for("^0\n", "out")
    client.stop_reading()
    client.wait_for("Connecting.*\n")
    client.process.wait(20)
    assert client.process.returncode == 141
    assert client.process.stderr
    assert client.process.stderr.read() == b""


def test_a_full_disk_is_told(folder: Path, shared: str) -> None:
    with open("/dev/full", "w") as full:
        command = [str(Path(sys.executable).with_name("zerorpc-client")), "-j", shared, "add", "1"]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, cwd=folder)
    assert ended.returncode == 1
    said = "zerorpc-client: the result can't be written: No space left on device"
    assert ended.stderr.splitlines()[1:] == [said]


def end_with(program: Program, number: signal.Signals = signal.SIGINT) -> Outcome:
    """Send the signal; how the program ended."""
    program.interrupt(number)
    return program.finish()


def test_ctrl_c_ends_a_waiting_client(start: Start) -> None:
    server, endpoint = serving(start, "--bind", SOME_PORT, "shop.Shop")
    client = start(endpoint, "slow")
    server.wait_for("^slow began")
    outcome = end_with(client)
    assert outcome == (130, "", f'Connecting to "{endpoint}"\n')


@pytest.mark.parametrize("method", ["waiting", "working", "flowing", "trickle"])
def test_ctrl_c_reaches_the_method(start: Start, method: str) -> None:
    """A coroutine, a plain function that asks, and streams: long before anybody's heartbeat or timeout."""
    server, endpoint = serving(start, "--heartbeat", "60", "--bind", SOME_PORT, "shop.Shop")
    client = start("--heartbeat", "60", "--timeout", "60", endpoint, method)
    server.wait_for(f"^{method} began")
    if method in ("flowing", "trickle"):
        client.wait_for(".", "out")
    assert end_with(client).code == 130
    server.wait_for(f"^{method} ended")


def test_ctrl_c_ends_a_client_without_a_server(start: Start, ipc_endpoint: str) -> None:
    client = start(ipc_endpoint, "slow")
    client.wait_for("^Connecting")
    outcome = end_with(client)
    assert outcome == (130, "", f'Connecting to "{ipc_endpoint}"\n')


def test_ctrl_c_ends_a_stream_and_leaves_valid_json(start: Start) -> None:
    _, endpoint = serving(start, "--bind", SOME_PORT, "shop.Shop")
    client = start("-pj", endpoint, "pausing")
    client.wait_for("first", "out")
    outcome = end_with(client)
    assert (outcome.code, json.loads(outcome.out)) == (130, ["first"])
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_an_idle_server(start: Start, number: signal.Signals) -> None:
    server, endpoint = serving(start, "--bind", SOME_PORT, "time")
    outcome = end_with(server, number)
    assert outcome == (0, "", f'binding to "{endpoint}"\nserving "time"\n')


@pytest.mark.parametrize(("number", "processes"), [(signal.SIGINT, "1"), (signal.SIGTERM, "1"), (signal.SIGTERM, "2")])
def test_a_signal_lets_running_calls_finish(start: Start, number: signal.Signals, processes: str) -> None:
    server, endpoint = serving(start, "--processes", processes, "--bind", SOME_PORT, "shop.Shop")
    client = start(endpoint, "brief")
    server.wait_for("^brief began")
    outcome = end_with(server, number)
    assert (outcome.code, outcome.out) == (0, "")
    assert client.finish().out == "'done'\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_second_signal_ends_a_busy_server(start: Start, processes: str, number: signal.Signals) -> None:
    """Its methods have more time than the test has patience."""
    flags = ("--processes", processes, "--grace", "600", "--bind", SOME_PORT)
    server, endpoint = serving(start, *flags, "shop.Shop")
    start(endpoint, "slow")
    server.wait_for("^slow began")
    server.interrupt(number)  # for the parent alone: it tells the others
    eventually(lambda: refused(endpoint))
    outcome = end_with(server, number)
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err.count("binding to") == outcome.err.count("serving") == 1
    assert "Traceback" not in outcome.err


def test_without_grace_one_signal_ends_a_busy_server(start: Start) -> None:
    server, endpoint = serving(start, "--grace", "0", "--bind", SOME_PORT, "shop.Shop")
    client = start(endpoint, "slow")
    server.wait_for("^slow began")
    assert end_with(server, signal.SIGTERM).code == 0
    assert client.finish().code == 1


def test_behind_a_proxy(start: Start) -> None:
    """Only a proxy gets in."""
    _, endpoint = serving(start, "--proxy-protocol", "--bind", SOME_PORT, "time")
    with RawPeer(connect(endpoint)) as direct, pytest.raises((EOFError, ConnectionError)):
        direct.handshake()
    with RawPeer(connect(endpoint)) as behind:
        behind.sock.sendall(header(0x11, IPV4))
        behind.handshake()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_ignores_what_it_was_started_to_ignore(start: Start, run: Run, number: signal.Signals) -> None:
    """As under nohup, and in a shell's background."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        server, endpoint = serving(start, "--bind", SOME_PORT, "shop.Shop")
    finally:
        signal.signal(number, before)
    server.interrupt(number)
    assert run("-j", endpoint, "add", "40").out == "42\n"
    other = signal.Signals(signal.SIGINT + signal.SIGTERM - number)
    assert end_with(server, other).code == 0


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", "<&-"])
def test_without_standard_descriptors(shared: str, ipc_endpoint: str, closed: str) -> None:
    def command(arguments: str) -> subprocess.Popen[bytes]:
        script = Path(sys.executable).with_name("zerorpc-client")
        return subprocess.Popen(["sh", "-c", f"exec {script} {arguments} {closed}"], stdout=-3, stderr=-3)

    told = 0 if closed == "<&-" else 1  # a result that can't be written is an error
    assert command(f"{shared} release").wait(PATIENCE) == told
    assert command(f"bench {shared} release --duration 0.2 --warmup 0").wait(PATIENCE) == told
    with command(f"--server --bind {ipc_endpoint} time") as server:
        try:
            with zerorpc.Client(ipc_endpoint, timeout=PATIENCE) as client:
                assert client.gmtime(0)[0] == 1970
        finally:
            server.terminate()
        assert server.wait(PATIENCE) == 0


def test_a_server_removes_its_ipc_file(start: Start, ipc_endpoint: str) -> None:
    server, _ = serving(start, "--bind", ipc_endpoint, "time")
    path = Path(ipc_endpoint.removeprefix("ipc://"))
    assert path.is_socket()
    end_with(server)
    assert not path.exists()


# …and the program itself.


def test_debug_tells_the_events_on_stderr(run: Run, shared: str) -> None:
    called = run("-d", "-j", shared, "add", "40")
    assert (called.code, called.out) == (0, "42\n")
    assert "DEBUG:zerorpc" in called.err
    assert "add" in called.err.partition("DEBUG:zerorpc")[2]
    assert "DEBUG" not in run("-j", shared, "add", "40").err


@pytest.mark.parametrize("script", ["zerorpc", "zerorpc-client"])
def test_both_names_are_the_same_program(run: Run, shared: str, script: str) -> None:
    assert run("-j", shared, "add", "40", script=script).out == "42\n"
    assert run(script=script).err.startswith(f"{script}: no address given\n")


def test_python_dash_m(run: Run, shared: str) -> None:
    assert run("-m", "zerorpc", "-j", shared, "add", "40", script=Path(sys.executable).name).out == "42\n"


def test_the_shell_completes_flags(start: Start, folder: Path) -> None:
    completions = folder / "completions"
    line = "zerorpc-client --heart"
    environ = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": str(completions)}
    start(**environ, COMP_LINE=line, COMP_POINT=str(len(line)), COMP_TYPE="9").finish()
    assert "--heartbeat" in completions.read_text()


def test_the_client_starts_without_what_it_does_not_need(run: Run) -> None:
    """A cold call has a time limit; these are the imports that would eat it up."""
    code = (
        "import sys, zerorpc; before = set(sys.modules); import zerorpc.cli, zerorpc.cli.calling;"
        "print(sorted({'asyncio', 'rich', 'argcomplete', 'inspect', 'json', 'pprint', 'logging'}"
        " & (set(sys.modules) - before)))"
    )
    assert run("-c", code, script=Path(sys.executable).name).out == "[]\n"
