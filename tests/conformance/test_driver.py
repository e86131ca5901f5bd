"""The driver itself: it has to notice what is wrong, or no conversation is worth anything."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.driver.cases import Case
from tests.conformance.driver.conversation import Conversation, DeviationError
from tests.conformance.driver.octets import read_mask, read_octets
from tests.conformance.driver.patterns import mismatch
from tests.conformance.driver.programs import Program
from tests.conformance.driver.talker import Message, Talker, command
from tests.conformance.driver.values import MalformedError, decode, encode

OK = [{"message_id": "r", "v": 3, "response_to": "n"}, "OK", ["hi"]]
EXPECT = {"expect": [{"message_id": {"$any": True}, "v": 3, "response_to": "n"}, "OK", ["hi"]], "within": 5}
BEAT = [{"message_id": "h", "v": 3, "response_to": "n"}, "_zpc_hb", [0]]


class FakeServer:
    """Accepts one connection, shakes hands, and sends what it is given; an empty one says nothing."""

    def __init__(self, *sends: list[bytes] | bytes, closes: bool = False) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._sends = sends
        self._closes = closes
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        talker = Talker(self._listener.accept()[0])
        talker.handshake(1, {"Socket-Type": b"ROUTER"}, time.monotonic() + 5)
        for send in self._sends:
            talker.send_octets(send) if isinstance(send, bytes) else talker.send_message(send)
        if not self._closes:
            talker.read_to_end(time.monotonic() + 20)
        talker.close()

    def stop(self) -> None:
        self._thread.join()
        self._listener.close()


def hold(*steps: dict[str, Any], sends: tuple[Any, ...], closes: bool = False, late: float = 0.0) -> None:
    server = FakeServer(*sends, closes=closes)
    try:
        Conversation(Case("a case", "why", "server", list(steps)), server=server, late=late).run()
    finally:
        server.stop()


def message(notation: Any, before: tuple[bytes, ...] = (b"",)) -> list[bytes]:
    return [*before, encode(notation)]


def test_the_expected_passes() -> None:
    hold(EXPECT, sends=(message(OK),))


def test_heartbeats_between_are_passed_over() -> None:
    hold(EXPECT, sends=(message(BEAT), message(OK)))


def test_expected_heartbeats_are_not_passed_over() -> None:
    hold({"expect": [{}, "_zpc_hb", [0]]}, EXPECT, sends=(message(BEAT), message(OK)))


CREDIT = [{"message_id": "c", "v": 3, "response_to": "n"}, "_zpc_more", [3]]


def test_credit_between_is_passed_over_too_but_is_no_silence() -> None:
    hold(EXPECT, sends=(message(CREDIT), message(OK)))
    hold({"expect": [{}, "_zpc_more", [3]]}, EXPECT, sends=(message(CREDIT), message(OK)))
    with pytest.raises(DeviationError, match="a message came"):
        hold({"silence": 1}, sends=(message(CREDIT),))
    hold({"silence": 0.05, "credit": True}, sends=(message(CREDIT),))


def test_what_is_known_to_break_a_silence_may_come_late() -> None:
    with pytest.raises(DeviationError, match="a message came"):
        hold({"silence": -1}, sends=(message(OK),), late=21)


@pytest.mark.parametrize("said", [[{}, "OK", "hi"], [{}, 5, "hi"], "OK", [1, 2]])
def test_what_has_no_name_of_an_event_is_not_passed_over(said: Any) -> None:
    with pytest.raises(DeviationError, match="a message came"):
        hold({"silence": 1}, sends=(message(said),))


def test_a_number_that_came_says_how_often() -> None:
    steps = ({"expect": [{}, "_zpc_more", [{"$save": "n"}]]}, {"repeat": {"$saved": "n"}, "steps": [EXPECT]})
    hold(*steps, {"silence": 0.05}, sends=(message(CREDIT), *[message(OK)] * 3))
    with pytest.raises(DeviationError, match="a message came"):
        hold(*steps, {"silence": 1}, sends=(message(CREDIT), *[message(OK)] * 4))
    with pytest.raises(DeviationError, match="'3' is no number of times"):
        hold(*steps, sends=(message([{}, "_zpc_more", ["3"]]),))


@pytest.mark.parametrize(
    "wrong",
    [
        [{"message_id": "r", "v": 3, "response_to": "m"}, "OK", ["hi"]],
        [{"message_id": "r", "v": 2, "response_to": "n"}, "OK", ["hi"]],
        [{"message_id": "r", "response_to": "n"}, "OK", ["hi"]],
        [{"message_id": "r", "v": 3, "response_to": {"$bin": "6e"}}, "OK", ["hi"]],
        [{"message_id": "r", "v": 3, "response_to": "n"}, "ERR", ["hi"]],
        [{"message_id": "r", "v": 3, "response_to": "n"}, "OK", "hi"],
        [{"message_id": "r", "v": 3, "response_to": "n"}, "OK", ["hi", None]],
        [{"message_id": "r", "v": 3, "response_to": "n"}, "OK"],
        "OK",
    ],
)
def test_another_event_deviates(wrong: Any) -> None:
    with pytest.raises(DeviationError, match=r"expected|missing"):
        hold(EXPECT, sends=(message(wrong),))


@pytest.mark.parametrize("before", [(), (b"", b""), (b"x", b"")])
def test_other_frames_before_the_event_deviate(before: tuple[bytes, ...]) -> None:
    with pytest.raises(DeviationError, match="frames before"):
        hold(EXPECT, sends=(message(OK, before),))


@pytest.mark.parametrize(("step", "sends", "closes"), [
    (EXPECT | {"within": 0.05}, (), False),
    (EXPECT, (), True),
    (EXPECT, ([b"", b"\xc1"],), False),
    ({"silence": 1}, (message(OK),), False),
    ({"silence": 1}, (), True),
    ({"silence": 1, "strict": True}, (message(BEAT),), False),
    ({"expect_close": True, "within": 0.05}, (), False),
    ({"expect_close": True}, (message(OK),), True),
    ({"expect_close": True, "unread": True, "within": 0.05}, (), False),
    ({"expect_command": "PONG", "within": 0.05}, (), False),
    ({"expect_command": "PONG", "data": "61"}, (command("PONG", b"b"),), False),
    ({"expect_command": "READY", "properties": {"A": "1"}}, (command("READY", b"\1A\0\0\0\1" + b"2"),), False),
    ({"expect_octets": "0100 ??", "within": 1}, (b"\x01\x01\x00",), False),
    ({"expect_octets": "00*9", "within": 0.05}, (b"\x00",), False),
])  # fmt: skip
def test_what_is_wrong_deviates(step: dict[str, Any], sends: tuple[Any, ...], closes: bool) -> None:
    with pytest.raises(DeviationError):
        hold(step, sends=sends, closes=closes)


@pytest.mark.parametrize(("step", "sends", "closes"), [
    ({"silence": 0.05}, (message(BEAT),), False),
    ({"expect_close": True}, (message(BEAT),), True),
    ({"expect_command": "PONG", "data": "61"}, (command("PONG", b"a"),), False),
    ({"expect_command": "READY", "properties": {"A": "1"}}, (command("READY", b"\1a\0\0\0\1" + b"1"),), False),
    ({"expect_octets": "0100 ??"}, (b"\x01\x00\x63",), False),
    ({"repeat": 2, "steps": [EXPECT]}, (message(OK), message(OK)), False),
])  # fmt: skip
def test_what_is_right_passes(step: dict[str, Any], sends: tuple[Any, ...], closes: bool) -> None:
    hold(step, sends=sends, closes=closes)


def test_a_deviation_says_where() -> None:
    with pytest.raises(DeviationError, match="step 2, turn 2, step 1, "):
        hold(EXPECT, {"repeat": 2, "steps": [EXPECT | {"within": 0.05}]}, sends=(message(OK), message(OK)))


def test_an_unknown_step_is_an_error_of_the_case() -> None:
    with pytest.raises(ValueError, match="no such step"):
        hold(EXPECT, {"expct": 1}, sends=(message(OK),))


class FakeClient:
    """A client under test that connects and sends one request; its outcome is given."""

    def __init__(self, outcome: Any) -> None:
        self._outcome = outcome
        self._talker: Talker | None = None

    def open(self, name: str, endpoints: list[str], heartbeat: float) -> None:
        self._connection = socket.create_connection(("127.0.0.1", int(endpoints[0].rpartition(":")[2])))

    def call(self, name: str, call: dict[str, Any]) -> Any:
        thread = threading.Thread(target=self._ask, args=(call,))
        thread.start()
        return lambda within: thread.join() or self._outcome

    def _ask(self, call: dict[str, Any]) -> None:
        self._talker = Talker(self._connection)
        self._talker.handshake(1, {"Socket-Type": b"DEALER"}, time.monotonic() + 5)
        self._talker.send_message(message([{"message_id": 7, "v": 3}, call["method"], call["args"]]))
        item = self._talker.next_item(time.monotonic() + 5)
        assert isinstance(item, Message)
        assert item.frames[1] == encode([{"response_to": 7}, "OK", [1]])

    def close(self, name: str) -> None:
        self._connection.close()


CLIENT_STEPS: list[dict[str, Any]] = [
    {"call": {"method": "echo", "args": [1]}},
    {"expect": [{"message_id": {"$save": "id"}, "response_to": {"$absent": True}}, "echo", [1]]},
    {"send": "93 81 ab726573706f6e73655f746f {id} a24f4b 91 01", "means": "OK"},
    {"outcome": {"result": 1}},
]


def test_a_client_is_led_through_a_call() -> None:
    Conversation(Case("a case", "why", "client", CLIENT_STEPS), client=FakeClient({"result": 1})).run()


@pytest.mark.parametrize("outcome", [{"result": 2}, {"items": [1]}, {"error": {"kind": "remote"}}])
def test_another_outcome_deviates(outcome: Any) -> None:
    with pytest.raises(DeviationError):
        Conversation(Case("a case", "why", "client", CLIENT_STEPS), client=FakeClient(outcome)).run()


# Patterns and notation


def pairs() -> Iterator[tuple[Any, Any, bool]]:
    yield from [
        (1, 1, True),
        (1, 1.0, False),
        (1, True, False),
        ("a", {"$bin": "61"}, False),
        ({"$any": True}, 5, True),
    ]
    yield from [
        ({"$type": "str"}, "a", True),
        ({"$type": "str"}, {"$bin": "61"}, False),
        ({"$type": "nil"}, None, True),
    ]
    yield from [({"$contains": "b"}, "abc", True), ({"$contains": "x"}, "abc", False), ({"$min": 2}, 2, True)]
    yield from [({"$min": 2}, 1, False), ({"$one_of": [1, 2]}, 2, True), ({"$one_of": [1, 2]}, 3, False)]
    yield from [({"$has": [1]}, [2, 1], True), ({"$has": [1]}, [2], False), ({"$has": [1]}, 1, False)]
    yield from [({"$lacks": [1]}, [2], True), ({"$lacks": [1]}, [2, 1], False), ({"$lacks": [1]}, 2, False)]
    yield from [({"a": 1}, {"a": 1, "b": 2}, True), ({"a": 1}, {"b": 2}, False), ({"a": 1}, [], False)]
    yield from [({"a": {"$absent": True}}, {"a": 1}, False), ({"a": {"$absent": True}}, {}, True)]
    yield from [({"$octets": "07"}, 7, True), ({"$octets": "07"}, {"$octets": "cc07"}, False)]
    yield from [(7, {"$octets": "cc07"}, True), ({"$map": [[1, 2]]}, {"$map": [[1, 2]]}, True), ([1], [1, 2], False)]
    yield from [({"$saved": "id"}, 7, True), ({"$saved": "id"}, 8, False), ({"$save": "new"}, 8, True)]


@pytest.mark.parametrize(("pattern", "value", "matches"), list(pairs()))
def test_patterns(pattern: Any, value: Any, matches: bool) -> None:
    assert (mismatch(pattern, decode(encode(value)), {"id": b"\x07"}) is None) is matches


def test_what_is_saved_is_the_very_octets() -> None:
    saved: dict[str, bytes] = {}
    assert mismatch({"$save": "id"}, decode(b"\xcd\x00\x07"), saved) is None
    assert saved == {"id": b"\xcd\x00\x07"}


def test_octets() -> None:
    assert read_octets("0a0B 00*3 {x} ff", {"x": b"hi"}) == b"\n\x0b\0\0\0hi\xff"
    assert read_mask("ff ??*2 00") == [255, None, None, 0]


@pytest.mark.parametrize("text", ["f", "xx", "{none}", "?", "??", "00*"])
def test_no_octets(text: str) -> None:
    with pytest.raises(ValueError, match=r"octets|saved|place"):
        read_octets(text)


@pytest.mark.parametrize(
    "octets", [b"", b"\x92\x01", b"\xa5ab", b"\xc1", b"\x01\x01", b"\xc7\x05\x05\x00", b"\xd5\x05\x00"]
)
def test_malformed(octets: bytes) -> None:
    with pytest.raises(MalformedError):
        decode(octets)


def test_a_program_that_can_not_be_started_leaves_no_file_open() -> None:
    before = os.listdir("/dev/fd")
    with pytest.raises(FileNotFoundError):
        Program(["./no-such-program"])
    assert os.listdir("/dev/fd") == before
