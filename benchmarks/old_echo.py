"""The two ends of an echo call in zerorpc 0.6.3, run by echo.py with the old interpreter.

``server`` prints its endpoint; ``client ENDPOINT`` prints "ready", then for each line "CALLERS SECONDS" that it reads
the number of calls made and the seconds taken. Both end when their stdin does.
"""

import sys
import time

import gevent
import gevent.fileobject
import gevent.pool

import zerorpc

TEXT = "hello world"


def main():
    stdin = gevent.fileobject.FileObjectThread(sys.stdin)
    if sys.argv[1] == "server":
        serve(stdin)
    else:
        call(stdin, sys.argv[2])


def serve(stdin):
    server = zerorpc.Server({"echo": lambda value: value}, pool_size=1000)
    server.bind("tcp://127.0.0.1:*")
    print(server._events._socket.getsockopt_string(zerorpc.zmq.LAST_ENDPOINT), flush=True)
    gevent.spawn(server.run)
    stdin.read()


def call(stdin, endpoint):
    client = zerorpc.Client(endpoint)
    print("ready", flush=True)
    for line in stdin:
        callers, seconds = line.split()
        print(*measure(client, int(callers), float(seconds)), flush=True)


def measure(client, callers, seconds):
    start = time.perf_counter()
    end = start + seconds

    def caller():
        calls = 0
        while time.perf_counter() < end:
            client.echo(TEXT)
            calls += 1
        return calls

    greenlets = [gevent.spawn(caller) for _ in range(callers)]
    gevent.joinall(greenlets)
    return sum(greenlet.get() for greenlet in greenlets), time.perf_counter() - start


main()
