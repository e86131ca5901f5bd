"""``zerorpc.options(client, out=…)``: what comes goes into memory that the program has already."""

from __future__ import annotations

import array
import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import zerorpc
from tests.client.ways import EITHER_CLIENT, Way, blocking, on_loop
from tests.service.running import serving

LARGE = np.arange(100_000, dtype=np.float32).reshape(100, 1000)  # in a frame of its own


class Camera:
    def echo(self, value: Any) -> Any:
        return value

    def frames(self, count: int) -> Iterator[Any]:
        for number in range(count):
            yield np.full((2, 3), number, np.int16)


@pytest.fixture(scope="module")
def camera() -> Iterator[str]:
    with serving(Camera()) as server:
        yield server.endpoints[0]


@EITHER_CLIENT
@pytest.mark.parametrize("value", [LARGE, LARGE[:2], LARGE[:0]])
def test_an_array_goes_into_one_of_its_type_and_shape(camera: str, way: Way, value: Any) -> None:
    out = np.zeros_like(value)
    assert way(camera, lambda client: client.echo(value), out=out) is out
    assert np.array_equal(out, value)


@EITHER_CLIENT
def test_it_may_be_a_part_of_a_larger_one(camera: str, way: Way) -> None:
    whole = np.zeros((100, 2000), np.float32)
    way(camera, lambda client: client.echo(LARGE), out=whole[:, ::2])
    assert np.array_equal(whole[:, ::2], LARGE)
    assert not whole[:, 1::2].any()


@EITHER_CLIENT
@pytest.mark.parametrize("value", [b"four", array.array("i", [1]), memoryview(array.array("i", [1])), LARGE[0, :1]])
@pytest.mark.parametrize("out", [bytearray(4), array.array("i", [0]), np.zeros(4, np.uint8)])
def test_octets_go_into_memory_of_their_length(camera: str, way: Way, value: Any, out: Any) -> None:
    if isinstance(value, np.ndarray) and isinstance(out, np.ndarray):
        out = out.view(value.dtype)
    assert way(camera, lambda client: client("echo", value), out=out) is out
    assert bytes(out) == bytes(value)


@EITHER_CLIENT
@pytest.mark.parametrize(
    ("value", "out", "why"),
    [
        (b"four", bytearray(3), "4 octets came, and out= has room for 3"),
        (b"four", bytearray(5), "4 octets came, and out= has room for 5"),
        ({"a": 1}, bytearray(3), "a dict has no octets to put into out="),
        (None, bytearray(3), "a NoneType has no octets to put into out="),
        (
            LARGE,
            np.zeros((100, 1000)),
            "an array of float32 with shape (100, 1000) doesn't go into an array of float64",
        ),
        (LARGE, np.zeros((1000, 100), np.float32), "doesn't go into an array of float32 with shape (1000, 100)"),
    ],
)
def test_what_does_not_fit_is_an_error_and_changes_nothing(
    camera: str, way: Way, value: Any, out: Any, why: str
) -> None:
    before = bytes(out)
    with pytest.raises(zerorpc.InvalidResult) as caught:
        way(camera, lambda client: client.echo(value), out=out)
    assert str(caught.value).startswith("the result of echo: ")
    assert why in str(caught.value)
    assert (caught.value.method, caught.value.ran) == ("echo", True)
    assert bytes(out) == before


@pytest.mark.parametrize("out", [b"octets", "text", 1, [1], np.frombuffer(b"octets", np.uint8), memoryview(b"a")])
def test_what_cannot_be_written_to_is_refused_when_it_is_given(camera: str, out: Any) -> None:
    with (
        zerorpc.Client(camera) as client,
        pytest.raises(TypeError, match=f"^out has to be memory .* not a {type(out).__name__}$"),
    ):
        zerorpc.options(client, out=out)


def test_items_of_a_stream_go_there_one_after_another(camera: str) -> None:
    out = np.zeros((2, 3), np.int16)
    with zerorpc.Client(camera) as client:
        seen = [(frame is out, int(out.max())) for frame in zerorpc.options(client, out=out).frames(3)]
    assert seen == [(True, 0), (True, 1), (True, 2)]


async def _seen(camera: str, out: Any) -> list[tuple[bool, int]]:
    async with zerorpc.AsyncClient(camera) as client:
        return [(frame is out, int(out.max())) async for frame in zerorpc.options(client, out=out).frames(3)]


def test_so_do_those_of_an_async_client(camera: str) -> None:
    assert asyncio.run(_seen(camera, np.zeros((2, 3), np.int16))) == [(True, 0), (True, 1), (True, 2)]


@EITHER_CLIENT
def test_none_takes_it_back(camera: str, way: Way) -> None:
    out = bytearray(4)
    assert way(camera, lambda client: zerorpc.options(client, out=None).echo(b"four"), out=out) == b"four"
    assert out == bytearray(4)


def test_where_there_is_no_room_for_what_comes_it_is_refused(camera: str) -> None:
    with zerorpc.Client(camera) as client:
        view = zerorpc.options(client, out=bytearray(4))
        with pytest.raises(TypeError, match="out= is not for async_=True"):
            zerorpc.options(view, async_=True)
        with pytest.raises(TypeError, match=r"typed\(\) is not for out="):
            zerorpc.typed(view, Camera)
        with pytest.raises(TypeError, match=r"every\(\) gives many outcomes"):
            list(zerorpc.every(view).echo(b"four"))


@pytest.mark.parametrize("way", [blocking, on_loop])
@pytest.mark.parametrize("count", [4, 100_000])
def test_arrays_and_memoryviews_can_be_written_to_without_it(camera: str, way: Way, count: int) -> None:
    """They arrive in memory of their own, whichever way they came."""
    numbers = array.array("i", range(count))
    for value in (numbers, memoryview(numbers), np.array(numbers)):
        arrived = way(camera, lambda client, value=value: client.echo(value))
        arrived[0] = 7
        assert arrived[0] == 7
        assert value[0] == 0


@pytest.mark.parametrize("out", [np.zeros(1, "O"), np.zeros(1, [("a", "O")])])
def test_octets_never_become_pointers(camera: str, out: Any) -> None:
    with zerorpc.Client(camera) as client, pytest.raises(TypeError, match="has to be memory"):
        zerorpc.options(client, out=out)


@EITHER_CLIENT
def test_octets_dont_go_into_every_other_place(camera: str, way: Way) -> None:
    out = np.zeros((4, 2), np.uint8)
    with pytest.raises(zerorpc.InvalidResult, match="octets can't go into out="):
        way(camera, lambda client: client.echo(b"four"), out=out[:, 0])
    assert not out.any()
