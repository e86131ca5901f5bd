"""What the shell completes besides flags: endpoints, methods of the server on the line, modules to serve.

Nothing here writes or asks at the terminal, and a server has half a second to answer.
"""

from __future__ import annotations

import argparse
import functools
import os
from typing import TYPE_CHECKING, Any

from zerorpc.cli.arguments import COMMANDS, Arguments, command_of, curve_of
from zerorpc.cli.endpoints import used

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

TIME = 0.5  # seconds for a server to tell its methods: who presses TAB waits no longer


def add_completers(parser: argparse.ArgumentParser) -> None:
    """Say what each word of the command line, and each flag's value, may be."""
    completers: dict[str, Callable[..., list[str]]] = {
        "connect": _endpoints,
        "bind": _endpoints,
        "address": functools.partial(_first_words, COMMANDS if command_of(()) is None else ()),
        "command": _second_words,
        "method": _second_words,
        "params": _no_words,
    }
    if command_of(()) == "gateway":
        completers["address"] = _endpoints  # --bind names no other one
    for action in parser._actions:
        if action.dest in completers:
            action.completer = completers[action.dest]  # type: ignore[attr-defined]  # where argcomplete looks


def _no_words(**_: object) -> list[str]:
    return []


def _endpoints(**_: object) -> list[str]:
    return used()


def _first_words(commands: Sequence[str], prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """An address or a command; or, where a flag has named the address, what usually comes second."""
    named = [*(getattr(parsed_args, "connect", None) or ()), *(getattr(parsed_args, "bind", None) or ())]
    if named:
        return _methods_or_modules(named, prefix, parsed_args)
    if getattr(parsed_args, "server", False):
        return used()
    usual = os.environ.get("ZERORPC_ADDRESS")
    return [*used(), *commands, *(methods([usual], parsed_args) if usual else ())]


def _second_words(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    named = [*(getattr(parsed_args, "connect", None) or ()), *(getattr(parsed_args, "bind", None) or ())]
    if named or not parsed_args.address:
        return []  # this word is a parameter
    return _methods_or_modules([parsed_args.address], prefix, parsed_args)


def _methods_or_modules(endpoints: list[str], prefix: str, parsed: argparse.Namespace) -> list[str]:
    return list(modules(prefix)) if getattr(parsed, "server", False) else methods(endpoints, parsed)


def methods(endpoints: list[str], parsed: argparse.Namespace) -> list[str]:
    """The methods of the server there; none if it doesn't tell them in time, or wants a password."""
    from zerorpc import Client, deadline
    from zerorpc.cli.asking import ask_service
    from zerorpc.cli.calling import client_settings
    from zerorpc.cli.links import connect

    arguments = Arguments(**vars(parsed))
    if getattr(parsed, "bind", None) or getattr(parsed, "user", None):
        return []  # a port isn't opened, nor a password sent, before the line is finished
    defaults: dict[str, object] = {
        "active_hb": False,
        "curve": None,
        "curve_server": None,
        "limit": [],
        "server": False,
        "user": None,
    }
    for name, default in defaults.items():
        if name not in arguments:
            setattr(arguments, name, default)
    arguments.timeout = TIME
    try:
        arguments.curve = curve_of(arguments.curve, arguments.curve_server)
        with Client(**client_settings(arguments)) as client, deadline(TIME):
            for endpoint in endpoints:
                connect(client, endpoint, arguments)
            return [name for name in ask_service(client, signatures=False).methods if name.isprintable()]
    except Exception:  # a mistyped endpoint, a key that isn't trusted, nobody there: then there is nothing to complete
        return []


def modules(prefix: str) -> Iterator[str]:
    """The modules and packages of the current folder; after a dot those of the package before it."""
    package, dot, _ = prefix.rpartition(".")
    try:
        entries = sorted(os.scandir(os.path.join(".", *package.split("."))), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        name = entry.name.removesuffix(".py")
        is_module = name != entry.name or os.path.isfile(os.path.join(entry.path, "__init__.py"))
        if is_module and name.isidentifier() and not name.startswith("__"):
            yield f"{package}{dot}{name}"
