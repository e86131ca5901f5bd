"""One peer tries to take all of a server, or of a client, while an innocent one beside it calls on.

``python -m tests.attacks`` measures the innocent's latency, on a quiet machine; the tests count the loop's CPU time.
"""
