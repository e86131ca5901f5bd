"""A puller or subscriber of the old zerorpc: prints one line for each note() that reaches it."""

import zerorpc
from common import arguments, open_links, pack, write_line
from service import TRACE, Tracing


class Notes:
    def note(self, *args):
        write_line({"note": pack(list(args)), "trace": TRACE.get()})

    def fail(self):
        raise ValueError("a puller has nobody to tell")


def main():
    options = arguments("kind")
    context = zerorpc.Context()
    if options.trace:
        context.register_middleware(Tracing())
    receiver = {"pull": zerorpc.Puller, "sub": zerorpc.Subscriber}[options.kind](Notes(), context=context)
    open_links(receiver, options)
    receiver.run()


main()
