"""Tests of examples/cooler.py by pytest: no port, no thread, no server to start.

::

    pip install pytest
    cd examples && pytest -c /dev/null --rootdir . test_cooler.py   # not by the settings of this repository
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cooler import Cooler

import zerorpc
import zerorpc.testing


@pytest.fixture
def cooler() -> Iterator[zerorpc.Client]:
    """A client whose server is in memory, anew for each test."""
    with zerorpc.testing.client(Cooler()) as client:
        yield client


def test_it_makes_a_sentence_cooler(cooler: zerorpc.Client) -> None:
    assert cooler.add_man("hi") == "hi, man!"


def test_it_streams(cooler: zerorpc.Client) -> None:
    assert list(cooler.count(3)) == [0, 1, 2]


def test_an_error_arrives_with_its_name(cooler: zerorpc.Client) -> None:
    with pytest.raises(zerorpc.RemoteError, match="division by zero") as caught:
        cooler.divide(1, 0)
    assert caught.value.name == "ZeroDivisionError"


def test_a_text_is_no_number(cooler: zerorpc.Client) -> None:
    with pytest.raises(zerorpc.InvalidArguments, match="number: expected int, got str"):
        cooler.add_42("one")


def test_a_server_that_falls_silent_is_noticed() -> None:
    """Time is the test's own: this takes no ten seconds."""
    clock = zerorpc.testing.Clock()
    faults = zerorpc.testing.Faults()
    with zerorpc.testing.client(Cooler(), clock=clock, faults=faults) as client:
        faults.half_open()
        later = client.add_man("hi", async_=True)
        clock.advance(11)  # two heartbeats
        with pytest.raises(zerorpc.LostRemote):
            later.get()
