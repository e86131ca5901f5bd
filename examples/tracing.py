"""Middleware: a trace id travels with every call, from the first service to the second and back to the log."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import zerorpc

trace_id: contextvars.ContextVar[str | None] = contextvars.ContextVar("trace_id", default=None)


class Tracing:
    """Sends the caller's trace id along, takes it up on the other side, and tells what runs under it."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def get_task_context(self) -> dict[str, Any]:
        return {"trace_id": trace_id.get()}

    def load_task_context(self, header: dict[str, Any]) -> None:
        trace_id.set(header.get("trace_id"))

    def server_before_exec(self, request: Any) -> None:
        self.log.append(f"{trace_id.get()} {request.name}")


class Kitchen:
    """The second service."""

    def cook(self, dish: str) -> str:
        return f"hot {dish}"


class Waiter:
    """The first service, itself a client of the second."""

    def __init__(self, kitchen: zerorpc.Client) -> None:
        self._kitchen = kitchen

    def order(self, dish: str) -> str:
        return f"{self._kitchen.cook(dish)}, please"


@contextmanager
def serving(service: object, context: zerorpc.Context) -> Iterator[str]:
    with zerorpc.Server(service, context=context) as server:
        endpoint = server.bind("tcp://127.0.0.1:0")[0]
        thread = threading.Thread(target=server.run)
        thread.start()
        yield endpoint
        server.stop()
        thread.join()


def main() -> None:
    log: list[str] = []
    context = zerorpc.Context()
    context.register_middleware(Tracing(log))
    with (
        serving(Kitchen(), context) as kitchen_endpoint,
        zerorpc.Client(kitchen_endpoint, context) as kitchen,
        serving(Waiter(kitchen), context) as waiter_endpoint,
        zerorpc.Client(waiter_endpoint, context) as guest,
    ):
        trace_id.set("table-7")
        print(guest.order("soup"))
    print("\n".join(log))


if __name__ == "__main__":
    main()
