"""What runs in a worker process: requests in by pipe, replies out, one after the other."""

from __future__ import annotations

import contextlib
import enum
import inspect
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from zerorpc.protocol.call_header import Metadata
from zerorpc.runtime.signals import ENDING, Signals
from zerorpc.scope import CURRENT
from zerorpc.service.carried_call import CarriedCall
from zerorpc.service.carried_errors import pack_error
from zerorpc.service.forks import end_child
from zerorpc.shown import message_of, name_of

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = ["CANCEL_SIGNAL", "READY", "Outcome", "run_within", "work"]

READY = b"ready"  # the first message: the process has started, and imported what it has to
CANCEL_SIGNAL = getattr(signal, "SIGUSR1", None)  # Windows has none; a process is killed there
_PICKLE = pickle.HIGHEST_PROTOCOL


class Outcome(enum.Enum):
    """What became of a request; a reply is the pickled pair of it and what it says."""

    VALUE = "value"  # the method's result
    RAISED = "raised"  # a CarriedError
    UNLOADABLE = "unloadable"  # why the method could not be found here
    UNSENDABLE = "unsendable"  # why the result can't be pickled


def work(pipe: Connection) -> None:
    """Serve one pipe until its other end is closed or the server's process has ended."""
    if CANCEL_SIGNAL is not None:  # in all threads but this one, which it has to interrupt
        signal.pthread_sigmask(signal.SIG_BLOCK, {CANCEL_SIGNAL})
    threading.Thread(target=_end_with_the_server, name="zerorpc-watch", daemon=True).start()
    _set_signals()
    with contextlib.suppress(EOFError, OSError):  # nobody is there any more
        pipe.send_bytes(READY)
        while True:
            pipe.send_bytes(_reply(pipe.recv_bytes()))


def _set_signals() -> None:
    """Only the server ends its workers: Ctrl-C and service managers signal every process of a group, and the
    server's running calls have their grace.

    Handlers to which nobody listens, since programs that a method starts would inherit signals that are ignored.
    What it forks has none of them.
    """
    for number in ENDING:  # not those of the program, whose script may have set them as it was imported here
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    Signals(*ENDING).take()
    if CANCEL_SIGNAL is not None:
        signal.signal(CANCEL_SIGNAL, _cancel)
        # the first two are blocked since the start of the process
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM, CANCEL_SIGNAL})


class _Cancelled(SystemExit):
    """Raised in the method, wherever it is: the caller is gone. ``finally`` is run, and the process ends."""


def _cancel(*_: object) -> None:
    """Only the first time: the server signals again and again until the process ends. One signal may interrupt nothing,
    if another thread takes it, or if it comes just before the method waits in the system.
    """
    assert CANCEL_SIGNAL is not None
    signal.signal(CANCEL_SIGNAL, lambda *_: None)
    raise _Cancelled


def _end_with_the_server() -> None:
    """End in the middle of a method too, when the server's process is no more."""
    import multiprocessing

    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _reply(request: bytes) -> bytes:
    try:
        function, args, kwargs, packed = pickle.loads(request)
    except _Cancelled:
        raise
    except BaseException as error:  # as of a module that calls sys.exit() when it is imported
        return pickle.dumps((Outcome.UNLOADABLE, f"{name_of(error)}: {message_of(error)}"), _PICKLE)
    pid = os.getpid()
    call = CarriedCall(packed)
    try:
        # in a context of its own: no method sees what the one before it has set
        value = copy_context().run(_call, call, function, args, kwargs)
    except _Cancelled:
        raise
    except BaseException as error:
        if os.getpid() != pid:
            end_child(error)
        return pickle.dumps((Outcome.RAISED, pack_error(error, __name__), *_metadata(call)), _PICKLE)
    if os.getpid() != pid:
        end_child()
    try:
        return pickle.dumps((Outcome.VALUE, value, *_metadata(call)), _PICKLE)
    except _Cancelled:
        raise
    except BaseException as error:
        return pickle.dumps((Outcome.UNSENDABLE, message_of(error)), _PICKLE)


def run_within(
    make: Callable[[], AbstractContextManager[object]], function: Callable[..., Any], *args: object, **kwargs: object
) -> Any:
    """Run the method as a hook of the server's wants it: inside of what ``make`` makes here."""
    with make():
        return function(*args, **kwargs)


def _metadata(call: CarriedCall) -> tuple[tuple[Metadata, Metadata], ...]:
    """What the method has put there, if it has."""
    both = call.reply_metadata, call.end_metadata
    return (both,) if any(both) else ()


def _call(call: CarriedCall, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    """What can travel of the result: an iterator's items."""
    CURRENT.set(call)
    result = function(*args, **kwargs)
    if inspect.iscoroutine(result):
        result.close()
        raise TypeError("a method that runs in a process can't return a coroutine")
    return list(result) if isinstance(result, Iterator) else result
