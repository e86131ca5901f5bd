"""``zerorpc diff``: what of a service's changes would break its callers."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

from zerorpc.cli.arguments import parse_addresses
from zerorpc.cli.calling import connected
from zerorpc.cli.flags import build_client_parser
from zerorpc.cli.printing import note, one_line, write
from zerorpc.cli.schema import ask, schema_of
from zerorpc.cli.schema_diff import differences
from zerorpc.cli.usage import UsageError, program_name
from zerorpc.described import read_document
from zerorpc.errors import HandshakeFailed, ZeroRPCError
from zerorpc.shown import line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zerorpc.cli.arguments import Arguments
    from zerorpc.described import Service

EPILOG = """\
Each of the two is a file that zerorpc schema has printed, or the address of a
running server. Exit code: 0 if no caller would notice, 1 if some would, 2 if
one of the two can't be read.

examples:
  zerorpc schema tcp://robot:4242 > old.json          what is served today
  %(prog)s old.json tcp://127.0.0.1:4242   what the new one would break
"""


def diff(argv: Sequence[str]) -> int:
    """Print a line for each change that would break a caller, and return the exit code.

    Raises UsageError, also for a file or server that can't be read.
    """
    parser = build_client_parser(
        "diff", "[options] old new", "Tell what of a service's changes breaks callers.", EPILOG
    )
    parser.add_argument("sides", nargs="*", metavar="old | new", help="a file of zerorpc schema's, or an address")
    try:
        arguments, words = parse_addresses(parser, argv)
    except SystemExit:  # the help is printed, as far as stdout's buffer
        write("")
        return 0
    if len(words) != 2:
        raise UsageError("an old and a new one are needed", f"type: {program_name()} diff old.json tcp://robot:4242")
    old, new = (_read(word, arguments) for word in words)
    if old is None or new is None:
        return 2
    found = differences(old, new)
    for each in found:
        write(f"{line(str(each))}\n")
    untold = [name for name in old.methods if name in new.methods and not (_tells(old, name) and _tells(new, name))]
    if untold:
        note(f"what these take isn't told, and so isn't compared: {line(', '.join(untold))}")
    if not found:
        note("nothing that would break a caller")
    return 1 if found else 0


def _tells(service: Service, name: str) -> bool:
    return service.methods[name].parameters is not None


def _read(side: str, arguments: Arguments) -> Service | None:
    """None for a server that won't have us, once the user is told what to do. Raises UsageError."""
    remedy = f"a file that {program_name()} schema has printed is needed, or the address of a running server"
    try:
        return read_document(_of_server(side, arguments) if "://" in side else _of_file(side))
    except HandshakeFailed as error:
        from zerorpc.cli.trusted import explained

        note(explained(error, [side]) or f"{program_name()}: {one_line(error)}")
        return None
    except (ZeroRPCError, OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{side} can't be read: {one_line(error)}", remedy) from None


def _of_file(path: str) -> object:
    import json

    return json.loads(Path(path).read_text(encoding="utf-8"))


def _of_server(endpoint: str, arguments: Arguments) -> object:
    mine = copy.copy(arguments)
    mine.connect = [endpoint]
    with connected(mine) as client:
        return schema_of(ask(client))
