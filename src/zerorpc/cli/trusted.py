"""Servers that are trusted, when a call goes to one: it is encrypted, and another key is refused loudly."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from zerorpc.cli.printing import one_line
from zerorpc.cli.usage import UsageError, program_name
from zerorpc.curve import Curve
from zerorpc.errors import EndpointError
from zerorpc.keys import decode_z85, fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zerorpc.errors import HandshakeFailed


def curve_for(address: str, given: Curve | None) -> Curve | None:
    """The keys for a connection to a server that is trusted; None for another one. ``given`` are those for all.

    Raises UsageError for files that can't be used.
    """
    from zerorpc import known_servers

    if given is not None and given.server is not None:
        return None
    try:
        key = known_servers.KnownServers().find(address)
        if key is None:
            return None
        own = given.keys if given is not None else known_servers.own_keys()
        return Curve(None if own is None else own.secret, key)
    except (ValueError, ModuleNotFoundError) as error:
        if isinstance(error, EndpointError):
            raise
        raise UsageError(f"{address} can't be trusted: {one_line(error)}") from None


def explained(error: HandshakeFailed, typed: Sequence[str]) -> str | None:
    """More about a handshake that failed; None if there is nothing to say. ``typed`` are the words of the command
    line: of these one is the server's address, where the error has what that was resolved to.
    """
    from zerorpc.known_servers import KnownServers

    values = [word.partition("=")[2] if word.startswith("--") else word for word in typed]  # --connect=tcp://a:1
    addresses = [value for value in values if "://" in value] or [os.environ.get("ZERORPC_ADDRESS", "")]
    address = (addresses[0] if len(addresses) == 1 else "") or error.endpoint
    if address is None:
        return None
    try:
        known = KnownServers().find(address)
    except (ValueError, OSError):  # it was a call by keys that were given, which needs no list
        return None
    if known is None:
        return _untrusted(error, address)
    now = None if error.server_key is None else decode_z85(error.server_key)
    if now is not None and now != known:
        return changed_key(address, known, now)
    if OTHER_KEY in str(error) or IN_CLEAR in str(error):
        return _not_itself(address, known, IN_CLEAR in str(error))
    return None


OTHER_KEY = "this server has another key than the one"  # what the errors of handshakes say
IN_CLEAR = "wants the security mechanism 'NULL'"
_BY_KEYS = "wants the security mechanism 'CURVE'"


def _untrusted(error: HandshakeFailed, address: str) -> str | None:
    if _BY_KEYS not in str(error):
        return None
    problem = f"{program_name()}: {address} is encrypted by keys, and you have none for it: {one_line(error)}"
    if address.startswith("tls+tcp://"):
        return f"{problem}\nadd --curve-server with its public key"
    return f"{problem}\ntype: {program_name()} trust {address}, or add --curve-server with its public key"


def _not_itself(address: str, trusted: bytes, in_clear: bool) -> str:
    what = "DOES NOT ENCRYPT ANY MORE" if in_clear else "HAS ANOTHER KEY, AND DOESN'T SAY WHICH"
    remedy = "trust --forget" if in_clear else "trust --replace --key server.key"
    return (
        f"{address} {what}. Nothing was sent to it.\n"
        f"    trusted: {fingerprint(trusted)}\n"
        "Either its owner has changed that, or somebody else pretends to be it. Ask its owner.\n"
        f"If it is right, type: {program_name()} {remedy} {address}"
    )


def changed_key(address: str, trusted: bytes, now: bytes) -> str:
    """What a user has to read when a server has another key than before."""
    return (
        f"THE KEY OF {address} HAS CHANGED. Nothing was sent to it.\n"
        f"    trusted: {fingerprint(trusted)}\n"
        f"    now:     {fingerprint(now)}\n"
        "Either it was given a new key, or somebody else pretends to be it. Ask its owner.\n"
        f"If the new one is right, type: {program_name()} trust --replace {address}"
    )
