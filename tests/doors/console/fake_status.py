"""What ``GET /status`` tells, made up: of a server that is called ten times a second, and of which one call fails."""

from __future__ import annotations

from typing import Any

BOUNDS = [0.001, 0.01, 0.1, 1.0]
TRACEBACK = """Traceback (most recent call last):
  File "robot.py", line 9, in move
ValueError: there is a wall at -1.0"""
BEGAN = 1_800_000_000.0  # unix seconds


def status(seconds: int, pid: int = 7) -> dict[str, Any]:
    """As it is told so many seconds after the server began."""
    calls = 10 * seconds
    return {
        "time": BEGAN + seconds,
        "uptime": float(seconds),
        "counting_since": BEGAN,
        "name": "Robot",
        "pid": pid,
        "version": "1.0",
        "processes": 2,
        "loop_lag": 0.002,
        "connections": 3,
        "streams": 1,
        "running": 2,
        "waiting": 4,
        "methods": [
            method("arm.lift", 0, 0, [0, 0, 0, 0, 0]),
            method("move", calls, seconds, [0, 8 * seconds, seconds, seconds, 0]),
            method("look", 3, 0, [3, 0, 0, 0, 0]),
        ],
        "calls": [
            {"method": "wait", "caller": "tcp://10.0.0.7:5123", "seconds": 92.5, "state": "running", "at_least": True},
            {"method": "move", "caller": "alice", "seconds": 0.25, "state": "waiting"},
        ],
        "blocked": [
            {
                "method": "move",
                "seconds": 0.7,
                "when": BEGAN,
                "stack": 'File "robot.py", line 12, in move',
            },
            {"method": None, "seconds": 0.2, "when": BEGAN, "stack": "gc"},
        ],
        "errors": [
            {
                "method": "move",
                "error": "ValueError",
                "message": "there is a wall at -1.0",
                "traceback": TRACEBACK,
                "when": BEGAN,
                "caller": "alice",
            }
        ],
    }


def method(name: str, calls: int, errors: int, counts: list[int]) -> dict[str, Any]:
    return {
        "name": name,
        "calls": calls,
        "errors": errors,
        "refused": 0,
        "seconds": {"bounds": BOUNDS, "counts": counts},
        "running": 0,
    }
