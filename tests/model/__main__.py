"""Drives one Client and one AsyncClient with random operations: ``python -m tests.model --seconds 60 --seed 1``.

Threads, tasks and signals call, cancel, close, connect, disconnect and fork at the same time, while servers come and
go. ``book`` says what a caller may see; whatever else one sees ends the run, with what everybody did last. The
operations follow from the seed; when each of them runs is the system's affair, so a seed may need several runs.
``--only echo,fork`` and ``--without reopen,deep`` choose among the operations, to find out which it takes.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import os
import shutil
import signal
import sys
import threading
import time
import warnings
from typing import Any

from tests.model.blocking import Caller
from tests.model.book import Interrupted
from tests.model.coroutines import Loop
from tests.model.signals import Main
from tests.model.world import Admin, World, descriptors

LOOK = 0.5  # s between two looks for calls that hang
END = 30.0  # s until everybody has ended what he is at
OFTEN = 200  # objects made until Python looks for garbage: so __del__ comes at any moment


def main() -> int:
    options = arguments()
    warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 on forks of processes that have threads
    warnings.simplefilter("ignore", ResourceWarning)  # of clients that are dropped
    faulthandler.register(signal.SIGUSR2, all_threads=True)
    gc.set_threshold(OFTEN)
    only, without = (set(filter(None, text.split(","))) for text in (options.only, options.without))
    world = World(options.seed, lambda name: name not in without and (not only or name in only))
    try:
        world.start()
        drive(world, options)
        if not world.book.wrong:
            world.book.check_runs(world.runs())
    finally:
        world.end()
        shutil.rmtree(world.folder)
    print(f"{sum(world.book.counts().values())} calls: {world.book.counts()}")
    if world.book.wrong:
        print(f"seed {options.seed}: {world.book.told()}")
        sys.stdout.flush()
        os._exit(1)  # what hangs would keep the process
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--tasks", type=int, default=4)
    parser.add_argument("--only", default="", help="these operations, by the names of their methods")
    parser.add_argument("--without", default="", help="all but these")
    return parser.parse_args()


def drive(world: World, options: argparse.Namespace) -> None:
    """All at once, for so long; then each client is asked once more, and closed."""
    book = world.book
    threading.excepthook = lambda told: book.complain(f"thread {told.thread} ended with {told.exc_value!r}")
    sys.unraisablehook = lambda told: complain_of(book, told)
    before = set(threading.enumerate()), descriptors()
    callers = [Caller(world, f"thread {n}", 10 + n) for n in range(options.threads)]
    loop = Loop(world, options.tasks)
    threads = [threading.Thread(target=caller.run, name=caller.name) for caller in callers]
    threads += [threading.Thread(target=Admin(world).run, name="admin"), loop.thread]
    timer = threading.Timer(options.seconds, book.over.set)
    looker = threading.Thread(target=look, args=(world,), name="looker")
    for thread in (*threads, timer, looker):
        thread.daemon = True
        thread.start()
    Main(world).run()
    timer.cancel()
    for thread in (*threads, timer, looker):
        thread.join(END)
        if thread.is_alive():
            book.complain(f"{thread.name} hangs")
    if book.wrong:
        faulthandler.dump_traceback(all_threads=True)
        return
    Caller(world, "afterwards", 3).echo()
    check_channels(world)
    world.client.close()
    check_left(world, *before)


def look(world: World) -> None:
    """For calls that hang; of one that takes long, what everybody is at, the first server included."""
    book = world.book
    while not book.over.wait(LOOK):
        if book.look():
            world.servers[0].show_stacks()


def complain_of(book: Any, told: Any) -> None:
    """What is raised where nobody can catch it. Signals and the end of the stack come anywhere. One that comes while a
    thread is started may have CPython forget the thread before it has begun, which then raises a KeyError.
    """
    forgotten = told.exc_type is KeyError and isinstance(told.exc_value.args[0], threading.Thread)
    if not forgotten and told.exc_type not in (Interrupted, RecursionError):
        book.complain(f"ignored in {told.object!r}: {told.exc_value!r}")


def check_channels(world: World) -> None:
    """The server has nothing left of all calls, once those that nobody reads any more have been collected."""
    end = time.monotonic() + END
    while True:
        gc.collect()
        left = world.client.open_channels()
        if not left or time.monotonic() > end:
            break
        time.sleep(0.05)
    if left:
        here = [
            f"{c} {c.peer} {c.error}"
            for link in world.client._core.hub.links.values()
            for c in link.peer.channels.values()
        ]
        world.book.complain(f"the first server still has {left}; here: {here}")


def check_left(world: World, threads: set[threading.Thread], files: dict[str, str]) -> None:
    """No thread, no descriptor and no child but the servers is left."""
    end = time.monotonic() + END
    while True:
        gc.collect()
        # CPython goes on listing a thread whose start was interrupted before it began: it has no ident, and never runs.
        new = {thread.name for thread in set(threading.enumerate()) - threads if thread.ident is not None}
        known = files.keys() | world.pipes()
        opened = {number: what for number, what in descriptors().items() if number not in known}
        if not (new or opened) or time.monotonic() > end:
            break
        time.sleep(0.05)
    if new:
        world.book.complain(f"threads left: {new}")
    if opened:
        world.book.complain(f"descriptors left: {opened}")


if __name__ == "__main__":
    sys.exit(main())
