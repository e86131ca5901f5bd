"""Client: calls from ordinary, blocking code, from many threads, across forks, and past servers that go away."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import pytest

import zerorpc
from tests.service.running import (
    PATIENCE,
    TCP,
    Program,
    RawPeer,
    eventually,
    joined,
    main_thread_waits,
    once,
    raising_on,
    serving,
    timed_out,
    unused_port,
    unused_tcp,
)
from tests.service.services import Blocking, open_calls
from zerorpc.client.stream import Stream
from zerorpc.zmtp import SocketType


@pytest.fixture
def service() -> Iterator[Blocking]:
    service = Blocking()
    yield service
    service.release.set()


@pytest.fixture
def client(service: Blocking) -> Iterator[zerorpc.Client]:
    with joined(service) as client:
        yield client


# Calls


@pytest.mark.parametrize("value", [None, True, 1, -(2**63), 1.5, "text", b"octets", [1, [2]], {"a": {"b": 1}}, {1: 2}])
def test_values_travel(client: zerorpc.Client, value: Any) -> None:
    assert client.echo(value) == value


def test_the_ways_to_call(client: zerorpc.Client) -> None:
    assert client.echo(1) == client("echo", 1) == client(b"echo", 1) == client.echo(1, timeout=5, slots=3) == 1


def test_a_method_hidden_by_the_clients_own_is_called_by_name() -> None:
    with joined({"bind": lambda: "bound", "close": lambda: "closed", "__call__": lambda: "called"}) as client:
        assert [client("bind"), client("close"), client("__call__")] == ["bound", "closed", "called"]


def test_a_stream_is_an_iterator(client: zerorpc.Client) -> None:
    items = client.count(500)
    assert iter(items) is items
    assert next(items) == 0
    assert list(items) == list(range(1, 500))
    assert list(items) == []


@pytest.mark.parametrize("slots", [1, 2, 3, 1000, 0, -5])
def test_any_number_of_slots_gives_all_items(client: zerorpc.Client, slots: int) -> None:
    assert list(client.count(50, slots=slots)) == list(range(50))


def test_a_remote_error(client: zerorpc.Client) -> None:
    with pytest.raises(zerorpc.RemoteError, match="Traceback") as caught:
        client.fail("why")
    assert (caught.value.name, caught.value.msg) == ("ValueError", "why")
    assert client.echo("still") == "still"


@pytest.mark.parametrize("value", [object(), {object(): 1}, [Fraction(1)], {Fraction(1)}, socket.socket])
def test_arguments_that_cant_be_sent_are_an_error_here(client: zerorpc.Client, value: Any) -> None:
    with pytest.raises(zerorpc.SerializationError, match="the arguments of echo can't be sent") as caught:
        client.echo(value)
    assert isinstance(caught.value, TypeError)
    assert client.echo("still") == "still"


def test_an_unknown_keyword_is_the_methods_to_refuse(client: zerorpc.Client) -> None:
    with pytest.raises(zerorpc.WrongArguments, match="unexpected keyword argument 'colour'"):
        client.echo(1, colour="red")


def test_subscripting_names_with_two_underscores_are_not_remote(client: zerorpc.Client) -> None:
    with pytest.raises(AttributeError):
        client.__wrapped__  # noqa: B018
    with pytest.raises(AttributeError):
        client.robot.__wrapped__  # noqa: B018
    assert repr(client.robot.move) == "<RemoteMethod robot.move>"


# Time


def test_a_timeout_of_the_call_and_of_the_client(service: Blocking) -> None:
    with serving(service) as server, zerorpc.Client(server.endpoints[0], timeout=0.05) as client:
        with pytest.raises(zerorpc.TimeoutExpired, match=r"timeout after 0\.05s, when calling remote method block"):
            client.block()
        with pytest.raises(TimeoutError, match=r"after 0\.01s"):
            client.block(timeout=0.01)
        threading.Timer(0.1, service.release.set).start()
        assert client.block(timeout=None) == "released"


def test_the_timeout_is_not_for_the_whole_stream(service: Blocking) -> None:
    with joined(service) as client:
        items = client.block_after(1, timeout=1.0)
        assert next(items) == 0
        threading.Timer(1.2, service.release.set).start()
        assert next(items) == -1


def test_the_deadline_covers_connecting_and_the_error_says_what_was_tried(ipc_endpoint: str) -> None:
    dead = f"tcp://127.0.0.1:{unused_port()}"
    tried = (f"{dead}: ", "refused", f"{ipc_endpoint}: [Errno 2] No such file or directory")
    with zerorpc.Client([dead, ipc_endpoint]) as client:
        message = timed_out(lambda timeout: client.echo(1, timeout=timeout), *tried)
    assert re.match(r"timeout after [0-9.]+s, when calling remote method echo: no server was reached \(", message)


def test_the_error_of_a_client_that_is_neither_bound_nor_connected() -> None:
    with zerorpc.Client(timeout=0.02) as client:
        with pytest.raises(zerorpc.TimeoutExpired, match="neither bound nor connected"):
            client.echo(1)
        endpoint = client.bind(TCP)[0]
        with pytest.raises(zerorpc.TimeoutExpired, match=f"{endpoint}: bound, but no peer connected"):
            client.echo(1)


def test_giving_up_leaves_nothing_that_wakes_later(client: zerorpc.Client, service: Blocking) -> None:
    for _ in range(20):
        with pytest.raises(zerorpc.TimeoutExpired):
            client.block(timeout=0.001)
    service.release.set()
    assert [client.echo(n) for n in range(20)] == list(range(20))


# async_=True


@pytest.mark.parametrize("options", [{"async_": True}, {"async": True}])
def test_a_call_in_the_background(client: zerorpc.Client, service: Blocking, options: dict[str, bool]) -> None:
    call = client.block(**options)
    with pytest.raises(zerorpc.TimeoutExpired, match="waiting for the result of block"):
        call.get(timeout=0.01)
    with pytest.raises(zerorpc.TimeoutExpired):
        call.get(block=False)
    assert not call.ready()
    assert not call.successful()
    assert client.echo(1) == 1  # meanwhile
    service.release.set()
    call.wait(PATIENCE)
    assert call.ready()
    assert call.successful()
    assert call.get() == call.get(timeout=1) == call.value == "released"
    assert call.exception() is None


def test_the_error_belongs_to_the_background_calls_result(client: zerorpc.Client) -> None:
    call = client.fail("why", async_=True)
    with pytest.raises(zerorpc.RemoteError):
        call.get(timeout=PATIENCE)
    assert call.ready()
    assert not call.successful()
    assert call.exception().msg == "why"
    late = client.block(async_=True, timeout=0.01)
    with pytest.raises(zerorpc.TimeoutExpired):
        late.get(timeout=PATIENCE)


def test_a_stream_in_the_background(client: zerorpc.Client) -> None:
    assert list(client.count(300, async_=True).get(timeout=PATIENCE)) == list(range(300))


def test_a_stream_in_the_background_that_nobody_takes_frees_the_server(
    client: zerorpc.Client, service: Blocking
) -> None:
    call = client.count(10**9, async_=True)
    call.wait(PATIENCE)
    del call
    assert service.ended.wait(PATIENCE)


# Streams given up


def _break(items: Any) -> None:
    for _ in items:
        break
    del items


def _delete(items: Any) -> None:
    next(items)
    del items


def _close(items: Any) -> None:
    next(items)
    items.close()
    items.close()
    with pytest.raises(StopIteration):
        next(items)


def _leave(items: Any) -> None:
    with items as entered:
        next(entered)


def _never_iterate(items: Any) -> None:
    del items


@pytest.mark.parametrize("give_up", [_break, _delete, _close, _leave, _never_iterate])
def test_a_stream_given_up_frees_the_server_at_once(
    client: zerorpc.Client, service: Blocking, give_up: Callable[[Any], None]
) -> None:
    give_up(client.count(10**9))
    gc.collect()
    assert service.ended.wait(PATIENCE)
    assert client.echo("still") == "still"


def test_an_interrupted_wait_for_an_item_gives_the_stream_up(client: zerorpc.Client, service: Blocking) -> None:
    items = client.block_after(1)
    assert next(items) == 0
    with raising_on(signal.SIGUSR1, KeyboardInterrupt()) as interrupt:
        threading.Thread(target=once, args=(main_thread_waits, interrupt)).start()
        with pytest.raises(KeyboardInterrupt):
            next(items)
    with pytest.raises(StopIteration):
        next(items)
    assert client.echo("still") == "still"
    assert open_calls(client) == 0


def test_an_interrupted_call_is_given_up(client: zerorpc.Client, service: Blocking) -> None:
    with raising_on(signal.SIGUSR1, KeyboardInterrupt()) as interrupt:
        threading.Thread(target=once, args=(main_thread_waits, interrupt)).start()
        with pytest.raises(KeyboardInterrupt):
            client.block()
    assert client.echo("still") == "still"
    assert open_calls(client) == 0


# Servers that go, come, and fail over


def test_a_server_that_dies_in_the_middle_of_a_call_or_stream_is_lost_at_once() -> None:
    text = """
    import os, time, zerorpc
    class Blocking:
        def die(self):
            os._exit(1)
        def stream(self):
            for n in range(5):
                yield n
            time.sleep(0.05)
            os._exit(1)
    server = zerorpc.Server(Blocking())
    print(server.bind("tcp://127.0.0.1:0")[0], flush=True)
    server.run()
    """
    with Program(text) as program, zerorpc.Client(program.line(), heartbeat=None) as client:
        begun = time.monotonic()
        with pytest.raises(zerorpc.LostRemote, match=r"calling remote method die: the connection .*was closed"):
            client.die()
    with Program(text) as program, zerorpc.Client(program.line(), heartbeat=None) as client:
        items = client.stream()
        assert [next(items) for _ in range(5)] == [0, 1, 2, 3, 4]
        with pytest.raises(ConnectionError):
            next(items)
        with pytest.raises(StopIteration):
            next(items)
    assert time.monotonic() - begun < PATIENCE


def test_a_silent_server_is_lost_after_two_heartbeats() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with zerorpc.Client(endpoint, heartbeat=0.05, timeout=PATIENCE) as client:
            call = client.echo(1, async_=True)
            with RawPeer(listener.accept()[0], SocketType.ROUTER, {"X-Zerorpc": b"1"}) as server:
                server.handshake()
                with pytest.raises(zerorpc.LostRemote, match=r"0\.1s heartbeat"):
                    call.get(timeout=PATIENCE)


def test_the_same_client_finds_a_restarted_server() -> None:
    first = serving(Blocking("first"), bind=unused_tcp())
    with first as server, zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
        endpoint = server.endpoints[0]
        assert client.who() == "first"
        server.stop()
        eventually(lambda: "closed" in repr(server))
        with serving(Blocking("second"), bind=endpoint):
            eventually(lambda: _who(client) == "second")


def _who(client: zerorpc.Client) -> str:
    try:
        return str(client.who())
    except zerorpc.LostRemote:  # it had not noticed yet
        return ""
    except zerorpc.RemoteError as error:
        return error.name.replace("ServerStopping", "")


def test_an_address_where_nobody_listens_disturbs_nothing_and_is_found_later() -> None:
    later = f"tcp://127.0.0.1:{unused_port()}"
    with serving(Blocking("live")) as server, zerorpc.Client([later, server.endpoints[0]]) as client:
        assert {client.who() for _ in range(20)} == {"live"}
        with serving(Blocking("later"), bind=later):
            eventually(lambda: client.who() == "later")
            client.disconnect(server.endpoints[0])
            assert {client.who() for _ in range(5)} == {"later"}


def test_a_call_made_before_the_server_is_there_waits_for_it() -> None:
    endpoint = f"tcp://127.0.0.1:{unused_port()}"
    with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        call = client.who(async_=True)
        with serving(Blocking("there"), bind=endpoint):
            assert call.get(timeout=PATIENCE) == "there"


def test_calls_go_to_the_server_with_the_fewest_open() -> None:
    busy, idle = Blocking("busy"), Blocking("idle")
    with serving(busy) as first, serving(idle) as second:
        with zerorpc.Client([first.endpoints[0], second.endpoints[0]]) as client:
            eventually(lambda: {client.who(), client.who()} == {"busy", "idle"})
            blocked = client.block(async_=True)
            eventually(lambda: busy.started.is_set() or idle.started.is_set())
            taken = busy if busy.started.is_set() else idle
            assert {client.who() for _ in range(10)} == {"idle" if taken is busy else "busy"}
            taken.release.set()
            blocked.get(timeout=PATIENCE)


def test_with_one_of_two_servers_gone_the_other_takes_all() -> None:
    with serving(Blocking("stays")) as stays, serving(Blocking("goes")) as goes:
        with zerorpc.Client([stays.endpoints[0], goes.endpoints[0]], timeout=PATIENCE) as client:
            eventually(lambda: {client.who(), client.who()} == {"stays", "goes"})
            goes.stop()
            eventually(lambda: {_who(client) for _ in range(4)} == {"stays"}, "only one left")


def test_while_one_of_two_servers_drains_the_other_answers_every_call() -> None:
    """The draining one has as few calls open as the other, so it would be chosen for every second one."""
    drains, stays = Blocking("drains"), Blocking("stays")
    with serving(drains, grace=PATIENCE) as first, serving(stays) as second:
        with zerorpc.Client([first.endpoints[0], second.endpoints[0]], timeout=PATIENCE) as client:
            peers = client._core.calls.peers
            eventually(lambda: {client.who(), client.who()} == {"drains", "stays"})
            running = [client.block(async_=True) for _ in range(4)]
            eventually(lambda: len(drains.blocked) == len(stays.blocked) == 2)
            first.stop()
            eventually(lambda: len(peers) == 1)
            assert {client.who() for _ in range(20)} == {"stays"}
            assert not any(call.ready() for call in running)
            drains.release.set()
            stays.release.set()
            assert [call.get(timeout=PATIENCE) for call in running] == ["released"] * 4


def test_while_a_server_drains_the_next_calls_go_to_whoever_is_at_its_address_now() -> None:
    drains, comes = Blocking("drains"), Blocking("comes")
    old = serving(drains, bind=unused_tcp(), grace=PATIENCE)
    with old as first, zerorpc.Client(first.endpoints, timeout=PATIENCE) as client:
        endpoint = first.endpoints[0]
        running = client.block(async_=True)
        eventually(lambda: drains.blocked)
        first.stop()
        eventually(lambda: not client._core.calls.peers)
        waiting = client.who(async_=True)
        eventually(lambda: not first.endpoints)
        with serving(comes, bind=endpoint):
            assert waiting.get(timeout=PATIENCE) == "comes"
            assert not running.ready()
            drains.release.set()
            assert running.get(timeout=PATIENCE) == "released"
            eventually(lambda: len(client._core.hub.links) == 1)
            assert client.who() == "comes"


def test_bad_endpoints_are_errors_at_once() -> None:
    with pytest.raises(zerorpc.EndpointError):
        zerorpc.Client("nonsense")
    with zerorpc.Client() as client:
        with pytest.raises(zerorpc.EndpointError):
            client.bind("tcp://no-such-host.invalid:1")
        with pytest.raises(zerorpc.EndpointError, match="port number"):
            client.connect("tcp://127.0.0.1:0")
        with pytest.raises(zerorpc.EndpointError, match="not bound"):
            client.unbind("tcp://127.0.0.1:1")


# Many threads


def test_one_stream_read_by_several_threads(client: zerorpc.Client) -> None:
    items, taken, lock = client.count(2000), [], threading.Lock()

    def take() -> None:
        while True:
            with lock:
                item = next(items, None)
            if item is None:
                return
            taken.append(item)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(taken) == list(range(2000))


# A second reader, and closing while another thread waits


def _waiting(items: Any) -> bool:
    return items._reader is not None


def test_a_second_reader_is_refused_and_the_first_gets_its_item(client: zerorpc.Client, service: Blocking) -> None:
    items, taken = client.block_after(1), []
    assert next(items) == 0
    first = threading.Thread(target=lambda: taken.append(next(items)))
    first.start()
    eventually(lambda: _waiting(items))
    for _ in range(3):
        with pytest.raises(RuntimeError, match=r"this stream of block_after is being read by another thread"):
            next(items)
    service.release.set()
    first.join(PATIENCE)
    assert taken == [-1]
    assert list(items) == []


def test_many_unruly_readers_get_each_item_once_and_none_hangs(client: zerorpc.Client) -> None:
    items, taken, refused = client.count(400, slots=5), [], []

    def take() -> None:
        while True:
            try:
                taken.append(next(items))
            except StopIteration:
                return
            except RuntimeError as error:
                refused.append(error)
                time.sleep(0.001)  # not for a condition: they would only keep the one that waits from running

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * PATIENCE)
        assert not thread.is_alive()
    assert sorted(taken) == list(range(400))
    assert client.echo("still") == "still"


def test_a_reader_whose_item_another_one_takes_waits_for_the_next(
    client: zerorpc.Client, service: Blocking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the moment when it is told of the item and the one in which it takes it."""
    items, stolen = client.block_after(1), []
    assert next(items) == 0
    inbox, core, end_wait, wait = items._inflow.inbox, items._core, items._channel.end_wait, items._core.wait_for_item

    def steal() -> None:
        end_wait()
        if not stolen:
            stolen.extend(inbox)
            inbox.clear()

    def wait_again(*args: Any) -> None:
        inbox.extend(stolen)  # what comes next, for this test
        wait(*args)

    monkeypatch.setattr(type(items._channel), "end_wait", lambda _: steal())
    monkeypatch.setattr(type(core), "wait_for_item", lambda _, *args: wait_again(*args))
    releasing = threading.Thread(target=lambda: (eventually(lambda: _waiting(items)), service.release.set()))
    releasing.start()
    assert next(items) == -1
    assert stolen
    releasing.join()


def test_a_reader_whose_error_another_one_raises_is_at_the_end(
    client: zerorpc.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = client.block_after(1)
    assert next(items) == 0
    channel, complete_error = items._channel, items._request.complete_error
    channel.fail(zerorpc.LostRemote("as when its server has died"))

    def raise_elsewhere() -> None:
        complete_error()
        channel.error = None

    monkeypatch.setattr(type(items._request), "complete_error", lambda _: raise_elsewhere())
    assert list(items) == []


@pytest.mark.usefixtures("no_second_looks")
@pytest.mark.parametrize("follows", [False, True], ids=["its reader leads", "its reader follows"])
def test_closing_a_stream_ends_the_iteration_of_who_waits(
    client: zerorpc.Client, service: Blocking, follows: bool
) -> None:
    call = client.block(async_=True) if follows else None
    if call is not None:
        eventually(lambda: client._core.hub.leading.leader is not None)
    items, got = client.block_after(1), []
    reader = threading.Thread(target=lambda: got.extend([*items, "ended"]))
    reader.start()
    eventually(lambda: _waiting(items))
    items.close()
    reader.join(PATIENCE)
    assert got == [0, "ended"]
    with pytest.raises(StopIteration):
        next(items)
    service.release.set()
    if call is not None:
        assert call.get(timeout=PATIENCE) == "released"
    eventually(lambda: open_calls(client) == 0)


# Dropped


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _threads() -> int:
    """Of clients. Pushers share one that stays, and other files' tests may have used it."""
    ours = [thread.name for thread in threading.enumerate() if thread.name.startswith("zerorpc-")]
    return len(ours) - ours.count("zerorpc-io")


def _use_and_drop(how: str, endpoint: str) -> None:
    client = zerorpc.Client(endpoint, timeout=PATIENCE)
    if how == "call":
        client.echo(1)
    elif how == "method":
        client.echo.echo  # noqa: B018
        client.echo(1)
    elif how == "stream":
        next(client.count(10**9))
    elif how == "stream kept last":
        items = client.count(10**9)
        del client
        next(items)
    elif how == "background":
        client.block(async_=True)
    elif how == "background kept last":
        call = client.block(async_=True)
        del client
        assert not call.ready()
    elif how == "wait in the background":
        call = client.block(async_=True)
        with contextlib.suppress(zerorpc.TimeoutExpired):
            call.get(timeout=0.002)
    elif how == "cancelled":
        call = client.block(async_=True)
        call.add_done_callback(lambda _: None)
        call.cancel()
    elif how == "stream in the background":
        client.count(10**9, async_=True).wait(PATIENCE)
    elif how == "remote error":
        with contextlib.suppress(zerorpc.RemoteError):
            client.fail("why")
    elif how == "timeout":
        with contextlib.suppress(zerorpc.TimeoutExpired):
            client.block(timeout=0.002)
    elif how == "error in the background":
        with contextlib.suppress(zerorpc.RemoteError):
            client.fail("why", async_=True).get(timeout=PATIENCE)
    elif how == "never answered":
        with contextlib.suppress(zerorpc.TimeoutExpired):
            zerorpc.Client(f"tcp://127.0.0.1:{unused_port()}", timeout=0.002).echo(1)
    elif how == "stream lost":
        items = client.count(10**9)
        next(items)
        client.disconnect(endpoint)
        with contextlib.suppress(zerorpc.LostRemote):
            list(items)


DROPS = ["call", "method", "stream", "stream kept last", "background", "background kept last", "remote error"]
DROPS += ["wait in the background", "cancelled"]
DROPS += ["stream in the background", "timeout", "error in the background", "never answered", "stream lost", "unused"]


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
@pytest.mark.parametrize("how", DROPS)
def test_a_dropped_client_frees_its_descriptors_and_threads_at_once(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the garbage collector, or the keeper. In a process of its own the server has no descriptors here."""
    monkeypatch.setattr("zerorpc.transport.blocking._KEEPER_SHORTEST", 3600.0)
    monkeypatch.setattr("zerorpc.transport.blocking._KEEPER_LONGEST", 3600.0)
    with Program(SERVER) as program:
        endpoint = program.line()
        _use_and_drop(how, endpoint)
        eventually(lambda: _threads() == 0)
        before = _descriptors()
        gc.disable()
        try:
            for _ in range(15):
                _use_and_drop(how, endpoint)
            eventually(lambda: _descriptors() <= before and _threads() == 0)
        finally:
            gc.enable()


SERVER = """
import time, zerorpc
class Service:
    def echo(self, value):
        return value
    async def block(self):
        import asyncio
        await asyncio.sleep(60)
    def fail(self, why):
        raise ValueError(why)
    async def count(self, limit):
        for n in range(limit):
            yield n
server = zerorpc.Server(Service())
print(server.bind("tcp://127.0.0.1:0")[0], flush=True)
server.run()
"""

MANY = """
import gc, resource, sys, threading, zerorpc
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
gc.disable()
def use(times):
    for n in range(times):
        assert zerorpc.Client(sys.argv[1]).echo(n) == n
threads = [threading.Thread(target=use, args=(150,)) for _ in range(3)]
for thread in threads:
    thread.start()
use(300)
for thread in threads:
    thread.join()
print("done", flush=True)
"""


def test_many_clients_that_nobody_closes(service: Blocking) -> None:
    with serving(service) as server, Program(MANY, server.endpoints[0]) as program:
        code, out, err = program.end()
    assert (code, out) == (0, "done\n"), err


def test_a_background_call_whose_result_nobody_keeps_goes_on(service: Blocking) -> None:
    done = threading.Event()
    with joined({"work": done.set}) as client:
        client.work(async_=True)
        assert done.wait(PATIENCE)


def test_a_background_call_that_gets_no_keeper_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that is neither bound nor connected has none yet."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "zerorpc-keeper":
            raise RuntimeError("can't start new thread")
        start(thread)

    with zerorpc.Client(timeout=PATIENCE) as client:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                client.block(async_=True)
        assert open_calls(client) == 0
        assert not client._core.hub.background.open
        with pytest.raises(zerorpc.TimeoutExpired):
            client.block(async_=True, timeout=0.01).get(timeout=PATIENCE)


# As the interpreter exits

EXITS = {
    "unclosed": "client.echo(1)",
    "stream": "items = client.count(10**9); next(items)",
    "background": "call = client.block(async_=True)",
    "atexit": "import atexit; atexit.register(lambda: print(client.echo('atexit'), flush=True)); client.echo(1)",
    "atexit close": "import atexit; atexit.register(client.close); client.block(async_=True)",
    "finalizer": """
class Closes:
    def __init__(self):
        self.client = client
    def __del__(self):
        self.client.echo(1)
        self.client.close()
keeps = Closes()
client.echo(1)
""",
    "daemon threads": """
import threading
def call():
    while True:
        client.echo("daemon")
for _ in range(4):
    threading.Thread(target=call, daemon=True).start()
import time; time.sleep(0.1)
""",
    "circle": "circle = [client]; circle.append(circle); client.echo(1)",
    "refused": "other = zerorpc.Client('tcp://127.0.0.1:1'); other.echo(1, async_=True)",
}


@pytest.mark.parametrize("how", EXITS)
def test_as_the_interpreter_exits_nothing_hangs_and_nothing_is_said(how: str) -> None:
    text = "import sys, zerorpc\nclient = zerorpc.Client(sys.argv[1], timeout=10)\n" + EXITS[how]
    with Program(SERVER) as server, Program(text, server.line()) as program:
        began = time.monotonic()
        code, out, err = program.end()
    assert (code, err) == (0, "")
    assert out == ("atexit\n" if how == "atexit" else "")
    assert time.monotonic() - began < PATIENCE


# RecursionError


def _call_near_the_limit(call: Callable[[], object], check: Callable[[], object] = lambda: None, tries: int = 3) -> int:
    """Call at each depth near the limit of recursion; how often that was too deep."""
    refused = 0

    def down(depth: int) -> None:
        if depth:
            down(depth - 1)
        else:
            call()

    for headroom in range(60):
        for _ in range(tries):
            try:
                down(sys.getrecursionlimit() - _depth() - headroom)
            except (RecursionError, zerorpc.LostRemote):
                refused += 1
        check()
    return refused


def test_a_recursion_error_anywhere_in_a_call_spoils_no_later_call_of_any_client() -> None:
    with serving({"echo": lambda value: value}) as server:
        endpoint = server.endpoints[0]
        with zerorpc.Client(endpoint, timeout=PATIENCE) as client, zerorpc.Client(endpoint, timeout=PATIENCE) as other:
            assert client.echo(0) == other.echo(0) == 0
            assert _call_near_the_limit(lambda: client.echo("x" * 300), lambda: _calls_end_soon(client, other)) > 20
            assert [client.echo(n) for n in range(600)] == [other.echo(n) for n in range(600)] == list(range(600))
            eventually(lambda: open_calls(client) == 0)


def test_the_very_next_call_after_a_recursion_error_gets_its_result() -> None:
    """Not over a connection that is known to be of no use; and what was half disconnected is disconnected."""
    with serving({"echo": lambda value: value}) as server:
        endpoint = server.endpoints[0]
        with zerorpc.Client(endpoint, timeout=PATIENCE) as client:

            def disconnect_and_connect() -> None:
                client.disconnect(endpoint)
                client.connect(endpoint)

            def works() -> None:
                if endpoint not in client._core.hub.dialers:
                    client.connect(endpoint)
                assert client.echo("next") == "next"

            for act in (lambda: client.echo(1), disconnect_and_connect):
                works()
                assert _call_near_the_limit(act, works, tries=1) > 5


def test_what_a_disconnect_has_left_half_done_is_finished_soon(client: zerorpc.Client) -> None:
    hub, endpoint = client._core.hub, next(iter(client._core.hub.dialers))
    assert client.echo(1) == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub, "stop_dialer", _recurse)
        with pytest.raises(RecursionError):
            client.disconnect(endpoint)
    eventually(lambda: not hub.links)
    client.connect("tcp://127.0.0.1:1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub, "stop_dialer", _recurse)
        with pytest.raises(RecursionError):
            client.disconnect("tcp://127.0.0.1:1")
    eventually(lambda: not hub.dialing.threads)


def _recurse(*_: object) -> None:
    raise RecursionError


def test_a_recursion_error_anywhere_in_a_coroutines_call_spoils_no_later_call_of_any_client() -> None:
    with joined({"echo": lambda value: value}) as other:
        endpoint = next(iter(other._core.hub.dialers))

        async def main() -> None:
            async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
                assert await client.echo(0) == 0
                assert _call_near_the_limit(lambda: client.echo("x" * 300)) > 5
                assert await client.echo(1) == 1
            async with zerorpc.AsyncClient(endpoint, timeout=PATIENCE) as client:
                assert [await client.echo(n) for n in range(300)] == list(range(300))

        asyncio.run(main())
        assert [other.echo(n) for n in range(300)] == list(range(300))


def _depth() -> int:
    frame, depth = sys._getframe(), 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    return depth


def _calls_end_soon(*clients: zerorpc.Client) -> None:
    """From another thread: no lock stays held."""
    results: list[Any] = []

    def call() -> None:
        for client in clients:
            try:
                results.append(client.echo("other"))
            except zerorpc.LostRemote:  # it was begun on the connection that was given up
                results.append(client.echo("other"))

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert results == ["other"] * len(clients)


class _Closing:
    """A stream's request, into whose work on an item another thread comes and closes the stream."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._request = stream._request

    def item(self, *args: Any) -> Any:
        self._stream.close()
        return self._request.item(*args)


def test_a_stream_closed_while_its_reader_takes_an_item_stays_closed(client: zerorpc.Client) -> None:
    items = client.count(10**9)
    items._request = _Closing(items)
    assert next(items) == 0
    with pytest.raises(StopIteration):
        next(items)


def test_a_stream_whose_making_is_interrupted_is_given_up(client: zerorpc.Client, service: Blocking) -> None:
    def interrupted(_: Any) -> Any:
        half_made = Stream.__new__(Stream)
        del half_made
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(client._core), "make_stream", lambda _, request: interrupted(request))
        with pytest.raises(KeyboardInterrupt):
            client.count(10**9)
    assert service.ended.wait(PATIENCE)
    assert open_calls(client) == 0


# The end


def test_closing_ends_the_calls_of_a_connection_whose_end_was_interrupted(client: zerorpc.Client) -> None:
    result = client.block(async_=True)
    hub = client._core.hub
    eventually(lambda: hub.links)
    with hub.lock:
        for link in hub.links.values():
            link.closed = True  # all that Ctrl-C or RecursionError may leave of it
        client.close()  # before the keeper can finish it
    with pytest.raises((zerorpc.LostRemote, zerorpc.Closed)):
        result.get(timeout=PATIENCE)


def test_a_closed_client() -> None:
    with joined(Blocking()) as client:
        assert client.echo(1) == 1
        method = client.echo
        client.close()
        client.close()
        for call in (lambda: client.echo(1), lambda: method(1), lambda: client("echo", 1)):
            with pytest.raises(zerorpc.Closed, match="this client is closed"):
                call()
        for act in (client.connect, client.bind, client.disconnect, client.unbind):
            with pytest.raises(zerorpc.Closed):
                act("tcp://127.0.0.1:1")


def test_inside_a_coroutine_it_blocks_but_works(service: Blocking) -> None:
    async def main(client: zerorpc.Client) -> Any:
        return client.echo(1)

    with joined(service) as client:
        assert asyncio.run(main(client)) == 1


def test_debug_logs_each_event(caplog: pytest.LogCaptureFixture, service: Blocking) -> None:
    with caplog.at_level("DEBUG", "zerorpc.events"), serving(service) as server, zerorpc.Client() as client:
        assert client.debug is False
        client.debug = True
        client.connect(server.endpoints[0])
        client.echo(1)
    lines = [record.getMessage() for record in caplog.records if record.name == "zerorpc.events"]
    assert any(line.startswith("--> echo") for line in lines)
    assert any(line.startswith("<-- OK") for line in lines)
