"""What is done in a forked child: once, before anything is used, whether Python heard of the fork or not."""

from __future__ import annotations

import gc

from tests.service.running import Program
from tests.transport.forking import EACH_WAY
from zerorpc.runtime import forks

BEGIN = """
import os, sys, threading
from zerorpc.runtime import forks
fork = {fork}
done = []
class Thing:
    def forked(self):
        done.append("thing")
forks.in_child(lambda: done.append("act"))
thing, gone = Thing(), Thing()
forks.watch(thing)
forks.watch(gone)
del gone
def use():
    if os.getpid() != forks.pid:
        forks.catch_up()
def wait(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def _run(fork: str, text: str) -> str:
    with Program(BEGIN.format(fork=fork) + text) as program:
        code, out, err = program.end()
    assert code == 0, err
    return out


@EACH_WAY
def test_it_is_done_once_in_each_child_and_never_in_the_parent(fork: str) -> None:
    text = """
def generation(left):
    use(), use()
    print(done, flush=True)
    done.clear()
    if left:
        child = fork()
        if child == 0:
            generation(left - 1)
            os._exit(0)
        assert wait(child) == 0
        use()
        assert done == []
generation(2)
"""
    assert _run(fork, text) == "[]\n['act', 'thing']\n['act', 'thing']\n"


@EACH_WAY
def test_no_thread_of_the_child_goes_on_before_it_is_done(fork: str) -> None:
    text = """
import time
slow = threading.Event()
forks.in_child(lambda: (time.sleep(0.1), done.append("slow")))
if (child := fork()) == 0:
    seen = []
    threads = [threading.Thread(target=lambda: (use(), seen.append(list(done)))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(seen == [["act", "slow", "thing"]] * 5, seen, flush=True)
    os._exit(0)
assert wait(child) == 0
"""
    assert _run(fork, text).startswith("True")


@EACH_WAY
def test_a_thread_that_is_just_doing_it_at_the_fork_holds_nobody_up(fork: str) -> None:
    text = """
at_it, go_on = threading.Event(), threading.Event()
first = os.getpid()
def act():
    if os.getpid() == forks.pid or threading.current_thread().name != "other":
        return
    at_it.set()
    go_on.wait(10)
forks.in_child(act)
forks.pid = 0  # as if this was a child
threading.Thread(target=use, name="other").start()
at_it.wait(10)
if (child := fork()) == 0:
    use()
    print(forks.pid == os.getpid(), flush=True)
    os._exit(0)
assert wait(child) == 0
go_on.set()
"""
    assert _run(fork, text) == "True\n"


@EACH_WAY
def test_what_was_interrupted_is_done_again(fork: str) -> None:
    text = """
if (child := fork()) == 0:
    forks.pid = 0  # where Python heard of the fork, it is done already
    def interrupted():
        forks._acts.remove(interrupted)
        raise KeyboardInterrupt
    forks.in_child(interrupted)
    try:
        use()
    except KeyboardInterrupt:
        done.clear()
    use()
    print(done, flush=True)
    os._exit(0)
assert wait(child) == 0
"""
    assert _run(fork, text) == "['act', 'thing']\n"


@EACH_WAY
def test_a_finalizer_that_comes_meanwhile_finds_it_done_and_lets_no_other_thread_go_on(fork: str) -> None:
    """The others began to use what was then told once more that this is a child: they waited for ever."""
    text = """
import gc
class Dropped:
    def __del__(self):
        use()
        done.append("finalizer")
        other = threading.Thread(target=lambda: (use(), done.append("other thread")))
        other.start()
        other.join(0.2)  # it waits for us
        others.append(other)
others = []
def drops():
    Dropped()
    done.append("drops")
forks.in_child(drops)
if (child := fork()) == 0:
    use()
    for other in others:
        other.join()
    print(done, flush=True)
    os._exit(0)
assert wait(child) == 0
"""
    assert _run(fork, text) == "['act', 'thing', 'finalizer', 'drops', 'other thread']\n"


@EACH_WAY
def test_what_interrupts_a_finalizer_that_does_it_leaves_the_rest_to_do(fork: str) -> None:
    text = """
sys.unraisablehook = lambda told: done.append(type(told.exc_value).__name__)
class Dropped:
    def __del__(self):
        use()
def interrupted():
    if "interrupted" not in done:
        done.append("interrupted")
        raise KeyboardInterrupt
forks._acts.insert(0, lambda: Dropped())
forks._acts.insert(1, interrupted)
if (child := fork()) == 0:
    use()
    print(done, flush=True)
    os._exit(0)
assert wait(child) == 0
"""
    assert _run(fork, text) == "['interrupted', 'KeyboardInterrupt', 'act', 'thing']\n"


def test_a_thing_that_is_gone_is_forgotten() -> None:
    class Thing:
        def forked(self) -> None: ...

    before = len(forks._watched)
    thing = Thing()
    forks.watch(thing)
    assert len(forks._watched) == before + 1
    del thing
    gc.collect()
    assert len(forks._watched) == before
