"""``zerorpc stub``: the methods of a running service as classes, for typed clients, type checkers and editors."""

from __future__ import annotations

import keyword
from typing import TYPE_CHECKING

from zerorpc.cli.arguments import parse_addresses, with_address
from zerorpc.cli.calling import connected
from zerorpc.cli.flags import build_client_parser
from zerorpc.cli.printing import note, one_line, write
from zerorpc.cli.schema import ask, schema_of
from zerorpc.cli.stub_text import stub_of
from zerorpc.cli.usage import UsageError, program_name
from zerorpc.described import read_document

if TYPE_CHECKING:
    from collections.abc import Sequence

EPILOG = """\
A program that imports the classes needs the text as a module, stage.py. As
stage.pyi it is for type checkers alone.

examples:
  %(prog)s tcp://robot:4242 > robot.py
  %(prog)s --name Stage tcp://robot:4242 > stage.pyi
"""


def stub(argv: Sequence[str]) -> int:
    """Print the classes, and return the exit code.

    Raises UsageError, and what zerorpc.Client raises.
    """
    parser = build_client_parser("stub", "[options] address", "Write the methods of a service as Python.", EPILOG)
    parser.add_argument("--name", help="of the class (default: from the service's name)")
    parser.add_argument("address", nargs="?", help="of a running server")
    try:
        arguments, words = parse_addresses(parser, argv)
    except SystemExit:  # the help is printed, as far as stdout's buffer
        write("")
        return 0
    words = with_address(words)
    if len(words) != 1:
        raise UsageError("one address is needed, and nothing else", f"type: {program_name()} stub tcp://robot:4242")
    name: str | None = getattr(arguments, "name", None)
    if name is not None and (not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_")):
        raise UsageError(f"no class can be called {name!r}", "type --name Stage, or leave it out")
    arguments.connect = words
    with connected(arguments) as client:
        told = ask(client)
    try:
        text = stub_of(read_document(schema_of(told)), name)
    except (ValueError, RecursionError) as error:
        note(f"{program_name()}: what {words[0]} says of itself can't be read: {one_line(error)}")
        return 1
    write(text)
    return 0
