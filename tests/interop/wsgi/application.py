"""A web application whose client, pusher and first calls are the master's, before it forks its workers.

Run by the interpreter of ``servers.VENV``, and told by the environment where its servers are. A request's path is
``/act/token``; the answer is JSON, with the token as our server has given it back.
"""

import asyncio
import contextlib
import json
import os
import threading
import time

import zerorpc
from zerorpc.transport import blocking

ENDPOINT = os.environ["BACKEND"]
TIMEOUT = 15  # s, less than a browser of the test waits

if os.environ["MASTER"] == "sleeps":  # its client's thread too, which looks up once in a second
    blocking._KEEPER_SHORTEST = blocking._KEEPER_LONGEST = 3600.0

client = zerorpc.Client(ENDPOINT, timeout=TIMEOUT)
pusher = zerorpc.Pusher()  # begins to work, on a loop in a thread of ours, with its first message
pusher.connect(os.environ["BACKEND_PULLER"])


def echo(token):
    return client.echo(token)


def stream(token):
    (found,) = set(client.repeat(token, 150))  # more than its reader gives credit for at once
    return found


def part(token):
    """A stream that is given up."""
    with client.repeat(token, 10_000) as items:
        return next(items)


def later(token):
    return client.echo(token, async_=True).get(timeout=TIMEOUT)


def loop(token):
    """A loop, and so an AsyncClient, for each request. Not ``asyncio.run``, which takes uWSGI's SIGINT from it."""

    async def call():
        async with zerorpc.AsyncClient(ENDPOINT, timeout=TIMEOUT) as own:
            return await own.echo(token)

    with contextlib.closing(asyncio.new_event_loop()) as own_loop:
        return own_loop.run_until_complete(call())


def push(token):
    pusher.note(token)
    return token


ACTS = {act.__name__: act for act in (echo, stream, part, later, loop, push)}


def application(environ, start_response):
    _, act, token = environ["PATH_INFO"].split("/")
    body = json.dumps({"pid": os.getpid(), "answer": ACTS[act](token)}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def keep_calling():
    while True:
        echo("keeps calling")


# In the master, unless each worker loads this for itself.
for number in range(20):
    assert echo(f"loading {number}") == f"loading {number}"
if os.environ["PUSHES"]:
    pusher.note("loading")
    while "loading" not in client.runs():
        time.sleep(0.01)
time.sleep(0.3)  # until our threads sleep
if os.environ["MASTER"] == "calls":
    threading.Thread(target=keep_calling, daemon=True).start()
