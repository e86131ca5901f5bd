"""A forked process has nothing to read on stdin, and forks of the program's own keep theirs.

``tests/server/test_supervisor.py`` has the same for server processes, and for programs without stdin.
"""

from __future__ import annotations

from tests.service.running import Program

START = """
import os, sys, threading, warnings
from zerorpc.runtime.forked_process import ForkedProcess
warnings.simplefilter("ignore", DeprecationWarning)  # of forking with a thread
reading, writing = os.pipe()
os.dup2(reading, 0)
os.write(writing, b"one line\\n")
def tell():
    print([sys.stdin.read(), os.read(0, 1)], flush=True)
def run(function):
    process = ForkedProcess(target=function)
    process.start()
    process.join()
    print(process.exitcode, flush=True)
"""


def test_nothing_to_read_though_a_thread_of_the_parent_reads() -> None:
    text = """
begun = threading.Event()
def read():
    sys.stdin.readline()
    begun.set()
    sys.stdin.readline()
threading.Thread(target=read, daemon=True).start()
begun.wait()
run(tell)
os._exit(0)
"""
    with Program(START + text) as program:
        assert program.end() == (0, "['', b'']\n0\n", "")


def test_a_fork_of_the_programs_own_keeps_its_stdin() -> None:
    text = """
run(int)
os.close(writing)
if os.fork() == 0:
    tell()
    os._exit(0)
os.wait()
"""
    with Program(START + text) as program:
        assert program.end() == (0, "0\n['one line\\n', b'']\n", "")


def test_a_fork_in_such_a_process_keeps_what_is_its_stdin_then() -> None:
    text = """
def fork():
    sys.stdin = open(reading)
    if os.fork() == 0:
        print(sys.stdin.readline(), flush=True)
        os._exit(0)
    os.wait()
run(fork)
"""
    with Program(START + text) as program:
        assert program.end() == (0, "one line\n\n0\n", "")
