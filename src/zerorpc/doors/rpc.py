"""zerorpc's own door: connections come, requests on them become invocations, and their answers go back."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable
from typing import Any, Protocol

from zerorpc.callers import Visitor
from zerorpc.doors.hooked_invocation import HookedInvocation, ServerHooks
from zerorpc.doors.keyed_calls import KeyedCalls
from zerorpc.doors.rpc_invocation import RpcInvocation
from zerorpc.doors.rpc_items import LoopItems, ThreadItems
from zerorpc.doors.rpc_progress import report_to_caller
from zerorpc.doors.rpc_references import LoopLease, ThreadLease, borrow_arguments, lent_method
from zerorpc.errors import WrongArguments
from zerorpc.limits import Limits
from zerorpc.logs import Logger
from zerorpc.observe.counts import Tally
from zerorpc.protocol.call_header import CallHeader
from zerorpc.protocol.events import NO_ID, BadEvent, Buffer, WireEvent
from zerorpc.protocol.server_channel import ServerChannel
from zerorpc.protocol.server_peer import ServerPeer
from zerorpc.service.methods import Method, Where
from zerorpc.service.registry import Registry
from zerorpc.service.rights import Rights, Rules
from zerorpc.service.runners import Runners
from zerorpc.service.schema import Misgiven
from zerorpc.service.signatures import own_parameters
from zerorpc.service.stream_parameters import ASYNC, PLAIN, parameter_at
from zerorpc.transport.admission import Admission
from zerorpc.transport.aio import AioHub
from zerorpc.transport.aio_link import AioLink
from zerorpc.transport.authentication import Authentication
from zerorpc.transport.security import UNSECURED, Security
from zerorpc.transport.watching import ConnectionWatch
from zerorpc.zmtp.mechanisms import NewMechanism, Null

__all__ = ["Context", "RpcDoor"]

logger: Logger = Logger("zerorpc.server")

# s to wait for clients' answers when nothing runs any more. A client that calls reads at once; an idle blocking one
# looks in once a second, and finds the end of the connection instead.
_HEARD_MAX = 0.25


class Context(ServerHooks, Protocol):
    """What the door asks of ``zerorpc.Context``."""

    next_msgid: Callable[[], Any]

    def hook_resolve_endpoint(self, endpoint: object, /) -> Any: ...


class RpcDoor:
    """Owns the hub of a server's connections. Once ``runners`` are there, it belongs to their loop."""

    def __init__(
        self,
        registry: Registry,
        context: Context,
        heartbeat: float | None,
        rules: Rules,
        limits: Limits,
        security: Security = UNSECURED,
        authentication: Authentication | None = None,
    ) -> None:
        self.hub: AioHub = AioHub(self, context.hook_resolve_endpoint, security)
        if authentication is not None:
            self.hub.admission = Admission(authentication, self._admitted, lambda: self.hub.proxied)
        self.tap: Callable[[str, Buffer], None] | None = None
        self.runners: Runners | None = None
        self.keyed: KeyedCalls | None = None  # together with these
        self.leaving: bool = False  # clients are to go elsewhere
        self._heard = asyncio.Event()  # set when a client has answered the goaway, or is lost
        self.on_lost: Callable[[], None] | None = None  # a connection that was accepted has ended
        self.watch: ConnectionWatch | None = None  # who is told of connections
        self.tally: Tally | None = None  # what counts calls, if they are counted
        self._registry = registry
        self._rules = rules
        self._context = context
        self._heartbeat = heartbeat
        self._limits = limits
        self._hooked: type[HookedInvocation] = HookedInvocation
        self._plain: Callable[..., RpcInvocation] = RpcInvocation

    def note_calls(self, logged: bool, tally: Tally | None) -> None:
        """From now on calls are logged, counted, or both. Decided once, so that others pay nothing for it."""
        from zerorpc.doors.noted_calls import kinds  # which most servers do without

        self.tally, (self._hooked, self._plain) = tally, kinds(self._context, logged, tally is not None)

    def received(self, link: AioLink, touched: list[ServerChannel]) -> None:
        """New requests: let them run, or answer at once for what can't. Running ones that got credit or lost their
        caller. None is begun of a caller that takes no answers.
        """
        for channel in touched:
            if channel.runner is not None:
                _wake(channel)
            elif channel.closed:
                continue
            elif not link.peer.writable:
                link.peer.held.append(channel)
            else:
                event, context = channel.event, self._context
                bad = type(event) is BadEvent
                name, args = event.name, None if bad else event.args  # type: ignore[union-attr]
                method = link.peer.methods.get(name)
                invocation = (
                    self._hooked(method, name, args, channel, link, context)
                    if context.hooks_server
                    else self._plain(method, name, args, channel, link)
                )
                if (bad or channel.call is not None) and not self._heed_call(invocation):
                    continue
                assert self.runners is not None
                self.runners.submit(invocation)

    def _heed_call(self, invocation: RpcInvocation) -> bool:
        """Take what a request says besides; whether it is to be run now."""
        channel = invocation.channel
        try:
            problem = self._problem(invocation)
        except Misgiven as error:
            invocation.answer(invocation.error(error.with_traceback(None)), flush=False)
            return False
        if problem is not None:
            invocation.ran, invocation.refused = False, WrongArguments
            invocation.answer(invocation.error(TypeError(f"{invocation.name}: {problem}")), flush=False)
            return False
        call = channel.call
        if call is not None and call.key is not None:
            assert self.keyed is not None
            self.keyed.let_in(invocation, call.key)
            return False
        if call is not None and (outer := _outer(channel, call)) is not None:
            assert self.runners is not None
            self.runners.submit_within(invocation, outer)
            return False
        return True

    def _problem(self, invocation: RpcInvocation) -> str | None:
        """Take what a request says besides; or what is wrong with it. Raises Misgiven for a word."""
        channel, call = invocation.channel, invocation.channel.call
        if call is not None and call.ref is not None:
            invocation.method = self._registry.hooked(lent_method(channel, invocation.name))
        method = invocation.method
        if channel.problem is not None or call is None or method is None:
            return channel.problem
        invocation.kwargs = call.kwargs
        if call.options and (taken := own_parameters(method, call.options)):
            return (
                f"the method has a parameter {', '.join(taken)} of its own, and the client took it for an option of "
                "the call: on zerorpc.options(client, …) all keywords are the method's"
            )
        if call.key is not None and (call.stream is not None or call.lends):
            return "a call with an idempotency key can't be repeated with an argument that streams, or is a function"
        if call.lends and (problem := self._borrow(invocation, method)) is not None:
            return problem
        if call.progress and self.runners is not None:
            report_to_caller(invocation, self.runners.loop)
        if call.stream is not None and (problem := self._take_stream(invocation, method, call.stream)) is not None:
            return problem
        if call.words and method.schema is not None and type(invocation.args) is list:  # last: the others replace them
            kwargs = invocation.kwargs or {}
            invocation.args, invocation.kwargs = method.schema.for_words.convert(invocation.args, kwargs)
            if type(channel.event) is WireEvent:
                channel.event.args = invocation.args  # for hooks
        return None

    def _borrow(self, invocation: RpcInvocation, method: Method) -> str | None:
        """Put what stands for the caller's functions and objects in their places; or why that can't be."""
        runners, channel, link = self.runners, invocation.channel, invocation.link
        assert runners is not None
        if method.where is Where.PROCESS:
            return "it runs in a worker process, which can't call the caller's functions"
        make_lease: Callable[[int], LoopLease | ThreadLease] = (
            functools.partial(LoopLease, channel, link, runners.loop)
            if method.where is Where.LOOP
            else functools.partial(
                ThreadLease, channel, link, runners.loop, functools.partial(runners.park, invocation)
            )
        )
        try:
            invocation.args, invocation.kwargs = borrow_arguments(channel, make_lease)
        except ValueError as error:
            return str(error)
        if type(channel.event) is WireEvent:
            channel.event.args = invocation.args  # for hooks
        return None

    def _take_stream(self, invocation: RpcInvocation, method: Method, place: int | str) -> str | None:
        """Put an iterator in the place of the argument that streams; or why that can't be."""
        runners, channel, link = self.runners, invocation.channel, invocation.link
        assert runners is not None
        if channel.peer.level < 1:
            return f"argument {place} is a stream, whose items a peer without extension level 1 can't send"
        name = parameter_at(method.entered, place) if method.takes else None
        kind = method.takes.get(name or "")
        if kind is None:
            return (
                f"argument {place} is a stream, which the method doesn't take there: it has to annotate the parameter "
                "as Iterator or, on the event loop, AsyncIterator, or to be marked with @zerorpc.takes_stream"
            )
        if kind is PLAIN and method.where is Where.LOOP:
            return f"it runs on the event loop, which a plain iterator would block: annotate {name} as AsyncIterator"
        items: object = (
            LoopItems(channel, link, runners.loop)
            if kind is ASYNC
            else ThreadItems(channel, link, runners.loop, functools.partial(runners.park, invocation))
        )
        return _put(invocation, place, items)

    # What else the hub tells

    def make_peer(self, mechanism: NewMechanism = Null) -> ServerPeer:
        peer = ServerPeer(self._heartbeat, self._context.next_msgid, self._limits, mechanism)
        peer.tap = self.tap
        if self.hub.admission is None:  # else nobody knows yet who it is
            peer.methods = self._registry.table
        return peer

    def _admitted(self, link: AioLink, identity: str) -> None:
        rules = self._rules
        if isinstance(identity, Visitor):
            visited = Registry(self._registry.name)
            visited.register(identity.functions, "", None)
            rules = Rules(visited.answering, None)
        link.peer.rights = link.peer.methods = Rights(rules, identity)

    def peer_ready(self, link: AioLink) -> None:
        if self.watch is not None:
            self.watch.made(link, link.sock, link.peer.rights)
        self._count_callers()
        if self.leaving:  # it shook hands too late to be told with the others
            self._send_goaway(link)

    def _count_callers(self) -> None:
        if self.runners is not None:
            self.runners.count_callers(len(self.hub.links))

    def peer_writable(self, link: AioLink) -> None:
        for channel in list(link.peer.channels.values()):
            _wake(channel)
        held, link.peer.held = link.peer.held, []
        self.received(link, held)
        assert self.runners is not None
        self.runners.start_waiting()

    def peer_leaves(self, link: AioLink) -> None:
        self._heard.set()

    def peer_lost(self, link: AioLink, ended: list[ServerChannel]) -> None:
        if self.on_lost is not None and link.dialer is None:
            self.on_lost()
        if self.watch is not None:
            self.watch.lost(link)
        if self.hub.admission is not None:
            self.hub.admission.forget(link)
        self._count_callers()
        for channel in ended:
            _wake(channel)
        self._heard.set()

    def peer_retires(self, link: AioLink) -> None:
        self._send_goaway(link)
        link.flush()

    def is_idle(self, link: AioLink) -> bool:
        """An old client can't be told: its next request may be on its way. It is the one to close."""
        peer: ServerPeer = link.peer
        return peer.heard_goaway and not peer.channels

    def forked(self) -> None:
        if self.runners is not None:
            self.runners.forked()

    # The end

    def close(self) -> None:
        """Let nobody in any more, and tell clients of ours to go elsewhere. What runs goes on. On the loop."""
        self.hub.stop_accepting()
        self.leaving = True
        for link in list(self.hub.links):
            self._send_goaway(link)
            link.flush()

    def _send_goaway(self, link: AioLink) -> None:
        try:
            link.peer.send_goaway()
        except Exception as error:  # of a program's own new_msgid: the others are told all the same
            logger.error("%s could not be told that the server stops", link.name, raised=error)

    async def until_heard(self) -> None:
        """Until each client of ours has heard it, so that no request is on its way any more: it would be lost, and its
        caller could not know whether the method ran. One that doesn't read is not waited for.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HEARD_MAX):
                while any(link.peer.level >= 1 and not link.peer.heard_goaway for link in self.hub.links):
                    await self._heard.wait()
                    self._heard.clear()


def _put(invocation: RpcInvocation, place: int | str, items: object) -> str | None:
    """In the place of an argument; or why that can't be."""
    args, kwargs = invocation.args, invocation.kwargs
    if isinstance(place, str) and kwargs is not None and place in kwargs:
        kwargs[place] = items
    elif isinstance(place, int) and isinstance(args, list) and 0 <= place < len(args):
        args[place] = items
    else:
        return f"a stream is said to be argument {place}, which there isn't"
    return None


def _outer(channel: ServerChannel, call: CallHeader) -> ServerChannel | None:
    """The call that runs here, and that waits for a function of its caller's, which makes this one. It would never end
    if this one had to wait until it has ended.
    """
    outer = channel.peer.channels.get(bytes(call.within)) if call.within is not NO_ID else None
    return outer if outer is not None and outer.pending is not None and outer.pending.waiting else None


def _wake(channel: ServerChannel) -> None:
    """Credit or an item came, the peer reads again, or the caller went."""
    if channel.runner is not None:
        channel.runner.wake()
    if channel.reader is not None:
        channel.reader.wake()
