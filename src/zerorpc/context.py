"""What programs written for zerorpc 0.6 import from a module of this name."""

from __future__ import annotations

from zerorpc.compat.context import Context

__all__ = ["Context"]
