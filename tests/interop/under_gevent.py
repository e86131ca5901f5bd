"""Run by an interpreter that has gevent, with our own zerorpc: a monkey-patched program calls and stays cooperative.

Prints a JSON line: what calls that wait for each other return, how often another greenlet ran during a call that
waits for it, and results. With "unpatched" as second argument the program is not monkey-patched, and a call then
blocks all greenlets. With "forked" a client has called before the program forks, and only the child is patched, as
gunicorn's workers are.
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

import gevent

import zerorpc

TURNS = 5


def main(client: zerorpc.Client) -> None:
    with client:
        meetings = [gevent.spawn(client.meet) for _ in range(20)] if "unpatched" not in sys.argv else []
        gevent.joinall(meetings, raise_error=True)
        echoes = [gevent.spawn(client.echo, number) for number in range(100)]
        gevent.joinall(echoes, raise_error=True)
        turns = []
        other = gevent.spawn(take_turns_and_release, client, turns)
        released = client.wait_for_release("unpatched" not in sys.argv)
        turns_meanwhile = len(turns)
        other.join()
        outcome = {
            "version": zerorpc.__version__,
            "met": [meeting.value for meeting in meetings],
            "released": released,
            "turns": turns_meanwhile,
            "echoes": [echo.value for echo in echoes],
            "items": len(list(client.count(1000))),
            "later": client.echo("x", async_=True).get(timeout=10),
        }
    print(json.dumps(outcome))


def take_turns_and_release(client: zerorpc.Client, turns: list) -> None:
    for _ in range(TURNS):
        gevent.sleep(0.01)
        turns.append(None)
    client.release()


main(client if "forked" in sys.argv else zerorpc.Client(sys.argv[1]))
