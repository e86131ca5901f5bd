"""Holds one conversation with an implementation, step by step."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any, Protocol

from tests.conformance.driver.cases import Case
from tests.conformance.driver.octets import read_mask, read_octets, show
from tests.conformance.driver.patterns import mismatch
from tests.conformance.driver.talker import Closed, Command, Item, Message, Talker, read_metadata
from tests.conformance.driver.values import MalformedError, Value, decode, encode

PATIENCE = 20.0  # seconds for what has no `within` of its own; a loaded machine is slow
HEARTBEAT = "_zpc_hb"
CREDIT = "_zpc_more"


class DeviationError(Exception):
    """The implementation did something else than the conversation has it do."""


class ServerUnderTest(Protocol):
    endpoint: str

    def stop(self) -> None: ...


class ClientUnderTest(Protocol):
    def open(self, name: str, endpoints: list[str], heartbeat: float) -> None: ...
    def call(self, name: str, call: dict[str, Any]) -> Callable[[float], Any]: ...
    def close(self, name: str) -> None: ...


class Conversation:
    """One case with one implementation: a server or a client.

    Seconds: `patience` is for steps without `within`; `late` is by how much each silence is longer, where what is known
    to break it may come late from a program under load. It ends when that comes.
    """

    def __init__(
        self,
        case: Case,
        *,
        server: ServerUnderTest | None = None,
        client: ClientUnderTest | None = None,
        patience: float = PATIENCE,
        late: float = 0.0,
    ) -> None:
        self._case = case
        self._patience = patience
        self._late = late
        self._server = server
        self._client = client
        self._saved: dict[str, bytes] = {}
        self._talkers: dict[str, Talker] = {}
        self._listeners: dict[str, socket.socket] = {}
        self._outcomes: list[Callable[[float], Any]] = []

    def run(self) -> None:
        """Holds it, from the first step to the last. Raises DeviationError."""
        try:
            if self._client is not None:
                self._listen(self._client)
            self._run_steps(self._case.steps, "step ")
        finally:
            self._close()

    def _run_steps(self, steps: list[dict[str, Any]], place: str) -> None:
        for number, step in enumerate(steps, 1):
            at = f"{place}{number}"
            try:
                if "repeat" in step:
                    for turn in range(1, self._times(step["repeat"]) + 1):
                        self._run_steps(step["steps"], f"{at}, turn {turn}, step ")
                else:
                    self._run_step(step)
            except (TimeoutError, ConnectionError, MalformedError) as error:
                raise DeviationError(f"{at}, {_brief(step)}: {error}") from None

    def _times(self, repeat: Any) -> int:
        """A number, or one that was saved."""
        if isinstance(repeat, int):
            return repeat
        times = decode(self._saved[repeat["$saved"]])
        if times.type != "int":
            raise MalformedError(f"{times.content!r} is no number of times")
        return int(times.content)

    def _run_step(self, step: dict[str, Any]) -> None:
        for verb in step:
            action = getattr(self, f"_do_{verb}", None)
            if action is not None:
                action(step)
                return
        raise ValueError(f"no such step: {step}")

    # What the driver does

    def _do_send(self, step: dict[str, Any]) -> None:
        frames = [read_octets(octets, self._saved) for octets in (*step.get("before", [""]), step["send"])]
        self._talker(step).send_message(frames)

    def _do_octets(self, step: dict[str, Any]) -> None:
        octets = read_octets(step["octets"], self._saved)
        for chunk in [octets[i : i + 1] for i in range(len(octets))] if step.get("split") else [octets]:
            self._talker(step).send_octets(chunk)

    def _do_connect(self, step: dict[str, Any]) -> None:
        self._talker(step)

    def _do_close(self, step: dict[str, Any]) -> None:
        self._talker(step).close()
        del self._talkers[step.get("on", "a")]

    def _do_wait(self, step: dict[str, Any]) -> None:
        time.sleep(step["wait"])

    def _do_stop(self, step: dict[str, Any]) -> None:
        assert self._server is not None
        self._server.stop()

    def _do_call(self, step: dict[str, Any]) -> None:
        assert self._client is not None
        self._outcomes.append(self._client.call(self._case.name, step["call"]))

    # What the implementation has to do

    def _do_expect(self, step: dict[str, Any]) -> None:
        pattern = step["expect"]
        before, event = self._next_event(step, {HEARTBEAT, *self._credit_of_server()} - {pattern[1]})
        wanted = [read_octets(octets, self._saved) for octets in step.get("before", [""])]
        if before != wanted:
            shown = [[show(frame) for frame in frames] for frames in (before, wanted)]
            raise DeviationError(f"{_brief(step)}: the frames before the event are {shown[0]}, expected: {shown[1]}")
        self._match(step, pattern, event)

    def _do_expect_octets(self, step: dict[str, Any]) -> None:
        mask = read_mask(step["expect_octets"], self._saved)
        octets = self._talker(step).read_octets(len(mask), self._deadline(step))
        if any(wanted not in (None, found) for wanted, found in zip(mask, octets, strict=True)):
            raise DeviationError(f"{_brief(step)}: got {show(octets, 300)}")

    def _do_expect_command(self, step: dict[str, Any]) -> None:
        deadline = self._deadline(step)
        item = self._talker(step).next_item(deadline)
        while not isinstance(item, Closed) and not (isinstance(item, Command) and item.name == step["expect_command"]):
            item = self._talker(step).next_item(deadline)
        if not isinstance(item, Command):
            raise DeviationError(f"{_brief(step)}: {_brief_item(item)}")
        if "data" in step and item.data != read_octets(step["data"], self._saved):
            raise DeviationError(f"{_brief(step)}: its data is {show(item.data)}")
        properties = read_metadata(item.data) if "properties" in step else {}
        for name, value in step.get("properties", {}).items():
            if properties.get(name.lower()) != value.encode():
                raise DeviationError(f"{_brief(step)}: the properties are {properties}")

    def _do_expect_close(self, step: dict[str, Any]) -> None:
        deadline = self._deadline(step)
        if step.get("unread"):
            self._talker(step).read_to_end(deadline)
            return
        item = self._next_telling(step, deadline, {HEARTBEAT})
        if not isinstance(item, Closed):
            raise DeviationError(f"{_brief(step)}: {_brief_item(item)}")

    def _do_silence(self, step: dict[str, Any]) -> None:
        deadline = time.monotonic() + step["silence"] + self._late
        passed_over = set() if step.get("strict") else {HEARTBEAT}
        if step.get("credit"):
            passed_over |= self._credit_of_server()
        try:
            item = self._next_telling(step, deadline, passed_over)
        except TimeoutError:
            return
        raise DeviationError(f"{_brief(step)}: {_brief_item(item)}")

    def _do_outcome(self, step: dict[str, Any]) -> None:
        outcome = self._outcomes[step.get("of", 0) - 1](step.get("within", self._patience))
        self._match(step, step["outcome"], decode(encode(outcome)))

    def _match(self, step: dict[str, Any], pattern: Any, value: Value) -> None:
        problem = mismatch(pattern, value, self._saved)
        if problem is not None:
            raise DeviationError(f"{_brief(step)}: {problem}")

    # Connections

    def _credit_of_server(self) -> set[str]:
        """How often a server gives credit for an argument is its own affair."""
        return set() if self._server is None else {CREDIT}

    def _next_event(self, step: dict[str, Any], skipped: set[str]) -> tuple[list[bytes], Value]:
        item = self._next_telling(step, self._deadline(step), skipped)
        if not isinstance(item, Message):
            raise DeviationError(f"{_brief(step)}: {_brief_item(item)}")
        return item.frames[:-1], decode(item.frames[-1])

    def _next_telling(self, step: dict[str, Any], deadline: float, skipped: set[str]) -> Item:
        """The next message, or the end; commands have steps of their own, and heartbeats come when they come."""
        while True:
            item = self._talker(step).next_item(deadline)
            if not isinstance(item, Command) and _name_of(item) not in skipped:
                return item

    def _talker(self, step: dict[str, Any]) -> Talker:
        """The step's connection, made when it is first needed."""
        name = step.get("on", "a")
        if name not in self._talkers:
            deadline = time.monotonic() + PATIENCE
            self._talkers[name] = talker = Talker(self._connection(name))
            talker.answers_ping = self._case.pong
            if self._case.handshake:
                talker.handshake(self._case.minor, self._case.all_properties(), deadline)
        return self._talkers[name]

    def _connection(self, name: str) -> socket.socket:
        if self._server is not None:
            host, _, port = self._server.endpoint.removeprefix("tcp://").rpartition(":")
            return socket.create_connection((host, int(port)), PATIENCE)
        return self._listeners[name].accept()[0]

    def _listen(self, client: ClientUnderTest) -> None:
        endpoints = []
        for name in self._case.listeners:
            listener = self._listeners[name] = socket.create_server(("127.0.0.1", 0))
            listener.settimeout(PATIENCE)
            endpoints.append(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        client.open(self._case.name, endpoints, self._case.heartbeat)

    def _deadline(self, step: dict[str, Any]) -> float:
        return time.monotonic() + step.get("within", self._patience)

    def _close(self) -> None:
        if self._client is not None:
            self._client.close(self._case.name)
        for opened in (*self._talkers.values(), *self._listeners.values()):
            opened.close()


def _name_of(item: Item) -> str | None:
    """The name of the event that came, if it was one."""
    if not isinstance(item, Message):
        return None
    try:
        event = decode(item.frames[-1])
    except MalformedError:
        return None
    named = event.type == "array" and len(event.content) == 3 and event.content[1].type == "str"
    return event.content[1].content if named else None


def _brief(step: dict[str, Any]) -> str:
    text = str(step)
    return text if len(text) < 200 else text[:200] + "..."


def _brief_item(item: Item) -> str:
    if isinstance(item, Closed):
        return "the connection was closed"
    if isinstance(item, Command):
        return f"the command {item.name} came"
    return f"a message came: {[show(frame) for frame in item.frames]}"
