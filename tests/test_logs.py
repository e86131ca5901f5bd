"""Loggers that never raise, whatever a program's logging does, and wherever something of ours logs."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import zerorpc
from tests.service.evil_errors import EVIL
from tests.service.running import PATIENCE, TCP, RawPeer, eventually, joined, on_thread, serving
from tests.service.services import remote_error
from zerorpc.event_log import log_event
from zerorpc.logs import Logger, Sparing
from zerorpc.protocol.events import encode

ERRORS: dict[str, Callable[[], BaseException]] = {
    "ValueError": lambda: ValueError("logged"),
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "RecursionError": RecursionError,
    "BadClass": EVIL["BadClass"],
}


class BreaksInFilter(logging.Filter):
    def __init__(self, error: Callable[[], BaseException]) -> None:
        super().__init__()
        self.error = error

    def filter(self, record: logging.LogRecord) -> bool:
        raise self.error()


class BreaksInHandler(logging.Handler):
    def __init__(self, error: Callable[[], BaseException]) -> None:
        super().__init__()
        self.error = error

    def emit(self, record: logging.LogRecord) -> None:
        raise self.error()


@pytest.fixture(params=ERRORS)
def error(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=["filter", "handler", "factory", "level"])
def broken(request: pytest.FixtureRequest, error: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The program's logging, broken in one way."""
    loggers = [logging.getLogger(f"zerorpc.{name}") for name in ("server", "transport", "events")]

    def fail(*_: Any, **__: Any) -> Any:
        raise ERRORS[error]()

    if request.param == "factory":
        before = logging.getLogRecordFactory()
        logging.setLogRecordFactory(fail)
        yield
        logging.setLogRecordFactory(before)
        return
    for each in loggers:
        if request.param == "filter":
            each.addFilter(BreaksInFilter(ERRORS[error]))
        elif request.param == "handler":
            each.addHandler(BreaksInHandler(ERRORS[error]))
        else:
            monkeypatch.setattr(each, "isEnabledFor", fail)
    yield
    for each in loggers:
        each.filters.clear()
        each.handlers.clear()


def in_a_thread(act: Callable[[], object]) -> None:
    """Where KeyboardInterrupt is no Ctrl-C."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert not failed


@pytest.mark.usefixtures("broken")
def test_no_line_raises(capsys: pytest.CaptureFixture[str]) -> None:
    logger = Logger("zerorpc.server")
    in_a_thread(lambda: logger.warning("a %s", "warning"))
    in_a_thread(lambda: logger.error("an error", raised=ValueError()))
    in_a_thread(lambda: Logger("zerorpc.events").shows_debug())
    in_a_thread(lambda: log_event("-->", encode({"message_id": b"1", "v": 3}, "x", [])))
    err = capsys.readouterr().err
    assert "--- Logging error: zerorpc.server ---" in err
    assert "Message: a warning" in err


@pytest.mark.usefixtures("broken")
def test_calls_are_answered() -> None:
    def fail() -> None:
        raise ValueError("its own")

    async def afail() -> None:
        raise ValueError("its own")

    with joined({"fail": fail, "afail": afail, "echo": lambda value: value}, pool_size=1) as client:
        for _ in range(2):
            assert remote_error(client.fail).msg == "its own"
            assert remote_error(client.afail).msg == "its own"
            assert client.echo(1) == 1


@pytest.mark.usefixtures("broken")
def test_calls_are_refused_and_hooks_may_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.limits.Limits.waiting", 0)
    release, begun = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        release.wait(PATIENCE)

    def hook(*_: object) -> None:
        raise LookupError("a hook")

    context = zerorpc.Context()
    context.register_middleware({"server_inspect_exception": hook})
    with joined({"wait": wait}, pool_size=1, context=context) as client:
        first = client.wait(async_=True)
        assert begun.wait(PATIENCE)
        assert remote_error(client.wait).name == "ServerOverloaded"
        release.set()
        assert first.get(timeout=PATIENCE) is None


@pytest.mark.usefixtures("broken")
def test_debug_disturbs_no_call() -> None:
    with serving({"echo": lambda value: value}) as server:
        server.debug = True
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
            assert [client.echo(number) for number in range(3)] == [0, 1, 2]


@pytest.mark.usefixtures("broken")
def test_a_connection_that_is_refused_disturbs_no_other() -> None:
    with joined({"echo": lambda value: value}) as client, RawPeer.to(next(iter(client._core.hub.dialers))) as peer:
        peer.sock.sendall(b"\xff" * 100)
        while peer.sock.recv(1000):
            pass
        assert client.echo(1) == 1


@pytest.mark.usefixtures("broken")
def test_a_puller_takes_the_next_event() -> None:
    taken: list[int] = []
    puller = zerorpc.Puller({"fail": lambda: 1 / 0, "take": taken.append})
    endpoint = puller.bind(TCP)[0]
    with on_thread(puller), zerorpc.Pusher() as pusher:
        pusher.connect(endpoint)
        pusher.fail()
        pusher.take(1)
        eventually(lambda: taken == [1])


def test_what_is_told_of_it_on_stderr_is_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    broken = BreaksInFilter(lambda: ValueError("x" * 1_000_000))
    logging.getLogger("zerorpc.server").addFilter(broken)
    try:
        Logger("zerorpc.server").error("y" * 1_000_000)
    finally:
        logging.getLogger("zerorpc.server").removeFilter(broken)
    assert 1000 < len(capsys.readouterr().err) < 10_000


@pytest.mark.parametrize("how", ["raiseExceptions", "no stderr", "closed stderr"])
def test_where_nothing_can_be_told(
    how: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = BreaksInFilter(ValueError)
    logging.getLogger("zerorpc.server").addFilter(broken)
    if how == "raiseExceptions":
        monkeypatch.setattr(logging, "raiseExceptions", False)
    else:
        monkeypatch.setattr(sys, "stderr", None if how == "no stderr" else Closed())
    try:
        Logger("zerorpc.server").error("an error")
    finally:
        logging.getLogger("zerorpc.server").removeFilter(broken)
    assert capsys.readouterr().err == ""


class Closed:
    def write(self, text: str) -> None:
        raise ValueError("I/O operation on closed file")


def test_ctrl_c_gets_through_on_the_main_thread() -> None:
    broken = BreaksInFilter(KeyboardInterrupt)
    logging.getLogger("zerorpc.server").addFilter(broken)
    try:
        with pytest.raises(KeyboardInterrupt):
            Logger("zerorpc.server").error("an error")
    finally:
        logging.getLogger("zerorpc.server").removeFilter(broken)


@pytest.mark.parametrize("name", EVIL)
def test_what_was_raised_is_shown_whatever_it_is_like(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """caplog's handler raises what its formatter does."""
    Logger("zerorpc.server").error("%s failed", "it", raised=EVIL[name]())
    (record,) = caplog.records
    assert record.getMessage().startswith("it failed")
    assert record.levelno == logging.ERROR
    assert type.__dict__["__name__"].__get__(type(EVIL[name]())) in caplog.text


def test_records_tell_the_line_that_logs(caplog: pytest.LogCaptureFixture) -> None:
    logger = Logger("zerorpc.server")
    with caplog.at_level(logging.DEBUG, "zerorpc.server"):
        logger.debug("%d", 1)
        logger.warning("%d", 2)
        logger.error("%d", 3, raised=ValueError())
    assert [(record.funcName, record.filename) for record in caplog.records] == [
        ("test_records_tell_the_line_that_logs", "test_logs.py")
    ] * 3
    assert [record.getMessage() for record in caplog.records] == ["1", "2", "3"]


def test_a_client_s_start_imports_no_logging() -> None:
    text = """
import sys, zerorpc
zerorpc.Client("tcp://127.0.0.1:9").close()
print({"logging", "traceback", "asyncio"} & set(sys.modules))
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=20, check=True, env=environment
    )
    assert done.stdout == "set()\n"


# What a peer says


HOSTILE = "x\x1b[2J\r\n2026-01-01 CRITICAL forged\x85\u202e"
FORMAT = logging.Formatter("%(levelname)s %(message)s")


def text_of_log(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(map(FORMAT.format, caplog.records))


def is_harmless(text: str) -> bool:
    """No character that commands a terminal, and no line that could be a record's."""
    lines = text.split("\n")
    return all(line.replace("\t", "").isprintable() for line in lines) and not any(
        line.startswith(("2026-01-01", "CRITICAL")) for line in lines
    )


def test_each_argument_of_a_line_is_one_harmless_text(caplog: pytest.LogCaptureFixture) -> None:
    Logger("zerorpc.server").warning(
        "refused %s: %s %r %.4s %d %.1f", HOSTILE, ValueError(HOSTILE), [HOSTILE], HOSTILE, 5, 0.5
    )
    text = text_of_log(caplog)
    assert is_harmless(text)
    assert "\n" not in text
    assert text.startswith(r"WARNING refused x\x1b[2J\x0d\n2026-01-01 CRITICAL forged\x85\u202e: x\x1b[2J")
    assert text.endswith(r" x\x1 5 0.5")


def test_each_argument_is_short(caplog: pytest.LogCaptureFixture) -> None:
    Logger("zerorpc.server").error("%s %s", "x" * 1_000_000, ValueError("y" * 1_000_000))
    (message,) = caplog.messages
    assert message == f"{'x' * 1000}… {'y' * 1000}…"


def chained() -> BaseException:
    try:
        try:
            raise KeyError(HOSTILE)
        except KeyError as error:
            raise ValueError(HOSTILE) from error
    except ValueError as error:
        error.add_note(HOSTILE)
        return error


RAISED: list[Callable[[], BaseException]] = [
    lambda: ValueError(HOSTILE),
    lambda: zerorpc.RemoteError(HOSTILE, HOSTILE, HOSTILE),
    lambda: OSError(5, HOSTILE, HOSTILE),
    lambda: type("Odd\x1b\nCRITICAL", (Exception,), {})(HOSTILE),
    lambda: ExceptionGroup(HOSTILE, [ValueError(HOSTILE), chained()]),  # type: ignore[list-item]
    lambda: ValueError(HOSTILE * 100_000),
    lambda: SyntaxError(HOSTILE, (HOSTILE, 1, 1, HOSTILE)),
    chained,
]


@pytest.mark.parametrize("error", RAISED)
def test_an_exceptions_text_is_harmless(error: Callable[[], BaseException], caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise error()
    except BaseException as raised:
        Logger("zerorpc.server").error("it failed", raised=raised)
    text = text_of_log(caplog)
    assert is_harmless(text)
    assert len(text) < 100_000
    assert "forged" in text
    (record,) = caplog.records
    assert (record.filename, record.funcName) == (Path(__file__).name, "test_an_exceptions_text_is_harmless")


def test_an_ordinary_exception_is_shown_as_python_does(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("no such thing")
    except ValueError as raised:
        Logger("zerorpc.server").error("it failed", raised=raised)
        expected = traceback.format_exc().rstrip()
    assert text_of_log(caplog) == f"ERROR it failed\n{expected}"


def test_a_message_of_several_lines_stays_readable(caplog: pytest.LogCaptureFixture) -> None:
    Logger("zerorpc.server").error("it failed", raised=ValueError("two problems:\n- one\n- another"))
    assert text_of_log(caplog) == "ERROR it failed\nValueError: two problems:\n    - one\n    - another"
    (record,) = caplog.records
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "two problems:\n- one\n- another"  # as it is, to those who want it so


def test_what_programs_logging_raises_is_told_harmlessly(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("zerorpc.hostile")
    logger.addFilter(BreaksInFilter(lambda: ValueError(HOSTILE)))
    Logger("zerorpc.hostile").warning("refused %s", HOSTILE)
    told = capsys.readouterr().err
    assert "Message: refused x\\x1b[2J\\x0d\\n2026" in told
    assert all(line.isprintable() for line in told.split("\n"))


class Hostile:
    def fail(self) -> None:
        raise ValueError(HOSTILE)


def test_what_a_peer_has_a_server_log(caplog: pytest.LogCaptureFixture) -> None:
    """Unknown methods, errors of methods and hooks, calls for a puller, and a proxy's header."""
    with serving({HOSTILE: Hostile().fail, "fail": Hostile().fail}) as server:
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
            for method in (HOSTILE, "fail", HOSTILE + "unknown"):
                with pytest.raises(zerorpc.RemoteError):
                    client(method)
    text = text_of_log(caplog)
    assert "raised" in text
    assert is_harmless(text)


def test_twenty_lines_at_once_then_one_a_second_and_it_says_how_many_were_left_out() -> None:
    now = [100.0]
    sparing = Sparing(lambda: now[0])
    assert [sparing.turn() for _ in range(30)] == [""] * 20 + [None] * 10
    now[0] += 0.5
    assert sparing.turn() is None
    now[0] += 0.5
    assert [sparing.turn() for _ in range(2)] == [" (11 more like this were not logged)", None]
    now[0] += 1000
    assert [sparing.turn() for _ in range(30)] == [" (1 more like this were not logged)"] + [""] * 19 + [None] * 10
