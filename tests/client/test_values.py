"""Every value arrives as what it is, or not at all, whichever way it goes."""

from __future__ import annotations

import array
import asyncio
import datetime
import enum
import queue
import select
import sys
import zoneinfo
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

import zerorpc
from tests.client.value_types import NATURAL, NUMBERS, Direction, Point, same
from tests.client.ways import EACH_WAY, EITHER_CLIENT, Way
from tests.service.running import PATIENCE, RawPeer, eventually, on_thread, serving
from zerorpc.protocol.events import decode
from zerorpc.protocol.packing import Forms
from zerorpc.protocol.values import value_of
from zerorpc.zmtp import SocketType

ALL = {**NATURAL, **NUMBERS}
PLACES: dict[str, Callable[[Any], Any]] = {
    "itself": lambda value: value,
    "in a list": lambda value: [value, 1],
    "in a map": lambda value: {"key": value},
    "in a tuple in a map": lambda value: {1: [(value,)]},
}


class Harmful:
    """Nobody can read it."""

    error: type[BaseException]

    @classmethod
    def read(cls, value: object) -> object:
        raise cls.error


zerorpc.register_type(61, Harmful, lambda value: 1, Harmful.read)


class Service:
    def echo(self, value: Any) -> Any:
        return value

    async def aecho(self, *, value: Any) -> Any:
        return value

    def fail(self, kind: str) -> None:
        raise ValueError(ALL[kind])

    def harmful(self) -> Any:
        return Harmful()

    def items(self, value: Any) -> Iterator[Any]:
        yield value
        yield [value]

    @zerorpc.rep
    def kept(self, value: Any) -> Any:
        return value

    async def each(self, values: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for value in values:
            yield value

    def apply(self, function: Callable[[Any], Any], value: Any) -> Any:
        return function(value)

    @zerorpc.process
    def process(self, value: Any) -> Any:
        return value


def listed(value: Any) -> Any:
    """As it arrives: tuples are lists, but for those in sets and keys."""
    if isinstance(value, list | tuple):
        return [listed(part) for part in value]
    return {key: listed(part) for key, part in value.items()} if isinstance(value, dict) else value


def described(description: list[Any], octets: bytes) -> bytes:
    head = msgspec.msgpack.encode(description)
    return len(head).to_bytes(2, "big") + head + octets


def array_of(code: str, size: int, order: str, octets: bytes = bytes(8)) -> bytes:
    return described([code, size, order], octets)


def memory_of(kind: str, shape: list[int], order: str) -> bytes:
    return described([kind, shape, order], bytes(4))


def hashes_of(count: int) -> bytes:
    """A set of numbers that all have the same hash."""
    return Forms(natural=True).of(frozenset(n * (2**61 - 1) for n in range(1, count + 1))).data  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with serving(Service()) as server:
        yield server.endpoints[0]


@EACH_WAY
@pytest.mark.parametrize("kind", ALL)
def test_a_value_arrives_as_what_it_is(endpoint: str, way: Way, kind: str) -> None:
    for place, make in PLACES.items():
        value = make(ALL[kind])
        if "memoryview" in kind and place != "itself":
            continue  # its octets, as the guide has it
        for use in (lambda client, v=value: client.echo(v), lambda client, v=value: client.aecho(value=v)):
            assert same(way(endpoint, use), listed(value)), place


@EITHER_CLIENT
@pytest.mark.parametrize("kind", ALL)
def test_an_error_shows_it(endpoint: str, way: Way, kind: str) -> None:
    with pytest.raises(zerorpc.RemoteError) as caught:
        way(endpoint, lambda client: client.fail(kind))
    assert (caught.value.name, caught.value.msg) == ("ValueError", str(ALL[kind]))


@EITHER_CLIENT
@pytest.mark.parametrize("kind", ALL)
def test_an_item_a_result_of_rep_and_of_a_worker_process(endpoint: str, way: Way, kind: str) -> None:
    value = ALL[kind]
    assert same(way(endpoint, lambda client: client.items(value))[0], value)
    assert same(way(endpoint, lambda client: client.kept(value)), value)
    if "memoryview" not in kind:  # can't be pickled
        assert same(way(endpoint, lambda client: client.process(value)), value)


@pytest.mark.parametrize("kind", ALL)
def test_items_of_an_argument_and_what_lent_functions_get_and_give(endpoint: str, kind: str) -> None:
    value = ALL[kind]
    given: list[Any] = []

    def function(it: Any) -> Any:
        given.append(it)
        return it

    with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        assert same(list(client.each(iter([value, 1]))), [value, 1])
        assert same(client.apply(function, value), value)
    assert same(given, [value])


@pytest.mark.parametrize("kind", ALL)
def test_a_puller_and_a_subscriber(kind: str) -> None:
    value = ALL[kind]
    for sending, taking in ((zerorpc.Pusher, zerorpc.Puller), (zerorpc.Publisher, zerorpc.Subscriber)):
        taken: queue.Queue[Any] = queue.Queue()
        taker = taking({"take": taken.put})
        with sending() as sender, on_thread(taker):
            taker.connect(sender.bind("tcp://127.0.0.1:0")[0])

            def arrived(sender: zerorpc.Pusher = sender, taken: queue.Queue[Any] = taken) -> bool:
                sender.take(value)
                return not taken.empty()

            eventually(arrived)
            assert same(taken.get(), value)


def test_a_one_way_peer_of_an_older_protocol_gets_what_it_can_take(caplog: pytest.LogCaptureFixture) -> None:
    for kind, sender in ((SocketType.PULL, zerorpc.Pusher()), (SocketType.SUB, zerorpc.Publisher())):
        with sender:
            sender.first()  # it is at work from now on
            older = RawPeer.to(sender.bind("tcp://127.0.0.1:0")[0], kind)
            if kind is SocketType.SUB:
                older.connection.send_subscribe(b"")
                older._flush()

            def told(sender: zerorpc.Pusher = sender) -> bool:
                sender.m({1})
                return "an event is not sent to" in caplog.text

            eventually(told)
            assert "values of type set (it takes a list)" in caplog.text

            def subscribed(sender: zerorpc.Pusher = sender, older: RawPeer = older) -> bool:
                sender.probe()
                return bool(select.select([older.sock], [], [], 0.01)[0])

            eventually(subscribed)
            sender.m(np.float64(1.5), np.int8(3))
            sender.last()
            events = [older.next_event()]
            while events[-1].name != "last":
                events.append(older.next_event())
            assert [event.args for event in events if event.name == "m"] == [[1.5, 3]]
            older.sock.close()
        caplog.clear()


def test_what_stays_as_it_is_between_all_peers(endpoint: str) -> None:
    with zerorpc.Client(endpoint) as client:
        assert same(client.echo(Direction.UP), "up")
        assert same(client.echo([Direction.UP, {Direction.UP: 1}]), ["up", {"up": 1}])
        assert same(client.echo(bytearray(b"x")), b"x")
        assert same(client.echo({"m": memoryview(b"xyz")[1:]}), {"m": b"yz"})
        unknown = client.echo([msgspec.msgpack.Ext(5, b"x")])[0]
        assert (unknown.code, unknown.data) == (5, b"x")


def test_an_array_that_arrives_is_the_program_s_own(endpoint: str) -> None:
    with zerorpc.Client(endpoint) as client:
        array = client.echo(np.zeros(3))
        array += 1
        assert array.tolist() == [1, 1, 1]


class Album:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.pictures: list[Any] = []

    def add(self, picture: Any) -> Any:
        self.pictures.append(picture)
        return picture


@EACH_WAY
def test_arrays_that_somebody_keeps_stay_as_they_are_while_others_come(way: Way) -> None:
    """The memory of large frames is used again, as soon as nobody has it."""
    album, kept = Album(), []
    with serving(album) as server:
        for round_ in range(3):
            for number in range(6):
                picture = np.full((400, 200), 10 * round_ + number, "f4")
                kept.append(way(server.endpoints[0], lambda client, picture=picture: client.add(picture)))
            kept[::2], album.pictures[::3] = [None] * len(kept[::2]), [None] * len(album.pictures[::3])
        for pictures in (kept, album.pictures):
            for place, picture in enumerate(pictures):
                assert picture is None or (picture == 10 * (place // 6) + place % 6).all()


def test_a_function_in_a_map_of_dates_is_refused(endpoint: str) -> None:
    """What is lent would be lost inside of an extension type."""
    with zerorpc.Client(endpoint) as client:
        with pytest.raises(zerorpc.SerializationError, match="a value of type function can't be sent"):
            client.echo({datetime.date(2026, 11, 28): lambda: None})
        with pytest.raises(zerorpc.SerializationError, match="a value of type function can't be sent"):
            client.echo({lambda: None})


def test_arrays_of_objects_are_refused(endpoint: str) -> None:
    with zerorpc.Client(endpoint) as client, pytest.raises(zerorpc.SerializationError, match="arrays of objects"):
        client.echo(np.array([object()]))


def test_octets_that_are_no_value_fail_their_call_only(endpoint: str) -> None:
    with zerorpc.Client(endpoint) as client:
        for code, data in (
            (69, b"yesterday"),
            (65, b"\x91"),
            (67, b"\x91\x01"),
            (74, b"short"),
            (77, described(["|O", [1]], bytes(8))),
            (77, b"\x00\x00"),
            (75, b""),
            (75, b"\x00\x01\x05"),
            (75, array_of("q", 3, sys.byteorder)),
            (76, memory_of("B", [4], "big" if sys.byteorder == "little" else "little")),
            (76, memory_of("B", [0], sys.byteorder)),
            (66, hashes_of(70)),
            (77, described(["|u1", [4000]], b"")),
            (77, described(["<f8", [1 << 36]], b"")),
            (77, described(["V0", [1 << 24]], b"")),
            (77, described(["|u1", [1 << 24, 0]], b"")),
            (77, described(["|u1", [-1]], bytes(8))),
            (77, described(["<f8", None], bytes(8))),
            (65, msgspec.msgpack.encode([1, 1])),
            (67, msgspec.msgpack.encode([1, 2, 1, 3])),
            (63, b"\x01"),
        ):
            with pytest.raises(zerorpc.RemoteError, match=f"a value of extension type {code} can't be read"):
                client.echo(msgspec.msgpack.Ext(code, data))
        assert client.echo(1) == 1


def test_the_memory_of_a_server_is_nobody_else_s(endpoint: str) -> None:
    """An array whose octets didn't come once had those that were there before."""
    with zerorpc.Client(endpoint) as client:
        client.echo(b"hunter2" * 500)
        with pytest.raises(zerorpc.RemoteError, match="4000 items of 1 octets has not 0 octets"):
            client.echo(msgspec.msgpack.Ext(77, described(["|u1", [4000]], b"")))
        empty = client.echo(msgspec.msgpack.Ext(77, described(["<f4", [0, 60_000]], b"")))
        assert empty.shape == (0, 60_000)


@pytest.mark.parametrize("keys", [3, 300])
def test_maps_with_tuples_as_keys_of_any_size(endpoint: str, keys: int) -> None:
    value = {(n, n + 1): f"cell number {n}" for n in range(keys)}
    with zerorpc.Client(endpoint) as client:
        assert client.echo(value) == value
        assert list(client.items(value)) == [value, [value]]


def test_keys_that_would_become_the_same_are_refused(endpoint: str) -> None:
    with zerorpc.Client(endpoint) as client:
        with pytest.raises(zerorpc.SerializationError, match="two keys of a map would become the same"):
            client.echo({Direction.UP: 1, "up": 2})
        with pytest.raises(zerorpc.RemoteError, match="two of its elements are the same"):
            client.echo({Direction.UP, "up"})
        assert client.echo({Direction.UP: 1}) == {"up": 1}


def test_what_hides_its_value_is_refused(endpoint: str) -> None:
    zone = zoneinfo.ZoneInfo("Europe/Berlin")
    with zerorpc.Client(endpoint) as client:
        for value in (np.ma.array(5, mask=True), datetime.time(2, tzinfo=zone)):
            with pytest.raises(zerorpc.SerializationError):
                client.echo(value)
        assert client.echo(np.str_("")) == "", "empty texts of NumPy have no octets"
        assert client.echo(np.bytes_(b"")) == b""


def test_arrays_of_a_machine_with_another_order_of_octets_or_larger_numbers(endpoint: str) -> None:
    other = "big" if sys.byteorder == "little" else "little"
    seven = (7).to_bytes(8, other)  # type: ignore[arg-type]
    with zerorpc.Client(endpoint) as client:
        assert same(client.echo(msgspec.msgpack.Ext(75, array_of("q", 8, other, seven))), array.array("q", [7]))
        assert client.echo(msgspec.msgpack.Ext(75, array_of("l", 4, sys.byteorder))).tolist() == [0, 0]


@pytest.mark.parametrize(
    "view",
    [memoryview(np.zeros(2, [("a", "i4")])), memoryview(array.array("d"))],
    ids=["records", "empty"],
)
def test_memory_that_nobody_could_make_again_is_refused(endpoint: str, view: memoryview) -> None:
    with zerorpc.Client(endpoint) as client, pytest.raises(zerorpc.SerializationError):
        client.echo(view)


def test_a_map_of_dates_for_an_older_peer() -> None:
    with pytest.raises(TypeError, match=r"a value of type datetime\.date can't be sent to a peer of an older protocol"):
        Forms(natural=False).of({datetime.date(2026, 11, 28): 1})


# Types of a program's own


def test_registering_a_type() -> None:
    class Other: ...

    with pytest.raises(ValueError, match="code 63 was registered for Point"):
        zerorpc.register_type(63, Other, repr, repr)
    with pytest.raises(ValueError, match="Point was registered with code 63"):
        zerorpc.register_type(62, Point, repr, repr)
    for own in (set, int, list, tuple, bytearray, str):
        with pytest.raises(ValueError, match=f"{own.__name__} travels as itself already"):
            zerorpc.register_type(62, own, repr, repr)
    for code in (-1, 64, True, "1"):
        with pytest.raises(ValueError, match="a code is a number from 0 to 63"):
            zerorpc.register_type(code, Other, repr, repr)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a class is needed"):
        zerorpc.register_type(1, "Other", repr, repr)  # type: ignore[arg-type]


def test_a_class_that_is_derived_from_a_registered_one_is_not_it(endpoint: str) -> None:
    class Derived(Point): ...

    with zerorpc.Client(endpoint) as client, pytest.raises(zerorpc.SerializationError, match="Derived can't be sent"):
        client.echo(Derived(1, 2))


def test_what_its_functions_raise_is_told(endpoint: str) -> None:
    class Odd:
        pass

    def refuse(value: object) -> object:
        raise LookupError("odd")

    zerorpc.register_type(62, Odd, refuse, refuse)
    with zerorpc.Client(endpoint) as client:
        with pytest.raises(zerorpc.SerializationError, match="LookupError: odd"):
            client.echo([Odd()])
        with pytest.raises(zerorpc.RemoteError, match="extension type 62 can't be read: LookupError: odd"):
            client.echo(msgspec.msgpack.Ext(62, b"\x01"))


@EITHER_CLIENT
@pytest.mark.parametrize("error", [asyncio.CancelledError, SystemExit, GeneratorExit])
def test_what_its_function_raises_harms_no_other_call(endpoint: str, way: Way, error: type[BaseException]) -> None:
    Harmful.error = error
    with pytest.raises(zerorpc.RemoteError, match=f"extension type 61 can't be read: {error.__name__}"):
        way(endpoint, lambda client: client.echo(Harmful()))
    with pytest.raises(zerorpc.ProtocolError, match=f"extension type 61 can't be read: {error.__name__}"):
        way(endpoint, lambda client: client.harmful())
    assert way(endpoint, lambda client: client.echo(1)) == 1


def test_ctrl_c_in_its_function_is_ctrl_c() -> None:
    Harmful.error = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        value_of(61, memoryview(b"\x01"))


def test_an_enum_that_is_registered(endpoint: str) -> None:
    class Colour(enum.IntEnum):
        RED = 1

    zerorpc.register_type(60, Colour, lambda colour: colour.name, lambda name: Colour[name])
    with zerorpc.Client(endpoint) as client:
        assert client.echo([Colour.RED]) == [Colour.RED]
        assert type(client.echo(Colour.RED)) is Colour


# Without NumPy


def test_numbers_of_numpy_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = [np.float64(1.5), np.float32(0.5), np.int8(-3), np.uint64(2**63), np.bool_(True), np.complex64(1j)]
    data = Forms(natural=True).pack({}, "m", [*numbers, np.array([7], ">i4")[0]])
    texts = Forms(natural=True).pack({}, "m", [np.str_("text"), np.bytes_(b"octets"), np.array(["ü"], ">U1")[0]])
    others = [Forms(natural=True).pack({}, "m", [value]) for value in (np.zeros(2), np.datetime64("2026", "Y"))]
    monkeypatch.setitem(sys.modules, "numpy", None)  # type: ignore[arg-type]
    event = decode(data)
    assert same(getattr(event, "args", event), [1.5, 0.5, -3, 2**63, True, 1j, 7])
    event = decode(texts)
    assert same(getattr(event, "args", event), ["text", b"octets", "ü"])
    for each in others:
        assert "pip install numpy" in getattr(decode(each), "problem", "")
