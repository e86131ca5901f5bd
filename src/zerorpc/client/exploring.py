"""Asking a server for its methods when somebody explores a client: by ``dir``, ``help`` or at a prompt.

It is asked once, and whoever explores waits a second at most. Nothing here raises: then there are fewer names.
"""

from __future__ import annotations

import threading
from math import inf
from os import getpid
from time import monotonic
from typing import Protocol

from zerorpc.client.call_options import CallOptions
from zerorpc.client.description import Description
from zerorpc.errors import RemoteError
from zerorpc.transport.hub import Hub

__all__ = ["AGAIN", "INSPECT", "LIST", "TIME", "Exploring", "explored", "question"]

INSPECT = "_zerorpc_inspect"
LIST = "_zerorpc_list"  # which servers know that can't answer the other one, such as those of 0.6 on Python 3.11

TIME = 1.0  # seconds for the answer: who presses TAB waits no longer
AGAIN = 10.0  # seconds until a server that gave no answer is asked again: it may have been started since


class BlockingCore(Protocol):
    """The core of a Client."""

    exploring: Exploring | None

    @property
    def hub(self) -> Hub: ...

    def call(
        self, method: str, args: tuple[object, ...], kwargs: dict[str, object], options: CallOptions, /
    ) -> object: ...


class Exploring:
    """What is known of the methods of a client's servers, and when they were asked. It holds no client."""

    def __init__(self) -> None:
        self.pid: int = getpid()
        self.description: Description | None = None
        self._begun = -inf
        self._ended = threading.Event()

    def ask(self, core: BlockingCore) -> None:
        """Ask, unless that was done, or there is nobody to ask, and wait for the answer."""
        if not (core.hub.dialers or core.hub.listeners):
            return
        now = monotonic()
        if now >= self._begun + AGAIN:
            self._begun, self._ended = now, threading.Event()
            threading.Thread(target=self._run, args=(core, self._ended), name="zerorpc-exploring", daemon=True).start()
        self._ended.wait(max(0.0, self._begun + TIME - now))

    def _run(self, core: BlockingCore, ended: threading.Event) -> None:
        try:
            self.description = Description(_answer(core))
        except Exception:  # nobody is there, it is closed, a hook of the program raised, …
            return
        finally:
            ended.set()


def explored(core: BlockingCore, ask: bool) -> Description | None:
    """What is known of a client's methods; with ``ask`` its server is asked for them, unless that was done."""
    exploring = core.exploring
    if exploring is None or exploring.pid != getpid():  # a thread of the parent's isn't here to answer
        if not ask:
            return None if exploring is None else exploring.description
        exploring = core.exploring = Exploring()
    if ask and exploring.description is None:
        try:
            exploring.ask(core)
        except RuntimeError:  # no thread can be started any more
            return None
    return exploring.description


def _answer(core: BlockingCore) -> object:
    end = monotonic() + TIME
    try:
        return core.call(INSPECT, (), {}, question(TIME))
    except RemoteError:
        return core.call(LIST, (), {}, question(max(0.001, end - monotonic())))


def question(time: float) -> CallOptions:
    """The options of a call that asks."""
    return CallOptions(timeout=time, deadline=time, detached=True, retry=None)
