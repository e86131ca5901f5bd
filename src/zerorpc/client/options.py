"""``zerorpc.options``: the same client, with options of the program's for its calls."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from zerorpc.client.call_options import CallOptions, CallView, HasCore, count_slots
from zerorpc.given import UNCHANGED
from zerorpc.number_checks import above_zero, seconds
from zerorpc.protocol.call_header import KEY_MAX
from zerorpc.remote_method import RemoteMethod
from zerorpc.settings import Retry, retry_or_none

__all__ = ["options"]


def options(
    client: HasCore,
    *,
    timeout: float | None = UNCHANGED,
    slots: int = UNCHANGED,
    deadline: float | None = UNCHANGED,
    item_timeout: float | None = UNCHANGED,
    metadata: Mapping[str, str | bytes] | None = UNCHANGED,
    detached: bool = UNCHANGED,
    async_: bool = UNCHANGED,
    retry: Retry | None = UNCHANGED,
    key: str | bytes | None = UNCHANGED,
    hedge: float | bool = UNCHANGED,
    words: bool = UNCHANGED,
    progress: Callable[[float, float | None, str], object] | None = UNCHANGED,
    out: Any = UNCHANGED,
) -> CallView:
    """A view of a client for calls with these options, on which every keyword is the method's.

    ::

        zerorpc.options(client, timeout=5).move(x=1, y=2, timeout=0.5)   # this timeout is the method's

    Arguments: ``client`` a Client, an AsyncClient or such a view; what isn't given stays as it is there.
    ``timeout`` seconds to connect, send and get the first reply, None for no limit. ``slots`` how many items of a
    stream the server may send ahead of the reader (100). ``deadline`` seconds for the whole call, a stream's end
    included, None for no limit. ``item_timeout`` seconds that the reader waits for one item of a stream, None for no
    limit. ``metadata`` texts or bytes by name, which the method finds in ``current_call().metadata``; a server of
    zerorpc 0.6 can't take them: NotSupported. ``detached`` to heed neither the deadline nor the end of the call that
    the running code answers. ``async_`` to return at once, with an AsyncResult; not for an AsyncClient, whose calls
    always do. ``retry`` a ``zerorpc.Retry``, which says how calls that failed are repeated, None for not at all.
    ``key`` a text or bytes for one call and its repeats, which no other call has, such as ``uuid.uuid4().hex``: the
    server runs the method once for it, and answers repeats alike. It can't stream. A server of zerorpc 0.6 can't do
    it: NotSupported. ``hedge`` to try a slow call of an idempotent method at another server as well, and take the
    first answer: True for what is slower than 95% of the last 100 calls that were made so, or the seconds to wait.
    ``words`` to say that the arguments are texts that somebody typed: the server makes of each what its parameter's
    annotation says, of ``"3"`` a number. One of zerorpc 0.6, and a parameter without an annotation, takes the text.
    ``progress`` a function that is called with what the method reports by ``zerorpc.progress``: done, total (None if
    that isn't known) and a text; on a thread of the client's, of an AsyncClient in a task. Not with ``hedge``.
    ``out`` memory that can be written to, such as a bytearray or an array of NumPy's: octets that are the result, or an
    item of a stream, are put there, and ``out`` is what the call gives. What isn't as long, or an array of another
    type or shape, is an InvalidResult. One call at a time should be under way then. Not with ``async_``.

    Raises TypeError or ValueError for other values. Safe from any thread; costs no connection.
    """
    core: Any = None if isinstance(client, RemoteMethod) else getattr(client, "_core", None)
    if not hasattr(core, "old_spelling"):
        raise TypeError(
            f"options are for a Client, an AsyncClient, a view of one or a RemoteObject, not for {client!r}"
        )
    if async_ is not UNCHANGED and "async_" not in core.old_spelling:
        raise TypeError("async_ is for a blocking Client: the calls of an AsyncClient are awaited")
    before = client._options if isinstance(client, CallView) else CallOptions()
    given = {
        "timeout": timeout,
        "slots": slots,
        "deadline": deadline,
        "item_timeout": item_timeout,
        "metadata": metadata,
        "detached": detached,
        "in_background": async_,
        "retry": retry,
        "key": key,
        "hedge": hedge,
        "words": words,
        "progress": progress,
        "out": out,
    }
    checked = {name: _CHECKS[name](value) for name, value in given.items() if value is not UNCHANGED}
    changed = before._replace(**checked)
    if changed.out is None:
        return CallView(core, changed)
    if changed.in_background:
        raise TypeError("out= is not for async_=True: whoever waits for an AsyncResult gets what came")
    from zerorpc.client.filling import FillingView  # which most programs do without

    return FillingView(core, changed)


def _checked_metadata(metadata: Mapping[Any, Any] | None) -> dict[str, str | bytes] | None:
    if metadata is None:
        return None
    for name, value in metadata.items():
        if not isinstance(name, str) or not isinstance(value, (str, bytes)):
            raise TypeError(
                f"metadata has to be texts or bytes by name, not {type(name).__name__}: {type(value).__name__}"
            )
    return dict(metadata)


def _checked_key(key: Any) -> str | bytes | None:
    if key is None:
        return None
    if not isinstance(key, (str, bytes)):
        raise TypeError(f"key has to be a str or bytes, not a {type(key).__name__}")
    if not 0 < len(key) <= KEY_MAX:
        raise ValueError(f"key has to have 1 to {KEY_MAX} characters or bytes, not {len(key)}")
    return key


def _checked_progress(function: object) -> Callable[..., object] | None:
    if function is None or callable(function):
        return function
    raise TypeError(f"progress has to be a function, not a {type(function).__name__}")


_PLAIN = "bBhHiIlLqQnNefdc?"  # kinds of numbers in memory: octets may never become pointers


def _checked_out(out: Any) -> Any:
    """The option. Raises TypeError for what can't be written to as octets."""
    if out is None:
        return None
    try:
        room = memoryview(out)
        of_numpy = hasattr(out, "dtype")  # also a part of an array, then
        is_plain = not out.dtype.hasobject if of_numpy else room.format[-1:] in _PLAIN
        usable = not room.readonly and is_plain and bool(room.c_contiguous or of_numpy)
    except (TypeError, ValueError, BufferError):
        usable = False
    if not usable:
        raise TypeError(f"out has to be memory that can be written to, such as a bytearray, not a {type(out).__name__}")
    return out


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "timeout": functools.partial(seconds, "timeout"),
    "slots": count_slots,
    "deadline": functools.partial(seconds, "deadline"),
    "item_timeout": functools.partial(seconds, "item_timeout"),
    "metadata": _checked_metadata,
    "detached": bool,
    "in_background": bool,
    "retry": functools.partial(retry_or_none, "retry"),
    "key": _checked_key,
    "words": bool,
    "progress": _checked_progress,
    "out": _checked_out,
    "hedge": lambda hedge: hedge if isinstance(hedge, bool) else above_zero("hedge", hedge, "True or False") or False,
}
