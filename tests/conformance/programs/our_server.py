"""The service on our own zerorpc, with a coroutine where that differs."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import zerorpc
from service import STATES, Conformance, serve

RUNS = Counter()


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

    # An argument that streams

    def total(self, numbers: Iterator):
        return sum(numbers)

    async def late_total(self, seconds, numbers: AsyncIterator):
        await asyncio.sleep(seconds)
        return sum([number async for number in numbers])

    async def first(self, items: AsyncIterator, count):
        return [await anext(items) for _ in range(count)]

    def chat(self, items: Iterator):
        yield from items

    async def hold(self, items: AsyncIterator, count, token):
        try:
            while count > 0 and (await anext(items, None)) is not None:
                count -= 1
            STATES[token] = "running"
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            STATES[token] = "stopped"
            raise

    # References

    async def apply(self, function, value):
        return await function(value)

    async def apply_add(self, target, value):
        return await target.add(value, right=1)

    async def apply_within(self, function, seconds):
        try:
            with zerorpc.deadline(seconds):
                return await function()
        except zerorpc.TimeoutExpired:
            return "too late"

    def session(self):
        return zerorpc.by_reference({"add": self.add})

    # Calls that are made again

    def order(self, token):
        RUNS[token] += 1
        return [token, RUNS[token]]

    async def slow_order(self, seconds, token):
        await asyncio.sleep(seconds)
        return self.order(token)

    def fail_order(self, token):
        RUNS[token] += 1
        raise ValueError(f"failed {RUNS[token]}")

    @zerorpc.idempotent
    def attempt(self):
        return zerorpc.current_call().attempt


if __name__ == "__main__":
    serve(Ours())
