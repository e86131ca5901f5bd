"""A name and its addresses: which are to be connected, under a fake clock."""

from __future__ import annotations

import itertools
import random
import socket
import sys
from types import FrameType
from typing import Any

import pytest

from tests.transport.owners import Owner
from zerorpc.errors import HandshakeFailed
from zerorpc.protocol.peer import News
from zerorpc.transport.dialer import Dialer
from zerorpc.transport.endpoints import Address, parse
from zerorpc.transport.link import Link
from zerorpc.transport.names import Change, Name, new_dialer


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: 1.0)


def address(host: str, scope: int = 0) -> Address:
    if ":" in host:
        return socket.AF_INET6, (host, 1, 0, scope)
    return socket.AF_INET, (host, 1)


def name_with(*hosts: str) -> Name:
    name = Name(parse("tcp://service:1"))
    name.look_up_begins(0.0)
    found(name, *hosts)
    return name


def found(name: Name, *hosts: str, now: float = 0.0) -> Change:
    return name.found([address(host) for host in hosts], now)


def hosts(dialers: object) -> list[str]:
    assert isinstance(dialers, tuple)
    return [each.endpoint.host for each in dialers]


def dialer(name: Name, host: str) -> Dialer:
    return name.dialers[address(host)]


def fail(name: Name, host: str, now: float = 0.0) -> Change:
    each = dialer(name, host)
    return name.address_failed(each, each.failed("refused"), now)


def test_an_address_has_its_names_scheme() -> None:
    name = Name(parse("tls+tcp://service:1"))
    name.look_up_begins(0.0)
    found(name, "10.0.0.1", "::1")
    assert [each.endpoint.text for each in name.dialers.values()] == ["tls+tcp://10.0.0.1:1"]
    assert dialer(name, "10.0.0.1").security is name.security


def test_only_a_name_is_looked_up() -> None:
    assert type(new_dialer(parse("tcp://service:1"))) is Name
    for text in ("tcp://127.0.0.1:1", "tcp://[::1]:1", "ipc://x", "inproc://x"):
        assert type(new_dialer(parse(text))) is Dialer


def test_all_addresses_are_used_each_once() -> None:
    name = Name(parse("tcp://service:1"))
    change = found(name, "10.0.0.1", "10.0.0.2", "10.0.0.1")
    assert (hosts(change.begin), change.retire) == (["10.0.0.1", "10.0.0.2"], ())
    assert [each.endpoint.text for each in change.begin] == ["tcp://10.0.0.1:1", "tcp://10.0.0.2:1"]
    assert all(each.name is name for each in change.begin)


def test_new_addresses_begin_and_those_that_are_gone_retire() -> None:
    name = name_with("10.0.0.1", "10.0.0.2")
    kept, gone = name.dialers.values()
    assert (kept.endpoint.host, gone.endpoint.host) == ("10.0.0.1", "10.0.0.2")
    change = found(name, "10.0.0.3", "10.0.0.1")
    assert (hosts(change.begin), change.retire) == (["10.0.0.3"], (gone,))
    assert (gone.retired, gone.wanted, kept.wanted) == (True, False, True)
    assert list(name.dialers.values()) == [dialer(name, "10.0.0.3"), kept]
    back = found(name, "10.0.0.3", "10.0.0.1", "10.0.0.2").begin[0]
    assert back is not gone
    assert back.wanted


def test_it_is_looked_up_every_30_s() -> None:
    name = Name(parse("tcp://service:1"))
    assert name.look_up_at < 0
    name.look_up_begins(5.0)
    assert name.look_up_at == float("inf")
    found(name, "10.0.0.1", now=6.0)
    assert name.look_up_at == 36.0


def test_a_failure_has_it_looked_up_at_once_but_no_more_often_than_once_a_second() -> None:
    name = name_with("10.0.0.1", "10.0.0.2")
    fail(name, "10.0.0.1", now=0.2)
    assert name.look_up_at == 1.0
    fail(name, "10.0.0.1", now=7.0)
    assert name.look_up_at == 1.0, "it is due"
    name.look_up_begins(7.0)
    fail(name, "10.0.0.2", now=7.1)
    assert name.look_up_at == float("inf"), "that is being done"
    found(name, "10.0.0.1", "10.0.0.2", now=7.2)
    fail(name, "10.0.0.1", now=20.0)
    assert name.look_up_at == 20.0


def test_until_it_is_found_it_is_looked_up_as_often_as_an_address_is_tried() -> None:
    name = Name(parse("tcp://service:1"))
    assert [name.not_found("unknown", 1.0) for _ in range(7)] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0]
    assert name.look_up_at == 3.0
    assert name.status == "unknown"


def test_when_it_is_not_found_the_old_addresses_stay() -> None:
    name = name_with("10.0.0.1")
    before = dict(name.dialers)
    assert name.not_found("the resolver is down", 100.0) == 30.0
    assert name.dialers == before
    assert name.look_up_at == 130.0


@pytest.mark.parametrize(("first", "other"), [("::1", "127.0.0.1"), ("127.0.0.1", "::1")])
def test_addresses_of_one_family_are_used_and_the_others_when_none_of_them_can_be_reached(
    first: str, other: str
) -> None:
    name = Name(parse("tcp://service:1"))
    assert hosts(found(name, first, other).begin) == [first]
    change = fail(name, first)
    assert (hosts(change.begin), hosts(change.retire)) == ([other], [first])
    dialer(name, other).succeeded()
    assert found(name, first, other) == Change(), "what works stays"
    assert fail(name, other) == Change(), "its connection was lost: that one is tried again first"
    assert hosts(fail(name, other).begin) == [first]


def test_one_of_a_family_that_can_be_reached_is_enough() -> None:
    name = name_with("fd00::1", "fd00::2", "10.0.0.1")
    assert fail(name, "fd00::1") == Change()
    dialer(name, "fd00::2").succeeded()
    for _ in range(3):
        assert fail(name, "fd00::1") == Change()
    assert len(name.dialers) == 2


def test_a_family_whose_addresses_are_all_gone_is_left() -> None:
    name = name_with("fd00::1", "10.0.0.1")
    dialer(name, "fd00::1").succeeded()
    change = found(name, "10.0.0.1")
    assert (hosts(change.begin), hosts(change.retire)) == (["10.0.0.1"], ["fd00::1"])


def test_both_families_in_turn_are_tried_with_the_pauses_of_each_address() -> None:
    """Nobody listens at either: both are tried at 0 s, 0.05, 0.15, 0.35, 0.75, 1.55, 3.15, 5.15, ..."""
    name = name_with("::1", "127.0.0.1")
    now, tried = 0.0, []
    for _ in range(16):
        (each,) = name.dialers.values()
        now = max(now, each.due)
        tried.append((each.endpoint.host, now))
        fail(name, each.endpoint.host, now)
    times = list(itertools.accumulate([0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0]))
    assert [when for host, when in tried if host == "::1"] == pytest.approx(times)
    assert [when for host, when in tried if host == "127.0.0.1"] == pytest.approx(times)


def test_what_is_said_of_it_names_all_addresses_that_were_tried() -> None:
    name = name_with("10.0.0.1")
    assert name.status == "not tried yet"
    fail(name, "10.0.0.1")
    assert name.status == "refused"
    name = name_with("::1", "127.0.0.1")
    fail(name, "::1")
    fail(name, "127.0.0.1")
    assert name.status == "tcp://[::1]:1 refused, tcp://127.0.0.1:1 refused"
    assert repr(name) == f"<Dialer tcp://service:1 {name.status}>"


def test_a_name_that_nobody_wants_has_no_address_that_anybody_wants() -> None:
    name = name_with("10.0.0.1", "10.0.0.2")
    name.close()
    assert not any(each.wanted for each in (name, *name.dialers.values()))


def test_a_local_address_keeps_its_zone() -> None:
    name = Name(parse("tcp://service:1"))
    (each,) = name.found([address("fe80::1%eth7", scope=7)], 0.0).begin
    assert each.endpoint.text == "tcp://[fe80::1%7]:1"
    assert each.endpoint.host == "fe80::1%7"


def interrupted(act: Any, line: int) -> bool:
    """Run with KeyboardInterrupt before the nth line of names.py; False when it has fewer."""
    lines = itertools.count()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.endswith("/names.py"):
            return None
        if event == "line" and next(lines) == line:
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def test_an_interrupt_at_any_line_leaves_nothing_that_the_next_look_up_does_not_put_right() -> None:
    for line in itertools.count():
        name = name_with("10.0.0.1", "10.0.0.2")
        before = set(name.dialers.values())
        more = interrupted(lambda name=name: found(name, "10.0.0.2", "10.0.0.3"), line)
        before |= set(name.dialers.values())
        found(name, "10.0.0.2", "10.0.0.3")
        assert list(name.dialers) == [address("10.0.0.2"), address("10.0.0.3")]
        assert all(each.wanted for each in name.dialers.values())
        assert not any(each.wanted for each in before - set(name.dialers.values()))
        if not more:
            assert line > 10
            break


def test_a_connection_that_was_still_shaking_hands_when_its_address_went_gets_nothing_new() -> None:
    class Retiring(Owner):
        def peer_retires(self, link: Any) -> None:
            self.lost.append(link)

    owner = Retiring()
    each = dialer(name_with("10.0.0.1"), "10.0.0.1")
    link: Link[Any, Any] = Link(owner, owner.make_peer(), each)
    link._heed((News.READY,))
    assert owner.lost == []
    each.retired = True
    link._heed((News.READY,))
    assert owner.lost == [link]


def test_a_name_refuses_when_each_of_its_addresses_does() -> None:
    name = name_with("10.0.0.1", "10.0.0.2")
    assert name.refusal is None
    dialers = list(name.dialers.values())
    dialers[0].handshake_ended(HandshakeFailed("no"), secured=True)
    assert name.refusal is None
    dialers[1].handshake_ended(HandshakeFailed("no"), secured=True)
    assert name.refusal is dialers[0].refusal
    name.succeeded()  # it was looked up again
    assert name.refusal is dialers[0].refusal
    assert Name(parse("tcp://service:1")).refusal is None
