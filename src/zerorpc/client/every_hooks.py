"""``zerorpc.every`` of a client with hooks: for these it is one call, and its items are the outcomes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Protocol

from zerorpc.client.call_hooks import ClientCall, Course, hooked_options
from zerorpc.client.call_options import CallOptions
from zerorpc.client.every import Asked, Gathering, Outcome, Peer
from zerorpc.client.replies import EveryCaller, Replies
from zerorpc.hooks import Around, enter_here
from zerorpc.remote_method import method_name
from zerorpc.settings import ClientSettings

__all__ = ["HookedReplies", "as_hooks_want", "call_of", "outcome_of"]

_USUAL = CallOptions()


class HookedCaller(EveryCaller, Protocol):
    """The core of a blocking client with hooks."""

    settings: ClientSettings


class HookedReplies(Replies):
    """The outcomes, with the hooks around all of them. They are left after the last, or with ``close``."""

    _begun = False  # it may be closed before that, by what it is made of

    def __init__(self, core: HookedCaller, asked: Asked) -> None:
        self._course = Course(Around(core.settings.on_call or (), call_of(asked), enter_here))
        self._answer: tuple[Peer, Outcome] | None = None  # of a hook
        self._course.within(self._begin, core, asked)
        self._begun = True

    def _begin(self, core: HookedCaller, asked: Asked) -> None:
        call = self._course.around.call

        def begin() -> bool:
            super(HookedReplies, self).__init__(core, as_hooks_want(asked, call))
            return True

        if not self._course.begin(begin):
            self._core, self._gathering = core, Gathering()
            self._answer = outcome_of(call)

    def __next__(self) -> tuple[Peer, Outcome]:
        if self._course.around.call.answered:
            answer, self._answer = self._answer, None
            if answer is None:
                raise StopIteration
            return answer
        try:
            found = super().__next__()
        except StopIteration:
            self._course.leave(None)
            raise
        self._course.pass_item(found, super().close)
        return found

    def close(self) -> None:
        super().close()
        if self._begun:
            self._course.leave(None)

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        super().__del__()
        if self._begun and not is_finalizing():
            self._course.drop("what every() gave")


def call_of(asked: Asked) -> ClientCall:
    """What hooks see of it."""
    return ClientCall(method_name(asked.method), asked.args, asked.kwargs, asked.options or _USUAL)


def as_hooks_want(asked: Asked, call: ClientCall) -> Asked:
    options = hooked_options(call, asked.options or _USUAL)
    return Asked(call.method, tuple(call.args), dict(call.kwargs), options)


def outcome_of(call: ClientCall) -> tuple[Peer, Outcome]:
    """What a hook has answered, in place of all servers."""
    return Peer(""), Outcome(call.result)
