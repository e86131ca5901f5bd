"""``python -m tools.top_picture`` makes docs/pictures/top.png: what ``zerorpc top`` shows of a service that is busy.

It takes half a minute, and a Chromium, which draws the SVG that rich exports.
"""

from __future__ import annotations

import contextlib
import io
import linecache
import random
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.terminal_theme import TerminalTheme

import zerorpc
from zerorpc.cli.top_figures import Figures, read_status
from zerorpc.cli.top_screen import Screen

PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "top.png"
COLUMNS, ROWS = 100, 31
LOOKS = 28
SCALE = 0.82  # of rich's own size: 100 columns are 1,238 wide then

_DARK, _GREY, _RED, _GREEN = (46, 52, 64), (171, 178, 191), (224, 108, 117), (126, 186, 100)
_YELLOW, _BLUE, _PURPLE, _CYAN = (229, 181, 103), (97, 150, 219), (178, 130, 209), (86, 182, 194)
THEME = TerminalTheme(
    (24, 27, 33),
    (211, 215, 222),
    [_DARK, _RED, _GREEN, _YELLOW, _BLUE, _PURPLE, _CYAN, _GREY],
    [(92, 99, 112), _RED, _GREEN, _YELLOW, _BLUE, _PURPLE, _CYAN, (235, 238, 244)],
)


SERVICE = '''\
import asyncio
import random
import time
from collections.abc import AsyncIterator


class Robot:
    """A robot with a camera."""

    async def position(self, axis: str) -> float:
        return len(axis) / 2

    def move(self, axis: str, to: float) -> float:
        time.sleep(random.uniform(0.002, 0.02))
        return to

    def picture(self) -> bytes:
        time.sleep(random.uniform(0.05, 0.2))
        return bytes(1000)

    async def home(self) -> None:
        await asyncio.sleep(600)

    def calibrate(self, axis: str) -> None:
        raise ValueError(f"axis {axis} has no reference mark")

    async def load_table(self, path: str) -> None:
        self._parse(path)

    def _parse(self, path: str) -> None:
        time.sleep(0.21)

    async def positions(self) -> AsyncIterator[float]:
        while True:
            yield 0.5
            await asyncio.sleep(0.05)

    def grip(self, force: float) -> float:
        time.sleep(2.5)
        return force
'''


def main() -> None:
    server = zerorpc.Server(robot(), name="Robot", pool_size=14)
    (endpoint,) = server.bind("tcp://127.0.0.1:0")
    threading.Thread(target=server.run, daemon=True).start()
    for call in calls():
        threading.Thread(target=keep_calling, args=[endpoint, call], daemon=True).start()
    figures = Figures()
    with zerorpc.Client(endpoint, heartbeat=30.0) as client:
        for _ in range(LOOKS):
            figures.add(read(client))
            time.sleep(1)
    draw(figures)


def robot() -> object:
    """The service, as of a file that has a place of its own, since the picture shows where."""
    place, names = "/srv/robot/robot.py", {"__name__": "robot"}
    linecache.cache[place] = (len(SERVICE), None, SERVICE.splitlines(keepends=True), place)
    exec(compile(SERVICE, place, "exec", dont_inherit=True), names)
    made: Any = names["Robot"]
    return made()


def calls() -> list[Callable[[zerorpc.Client], object]]:
    """What one client each does again and again."""
    made: list[Callable[[zerorpc.Client], object]] = [
        lambda client: (client.position("x"), time.sleep(random.uniform(0.002, 0.01))),
        lambda client: (client.position("yaw"), time.sleep(0.004 + 0.003 * (time.time() % 9 > 5))),
        lambda client: (client.move("x", 1.0), time.sleep(0.02)),
        lambda client: (client.move("y", 1.0), time.sleep(0.03)),
        lambda client: (client.picture(), time.sleep(0.2)),
        lambda client: (time.sleep(5), client.calibrate("z")),
        lambda client: (time.sleep(7), client.load_table("table.csv")),
        lambda client: client.home(timeout=900),
        lambda client: [None for _ in client.positions()],
    ]
    return made + [lambda client: client.grip(2.0, timeout=60)] * 10


def keep_calling(endpoint: str, call: Callable[[zerorpc.Client], object]) -> None:
    with zerorpc.Client(endpoint, heartbeat=30.0) as client:
        while True:
            with contextlib.suppress(zerorpc.RemoteError):
                call(client)


def read(client: zerorpc.Client) -> object:
    status = read_status(client("_zerorpc_status"))
    assert status is not None
    return status


def draw(figures: Figures) -> None:
    console = Console(
        record=True, width=COLUMNS, height=ROWS, force_terminal=True, color_system="truecolor", file=io.StringIO()
    )
    screen = Screen("tcp://robot:4242", 1.0, console)
    console.print(screen.picture(figures, height=ROWS))
    svg = console.export_svg(title="zerorpc top tcp://robot:4242", theme=THEME)
    with tempfile.TemporaryDirectory() as folder:
        page, picture = Path(folder) / "top.html", Path(folder) / "top.png"
        width, height = (round(float(size) * SCALE) for size in svg.split('viewBox="0 0 ')[1].split('"')[0].split())
        style = (
            f"<style>body {{ margin: 0; background: transparent }} svg {{ width: {width}px; display: block }}</style>"
        )
        page.write_text(style + svg, encoding="utf-8")
        command = ["chromium", "--headless", "--no-sandbox", "--hide-scrollbars", f"--screenshot={picture}"]
        command += ["--default-background-color=00000000", f"--window-size={width},{height}"]
        subprocess.run([*command, page.as_uri()], check=True, capture_output=True, timeout=300)
        PICTURE.parent.mkdir(exist_ok=True)
        PICTURE.write_bytes(picture.read_bytes())


if __name__ == "__main__":
    main()
