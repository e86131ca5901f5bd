"""A server between two others. Its middleware hands the trace on that came with a request, as programs of 0.6 do it:
between.py NEXT --bind ENDPOINT
"""

import contextvars

import zerorpc
from common import arguments, open_links

TRACEPARENT: "contextvars.ContextVar[str]" = contextvars.ContextVar("traceparent", default="")


class HandsOn:
    """Six lines that any program may have."""

    def load_task_context(self, event_header):
        TRACEPARENT.set(event_header.get("traceparent", ""))

    def get_task_context(self):
        return {"traceparent": TRACEPARENT.get()} if TRACEPARENT.get() else {}


def main():
    options = arguments("next")
    context = zerorpc.Context()
    context.register_middleware(HandsOn())
    client = zerorpc.Client(options.next, context=context, heartbeat=options.heartbeat)
    server = zerorpc.Server({"hand_on": client.plain}, heartbeat=options.heartbeat, context=context)
    open_links(server, options)
    server.run()


main()
