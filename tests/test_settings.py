"""Numbers of seconds and counts, of whatever kind, wherever they are given: they work, or are refused at once."""

from __future__ import annotations

import datetime
import inspect
import math
import re
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import zerorpc
from tests.service.running import PATIENCE, TCP, on_thread, run, serving
from zerorpc.cli import arguments as command_line
from zerorpc.number_checks import FOREVER, above_zero, count, not_negative, seconds
from zerorpc.protocol.events import USUAL_TIMEOUT
from zerorpc.settings import TIMEOUT, ClientSettings, ServerSettings, Setting, declared, from_arguments


class Float64(float):
    """As numpy's: a float of its own type."""


class Scalar:
    """As numpy's other numbers."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __float__(self) -> float:
        return float(self.value)


class Index:
    def __index__(self) -> int:
        return 20


class Array:
    """As numpy's."""

    def __float__(self) -> float:
        raise TypeError("only length-1 arrays can be converted to Python scalars")

    __index__ = __float__  # type: ignore[assignment]


NUMBERS: list[Any] = [
    20, 20.5, Decimal("20.5"), Fraction(41, 2), Float64(20.5), Scalar(20.5), Index(), True,
    999_999_999, math.inf, Decimal("Infinity"), 1e308, 10**400, Fraction(10**400), Decimal("1e400"), Scalar(math.inf),
]  # fmt: skip
NO_NUMBERS: list[Any] = [
    "20", b"20", bytearray(b"20"), memoryview(b"20"), 20j, [20], (20,), {}, object(), Array(),
    datetime.timedelta(seconds=20),
]  # fmt: skip
NANS: list[Any] = [math.nan, Decimal("nan"), Float64(math.nan), Scalar(math.nan)]
BELOW_ZERO: list[Any] = [-1, -0.5, -math.inf, Decimal(-1), Fraction(-(10**400)), Scalar(-1), -(10**400)]


def ids(value: Any) -> str:
    kind = type(value).__name__
    return f"{kind} {value}" if isinstance(value, (float, Decimal, str, bytes)) or value in (0, -1) else kind


EACH_NUMBER = pytest.mark.parametrize("number", NUMBERS, ids=ids)
REFUSED = [(value, TypeError) for value in NO_NUMBERS] + [(value, ValueError) for value in NANS]
EACH_REFUSED = pytest.mark.parametrize(("value", "error"), REFUSED, ids=ids)


# By themselves


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None), (5, 5), (0, 0), (-1, -1), (2.5, 2.5), (True, 1.0), (Decimal("0.25"), 0.25),
        (Fraction(1, 4), 0.25), (Float64(2), 2.0), (Scalar(2), 2.0),
        (Index(), 20.0), (FOREVER, None), (math.inf, None), (10**400, None),
        (Fraction(10**400), None), (-math.inf, -FOREVER), (-(10**400), -FOREVER), (Fraction(-(10**400)), -FOREVER),
    ],
)  # fmt: skip
def test_seconds(value: Any, expected: float | None) -> None:
    number = seconds("timeout", value)
    assert number == expected
    assert type(number) in (int, float, type(None))
    assert not isinstance(number, int) or number is value  # an int is shown in errors as it was given


@EACH_REFUSED
def test_what_is_no_number_of_seconds(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"timeout has to be a number of seconds, or None, not (a|nan)"):
        seconds("timeout", value)


def test_a_timedelta_has_seconds_to_give() -> None:
    with pytest.raises(TypeError, match=r"not a timedelta: give its total_seconds\(\)"):
        seconds("timeout", datetime.timedelta(seconds=1))


@pytest.mark.parametrize("value", [0, -0.0, *BELOW_ZERO, *NANS], ids=ids)
def test_above_zero(value: Any) -> None:
    with pytest.raises(ValueError, match="max_wait has to be a number of seconds above 0, or None, not "):
        above_zero("max_wait", value)
    assert above_zero("max_wait", None) is None
    assert above_zero("max_wait", 1e-9) == 1e-9


@pytest.mark.parametrize("value", BELOW_ZERO, ids=ids)
def test_not_negative(value: Any) -> None:
    with pytest.raises(ValueError, match="grace has to be a number of seconds, 0 or above, not "):
        not_negative("grace", value)
    assert not_negative("grace", 0) == 0
    assert not_negative("grace", None) == not_negative("grace", math.inf) == FOREVER


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (-1, ValueError)] + [(v, TypeError) for v in (
    1.0, "1", None, Decimal(1), math.nan, math.inf, Array(), 1j)], ids=ids)  # fmt: skip
def test_count(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="processes has to be "):
        count("processes", value)
    assert count("processes", Index()) == 20


# Declared once


KINDS: list[tuple[type[Any], type[ClientSettings] | type[ServerSettings]]] = [
    (zerorpc.Client, ClientSettings), (zerorpc.AsyncClient, ClientSettings), (zerorpc.Server, ServerSettings),
]  # fmt: skip
GUIDE = (Path(__file__).parents[1] / "docs" / "guide.md").read_text(encoding="utf-8")
NOT_ON_THE_COMMAND_LINE = {
    "passive_heartbeat": "`--active-hb` turns it off",  # where it is on
    "retry": "",
    "tls": "`--tls-cert`, `--tls-key`, `--tls-ca`",
    "plain": "`--user`, of a client",
    "limits": "`--limit`",
    "authenticator": "`--rights`, `--allow-keys`",
    "authorizer": "`--rights`",
    "console": "`--no-console` turns it off",
    "ready": "",
    "on_call": "",
    "on_connection": "",
}


@pytest.mark.parametrize(("public", "kind"), KINDS)
def test_constructors_take_what_is_declared_and_have_its_defaults(public: type[Any], kind: type[Any]) -> None:
    parameters = inspect.signature(public).parameters
    assert set(parameters) - set(declared(kind)) <= {"methods", "name", "context", "connect_to"}
    for name in declared(kind):
        assert parameters[name].default == getattr(kind(), name)
        assert type(parameters[name].default) is type(getattr(kind(), name))
        assert f"``{name}``" in public.__doc__


@pytest.mark.parametrize("kind", [ClientSettings, ServerSettings])
def test_they_are_frozen_and_checked(kind: type[Any]) -> None:
    settings = kind()
    for name in declared(kind):
        with pytest.raises(AttributeError):
            setattr(settings, name, getattr(settings, name))
    assert from_arguments(kind, kind(heartbeat=Decimal("2.5"))._asdict()) == kind(heartbeat=2.5)
    with pytest.raises(ValueError, match="heartbeat has to be a number of seconds above 0, or None for none, not 0"):
        from_arguments(kind, kind(heartbeat=0)._asdict())
    assert repr(kind(heartbeat=None)).startswith(f"{kind.__name__}(")


@pytest.mark.parametrize("kind", [ClientSettings, ServerSettings])
def test_defaults_pass_their_own_check(kind: type[Any]) -> None:
    for name, setting in declared(kind).items():
        default = getattr(kind(), name)
        assert setting.check(name, default) == default


def test_what_requests_leave_unsaid_is_every_clients_default() -> None:
    assert ClientSettings().timeout == TIMEOUT == USUAL_TIMEOUT


@pytest.mark.parametrize("kind", [ClientSettings, ServerSettings])
def test_the_command_line_has_what_is_declared(kind: type[Any]) -> None:
    typed = command_line.parse(["tcp://127.0.0.1:1"])
    told = " ".join(command_line.build_parser().format_help().split())
    for name, setting in declared(kind).items():
        if name in NOT_ON_THE_COMMAND_LINE:
            continue
        default = getattr(kind(), name)
        assert getattr(typed, name) == default
        assert f"--{name.replace('_', '-')} " in told
        assert f"{setting.meaning} (" in told
        if setting.unit:
            assert re.search(re.escape(setting.meaning) + rf" \([^)]*default {shown(setting, default)}\)", told)


@pytest.mark.parametrize("kind", [ClientSettings, ServerSettings])
def test_the_guide_has_what_is_declared(kind: type[Any]) -> None:
    rows = [row(name, setting, getattr(kind(), name)) for name, setting in declared(kind).items()]
    assert "\n".join([*HEAD, *rows, ""]) in GUIDE


HEAD = ["| | command line | default | |", "|---|---|---|---|"]


def row(name: str, setting: Setting, default: Any) -> str:
    flag = NOT_ON_THE_COMMAND_LINE.get(name, f"`--{name.replace('_', '-')}`")
    none = f"; None: {setting.without}" if setting.without and default is not None else ""
    return f"| `{name}` | {flag} | {shown(setting, default)} | {setting.meaning}{none} |"


def shown(setting: Setting, default: Any) -> str:
    if isinstance(default, zerorpc.Limits):
        return "the usual"
    if not setting.unit:
        return str(default)
    return setting.without if default is None else f"{default:g}"


# Where they are given


class Service:
    def echo(self, value: Any) -> Any:
        return value

    def count(self, n: int) -> Iterator[int]:
        yield from range(n)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with serving(Service()) as server:
        yield server.endpoints[0]


def _client(endpoint: str, timeout: Any = 30, heartbeat: Any = 5, per_call: dict[str, Any] | None = None) -> Any:
    with zerorpc.Client(endpoint, timeout=timeout, heartbeat=heartbeat) as client:
        assert list(client("count", 3, **per_call or {})) == [0, 1, 2]
        assert client("echo", 7, async_=True, **per_call or {}).get() == 7
        return client("echo", 7, **per_call or {})


def _async_client(endpoint: str, timeout: Any = 30, heartbeat: Any = 5, per_call: dict[str, Any] | None = None) -> Any:
    async def calls() -> Any:
        async with zerorpc.AsyncClient(endpoint, timeout=timeout, heartbeat=heartbeat) as client:
            return await client("echo", 7, **per_call or {})

    return run(calls())


CLIENTS = pytest.mark.parametrize("call", [_client, _async_client])


@CLIENTS
@EACH_NUMBER
def test_any_number_is_a_timeout_and_a_heartbeat(call: Callable[..., Any], number: Any, endpoint: str) -> None:
    assert call(endpoint, timeout=number) == 7
    assert call(endpoint, heartbeat=number) == 7
    assert call(endpoint, per_call={"timeout": number}) == 7


@CLIENTS
@EACH_REFUSED
def test_what_is_none_is_refused(call: Callable[..., Any], value: Any, error: type[Exception], endpoint: str) -> None:
    with pytest.raises(error, match="timeout has to be"):
        call(endpoint, timeout=value)
    with pytest.raises(error, match="timeout has to be"):
        call(endpoint, per_call={"timeout": value})
    with pytest.raises(error, match="heartbeat has to be"):
        call(endpoint, heartbeat=value)


@CLIENTS
@pytest.mark.parametrize("value", [0, *BELOW_ZERO], ids=ids)
def test_no_time_is_over_at_once(call: Callable[..., Any], value: Any, endpoint: str) -> None:
    for options in ({"timeout": value}, {"per_call": {"timeout": value}}):
        began = time.monotonic()
        with pytest.raises(zerorpc.TimeoutExpired):
            call(endpoint, **options)
        assert time.monotonic() - began < PATIENCE
    with pytest.raises(ValueError, match="heartbeat has to be a number of seconds above 0, or None for none"):
        call(endpoint, heartbeat=value)


@CLIENTS
def test_a_timeout_while_no_server_is_reached(call: Callable[..., Any]) -> None:
    for timeout in (Decimal("0.05"), Fraction(1, 20), Scalar(0.05)):
        with pytest.raises(zerorpc.TimeoutExpired, match=r"timeout after 0\.05s") as caught:
            call("tcp://127.0.0.1:1", timeout=timeout)
        assert caught.value.timeout == 0.05


@CLIENTS
@pytest.mark.parametrize("slots", [1, Index(), True, 0, -5, 10**30], ids=ids)
def test_slots(call: Callable[..., Any], slots: Any, endpoint: str) -> None:
    assert call(endpoint, per_call={"slots": slots}) == 7


@CLIENTS
@pytest.mark.parametrize("slots", [1.0, "1", None, math.inf, Decimal(1), Array()], ids=ids)
def test_slots_that_are_no_count(call: Callable[..., Any], slots: Any, endpoint: str) -> None:
    with pytest.raises(TypeError, match="slots has to be a whole number, not a "):
        call(endpoint, per_call={"slots": slots})


@EACH_NUMBER
def test_a_results_wait(number: Any, endpoint: str) -> None:
    with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        result = client.echo(7, async_=True)
        result.wait(number)
        assert result.get(timeout=number) == 7


def test_a_results_wait_that_is_refused_or_over(endpoint: str) -> None:
    with zerorpc.Client(timeout=PATIENCE) as client:
        result = client.echo(7, async_=True)
        for value, error in REFUSED:
            for wait in (result.wait, lambda timeout: result.get(timeout=timeout)):
                with pytest.raises(error, match="timeout has to be"):
                    wait(value)
        for value in (0, *BELOW_ZERO):
            result.wait(value)
            with pytest.raises(zerorpc.TimeoutExpired):
                result.get(timeout=value)
        client.connect(endpoint)
        assert result.get() == 7


@EACH_NUMBER
@pytest.mark.parametrize("name", ["heartbeat", "max_wait", "grace"])
def test_a_servers_times(name: str, number: Any) -> None:
    server = zerorpc.Server(Service(), pool_size=1, **{name: number})
    endpoint = server.bind(TCP)[0]
    with on_thread(server), zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        assert client.echo(7) == 7


@EACH_REFUSED
@pytest.mark.parametrize("name", ["heartbeat", "max_wait", "grace"])
def test_a_servers_times_that_are_refused(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"{name} has to be"):
        zerorpc.Server({}, **{name: value})


@pytest.mark.parametrize("name", ["heartbeat", "max_wait", "grace"])
@pytest.mark.parametrize("value", BELOW_ZERO, ids=ids)
def test_a_servers_times_below_zero(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} has to be a number of seconds"):
        zerorpc.Server({}, **{name: value})


@pytest.mark.parametrize("name", ["pool_size", "processes"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "2", math.nan, math.inf, Decimal(2), 2j, Array()], ids=ids)
def test_a_servers_counts(name: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=f"{name} has to be "):
        zerorpc.Server({}, **{name: value})
    zerorpc.Server({}, **{name: Index()}).close()


# ``client.timeout = …``


def test_a_blocking_clients_timeout_may_be_changed(endpoint: str) -> None:
    with zerorpc.Client("tcp://127.0.0.1:1", timeout=None) as client:
        assert client.timeout is None
        client.timeout = Decimal("0.05")
        assert client.timeout == 0.05
        with pytest.raises(zerorpc.TimeoutExpired, match=r"timeout after 0\.05s"):
            client.echo(1)
        with pytest.raises(zerorpc.TimeoutExpired, match=r"timeout after 0\.01s"):
            client("echo", 1, timeout=0.01)
        client._timeout = 0.02  # as zerorpc 0.6 has it
        with pytest.raises(zerorpc.TimeoutExpired, match=r"timeout after 0\.02s"):
            client.echo(1)
        for value, error in REFUSED:
            with pytest.raises(error, match="timeout has to be"):
                client.timeout = value
        assert client.timeout == client._timeout == 0.02
        client.connect(endpoint)
        client.timeout = PATIENCE
        assert client.echo(7) == 7


def test_an_async_clients_timeout_may_be_changed() -> None:
    async def calls() -> None:
        async with zerorpc.AsyncClient("tcp://127.0.0.1:1") as client:
            assert client.timeout == 30
            client.timeout = 0.05
            with pytest.raises(zerorpc.TimeoutExpired, match=r"timeout after 0\.05s"):
                await client.echo(1)
            client.timeout = 0.02
            with pytest.raises(zerorpc.TimeoutExpired, match=r"timeout after 0\.02s"):
                await client("echo", 1)
            with pytest.raises(TypeError, match="timeout has to be"):
                client.timeout = "5"  # type: ignore[assignment]

    run(calls())


class Named:
    def timeout(self) -> str:
        return "a method"

    heartbeat = timeout


def test_remote_methods_of_these_names() -> None:
    with serving(Named()) as server, zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
        assert client("timeout") == client("heartbeat") == client.heartbeat() == "a method"


@pytest.mark.parametrize("kind", [zerorpc.Client, zerorpc.AsyncClient])
@pytest.mark.parametrize("name", ["heartbeat", "passive_heartbeat"])
def test_what_only_the_constructor_takes(kind: type[Any], name: str) -> None:
    client = kind()
    with pytest.raises(AttributeError, match=rf"{name} can't be changed later: .* {kind.__name__}\({name}="):
        setattr(client, name, 3)
    client.colour = "a program's own"
    assert client.colour == "a program's own"
    client.close()

    class Own(kind):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(timeout=1)
            self.heartbeat = "its own"

    own = Own()
    own.timeout = 2
    assert (own.heartbeat, own.timeout) == ("its own", 2)
    own.close()
