"""Clients of zerorpc 0.6.3."""

import json
import logging
import sys

import gevent
from gevent.fileobject import FileObjectThread
from lines import error_outcome, from_notation, to_notation, write_line

import zerorpc

CLIENTS = {}


def main():
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    write_line(ready=True)
    # A thread reads, so that waiting for the next line never holds up heartbeats.
    for line in FileObjectThread(sys.stdin.buffer):
        order = json.loads(line)
        if order["do"] == "open":
            CLIENTS[order["client"]] = client = zerorpc.Client(heartbeat=order["heartbeat"])
            for endpoint in order["endpoints"]:
                client.connect(endpoint)
        elif order["do"] == "call":
            gevent.spawn(call, CLIENTS[order["client"]], order)
        else:
            CLIENTS.pop(order["client"]).close()


def call(client, order):
    write_line(number=order["number"], outcome=outcome(client, order))


def outcome(client, order):
    items = []
    outcome = {}
    try:
        options = {"timeout": order["timeout"]} if "timeout" in order else {}
        result = client(order["method"], *from_notation(order["args"]), **options)
        if not hasattr(result, "__next__"):
            return {"result": to_notation(result)}
        outcome["items"] = items
        for item in result:
            items.append(to_notation(item))
            if len(items) == order.get("take"):
                result.close()
                break
    except Exception as error:
        outcome["error"] = error_outcome(error, zerorpc)
    return outcome


main()
