"""``zerorpc doctor``: what is wrong with a service or the way to it, and what to do."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

import zerorpc.cli.doctor_checks as checks
from zerorpc.cli.calling import connected
from zerorpc.cli.pinging import PATIENCE, new_parser, understood
from zerorpc.cli.printing import write
from zerorpc.cli.usage import UsageError, program_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from zerorpc import Client
    from zerorpc.cli.doctor_checks import Finding

HELP = f"""\
Look for what is wrong with a service, or the way to it, and say what to do.

One line per check, and below it what to do if it isn't ok. What can't be
looked at because an earlier check failed is left out. The exit code is 0 if
there is no fault, else 1.

An answer may take {PATIENCE} s, or --timeout. Other options are as for a call: see
{{program}} --help.
"""


class DoctorArguments(argparse.Namespace):
    """What only ``zerorpc doctor`` has, in its meaning."""

    json: bool


def doctor(argv: Sequence[str]) -> int:
    """Make the checks, print what each found, and return the exit code. Raises UsageError."""
    own = DoctorArguments()
    parser = new_parser("doctor", HELP)
    parser.add_argument("-?", action="help", help="the same as --help")
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")
    arguments = understood("doctor", parser, argv, own)
    if arguments is None:
        return 0
    if len(arguments.connect) != 1 or arguments.bind:
        raise UsageError("one address to connect to is needed", f"type: {program_name()} doctor tcp://robot:4242")
    found: list[Finding] = []
    with connected(arguments, told=False) as client:
        for finding in _findings(client, arguments.connect[0], arguments.timeout):
            found.append(finding)
            if not own.json:
                write(_shown(finding))
    if own.json:
        write(json.dumps([finding._asdict() for finding in found], indent=2) + "\n")
    return 1 if any(finding.verdict == "fault" for finding in found) else 0


def _findings(client: Client, address: str, timeout: float) -> Iterator[Finding]:
    """Each as soon as it is known. A fault of the way to the service is the last one."""
    if (files := checks.check_files()) is not None:
        yield files
    where, network = checks.host_and_port(address), 0.0
    if where is not None:
        yield (name := checks.check_name(*where))
        if name.verdict == "fault":
            return
        finding, seconds = checks.check_port(address, *where, timeout)
        yield finding
        if seconds is None:
            return
        network = seconds
    answer = checks.check_answer(client, where, timeout)
    if (peer := checks.ready_peer(client)) is not None:
        yield checks.check_mechanism(peer)
        yield checks.check_kind(peer)
    yield answer
    if answer.verdict == "ok":
        yield checks.check_trips(client, network)
        yield checks.check_inspect(client)


def _shown(finding: Finding) -> str:
    told = f"{finding.verdict:<8} {finding.check}: {finding.found}\n"
    return told if finding.remedy is None else f"{told}{'':<8} -> {finding.remedy}\n"
