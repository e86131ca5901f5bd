"""Clients of our own zerorpc: AsyncClient, or with --blocking Client."""

import asyncio
import json
import sys
import threading

from lines import error_outcome, from_notation, to_notation, write_line

import zerorpc

CLIENTS = {}


def call_of(client, order, **more):
    """The call as a program makes it: by a view of the client if it says more than a time."""
    args, kwargs = from_notation(order["args"]), from_notation(order.get("kwargs", {}))
    if "stream" in order:
        place = order["stream"]
        given = args if isinstance(place, int) else kwargs
        given[place] = items_of(client, given[place], order.get("breaks"))
    if "lend" in order:
        place = order["lend"]
        (args if isinstance(place, int) else kwargs)[place] = len
    timeout = {"timeout": order["timeout"]} if "timeout" in order else {}
    options = {name: from_notation(order[name]) for name in ("deadline", "metadata", "key") if name in order}
    if "retry" in order:
        options["retry"] = zerorpc.Retry(attempts=order["retry"], backoff=0.01)
    if not options and not more and not kwargs:
        return client(order["method"], *args, **timeout)
    return zerorpc.options(client, **timeout, **options, **more)(order["method"], *args, **kwargs)


def items_of(client, values, breaks):
    """The values as an argument that streams; it raises at their end if it is to break."""

    def items():
        yield from values
        if breaks is not None:
            raise ValueError(breaks)

    async def async_items():
        for item in items():
            yield item

    return async_items() if isinstance(client, zerorpc.AsyncClient) else items()


def add_metadata(outcome, source):
    if source.metadata:
        outcome["metadata"] = to_notation(source.metadata)
    if source.end_metadata:
        outcome["end"] = to_notation(source.end_metadata)


# Blocking: a thread for each call


def run_blocking():
    write_line(ready=True)
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "open":
            CLIENTS[order["client"]] = zerorpc.Client(order["endpoints"], heartbeat=order["heartbeat"])
        elif order["do"] == "call":
            threading.Thread(target=call, args=(CLIENTS[order["client"]], order), daemon=True).start()
        else:
            CLIENTS.pop(order["client"]).close()


def call(client, order):
    items = []
    outcome = {}
    try:
        source = result = call_of(client, order, **({"async_": True} if "metadata" in order else {}))
        if "metadata" in order:  # only the result of a call in the background has that of the reply
            result = source.get()
        if "then" in order:
            method, args = order["then"]
            result = getattr(result, method)(*args)
        if hasattr(result, "__next__"):
            source = result
            outcome["items"] = items
            if order.get("latest"):
                result.latest()
            for item in result:
                items.append(to_notation(item))
                if len(items) == order.get("take"):
                    result.close()
                    break
        else:
            outcome["result"] = to_notation(result)
        if "metadata" in order:
            add_metadata(outcome, source)
        if order.get("latest"):
            outcome["dropped"] = source.dropped
    except Exception as error:
        outcome["error"] = error_outcome(error, zerorpc)
    write_line(number=order["number"], outcome=outcome)


# On a loop: a task for each call


async def run_async():
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    write_line(ready=True)
    tasks = set()
    while line := await reader.readline():
        order = json.loads(line)
        if order["do"] == "open":
            CLIENTS[order["client"]] = zerorpc.AsyncClient(order["endpoints"], heartbeat=order["heartbeat"])
        elif order["do"] == "call":
            task = loop.create_task(acall(CLIENTS[order["client"]], order))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        else:
            CLIENTS.pop(order["client"]).close()


async def acall(client, order):
    items = []
    outcome = {}
    try:
        source = call_of(client, order)
        result = await source
        if "then" in order:
            method, args = order["then"]
            result = await getattr(result, method)(*args)
        if hasattr(result, "__anext__"):
            source = result
            outcome["items"] = items
            if order.get("latest"):
                result.latest()
            async for item in result:
                items.append(to_notation(item))
                if len(items) == order.get("take"):
                    await result.aclose()
                    break
        else:
            outcome["result"] = to_notation(result)
        if "metadata" in order:
            add_metadata(outcome, source)
        if order.get("latest"):
            outcome["dropped"] = source.dropped
    except Exception as error:
        outcome["error"] = error_outcome(error, zerorpc)
    write_line(number=order["number"], outcome=outcome)


if "--blocking" in sys.argv:
    run_blocking()
else:
    asyncio.run(run_async())
