"""``zerorpc gateway``: HTTP, MCP and zerorpc's own endpoints in front of a server of any age."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from zerorpc.cli.arguments import Arguments, check_tls, curve_of, parse_with, with_address
from zerorpc.cli.calling import client_settings
from zerorpc.cli.flags import Parser, add_log_format, add_server_flags, build_client_parser
from zerorpc.cli.links import connect
from zerorpc.cli.printing import write
from zerorpc.cli.serving import offer, until_ended
from zerorpc.cli.usage import UsageError, program_name

if TYPE_CHECKING:
    from collections.abc import Sequence

EPILOG = """\
The flags that are for servers, --tls-cert and --tls-key are for its own
endpoints; --timeout, --active-hb, --curve, --curve-server, --tls-ca and --user
are for the way to the server behind it. Without --timeout each caller says how
long it waits.

examples:
  %(prog)s tcp://old:4242 --bind http://127.0.0.1:8080
  %(prog)s tcp://old:4242 --bind tls+tcp://0:4242 --tls-cert cert.pem --rights rights.toml
  %(prog)s tls+tcp://robot:4242 --tls-ca ca.pem --bind http://127.0.0.1:8080 --tools 'get_*'
"""


def gateway(argv: Sequence[str]) -> int:
    """Forward what is called at the ``--bind`` endpoints until SIGINT or SIGTERM, and return the exit code.

    Raises UsageError, and what zerorpc.AsyncClient and Server.bind raise.
    """
    try:
        arguments, words = _parse(argv)
    except SystemExit:  # the help is printed, as far as stdout's buffer
        write("")
        return 0
    if len(words) != 1 or not arguments.bind:
        remedy = f"type: {program_name()} gateway tcp://old-server:4242 --bind http://127.0.0.1:8080"
        missing = "the address of one server is needed" if len(words) != 1 else "it has to listen somewhere"
        raise UsageError(missing, remedy)
    from zerorpc.cli.log_format import log_to_stderr

    log_to_stderr(arguments.log_format, arguments.debug, arguments.log_calls)
    return until_ended(lambda: _forward(words[0], arguments))


def _forward(address: str, arguments: Arguments) -> None:
    from zerorpc import AsyncClient, RemoteService

    behind, front = copy.copy(arguments), copy.copy(arguments)
    behind.tls_cert = behind.tls_key = None
    front.server, front.curve, front.tls_ca = True, None, None
    check_tls(behind, [address])
    check_tls(front, front.bind)
    client = AsyncClient(**client_settings(behind))
    client.debug = arguments.debug
    connect(client, address, behind)
    offer(RemoteService(client), address, f'forwarding to "{address}"', front)


def _parse(argv: Sequence[str]) -> tuple[Arguments, list[str]]:
    """The words are addresses. Raises UsageError, and SystemExit once argparse has printed the help."""
    arguments = Arguments()
    words = parse_with(_parser(), argv, arguments)
    arguments.server, arguments.connect = False, []
    arguments.allow_keys, arguments.pair, arguments.pair_as = None, False, None  # of servers that have a key
    arguments.curve = curve_of(arguments.curve, arguments.curve_server)
    return arguments, with_address(words)


def _parser() -> Parser:
    parser = build_client_parser(
        "gateway",
        "[options] address --bind address",
        "Serve the methods of another server: by HTTP, to language models, encrypted, or with rights.",
        EPILOG,
        timeout=None,
    )
    add = parser.add_argument
    add("--bind", action="append", default=[], metavar="address", help="listen here; can be repeated")
    add_server_flags(parser)
    add_log_format(parser)
    add("-?", action="help", help="show this help")
    add("address", nargs="?", help="where the other server is")
    return parser
