"""The folder where the command line remembers what a user did: endpoints, and the lines of ``zerorpc shell``.

ZERORPC_NO_HISTORY=1 has it remember nothing. What can't be read or written is not remembered, and no error.
"""

from __future__ import annotations

import contextlib
import os

OFF = "ZERORPC_NO_HISTORY"


def remembers() -> bool:
    """Whether anything is to be remembered."""
    return os.environ.get(OFF, "") in ("", "0")


def state_file(name: str) -> str:
    """Where a file of this name is, or would be."""
    folder = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(folder, "zerorpc", name)


def prepared(name: str) -> str | None:
    """The path of a file that another library writes, for its owner alone; None if it is to be none, or can't be."""
    if not remembers():
        return None
    path = state_file(name)
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError:
        return None
    return path


def read_lines(name: str) -> list[str]:
    """The lines of a file; none if there is no such file."""
    try:
        with open(state_file(name), encoding="utf-8") as file:
            return file.read().splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def write_lines(name: str, lines: list[str]) -> None:
    """Replace a file in one step, for its owner alone: who reads it meanwhile sees the old one or the new one."""
    path = state_file(name)
    written = f"{path}.{os.getpid()}"
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        try:
            with open(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in lines))
            os.replace(written, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(written)
            raise
