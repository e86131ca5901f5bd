"""``zerorpc shell``: a Python prompt with a client, and each remote method under its own name."""

from __future__ import annotations

import builtins
import keyword
import sys
from typing import TYPE_CHECKING, Any

from zerorpc.cli.arguments import parse
from zerorpc.cli.asking import ask_service
from zerorpc.cli.calling import client_settings, connected
from zerorpc.cli.endpoints import remember
from zerorpc.cli.layout import UNKNOWN_SERVICE
from zerorpc.cli.links import connect
from zerorpc.cli.printing import note, one_line, write
from zerorpc.cli.usage import UsageError, program_name
from zerorpc.described import Service
from zerorpc.errors import HandshakeFailed, ZeroRPCError
from zerorpc.shown import line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from zerorpc import AsyncClient, Client
    from zerorpc.cli.arguments import Arguments

    Prompt: TypeAlias = Callable[[dict[str, object], str, AsyncClient | None], int]

PATIENCE = 5  # seconds for the first answer: then the prompt comes anyway, and the server may come later
OURS = ("client", "aclient", "zerorpc", "_")  # names that no method takes


def shell(argv: Sequence[str]) -> int:
    """Run the prompt until its user leaves, and return the exit code.

    Raises UsageError, and what zerorpc.Client raises, but no TimeoutExpired: a server that isn't there may come.
    """
    try:
        arguments = parse(argv)
    except SystemExit:  # the help is printed, as far as stdout's buffer
        write("")
        return 0
    if arguments.server or arguments.command is not None:
        raise UsageError("one address is needed, and nothing else", f"type: {program_name()} shell tcp://robot:4242")
    settings = client_settings(arguments)
    with connected(arguments, settings=settings) as client:
        service = _asked(client, arguments)
        aclient = None if arguments.bind else _async_client(client, arguments, settings)  # two can't have one port
        names = _namespace(client, aclient, service)
        run = _prompt()
        return run(names, _greeting(service, arguments, names), aclient)


def _asked(client: Client, arguments: Arguments) -> Service | None:
    """What the server offers; None if it isn't there. Raises HandshakeFailed: that won't pass by waiting."""
    from zerorpc import deadline

    try:
        with deadline(min(PATIENCE, arguments.timeout)):
            service = ask_service(client, signatures=False)
    except HandshakeFailed:
        raise
    except ZeroRPCError as error:
        note(one_line(error))
        return None
    remember(arguments.connect)
    return service


def _async_client(client: Client, arguments: Arguments, settings: dict[str, Any]) -> AsyncClient:
    """The same connections for coroutines. It completes as the client does, also before it has an event loop."""
    import zerorpc

    class AsyncClient(zerorpc.AsyncClient):
        def __dir__(self) -> list[str]:
            return list({*super().__dir__(), *dir(client)})

    aclient = AsyncClient(**settings)
    for endpoint in arguments.connect:
        connect(aclient, endpoint, arguments)
    return aclient


def _namespace(client: Client, aclient: AsyncClient | None, service: Service | None) -> dict[str, object]:
    """What the prompt knows: the clients, and the methods whose names Python has no use for."""
    import zerorpc

    names: dict[str, object] = {"__name__": "__main__", "__doc__": None, "client": client, "zerorpc": zerorpc}
    if aclient is not None:
        names["aclient"] = aclient
    view = zerorpc.options(client)  # its attributes are all remote: of the client itself bind isn't
    for method in service.methods if service is not None else ():
        name = method.partition(".")[0]
        if _is_free(name):
            names[name] = getattr(view if hasattr(zerorpc.Client, name) else client, name)
    return names


def _is_free(name: str) -> bool:
    taken = keyword.iskeyword(name) or hasattr(builtins, name) or name in OURS or name.startswith("_")
    return name.isidentifier() and not taken


def _greeting(service: Service | None, arguments: Arguments, names: dict[str, object]) -> str:
    """Who answers, and what to type."""
    where = " ".join([*arguments.connect, *arguments.bind])
    if service is None:
        return f"The methods of {where} aren't known yet.\nType client.method(...), exit() or Ctrl-D leaves."
    count = len(service.methods)
    here = [method for method in service.methods if method in names]
    one = here[0] if here else "client.method"
    methods = f"{count:,} method{'' if count == 1 else 's'}"
    help_for = f"help({one})" if here else "dir(client)"
    coroutine = f", await aclient.{one.removeprefix('client.')}(...)" if "aclient" in names else ""
    return (
        f"{line(service.name or UNKNOWN_SERVICE)} at {where}: {methods}.\n"
        f"Type {one}(...){coroutine}, {help_for}, client. and TAB for all methods.\n"
        "exit() or Ctrl-D leaves."
    )


def _prompt() -> Prompt:
    """IPython's where it is installed and somebody sits there, else the standard library's."""
    if sys.stdin is not None and sys.stdin.isatty():
        try:
            from zerorpc.cli.prompt_ipython import run as run_ipython
        except ImportError:
            pass
        else:
            return run_ipython
    from zerorpc.cli.prompt import run

    return run
