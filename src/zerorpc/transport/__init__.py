"""Moves bytes: endpoints, listeners, connections that come back, flow control.

Two shells drive the pure peers of ``protocol/``: ``aio`` on an event loop, ``blocking`` in the caller's own thread.
Neither knows what a call is; they tell their owner which peers came, went, or have something for it.
"""
