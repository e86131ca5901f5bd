"""What programs written for zerorpc 0.6 import from a module of this name."""

from __future__ import annotations

from zerorpc.service.methods import DecoratorBase, rep, stream

__all__ = ["DecoratorBase", "rep", "stream"]
