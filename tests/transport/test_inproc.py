"""inproc://name: peers of one process, whichever thread or loop they live on."""

from __future__ import annotations

import contextlib
import os
import socket
import threading

import pytest

from tests.service.running import Program
from tests.transport.forking import EACH_WAY
from zerorpc.errors import AddressInUse
from zerorpc.transport.endpoints import parse
from zerorpc.transport.inproc import InprocListener, connect_inproc


def test_a_connection_arrives_at_the_names_listener() -> None:
    listener = InprocListener(parse("inproc://a"))
    with pytest.raises(BlockingIOError):
        listener.accept()
    ours = connect_inproc("a")
    theirs = listener.accept()
    ours.send(b"hello")
    assert theirs.recv(10) == b"hello"
    for end in (ours, theirs):
        end.close()
    listener.close()


def test_a_name_has_one_listener_until_it_closes() -> None:
    listener = InprocListener(parse("inproc://a"))
    with pytest.raises(AddressInUse, match="inproc://a"):
        InprocListener(parse("inproc://a"))
    listener.close()
    with pytest.raises(ConnectionRefusedError, match="nobody listens on inproc://a"):
        connect_inproc("a")
    InprocListener(parse("inproc://a")).close()


def test_more_connections_than_the_bell_can_count() -> None:
    listener = InprocListener(parse("inproc://a"))
    made = [connect_inproc("a") for _ in range(300)]
    taken = [listener.accept() for _ in range(300)]
    with pytest.raises(BlockingIOError):
        listener.accept()
    for end in (*made, *taken):
        end.close()
    listener.close()


def test_closing_hangs_up_on_those_that_wait() -> None:
    listener = InprocListener(parse("inproc://a"))
    waiting = connect_inproc("a")
    listener.close()
    listener.close()
    assert waiting.recv(1) == b""
    waiting.close()


def test_connecting_from_many_threads() -> None:
    listener, made = InprocListener(parse("inproc://a")), []
    threads = [threading.Thread(target=lambda: made.append(connect_inproc("a"))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for end in (*made, *[listener.accept() for _ in range(20)]):
        end.close()
    listener.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_has_none_of_its_parents_names() -> None:
    listener = InprocListener(parse("inproc://a"))
    pid = os.fork()
    if pid == 0:
        try:
            connect_inproc("a")
        except ConnectionRefusedError:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    connect_inproc("a").close()
    listener.close()


def test_a_full_bell_rings_already(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = InprocListener(parse("inproc://a"))
    listener._bell.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    with contextlib.suppress(BlockingIOError):
        while True:
            listener._bell.send(b"\0" * 1000)
    ours = connect_inproc("a")
    listener.accept().close()
    ours.close()
    listener.close()


@EACH_WAY
def test_a_fork_while_another_thread_holds_the_lock(fork: str) -> None:
    text = """
    import os, signal, sys, threading
    from zerorpc.transport import inproc
    from zerorpc.transport.endpoints import parse
    held, go = threading.Event(), threading.Event()
    def hold():
        with inproc._lock:
            held.set()
            go.wait()
    parents = inproc.InprocListener(parse("inproc://a"))
    threading.Thread(target=hold, daemon=True).start()
    held.wait()
    if (pid := FORK()) == 0:
        signal.alarm(30)
        try:
            inproc.connect_inproc("a")
        except ConnectionRefusedError:
            listener = inproc.InprocListener(parse("inproc://a"))
            inproc.connect_inproc("a").close()
            os._exit(0)
        os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    go.set()
    inproc.connect_inproc("a").close()
    parents.close()
    os._exit(code)
    """
    with Program(text.replace("FORK", fork)) as program:
        code, _, err = program.end()
    assert code == 0, err
