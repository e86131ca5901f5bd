"""What every program here does the same way: arguments, addresses, the line that says it is ready, lines of JSON."""

import argparse
import base64
import json
import logging
import pickle
import sys


def arguments(*positionals):
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    parser = argparse.ArgumentParser()
    for name in positionals:
        parser.add_argument(name)
    parser.add_argument("--bind", action="append", default=[])
    parser.add_argument("--connect", action="append", default=[])
    parser.add_argument("--heartbeat", type=seconds, default=5)
    parser.add_argument("--timeout", type=seconds, default=30)
    parser.add_argument("--name", default="service")
    parser.add_argument("--passive", action="store_true")
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--tells", action="store_true")
    return parser.parse_args()


def seconds(text):
    return None if text == "None" else float(text)


def open_links(socket, options):
    """Bind and connect as the options say, then say on stdout that we are ready and where we really listen."""
    bound = [endpoint for asked in options.bind for endpoint in bind(socket, asked)]
    for endpoint in options.connect:
        socket.connect(endpoint)
    write_line({"ready": bound})


def bind(socket, endpoint):
    answer = socket.bind(endpoint)
    if isinstance(answer[0], str):
        return answer
    # [ran] The old bind answers with something of pyzmq's, and has no public way to learn which port was chosen.
    return [socket._events._socket.last_endpoint.decode()]


def write_line(fields):
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def pack(value):
    """Any Python value as text that JSON can carry: bytes, int keys, NaN and tuples have no JSON of their own."""
    return base64.b64encode(pickle.dumps(value)).decode()


def unpack(text):
    return pickle.loads(base64.b64decode(text))
