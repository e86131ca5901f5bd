"""The server: a module, or an object in one, offered until somebody ends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zerorpc.cli.links import open_links
from zerorpc.cli.loading import load, make_current_folder_importable
from zerorpc.cli.printing import note

if TYPE_CHECKING:
    from zerorpc.cli.arguments import Arguments

EXPOSURE = "anyone who reaches this port can call it"


def serve(arguments: Arguments) -> int:
    """Serve what the command line names until SIGINT or SIGTERM, and return the exit code.

    Raises UsageError and BrokenService as `load` does, and what binding raises.
    """
    from zerorpc import Server  # before the current folder is importable: it may hold a json.py

    target = str(arguments.command)
    make_current_folder_importable()
    service = load(target)
    with Server(service, heartbeat=arguments.heartbeat, pool_size=arguments.pool_size) as server:
        try:
            open_links(server, arguments, EXPOSURE)
            note(f'serving "{target}"')
            server.run()
        except KeyboardInterrupt:  # came before run() had its own handler in place
            pass
    return 0
