"""The forty calls of ``tests/doors/same_calls``, by the console: what becomes of each is the same.

In a module of its own: the browser's loop is in the way of other doors' clients.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

import zerorpc
from tests.doors.console.chromium import chromium, visit
from tests.doors.same_calls.calls import BAD, DENIED, GONE, GOOD, LATE, OVERLOADED, STREAMED, Given, Outcome
from tests.doors.same_calls.service import PASSWORD, USER, Robot, authenticate, may_call
from tests.service.running import PATIENCE, eventually, serving

pytestmark = pytest.mark.timeout(300)  # a browser on a busy machine


class ByConsole:
    """The page of one server, as somebody uses it who writes arguments as JSON."""

    def __init__(self, page: Page, url: str, server: zerorpc.Server) -> None:
        self.page = page
        self.server = server
        self._url = url

    def call(self, method: str, arguments: dict[str, Any], timeout: str = "") -> Outcome:
        if not self.begin(method, arguments, timeout):
            return Outcome(error="UnknownMethod")
        refused = self.page.locator("form .wrong[role=alert]").inner_text()
        if refused:
            return Outcome(error="not sent", message=refused)
        outcome = self.page.locator(".outcome")
        expect(outcome).to_have_attribute("aria-busy", "false")
        items = self._items() if "item" in outcome.locator(".status").inner_text() else None
        problem = outcome.locator(".problem")
        if problem.count():
            name, message = (problem.locator(part).inner_text() for part in ("strong", "pre"))
            return Outcome(items=items, error=name, message=message)
        return Outcome(items=items) if items is not None else Outcome(self._value())

    def begin(self, method: str, arguments: dict[str, Any], timeout: str = "") -> bool:
        """Whether there is such a method."""
        page = self.page
        page.goto("about:blank")  # nothing of the call before is seen any more
        page.goto(f"{self._url}/#/call/{method}")
        expect(page.locator("h1")).to_have_text(method)
        if not page.locator("form").count():
            expect(page.locator("main")).to_contain_text("There is no such method, or you may not call it.")
            return False
        if page.get_by_role("button", name="JSON").count():
            page.locator("form").get_by_role("button", name="JSON").click()
            page.get_by_label("Arguments as JSON").fill(json.dumps(arguments))
        page.get_by_label("wait at most").fill(timeout)
        page.get_by_role("button", name="Call", exact=True).click()
        expect(page.locator(".outcome, form .wrong[role=alert]:not(:empty)")).to_be_visible()
        return True

    def _items(self) -> list[Any]:
        """The newest stands first."""
        outcome = self.page.locator(".outcome")
        buttons = outcome.get_by_role("button", name="Items")
        if buttons.count():
            buttons.click()
        return [json.loads(text) for text in reversed(outcome.locator(".items code").all_inner_texts())]

    def _value(self) -> Any:
        outcome = self.page.locator(".outcome")
        picture = outcome.locator("img.picture")
        if picture.count():
            return str(picture.get_attribute("src")).partition("base64,")[2]
        if outcome.locator(".single").count():
            text = outcome.locator(".single").inner_text()
            return None if text == "None" else json.loads(text)
        if outcome.get_by_role("button", name="JSON").count():
            outcome.get_by_role("button", name="JSON").click()
            return json.loads(outcome.locator("pre").inner_text())
        text = outcome.locator("pre").inner_text()
        return "" if text == '""' else text

    def as_told(self, outcome: Outcome) -> Outcome:
        """A method that the caller may not call isn't there; and what is missing, the page says itself."""
        if outcome.error in ("UnknownMethod", "PermissionDenied"):
            return Outcome(error="UnknownMethod")
        if "missing 1 required positional argument: 'a'" in outcome.message:
            return Outcome(error="not sent", message="a: a value is needed")
        return outcome


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@contextlib.contextmanager
def reached(browser: Browser, robot: Robot, **settings: Any) -> Iterator[ByConsole]:
    who: dict[str, Any] = {"authenticator": authenticate, "authorizer": may_call}
    with serving(robot, bind="http://127.0.0.1:0", **who, **settings) as server:
        url = server.endpoints[0]
        with visit(browser, url, http_credentials={"username": USER, "password": PASSWORD}) as page:
            yield ByConsole(page, url, server)


@pytest.fixture(scope="module")
def robot() -> Robot:
    return Robot()


@pytest.fixture(scope="module")
def way(browser: Browser, robot: Robot) -> Iterator[ByConsole]:
    with reached(browser, robot) as way:
        yield way


@pytest.mark.parametrize("given", [*GOOD, *STREAMED, *BAD, *DENIED], ids=lambda given: given.method)
def test_good_streamed_bad_and_denied(way: ByConsole, given: Given) -> None:
    assert way.call(given.method, given.arguments) == way.as_told(given.outcome)


@pytest.mark.parametrize("given", LATE, ids=lambda given: given.method)
def test_late(way: ByConsole, given: Given) -> None:
    assert way.call(given.method, given.arguments, timeout="0.3")._replace(message="") == given.outcome


@pytest.mark.parametrize("method", GONE)
def test_cancelled(robot: Robot, way: ByConsole, method: str) -> None:
    robot.running.clear()
    assert way.begin(method, {})
    assert robot.running.wait(PATIENCE)
    robot.cancelled.clear()
    way.page.keyboard.press("Escape")
    expect(way.page.locator(".outcome")).to_contain_text("Cancelled after")
    assert robot.cancelled.wait(PATIENCE)


def test_overloaded(browser: Browser) -> None:
    robot = Robot()
    limits = zerorpc.Limits(waiting=1)
    with reached(browser, robot, pool_size=1, limits=limits, grace=PATIENCE) as way, contextlib.ExitStack() as stack:
        context = way.page.context
        for _ in range(2):  # one runs, one waits
            other = ByConsole(context.new_page(), way._url, way.server)
            stack.callback(other.page.close)
            other.begin("occupy", {})
        runners = way.server._core.running
        eventually(lambda: runners._places.waiting == 1)
        try:
            outcome = way.call(OVERLOADED.method, OVERLOADED.arguments)
        finally:
            robot.free.set()
        assert outcome._replace(message="") == OVERLOADED.outcome
