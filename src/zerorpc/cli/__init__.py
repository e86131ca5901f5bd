"""The programs ``zerorpc-client`` and ``zerorpc``, which are one and the same: arguments in, text out.

A cold call has to be quick, so what only some runs need (the server, json, pprint, logging) is imported
inside the function that needs it. Results go to stdout, every other word to stderr.

Exit codes:
    0    the call succeeded, or the server was asked to stop and did
    1    the remote method raised, the service could not be reached, or the served module raised
    2    the command line was wrong; stderr says what to type instead
    130  the client was interrupted by Ctrl-C
    141  whoever read stdout has gone, as with ``| head -1``
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from zerorpc import __version__, errors
from zerorpc.cli.arguments import ADD_COMPLETERS, command_of, parse
from zerorpc.cli.failures import report
from zerorpc.cli.loading import BrokenService
from zerorpc.cli.printing import DIGITS_MAX, OutputClosed, note, write
from zerorpc.cli.usage import UsageError, program_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["main"]

SUCCESS, FAILURE, USAGE, INTERRUPTED, OUTPUT_CLOSED = 0, 1, 2, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with these arguments (the process's own when None) and return its exit code."""
    sys.set_int_max_str_digits(DIGITS_MAX)
    try:
        return _run(sys.argv[1:] if argv is None else argv)
    except OutputClosed:
        return OUTPUT_CLOSED
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(argv: Sequence[str]) -> int:
    try:
        return _dispatch(argv)
    except UsageError as error:
        note(f"{program_name()}: {error.problem}\n{error.remedy}")
        return USAGE
    except BrokenService as error:
        note(error.report())
        return FAILURE
    except (errors.EndpointError, errors.SerializationError) as error:
        note(report(error, argv))
        return USAGE
    except (errors.ZeroRPCError, OSError) as error:
        note(report(error, argv))
        return FAILURE


def _dispatch(argv: Sequence[str]) -> int:
    command = command_of(argv)
    if "_ARGCOMPLETE" in os.environ:
        from zerorpc.cli.completing import add_completers

        ADD_COMPLETERS[:] = [add_completers]
    if command is not None:
        return _command(command)(argv[1:])
    try:
        arguments = parse(argv)
    except SystemExit:  # the help is printed, as far as stdout's buffer
        write("")
        return SUCCESS
    if arguments.version:
        write(f"zerorpc {__version__}\n")
        return SUCCESS
    if arguments.debug or arguments.server:
        from zerorpc.cli.log_format import log_to_stderr

        log_to_stderr(arguments.log_format, arguments.debug, arguments.log_calls)
    if arguments.server:
        from zerorpc.cli.serving import serve

        return serve(arguments)
    from zerorpc.cli.calling import call

    return call(arguments)


def _command(name: str) -> Callable[[Sequence[str]], int]:
    if name == "bench":
        from zerorpc.cli.bench import bench

        return bench
    if name == "completion":
        from zerorpc.cli.completion import completion

        return completion
    if name == "diff":
        from zerorpc.cli.diff import diff

        return diff
    if name == "doctor":
        from zerorpc.cli.doctor import doctor

        return doctor
    if name == "gateway":
        from zerorpc.cli.gateway import gateway

        return gateway
    if name == "keygen":
        from zerorpc.cli.keygen import keygen

        return keygen
    if name == "mcp":
        from zerorpc.cli.mcp import mcp

        return mcp
    if name in ("ping", "health"):
        from zerorpc.cli import pinging

        return pinging.ping if name == "ping" else pinging.health
    if name == "schema":
        from zerorpc.cli.schema import schema

        return schema
    if name == "shell":
        from zerorpc.cli.shell import shell

        return shell
    if name == "stub":
        from zerorpc.cli.stub import stub

        return stub
    if name == "top":
        from zerorpc.cli.top import top

        return top
    from zerorpc.cli.trust import trust

    return trust
