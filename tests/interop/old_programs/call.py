"""A client of the old zerorpc that makes the calls it reads from stdin, all at once, until stdin ends or SIGTERM.

Each line asked is {"id", "method", "args", ...}; each line answered is {"id", "value", "seconds"} or
{"id", "error", "name", "message", "traceback", "seconds"}, in the order in which the calls end.
"""

import json
import sys
import time

import gevent
from gevent.fileobject import FileObjectThread

import zerorpc
from common import arguments, open_links, pack, unpack, write_line
from service import TRACE, Tracing


def main():
    options = arguments()
    context = zerorpc.Context()
    tracing = Tracing()
    if options.trace:
        context.register_middleware(tracing)
    client = zerorpc.Client(
        heartbeat=options.heartbeat,
        timeout=options.timeout,
        passive_heartbeat=options.passive,
        context=context,
    )
    open_links(client, options)
    # A thread reads, so that waiting for the next line never holds up heartbeats.
    for line in FileObjectThread(sys.stdin.buffer):
        gevent.spawn(answer, client, tracing, json.loads(line))


def answer(client, tracing, wanted):
    started = time.monotonic()
    try:
        fields = {"value": pack(call(client, wanted))}
    except Exception as error:
        fields = {
            "error": type(error).__name__,
            "name": getattr(error, "name", None),
            "message": getattr(error, "msg", str(error)),
            "traceback": getattr(error, "traceback", None),
        }
    elapsed = time.monotonic() - started
    write_line({"id": wanted["id"], "seconds": elapsed, "hooks": tracing.take_events(), **fields})


def call(client, wanted):
    TRACE.set(wanted.get("trace", ""))
    keywords = {key: wanted[key] for key in ("timeout", "slots", "async") if key in wanted}
    result = client(wanted["method"], *unpack(wanted["args"]), **keywords)
    if wanted.get("async"):
        result = result.get()
    if not hasattr(result, "__next__"):
        return result
    if "take" not in wanted:
        return list(result)
    taken = [next(result) for _ in range(wanted["take"])]
    result.close()
    return taken


main()
