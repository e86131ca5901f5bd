"""Run by an interpreter that has gevent, with our own zerorpc: a monkey-patched program calls and stays cooperative.

Prints a JSON line: how many sleeping calls ran at once, how often another greenlet ran during one call, and results.
With "unpatched" as second argument the program is not monkey-patched, and a call then blocks all greenlets. With
"forked" a client has called before the program forks, and only the child is patched, as gunicorn's workers are.
"""

import os
import sys

import gevent.monkey

if "forked" in sys.argv:
    import zerorpc

    client = zerorpc.Client(sys.argv[1])
    assert client.echo("x") == "x"
    child = os.fork()
    if child:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

if "unpatched" not in sys.argv:
    gevent.monkey.patch_all()

import json
import time

import gevent

import zerorpc


def main(client: zerorpc.Client) -> None:
    with client:
        started = time.monotonic()
        sleepers = [gevent.spawn(client.sleep, 0.3) for _ in range(20)] if "unpatched" not in sys.argv else []
        gevent.joinall(sleepers, raise_error=True)
        elapsed = time.monotonic() - started
        echoes = [gevent.spawn(client.echo, number) for number in range(100)]
        gevent.joinall(echoes, raise_error=True)
        turns = []
        other = gevent.spawn(count_turns, turns)
        client.sleep(0.3)
        other.kill()
        outcome = {
            "version": zerorpc.__version__,
            "elapsed": elapsed,
            "turns": len(turns),
            "echoes": [echo.value for echo in echoes],
            "items": len(list(client.count(1000))),
            "later": client.echo("x", async_=True).get(timeout=10),
        }
    print(json.dumps(outcome))


def count_turns(turns: list) -> None:
    while True:
        turns.append(None)
        gevent.sleep(0.01)


main(client if "forked" in sys.argv else zerorpc.Client(sys.argv[1]))
