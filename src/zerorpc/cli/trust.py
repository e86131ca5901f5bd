"""``zerorpc trust``: which servers are trusted, by their keys for CURVE; and pairing with a server."""

from __future__ import annotations

import argparse
import getpass
import re
import socket
import sys
from typing import TYPE_CHECKING

from zerorpc.cli.arguments import parse_with
from zerorpc.cli.flags import Parser
from zerorpc.cli.printing import note, one_line, write
from zerorpc.cli.trusted import OTHER_KEY, changed_key
from zerorpc.cli.usage import UsageError, program_name
from zerorpc.cli.values import seconds
from zerorpc.curve import Curve
from zerorpc.errors import EndpointError, HandshakeFailed, RemoteError
from zerorpc.keys import KeyPair, decode_z85, encode_z85, fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zerorpc.known_servers import KnownServers

PATIENCE = 10  # seconds to reach the server

EPILOG = """\
Without an address it lists the servers that are trusted.

examples:
  %(prog)s tcp://robot:4242                         show its key, and ask
  %(prog)s --pair k7qf-9xm2-wzt4 tcp://robot:4242   with the code that it shows
  %(prog)s --key robot.key tcp://robot:4242         its key is here already
  zerorpc tcp://robot:4242 method                   is encrypted from then on
"""


class TrustArguments(argparse.Namespace):
    """The understood command line of ``zerorpc trust``."""

    pair: str | None
    name: str | None
    key: str | None
    fingerprint: str | None
    yes: bool
    replace: bool
    forget: bool
    timeout: float


def trust(argv: Sequence[str]) -> int:
    """Do what the command line says, and return the exit code.

    Raises UsageError, and what zerorpc.Client raises when the server can't be reached.
    """
    arguments = TrustArguments()
    try:
        words = parse_with(_build_parser(), argv, arguments)
    except SystemExit:  # the help is printed, as far as stdout's buffer
        write("")
        return 0
    from zerorpc.known_servers import KnownServers

    servers = KnownServers()
    if len(words) > 1:
        raise UsageError(f"one address at a time, and {words[1]} came after {words[0]}")
    if words:
        _check_address(words[0])
    try:
        if not words:
            if any((arguments.pair, arguments.key, arguments.fingerprint, arguments.replace, arguments.forget)):
                raise UsageError("no address given", f"type: {program_name()} trust [options] tcp://robot:4242")
            return _list(servers)
        return _trust(servers, words[0], arguments)
    except (ValueError, ModuleNotFoundError) as error:
        if isinstance(error, EndpointError):
            raise
        raise UsageError(one_line(error)) from None


def _build_parser() -> Parser:
    parser = Parser(
        prog=f"{program_name()} trust",
        description="Trust a server by its key for CURVE. Whoever has another one is refused from then on.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("address", nargs="?", help="of the server, as it is written in calls")
    add("--pair", metavar="code", help="a pairing code, which the server shows: it learns your key, and you learn its")
    add("--name", default=None, help="by which the server is to know you (default: your user's and machine's)")
    add("--key", metavar="key", help="the server's public key, or its file: it isn't asked for it then")
    add("--fingerprint", metavar="SHA256:…", help="of the right key: no question is asked")
    add("-y", "--yes", action="store_true", help="trust the key that the server shows, without a question")
    add("--replace", action="store_true", help="trust a key in place of the one that is trusted now")
    add("--forget", action="store_true", help="trust the server no more")
    add("--timeout", type=seconds, default=PATIENCE, metavar="seconds", help=f"to reach it (default {PATIENCE})")
    return parser


def _check_address(address: str) -> None:
    if address.startswith("tls+tcp://"):
        raise UsageError("TLS has certificates in the place of keys", "--tls-ca names the authority, in each call")
    if not address.isprintable():
        raise UsageError("an address in one line is needed")


def _list(servers: KnownServers) -> int:
    for endpoint, key in servers.all().items():
        write(f"{endpoint} {fingerprint(key)}\n")
    return 0


def _trust(servers: KnownServers, address: str, arguments: TrustArguments) -> int:
    known = servers.find(address)
    if arguments.forget:
        if not servers.forget(address):
            note(f"{address} was not trusted")
            return 1
        note(f"{address} is trusted no more")
        return 0
    if arguments.pair is not None:
        return _pair(servers, address, arguments.pair, arguments)
    key = _ask(address, arguments.timeout) if arguments.key is None else Curve(server_key=arguments.key).server
    assert key is not None
    shown = fingerprint(key)
    if known is not None and known != key and not arguments.replace:
        note(changed_key(address, known, key))
        return 1
    if arguments.fingerprint is not None and arguments.fingerprint != shown:
        note(f"{address} has the key {shown}, and not {arguments.fingerprint}: it is not trusted")
        return 1
    if known == key:
        note(f"{address} is trusted already: {shown}")
        return 0
    if arguments.fingerprint is None and arguments.key is None and not arguments.yes and not _confirmed(address, key):
        note("it is not trusted")
        return 1
    servers.trust(address, key)
    note(f"{address} is trusted: {shown}")
    _try(address, key, arguments.timeout)
    return 0


def _ask(address: str, timeout: float) -> bytes:
    """The key that the server says it has. Raises UsageError if it doesn't."""
    from zerorpc import Client

    stranger = Curve(server_key=KeyPair.generate().public)  # nobody has this key
    try:
        with Client(address, curve=stranger, timeout=timeout) as client:
            client("_zerorpc_ping")
    except HandshakeFailed as error:
        if error.server_key is not None:
            return decode_z85(error.server_key)
        if "'NULL'" in str(error):
            raise UsageError(f"{address} has no key: it doesn't speak CURVE", "start it with --curve") from None
        remedy = f"ask its owner for the file, and type: {program_name()} trust --key server.key {address}"
        raise UsageError(f"{address} doesn't tell its key to strangers", remedy) from None
    raise AssertionError("a server took a key that nobody has")


def _confirmed(address: str, key: bytes) -> bool:
    """What the user says, who has seen the key. Raises UsageError if there is nobody to ask."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(
            f"{address} has the key {fingerprint(key)}, and there is no terminal to ask whether that is right",
            "add --fingerprint with what its owner says, or --yes",
        )
    note(f"{address} shows this key:\n\n    {encode_z85(key)}\n    {fingerprint(key)}\n")
    note("Ask its owner whether it is the right one. Trust it? Type yes:")
    return sys.stdin.readline().strip().lower() == "yes"


def _try(address: str, key: bytes, timeout: float) -> None:
    """Tell whether the server lets us in."""
    from zerorpc import Client
    from zerorpc.known_servers import own_keys, own_path

    own = own_keys()
    try:
        with Client(address, curve=Curve(None if own is None else own.secret, key), timeout=timeout) as client:
            client("_zerorpc_ping")
    except HandshakeFailed as error:
        if OTHER_KEY in str(error):
            note(f"it has another key than this one: type {program_name()} trust --forget {address}, and ask its owner")
            return
        note(f"it doesn't let you in yet: {one_line(error)}")
        if own is not None:
            note(f"its owner needs your key: {own_path()}, to be put into the folder of --allow-keys")
        else:
            note(f"its owner can give you a pairing code: {program_name()} trust --pair code {address}")
    except RemoteError:
        pass


def _pair(servers: KnownServers, address: str, code: str, arguments: TrustArguments) -> int:
    from zerorpc import Client
    from zerorpc.known_servers import own_keys
    from zerorpc.pairing import keys_of_code

    server, visitor = keys_of_code(code)
    servers.check_writable()  # or the code would be used up for nothing
    own = own_keys(make=True)
    assert own is not None
    try:
        with Client(address, curve=Curve(visitor.secret, server.public), timeout=arguments.timeout) as client:
            key, name = client("pair", arguments.name or _our_name(), own.public)
    except RemoteError as error:  # another one was quicker, or the owner has said a name that is taken
        note(f"{address}: {error.msg.partition(chr(10))[0]}")
        return 1
    except HandshakeFailed:
        note(f"{address} doesn't know this code: it is mistyped, or was used already, or is too old")
        return 1
    servers.trust(address, key)
    note(f"{address} is trusted: {fingerprint(key)}\nit knows you as {name}")
    return 0


def _our_name() -> str:
    """Such as ``alice@laptop``: letters that a server takes."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a user without a name, in a container
        user = "user"
    name = f"{user}@{socket.gethostname().partition('.')[0]}"
    return re.sub(r"[^A-Za-z0-9._@-]", "_", name).lstrip(".@-")[:60] or "client"
