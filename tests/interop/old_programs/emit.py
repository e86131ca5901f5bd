"""A pusher or publisher of the old zerorpc: sends each {"method", "args"} that it reads from stdin."""

import json
import sys

from gevent.fileobject import FileObjectThread

import zerorpc
from common import arguments, open_links, unpack, write_line
from service import TRACE, Tracing


def main():
    options = arguments("kind")
    context = zerorpc.Context()
    if options.trace:
        context.register_middleware(Tracing())
    sender = {"push": zerorpc.Pusher, "pub": zerorpc.Publisher}[options.kind](context=context)
    open_links(sender, options)
    for line in FileObjectThread(sys.stdin.buffer):
        wanted = json.loads(line)
        TRACE.set(wanted.get("trace", ""))
        for args in unpack(wanted["args"]):
            sender(wanted["method"], *args)
        write_line({"id": wanted["id"], "sent": True})


main()
