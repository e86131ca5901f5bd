"""A recorded conversation: the calls, what became of each, and the file that they are kept in."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from zerorpc.errors import RemoteError
from zerorpc.testing.json_values import from_json, to_json
from zerorpc.testing.redaction import Redaction

__all__ = ["CassetteMiss", "Recorded", "Tape"]

_FORMAT = "zerorpc cassette"
_VERSION = 1
_SHOWN = 20  # calls that the error of a miss lists


class CassetteMiss(RemoteError, AssertionError):
    """A call that the cassette doesn't have, or not once more. ``ran`` is False.

    It tells what was called, and what there is. Raised by the call, and again by the end of the ``with`` block if that
    ends without another error: a program that handles errors can't hide it.
    """


class Recorded:
    """One call. Its outcome is a ``result``, an ``error``, or a ``stream`` that ends, fails or was left.

    ``over`` tells whether there is an outcome yet: a call that was given up, or lost its server, has none.
    """

    def __init__(self, method: str, args: Sequence[object], kwargs: Mapping[str, object] | None = None) -> None:
        self.method = method
        self.args: list[object] = list(args)
        self.kwargs: dict[str, object] = dict(kwargs or {})
        self.result: object = None
        self.stream: list[object] | None = None
        self.left: bool = False  # the reader wanted no more
        self.error: dict[str, object] | None = None  # name, message, traceback, ran and kind, as they travel
        self.over: bool = False
        self.played: bool = False

    def fails(self, error: RemoteError, kind: str | None) -> None:
        """The call, or its stream, ends with an error. ``kind`` is that of one of the server's own."""
        self.error = {
            "name": error.name,
            "message": error.msg,
            "traceback": None if error.traceback is None else error.traceback.split("\n"),
            "ran": error.ran,
            "kind": kind,
        }
        self.over = True

    def to_json(self, redaction: Redaction, names: Sequence[str]) -> dict[str, object]:
        """What is kept of it, with nothing secret but what turns up under no name."""
        kept: dict[str, object] = {"method": self.method, "args": redaction.arguments(self.args, names)}
        if self.kwargs:
            kept["kwargs"] = redaction.value(self.kwargs)
        if self.stream is not None:
            kept["stream"] = [redaction.value(item) for item in self.stream]
            if self.left:
                kept["left"] = True
        if self.error is not None:
            kept["error"] = self.error
        elif self.stream is None:
            kept["result"] = redaction.value(self.result)
        return kept

    @staticmethod
    def from_json(kept: object) -> Recorded:
        """Raises ValueError for what is no call."""
        if (
            not isinstance(kept, dict)
            or not isinstance(kept.get("method"), str)
            or not isinstance(kept.get("args"), list)
        ):
            raise ValueError("a call has a method and args")
        kwargs = from_json(kept.get("kwargs", {}))
        if not isinstance(kwargs, dict):
            raise ValueError("kwargs are a map")
        call = Recorded(kept["method"], [from_json(arg) for arg in kept["args"]], kwargs)
        stream, error = kept.get("stream"), kept.get("error")
        call.stream = [from_json(item) for item in stream] if isinstance(stream, list) else None
        call.left = bool(kept.get("left"))
        call.error = error if isinstance(error, dict) else None
        call.result = from_json(kept.get("result"))
        call.over = True
        return call

    @property
    def key(self) -> str:
        """What tells arguments apart as a message does, 1 from 1.0 and True, but for the order of keys."""
        return json.dumps([to_json(self.args), to_json(self.kwargs)], sort_keys=True)

    @property
    def error_args(self) -> tuple[str, str, str | None]:
        """Those of its ERR event."""
        error = self.error or {}
        lines = error.get("traceback")
        trace = "\n".join(map(str, lines)) if isinstance(lines, list) else None
        return str(error.get("name")), str(error.get("message")), trace

    def __repr__(self) -> str:
        shown = [*map(_shown, self.args), *(f"{name}={_shown(value)}" for name, value in self.kwargs.items())]
        return f"{self.method}({', '.join(shown)})"


class Tape:
    """The calls of a cassette, and the names of methods' arguments. ``names`` are parts of those that secrets have."""

    def __init__(self, path: Path, names: Iterable[str]) -> None:
        self.path = path
        self.calls: list[Recorded] = []
        self.parameters: dict[str, list[str]] = {}
        self.misses: list[CassetteMiss] = []
        self._redaction = Redaction(names)

    def record(self, method: str, args: Sequence[object], kwargs: Mapping[str, object]) -> Recorded:
        """A call begins."""
        call = Recorded(method, args, kwargs)
        self.calls.append(call)
        return call

    def play(self, method: str, args: Sequence[object], kwargs: Mapping[str, object]) -> Recorded:
        """The first such call that wasn't played yet. Raises CassetteMiss if there is none."""
        hidden_args = self._redaction.arguments(args, self.parameters.get(method, ()))
        hidden = self._redaction.scrub([hidden_args, self._redaction.value(dict(kwargs))])
        assert isinstance(hidden, list)
        asked = Recorded(method, *hidden)
        such = [call for call in self.calls if call.method == method and call.key == asked.key]
        for call in such:
            if not call.played:
                call.played = True
                return call
        miss = self._miss(asked, len(such))
        self.misses.append(miss)
        raise miss

    def _miss(self, asked: Recorded, played: int) -> CassetteMiss:
        others = [call for call in self.calls if call.method == asked.method] or self.calls
        shown = [f"  {call!r}{' (played already)' if call.played else ''}" for call in others[:_SHOWN]]
        if len(others) > _SHOWN:
            shown.append(f"  and {len(others) - _SHOWN} more")
        times = f" more than {played} times" if played else ""
        text = "\n".join(
            [
                f"{asked!r} was called, which {self.path} doesn't have{times}. It has:",
                *(shown or ["  nothing"]),
                'Record it anew with mode="record", or remove the file.',
            ]
        )
        return CassetteMiss("CassetteMiss", text, None, ran=False, method=asked.method)

    def beyond(self, call: Recorded) -> CassetteMiss:
        """The error at the end of a stream that nobody wanted more of; seen by who does now."""
        items = len(call.stream or ())
        text = f"{self.path} has {items} items of {call!r}: when it was recorded nobody wanted more"
        return CassetteMiss("CassetteMiss", text, None, ran=True, method=call.method)

    # The file

    def load(self) -> None:
        """Raises OSError, or ValueError for a file that is none of ours."""
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            if not isinstance(kept, dict) or kept.get("format") != _FORMAT:
                raise ValueError(f'its "format" is not "{_FORMAT}"')
            if kept.get("version") != _VERSION:
                raise ValueError(f"its version is {kept.get('version')}, and this zerorpc reads version {_VERSION}")
            self.calls = [Recorded.from_json(call) for call in kept["calls"]]
            self.parameters = {str(name): list(names) for name, names in kept.get("parameters", {}).items()}
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{self.path} can't be used as a cassette: {error}") from error

    def save(self) -> None:
        """Write the file, as a whole or not at all. Raises OSError."""
        over = [call for call in self.calls if call.over]
        calls = [call.to_json(self._redaction, self.parameters.get(call.method, ())) for call in over]
        called = {call.method for call in over}
        kept = {
            "format": _FORMAT,
            "version": _VERSION,
            "parameters": {name: names for name, names in sorted(self.parameters.items()) if name in called and names},
            "calls": [self._plain(call) for call in calls],
        }
        _write(self.path, json.dumps(kept, ensure_ascii=False, indent=2) + "\n")

    def _plain(self, call: dict[str, object]) -> dict[str, object]:
        """For the file, with no secret that was found in any call."""
        return {
            part: to_json(value if part == "method" else self._redaction.scrub(value)) for part, value in call.items()
        }

    def __repr__(self) -> str:
        return f"<Tape {self.path} calls={len(self.calls)}>"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.new")
    try:
        new.write_text(text, encoding="utf-8", newline="\n")
        new.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
