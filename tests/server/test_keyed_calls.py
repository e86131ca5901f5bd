"""Calls with an idempotency key: run once, answered alike, whoever repeats them and however."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

import zerorpc
from tests.client.test_retry import Flaky
from tests.client.ways import EACH_WAY, Way
from tests.service.running import PATIENCE, RawPeer, eventually, joined, serving


class Shop:
    def __init__(self) -> None:
        self.runs: Counter[Any] = Counter()
        self.begun = threading.Event()
        self.release = threading.Event()

    def order(self, item: Any, count: int = 1) -> Any:
        self.runs[item] += 1
        zerorpc.current_call().reply_metadata["run"] = str(self.runs[item])
        return [item, count, self.runs[item]]

    async def aorder(self, item: Any) -> Any:
        self.runs[item] += 1
        return [item, self.runs[item]]

    @zerorpc.on_loop
    def qorder(self, item: Any) -> Any:
        self.runs[item] += 1
        return [item, self.runs[item]]

    def fail(self, item: Any) -> None:
        self.runs[item] += 1
        raise ValueError(f"failed {self.runs[item]}")

    def slow(self, item: Any) -> Any:
        self.runs[item] += 1
        self.begun.set()
        self.release.wait(PATIENCE)
        return [item, self.runs[item]]

    def stream(self, item: Any) -> Iterator[Any]:
        self.runs[item] += 1
        yield item

    def iterator(self, item: Any) -> Any:
        self.runs[item] += 1
        return iter([item, item])


def keyed(client: Any, key: Any = "k", **options: Any) -> Any:
    return zerorpc.options(client, key=key, **options)


@EACH_WAY
@pytest.mark.parametrize("method", ["order", "aorder", "qorder"])
def test_a_repeat_gets_the_same_answer_and_does_not_run(way: Way, method: str) -> None:
    shop = Shop()
    with serving(shop) as server:
        answers = [way(server.endpoints[0], lambda client: client(method, "tea"), key=key) for key in ("a", "a", b"a")]
    assert answers[0] == answers[1] != answers[2]
    assert shop.runs["tea"] == 2


@EACH_WAY
def test_an_error_is_an_answer(way: Way) -> None:
    shop = Shop()
    told = []
    with serving(shop) as server:
        for _ in range(2):
            with pytest.raises(zerorpc.RemoteError) as caught:
                way(server.endpoints[0], lambda client: client.fail("tea"), key="k")
            told.append((caught.value.name, caught.value.msg, caught.value.ran))
    assert told == [("ValueError", "failed 1", True)] * 2


def test_metadata_comes_along_and_keywords_count() -> None:
    with joined(Shop()) as client:
        results = [keyed(client, async_=True).order("tea", count=2) for _ in range(2)]
        assert [result.get() for result in results] == [["tea", 2, 1]] * 2
        assert [result.metadata for result in results] == [{"run": "1"}] * 2


def waiting(server: zerorpc.Server) -> int:
    """How many calls wait for the first one with their key; none before it serves."""
    keyed = server._core.door.keyed
    return 0 if keyed is None else sum(len(run.waiting) for run in keyed._open.values())


def test_a_repeat_while_it_runs_waits_for_it() -> None:
    shop = Shop()
    with serving(shop) as server, ThreadPoolExecutor(8) as pool:

        def order(_: int) -> Any:
            with zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
                return keyed(client).slow("tea")

        calls = [pool.submit(order, n) for n in range(8)]  # at once, each on a connection of its own
        eventually(lambda: waiting(server) == 8)
        shop.release.set()
        assert [call.result() for call in calls] == [["tea", 1]] * 8


@EACH_WAY
def test_the_same_key_with_other_arguments_is_an_error(way: Way) -> None:
    shop = Shop()
    with serving(shop) as server:
        assert way(server.endpoints[0], lambda client: client.order("tea"), key="k") == ["tea", 1, 1]
        with pytest.raises(zerorpc.WrongArguments, match="its idempotency key was used before, with other") as caught:
            way(server.endpoints[0], lambda client: client.order("milk"), key="k")
    assert caught.value.ran is False
    assert shop.runs == {"tea": 1}


def test_other_arguments_while_it_runs_are_an_error_too() -> None:
    shop = Shop()
    with joined(shop) as client:
        first = keyed(client, async_=True).slow("tea")
        assert shop.begun.wait(PATIENCE)
        with pytest.raises(zerorpc.WrongArguments):
            keyed(client).slow("milk")
        shop.release.set()
        assert first.get() == ["tea", 1]


def test_it_goes_on_when_its_caller_is_gone_and_a_repeat_gets_the_answer() -> None:
    shop = Shop()
    with serving(shop) as server:
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
            first = keyed(client, async_=True).slow("tea")
            assert shop.begun.wait(PATIENCE)
        with pytest.raises(zerorpc.LostRemote):
            first.get()
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
            second = keyed(client, async_=True).slow("tea")
            shop.release.set()
            assert second.get() == ["tea", 1]


def test_what_did_not_run_leaves_the_key_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerorpc.limits.Limits.waiting", 1)
    shop = Shop()
    with joined(shop, pool_size=1) as client:
        busy = [client.slow(n, async_=True) for n in range(2)]
        assert shop.begun.wait(PATIENCE)
        with pytest.raises(zerorpc.ServerOverloaded):
            keyed(client).order("tea")
        shop.release.set()
        assert len([call.get() for call in busy]) == 2
        assert keyed(client).order("tea") == ["tea", 1, 1]
        with pytest.raises(zerorpc.WrongArguments):
            keyed(client, "other").order()
        assert keyed(client, "other").order("milk") == ["milk", 1, 1]
        with pytest.raises(zerorpc.UnknownMethod):
            keyed(client).nothing()


@pytest.mark.parametrize("method", ["stream", "iterator"])
def test_what_streams_has_no_key(method: str) -> None:
    shop = Shop()
    with joined(shop) as client:
        for _ in range(2):
            with pytest.raises(zerorpc.RemoteError, match="an idempotency key is for methods that give one reply") as e:
                list(keyed(client)(method, "tea"))
            assert e.value.ran is (method == "iterator")
    assert shop.runs["tea"] == (method == "iterator")


def test_answers_that_are_too_much_to_keep() -> None:
    shop = Shop()
    with joined(shop, answers=zerorpc.Answers(octets=10)) as client:
        assert keyed(client).order("x" * 1000)[2] == 1
        with pytest.raises(zerorpc.RemoteError, match="too much to keep") as caught:
            keyed(client).order("x" * 1000)
        assert (caught.value.name, caught.value.ran) == ("LookupError", True)


def test_hooks_see_what_runs_and_not_the_repeats() -> None:
    seen = []

    class Middleware:
        def server_before_exec(self, request: Any) -> None:
            seen.append(request.args)

    context = zerorpc.Context()
    context.register_middleware(Middleware())
    with joined(Shop(), context=context) as client:
        assert [keyed(client).order("tea") for _ in range(3)] == [["tea", 1, 1]] * 3
    assert seen == [["tea"]]


@pytest.mark.parametrize("key", ["", "x" * 256, 7, ["k"]])
def test_a_malformed_key_is_refused(key: Any) -> None:
    shop = Shop()
    with serving(shop) as server, RawPeer.to(server.endpoints[0]) as peer:
        peer.send({"message_id": b"1" * 32, "v": 3, "_zpc_call": {"key": key}}, "order", ["tea"])
        assert peer.next_event().args[0] == "TypeError"
    assert not shop.runs


@pytest.mark.parametrize("octets", [b"\xa2\xff\xfe", b"\xc7\x01\xff\x00", b"\x81\x90\xc0"], ids=["text", "time", "map"])
def test_an_id_that_can_not_be_read_goes_back_and_spoils_no_answer(octets: bytes) -> None:
    """A text that isn't UTF-8, a time that there isn't, a map with a key that is none: ids are opaque."""
    shop = Shop()
    with serving(shop) as server, RawPeer.to(server.endpoints[0]) as peer:
        for message_id, reads in ((octets, False), (b"\xa1m", True)):
            header = {"message_id": msgspec.Raw(message_id), "v": 3, "_zpc_call": {"key": "k"}}
            peer.send(header, "order", ["tea"])
            answer = peer.next_data()
            assert b"\xabresponse_to" + message_id in answer
            assert not reads or msgspec.msgpack.decode(answer)[1:] == ["OK", [["tea", 1, 1]]]
        with zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
            assert keyed(client).order("tea") == ["tea", 1, 1]


@EACH_WAY
def test_an_older_server_is_sent_nothing(way: Way) -> None:
    for retry in (None, zerorpc.Retry()):
        with Flaky("answers", properties={}) as server:
            with pytest.raises(zerorpc.NotSupported, match="speaks an older protocol, which has no idempotency keys"):
                way(server.endpoint, lambda client: client.order("tea"), key="k", retry=retry)
            assert not server.requests


def test_keys_are_checked() -> None:
    with zerorpc.Client() as client:
        for wrong, kind in ((1, TypeError), ("", ValueError), (b"x" * 256, ValueError)):
            with pytest.raises(kind, match="key has to"):
                keyed(client, wrong)


# With retries


def test_a_call_with_a_key_is_repeated_where_its_answers_are_kept() -> None:
    """Its connection is cut; the server lives, and so does the method."""
    shop = Shop()
    with serving(shop) as server, zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
        call = keyed(client, async_=True, retry=zerorpc.Retry(backoff=0.01)).slow("tea")
        assert shop.begun.wait(PATIENCE)
        loop, hub = server._core.hub.loop, server._core.hub
        loop.call_soon_threadsafe(lambda: [link._transport.abort() for link in list(hub.links)])
        eventually(lambda: waiting(server) == 2)
        shop.release.set()
        assert call.get() == ["tea", 1]


def test_and_not_at_another_server() -> None:
    first, second = Shop(), Shop()
    with serving(second) as other:
        with serving(first) as server, zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
            call = keyed(client, async_=True, retry=zerorpc.Retry(backoff=0.01)).slow("tea")
            assert first.begun.wait(PATIENCE)
            client.connect(other.endpoints[0])
            eventually(lambda: len(client._core.calls.peers) == 2)
            client.disconnect(server.endpoints[0])
            with pytest.raises(zerorpc.LostRemote) as caught:
                call.get()
            first.release.set()
        assert caught.value.ran is None
    assert not second.runs


@EACH_WAY
def test_with_retries_a_key_still_works(way: Way) -> None:
    with serving(Shop()) as server:
        told = [
            way(server.endpoints[0], lambda client: client.order("tea"), key="k", retry=zerorpc.Retry())
            for _ in range(2)
        ]
    assert told == [["tea", 1, 1]] * 2
