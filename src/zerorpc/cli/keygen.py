"""``zerorpc keygen``: a pair of keys for CURVE, in two files."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from zerorpc.cli.arguments import parse_with
from zerorpc.cli.flags import Parser
from zerorpc.cli.printing import note, one_line, write
from zerorpc.cli.usage import UsageError, program_name
from zerorpc.keys import KeyPair, encode_z85, write_certificates

if TYPE_CHECKING:
    from collections.abc import Sequence

EPILOG = """\
The files are those of pyzmq's zmq.auth. NAME may have a folder in front.
The public key is printed as well, for a file of rights, or to be told.

examples:
  %(prog)s robot                                         robot.key, robot.key_secret
  zerorpc-client --server --curve robot.key_secret --bind tcp://*:4242 module
  zerorpc-client --curve-server robot.key tcp://robot:4242 method
"""


def keygen(argv: Sequence[str]) -> int:
    """Write the files that the command line names, and return the exit code.

    Raises UsageError, also for a name that is taken: no key is ever replaced; and OSError.
    """
    arguments = argparse.Namespace()
    parser = Parser(
        prog=f"{program_name()} keygen",
        description="Make a pair of keys for CURVE: NAME.key to be given to others, and NAME.key_secret for its owner.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="whose keys they are")
    try:
        words = parse_with(parser, argv, arguments)
    except SystemExit:  # the help is printed, as far as stdout's buffer
        write("")
        return 0
    if len(words) != 1 or not os.path.basename(words[0]):
        raise UsageError("one name is needed, for whose keys they are", f"type: {program_name()} keygen robot")
    folder, name = os.path.split(words[0])
    try:
        pair = KeyPair.generate()
        public, secret = write_certificates(folder, name, pair)
    except FileExistsError as error:
        raise UsageError(f"{error.filename} exists already", "choose another name: keys are never replaced") from None
    except ModuleNotFoundError as error:
        raise UsageError(one_line(error), "type: pip install pynacl") from None
    note(f"{public}: the public key, for those who are to know you by it")
    note(f"{secret}: the secret key, which only you may read")
    write(f"{encode_z85(pair.public)}\n")
    return 0
