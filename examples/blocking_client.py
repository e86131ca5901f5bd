"""Calls examples/cooler.py from ordinary, blocking code."""

from __future__ import annotations

import sys

import zerorpc


def main() -> None:
    endpoint = sys.argv[1] if sys.argv[1:] else "tcp://127.0.0.1:4242"
    with zerorpc.Client(endpoint) as cooler:
        print(cooler.add_man("hi"))
        print(list(cooler.count(5)))
        slow = cooler.nap(0.1, async_=True)  # goes on by itself
        print(cooler.add_42(1))
        print(slow.get())
        try:
            cooler.divide(1, 0)
        except zerorpc.RemoteError as error:
            print(f"{error.name}: {error.msg}")


if __name__ == "__main__":
    main()
