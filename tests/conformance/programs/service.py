"""The service of the conversations (README.md), for the old zerorpc and for ours: it imports whichever there is."""

import itertools
import sys

from lines import write_line

import zerorpc

try:
    from gevent import sleep as nap
except ImportError:
    from time import sleep as nap

STATES = {}


class Conformance:
    def echo(self, value):
        """Return the value as it came."""
        return value

    def add(self, left, right=1):
        """Add two numbers."""
        return left + right

    def nothing(self):
        pass

    def slow(self, seconds, token):
        nap(seconds)
        STATES[token] = "finished"
        return token

    def fail(self, message):
        raise ValueError(message)

    def leave(self):
        sys.exit("a handler asked the process to end")

    def unsendable(self):
        return object()

    def state(self, token):
        return STATES.get(token)

    @zerorpc.stream
    def count(self, stop):
        """Stream the numbers below `stop`."""
        return range(stop)

    @zerorpc.stream
    def late_count(self, seconds, stop):
        nap(seconds)
        yield from range(stop)

    @zerorpc.stream
    def items(self, values):
        return iter(values)

    @zerorpc.stream
    def fail_after(self, count):
        yield from range(count)
        raise ValueError("stream broke")

    @zerorpc.stream
    def endless(self, token):
        STATES[token] = "running"
        try:
            yield from itertools.count()
        finally:
            STATES[token] = "stopped"


def serve(service, endpoint="tcp://127.0.0.1:0"):
    server = zerorpc.Server(service, heartbeat=float(sys.argv[1]))
    bound = server.bind(endpoint)[0]
    # [ran] The old bind answers with something of pyzmq's, and has no public way to learn which port was chosen.
    write_line(ready=bound if isinstance(bound, str) else server._events._socket.last_endpoint.decode())
    server.run()
