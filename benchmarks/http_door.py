"""Calls by HTTP beside FastAPI on the same uvicorn, in one run: ``python benchmarks/http_door.py``.

Each server is a process of its own, on the same core as the client, which speaks HTTP over plain sockets and costs
little. What counts is the CPU time of the server for one request: on a shared machine that differs less from run to run
than calls a second do. The two take turns; the figures are medians of their rounds. Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

OURS = """
import zerorpc
class Service:
    async def add(self, a: int, b: int) -> int:
        return a + b
    def plain(self, a: int, b: int) -> int:
        return a + b
    async def move(self, points: list[dict[str, float]]) -> list[dict[str, float]]:
        return points
    async def count(self, stop: int):
        for n in range(stop):
            yield n
server = zerorpc.Server(Service())
print(*server.bind("http://127.0.0.1:0"), flush=True)
server.run()
"""
FASTAPI = """
import asyncio, json, socket, uvicorn
from fastapi import Body, FastAPI
from fastapi.responses import StreamingResponse
app = FastAPI()
@app.post("/call/add")
async def add(a: int = Body(), b: int = Body()) -> int:
    return a + b
@app.post("/call/plain")
def plain(a: int = Body(), b: int = Body()) -> int:
    return a + b
@app.post("/call/move")
async def move(points: list[dict[str, float]] = Body(embed=True)) -> list[dict[str, float]]:
    return points
@app.post("/call/count")
async def count(stop: int = Body(embed=True)) -> StreamingResponse:
    async def items():
        for n in range(stop):
            yield json.dumps(n) + "\\n"
    return StreamingResponse(items(), media_type="application/x-ndjson")
sock = socket.create_server(("127.0.0.1", 0))
print(f"http://127.0.0.1:{sock.getsockname()[1]}", flush=True)
uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="error")).run(sockets=[sock])
"""
POINTS = [{"x": n / 2, "y": 1.0, "z": float(n)} for n in range(100)]
CASES = {
    "two numbers, async def": ("add", {"a": 1, "b": 2}, 2000),
    "two numbers, def on a thread": ("plain", {"a": 1, "b": 2}, 1500),
    "100 maps of numbers": ("move", {"points": POINTS}, 300),
    "a stream of 1,000 items": ("count", {"stop": 1000}, 20),
}


class Target:
    """A server in a process of its own."""

    def __init__(self, program: str) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        host, port = self.process.stdout.readline().strip().removeprefix("http://").split(":")
        self.sock = socket.create_connection((host, int(port)), timeout=30)
        self.reader = self.sock.makefile("rb")

    def ask(self, method: str, arguments: object) -> None:
        body = json.dumps(arguments).encode()
        head = f"POST /call/{method} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        self.sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        self._read_answer()

    def _read_answer(self) -> None:
        status = self.reader.readline()
        assert b" 200 " in status, status
        headers = {}
        while (line := self.reader.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().partition(":")
            headers[name.strip().lower()] = value.strip()
        if "content-length" in headers:
            self.reader.read(int(headers["content-length"]))
            return
        while size := int(self.reader.readline(), 16):
            self.reader.read(size + 2)
        self.reader.readline()

    def cpu(self) -> float:
        """Seconds that it has used."""
        fields = Path(f"/proc/{self.process.pid}/schedstat").read_text().split()
        return int(fields[0]) / 1e9

    def round(self, method: str, arguments: object, times: int) -> tuple[float, float]:
        """Microseconds of its CPU for one request, and requests a second."""
        for _ in range(max(2, times // 20)):
            self.ask(method, arguments)
        before, began = self.cpu(), time.perf_counter()
        for _ in range(times):
            self.ask(method, arguments)
        return (self.cpu() - before) / times * 1e6, times / (time.perf_counter() - began)

    def end(self) -> None:
        self.sock.close()
        self.process.terminate()
        self.process.wait(20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--brief", action="store_true", help="a hundredth of the requests, to see that it works")
    options = parser.parse_args()
    rounds = options.rounds
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    targets = {"zerorpc": Target(OURS), "FastAPI": Target(FASTAPI)}
    try:
        print(f"{'':32}{'zerorpc':>22}{'FastAPI':>22}   CPU of the server, requests a second")
        for case, (method, arguments, times) in CASES.items():
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in targets}
            for _ in range(rounds):
                for name, target in targets.items():
                    found[name].append(target.round(method, arguments, times // 100 or 1 if options.brief else times))
            middle = {
                name: [statistics.median(each) for each in zip(*told, strict=True)] for name, told in found.items()
            }
            shown = "".join(f"{cpu:>12,.0f} us {rate:>6,.0f}" for cpu, rate in middle.values())
            ours, theirs = middle.values()
            print(f"{case:32}{shown}   {theirs[0] / ours[0]:.2f} times by CPU, {ours[1] / theirs[1]:.2f} by requests")
    finally:
        for target in targets.values():
            target.end()


if __name__ == "__main__":
    main()
