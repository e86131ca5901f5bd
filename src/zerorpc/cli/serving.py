"""The server: a module, or an object in one, offered until somebody ends it."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

from zerorpc.cli.harmless import check_harmless
from zerorpc.cli.links import open_links
from zerorpc.cli.loading import HOW_TO_NAME, load, make_current_folder_importable
from zerorpc.cli.printing import note, one_line
from zerorpc.cli.usage import UsageError, program_name
from zerorpc.keys import fingerprint
from zerorpc.settings import ServerSettings, declared

if TYPE_CHECKING:
    from collections.abc import Callable

    from zerorpc import AllowedKeys, Curve, RightsFile
    from zerorpc.cli.arguments import Arguments

PAIRING = 600  # seconds for which a code is good
EXPOSURE = "anyone who reaches this port can call it"


def serve(arguments: Arguments) -> int:
    """Serve what the command line names until SIGINT or SIGTERM, and return the exit code.

    Raises UsageError and BrokenService as `load` does, and what binding raises.
    """
    return until_ended(lambda: _serve(arguments, str(arguments.command)))


def until_ended(run: Callable[[], None]) -> int:
    """The exit code of what serves until SIGINT or SIGTERM."""
    try:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, also before run()
        run()
    except KeyboardInterrupt:
        pass
    return 0


def _serve(arguments: Arguments, target: str) -> None:
    from zerorpc import Server  # noqa: F401 - before the current folder is importable: it may hold a json.py

    make_current_folder_importable()
    service = load(target)
    check_harmless(service, target, arguments)
    offer(service, target, f'serving "{target}"', arguments)


def offer(service: object, target: str, told_at_last: str, arguments: Arguments) -> None:
    """Serve an object that the command line calls ``target``, until somebody ends it. Raises what ``serve`` does."""
    from zerorpc import Server

    told = [name for name, setting in declared(ServerSettings).items() if setting.unit != "function"]
    settings: dict[str, Any] = {name: getattr(arguments, name) for name in told}
    rights = None if arguments.rights is None else _rights(arguments.rights)
    if rights is not None:
        settings["authenticator"], settings["authorizer"] = rights.identify, rights.permits
    keys = _allowed_keys(arguments, rights)
    if keys is not None:
        settings["curve"], settings["authenticator"] = arguments.curve, keys
    try:
        made = Server(service, **settings)
    except (TypeError, ValueError) as error:
        raise UsageError(f'"{target}" can\'t be served: {one_line(error)}', HOW_TO_NAME) from None
    with made as server:
        server.debug = arguments.debug
        server._core.hub.on_bound = None  # open_links says it
        open_links(server, arguments, EXPOSURE)
        if keys is not None and arguments.curve is not None:
            _show_keys(keys, arguments.curve, arguments)
        note(told_at_last)
        server.run()


def _rights(path: str) -> RightsFile:
    """Raises UsageError for a file that can't be used."""
    from zerorpc import RightsFile

    try:
        return RightsFile(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"no rights: {one_line(error)}", "see RightsFile in the guide, Who may call") from None


def _allowed_keys(arguments: Arguments, rights: RightsFile | None) -> AllowedKeys | None:
    """The folder of keys that the command line names. For pairing there is one, and a key, of the user's own.

    Raises UsageError for what can't be used.
    """
    if arguments.pair_as is not None:
        arguments.pair = True
        if rights is not None and arguments.pair_as not in rights:
            problem = f"{arguments.rights} has no identity {arguments.pair_as}: who pairs could call nothing"
            raise UsageError(problem, f"add it to {arguments.rights}: see RightsFile in the guide, Who may call")
    elif arguments.pair and rights is not None:
        raise UsageError(
            "a client that pairs would choose its name, and so its rights", "say who it is: --pair-as name"
        )
    if arguments.allow_keys is None and not arguments.pair:
        return None
    from zerorpc import AllowedKeys, Curve, known_servers

    try:
        if arguments.pair and arguments.curve is None:
            own = known_servers.own_keys(make=True)
            assert own is not None
            arguments.curve = Curve(own.secret)
        if arguments.allow_keys is None:
            arguments.allow_keys = os.path.join(known_servers.settings_folder(), "allowed_keys")
            known_servers.make_folder(arguments.allow_keys)
        if arguments.curve is None or arguments.curve.server is not None:
            remedy = f"type: {program_name()} keygen server, and add --curve server.key_secret"
            raise UsageError("--allow-keys needs the server's own key for CURVE", remedy)
        return AllowedKeys(arguments.allow_keys, None if rights is None else rights.identify)
    except (OSError, ValueError, ModuleNotFoundError) as error:
        raise UsageError(f"no keys: {one_line(error)}", f"type: {program_name()} --help") from None


def _show_keys(keys: AllowedKeys, curve: Curve, arguments: Arguments) -> None:
    """What clients have to know."""
    note(f"its key is {fingerprint(curve.keys.public)}")
    if arguments.pair:
        try:
            code = keys.pair(curve, PAIRING, arguments.pair_as)
        except ValueError as error:
            raise UsageError(str(error)) from None
        note(f"pairing code {code}: good once, for {PAIRING // 60} minutes; the client's key goes to {keys.folder}")
        note(f"there, type: {program_name()} trust --pair {code} address")
