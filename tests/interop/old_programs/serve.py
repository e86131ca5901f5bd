"""A server, or with --connect a worker, until SIGTERM.

With --tells it can tell its methods' parameters on any Python.
"""

import inspect

import zerorpc
from common import arguments, open_links
from service import Service, Tracing


class Traced(Service):
    """The service, and what its middleware saw."""

    def __init__(self, name, tracing):
        super().__init__(name)
        self._tracing = tracing

    def hooks(self):
        return self._tracing.take_events()


def main():
    options = arguments()
    if options.tells and not hasattr(inspect, "getargspec"):
        inspect.getargspec = inspect.getfullargspec  # Python 3.11 took away what 0.6.3 asks
    context = zerorpc.Context()
    service = Service(options.name)
    if options.trace:
        tracing = Tracing()
        context.register_middleware(tracing)
        service = Traced(options.name, tracing)
    server = zerorpc.Server(service, name=options.name, heartbeat=options.heartbeat, context=context)
    open_links(server, options)
    server.run()


main()
