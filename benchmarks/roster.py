"""Who takes part."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.venvs import OLD, OURS


class Peer(NamedTuple):
    """One way to call: a program of peers/, which client of it, and in which venv."""

    key: str
    title: str
    program: str
    flavour: str  # which of the program's clients
    venv: str
    module: str = ""  # what a program that uses it imports, for the import time
    ours: bool = False
    floor: bool = False  # not an RPC, but what every one of them stands on
    tls: bool = False  # only in the cases that are about encryption, see cases.ENCRYPTED
    curve: bool = False  # the same
    quick: bool = False  # takes part in `make bench-quick`
    note: str = ""


PEERS = [
    Peer("async", "zerorpc, AsyncClient", "ours", "async", OURS, "zerorpc", ours=True, quick=True),
    Peer("blocking", "zerorpc, Client", "ours", "blocking", OURS, ours=True, quick=True),
    Peer("asyncio", "zerorpc, AsyncClient without uvloop", "ours", "asyncio", OURS, ours=True),
    Peer("async-tls", "zerorpc, AsyncClient with TLS", "ours", "async-tls", OURS, ours=True, tls=True),
    Peer("blocking-tls", "zerorpc, Client with TLS", "ours", "blocking-tls", OURS, ours=True, tls=True),
    Peer("async-curve", "zerorpc, AsyncClient with CURVE", "ours", "async-curve", OURS, ours=True, curve=True),
    Peer("blocking-curve", "zerorpc, Client with CURVE", "ours", "blocking-curve", OURS, ours=True, curve=True),
    Peer(
        "pyzmq-curve",
        "pyzmq with CURVE",
        "pyzmq_curve",
        "blocking",
        OURS,
        curve=True,
        note="libzmq's CURVE, a DEALER and a ROUTER, and our codec: MessagePack by msgspec, ids, no object for a call",
    ),
    Peer(
        "old",
        "zerorpc 0.6.3",
        "zerorpc_063",
        "greenlets",
        OLD,
        "zerorpc",
        quick=True,
        note="gevent; in flight means greenlets",
    ),
    Peer(
        "grpc-aio",
        "gRPC aio",
        "grpc_aio",
        "async",
        "grpc",
        "grpc.aio",
        note="uvloop; generic handlers with text as UTF-8, so protobuf's cost is left out, in its favour",
    ),
    Peer(
        "grpc-aio-tls",
        "gRPC aio with TLS",
        "grpc_aio",
        "async-tls",
        "grpc",
        tls=True,
        note="TLS 1.3 and the same certificate as ours, else as above",
    ),
    Peer(
        "grpc-sync",
        "gRPC sync",
        "grpc_sync",
        "blocking",
        "grpc",
        "grpc",
        note="32 threads; in flight means its futures; without protobuf, as above",
    ),
    Peer(
        "pycapnp",
        "Cap'n Proto (pycapnp)",
        "pycapnp",
        "async",
        "pycapnp",
        "capnp",
        note="uvloop, on which its server may crash when a connection ends; it is then started again",
    ),
    Peer(
        "thriftpy2",
        "thriftpy2",
        "thriftpy2",
        "blocking",
        "thriftpy2",
        "thriftpy2",
        note="compiled binary protocol and buffered transport, a thread for each connection; TCP_NODELAY set for it",
    ),
    Peer(
        "rpyc",
        "RPyC",
        "rpyc",
        "blocking",
        "rpyc",
        "rpyc",
        note="methods looked up once, compression off, TCP_NODELAY set for it; in flight means rpyc.async_",
    ),
    Peer("pyro5", "Pyro5", "pyro5", "blocking", "pyro5", "Pyro5.api", note="msgpack as its serializer"),
    Peer("aiozmq", "aiozmq.rpc", "aiozmq_rpc", "async", "aiozmq", "aiozmq.rpc", note="uvloop"),
    Peer(
        "fastapi",
        "FastAPI, aiohttp client",
        "fastapi",
        "async",
        "fastapi",
        "fastapi",
        note="uvicorn with uvloop and httptools; JSON, and octets as they are",
    ),
    Peer(
        "raw-uvloop",
        "floor: uvloop",
        "raw_loop",
        "uvloop",
        OURS,
        floor=True,
        quick=True,
        note="protocols that send back 100 octets unread, and a future for each call",
    ),
    Peer("raw-asyncio", "floor: asyncio", "raw_loop", "asyncio", OURS, floor=True, note="the same without uvloop"),
    Peer(
        "raw-socket",
        "floor: blocking sockets",
        "raw_socket",
        "blocking",
        OURS,
        floor=True,
        quick=True,
        note="100 octets, a thread for each connection",
    ),
    Peer(
        "raw-pyzmq",
        "floor: pyzmq ROUTER/DEALER",
        "raw_pyzmq",
        "blocking",
        OURS,
        floor=True,
        quick=True,
        note="blocking, 60 octets, no codec",
    ),
]

BY_KEY = {peer.key: peer for peer in PEERS}
