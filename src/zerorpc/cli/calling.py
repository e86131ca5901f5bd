"""The client: one call or one look at what a service offers."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from zerorpc.cli.endpoints import remember
from zerorpc.cli.failures import or_nearest, report_of_call
from zerorpc.cli.links import open_links
from zerorpc.cli.output import check_output, put
from zerorpc.cli.parameters import parameters_of
from zerorpc.cli.printing import note
from zerorpc.cli.progress_bar import bar
from zerorpc.cli.usage import UsageError
from zerorpc.cli.waiting import stop_telling, tell_of_waiting
from zerorpc.cli.words import Words
from zerorpc.errors import RemoteError
from zerorpc.shown import line

if TYPE_CHECKING:
    from zerorpc import Client, Plain
    from zerorpc.cli.arguments import Arguments
    from zerorpc.cli.parameters import Parameters

EXPOSURE = "anyone who reaches this port can take the call and answer it"


def call(arguments: Arguments) -> int:
    """Call the method, or list the methods when none is given, and print what comes back.

    Returns the exit code. Raises what zerorpc.Client raises, and UsageError for a wrong parameter, which is
    found before anything is connected.
    """
    method = None if arguments.inspect else arguments.command
    if method is None:
        with connected(arguments) as client:
            from zerorpc.cli.listing import show_service

            code = show_service(client, arguments.command, arguments.inspect, arguments.print_json)
            remember(arguments.connect)
            return code
    words = Words(arguments.params, arguments.literal, arguments.json)
    check_output(arguments)
    with connected(arguments) as client:
        return _call(client, method, words, arguments)


def _call(client: Client, method: str, words: Words, arguments: Arguments) -> int:
    from zerorpc import options

    def make() -> object:
        args, kwargs = words.arguments(lambda: _parameters(client, method, words))
        with bar(functools.partial(stop_telling, client)) as progress:
            result = options(client, words=not arguments.json, progress=progress)(method, *args, **kwargs)
        remember(arguments.connect)
        return result

    def show(result: object) -> None:
        put(result, arguments)

    def report(error: BaseException) -> str:
        return report_of_call(error, arguments.connect, client, method, words)

    if arguments.watch is not None:
        from zerorpc.cli.watching import watch

        watch(" ".join([method, *arguments.params]), arguments.watch, make, show, report)
    try:
        show(make())
    except RemoteError as error:
        note(report(error))
        return 1
    return 0


def _parameters(client: Client, method: str, words: Words) -> Parameters | None:
    """Those of the method. Who has mistyped the name of one is told: its word is about to be sent as it is."""
    parameters = parameters_of(client, method)
    if parameters is None:
        return None
    for name in words.unknown_names(parameters):
        if near := or_nearest(name, parameters.names):
            note(f"{method} has no parameter {line(name)}, so that its word is sent as it is{near}")
    return parameters


@contextlib.contextmanager
def connected(arguments: Arguments, told: bool = True, settings: dict[str, Any] | None = None) -> Iterator[Client]:
    """A client of what the command line names; unless it is to be ``told``, nothing is said of connecting and waiting.

    Raises UsageError, and what its constructor raises.
    """
    from zerorpc import Client

    with Client(**(settings or client_settings(arguments))) as client:
        client.debug = arguments.debug
        open_links(client, arguments, EXPOSURE, told)
        if told:
            tell_of_waiting(client)
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
