"""The targets by their names: each a function of octets, in a file of its own."""

from __future__ import annotations

from tests.fuzz.inputs import Target
from tests.fuzz.targets import calls, events, frames, greeting, handshake, one_way, peers, tls

__all__ = ["TARGETS"]

_ALL = (
    Target("greeting", greeting.play, greeting.seeds),
    Target("handshake", handshake.play),
    Target("frames", frames.play, frames.seeds),
    Target("events", events.play, events.seeds),
    Target("calls", calls.play),
    Target("peers", peers.play, peers.seeds),
    Target("one-way", one_way.play, one_way.seeds),
    Target("tls", tls.play),
)
TARGETS: dict[str, Target] = {target.name: target for target in _ALL}
