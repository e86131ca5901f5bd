"""The service on our own zerorpc, with a coroutine where that differs."""

import asyncio

import zerorpc
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

    def limit(self, timeout=9):
        return timeout

    def reflect(self):
        call = zerorpc.current_call()
        if "first" in call.metadata:
            call.reply_metadata["first"] = call.metadata["first"]
        if "last" in call.metadata:
            call.end_metadata["last"] = call.metadata["last"]
        return dict(call.metadata)

    def reflect_items(self, values):
        self.reflect()
        yield from values

    def reflect_error(self, message):
        self.reflect()
        raise ValueError(message)


serve(Ours())
