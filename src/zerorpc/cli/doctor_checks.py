"""What ``zerorpc doctor`` looks at. Each check is a function that returns what it found."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import statistics
import time
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from zerorpc.cli.pinging import PING, why_unanswered
from zerorpc.cli.printing import one_line
from zerorpc.cli.waiting import failed
from zerorpc.errors import HandshakeFailed, ProtocolError, RemoteError, ServerStopping, ZeroRPCError
from zerorpc.shown import line

if TYPE_CHECKING:
    from zerorpc import Client

INSPECT = "_zerorpc_inspect"
TRIPS = 10  # round trips, a few, so that all of them take half a second on a good day
PAUSE = 0.05  # seconds between them: what blocks an event loop now and then is met by some of them
SLOW = 0.1  # seconds that a ping may take longer than the network: asyncio's debug mode calls the same a slow callback
SPARE_FILES = 64  # descriptors: a client needs one per server and per attempt to connect, and a few for waking
LISTEN = 0.5  # seconds for a program to say what it is: SSH says it at once

_REMEDIES = {
    errno.ECONNREFUSED: "start the service, or correct the port; one bound to 127.0.0.1 takes nobody from elsewhere",
    errno.ENETUNREACH: "this machine has no way to that network: look at its routes, or the VPN",
    errno.EHOSTUNREACH: "the machine is off, or a firewall forbids it",
}
_TIMED_OUT = "the machine is off, or a firewall drops what is sent to this port: ask whoever runs it"


class Finding(NamedTuple):
    """What a check found; ``remedy`` is what to do, if it isn't ok."""

    check: str
    verdict: Literal["ok", "warning", "fault"]
    found: str
    remedy: str | None = None


class Reached(NamedTuple):
    """That a port answers, and the ``seconds`` that this took; None if it doesn't."""

    finding: Finding
    seconds: float | None


def host_and_port(address: str) -> tuple[str, int] | None:
    """Of an address that is known to be well formed; None if it isn't one of TCP."""
    parts = urlsplit(address)
    if parts.scheme not in ("tcp", "tls+tcp") or not parts.hostname or not parts.port:
        return None
    return parts.hostname, parts.port


def check_name(host: str, port: int) -> Finding:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        remedy = "correct the name, or enter it into DNS or /etc/hosts; an address, such as 10.0.0.7, needs neither"
        return Finding("name", "fault", failed(host, f"{host} can't be resolved: {error.strerror}"), remedy)
    addresses = dict.fromkeys(str(address[4][0]) for address in found)
    return Finding("name", "ok", f"{line(host)} is {', '.join(addresses)}")


def check_port(address: str, host: str, port: int, timeout: float) -> Reached:
    began = time.perf_counter()
    try:
        socket.create_connection((host, port), timeout).close()
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, _TIMED_OUT)
        return Reached(Finding("port", "fault", failed(address, str(error)), remedy), None)
    took = time.perf_counter() - began
    return Reached(Finding("port", "ok", f"{address} takes connections ({took * 1000:.1f} ms)"), took)


def check_answer(client: Client, where: tuple[str, int] | None, timeout: float) -> Finding:
    """Whether the handshake succeeds, and a first call is answered."""
    try:
        client(PING)
    except ServerStopping as error:
        return Finding("answer", "fault", one_line(error), "the service is shutting down: start it again")
    except RemoteError as error:  # it doesn't know this method, or keeps it from us: it is there
        return Finding("answer", "ok", f"it answers, by {line(error.name)}")
    except HandshakeFailed as error:
        return Finding("answer", "fault", one_line(error), _remedy_of_handshake(str(error)))
    except ZeroRPCError as error:
        return _unanswered(client, error, where, timeout)
    return Finding("answer", "ok", "it answers calls")


def _remedy_of_handshake(text: str) -> str:
    if "certificate" in text:
        return "give --tls-ca with the file of the certificate authority; compare the certificate's name and dates"
    if "expected TLS" in text:
        return "type tcp:// instead of tls+tcp://, or have the server bind tls+tcp://"
    if "speaks TLS" in text:
        return "type tls+tcp:// instead of tcp://, and --tls-ca with the file of its certificate authority"
    if "CURVE" in text:
        return "give --curve and --curve-server, or trust its key: zerorpc trust"
    if "PLAIN" in text:
        return "give --user, and the password in ZERORPC_PASSWORD"
    return "compare the keys, the user and the password with what the server knows; its log says whom it refused"


def _unanswered(client: Client, error: ZeroRPCError, where: tuple[str, int] | None, timeout: float) -> Finding:
    found = why_unanswered(client, error)
    if ready_peer(client) is not None:
        remedy = "its event loop is blocked, or it is overloaded: look for a method that computes or sleeps on the loop"
        return Finding("answer", "fault", found, remedy)
    protocol = None if where is None or isinstance(error, ProtocolError) else spoken_at(*where, min(timeout, LISTEN))
    if protocol is not None:
        return Finding("answer", "fault", f"{protocol} is spoken there, not ZMTP", "another program has this port")
    remedy = "another program has this port, or the service hangs: see which process listens there"
    return Finding("answer", "fault", found, remedy)


def spoken_at(host: str, port: int, timeout: float) -> str | None:
    """The protocol that a port speaks, if it is SSH or HTTP. A server of HTTP says nothing until it is asked."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout) as connection:
        connection.settimeout(timeout)
        try:
            start = connection.recv(16)
        except TimeoutError:
            connection.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
            start = connection.recv(16)
        return {b"SSH-": "SSH", b"HTTP": "HTTP"}.get(start[:4])
    return None


def check_mechanism(peer: Any) -> Finding:
    greeting = peer.connection.peer_greeting
    told = f"ZMTP {greeting.major}.{greeting.minor}, mechanism {line(greeting.mechanism)}"
    return Finding("handshake", "ok", told)


def check_kind(peer: Any) -> Finding:
    """Ours, or an older one, and what that lacks."""
    if peer.level:
        return Finding("peer", "ok", f"a zerorpc of this kind (extension level {peer.level})")
    found = "an older peer: zerorpc 0.6, Node, or a proxy of libzmq before any"
    lacks = "it lacks keyword arguments, cancel, deadlines, metadata, and streams to the server"
    return Finding("peer", "warning", found, f"{lacks}: call it without these, or update it")


def check_trips(client: Client, network: float) -> Finding:
    """How long pings take; ``network`` is the seconds of one round trip in which only kernels took part."""
    times: list[float] = []
    for _ in range(TRIPS):
        began = time.perf_counter()
        try:
            client(PING)
        except RemoteError:
            pass  # an answer as well
        except ZeroRPCError as error:
            found = f"ping {len(times) + 1} of {TRIPS} had no answer: {why_unanswered(client, error)}"
            return Finding("round trip", "fault", found, "it is overloaded, or its event loop is blocked")
        times.append(time.perf_counter() - began)
        time.sleep(PAUSE)
    worst = max(times)
    found = f"median {statistics.median(times) * 1000:.1f} ms, worst {worst * 1000:.1f} ms of {TRIPS}"
    if worst - network <= SLOW:
        return Finding("round trip", "ok", found)
    remedy = (
        "a ping should take little longer than the network: a method may block the event loop of the server (make it a"
        " plain def, which runs on a thread), or its machine is busy"
    )
    return Finding("round trip", "warning", found, remedy)


def check_inspect(client: Client) -> Finding:
    try:
        client(INSPECT)
    except ZeroRPCError as error:
        remedy = "its methods can be called, but not listed or completed; the server's rights may forbid it"
        return Finding("inspect", "warning", f"it doesn't tell its methods: {one_line(error)}", remedy)
    return Finding("inspect", "ok", "it tells its methods")


def check_files() -> Finding | None:
    """Whether this user may open as many files as a client needs; None where that can't be told, as on Windows."""
    try:
        import resource

        used = len(os.listdir("/dev/fd"))
    except (ImportError, OSError):
        return None
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY or limit - used >= SPARE_FILES:
        return Finding("open files", "ok", f"{used} of {'any number' if limit < 0 else limit}")
    return Finding("open files", "warning", f"{used} of {limit}", "raise the limit: ulimit -n 1024")


def ready_peer(client: Any) -> Any:
    """The server at the other end of a connection whose handshake is complete; None if there is none."""
    hub = client._core.hub
    with hub.lock:
        return next((link.peer for link in hub.links.values() if not link.closed and link.peer.ready), None)
