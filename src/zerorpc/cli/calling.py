"""The client: one call or one look at what a service offers."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from zerorpc.cli.endpoints import remember
from zerorpc.cli.links import open_links
from zerorpc.cli.printing import show, show_stream
from zerorpc.cli.usage import UsageError

if TYPE_CHECKING:
    from zerorpc import Client, Plain
    from zerorpc.cli.arguments import Arguments

EXPOSURE = "anyone who reaches this port can take the call and answer it"


def call(arguments: Arguments) -> int:
    """Call the method, or list the methods when none is given, and print what comes back.

    Returns the exit code. Raises what zerorpc.Client raises, and UsageError for a wrong parameter, which is
    found before anything is connected.
    """
    parameters = decode_parameters(arguments.params, arguments.json)
    from zerorpc import options

    with connected(arguments) as client:
        if arguments.command is None or arguments.inspect:
            from zerorpc.cli.listing import show_service

            code = show_service(client, arguments.command, arguments.inspect, arguments.print_json)
            remember(arguments.connect)
            return code
        caller = client if arguments.json else options(client, words=True)
        result = caller(arguments.command, *parameters)
        remember(arguments.connect)
        if isinstance(result, Iterator):
            show_stream(result, arguments.print_json)
        else:
            show(result, arguments.print_json)
    return 0


@contextlib.contextmanager
def connected(arguments: Arguments, settings: dict[str, Any] | None = None) -> Iterator[Client]:
    """A client of what the command line names. Raises UsageError, and what its constructor raises."""
    from zerorpc import Client

    with Client(**(settings or client_settings(arguments))) as client:
        client.debug = arguments.debug
        open_links(client, arguments, EXPOSURE)
        yield client


def client_settings(arguments: Arguments) -> dict[str, Any]:
    """What the command line says a client is to be made with. Raises UsageError."""
    return {
        "timeout": arguments.timeout,
        "heartbeat": arguments.heartbeat,
        "passive_heartbeat": not arguments.active_hb,
        "tls": arguments.tls,
        "curve": arguments.curve,
        "plain": _plain(arguments),
        "limits": arguments.limits,
    }


def _plain(arguments: Arguments) -> Plain | None:
    """The user that the command line names, and the password. Raises UsageError."""
    user = arguments.user
    if user is None:
        return None
    if arguments.curve is not None:
        raise UsageError("either a user or keys can be given", "leave out --user, or --curve and --curve-server")
    password = os.environ.get("ZERORPC_PASSWORD")
    if password is None:
        if sys.stdin is None or not sys.stdin.isatty():
            raise UsageError(f"there is no terminal to ask for {user}'s password", "put it into ZERORPC_PASSWORD")
        import getpass

        password = getpass.getpass(f"Password of {user}: ")
    from zerorpc import Plain

    try:
        return Plain(user, password)
    except ValueError as error:
        raise UsageError(str(error)) from None


def decode_parameters(params: list[str], as_json: bool) -> list[object]:
    """Turn the words of the command line into values: JSON with --json, otherwise the text as it is."""
    decode = _decode_json if as_json else _decode_text
    return [decode(number, text) for number, text in enumerate(params, 1)]


def _decode_json(number: int, text: str) -> object:
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        import shlex

        raise UsageError(
            f"parameter {number} is not JSON: {text} ({error})",
            f"for text, put its double quotes inside the shell's quotes: {shlex.quote(json.dumps(text))}",
        ) from None


def _decode_text(number: int, text: str) -> str:
    """Text goes out as UTF-8; bytes of the command line that are none came to us as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"parameter {number} is not UTF-8: {text!r}",
            "type it in UTF-8, or write it as JSON and use --json",
        ) from None
    return text
