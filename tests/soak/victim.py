"""Clients whose process is killed, as a program: it says so when all of them have a call and streams under way."""

from __future__ import annotations

import sys
import time

import zerorpc

CLIENTS = 10


def main() -> None:
    clients = [zerorpc.Client(sys.argv[1]) for _ in range(CLIENTS)]
    held = []
    for client in clients:
        held += [client.ever(), client.ever_plainly(), client.pages(1000, 16 * 1024), client.nap(60, async_=True)]
    print("{}", flush=True)
    time.sleep(60)


if __name__ == "__main__":
    main()
