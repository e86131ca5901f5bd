"""The server: a module, or an object in one, offered until somebody ends it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from zerorpc.cli.arguments import UsageError
from zerorpc.cli.harmless import check_harmless
from zerorpc.cli.links import open_links
from zerorpc.cli.loading import HOW_TO_NAME, load, make_current_folder_importable
from zerorpc.cli.printing import note, one_line
from zerorpc.settings import ServerSettings, declared

if TYPE_CHECKING:
    from zerorpc import RightsFile
    from zerorpc.cli.arguments import Arguments

EXPOSURE = "anyone who reaches this port can call it"


def serve(arguments: Arguments) -> int:
    """Serve what the command line names until SIGINT or SIGTERM, and return the exit code.

    Raises UsageError and BrokenService as `load` does, and what binding raises.
    """
    try:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, also before run()
        _serve(arguments, str(arguments.command))
    except KeyboardInterrupt:
        pass
    return 0


def _serve(arguments: Arguments, target: str) -> None:
    from zerorpc import Server  # before the current folder is importable: it may hold a json.py

    make_current_folder_importable()
    service = load(target)
    check_harmless(service, target, arguments)
    told = [name for name, setting in declared(ServerSettings).items() if setting.unit != "function"]
    settings: dict[str, Any] = {name: getattr(arguments, name) for name in told}
    if arguments.rights is not None:
        rights = _rights(arguments.rights)
        settings["authenticator"], settings["authorizer"] = rights.identify, rights.permits
    try:
        made = Server(service, **settings)
    except (TypeError, ValueError) as error:
        raise UsageError(f'"{target}" can\'t be served: {one_line(error)}', HOW_TO_NAME) from None
    with made as server:
        server.debug = arguments.debug
        server._core.hub.on_bound = None  # open_links says it
        open_links(server, arguments, EXPOSURE)
        note(f'serving "{target}"')
        server.run()


def _rights(path: str) -> RightsFile:
    """Raises UsageError for a file that can't be used."""
    from zerorpc import RightsFile

    try:
        return RightsFile(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"no rights: {one_line(error)}", "see RightsFile in the guide, Who may call") from None
