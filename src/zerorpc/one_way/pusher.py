"""Pusher and Publisher: events one way, with no reply.

Used from blocking code they work on a background loop (``io_thread``); entered with ``async with``, on the running one.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable
from typing import ClassVar, Self

from zerorpc.compat.context import Context
from zerorpc.curve import Curve, curve_or_none
from zerorpc.errors import SerializationError
from zerorpc.one_way.outbox import LINGER, Outbox
from zerorpc.one_way.send_queue import OursOnly
from zerorpc.plain import Plain, plain_or_none
from zerorpc.protocol.events import VERSION, encode_with
from zerorpc.protocol.packing import Forms
from zerorpc.remote_method import RemoteMethod, method_name
from zerorpc.socket_base import SocketBase
from zerorpc.tls import TlsGiven, tls_or_none
from zerorpc.transport.security import Security
from zerorpc.zmtp import SocketType

__all__ = ["Publisher", "Pusher"]


class Pusher(SocketBase):
    """Sends events to pullers, each to one of them in turn.

    Arguments: ``context`` the middleware; ``tls`` a ``zerorpc.Tls`` or an ``ssl.SSLContext`` for endpoints
    ``tls+tcp://``; ``curve`` a ``zerorpc.Curve``, the keys to encrypt and authenticate with by CURVE; ``plain`` a
    ``zerorpc.Plain``, user and password.

    ::

        pusher = zerorpc.Pusher()
        pusher.connect("tcp://127.0.0.1:4242")
        pusher.lolita(1, 2)                            # blocking code

        async with zerorpc.Pusher() as pusher:         # coroutines
            pusher.connect("tcp://127.0.0.1:4242")
            await pusher.lolita(1, 2)

    Messages wait here while no puller takes them. When 1,000 wait, sending blocks until there is room, or until
    ``close``. Blocking use is safe from any thread, and at any moment: from finalizers, signal handlers and ``atexit``,
    where each push waits until it is sent, for at most a second. In a forked child it makes connections of its own.

    Entered with ``async with`` it belongs to that event loop: used elsewhere it raises RuntimeError. One that blocking
    code has used can't be entered: that raises RuntimeError too.
    """

    _socket_type: ClassVar[SocketType] = SocketType.PUSH

    def __init__(
        self,
        context: Context | None = None,
        *,
        tls: TlsGiven | None = None,
        curve: Curve | None = None,
        plain: Plain | None = None,
    ) -> None:
        security = Security(curve_or_none("curve", curve), plain_or_none("plain", plain))
        self._context = context or Context.get_instance()
        self._core: Outbox = Outbox(self._socket_type, self._context.hook_resolve_endpoint, security)
        self._core.hub.tls = tls_or_none("tls", tls)

    def __getattr__(self, name: str) -> RemoteMethod:
        if name.startswith("__"):
            raise AttributeError(name)
        return RemoteMethod(lambda event, args, options: self(event, *args, **options), name)

    def __call__(self, method: str, /, *args: object) -> Awaitable[None] | None:
        """Send an event; inside ``async with``, await it. Returns when it is queued, not when it arrived.

        The method's own arguments are positional. Raises SerializationError for arguments that can't be sent or are
        larger than 128 MiB, and Closed after ``close``.
        """
        name, context = method if type(method) is str else method_name(method), self._context
        header = {**context.hook_get_task_context(), "message_id": context.new_msgid(), "v": VERSION}
        try:
            data = _packed(header, name, args)
        except SerializationError as error:
            unsendable = SerializationError(f"the arguments of {name} can't be sent: {error}")
            unsendable.method, unsendable.ran = name, False
            raise unsendable from None
        return self._core.put(data)

    def close(self) -> None:
        """Send what waits, for at most 5 s, and close; what still waits then is lost. Safe to call twice."""
        self._core.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        self._core.attach(asyncio.get_running_loop())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._core.aclose(LINGER)

    def __del__(self) -> None:
        core = self.__dict__.get("_core")
        if core is not None and not sys.is_finalizing():
            core.abandon()


def _packed(header: dict[str, object], name: str, args: tuple[object, ...]) -> bytes:
    forms = Forms(natural=True, in_band=True)
    data = encode_with(forms, header, name, args)
    if not forms.needs:
        return data
    special = OursOnly(data)
    special.needs, special.for_older = forms.needs, None
    if forms.only_numbers:
        with contextlib.suppress(SerializationError):
            special.for_older = encode_with(Forms(natural=False, in_band=True), header, name, args)
    return special


class Publisher(Pusher):
    """Sends events to all subscribers that are connected. One that isn't, or reads too slowly, misses them.

    Used as a Pusher; publishing never blocks for long, since no event waits for a subscriber.
    """

    _socket_type = SocketType.PUB
