"""The log lines of a server on the command line: as text, or as one JSON object a line."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from zerorpc.cli.printing import note_as

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
OF_A_CALL = ("caller", "method", "seconds", "outcome")


def log_to_stderr(form: str | None, debug: bool, calls: bool) -> None:
    """Let warnings through, with ``debug`` every event that is sent or received, and with ``calls`` a line for each.

    None is Python's own form, which has no time. With JSON what is noted on stderr is such lines, too.
    """
    if form is None and not calls:
        logging.basicConfig()
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(JsonFormatter() if form == "json" else logging.Formatter(TEXT))
        logging.basicConfig(handlers=[handler])
    if form == "json":
        logging.captureWarnings(True)
        note_as(json_note)
    if debug:
        logging.getLogger("zerorpc").setLevel(logging.DEBUG)
    if calls:
        logging.getLogger("zerorpc.calls").setLevel(logging.INFO)


class JsonFormatter(logging.Formatter):
    """One object in one line of ASCII, whatever was logged."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, object] = {
            "time": _iso(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        told.update({name: getattr(record, name) for name in OF_A_CALL if hasattr(record, name)})
        if record.exc_text or record.exc_info:
            told["traceback"] = record.exc_text or self.formatException(record.exc_info)  # type: ignore[arg-type]
        return json.dumps(told, default=str)


def json_note(text: str) -> str:
    """What is told on stderr besides, as a line of the log."""
    level, message = ("WARNING", text[9:]) if text.startswith("warning: ") else ("INFO", text)
    now = _iso(datetime.now(UTC).timestamp())
    return json.dumps({"time": now, "level": level, "logger": "zerorpc.cli", "message": message})


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
