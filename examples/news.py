"""Publish and subscribe, in one process: whoever is subscribed gets the news, and nobody answers."""

from __future__ import annotations

import asyncio

import zerorpc


class Reader:
    """Prints what is published until the paper ends."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.subscribed = asyncio.Event()

    async def hello(self) -> None:
        self.subscribed.set()

    async def headline(self, text: str, page: int) -> None:
        print(f"page {page}: {text}")

    async def end(self) -> None:
        self.ended.set()


async def main() -> None:
    reader = Reader()
    subscriber = zerorpc.Subscriber(reader)
    async with zerorpc.Publisher() as paper:
        subscriber.connect(paper.bind("tcp://127.0.0.1:0")[0])
        reading = asyncio.create_task(subscriber.serve())
        while not reader.subscribed.is_set():  # a publisher forgets what nobody is subscribed to yet
            await paper.hello()
            await asyncio.sleep(0.01)
        await paper.headline("zerorpc made anew", 1)
        await paper.headline("gevent no longer needed", 2)
        await paper.end()
        await reader.ended.wait()
    subscriber.stop()
    await reading


if __name__ == "__main__":
    asyncio.run(main())
