"""Security mechanisms: what happens between the greeting and the first message (RFC 37).

``curve`` is not imported here: it needs PyNaCl, which is an extra.
"""

from __future__ import annotations

from zerorpc.zmtp.mechanisms.base import Credentials, Mechanism, NewMechanism
from zerorpc.zmtp.mechanisms.null import Null

__all__ = ["Credentials", "Mechanism", "NewMechanism", "Null"]
