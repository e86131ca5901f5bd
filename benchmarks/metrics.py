"""What ``Server(metrics=True)`` costs a call, in microseconds of CPU, beside a server without, in one run.

::

    taskset -c 0 python benchmarks/metrics.py

Each of the two has a process of its own, with the client on the server's event loop: a figure is all the work of a
call. Short rounds of the two alternate, and the differences of neighbours count, since a machine that is busy slows
both down.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time

import zerorpc
from zerorpc.runtime.loops import new_event_loop

ROUNDS = 60
CALLS = 2000  # of a round
CASES = {"100 in flight": 100, "one at a time": 1}


def main() -> None:
    programs = [
        subprocess.Popen([sys.executable, __file__, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in ("off", "on")
    ]
    for case, in_flight in CASES.items():
        figures: list[list[float]] = [[], []]
        for number in range(ROUNDS):
            for which in (0, 1) if number % 2 else (1, 0):
                took = measured(programs[which], in_flight)
                if number >= ROUNDS // 10:  # before that it warms up
                    figures[which].append(took)
        off, on = map(statistics.median, figures)
        more = statistics.median(b - a for a, b in zip(*figures, strict=True))
        print(f"{case}: {off:.2f} us a call, with metrics {on:.2f}: {more:+.2f} us, {100 * more / off:+.1f}%")
    for program in programs:
        program.communicate("0\n")


def measured(program: subprocess.Popen[str], in_flight: int) -> float:
    assert program.stdin is not None
    assert program.stdout is not None
    program.stdin.write(f"{in_flight}\n")
    program.stdin.flush()
    return float(program.stdout.readline())


# One of the two


async def echo(value: object) -> object:
    return value


async def answer(metrics: bool) -> None:
    """For each number of callers that is read, a round, and what it cost."""
    server = zerorpc.Server({"echo": echo}, metrics=metrics)
    endpoint = server.bind("tcp://127.0.0.1:0")[0]
    serving = asyncio.ensure_future(server.serve())
    async with zerorpc.AsyncClient(endpoint) as client:

        async def caller(calls: int) -> None:
            for _ in range(calls):
                await client.echo("hello world")

        while in_flight := int(sys.stdin.readline()):
            began = time.process_time()
            await asyncio.gather(*(caller(CALLS // in_flight) for _ in range(in_flight)))
            print((time.process_time() - began) / CALLS * 1e6, flush=True)
    server.stop()
    await serving


if __name__ == "__main__":
    if len(sys.argv) > 1:
        new_event_loop().run_until_complete(answer(sys.argv[1] == "on"))
    else:
        main()
