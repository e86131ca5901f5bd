"""Types that MessagePack lacks, with zerorpc 0.6.3 or Node at the other end: refused with an error that says what to
send instead, and never turned into something else.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any

import pytest

import zerorpc
from tests.client.value_types import NATURAL, NUMBERS, TO_OLDER
from tests.interop.either_peer import EACH_CALLER, EACH_CLIENT, EACH_SERVER, ERRORS
from tests.interop.ours import Caller, our_server
from tests.interop.programs import PATIENCE

TCP = "tcp://127.0.0.1:0"


@EACH_SERVER
@EACH_CALLER
def test_an_argument(start_server: Callable[..., Any], make_caller: Callable[..., Caller]) -> None:
    with (
        start_server("--bind", TCP) as server,
        contextlib.closing(make_caller(server.endpoint, timeout=PATIENCE)) as caller,
    ):
        for value, needed in TO_OLDER.values():
            inside = () if isinstance(value, memoryview) else ([value], {"key": value})  # there its octets are sent
            for place in (value, *inside):
                with pytest.raises(zerorpc.NotSupported, match=f"speaks an older protocol, which has no {needed}"):
                    caller.call("echo", place)
        for number in NUMBERS.values():
            assert caller.call("echo", number) == number.item()
            assert caller.call("echo", [number, {"key": number}]) == [number.item(), {"key": number.item()}]
        assert caller.call("echo", "goes on") == "goes on"


def failing(value: Any) -> Callable[[], None]:
    def fail() -> None:
        raise ValueError(value)

    return fail


@EACH_CLIENT
def test_an_error_shows_the_value(start_client: Callable[..., Any]) -> None:
    values = [*NATURAL.values(), *NUMBERS.values(), *(value for value, _ in TO_OLDER.values())]
    methods = {f"m{place}": failing(value) for place, value in enumerate(values)}
    with our_server(methods, bind=TCP) as server, start_client("--connect", server.endpoints[0]) as client:
        for name, value in zip(methods, values, strict=True):
            with pytest.raises(ERRORS, match=re.escape(str(value))):
                client.call(name)


@EACH_CLIENT
def test_a_result_and_an_item(start_client: Callable[..., Any]) -> None:
    values = {f"m{place}": value for place, (value, _) in enumerate(TO_OLDER.values())}
    methods: dict[str, Any] = {name: lambda value=value: value for name, value in values.items()}
    methods |= {f"i{name}": lambda value=value: iter([value]) for name, value in values.items()}
    methods |= {name: lambda number=number: [number] for name, number in NUMBERS.items()}
    with our_server(methods, bind=TCP) as server, start_client("--connect", server.endpoints[0]) as client:
        for name in values:
            with pytest.raises(ERRORS, match=r"older protocol|64"):
                client.call(name)
        for name, number in NUMBERS.items():
            assert client.call(name) == [number.item()]
