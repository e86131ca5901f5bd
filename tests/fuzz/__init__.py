"""Hostile octets, by the million: what comes in from outside is played with what nobody would send.

::

    python -m tests.fuzz --seconds 600              # all targets, one after the other, then conversations
    python -m tests.fuzz --target frames --seed 1   # one of them
    python -m tests.fuzz --conversations 100000     # mutated real traffic, against a real server process

A target is a function of octets in ``targets/``: it plays them, and raises what is a fault. Where it needs more than
octets (an order of events, times, sizes) it reads its choices from them (``tape``). So an input is a file, whoever
made it: this harness, by mutation from a seed, or atheris where that is installed (``pip install .[fuzz]``), which
goes for what no input has reached yet.

An input that finds a fault is kept in ``found/<target>/<digest>``; ``test_found`` plays all of them from then on.
"""
