"""Servers that are trusted, when a call goes to one: it is encrypted, and another key is refused loudly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zerorpc.cli.arguments import UsageError, program_name
from zerorpc.cli.printing import one_line
from zerorpc.curve import Curve
from zerorpc.errors import EndpointError
from zerorpc.keys import decode_z85, fingerprint

if TYPE_CHECKING:
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


def explained(error: HandshakeFailed) -> str | None:
    """More about a handshake that failed with a server that is trusted; None if there is nothing to say."""
    from zerorpc.known_servers import KnownServers

    if error.endpoint is None:
        return None
    try:
        known = KnownServers().find(error.endpoint)
    except (ValueError, OSError):  # it was a call by keys that were given, which needs no list
        return None
    if known is None:
        wants_keys = "wants the security mechanism 'CURVE'" in str(error)
        hint = f"it has a key: {program_name()} trust {error.endpoint}"
        return f"{program_name()}: {one_line(error)}\n{hint}" if wants_keys else None
    if error.server_key is not None and decode_z85(error.server_key) != known:
        return changed_key(error.endpoint, known, decode_z85(error.server_key))
    return None


def changed_key(address: str, trusted: bytes, now: bytes) -> str:
    """What a user has to read when a server has another key than before."""
    return (
        f"THE KEY OF {address} HAS CHANGED. Nothing was sent to it.\n"
        f"    trusted: {fingerprint(trusted)}\n"
        f"    now:     {fingerprint(now)}\n"
        "Either it was given a new key, or somebody else pretends to be it. Ask its owner.\n"
        f"If the new one is right, type: {program_name()} trust --replace {address}"
    )
