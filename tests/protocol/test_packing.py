"""Large octets when memory runs out, in processes that may have little of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Raw

from zerorpc.errors import SerializationError
from zerorpc.protocol.events import decode, decode_usual, encode, encode_item, encode_ok
from zerorpc.protocol.framed import FramedEvent
from zerorpc.protocol.packing import LARGE_OCTETS
from zerorpc.zmtp import frames

MESSAGE_ID = b"m" * 32
ID = Raw(b"\xc4\x20" + MESSAGE_ID)
SIZES = [LARGE_OCTETS, LARGE_OCTETS + 1, 65535, 65536, 1_000_000]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", [bytes, bytearray, lambda size: memoryview(bytes(size))])
def test_large_octets_are_packed_as_all_others_are(kind: Callable[[int], Any], size: int) -> None:
    header = {"message_id": MESSAGE_ID, "v": 3, "response_to": ID}
    for packed, whole in (
        (encode_ok(MESSAGE_ID, ID, kind(size)), encode(header, "OK", [bytes(size)])),
        (encode_item(MESSAGE_ID, ID, kind(size)), encode(header, "STREAM", bytes(size))),
    ):
        assert packed == whole
        assert isinstance(packed, FramedEvent) == (size > LARGE_OCTETS)
        if isinstance(packed, FramedEvent) and isinstance(whole, FramedEvent):
            assert list(packed.buffers) == whole.buffers == [bytes(size)]
            assert decode_usual(packed.in_band()).args in (bytes(size), [bytes(size)])
        args = getattr(decode(packed), "args", None)
        assert args in (bytes(size), [bytes(size)])


@pytest.mark.parametrize("kind", [bytes, bytearray, lambda size: "x" * size, lambda size: [bytes(size)]])
def test_what_is_too_much_is_refused(kind: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MESSAGE_MAX", 100_000)
    for pack_value in (encode_ok, encode_item):
        pack_value(MESSAGE_ID, ID, kind(99_000))
        with pytest.raises(SerializationError, match=r"a message of \d+ octets \(the limit is 100000\)"):
            pack_value(MESSAGE_ID, ID, kind(100_000))
    with pytest.raises(SerializationError, match=r"a message of \d+ octets \(the limit is 100000\)"):
        encode({}, "OK", kind(100_000))


def test_a_view_that_is_not_contiguous_is_no_value() -> None:
    with pytest.raises(SerializationError):
        encode_ok(MESSAGE_ID, ID, memoryview(bytes(4 * LARGE_OCTETS))[::2])


PROGRAM = """
import resource, sys
import zerorpc, zerorpc.testing
from zerorpc.protocol.packing import pack
size = 64 << 20
octets = {"bytes": bytes, "bytearray": bytearray, "memoryview": lambda n: memoryview(bytes(n))}[sys.argv[1]](size)

def limit():
    pages = int(open("/proc/self/statm").read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, ((pages * resource.getpagesize() + (20 << 20)),) * 2)

def items():
    yield 1
    yield octets

def fail(call):
    try:
        return f"no error: {call()!r:.20}"
    except BaseException as error:
        return type(error).__name__ + " " + getattr(error, "name", "")

methods = {"small": lambda: 7, "result": lambda: octets, "items": items, "take": lambda data: len(data)}
with zerorpc.testing.client(methods, timeout=60) as client:
    assert client.small() == 7
    assert next(client.items()) == 1
    limit()
    print(fail(client.result))
    print(fail(lambda: list(client.items())))
    print(fail(lambda: client.take(octets)))
    print(fail(lambda: client.take(1, octets)))
    print(fail(lambda: pack([1, {"nested": octets}])))
    print(fail(lambda: client.take(iter([octets]))))
    print(client.small())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems don't limit the address space")
@pytest.mark.parametrize("kind", ["bytes", "bytearray", "memoryview"])
def test_without_memory_large_octets_are_an_error(kind: str) -> None:
    """msgspec's own ``encode`` ends the process with SIGSEGV."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, kind], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lost = "LostRemote "  # bytes aren't copied before they are sent: nobody knows how far that came
    result, argument = (lost, lost) if kind == "bytes" else ("RemoteError MemoryError", "MemoryError ")
    assert done.stdout.splitlines()[:5] == [result, result, argument, argument, "MemoryError "]
    assert done.stdout.splitlines()[-1] == "7"
