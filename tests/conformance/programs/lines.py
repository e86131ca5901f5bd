"""What the Python programs have in common: lines of JSON, and values in the notation of the conversations."""

import json
import sys
import threading

_writing = threading.Lock()


def write_line(**fields):
    with _writing:
        sys.stdout.write(json.dumps(fields) + "\n")
        sys.stdout.flush()


def to_notation(value):
    if isinstance(value, bytes):
        return {"$bin": value.hex()}
    if isinstance(value, (list, tuple)):
        return [to_notation(item) for item in value]
    if isinstance(value, dict):
        return {"$map": [[to_notation(key), to_notation(item)] for key, item in value.items()]}
    return value


def from_notation(notation):
    if isinstance(notation, list):
        return [from_notation(item) for item in notation]
    if isinstance(notation, dict) and "$bin" in notation:
        return bytes.fromhex(notation["$bin"])
    if isinstance(notation, dict):
        return {key: from_notation(value) for key, value in notation.items()}
    return notation


def error_outcome(error, zerorpc):
    """How a call failed: which of the kinds, and what the server said."""
    kinds = {"remote": zerorpc.RemoteError, "timeout": zerorpc.TimeoutExpired, "lost": zerorpc.LostRemote}
    kind = next((kind for kind, class_ in kinds.items() if isinstance(error, class_)), "other")
    if kind == "remote":
        told = {"kind": kind, "name": error.name, "message": error.msg, "traceback": error.traceback}
        if hasattr(error, "ran"):
            told["ran"] = error.ran
            told["server"] = None if type(error) is kinds["remote"] else type(error).__name__
        return told
    if isinstance(error, getattr(zerorpc, "NotSupported", ())):
        kind = "unsupported"
    return {"kind": kind, "name": type(error).__name__, "message": str(error)}
