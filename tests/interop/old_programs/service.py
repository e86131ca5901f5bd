"""What is served and what is traced, for both sides: this file runs unchanged under the old zerorpc and under ours.

It imports `zerorpc`, whichever that is. gevent is asked for one thing only, a sleep that lets heartbeats go on;
without gevent the handlers run on threads and the ordinary sleep is right.
"""

import contextvars
import itertools

import zerorpc

try:
    from gevent import sleep as nap
except ImportError:
    from time import sleep as nap

TRACE: "contextvars.ContextVar[str]" = contextvars.ContextVar("trace", default="")


class Service:
    """One method of every kind a zerorpc service can have."""

    def __init__(self, name="service"):
        self._name = name
        self._arrived = 0
        self._streams_closed = 0
        self._moves = 0

    def who(self):
        """Return the name of the process that answers."""
        return self._name

    def who_slowly(self, seconds):
        nap(seconds)
        return self._name

    def echo(self, value):
        """Return the value as it came.

        A second paragraph, which a short listing must not show.
        """
        return value

    def spelled(self, value):
        """Return the repr of the value, so that a test sees what really arrived."""
        return repr(value)

    def add(self, left, right=1):
        """Add two numbers."""
        return left + right

    def move(self, x, y=2, note=None):
        """Return the arguments."""
        self._moves += 1
        return [x, y, note]

    def moves(self):
        """Return how many calls of move() there were."""
        return self._moves

    def limits(self, timeout=9.0, slots=8):
        """Return the arguments, whose names are those of a call's options."""
        return [timeout, slots]

    def nothing(self):
        pass

    def int_keys(self):
        return {1: "one", -2: "minus two"}

    def blob(self, size):
        return b"\xa5" * size

    def fail(self, message):
        raise ValueError(message)

    def unserialisable(self):
        return object()

    def slow(self, seconds, value=None):
        nap(seconds)
        return value

    def meet(self, count):
        """Return only when `count` calls are inside this method at once."""
        self._arrived += 1
        while self._arrived < count:
            nap(0.01)
        return count

    def streams_closed(self):
        """Return how many endless() streams were ended from outside."""
        return self._streams_closed

    def trace(self):
        """Return the trace that came in the header of this very request."""
        return TRACE.get()

    @zerorpc.stream
    def count(self, stop):
        """Stream the numbers below `stop`."""
        return range(stop)

    @zerorpc.stream
    def fail_after(self, count):
        yield from range(count)
        raise KeyError("stream broke")

    @zerorpc.stream
    def slow_count(self, stop, pause):
        for number in range(stop):
            nap(pause)
            yield number

    @zerorpc.stream
    def endless(self):
        try:
            yield from itertools.count()
        finally:
            self._streams_closed += 1

    @zerorpc.stream
    def traces(self, count):
        for _ in range(count):
            yield TRACE.get()


class Tracing:
    """A middleware that carries one header, `trace_id`, from caller to method and onwards."""

    def __init__(self):
        self.events = []

    def load_task_context(self, event_header):
        TRACE.set(event_header.get("trace_id", ""))

    def get_task_context(self):
        return {"trace_id": TRACE.get()} if TRACE.get() else {}

    def server_before_exec(self, request_event):
        self.events.append(["before_exec", request_event.name])

    def server_after_exec(self, request_event, reply_event):
        self.events.append(["after_exec", request_event.name, name_of(reply_event)])

    def server_inspect_exception(self, request_event, reply_event, task_context, exc_infos):
        names = [request_event.name, name_of(reply_event), exc_infos[0].__name__]
        self.events.append(["inspect_exception", *names])

    def client_before_request(self, event):
        self.events.append(["before_request", event.name, event.header.get("trace_id", "")])

    def client_after_request(self, request_event, reply_event, exception=None):
        header = reply_event.header.get("trace_id", "") if reply_event else ""
        error = type(exception).__name__ if exception else None
        self.events.append(["after_request", request_event.name, name_of(reply_event), header, error])

    def take_events(self):
        """Return what the hooks saw since the last time."""
        events, self.events = self.events, []
        return events


def name_of(event):
    """The name of a reply; None when there is none, as for a puller, or after a timeout."""
    return event.name if event else None
