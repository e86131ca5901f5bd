"""What the user typed, understood: flags in any position and zerorpc's rules for the words between them.

This file opens no connection and prints nothing but the help.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from zerorpc.cli.flags import Parser, build_parser
from zerorpc.cli.usage import UsageError, program_name
from zerorpc.cli.values import is_number
from zerorpc.limits import Limits, checked_limits
from zerorpc.tls import Tls

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from zerorpc import Curve

COMMANDS = (
    "bench",
    "completion",
    "diff",
    "doctor",
    "gateway",
    "health",
    "keygen",
    "mcp",
    "ping",
    "schema",
    "shell",
    "stub",
    "top",
    "trust",
)

WITH_TLS = ("tls+tcp://", "https://")  # what endpoints begin with whose connections have it

ADD_COMPLETERS: list[
    Callable[[argparse.ArgumentParser], None]
] = []  # for the shell's completion; they import this file


class Arguments(argparse.Namespace):
    """The understood command line. `command` is the method to call, or with `server` what to serve."""

    server: bool
    connect: list[str]
    bind: list[str]
    ipc_mode: int | None
    ipc_owner: str | None
    timeout: float
    heartbeat: float
    pool_size: int | None
    max_wait: float | None
    processes: int
    grace: float
    proxy_protocol: bool
    answers: str | None
    tls_cert: str | None
    tls_key: str | None
    tls_ca: str | None
    allow: list[str] | None
    deny: list[str] | None
    tools: list[str] | None
    anyone_may_call: bool
    any_types: bool
    strict_types: bool
    check_results: bool
    log_calls: bool
    metrics: bool
    console: bool
    log_format: str | None
    curve: Curve | None
    curve_server: str | None
    limit: list[tuple[str, int]]
    user: str | None
    rights: str | None
    allow_keys: str | None
    pair: bool
    pair_as: str | None
    json: bool
    print_json: bool
    output: str | None
    raw: bool
    jsonl: bool
    watch: float | None
    inspect: bool
    active_hb: bool
    debug: bool
    version: bool
    command: str | None
    params: list[str]
    literal: int  # how many of the last words came after ``--``

    @property
    def tls(self) -> Tls | None:
        """The files for TLS, None if there are none."""
        return tls_of(self)

    @property
    def limits(self) -> Limits:
        """The limits that were given, and the usual ones. Raises UsageError for what can't be one."""
        try:
            return checked_limits("limits", Limits(**dict(self.limit)))
        except ValueError as error:
            raise UsageError(str(error)) from None


def parse(argv: Sequence[str]) -> Arguments:
    """Understand a command line.

    Raises UsageError when it is wrong, and SystemExit once argparse has printed the help.
    """
    arguments = Arguments()
    words = parse_with(build_parser(), argv, arguments)
    arguments.curve = curve_of(arguments.curve, arguments.curve_server)
    if not arguments.version:
        place_words(arguments, words)
    return arguments


def parse_addresses(parser: Parser, argv: Sequence[str]) -> tuple[Arguments, list[str]]:
    """Understand the command line of a command whose words are addresses, or files; they are returned.

    Raises UsageError when it is wrong, and SystemExit once argparse has printed the help.
    """
    arguments = Arguments()
    words = parse_with(parser, argv, arguments)
    arguments.server, arguments.connect, arguments.bind = False, [], []
    arguments.curve = curve_of(arguments.curve, arguments.curve_server)
    check_tls(arguments, [word for word in words if "://" in word])
    return arguments, words


def curve_of(key_file: object, server_key: str | None) -> Curve | None:
    """The keys that the command line names. Raises UsageError for what is none."""
    if key_file is None and server_key is None:
        return None
    from pathlib import Path

    from zerorpc import Curve

    try:
        return Curve(None if key_file is None else Path(str(key_file)), server_key)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        raise UsageError(f"no key for CURVE: {error}", "keys are as zmq.auth.create_certificates makes them") from None


def parse_with(parser: Parser, argv: Iterable[str], arguments: argparse.Namespace) -> list[str]:
    """Fill in the flags and return the words; or answer the shell, if it asks for completions."""
    _complete_in_shell(parser)
    options, words, arguments.literal = separate(argv, parser.options_with_value, parser.options_alone)
    parser.parse_args(options, arguments)
    return words


def command_of(argv: Sequence[str]) -> str | None:
    """``bench`` if this is ``zerorpc bench address``, and not a method or module called bench, as in ``zerorpc bench
    --connect address``; the same for the other commands. None for a call, or a server.
    """
    if "_ARGCOMPLETE" in os.environ:  # the shell asks: argv is empty, and the line typed so far is elsewhere
        typed = _typed_so_far()
        return typed[0] if len(typed) > 1 and typed[0] in COMMANDS else None
    if not argv or argv[0] not in COMMANDS:
        return None
    flags = {token.partition("=")[0] for token in itertools.takewhile(lambda token: token != "--", argv)}
    others = {"--connect", "--server"} if argv[0] == "gateway" else {"--connect", "--bind", "--server"}
    return argv[0] if flags.isdisjoint(others) else None


def _typed_so_far() -> list[str]:
    """The words after the program's name, the one that is being completed included, which may be empty."""
    line = os.environ.get("COMP_LINE", "")
    point = os.environ.get("COMP_POINT", "")
    typed = line.encode()[: int(point)].decode(errors="ignore") if point.isdigit() else line
    words = typed.split()[int(os.environ["_ARGCOMPLETE"]) :]
    return [*words, ""] if typed[-1:].isspace() else words


# First the flags are told from the words…


def separate(
    argv: Iterable[str], with_value: Iterable[str], alone: Iterable[str] = ()
) -> tuple[list[str], list[str], int]:
    """Split a command line into its flags, each with its value, and its words, each in the order typed; and count the
    words after ``--``.

    A long flag may be shortened, but one that is ``alone``, such as --pair, is no shorter form of --pair-as.

    argparse can't: it takes words after a flag for superfluous, differently from release to release. What
    follows ``--`` is words, and so are negative numbers.
    """
    options: list[str] = []
    words: list[str] = []
    literal: list[str] = []
    rest = iter(argv)
    for token in rest:
        if token == "--":
            literal.extend(rest)
        elif not token.startswith("-") or token == "-" or is_number(token):
            words.append(token)
        else:
            options.append(token)
            token = _last_of(token, with_value)
            shortened = token.startswith("--") and token not in alone
            if token in with_value or (shortened and any(name.startswith(token) for name in with_value)):
                options.extend(itertools.islice(rest, 1))
                _join_key(options)
    return options, [*words, *literal], len(literal)


def _last_of(token: str, with_value: Iterable[str]) -> str:
    """Of short flags that are written together, such as -jo, the last, if it takes a value."""
    last = f"-{token[-1]}"
    return last if re.fullmatch("-[a-zA-Z?]{2,}", token) and last in with_value and token != "-pj" else token


def _join_key(options: list[str]) -> None:
    """One of 85 keys in Z85 begins with a dash: the last two are put together then, for argparse to take it."""
    if len(options[-1]) == 40 and options[-1].startswith("-") and options[-2].startswith("--"):
        flag, key = options[-2:]
        options[-2:] = [f"{flag}={key}"]


# …then each word gets its meaning.


def place_words(arguments: Arguments, words: Sequence[str]) -> None:
    """Give the words their meaning: address, command, parameters.

    Whoever names an address with --bind or --connect leaves it out here, and the first word is the command.
    """
    remaining = list(words)
    if not (arguments.bind or arguments.connect):
        remaining = remaining if arguments.server else with_address(words)
        if not remaining:
            raise UsageError("no address given", _how_to_start(arguments.server))
        if remaining[0] in COMMANDS and not arguments.server:
            problem = f"{remaining[0]} is a command only as the first word"
            raise UsageError(
                problem, f"type: {program_name()} {remaining[0]} [options] {' '.join(remaining[1:])}".rstrip()
            )
        arguments.connect = [remaining.pop(0)]
    arguments.command = remaining.pop(0) if remaining else None
    arguments.params = remaining
    arguments.literal = min(arguments.literal, len(remaining))
    _check_roles(arguments)
    if arguments.server and arguments.command is None:
        raise UsageError("nothing to serve: no module given", _how_to_start(server=True))
    if arguments.server and remaining:
        problem = f'only one module can be served, and "{remaining[0]}" came after "{arguments.command}"'
        raise UsageError(problem, _how_to_start(server=True))


def with_address(words: Sequence[str]) -> list[str]:
    """The words, and before them the address in ZERORPC_ADDRESS if there is one and they begin with none."""
    usual = os.environ.get("ZERORPC_ADDRESS")
    is_given = bool(words) and ("://" in words[0] or re.fullmatch(r"[^/]*:\d+", words[0]) is not None)
    return [usual, *words] if usual and not is_given else list(words)


def _check_roles(arguments: Arguments) -> None:
    """Raises UsageError for what would do nothing, and without which a user may believe to be safe."""
    of_calls = {"-o": arguments.output, "--raw": arguments.raw, "--jsonl": arguments.jsonl, "--watch": arguments.watch}
    if not arguments.server and (arguments.command is None or arguments.inspect):
        for flag in filter(of_calls.get, of_calls):
            raise UsageError(f"{flag} is for calls", f"name a method, or leave out {flag}")
    others = (
        {"--user": arguments.user, **of_calls}
        if arguments.server
        else {
            "--rights": arguments.rights,
            "--allow-keys": arguments.allow_keys,
            "--pair": arguments.pair,
            "--pair-as": arguments.pair_as,
            "--log-format": arguments.log_format,
        }
    )
    for flag, given in others.items():
        if given:
            raise UsageError(f"{flag} is for {'clients' if arguments.server else 'servers'}", f"leave out {flag}")
    check_tls(arguments, [*arguments.connect, *arguments.bind])


def check_tls(arguments: Arguments, addresses: Sequence[str]) -> None:
    """Raises UsageError for files for TLS that would do nothing at these addresses."""
    files = {"--tls-cert": arguments.tls_cert, "--tls-key": arguments.tls_key, "--tls-ca": arguments.tls_ca}
    given_files = [flag for flag, file in files.items() if file]
    if given_files and addresses and not any(address.startswith(WITH_TLS) for address in addresses):
        problem = f"{given_files[0]} does nothing at {addresses[0]}, which is in clear"
        remedy = "https:// in place of http://" if addresses[0].startswith("http:") else "tls+tcp:// in place of tcp://"
        raise UsageError(problem, f"write {remedy}")


def _how_to_start(server: bool) -> str:
    if server:
        return f"type: {program_name()} --server --bind tcp://127.0.0.1:4242 module"
    return f"type: {program_name()} tcp://127.0.0.1:4242 [method [parameter ...]]"


def _complete_in_shell(parser: argparse.ArgumentParser) -> None:
    """Answer the shell, when it is the shell that asks; this call then doesn't return."""
    if "_ARGCOMPLETE" in os.environ:
        try:
            import argcomplete
        except ImportError:
            raise UsageError("the shell's completion needs argcomplete", "type: pip install argcomplete") from None
        for add in ADD_COMPLETERS:
            add(parser)
        if command_of(()) is not None:  # which is a word of its own, and no address
            os.environ["_ARGCOMPLETE"] = str(int(os.environ["_ARGCOMPLETE"]) + 1)
        if isinstance(parser, Parser):
            _put_flags_first(parser)
        argcomplete.autocomplete(parser, always_complete_options=False)


def _put_flags_first(parser: Parser) -> None:
    """In the line to be completed: behind a flag argparse knows of no further words."""
    import shlex

    start = int(os.environ["_ARGCOMPLETE"])
    line = os.environ.get("COMP_LINE", "").encode()[: int(os.environ.get("COMP_POINT", "0"))].decode(errors="ignore")
    try:
        typed = shlex.split(line)
    except ValueError:  # a quote is open
        return
    last = "" if line[-1:].isspace() or not typed else typed.pop()
    options, words, literal = separate(typed[start:], parser.options_with_value, parser.options_alone)
    of_a_flag = last.startswith("-") or (options and options[-1] in parser.options_with_value)
    if len(typed) < start or "--" in typed or literal or of_a_flag or not line.endswith(last):
        return
    os.environ["COMP_LINE"] = f"{shlex.join([*typed[:start], *options, *words])} {last}"
    os.environ["COMP_POINT"] = str(len(os.environ["COMP_LINE"].encode()))


def tls_of(arguments: argparse.Namespace) -> Tls | None:
    """The files that were given for TLS. Raises UsageError for a key without its certificate."""
    files = arguments.tls_cert, arguments.tls_key, arguments.tls_ca
    try:
        return Tls(*files) if any(files) else None
    except ValueError as error:
        raise UsageError(str(error), "add --tls-cert") from None
