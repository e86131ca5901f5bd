"""Where a result goes, and in which form: to a terminal, to a pipe, or into a file."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from zerorpc.cli.printing import show, show_stream, to_json, write_octets
from zerorpc.cli.usage import UsageError
from zerorpc.errors import ZeroRPCError

if TYPE_CHECKING:
    from zerorpc.cli.arguments import Arguments


def check_output(arguments: Arguments) -> None:
    """Raises UsageError if the result of a call could not go where the user wants it."""
    if arguments.raw and (arguments.jsonl or arguments.print_json):
        other = "--jsonl" if arguments.jsonl else "--print-json"
        raise UsageError(f"--raw writes the result as it is, and {other} as JSON", "leave out one of them")
    if arguments.output is None or arguments.output == "-":
        return
    problem = _problem(arguments.output)
    if problem is not None:
        raise UsageError(f"-o {arguments.output}: {problem}", "name another file, or - for standard output")


def _problem(output: str) -> str | None:
    """Why there can be no file of this name."""
    if not output:
        return "the name is empty"
    try:
        mode = os.stat(output).st_mode
    except FileNotFoundError:
        mode = None
    except OSError as error:  # a link to itself, a name that is too long
        return error.strerror
    if output.endswith(os.sep) or (mode is not None and stat.S_ISDIR(mode)):
        return "it is a folder" if mode is not None else "there is no such folder"
    needed = [output] if mode is not None else []
    if mode is None or _is_replaceable(output, mode):
        needed.append(os.path.dirname(os.path.realpath(output)))
    for each in needed:
        if not os.access(each, os.W_OK):
            return f"{each} can't be written to" if os.path.exists(each) else f"{each} doesn't exist"
    return None


def put(result: object, arguments: Arguments) -> None:
    """Print a result, or write it into the file of ``-o``; the items of a stream as they arrive.

    Raises OutputClosed and OSError as ``printing.write`` does, and what the stream raises.
    """
    if arguments.output is not None and arguments.output != "-":
        _save(arguments.output, _pieces(result, arguments))
    elif arguments.raw or arguments.jsonl or arguments.output == "-":
        for piece in _pieces(result, arguments):
            write_octets(piece)
    elif isinstance(result, Iterator):
        show_stream(result, arguments.print_json)
    else:
        show(result, arguments.print_json)


def _pieces(result: object, arguments: Arguments) -> Iterator[bytes]:
    if arguments.jsonl:
        items = result if isinstance(result, Iterator | list | tuple) else [result]
        yield from map(_json_line, items)
    elif not isinstance(result, Iterator):
        yield _json_line(result) if arguments.print_json else _as_it_is(result)
    elif not arguments.print_json:
        yield from map(_as_it_is, result)
    else:
        separator = b"["
        for item in result:
            yield separator + _json_line(item)
            separator = b","
        yield b"[]\n" if separator == b"[" else b"]\n"


def _json_line(value: object) -> bytes:
    return f"{to_json(value)}\n".encode()


def _as_it_is(value: object) -> bytes:
    """Bytes and text have a form of their own; JSON stands for the rest, in a line."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    return value.encode(errors="backslashreplace") if isinstance(value, str) else _json_line(value)


def _save(path: str, pieces: Iterator[bytes]) -> None:
    try:
        with _replacing(path) as file:
            for piece in pieces:
                file.write(piece)
    except ZeroRPCError:  # of the stream; some are OSErrors too
        raise
    except OSError as error:
        raise OSError(f"the result can't be written to {path}: {error.strerror}") from None


@contextlib.contextmanager
def _replacing(path: str) -> Iterator[BinaryIO]:
    """A file that takes the path's place when all is written, and is removed if anything goes wrong before."""
    mode = _mode(path)
    if mode is not None and not _is_replaceable(path, mode):
        with open(path, "wb") as device:
            yield device
        return
    path = os.path.realpath(path)  # a link stays one
    folder, name = os.path.split(path)
    beside = os.path.join(folder, f".{name[:100]}.{os.getpid()}.part")
    try:
        with open(beside, "wb") as file:
            if mode is not None:
                os.chmod(beside, stat.S_IMODE(mode))
            yield file
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def _is_replaceable(path: str, mode: int) -> bool:
    """Not so are /dev/null, and /dev/stdout, which may stand for a file that has no name any more."""
    return stat.S_ISREG(mode) and os.path.exists(os.path.realpath(path))


def _mode(path: str) -> int | None:
    try:
        return os.stat(path).st_mode
    except OSError:
        return None
