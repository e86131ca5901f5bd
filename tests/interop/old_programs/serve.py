"""A server, or with --connect a worker, until SIGTERM."""

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
