"""Which kind of invocation a server makes whose calls are logged, counted, or both."""

from __future__ import annotations

import functools
from collections.abc import Callable

from zerorpc.doors.counted_invocation import CountedHookedInvocation, CountedInvocation, CountedLoggedInvocation
from zerorpc.doors.hooked_invocation import HookedInvocation, ServerHooks
from zerorpc.doors.logged_invocation import LoggedInvocation
from zerorpc.doors.rpc_invocation import RpcInvocation

__all__ = ["kinds"]


def kinds(
    context: ServerHooks, logged: bool, counted: bool
) -> tuple[type[HookedInvocation], Callable[..., RpcInvocation]]:
    """Where the context has hooks, and where it has none: then the second one takes no context."""
    if not logged:
        return (CountedHookedInvocation, CountedInvocation) if counted else (HookedInvocation, RpcInvocation)
    kind = CountedLoggedInvocation if counted else LoggedInvocation
    return kind, functools.partial(kind, context=context)
