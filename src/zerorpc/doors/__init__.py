"""Doors: what is asked for in some protocol becomes an ``Invocation``, and what comes of it goes back the same way."""
