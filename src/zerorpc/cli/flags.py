"""The flags of the command line, and their help. What they mean together is the matter of arguments.py."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, NoReturn

from zerorpc.cli.usage import UsageError, program_name
from zerorpc.cli.values import count, limit, octal, seconds, seconds_or_0
from zerorpc.settings import ClientSettings, ServerSettings, Setting, declared

if TYPE_CHECKING:
    from collections.abc import Callable

EPILOG = """\
examples:
  %(prog)s --server --bind tcp://127.0.0.1:4242 time   serve the module time
  %(prog)s tcp://127.0.0.1:4242                        list what it offers
  %(prog)s tcp://127.0.0.1:4242 strftime %%Y/%%m/%%d      call a method with text
  %(prog)s --json tcp://127.0.0.1:4242 sleep 3         call a method with a number
  %(prog)s tcp://127.0.0.1:4242 put @a.jpg size=3      a file, and an argument by keyword
  %(prog)s bench tcp://127.0.0.1:4242                  measure a service; see %(prog)s bench --help
  %(prog)s ping tcp://127.0.0.1:4242                   how long a call takes
  %(prog)s health tcp://127.0.0.1:4242                 whether it answers
  %(prog)s doctor tcp://127.0.0.1:4242                 what is wrong, and what to do
  %(prog)s top tcp://127.0.0.1:4242                    what it does just now
  %(prog)s schema tcp://127.0.0.1:4242                 what its methods take, as JSON Schema
  %(prog)s stub tcp://127.0.0.1:4242                   the same as Python, for typed clients
  %(prog)s diff old.json tcp://127.0.0.1:4242          what would break its callers
  %(prog)s mcp tcp://127.0.0.1:4242                    a language model calls its tools, over stdio
  %(prog)s gateway tcp://old:4242 --bind http://127.0.0.1:8080
                                                     HTTP in front of a server of any age
  %(prog)s shell tcp://127.0.0.1:4242                  a Python prompt with its methods
  %(prog)s completion bash                             have the shell complete all this
  %(prog)s keygen robot                                make keys for CURVE
  %(prog)s trust tcp://robot:4242                      trust a server's key
"""


def build_parser() -> Parser:
    """The flags, and for the help the words too."""
    parser = Parser(
        prog=program_name(),
        usage="%(prog)s [options] address [method [parameter ...]]\n"
        "       %(prog)s [options] --server --bind address module\n"
        "       %(prog)s bench [options] address [method [parameter ...]]\n"
        "       %(prog)s completion bash | zsh | fish\n"
        "       %(prog)s diff [options] old new\n"
        "       %(prog)s doctor [options] address\n"
        "       %(prog)s gateway [options] address --bind address\n"
        "       %(prog)s health [options] address\n"
        "       %(prog)s keygen name\n"
        "       %(prog)s mcp [options] address\n"
        "       %(prog)s ping [options] address\n"
        "       %(prog)s schema [options] address\n"
        "       %(prog)s stub [options] address\n"
        "       %(prog)s shell [options] address\n"
        "       %(prog)s top [options] address\n"
        "       %(prog)s trust [options] [address]",
        description="Call the methods of a remote service, or turn a Python module into one.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    role = parser.add_mutually_exclusive_group()
    role.add_argument("--client", action="store_false", dest="server", default=False, help="call a service (default)")
    role.add_argument("--server", action="store_true", help="serve a module, or an object or class in one")
    _add_connection_flags(parser)
    _add_output_flags(parser)
    parser.add_argument("address", nargs="?", help="where to connect; left out after --connect or --bind")
    parser.add_argument(
        "command",
        nargs="?",
        metavar="method | module",
        help="the method to call, none for a list of them; with --server what to serve: module, "
        "module.object or package.module:object",
    )
    parser.add_argument(
        "params",
        nargs="*",
        metavar="parameter",
        help="handed to the method: text, name=value, @file for what is in a file, - for standard input; what comes "
        "after -- stays as it is",
    )
    return parser


def build_client_parser(
    command: str, usage: str, description: str, epilog: str, timeout: float | None = ClientSettings().timeout
) -> Parser:
    """The flags of a command that connects to servers; what more it has is its own to add. ``timeout`` is the usual."""
    parser = Parser(
        prog=f"{program_name()} {command}",
        usage=f"%(prog)s {usage}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_client_flags(parser, timeout)
    parser.add_argument("-d", "--debug", action="store_true", help="log every event that is sent or received")
    return parser


def _add_connection_flags(parser: argparse.ArgumentParser) -> None:
    repeatable = "can be repeated, and mixed with"
    add = parser.add_argument
    add("--connect", action="append", default=[], metavar="address", help=f"connect here; {repeatable} --bind")
    add("--bind", action="append", default=[], metavar="address", help=f"listen here; {repeatable} --connect")
    _add_client_flags(parser)
    add_server_flags(parser)
    add("--allow-keys", metavar="folder", help="let in who has one of the public keys there, by CURVE (server only)")
    add("--pair", action="store_true", help="show a code by which one more client gets its key there (server only)")
    add("--pair-as", metavar="name", help="--pair, for a client that is known by this name from then on")


def add_server_flags(parser: argparse.ArgumentParser) -> None:
    """What only a server has."""
    add = parser.add_argument
    add("--ipc-mode", type=octal, metavar="mode", help="mode of the socket of each ipc path to listen at, such as 660")
    add("--ipc-owner", metavar="user:group", help="owner of it, group of it, or both")
    add("--rights", metavar="path", help="who may connect, and call what: a TOML file, see RightsFile (server only)")
    client, server = declared(ClientSettings), declared(ServerSettings)
    for name in server:
        if name not in client and server[name].unit != "function":
            whose = "server and mcp" if name == "tools" else "server only"
            add_setting(parser, name, server[name], getattr(ServerSettings(), name), whose)


def _add_client_flags(parser: argparse.ArgumentParser, timeout: float | None = ClientSettings().timeout) -> None:
    """What a client needs to reach a server, and servers have in part as well."""
    add, client = parser.add_argument, declared(ClientSettings)
    add_setting(parser, "timeout", client["timeout"], timeout, "client only")
    add_setting(parser, "heartbeat", client["heartbeat"], ClientSettings().heartbeat)
    add_setting(parser, "curve", client["curve"], None)
    add("--curve-server", metavar="key", help="the server's public key for CURVE, or its file: this is a client's role")
    add(
        "--active-hb",  # the opposite of ``passive_heartbeat``, since what the command line calls may be an old server
        action="store_true",
        help="send heartbeats at once, not only after the server's first (client only)",
    )
    add_tls_flags(parser)
    add("--limit", action="append", default=[], type=limit, metavar="name=number", help="of what a peer may take")
    add("--user", metavar="name", help="user by PLAIN; the password is asked for, or in ZERORPC_PASSWORD (client only)")


def add_tls_flags(parser: argparse.ArgumentParser) -> None:
    """The setting ``tls`` has several files, each with a flag of its own."""
    add = parser.add_argument
    add("--tls-cert", metavar="path", help="our certificate for tls+tcp://, a PEM file; a server needs one")
    add("--tls-key", metavar="path", help="its private key, unless that is in the same file")
    add(
        "--tls-ca",
        metavar="path",
        help="whose certificates the other side may have (default: a server asks for none, and a client trusts whom "
        "the system trusts)",
    )


def add_setting(
    parser: argparse.ArgumentParser, name: str, setting: Setting, default: float | None, whose: str = ""
) -> None:
    """The flag of one setting of zerorpc's; ``whose`` it is, if it isn't of both."""
    flag = f"--{name.replace('_', '-')}"
    if default is True:
        off = f"--no-{name.replace('_', '-')}"
        parser.add_argument(off, action="store_false", dest=name, help=f"without {setting.meaning} ({whose})")
        return
    if not setting.unit:
        parser.add_argument(flag, action="store_true", help=f"{setting.meaning} ({whose})")
        return
    shown = setting.without if default is None else f"{default:g}"
    several = setting.unit == "pattern"
    remarks = ", ".join(filter(None, (whose, "can be repeated" if several else "", f"default {shown}")))
    parser.add_argument(
        flag,
        action="append" if several else "store",
        type=_UNITS[setting.unit],
        default=default,
        metavar=setting.unit.split()[0],
        help=f"{setting.meaning} ({remarks})",
    )


def _add_output_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-j", "--json", action="store_true", help="parameters are JSON: numbers, lists, quoted text")
    add(
        "-pj",
        "--print-json",
        action="store_true",
        help="print results as JSON; bytes become base64, NaN and infinities null",
    )
    add("-o", "--output", metavar="file", help="write the result there: bytes and text as they are, the rest as JSON")
    add("--raw", action="store_true", help="print bytes and text as they are, with nothing before or after them")
    add("--jsonl", action="store_true", help="print each item of a stream, or of a list, as JSON in a line")
    add("--watch", type=seconds, metavar="seconds", help="repeat the call every so many seconds, until Ctrl-C")
    add("-?", "--inspect", action="store_true", help="show a method's signature and whole documentation")
    add_log_format(parser)
    add("-d", "--debug", action="store_true", help="log every event that is sent or received")
    add("--version", action="store_true", help="show the version")


def add_log_format(parser: argparse.ArgumentParser) -> None:
    meaning = "log lines with their time; json: an object each (server only)"
    parser.add_argument("--log-format", choices=("json", "text"), help=meaning)


class Parser(argparse.ArgumentParser):
    """argparse, but a wrong command line is an exception like any other, and it tells which options have a value."""

    def __init__(self, **options: Any) -> None:
        self.options_with_value: list[str] = []
        self.options_alone: list[str] = []
        super().__init__(**options)

    def add_argument(self, *names: str, **options: Any) -> argparse.Action:
        """Those that are added to a group are not seen: here all of them are flags."""
        added = super().add_argument(*names, **options)
        names_of_kind = self.options_alone if added.nargs == 0 else self.options_with_value
        names_of_kind += added.option_strings
        return added

    def error(self, message: str) -> NoReturn:
        remedy = f"type: {self.prog} --help"
        if message.startswith("unrecognized arguments"):
            remedy += ", or put -- before a parameter that starts with a dash"
        raise UsageError(message, remedy)


_UNITS: dict[str, Callable[[str], float | str]] = {
    "seconds": seconds,
    "seconds or 0": seconds_or_0,
    "count": count,
    "path": str,
    "pattern": str,
    "key file": str,
}
