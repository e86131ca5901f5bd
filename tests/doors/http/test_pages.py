"""Probes with a check of the program's own."""

from __future__ import annotations

import asyncio

import httpx

import zerorpc
from tests.service.running import PATIENCE, eventually_async, run, serving

HTTP = "http://127.0.0.1:0"


def test_readyz_says_what_the_programs_check_says() -> None:
    answers: list[object] = [True]

    def ready() -> object:
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers[0]

    with serving({"m": lambda: 1}, bind=HTTP, ready=ready) as server:
        with httpx.Client(base_url=server.endpoints[0], timeout=PATIENCE) as http:

            def told() -> tuple[int, str]:
                response = http.get("/readyz")
                return response.status_code, response.text

            assert told() == (200, "ok\n")
            answers[0] = False
            assert told() == (503, "its check says no\n")
            answers[0] = ConnectionError("secret")
            assert told() == (503, "its check raised ConnectionError\n")
            assert http.get("/livez").status_code == 200, "it lives all the same"
            assert http.post("/call/m").json() == 1, "and is called by whoever wants to"
            answers[0] = None
            assert told() == (200, "ok\n")


def test_a_server_that_stops_is_not_ready_whatever_its_check_says() -> None:
    async def act() -> None:
        free = asyncio.Event()
        server = zerorpc.Server({"held": free.wait}, grace=PATIENCE, ready=lambda: True)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(zerorpc.asgi(server)), base_url="http://h") as http:
            assert (await http.get("/readyz")).text == "ok\n"
            held = asyncio.ensure_future(http.post("/call/held"))
            await eventually_async(lambda: server._core.running.running == 1)
            server.stop()
            told = await http.get("/readyz")
            assert (told.status_code, told.text) == (503, "stopping\n")
            assert (await http.get("/livez")).status_code == 200
            free.set()
            assert (await held).json() is True

    run(act())
