"""Clients of our own zerorpc: AsyncClient, or with --blocking Client."""

import asyncio
import json
import sys
import threading

from lines import error_outcome, from_notation, to_notation, write_line

import zerorpc

CLIENTS = {}


def options_of(order):
    return {"timeout": order["timeout"]} if "timeout" in order else {}


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
        result = client(order["method"], *from_notation(order["args"]), **options_of(order))
        if hasattr(result, "__next__"):
            outcome["items"] = items
            for item in result:
                items.append(to_notation(item))
                if len(items) == order.get("take"):
                    result.close()
                    break
        else:
            outcome["result"] = to_notation(result)
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
        result = await client(order["method"], *from_notation(order["args"]), **options_of(order))
        if hasattr(result, "__anext__"):
            outcome["items"] = items
            async for item in result:
                items.append(to_notation(item))
                if len(items) == order.get("take"):
                    await result.aclose()
                    break
        else:
            outcome["result"] = to_notation(result)
    except Exception as error:
        outcome["error"] = error_outcome(error, zerorpc)
    write_line(number=order["number"], outcome=outcome)


if "--blocking" in sys.argv:
    run_blocking()
else:
    asyncio.run(run_async())
