"""What zerorpc costs, beside other ways to call a function in another process: ``make bench``.

``python -m benchmarks`` runs a table of cases (cases.py) with a table of peers (roster.py), each peer a small program
(peers/) in a venv of its own (venvs.py), and writes what it measured to results/. Linux only: it reads /proc, pins
processes to cores, and paces calls by a timerfd.
"""
