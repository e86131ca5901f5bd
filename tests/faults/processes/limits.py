"""What runs out: memory, descriptors, room on a disk."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import zerorpc
from tests.faults.ledger import Outcomes
from tests.faults.processes.stage import IN_FLIGHT, PATIENCE, Stage, case
from tests.interop.requirements import needs, needs_root
from tests.service.running import eventually

DESCRIPTORS = 64  # what `ulimit -n` gives
_CLIENTS = 100
_LARGE = 100 * 1024 * 1024  # octets; the server may take 64 MiB more than it has
_BUSY = 0.3  # of a core, which a server that waits must not take; measured: 0.01


# Memory


@case("a method that takes all memory")
def exhaust_memory(stage: Stage) -> dict[str, Any]:
    server = stage.server(limits_memory=True)
    caller = stage.caller(server.endpoint)
    held = stage.hold(caller, IN_FLIGHT - 4) if stage.kind == "AsyncClient" else []  # a thread each has no room
    begun = time.monotonic()
    exhausting = stage.ids(4)
    for call_id in exhausting:
        caller.start(f"{caller.prefix}exhaust", [call_id])
        eventually(lambda: stage.ended(call_id), "MemoryError as an error")  # noqa: B023 - called at once
    known = stage.last_end - begun
    again = stage.again(caller)
    caller("release")
    caller.join()
    tally = stage.check("MemoryError")
    assert (tally.answered, tally.failed) == (len(held) + 1, {"MemoryError": 4})
    assert server.process.poll() is None
    return {**tally.figures, "known_s": known / 4, "again_s": again}


@case("a request larger than memory")
def large_request(stage: Stage) -> dict[str, Any]:
    server = stage.server(limits_memory=True)
    caller = stage.caller(server.endpoint)
    other = stage.caller(server.endpoint, kind="AsyncClient")
    stage.hold(other)
    begun = time.monotonic()
    with pytest.raises(zerorpc.LostRemote):  # and no TimeoutExpired; to send that much takes long on a busy machine
        caller("size", bytes(_LARGE))
    known = time.monotonic() - begun
    again = stage.again(caller)
    other("release")
    other.join()
    tally = stage.check()
    assert tally.answered == IN_FLIGHT + 1
    return {**tally.figures, "known_s": known, "again_s": again}


@case("more threads than memory allows", kinds=["Client"])
def threads_beyond_memory(stage: Stage) -> dict[str, Any]:
    """Each thread takes 8 MiB of addresses. Those that can't be started make calls wait, not fail."""
    server = stage.server(limits_memory=True)
    caller = stage.caller(server.endpoint)
    caller.start("hold", stage.ids(IN_FLIGHT))
    eventually(lambda: len(stage.runs) > 1, "some run")
    caller("release")
    caller.join()
    tally = stage.check()
    assert tally.answered == IN_FLIGHT
    return {**tally.figures, "again_s": stage.again(caller)}


# Descriptors


def processor_seconds(pid: int) -> float:
    """What a process has taken of the processor so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@case("ulimit -n 64 of the server", kinds=["AsyncClient"])
def server_descriptors(stage: Stage) -> dict[str, Any]:
    server = stage.server(descriptors=DESCRIPTORS)
    callers = [stage.caller(server.endpoint, timeout=2.0) for _ in range(_CLIENTS)]
    begun = time.monotonic()
    before = processor_seconds(server.pid)
    for caller in callers:
        caller.start("aquick", stage.ids(IN_FLIGHT // _CLIENTS))
    for caller in callers:
        caller.join()
    busy = (processor_seconds(server.pid) - before) / (time.monotonic() - begun)
    assert busy < _BUSY
    tally = stage.check("TimeoutExpired")
    assert tally.answered > 0
    assert tally.failed["TimeoutExpired"] > 0
    waiting = stage.ids(_CLIENTS)
    served = {end.call_id for end in stage.outcomes.ends if not end.error}
    firsts = range(1, IN_FLIGHT, IN_FLIGHT // _CLIENTS)
    lucky = [caller for caller, first in zip(callers, firsts, strict=True) if first in served]
    for caller, call_id in zip(callers, waiting, strict=True):
        caller.start("aquick", [call_id])
    freed = time.monotonic()
    for caller in lucky:
        stage.end(caller)
    for call_id in waiting:
        eventually(lambda: stage.ended(call_id), "those that waited are served")  # noqa: B023
    again = stage.last_end - freed
    tally = stage.check("TimeoutExpired", "Closed", "LostRemote")
    return {**tally.figures, "busy": busy, "again_s": again}


@case("ulimit -n 64 of the clients")
def client_descriptors(stage: Stage) -> dict[str, Any]:
    server = stage.server()
    options = {"ids": stage.ids(_CLIENTS), "later": stage.ids(10), "descriptors": DESCRIPTORS}
    clients = stage.program("descriptors.py", json.dumps({"kind": stage.kind, "endpoint": server.endpoint, **options}))
    first, second = clients.next_line(), clients.next_line()
    stage.outcomes += Outcomes.load(first["outcomes"])
    failed = [end.text for end in stage.outcomes.ends if end.error]
    assert all("Too many open files" in text for text in failed), failed
    assert 0 < len(failed) + first["refused"] < _CLIENTS
    assert first["busy"] < _BUSY
    again = Outcomes.load(second["outcomes"])
    assert again.asked
    assert not [end for end in again.ends if end.error], again.ends
    stage.outcomes += again
    assert clients.process.wait(10) == 0, clients.stderr()
    return {**stage.check("TimeoutExpired").figures, "refused": first["refused"], "busy": first["busy"]}


# Room on a disk


@contextlib.contextmanager
def small_disk(folder: Path, *options: str) -> Iterator[Path]:
    """A file system of a few KiB and a few files."""
    needs_root("mount a file system")
    place = folder / "disk"
    place.mkdir()
    subprocess.run(
        [
            needs("mount", "mount"),
            "-t",
            "tmpfs",
            "-o",
            ",".join(("size=16k", "nr_inodes=3", *options)),
            "zf",
            str(place),
        ],
        check=True,
    )
    try:
        yield place
    finally:
        subprocess.run([needs("umount", "mount"), "--lazy", str(place)], check=True)


@case("a full disk, for ipc", kinds=["AsyncClient"])
def full_disk(stage: Stage) -> dict[str, Any]:
    """Nothing is bound, the error names the endpoint; with room again, binding works."""
    with small_disk(stage.folder) as disk:
        (disk / "one").touch()
        (disk / "two").touch()
        endpoint = f"ipc://{disk}/s"
        said = _refusal(stage, endpoint)
        (disk / "one").unlink()  # for the socket,
        (disk / "two").unlink()  # and for its lock
        server = stage.server(bind=endpoint)
        return _serves(stage, server.endpoint) | {"error": said}


@case("a read-only disk, for ipc", kinds=["AsyncClient"])
def read_only_disk(stage: Stage) -> dict[str, Any]:
    with small_disk(stage.folder, "ro") as disk:
        said = _refusal(stage, f"ipc://{disk}/s")
    return {"error": said}


def _refusal(stage: Stage, endpoint: str) -> str:
    """How bind() refuses, here and by the command line."""
    server = zerorpc.Server({})
    with pytest.raises((zerorpc.ZeroRPCError, OSError)) as caught:
        server.bind(endpoint)
    server.close()
    assert endpoint in str(caught.value)
    assert not Path(endpoint.removeprefix("ipc://")).exists()
    command = [sys.executable, "-m", "zerorpc", "--server", "--bind", endpoint, "time"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 1
    assert endpoint in done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1].replace(str(stage.folder), "")


def _serves(stage: Stage, endpoint: str) -> dict[str, Any]:
    caller = stage.caller(endpoint)
    caller.start("aquick", stage.ids(IN_FLIGHT))
    caller.join()
    tally = stage.check()
    assert tally.answered == IN_FLIGHT
    return tally.figures


@case("the socket's file removed, for ipc")
def removed_file(stage: Stage) -> dict[str, Any]:
    """Who is connected stays so; who isn't finds nobody, and is told; another server may take the path."""
    path = stage.folder / "s"
    server = stage.server(bind=f"ipc://{path}")
    caller = stage.caller(server.endpoint)
    stage.hold(caller)
    path.unlink()
    late = stage.caller(server.endpoint)
    unlucky = stage.caller(server.endpoint, timeout=4.0)
    unlucky.start(f"{unlucky.prefix}quick", stage.ids(1))
    unlucky.join()
    assert "No such file" in stage.outcomes.ends[-1].text
    stage.server(bind=server.endpoint)
    again = stage.again(late)
    caller("release")
    caller.join()
    server.stop()
    assert path.exists(), "the first server took the second one's file along"
    tally = stage.check("TimeoutExpired")
    assert tally.answered == IN_FLIGHT + 1
    return {**tally.figures, "again_s": again}
