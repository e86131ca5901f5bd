"""The service on our own zerorpc, with a coroutine where that differs."""

import asyncio

from service import STATES, Conformance, serve


class Ours(Conformance):
    async def slow(self, seconds, token):
        STATES[token] = "running"
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            STATES[token] = "stopped"
            raise
        STATES[token] = "finished"
        return token


serve(Ours())
