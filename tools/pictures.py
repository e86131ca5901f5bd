"""Makes the pictures of the console that the documentation shows: `python -m tools.pictures`. It takes Chromium."""

from __future__ import annotations

import itertools
import json
import math
import re
from pathlib import Path

from playwright.sync_api import Page, Route, expect

from tests.doors.console.chromium import chromium, visit
from tests.doors.console.fake_status import status
from tests.doors.console.robot import robot_server
from tests.service.running import on_thread

FIGURES = Path(__file__).parents[1] / "docs" / "figures"
SIZE = {"width": 1280, "height": 860}


def main() -> None:
    server = robot_server()
    server.bind("tcp://127.0.0.1:4242")  # it is seen in the picture
    url = server.bind("http://127.0.0.1:0")[0]
    with on_thread(server), chromium() as browser:
        with visit(browser, f"{url}/#/call/temperature", viewport=SIZE) as page:
            page.get_by_role("button", name="Call", exact=True).click()
            expect(page.locator(".status")).to_contain_text(re.compile("1[0-9]{2} items"))
            page.screenshot(path=FIGURES / "console.png")
        with visit(browser, url, viewport=SIZE) as page:
            live(page, url)
            page.screenshot(path=FIGURES / "console-live.png")


def live(page: Page, url: str) -> None:
    """The live view, of a server that has been busy for a minute and a half."""
    turns = itertools.count()
    calls = [0, 0]

    def answer(route: Route) -> None:
        turn = next(turns)
        told = status(4000 + turn)
        lift, move, look = told["methods"]
        for place, (method, rate) in enumerate(((move, 60 + 30 * math.sin(turn / 9)), (look, 18 + turn % 5))):
            calls[place] += int(rate)
            method["calls"] = calls[place]
            method["seconds"]["counts"] = [int(calls[place] * share) for share in (0.6, 0.33, 0.06, 0.01)] + [0]
        move["errors"] = turn // 8 * 2
        lift["calls"] = 12
        told["waiting"] = 0
        route.fulfill(status=200, content_type="application/json", body=json.dumps(told))

    page.route("**/status", answer)
    page.clock.install()
    page.goto(f"{url}/#/live")
    for _ in range(90):
        with page.expect_response("**/status"):
            page.clock.run_for(1000)
    page.locator(".u-legend").wait_for()


if __name__ == "__main__":
    main()
