"""Client: calls from ordinary, blocking code, from many threads, across forks, and past servers that go away."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
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
    raising_on,
    serving,
    unused_port,
)
from zerorpc.protocol.events import encode
from zerorpc.zmtp import SocketType


class Service:
    """Blocks, streams and tells what became of it."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.release = threading.Event()
        self.started = threading.Event()
        self.ended = threading.Event()

    def echo(self, value: Any) -> Any:
        return value

    def who(self) -> str:
        return self.name

    def block(self) -> str:
        self.started.set()
        self.release.wait(PATIENCE)
        return "released"

    def fail(self, message: str) -> None:
        raise ValueError(message)

    def count(self, stop: int) -> Iterator[int]:
        self.started.set()
        try:
            yield from range(stop)
        finally:
            self.ended.set()

    def block_after(self, stop: int) -> Iterator[int]:
        yield from range(stop)
        self.started.set()
        self.release.wait(PATIENCE)
        yield -1

    def nothing(self) -> None: ...


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.release.set()


@pytest.fixture
def client(service: Service) -> Iterator[zerorpc.Client]:
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


@pytest.mark.parametrize("value", [object(), {object(): 1}, 2**64, -(2**63) - 1, socket.socket, lambda: 1])
def test_arguments_that_cant_be_sent_are_an_error_here(client: zerorpc.Client, value: Any) -> None:
    with pytest.raises(zerorpc.SerializationError, match="the arguments of echo can't be sent") as caught:
        client.echo(value)
    assert isinstance(caught.value, TypeError)
    assert client.echo("still") == "still"


def test_keyword_arguments_are_refused_with_a_word(client: zerorpc.Client) -> None:
    with pytest.raises(TypeError, match=r"timeout, slots and async_ as keywords, not colour.*positional"):
        client.echo(1, colour="red")


def test_subscripting_names_with_two_underscores_are_not_remote(client: zerorpc.Client) -> None:
    with pytest.raises(AttributeError):
        client.__wrapped__  # noqa: B018
    with pytest.raises(AttributeError):
        client.robot.__wrapped__  # noqa: B018
    assert repr(client.robot.move) == "<RemoteMethod robot.move>"


# Time


def test_a_timeout_of_the_call_and_of_the_client(service: Service) -> None:
    with serving(service) as server, zerorpc.Client(server.endpoints[0], timeout=0.05) as client:
        with pytest.raises(zerorpc.TimeoutExpired, match=r"timeout after 0\.05s, when calling remote method block"):
            client.block()
        with pytest.raises(TimeoutError, match=r"after 0\.01s"):
            client.block(timeout=0.01)
        threading.Timer(0.1, service.release.set).start()
        assert client.block(timeout=None) == "released"


def test_the_timeout_is_not_for_the_whole_stream(service: Service) -> None:
    with joined(service) as client:
        items = client.block_after(1, timeout=0.05)
        assert next(items) == 0
        threading.Timer(0.15, service.release.set).start()
        assert next(items) == -1


def test_the_deadline_covers_connecting_and_the_error_says_what_was_tried(ipc_endpoint: str) -> None:
    dead = f"tcp://127.0.0.1:{unused_port()}"
    with zerorpc.Client([dead, ipc_endpoint], timeout=0.2) as client:
        with pytest.raises(zerorpc.TimeoutExpired) as caught:
            client.echo(1)
    message = str(caught.value)
    assert message.startswith("timeout after 0.2s, when calling remote method echo: no server was reached (")
    assert f"{dead}: " in message
    assert "refused" in message
    assert f"{ipc_endpoint}: [Errno 2] No such file or directory" in message


def test_the_error_of_a_client_that_is_neither_bound_nor_connected() -> None:
    with zerorpc.Client(timeout=0.02) as client:
        with pytest.raises(zerorpc.TimeoutExpired, match="neither bound nor connected"):
            client.echo(1)
        endpoint = client.bind(TCP)[0]
        with pytest.raises(zerorpc.TimeoutExpired, match=f"{endpoint}: bound, but no peer connected"):
            client.echo(1)


def test_a_server_that_never_ends_the_handshake() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        endpoint = f"tcp://127.0.0.1:{deaf.getsockname()[1]}"
        with zerorpc.Client(endpoint, timeout=0.1) as client, pytest.raises(zerorpc.TimeoutExpired, match=endpoint):
            client.echo(1)


@pytest.mark.parametrize("junk", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH\r\n"])
def test_a_server_that_is_something_else_is_named_in_the_error(junk: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        endpoint = f"tcp://127.0.0.1:{other.getsockname()[1]}"

        def answer() -> None:
            while True:
                try:
                    sock = other.accept()[0]
                except OSError:
                    return
                with sock:
                    sock.sendall(junk)

        thread = threading.Thread(target=answer)
        thread.start()
        with zerorpc.Client(endpoint, timeout=0.2) as client, pytest.raises(zerorpc.TimeoutExpired) as caught:
            client.echo(1)
        other.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert "ZMTP" in str(caught.value)


def test_giving_up_leaves_nothing_that_wakes_later(client: zerorpc.Client, service: Service) -> None:
    for _ in range(20):
        with pytest.raises(zerorpc.TimeoutExpired):
            client.block(timeout=0.001)
    service.release.set()
    assert [client.echo(n) for n in range(20)] == list(range(20))


# async_=True


@pytest.mark.parametrize("options", [{"async_": True}, {"async": True}])
def test_a_call_in_the_background(client: zerorpc.Client, service: Service, options: dict[str, bool]) -> None:
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
    assert call.exception is None


def test_the_error_belongs_to_the_background_calls_result(client: zerorpc.Client) -> None:
    call = client.fail("why", async_=True)
    with pytest.raises(zerorpc.RemoteError):
        call.get(timeout=PATIENCE)
    assert call.ready()
    assert not call.successful()
    assert call.exception.msg == "why"
    late = client.block(async_=True, timeout=0.01)
    with pytest.raises(zerorpc.TimeoutExpired):
        late.get(timeout=PATIENCE)


def test_a_stream_in_the_background(client: zerorpc.Client) -> None:
    assert list(client.count(300, async_=True).get(timeout=PATIENCE)) == list(range(300))


def test_a_stream_in_the_background_that_nobody_takes_frees_the_server(
    client: zerorpc.Client, service: Service
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
    client: zerorpc.Client, service: Service, give_up: Callable[[Any], None]
) -> None:
    give_up(client.count(10**9))
    gc.collect()
    assert service.ended.wait(PATIENCE)
    assert client.echo("still") == "still"


def test_an_interrupted_wait_for_an_item_gives_the_stream_up(client: zerorpc.Client, service: Service) -> None:
    items = client.block_after(1)
    assert next(items) == 0
    with raising_on(signal.SIGUSR1, KeyboardInterrupt()) as interrupt:
        threading.Thread(target=_once, args=(main_thread_waits, interrupt)).start()
        with pytest.raises(KeyboardInterrupt):
            next(items)
    with pytest.raises(StopIteration):
        next(items)
    assert client.echo("still") == "still"
    assert _open_calls(client) == 0


def test_an_interrupted_call_is_given_up(client: zerorpc.Client, service: Service) -> None:
    with raising_on(signal.SIGUSR1, KeyboardInterrupt()) as interrupt:
        threading.Thread(target=_once, args=(main_thread_waits, interrupt)).start()
        with pytest.raises(KeyboardInterrupt):
            client.block()
    assert client.echo("still") == "still"
    assert _open_calls(client) == 0


def test_an_interrupted_leader_leaves_the_others_a_leader(client: zerorpc.Client, service: Service) -> None:
    """The main thread drives the sockets; when it is interrupted, a thread that waits takes over."""
    results: list[Any] = []
    others = [threading.Thread(target=lambda n=n: results.append(client.block())) for n in range(3)]
    with raising_on(signal.SIGUSR1, KeyboardInterrupt()) as interrupt:

        def begin() -> None:
            service.started.wait(PATIENCE)
            for other in others:
                other.start()
            eventually(lambda: _open_calls(client) == 4 and main_thread_waits())
            interrupt()

        threading.Thread(target=begin).start()
        with pytest.raises(KeyboardInterrupt):
            client.block()
    service.release.set()
    for other in others:
        other.join(PATIENCE)
    assert results == ["released"] * 3


def test_an_interrupted_follower_leaves_the_others_alone(client: zerorpc.Client, service: Service) -> None:
    first = client.block(async_=True)
    service.started.wait(PATIENCE)
    with raising_on(signal.SIGUSR1, KeyboardInterrupt()) as interrupt:
        waiting = lambda: _open_calls(client) == 2 and main_thread_waits()  # noqa: E731
        threading.Thread(target=_once, args=(waiting, interrupt)).start()
        with pytest.raises(KeyboardInterrupt):
            client.block()
    assert client.echo(1) == 1
    service.release.set()
    assert first.get(timeout=PATIENCE) == "released"


def _once(condition: Callable[[], object], act: Callable[[], None]) -> None:
    eventually(condition)
    act()


def _open_calls(client: zerorpc.Client) -> int:
    return sum(len(peer.channels) for peer in client._core.calls.peers)


# Servers that go, come, and fail over


def test_a_server_that_dies_in_the_middle_of_a_call_or_stream_is_lost_at_once() -> None:
    text = """
    import os, time, zerorpc
    class Service:
        def die(self):
            os._exit(1)
        def stream(self):
            for n in range(5):
                yield n
            time.sleep(0.05)
            os._exit(1)
    server = zerorpc.Server(Service())
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
    with serving(Service("first")) as server, zerorpc.Client(server.endpoints[0], timeout=PATIENCE) as client:
        endpoint = server.endpoints[0]
        assert client.who() == "first"
        server.stop()
        eventually(lambda: "closed" in repr(server))
        with serving(Service("second"), bind=endpoint):
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
    with serving(Service("live")) as server, zerorpc.Client([later, server.endpoints[0]]) as client:
        assert {client.who() for _ in range(20)} == {"live"}
        with serving(Service("later"), bind=later):
            eventually(lambda: client.who() == "later")
            client.disconnect(server.endpoints[0])
            assert {client.who() for _ in range(5)} == {"later"}


def test_a_call_made_before_the_server_is_there_waits_for_it() -> None:
    endpoint = f"tcp://127.0.0.1:{unused_port()}"
    with zerorpc.Client(endpoint, timeout=PATIENCE) as client:
        call = client.who(async_=True)
        with serving(Service("there"), bind=endpoint):
            assert call.get(timeout=PATIENCE) == "there"


def test_calls_go_to_the_server_with_the_fewest_open() -> None:
    busy, idle = Service("busy"), Service("idle")
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
    with serving(Service("stays")) as stays, serving(Service("goes")) as goes:
        with zerorpc.Client([stays.endpoints[0], goes.endpoints[0]], timeout=PATIENCE) as client:
            eventually(lambda: {client.who(), client.who()} == {"stays", "goes"})
            goes.stop()
            eventually(lambda: {_who(client) for _ in range(4)} == {"stays"}, "only one left")


def test_workers_connect_to_a_client_that_binds() -> None:
    with zerorpc.Client(timeout=PATIENCE) as client:
        endpoint = client.bind(TCP)[0]
        assert client.endpoints == [endpoint]
        call = client.who(async_=True)
        with serving(Service("one"), connect=endpoint), serving(Service("two"), connect=endpoint):
            assert call.get(timeout=PATIENCE) in ("one", "two")
            eventually(lambda: {client.who(), client.who()} == {"one", "two"})
            assert list(client.count(300)) == list(range(300))
            client.unbind(endpoint)
            assert client.endpoints == []
            assert {client.who(), client.who()} == {"one", "two"}  # connections live on


def test_bound_and_connected_at_once() -> None:
    with serving(Service("connected")) as server, zerorpc.Client(server.endpoints[0]) as client:
        with serving(Service("worker"), connect=client.bind(TCP)[0]):
            eventually(lambda: {client.who(), client.who()} == {"connected", "worker"})


def test_disconnect_ends_what_runs_there(client: zerorpc.Client, service: Service) -> None:
    call = client.block(async_=True)
    service.started.wait(PATIENCE)
    endpoint = next(iter(client._core.hub.dialers))
    client.disconnect(endpoint)
    with pytest.raises(zerorpc.LostRemote, match="disconnected here"):
        call.get(timeout=PATIENCE)
    with pytest.raises(zerorpc.EndpointError, match="not connected"):
        client.disconnect(endpoint)
    client.connect(endpoint)
    assert client.echo(1) == 1


def test_connecting_twice_is_one_connection(client: zerorpc.Client) -> None:
    endpoint = next(iter(client._core.hub.dialers))
    assert client.connect(endpoint) == [endpoint]
    client.echo(1)
    assert repr(client) == f"<Client <BlockingHub bound=[] connected=['{endpoint}'] links=1>>"


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


@pytest.mark.parametrize(
    "endpoint", ["ipc", "inproc://sync-client", f"ipc://@zerorpc-test-sync-{os.getpid()}", "tcp://[::1]:0"]
)
def test_every_transport(endpoint: str, ipc_endpoint: str) -> None:
    with joined(Service(), bind=ipc_endpoint if endpoint == "ipc" else endpoint) as client:
        assert client.echo(b"x" * 1_000_000) == b"x" * 1_000_000
        assert list(client.count(300)) == list(range(300))


# Many threads


def test_32_threads_on_one_client(client: zerorpc.Client) -> None:
    wrong: list[Any] = []

    def work(n: int) -> None:
        wrong.extend((n, k) for k in range(50) if client.echo([n, k]) != [n, k])
        if list(client.count(150)) != list(range(150)):
            wrong.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * PATIENCE)
        assert not thread.is_alive()
    assert not wrong
    assert _open_calls(client) == 0


def test_threads_take_over_from_each_other() -> None:
    """Each thread's call ends at another time, so that the one that drives the sockets keeps changing."""
    gates = [threading.Event() for _ in range(8)]
    done: list[int] = []
    with joined({"pass_gate": lambda n: gates[n].wait(PATIENCE) and n}) as client:
        threads = [threading.Thread(target=lambda n=n: done.append(client.pass_gate(n))) for n in range(8)]
        for thread in threads:
            thread.start()
        eventually(lambda: _open_calls(client) == 8)
        for n in (3, 0, 7, 5, 1, 6, 2, 4):
            gates[n].set()
            eventually(lambda n=n: n in done)
        for thread in threads:
            thread.join(PATIENCE)


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


@pytest.mark.parametrize("size", [600_000, 8_000_000])
def test_waiting_costs_no_processor_time_after_sending_much(ipc_endpoint: str, size: int) -> None:
    """The socket was full for a while: it must not be watched for writing for ever after."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(ipc_endpoint.removeprefix("ipc://"))
        listener.listen()
        with zerorpc.Client(ipc_endpoint, heartbeat=None, timeout=PATIENCE) as client:
            used: list[float] = []

            def call() -> None:
                client.echo(b"x" * size)
                begun = time.thread_time()
                client.echo(1)
                used.append(time.thread_time() - begun)

            thread = threading.Thread(target=call)
            thread.start()
            with RawPeer(listener.accept()[0], SocketType.ROUTER, {"X-Zerorpc": b"1"}) as server:
                server.handshake()
                eventually(lambda: any(link._unsent_size for link in client._core.hub.links.values()))
                _answer(server)
                request = server.next_event()
                time.sleep(0.3)  # not for a condition: the time that is waited
                _reply(server, request)
                thread.join(PATIENCE)
            assert used[0] < 0.1


def _answer(server: RawPeer) -> None:
    _reply(server, server.next_event())


def _reply(server: RawPeer, request: Any) -> None:
    header = {"message_id": b"0" * 32, "v": 3, "response_to": request.header.message_id}
    server.send_data(encode(header, "OK", [None]))


def test_a_server_that_does_not_read_makes_calls_wait_until_their_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with zerorpc.Client(endpoint, heartbeat=None, timeout=0.3) as client:
            first = client.echo(1, async_=True)
            with RawPeer(listener.accept()[0], SocketType.ROUTER) as server:
                server.handshake()
                _answer(server)
                first.get(timeout=PATIENCE)
                calls = [client.echo(b"x" * 4_000_000, async_=True) for _ in range(8)]
                for call in calls:
                    with pytest.raises(zerorpc.TimeoutExpired):
                        call.get(timeout=PATIENCE)
                assert sum(link._unsent_size for link in client._core.hub.links.values()) < 10_000_000


def test_a_slow_consumer_keeps_its_heartbeats(service: Service) -> None:
    with serving(service, heartbeat=0.05) as server, zerorpc.Client(server.endpoints[0], heartbeat=0.05) as client:
        items = client.count(400)
        assert next(items) == 0
        time.sleep(0.4)  # not for a condition: eight heartbeats without a word from this thread
        assert list(items) == list(range(1, 400))


def test_an_old_server_gets_heartbeats_while_the_consumer_is_elsewhere() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with zerorpc.Client(endpoint, heartbeat=0.05, timeout=PATIENCE) as client:
            call = client.stream(async_=True)
            with RawPeer(listener.accept()[0], SocketType.ROUTER) as server:
                server.handshake()
                request = server.next_event()
                assert request.name == "stream"
                header = {"message_id": b"0" * 32, "v": 3, "response_to": request.header.message_id}
                server.send_data(encode(header, "STREAM", 1))
                items = call.get(timeout=PATIENCE)
                for _ in range(3):
                    while (event := server.next_event()).name != "_zpc_hb":
                        assert event.name == "_zpc_more"
                    server.send_data(encode(header, "_zpc_hb", [0]))
                assert next(items) == 1
                items.close()


# The end


def test_a_closed_client() -> None:
    with joined(Service()) as client:
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


def test_close_from_another_thread_ends_calls_and_streams(service: Service) -> None:
    with serving(service) as server:
        client = zerorpc.Client(server.endpoints[0], timeout=PATIENCE)
        calls = [client.block(async_=True) for _ in range(3)]
        items = client.count(10**9)
        service.started.wait(PATIENCE)
        eventually(lambda: _open_calls(client) == 4)
        client.close()
        for call in calls:
            with pytest.raises(zerorpc.LostRemote, match="the client was closed"):
                call.get(timeout=PATIENCE)
        with pytest.raises(zerorpc.LostRemote):
            list(items)
        assert service.ended.wait(PATIENCE)


def test_close_ends_calls_that_wait_for_a_server() -> None:
    client = zerorpc.Client(f"tcp://127.0.0.1:{unused_port()}", timeout=None)
    call = client.echo(1, async_=True)
    client.close()
    with pytest.raises(zerorpc.Closed, match="the client was closed"):
        call.get(timeout=PATIENCE)


def test_a_dropped_client_closes_its_connections(service: Service) -> None:
    with serving(service) as server:
        client = zerorpc.Client(server.endpoints[0])
        items = client.count(10**9)
        next(items)
        del client  # the stream goes on without it? no: its connections are closed
        gc.collect()
        del items
        gc.collect()
        assert service.ended.wait(PATIENCE)


def test_closed_before_it_was_ever_connected() -> None:
    client = zerorpc.Client(f"tcp://127.0.0.1:{unused_port()}")
    client.close()
    with zerorpc.Client() as never:
        assert never.endpoints == []


def test_inside_a_coroutine_it_blocks_but_works(service: Service) -> None:
    async def main(client: zerorpc.Client) -> Any:
        return client.echo(1)

    with joined(service) as client:
        assert asyncio.run(main(client)) == 1


def test_debug_logs_each_event(caplog: pytest.LogCaptureFixture, service: Service) -> None:
    with caplog.at_level("DEBUG", "zerorpc.events"), serving(service) as server, zerorpc.Client() as client:
        assert client.debug is False
        client.debug = True
        client.connect(server.endpoints[0])
        client.echo(1)
    lines = [record.getMessage() for record in caplog.records if record.name == "zerorpc.events"]
    assert any(line.startswith("--> echo") for line in lines)
    assert any(line.startswith("<-- OK") for line in lines)


# Fork


FORKS = """
import gc, os, sys, zerorpc
client = zerorpc.Client(sys.argv[1], timeout=10)
assert client.echo("before") == "before"
{before}
sys.stdout.flush()
pid = os.fork()
if pid == 0:
    {child}
    sys.exit(0)
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
{parent}
print("child", code, flush=True)
"""


def _fork(endpoint: str, before: str = "", child: str = "", parent: str = "") -> str:
    with Program(FORKS.format(before=before, child=child, parent=parent), endpoint) as program:
        code, out, err = program.end()
        assert code == 0, err
        return out


def test_after_a_fork_parent_and_child_both_call(service: Service) -> None:
    with serving(service) as server:
        out = _fork(
            server.endpoints[0],
            child="print(client.echo('child says'), list(client.count(3)), flush=True)",
            parent="print(client.echo('parent says'), list(client.count(3)), flush=True)",
        )
    assert out == "child says [0, 1, 2]\nparent says [0, 1, 2]\nchild 0\n"


def test_a_forked_child_that_drops_a_stream_leaves_the_parents_alone(service: Service) -> None:
    with serving(service) as server:
        out = _fork(
            server.endpoints[0],
            before="items = client.count(5000); assert next(items) == 0",
            child="items.close(); del items; gc.collect(); client.close()",
            parent="print(sum(1 for _ in items), flush=True)",
        )
    assert out == "4999\nchild 0\n"


def test_a_forked_child_that_only_ends_leaves_the_parents_calls_alone(service: Service) -> None:
    with serving(service) as server:
        threading.Timer(0.3, service.release.set).start()
        out = _fork(
            server.endpoints[0],
            before="call = client.block(async_=True); items = client.count(5000); next(items)",
            parent="print(call.get(timeout=10), sum(1 for _ in items), flush=True)",
        )
    assert out == "released 4999\nchild 0\n"


def test_a_forked_child_of_a_client_that_binds_leaves_the_address_to_its_parent(service: Service) -> None:
    with zerorpc.Client(timeout=PATIENCE) as client:
        endpoint = f"tcp://127.0.0.1:{unused_port()}"
        with serving(service) as server, serving(service, connect=endpoint):
            assert client.endpoints == []
            out = _fork(
                server.endpoints[0],
                before=f"bound = zerorpc.Client(timeout=10); bound.bind('{endpoint}'); bound.echo(1)",
                child="bound.close()",
                parent="print(bound.echo('parent says'), flush=True)",
            )
    assert out == "parent says\nchild 0\n"
