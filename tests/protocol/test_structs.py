"""What a class of the decorator's is, and which classes may be one."""

from __future__ import annotations

import gc
import weakref

import pytest
from msgspec import Raw, Struct

from zerorpc.doors.hooked_invocation import HookedInvocation
from zerorpc.doors.rpc_invocation import RpcInvocation
from zerorpc.protocol.channel import ClientChannel
from zerorpc.protocol.events import Header, WireEvent
from zerorpc.protocol.flow import Inflow
from zerorpc.protocol.server_channel import ServerChannel
from zerorpc.protocol.structs import quick_to_change


@quick_to_change
class Kept(Struct, eq=False, weakref=True):
    owner: object
    count: int = 0
    partner: object = None


class Derived(Kept, eq=False):
    more: int = 0


@pytest.mark.parametrize("kind", [Kept, Derived])
def test_attributes_are_set_and_deleted_as_before(kind: type[Kept]) -> None:
    kept = kind([])
    kept.count += 1
    kept.partner = "somebody"
    assert (kept.count, kept.partner) == (1, "somebody")
    del kept.partner
    with pytest.raises(AttributeError):
        kept.partner  # noqa: B018
    with pytest.raises(AttributeError):
        kept.other = 1  # type: ignore[attr-defined]


def test_what_is_a_circle_is_collected() -> None:
    one = Kept([])
    one.partner = Kept([], partner=one)
    gone = weakref.ref(one)
    del one
    gc.collect()
    assert gone() is None


def test_objects_of_these_classes_are_known_to_the_garbage_collector_from_the_start() -> None:
    """Or a circle that they are later made part of would stay for ever."""
    event = WireEvent(Header(), "method", None)
    channel = ServerChannel(None, b"id", event, b"", None)  # type: ignore[arg-type]
    link = None
    for made in (
        ClientChannel(b"id", "method", b""),
        channel,
        Inflow(100, 50),
        RpcInvocation(None, "method", None, channel, link),  # type: ignore[arg-type]
        HookedInvocation(None, "method", None, channel, link, None),  # type: ignore[arg-type]
    ):
        assert gc.is_tracked(made), type(made)
        assert type(made).__setattr__ is object.__setattr__, type(made)


def test_others_need_not_be() -> None:
    """The case that the rule is about: msgspec leaves it to the first attribute that is set."""

    class Plain(Struct, eq=False):
        value: object

    plain = Plain(Raw(b""))
    was = gc.is_tracked(plain)
    plain.value = []
    assert (was, gc.is_tracked(plain)) == (False, True)
