"""The files of cases/, read and checked: what a conversation may say is in README.md."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "cases"
HEARTBEAT = 5  # seconds; what zerorpc has by default


@dataclass(frozen=True)
class Case:
    """One conversation. The fields are those of the file."""

    name: str
    why: str
    role: str
    steps: list[dict[str, Any]]
    version: int = 3
    extension: int = 0
    heartbeat: float = HEARTBEAT
    minor: int = 1
    properties: dict[str, str] = field(default_factory=dict)
    handshake: bool = True
    pong: bool = True
    alone: bool = False
    listeners: list[str] = field(default_factory=lambda: ["a"])
    deviations: dict[str, str] = field(default_factory=dict)

    @property
    def takes_time(self) -> bool:
        """Whether it waits for time to pass: such cases are best begun first."""
        return self.heartbeat != HEARTBEAT or any("silence" in step or "repeat" in step for step in self.steps)

    def all_properties(self) -> dict[str, bytes]:
        """What the READY of the driver's side says."""
        said = {"Socket-Type": "DEALER" if self.role == "server" else "ROUTER", "Identity": ""}
        if self.extension:
            said["X-Zerorpc"] = str(self.extension)
        return {name: value.encode() for name, value in (said | self.properties).items()}


def load() -> list[Case]:
    """Every conversation, in the order of the files. Raises TypeError for a field that there isn't."""
    return [
        Case(**fields) for path in sorted(FOLDER.glob("*.json")) for fields in json.loads(path.read_text())["cases"]
    ]
