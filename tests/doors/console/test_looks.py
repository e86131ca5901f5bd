"""What the console's page is for those who see it, in Chromium: of a hostile service, by whom, and on what."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

import zerorpc
from tests.doors.console.chromium import call, chromium, visit
from tests.doors.console.fake_status import status
from tests.doors.console.robot import Robot, robot_server
from tests.service.running import PATIENCE, on_thread, serving

pytestmark = pytest.mark.timeout(300)  # a browser on a busy machine

HTTP = "http://127.0.0.1:0"
HOSTILE = (
    '<img src=x onerror="alert(1)"><script>alert(2)</script><a href="javascript:alert(3)">x</a> ${alert(4)} &lt;b&gt;'
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def robot() -> Robot:
    return Robot()


@pytest.fixture(scope="module")
def url(robot: Robot) -> Iterator[str]:
    server = robot_server(robot)
    bound = server.bind(HTTP)[0]
    with on_thread(server):
        yield bound


# A service that wants to be more than text


def hostile_service() -> dict[str, Any]:
    def told(kind: str = HOSTILE) -> Any:
        if kind == "error":
            raise type(HOSTILE, (Exception,), {})(HOSTILE)
        return {"map": {HOSTILE: HOSTILE}, "table": [{HOSTILE: HOSTILE}], "text": HOSTILE, "list": [HOSTILE]}[kind]

    def items() -> Iterator[Any]:
        yield from ({HOSTILE: number} for number in range(4))

    told.__doc__ = items.__doc__ = f"{HOSTILE}\n\n- ``{HOSTILE}``"
    return {"told": told, "items": items, HOSTILE: lambda value: value, f"{HOSTILE}.m": lambda value: value}


def test_whatever_a_service_says_is_text(browser: Browser) -> None:
    with serving(hostile_service(), bind=HTTP, name=HOSTILE) as server, visit(browser, server.endpoints[0]) as page:
        expect(page.locator("h1")).to_have_text(HOSTILE)
        expect(page.locator(".methods").last).to_contain_text(HOSTILE)
        page.goto(f"{server.endpoints[0]}/#/call/told")
        expect(page.locator(".doc code")).to_have_text(HOSTILE)
        for kind in ("map", "table", "list", "text", "error"):
            outcome = call(page, kind=kind)
            expect(outcome).to_contain_text("<script>alert(2)</script>")
            for button in outcome.get_by_role("button").all():
                button.click()
                expect(outcome).to_contain_text("<script>alert(2)</script>")
        page.goto(f"{server.endpoints[0]}/#/call/items")
        expect(call(page).locator(".u-legend")).to_contain_text(HOSTILE)
        page.get_by_role("link", name="History").click()
        expect(page.locator("main")).to_contain_text(HOSTILE)
        page.locator("nav[aria-label=Methods] a").last.click()
        expect(page.locator("h1")).to_have_text(f"{HOSTILE}.m")
        expect(call(page, value="1").locator(".single")).to_have_text("1")
        assert page.locator('img[src="x"], a[href^="javascript"], body script').count() == 0


def test_the_browser_runs_and_reaches_nothing_else(browser: Browser, url: str) -> None:
    with visit(browser, url) as page:
        expect(page.locator("h1")).to_have_text("Robot")
        stopped = page.evaluate(
            """async () => {
                const stopped = [];
                document.addEventListener("securitypolicyviolation", (event) => stopped.push(event.effectiveDirective));
                const made = (tag, textContent) => Object.assign(document.createElement(tag), { textContent });
                document.body.append(made("script", "window.ran = 1"), made("style", "body { color: red }"));
                await fetch("http://127.0.0.2:1/").catch(() => {});
                await new Promise((done) => setTimeout(done));
                return [window.ran ?? null, ...stopped.sort()];
            }"""
        )
        assert stopped == [None, "connect-src", "script-src-elem", "style-src-elem"]
        page.complaints.clear()  # type: ignore[attr-defined]


# By whom


def authenticate(caller: zerorpc.Caller) -> str | None:
    return caller.user if caller.password == "wonderland" else None


def permits(identity: str, method: str) -> bool:
    denied = {"bob": ("say", "_zerorpc_status"), "carol": ("_zerorpc_inspect",)}
    return method not in denied.get(identity, ())


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    server = robot_server(authenticator=authenticate, authorizer=permits)
    bound = server.bind(HTTP)[0]
    with on_thread(server):
        yield bound


def test_each_sees_what_it_may_call(browser: Browser, guarded: str) -> None:
    for user, sees in (("alice", True), ("bob", False)):
        with visit(browser, guarded, http_credentials={"username": user, "password": "wonderland"}) as page:
            expect(page.locator(".methods").first).to_contain_text("move")
            assert (page.locator(".methods a", has_text="Say it aloud.").count() == 1) is sees
            page.goto(f"{guarded}/#/call/say")
            told = "Say it aloud." if sees else "There is no such method, or you may not call it."
            expect(page.locator("main")).to_contain_text(told)
            page.goto(f"{guarded}/#/call/move")
            expect(call(page, x="1")).to_contain_text("x: 1")
            page.get_by_role("button", name="curl").click()
            expect(page.get_by_label("curl", exact=True)).to_contain_text("-u USER")


def test_who_may_not_list_is_told_so(browser: Browser, guarded: str) -> None:
    with visit(browser, guarded, http_credentials={"username": "carol", "password": "wonderland"}) as page:
        expect(page.locator("main")).to_contain_text("the caller may not know which methods there are")


def test_a_stranger_gets_no_page(browser: Browser, guarded: str) -> None:
    context = browser.new_context(http_credentials={"username": "alice", "password": "guessed"})
    answer = context.new_page().goto(guarded)
    assert answer is not None
    assert answer.status == 401
    context.close()


# On what


def test_a_phone(browser: Browser, url: str) -> None:
    with visit(browser, url, viewport={"width": 360, "height": 740}) as page:

        def fits() -> None:
            assert page.evaluate("document.documentElement.scrollWidth") <= 360

        expect(page.locator(".methods").first).to_be_visible()
        fits()
        listed = page.locator("nav[aria-label=Methods] a")
        expect(listed.first).to_be_hidden()
        page.get_by_label("Find a method").fill("oiled")
        expect(page.locator("nav[aria-label=Methods]")).to_contain_text("There is no such method.")
        page.get_by_label("Find a method").fill("part")
        fits()
        listed.get_by_text("parts").click()
        expect(page.locator("h1")).to_have_text("parts")
        expect(listed.first).to_be_hidden()
        for method, arguments in (("parts", {}), ("map", {}), ("say", {"text": "x" * 2000}), ("move", {"x": "-1"})):
            page.goto(f"{url}/#/call/{method}")
            expect(page.locator("h1")).to_have_text(method)
            expect(call(page, **arguments)).to_contain_text("after")
            fits()
        page.goto(f"{url}/#/history")
        expect(page.locator(".history")).to_be_visible()
        fits()


def test_the_keyboard_alone(browser: Browser, url: str, robot: Robot) -> None:
    with visit(browser, url) as page:
        expect(page.locator("h1")).to_have_text("Robot")
        press, write = page.keyboard.press, page.keyboard.type
        press("Tab")
        expect(page.get_by_text("Skip to the content")).to_be_focused()
        press("Enter")
        expect(page.locator("main")).to_be_focused()
        press("/")
        write("temperature")
        press("Enter")
        expect(page.locator("h1")).to_have_text("temperature")
        expect(page.locator("main")).to_be_focused()
        tab_to(page, "arg.seconds")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", "where it is, is seen"
        write("30")
        robot.ended.clear()
        press("Enter")
        expect(page.locator(".outcome")).to_contain_text("Streaming,")
        press("Escape")
        expect(page.locator(".outcome")).to_contain_text("Cancelled after")
        assert robot.ended.wait(PATIENCE)
        press("Control+Enter")
        expect(page.locator(".outcome")).to_contain_text("Streaming,")
        press("Escape")


def tab_to(page: Page, element: str) -> None:
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == element:
            return
    raise AssertionError(f"Tab never comes to {element}")


def test_a_screen_reader_finds_a_name_for_everything(browser: Browser, url: str) -> None:
    nameless = """() => [...document.querySelectorAll("input, select, textarea, button, a, img, canvas, [role]")]
        .filter((it) => !["alert", "status"].includes(it.role))
        .filter((it) => !(it.ariaLabel || it.textContent.trim() || it.labels?.length || it.matches(".home img")))
        .map((it) => it.outerHTML)"""
    with visit(browser, url) as page:
        for method in ("follow", "store", "echo", "say", "parts"):
            page.goto(f"{url}/#/call/{method}")
            expect(page.locator("h1")).to_have_text(method)
            if method == "follow":
                page.get_by_label("Add an item to route, points").click()
            assert page.evaluate(nameless) == []
        call(page)
        expect(page.get_by_role("status")).to_contain_text("Returned after")  # which a screen reader says
        expect(page.get_by_role("region", name="Result of parts").first).to_be_visible()
        assert page.evaluate(nameless) == []
        assert page.locator("main h1").count() == 1


CONTRAST = """(pairs) => {
    const style = getComputedStyle(document.documentElement);
    const light = (name) => {
        const hex = style.getPropertyValue(name).trim();
        const parts = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255);
        const [r, g, b] = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    return pairs.map(([a, b]) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05));
}"""  # WCAG 2.2, contrast ratio
PAIRS = [
    ("--text", "--back"), ("--text", "--card"), ("--dim", "--back"), ("--dim", "--card"), ("--accent", "--card"),
    ("--accent", "--tint"), ("--on-accent", "--accent"), ("--bad", "--card"), ("--bad", "--bad-tint"),
]  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out_by_day_and_by_night(browser: Browser, url: str, scheme: Any) -> None:
    with visit(browser, url, color_scheme=scheme) as page:
        expect(page.locator("h1")).to_be_visible()
        contrasts = dict(zip(PAIRS, page.evaluate(CONTRAST, PAIRS), strict=True))
        assert {pair: found for pair, found in contrasts.items() if found < 4.5} == {}, "WCAG AA"
        red = page.evaluate("Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])")
        assert (red > 200) is (scheme == "light")


# The live view

Answer = Callable[[int], tuple[int, dict[str, Any]]]  # to each request for the status, which are counted from 0


def watching(page: Page, url: str, answer: Answer) -> None:
    """The live view, at a time that the test moves on."""
    asked = iter(range(10_000))

    def fulfil(route: Route) -> None:
        code, told = answer(next(asked))
        route.fulfill(status=code, content_type="application/json", body=json.dumps(told))

    page.route("**/status", fulfil)
    page.clock.install()
    page.goto(f"{url}/#/live")


def after(page: Page, seconds: int) -> None:
    for _ in range(seconds):
        with page.expect_response("**/status"):
            page.clock.run_for(1000)


def idle(page: Page) -> None:
    """Five seconds later: what the page has asked in them has arrived."""
    for _ in range(5):
        page.clock.run_for(1000)
        settle(page)


def settle(page: Page) -> None:
    """What the page has asked so far has arrived; its clock goes on by itself, too."""
    page.evaluate("fetch('openapi.json').then((answer) => answer.text())")


def test_what_the_server_does_just_now(browser: Browser, url: str) -> None:
    with visit(browser, url) as page:
        watching(page, url, lambda turn: (200, status(100 + turn)))
        expect(page.locator(".tiles")).to_be_visible()
        after(page, 3)
        tiles = page.locator(".tiles div").all_inner_texts()
        assert [tile.split("\n") for tile in tiles] == [
            ["calls / s", "10"], ["errors / s", "1"], ["running", "2"], ["waiting", "4"], ["streams", "1"],
            ["connections", "3"], ["loop lag", "2 ms"], ["processes", "2"],
        ]  # fmt: skip
        table = page.get_by_role("region", name="Methods", exact=True)
        rows = [row.split("\t") for row in table.locator("tbody tr").all_inner_texts()]
        assert rows[0][:8] == ["move", "10", "1", "0", "6.63 ms", "100 ms", "910 ms", "0"]
        assert rows[1:] == [
            [name, "0", "0", "0", "–", "–", "–", "0", calls] for name, calls in (("look", "3"), ("arm.lift", "0"))
        ]
        under_way = page.get_by_role("region", name="Calls under way").locator("tbody tr")
        expect(under_way).to_have_text(["waittcp://10.0.0.7:5123running≥ 92.5 s", "movealicewaiting250 ms"])
        expect(page.locator(".uplot")).to_be_visible()
        errors = page.locator("section", has=page.get_by_role("heading", name="Newest errors"))
        expect(errors.locator("summary")).to_contain_text("move ValueError there is a wall at -1.0")
        errors.locator("summary").click()
        expect(errors.locator("pre")).to_be_visible()
        expect(errors.locator("pre")).to_contain_text('File "robot.py", line 9, in move')
        blocked = page.locator("section", has=page.get_by_role("heading", name="What blocked the event loop"))
        expect(blocked.locator("summary")).to_have_count(2)


def test_what_a_real_server_does(browser: Browser, url: str, robot: Robot) -> None:
    """With its own status, as it is."""
    with visit(browser, f"{url}/#/live") as page, httpx.Client(base_url=url, timeout=PATIENCE) as http:
        expect(page.locator(".tiles")).to_be_visible()  # it counts from here on
        for x in (1, 2, -1):
            http.post("/call/move", json=[x])
        table = page.get_by_role("region", name="Methods", exact=True)
        expect(table.locator("tbody tr").first).to_have_text(re.compile("^move.*(µs|ms).*3$"))
        errors = page.locator("section", has=page.get_by_role("heading", name="Newest errors"))
        expect(errors.locator("summary")).to_contain_text("move ValueError there is a wall at -1.0")
        errors.locator("summary").click()
        expect(errors.locator("pre")).to_contain_text("raise ValueError(")
        with http.stream("POST", "/call/temperature"):
            under_way = page.get_by_role("region", name="Calls under way").locator("tbody tr")
            expect(under_way).to_have_text(re.compile(r"^temperature.*127\.0\.0\.1.*running.*s$"))


def test_the_status_of_others_is_not_for_everybody(browser: Browser, guarded: str) -> None:
    with visit(browser, f"{guarded}/#/live", http_credentials={"username": "bob", "password": "wonderland"}) as page:
        expect(page.locator("main")).to_contain_text("the status is for who may call _zerorpc_status")


@pytest.mark.parametrize("code", [403, 404])
def test_why_there_is_nothing_to_see(browser: Browser, url: str, code: int) -> None:
    asked: list[int] = []

    def answer(turn: int) -> tuple[int, dict[str, Any]]:
        asked.append(turn)
        return code, {"title": "No", "status": code, "detail": "the status is for others"}

    with visit(browser, url) as page:
        watching(page, url, answer)
        expect(page.locator("main")).to_contain_text("the status is for others")
        idle(page)
        assert asked == [0], "it goes on asking"


def test_a_server_that_was_away_and_has_begun_again(browser: Browser, url: str) -> None:
    now: list[Answer] = [lambda turn: (200, status(100 + turn))]

    def answer(turn: int) -> tuple[int, dict[str, Any]]:
        return now[-1](turn)

    with visit(browser, url) as page:
        watching(page, url, answer)
        expect(page.locator("main")).to_contain_text("process 7")
        now.append(lambda turn: (502, {}))
        after(page, 2)
        expect(page.locator("main")).to_contain_text("the server answered 502")
        now.append(lambda turn: (200, status(turn, pid=8)))
        after(page, 4)
        expect(page.locator("main")).to_contain_text("process 8")
        expect(page.locator(".tiles div").first.locator("dd")).to_have_text("10")
        expect(page.locator("main")).not_to_contain_text("502")


def test_processes_that_answer_by_turns_are_told_apart(browser: Browser, url: str) -> None:
    """Each knows its own calls, and so its own rate."""

    def answer(turn: int) -> tuple[int, dict[str, Any]]:
        told = status(100 + turn, pid=turn % 2)
        told["methods"][1]["calls"] += 5000 * (turn % 2)
        return 200, told

    with visit(browser, url) as page:
        watching(page, url, answer)
        expect(page.locator(".tiles")).to_be_visible()
        after(page, 6)
        expect(page.locator(".tiles div").first.locator("dd")).to_have_text("10")


def test_nobody_asks_while_nobody_looks(browser: Browser, url: str) -> None:
    asked: list[int] = []

    def answer(turn: int) -> tuple[int, dict[str, Any]]:
        asked.append(turn)
        return 200, status(100 + turn)

    with visit(browser, url) as page:
        watching(page, url, answer)
        expect(page.locator(".tiles")).to_be_visible()
        page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
        settle(page)
        before = len(asked)
        idle(page)
        assert len(asked) == before
        page.evaluate("Object.defineProperty(document, 'hidden', { value: false })")
        after(page, 1)
        page.get_by_role("link", name="History").click()
        expect(page.locator("h1")).to_have_text("History")
        settle(page)
        before = len(asked)
        idle(page)
        assert len(asked) == before


# Of calls that took up to 1 s, up to 3 s, and longer: the share of them that took less than a value.
SHARES = [
    ([0, 0, 0], 0.5, None), ([10, 0, 0], 0.5, 0.5), ([0, 10, 0], 0.5, 2.0), ([5, 5, 0], 0.5, 1.0),
    ([5, 5, 0], 0.99, 2.96), ([0, 0, 10], 0.5, 3.0), ([1, 0, 1], 0.5, 1.0),
]  # fmt: skip


def test_percentiles(browser: Browser, url: str) -> None:
    with visit(browser, url) as page:
        found = page.evaluate(
            """async (shares) => {
                const { quantile } = await import("/console/live_figures.js");
                return shares.map(([counts, share]) => quantile([1, 3], counts, share));
            }""",
            SHARES,
        )
        assert found == [value if value is None else pytest.approx(value) for _, _, value in SHARES]
