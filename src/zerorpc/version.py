"""Which release this is: the same as in pyproject.toml."""

__all__ = ["VERSION"]

VERSION = "1.0.0a1"
