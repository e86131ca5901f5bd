"""Runs the conversations of cases/ against an implementation, in any language. Knows nothing of the package zerorpc.

That is the point: it shares no code with what it tests. Nothing but Python's standard library is needed.
"""
