"""Puts an implementation through the conversations: `python -m tests.conformance --help`."""

from __future__ import annotations

import argparse
import shlex
import sys

from tests.conformance.driver.cases import load
from tests.conformance.driver.programs import Implementation
from tests.conformance.driver.stage import Stage


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance", description="Puts an implementation through the conversations of cases/."
    )
    parser.add_argument("--server", metavar="COMMAND", help="starts the service that README.md describes")
    parser.add_argument("--client", metavar="COMMAND", help="starts the client program that README.md describes")
    parser.add_argument("--name", default="yours", help="under which the files list its known deviations")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="only those whose names begin with this")
    options = parser.parse_args()
    commands = [shlex.split(command) if command else None for command in (options.server, options.client)]
    roles = [role for role, command in zip(("server", "client"), commands, strict=True) if command]
    if not roles:
        parser.error("give --server, --client or both")
    wanted = tuple(options.cases) or ("",)
    cases = [case for case in load() if case.role in roles and case.name.startswith(wanted)]
    stage = Stage(Implementation(options.name, *commands))
    unexpected = 0
    try:
        results = stage.begin(cases)
        for case in cases:
            deviation, known = results[case.name].result(), case.deviations.get(options.name)
            unexpected += (deviation is None) != (known is None)
            if deviation is None:
                print("ok     " if known is None else "CHANGED", case.name)
            else:
                print("known  " if known else "DEVIATES", case.name, f"({case.why})\n         {known or deviation}")
    finally:
        stage.close()
    print(f"{len(cases)} cases, {unexpected} not as expected")
    return bool(unexpected)


if __name__ == "__main__":
    sys.exit(main())
