"""The programs that are measured: each file has a server and the clients that it is called by.

``python -m benchmarks.peers.NAME server FLAVOUR`` and ``... client FLAVOUR ENDPOINT``, run by the driver in the
peer's own venv. What all of them share imports nothing but the standard library: ``harness`` talks with the driver,
``blocking`` and ``coroutines`` make the measurements.
"""
