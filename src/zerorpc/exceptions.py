"""The errors under the module name that programs written for zerorpc 0.6 import them from."""

from __future__ import annotations

from zerorpc.errors import LostRemote, RemoteError, TimeoutExpired

__all__ = ["LostRemote", "RemoteError", "TimeoutExpired"]
