"""Endpoints: ``tcp://host:port``, ``tls+tcp://host:port``, ``ipc://path``, ``inproc://name``, and to bind to ``fd://3``,
read and checked in one place.
"""

from __future__ import annotations

import codecs
import ipaddress
import os
import socket
import sys
from typing import NamedTuple, TypeAlias

from zerorpc.errors import EndpointError
from zerorpc.exposure import HERE

__all__ = ["Address", "Endpoint", "address_text", "parse", "resolve"]

Address: TypeAlias = "tuple[socket.AddressFamily, str | tuple[object, ...]]"  # what socket.connect wants

# Every look-up of an address needs this codec. Loaded by the first of them, in a background thread, it would be
# missing for good in a child that is forked at that moment.
codecs.lookup("idna")

_ANY_IPV4 = ("*", "0", "0.0.0.0")
_PORT_DIGITS = 20  # leading zeros are fine, but int() refuses thousands of digits with an error of its own
_UNIX_PATH_MAX = 103 if sys.platform == "darwin" else 107  # sun_path without its final zero


class Endpoint(NamedTuple):
    """Parsed: ``host`` and ``port`` of tcp and tls+tcp, ``path`` of ipc (``@name`` is abstract) and inproc. Of fd and
    tls+fd it is the number of a descriptor, or a name.
    """

    scheme: str
    text: str
    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def is_tcp(self) -> bool:
        """Whether it has a host and a port, with TLS or without."""
        return self.scheme in ("tcp", "tls+tcp")

    @property
    def unix_address(self) -> str:
        return "\0" + self.path[1:] if self.path.startswith("@") else self.path


def parse(text: object) -> Endpoint:
    """Read an endpoint. Raises EndpointError, which shows the accepted forms where it is none."""
    if not isinstance(text, str):
        raise _malformed(text, f"expected a string, not {type(text).__name__}")
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise _malformed(text, "it has no scheme, such as tcp://")
    if not rest:
        raise _malformed(text, "nothing after the scheme")
    match scheme:
        case "tcp" | "tls+tcp":
            return _parse_tcp(scheme, text, rest)
        case "ipc":
            return _parse_ipc(text, rest)
        case "inproc":
            return Endpoint("inproc", text, path=rest)
        case "fd" | "tls+fd":
            return Endpoint(scheme, text, path=rest)
        case "http" | "https":
            raise _malformed(text, "only a server's bind() takes http://, for callers that aren't zerorpc's")
    raise _malformed(text, f"unknown scheme {scheme!r}")


def _parse_tcp(scheme: str, text: str, rest: str) -> Endpoint:
    host, separator, port_text = rest.rpartition(":")
    if not separator or (host.startswith("[") and not host.endswith("]")):
        raise _malformed(text, "no port")
    if host.startswith("["):
        host = host[1:-1]
    elif ":" in host:
        raise _malformed(text, f"an IPv6 address needs brackets, as in {scheme}://[::1]:4242")
    if not host:
        raise _malformed(text, "no host")
    port = _port(port_text)
    if not 0 <= port <= 0xFFFF:
        raise _malformed(text, f"the port {port_text!r} is not a number from 0 to 65535, nor *")
    return Endpoint(scheme, text, host, port)


def _malformed(text: object, reason: str) -> EndpointError:
    return EndpointError(text, reason, malformed=True)


def _port(text: str) -> int:
    """0 for ``*``, -1 for what is no port. int() alone would take "1_0", " 1" and digits of other scripts."""
    if text == "*":
        return 0
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _PORT_DIGITS else -1


def _parse_ipc(text: str, path: str) -> Endpoint:
    if not hasattr(socket, "AF_UNIX"):
        raise EndpointError(text, "it can't be used here: this system has no ipc sockets")
    if path.startswith("@") and sys.platform != "linux":
        raise EndpointError(text, "it can't be used here: abstract names exist on Linux only")
    if len(os.fsencode(path)) > _UNIX_PATH_MAX:
        raise EndpointError(text, f"it can't be used here: the path is longer than {_UNIX_PATH_MAX} octets")
    if "\0" in path:
        raise _malformed(text, "the path has a null character")
    return Endpoint("ipc", text, path=path)


def resolve(endpoint: Endpoint, *, passive: bool = False) -> list[Address]:
    """All addresses of a tcp, tls+tcp or ipc endpoint, in the system's order; IPv4 first when ``passive`` (to bind).

    Blocks while the system looks a name up (``is_literal`` tells). Raises EndpointError for an unknown name when
    passive, OSError when connecting, since a name may become known.
    """
    if endpoint.scheme == "ipc":
        return [(socket.AF_UNIX, endpoint.unix_address)]
    host = endpoint.host
    if host in _ANY_IPV4:
        host = "0.0.0.0" if passive else "127.0.0.1"
    elif host == "::" and not passive:
        host = "::1"
    if not passive and endpoint.port == 0:
        raise EndpointError(endpoint.text, "connecting needs a port number")
    try:
        found = socket.getaddrinfo(host, endpoint.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = f"the name {host!r} can't be resolved: {getattr(error, 'strerror', None) or error}"
        if passive:
            raise EndpointError(endpoint.text, f"it can't be used here: {reason}") from None
        raise OSError(reason) from error
    addresses: list[Address] = [(family, address) for family, _, _, _, address in found]
    if passive:
        addresses.sort(key=lambda item: item[0] != socket.AF_INET)
    return addresses


def is_literal(endpoint: Endpoint) -> bool:
    """Whether ``resolve`` answers without asking anybody."""
    if not endpoint.is_tcp or endpoint.host in _ANY_IPV4:
        return True
    try:
        ipaddress.ip_address(endpoint.host.partition("%")[0])
    except ValueError:
        return False
    return True


def address_text(address: object, scheme: str = "tcp") -> str:
    """A socket's address as an endpoint; an ipc or inproc peer has none of its own."""
    if isinstance(address, tuple) and len(address) >= 2:
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        return f"{scheme}://{host}:{address[1]}"
    return HERE
