"""``zerorpc.Limits``: what a peer may take."""

from __future__ import annotations

from typing import NamedTuple

from zerorpc.given import described

__all__ = ["MESSAGE_MAX", "Limits", "checked_limits", "parse_limit"]

# Octets of a message. Above the 100 MiB at which the old implementation's MessagePack reader gave up, so whatever
# worked there still does. Who sends refuses more than that too: a receiver could only end the connection.
MESSAGE_MAX = 128 * 1024 * 1024


class Limits(NamedTuple):
    """What one peer, that is one connection, may take: ``Server(…, limits=zerorpc.Limits(message=2**20))``.

    - ``message``: octets of a message that it sends. At most the default, 128 MiB: more is sent by nobody.
    - ``values``: values in a message. An array or a map counts for 9, a text of more than 31 octets for 4. So many are
      decoded in 0.05 s (numbers) to 0.2 s, for which nobody else has a turn, and take 125 MB (measured).
    - ``waiting``: requests that wait for their turn, of all callers; each has three quarters of it at most,
    - ``waiting_octets``: and what they may hold together.
    - ``unsent``: octets that wait for a peer that doesn't read. More, and it is given up.
    - ``stalled``: seconds after which a stream ends whose reader asks for nothing more; looked at with heartbeats.
    - ``frames``: frames of a message, of which a peer of ours sends up to 18: large octets have frames of their own.
    - ``command``: octets of a command of ZMTP: all that a peer can send before it is let in.
    - ``subscriptions``: octets of a subscriber's subscriptions.

    Of a client, ``message``, ``values``, ``frames`` and ``command`` count.
    """

    message: int = MESSAGE_MAX
    values: int = 4_000_000
    waiting: int = 16_384
    waiting_octets: int = 256 * 1024 * 1024
    unsent: int = 512 * 1024 * 1024
    stalled: int = 3600
    frames: int = 256
    command: int = 64 * 1024
    subscriptions: int = 1024 * 1024


_LEAST = Limits(message=1024, values=100, waiting=0, waiting_octets=0, unsent=1, stalled=1, frames=18, command=1024)


def checked_limits(name: str, value: object) -> Limits:
    """A setting that is a Limits; None stands for the usual ones. Raises TypeError or ValueError."""
    if value is None:
        return Limits()
    if not isinstance(value, Limits):
        raise TypeError(f"{name} has to be a zerorpc.Limits, not {described(value)}")
    for field, least, most in zip(Limits._fields, _LEAST, (MESSAGE_MAX, *[2**63] * 8), strict=True):
        given = getattr(value, field)
        if type(given) is not int:
            raise TypeError(f"the limit {field} has to be a whole number, not {described(given)}")
        if not least <= given <= most:
            bounds = f"from {least} to {most}" if field == "message" else f"at least {least}"
            raise ValueError(f"the limit {field} has to be {bounds}, not {given}")
    return value


def parse_limit(text: str) -> tuple[str, int]:
    """``message=1000000``, as the command line has it. Raises ValueError."""
    name, _, number = text.partition("=")
    if name not in Limits._fields or not (number.isascii() and number.isdigit()):
        raise ValueError(f"{text!r} is no limit such as message=1000000; there are {', '.join(Limits._fields)}")
    return name, int(number)
