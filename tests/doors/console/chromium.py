"""Chromium, as the tests of the console drive it: Debian's, by Playwright."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.interop.requirements import needs
from tests.service.running import PATIENCE

_TOLD_BY_STATUS = "Failed to load resource:"  # the browser's own note of an answer that is an error

expect.set_options(timeout=PATIENCE * 1000)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window. One for a whole module: it takes a second to begin.

    If it is there, the one that can't have a window: it takes 34 s of CPU time for all tests here, the other one 80.

    Until it ends, asyncio takes its loop for that of this thread: no test of such a module runs one of its own.
    """
    program = needs("chromium-headless-shell", "chromium-headless-shell", instead="chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, chromium_sandbox=False)
        yield browser
        browser.close()


@contextlib.contextmanager
def visit(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """A page of a visitor who was never there before. In the end: nothing went wrong in it, nothing was forbidden."""
    options.setdefault("viewport", {"width": 1280, "height": 900})
    context = browser.new_context(locale="en-US", **options)
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    complaints: list[str] = []
    page.complaints = complaints  # type: ignore[attr-defined] # for a test that has made some
    page.on("console", lambda told: complaints.append(told.text) if told.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: (complaints.append(f"dialog {dialog.message}"), dialog.dismiss()))
    try:
        page.goto(url)
        yield page
        assert [told for told in complaints if not told.startswith(_TOLD_BY_STATUS)] == []
    finally:
        context.close()


def argument(page: Page, name: str) -> Locator:
    """The field of an argument; ``route.points.0.x`` for one inside."""
    return page.locator(f'[id="arg.{name}"]')


def call(page: Page, **arguments: str) -> Locator:
    """Fill in the form, and call; what is shown of the outcome."""
    for name, text in arguments.items():
        argument(page, name).fill(text)
    page.get_by_role("button", name="Call", exact=True).click()
    return page.locator(".outcome")
