"""zerorpc's own protocol, pure: events, channels, credit, liveness, request and stream patterns.

Bytes go in, events and bytes to send come out; time is an argument, and every object that needs to be woken says
when (``next_wake``). The asyncio shell and the blocking shell in ``transport/`` drive these objects alike.
"""
