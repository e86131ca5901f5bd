"""Our clients in gunicorn and uWSGI: shared by all workers, threads and requests, none of which gets another's answer.

The application (wsgi/application.py) makes its client, and calls with it, before the workers are forked; uWSGI forks
without Python's hooks, unless it is told to call them. Workers come and go meanwhile.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

import zerorpc
from tests.interop.wsgi.servers import Program as ServerProgram
from tests.interop.wsgi.servers import WebServer, gunicorn, uwsgi, web_server
from tests.service.running import Program, eventually

pytestmark = pytest.mark.timeout(150)

BROWSERS = 16
REQUESTS = 600
HTTP_PATIENCE = 25.0  # s; more than any call may take

# The server that the application calls. What was run for whom is counted; answers come out of order.
BACKEND = """
import asyncio, collections, random, threading, zerorpc

runs = collections.Counter()

class Service:
    async def echo(self, token):
        runs[token] += 1
        await asyncio.sleep(random.random() * 0.003)
        return token
    async def repeat(self, token, count):
        runs[token] += 1
        for _ in range(count):
            yield token
    async def runs(self):
        return dict(runs)

class Notes:
    def note(self, token):
        runs[token] += 1

puller = zerorpc.Puller(Notes())
server = zerorpc.Server(Service(), grace=1.0)
print(*server.bind("tcp://127.0.0.1:0"), *puller.bind("tcp://127.0.0.1:0"), flush=True)
threading.Thread(target=puller.run, daemon=True).start()
server.run()
"""


class Site(NamedTuple):
    server: WebServer
    backend: zerorpc.Client


@contextlib.contextmanager
def site(program: ServerProgram, acts: list[str], master: str) -> Iterator[Site]:
    """``master`` is what the application does in the process that forks the workers: it "waits", "calls", or "sleeps",
    with no thread that ever looks up.
    """
    environment = {"PUSHES": "1" if "push" in acts else "", "MASTER": master}
    with Program(BACKEND) as backend:
        endpoint, puller = backend.line().split()
        environment |= {"BACKEND": endpoint, "BACKEND_PULLER": puller}
        with web_server(program, environment) as server, zerorpc.Client(endpoint) as client:
            yield Site(server, client)


class Answer(NamedTuple):
    token: str
    status: int
    body: Any


def ask(port: int, act: str, token: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HTTP_PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", f"/{act}/{token}")
        response = connection.getresponse()
        body = response.read()
        return Answer(token, response.status, json.loads(body) if response.status == 200 else body)


def wait_until_it_answers(server: WebServer) -> None:
    def answers() -> bool:
        assert not server.has_ended(), server.said()
        try:
            return ask(server.port, "echo", "first").status == 200
        except ConnectionRefusedError:
            return False

    eventually(answers, "the web server answers")


def load(server: WebServer, acts: list[str], restart: Callable[[set[int]], object]) -> list[Answer]:
    """Many browsers ask at once; after a third of the requests, ``restart`` is called with the workers' ids."""
    answers: list[Answer] = []
    chosen = itertools.cycle(acts)
    jobs = [(next(chosen), f"token-{number}") for number in range(REQUESTS)]

    failed = threading.Event()

    def browse(job: tuple[str, str]) -> None:
        if failed.is_set():
            return
        try:
            ask_one(job)
        except BaseException:
            failed.set()
            raise

    def ask_one(job: tuple[str, str]) -> None:
        answers.append(ask(server.port, *job))
        if len(answers) == REQUESTS // 3:
            restart({answer.body["pid"] for answer in answers if answer.status == 200})

    with ThreadPoolExecutor(BROWSERS) as browsers:
        for done in [browsers.submit(browse, job) for job in jobs]:
            done.result()
    return answers


def check(site: Site, answers: list[Answer], workers: int) -> None:
    """Each request got its own answer, for which its method was run once; several workers had a part in it."""
    assert [answer for answer in answers if answer.status != 200] == []
    assert [answer for answer in answers if answer.body["answer"] != answer.token] == []
    assert len(answers) == REQUESTS
    pids = {answer.body["pid"] for answer in answers}

    def a_new_worker_answers() -> bool:
        pids.add(ask(site.server.port, "echo", "more").body["pid"])
        return len(pids) > workers

    eventually(a_new_worker_answers, "a worker is started anew")

    def counts() -> Counter[int]:
        runs = site.backend.runs()
        return Counter(runs.get(answer.token, 0) for answer in answers)

    eventually(lambda: counts()[0] == 0, f"what was pushed arrives: {counts()}")
    assert counts() == {1: REQUESTS}


def workers_of(options: list[str]) -> int:
    return int(options[1 + max(map(options.index, {"--workers", "--processes"} & set(options)))])


def check_end(server: WebServer, workers: int) -> None:
    """It ends when it is asked to, and has not complained. Not before all workers have answered: they would miss it."""
    answered: set[str] = set()

    def all_have_answered() -> bool:
        time.sleep(0.2)  # or so many requests would have workers end again
        with ThreadPoolExecutor(workers) as browsers:
            last = list(browsers.map(lambda _: ask(server.port, "echo", "last"), range(workers)))
        answered.update(str(answer.body["pid"]) for answer in last)
        there = server.workers()
        return len(there) == workers and there <= answered

    eventually(all_have_answered, "all workers answer")
    assert server.end() == 0
    assert server.complaints() == []


ALL = ["echo", "stream", "part", "later", "loop", "push"]
GREEN = ["echo", "stream", "part", "later"]  # greenlets of one thread: a loop that runs in one stops all others


# gunicorn: SIGHUP to the master starts all workers anew; they also end after some requests

GUNICORN = {
    "sync": (["--preload", "--workers", "3"], ALL),
    "gthread": (["--preload", "--worker-class", "gthread", "--workers", "2", "--threads", "6"], ALL),
    "gevent": (["--worker-class", "gevent", "--workers", "2"], GREEN),
    "gevent, preloaded before it patches": (["--preload", "--worker-class", "gevent", "--workers", "2"], GREEN),
}


@pytest.mark.parametrize("master", ["waits", "calls"])
@pytest.mark.parametrize(("options", "acts"), GUNICORN.values(), ids=GUNICORN)
def test_gunicorn(options: list[str], acts: list[str], master: str) -> None:
    program = gunicorn(*options, "--max-requests", "200", "--max-requests-jitter", "60")
    with site(program, acts, master) as here:
        wait_until_it_answers(here.server)
        answers = load(here.server, acts, lambda _: os.kill(here.server.pid, signal.SIGHUP))
        check(here, answers, workers_of(options))
        check_end(here.server, workers_of(options))


# uWSGI: SIGHUP to a worker starts that one anew. If another thread of the master runs at that moment, Python itself
# hangs in the new worker (uWSGI's issue 2387), with --py-call-osafterfork too: so nothing runs there. Only with
# --py-call-uwsgi-fork-hooks uWSGI forks with the interpreter's lock held: there the master may call.
FORK_HOOKS = "--py-call-uwsgi-fork-hooks"

UWSGI = {
    "as it comes": ["--processes", "3"],
    "threads": ["--processes", "2", "--threads", "6"],
    "enable-threads": ["--processes", "3", "--enable-threads"],
    "lazy-apps": ["--processes", "2", "--threads", "6", "--lazy-apps"],
    "with Python's hooks": ["--processes", "2", "--threads", "6", FORK_HOOKS],
}


@pytest.mark.parametrize("options", UWSGI.values(), ids=UWSGI)
def test_uwsgi(options: list[str]) -> None:
    def restart(workers: set[int]) -> None:
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGHUP)

    master = "calls" if FORK_HOOKS in options else "sleeps"
    with site(uwsgi(*options, "--max-requests", "200"), ALL, master) as here:
        wait_until_it_answers(here.server)
        check(here, load(here.server, ALL, restart), workers_of(options))
        check_end(here.server, workers_of(options))
