"""Starts and talks to server.js and client.js, and carries values to them and back as JSON."""

from __future__ import annotations

import base64
import contextlib
import json
import math
import queue
from typing import Any

from tests.interop.node.set_up import FOLDER, node
from tests.interop.programs import PATIENCE, Announced, Program, running


class NodeProgram(Announced):
    """One of the programs here."""

    def __init__(self, name: str, *options: object) -> None:
        super().__init__(str(FOLDER / f"{name}.js"), *options, python=node())


class NodeCallError(Exception):
    """How a call of Node's client ended when not with a value."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(f"{answer['error']}: {answer['message']}")
        self.kind: str = answer["error"]
        self.message: Any = from_json(answer["message"])
        self.stack: Any = from_json(answer["stack"])
        self.items = [from_json(item) for item in answer["items"]]


class NodeAnswer:
    """The answer to one call of Node's client, when it comes."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def put(self, answer: dict[str, Any] | None) -> None:
        self._answers.put(answer)

    def get(self) -> Any:
        """The value, or the list of a stream's items; NodeCallError for what was no success."""
        try:
            answer = self._answers.get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError(f"no answer; stderr of {self._program}:\n{self._program.stderr()}") from None
        assert answer is not None, f"{self._program} ended; stderr:\n{self._program.stderr()}"
        if "error" in answer:
            raise NodeCallError(answer)
        if "items" in answer:
            return [from_json(item) for item in answer["items"]]
        return from_json(answer["value"])


class NodeClient(NodeProgram):
    """A client of Node's zerorpc in a process of its own; any number of calls may be under way at once."""

    def __init__(self, *options: object) -> None:
        self._waiting: dict[int, NodeAnswer] = {}
        self.surplus: list[dict[str, Any]] = []  # callbacks after the end of their call
        super().__init__("client", *options)

    def take_line(self, line: str) -> None:
        answer = json.loads(line)
        if "again" in answer:
            self.surplus.append(answer)
        elif "id" in answer:
            self._waiting.pop(answer["id"]).put(answer)
        else:
            super().take_line(line)

    def take_end(self) -> None:
        super().take_end()
        for answer in self._waiting.values():
            answer.put(None)

    def start(self, method: str, *args: Any, timeout: int | None = None) -> NodeAnswer:
        """Calls without waiting; Node knows a call's own timeout in whole seconds only."""
        answer = NodeAnswer(self)
        self._waiting[id(answer)] = answer
        own = {} if timeout is None else {"timeout": timeout}
        self.write_line({"id": id(answer), "method": method, "args": to_json(list(args)), **own})
        return answer

    def call(self, method: str, *args: Any, timeout: int | None = None) -> Any:
        return self.start(method, *args, timeout=timeout).get()


def node_server(*options: object) -> contextlib.AbstractContextManager[NodeProgram]:
    """A server of Node's zerorpc; a worker when the options connect it."""
    return running(NodeProgram("server", *options))


def node_client(*options: object) -> contextlib.AbstractContextManager[NodeClient]:
    return running(NodeClient(*options))


# Values, as common.js packs them


class Undefined:
    """JavaScript's `undefined`, which is not its `null`."""

    def __repr__(self) -> str:
        return "undefined"


UNDEFINED = Undefined()


class Int64(int):
    """An integer that the Node program sends with all its 64 bits; an ordinary one becomes a Number there."""


class Moment(int):
    """A JavaScript Date: milliseconds since 1970."""


def to_json(value: Any) -> Any:
    match value:
        case Undefined():
            return {"$": "undefined"}
        case Int64():
            return {"$": "int64" if value < 0 else "uint64", "text": str(int(value))}
        case Moment():
            return {"$": "date", "milliseconds": int(value)}
        case bytes():
            return {"$": "bytes", "base64": base64.b64encode(value).decode()}
        case float() if not math.isfinite(value) or str(value) == "-0.0":
            return {"$": "float", "text": _JS_FLOATS.get(str(value), str(value))}
        case list():
            return [to_json(item) for item in value]
        case dict():
            return {key: to_json(item) for key, item in value.items()}
        case _:
            return value


_JS_FLOATS = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}


def from_json(value: Any) -> Any:
    match value:
        case {"$": "undefined"}:
            return UNDEFINED
        case {"$": "bytes", "base64": text}:
            return base64.b64decode(text)
        case {"$": "float", "text": text}:
            return float(text)
        case {"$": "date", "milliseconds": milliseconds}:
            return Moment(milliseconds)
        case list():
            return [from_json(item) for item in value]
        case dict():
            return {key: from_json(item) for key, item in value.items()}
        case _:
            return value
