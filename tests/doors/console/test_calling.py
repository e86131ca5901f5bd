"""Calls by the console, in Chromium: forms of each kind, results in each form, streams, cancel, history."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.doors.console.chromium import argument, call, chromium, visit
from tests.doors.console.robot import Robot, png, robot_server
from tests.service.running import PATIENCE, eventually, on_thread
from zerorpc.cli import main

LARGE = "12345678901234567890"  # as no float can be

pytestmark = pytest.mark.timeout(300)  # a browser on a busy machine


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
    server.bind("tcp://127.0.0.1:0")
    bound = server.bind("http://127.0.0.1:0")[0]
    with on_thread(server):
        yield bound


Goes = Callable[[str], Page]


@pytest.fixture
def to(browser: Browser, url: str) -> Iterator[Goes]:
    """Goes to the page of a method."""
    with visit(browser, url) as page:

        def go(method: str) -> Page:
            page.goto(f"{url}/#/call/{method}")
            expect(page.locator("h1")).to_have_text(method)
            return page

        yield go


# What there is


def test_all_methods_are_listed_with_their_types_and_docs(browser: Browser, url: str) -> None:
    with visit(browser, url) as page:
        expect(page.locator("h1")).to_have_text("Robot")
        expect(page.locator("main .doc").first).to_contain_text("It stands in the cellar.")
        move = page.locator(".methods a", has_text="move(")
        expect(move).to_contain_text('move(x: float, y: float = 0, gait: Gait = "walk") → dict')
        expect(move).to_contain_text("Go there, and tell where it stands then.")
        expect(page.locator(".methods a", has_text="temperature")).to_contain_text("stream")
        expect(page.locator(".methods a", has_text="arm.lift")).to_contain_text(
            "(grams: int, slowly: bool = False) → str"
        )
        expect(page.locator("main section", has=page.locator("h2", has_text="arm"))).to_contain_text("Lifts and turns.")
        names = page.locator("nav[aria-label=Methods] a").all_inner_texts()
        assert names[-2:] == ["lift", "turn"], "under their prefix"
        page.locator(".methods a", has_text="arm.turn").click()
        expect(page.locator("h1")).to_have_text("arm.turn")
        expect(page).to_have_title("arm.turn · Robot")


def test_a_method_is_found_by_some_of_its_letters(to: Goes) -> None:
    page = to("move")
    page.keyboard.press("/")
    page.keyboard.type("tem")
    expect(page.locator("nav[aria-label=Methods] a")).to_have_text(["temperature"])
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("temperature")
    page.get_by_label("Find a method").fill("xyz")
    expect(page.locator("nav[aria-label=Methods]")).to_contain_text("There is no such method.")


def test_docs_keep_their_lists(to: Goes) -> None:
    page = to("move")
    expect(page.locator(".doc p")).to_have_count(3)
    assert page.locator(".doc p").last.inner_text().splitlines()[1] == "- a cat: it waits"
    expect(page.locator(".doc code")).to_have_text("ValueError")


# Forms


def test_a_call(to: Goes) -> None:
    page = to("move")
    argument(page, "gait").select_option(label='"gallop"')
    outcome = call(page, x="2.5")
    expect(outcome.locator(".status")).to_contain_text("Returned after")
    expect(outcome).to_contain_text('gait: "gallop"')
    expect(outcome).to_contain_text("volts: 12.4")
    outcome.get_by_role("button", name="JSON").click()
    assert json.loads(outcome.locator("pre").inner_text())["x"] == 2.5


def test_lists_of_maps(to: Goes) -> None:
    page = to("follow")
    for number in range(3):
        page.get_by_label("Add an item to route, points").click()
        argument(page, f"route.points.{number}.x").fill(str(number))
        argument(page, f"route.points.{number}.y").fill("-1e2")
    page.get_by_label("Remove item 2 of route, points").click()
    expect(argument(page, "route.points.1.x")).to_have_value("2")
    argument(page, "route.repeat").fill("7")
    outcome = call(page, until="2026-01-31T12:00:00Z")
    expect(outcome.locator(".single")).to_have_text("2")
    sent = '{"points": [{"x": 0, "y": -100}, {"x": 2, "y": -100}], "repeat": 7}'
    page.get_by_role("button", name="curl").click()
    expect(page.get_by_label("curl")).to_contain_text(sent)


def test_what_may_be_none(to: Goes) -> None:
    page = to("meet")
    expect(call(page).locator(".text")).to_have_text("None None")
    argument(page, "sure").select_option(label="False")
    page.get_by_label("Fill in at").click()
    argument(page, "at.x").fill("1")
    expect(call(page, **{"at.y": ".5"}).locator(".text")).to_have_text("Point(x=1.0, y=0.5, label='') False")
    page.get_by_role("button", name="leave at out").click()
    expect(call(page).locator(".text")).to_have_text("None False")


def test_words_from_a_few_a_secret_and_a_choice_left_out(to: Goes) -> None:
    page = to("say")
    assert argument(page, "password").get_attribute("type") == "password"
    argument(page, "volume").select_option(label='"high"')
    expect(call(page, text="hello").locator("pre")).to_have_text("HELLO")
    argument(page, "volume").select_option(value="")
    expect(call(page).locator("pre")).to_have_text("hello")


def test_octets_from_a_file_large_numbers_and_dates(to: Goes) -> None:
    page = to("store")
    page.get_by_label("image, from a file").set_input_files(
        {"name": "a.png", "mimeType": "image/png", "buffer": png(64, 40)}
    )
    expect(argument(page, "image")).to_have_value(re.compile("^iVBORw0KGgo"))
    expect(argument(page, "big")).to_have_attribute("placeholder", f"default {2**60}")
    outcome = call(page, big="12345678901234567890123", day="2026-02-28")
    expect(outcome.locator("pre")).to_have_text(f"{len(png(64, 40))} bytes, 12345678901234567890123, 2026-02-28")


def test_items_that_stream_are_lines(to: Goes) -> None:
    expect(call(to("total"), items="1.5\n2\n\n3").locator(".single")).to_have_text("6.5")


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("hello world", "hello world"),
        ("3", "3"),
        ("true", "true"),
        ("null", "None"),
        ('"3"', "3"),
        ("12345678901234567890", "12345678901234567890"),
    ],
)
def test_what_may_be_anything_is_json_or_text(to: Goes, typed: str, shown: str) -> None:
    expect(call(to("echo"), value=typed).locator(".single, pre.text")).to_have_text(shown)


def test_further_arguments(to: Goes) -> None:
    page = to("echo")
    for text in ("2", "[3]"):
        page.get_by_label("Add an item to more").click()
        page.locator(".list input").last.fill(text)
    outcome = call(page, **{"value": "1", "…": '{"a": {"b": null}}'})
    outcome.get_by_role("button", name="JSON").click()
    assert json.loads(outcome.locator("pre").inner_text()) == [1, 2, [3], {"a": {"b": None}}]


def test_a_mark(to: Goes) -> None:
    page = to("arm.lift")
    argument(page, "slowly").check()
    expect(call(page, grams="5").locator("pre")).to_have_text("lifted 5 g slowly")


def test_what_cannot_be_meant_is_not_sent(to: Goes) -> None:
    page = to("arm.lift")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for text, why in (
        ("", "grams: a value is needed"),
        ("2.5", "grams: this is no whole number"),
        ("x", "grams: this is no number"),
    ):
        call(page, grams=text)
        expect(page.locator("form").get_by_role("alert")).to_have_text(why)
        expect(argument(page, "grams")).to_be_focused()
    expect(argument(page, "grams")).to_have_attribute("aria-invalid", "true")
    assert asked == []
    expect(page.locator(".field", has=argument(page, "grams"))).to_contain_text("≥ 0, ≤ 5000")


def test_all_arguments_as_json(to: Goes) -> None:
    page = to("move")
    argument(page, "x").fill("1")
    page.get_by_role("button", name="JSON").click()
    whole = page.get_by_label("Arguments as JSON")
    assert json.loads(whole.input_value()) == {"x": 1}
    whole.fill('{"x": 3, "gait": "trot"')
    page.get_by_role("button", name="Call", exact=True).click()
    expect(page.locator("form").get_by_role("alert")).to_contain_text("no JSON map")
    whole.fill('{"x": 3, "gait": "trot"}')
    expect(call(page)).to_contain_text('gait: "trot"')
    page.get_by_role("button", name="Form").click()
    expect(argument(page, "x")).to_have_value("3")


# What comes of it


def colours_of(canvas: Locator) -> list[int]:
    """Those of its dots."""
    data = "it.getContext('2d').getImageData(0, 0, it.width, it.height).data.buffer"
    found: list[int] = canvas.evaluate(f"it => [...new Set(new Uint32Array({data}))]")
    return found


def test_a_list_of_maps_is_a_table(to: Goes) -> None:
    outcome = call(to("parts"))
    expect(outcome.locator("thead th")).to_have_text(["part", "hours", "worn", "last oiled"])
    expect(outcome.locator("tbody tr")).to_have_count(6)
    expect(outcome.locator("tbody tr").nth(4)).to_have_text(re.compile("elbow.*480.*true.*2026-05-14"))


def test_numbers_in_two_dimensions_are_a_picture(to: Goes) -> None:
    canvas = call(to("map"), size="20").locator("canvas")
    expect(canvas).to_have_attribute("aria-label", re.compile("^an array of 20 × 20 numbers, from -"))
    assert len(colours_of(canvas)) > 100


def test_octets_of_a_picture_are_one(to: Goes) -> None:
    picture = call(to("picture")).get_by_role("img")
    expect(picture).to_have_js_property("naturalWidth", 64)


def test_an_error(to: Goes) -> None:
    outcome = call(to("move"), x="-2")
    expect(outcome.locator(".status")).to_contain_text("Failed after")
    expect(outcome.get_by_role("alert")).to_contain_text("ValueError")
    expect(outcome.get_by_role("alert")).to_contain_text("there is a wall at -2.0")
    expect(outcome.get_by_role("alert")).to_contain_text("HTTP 500. The method has run.")


def test_arguments_that_the_server_refuses(to: Goes) -> None:
    outcome = call(to("arm.lift"), grams="9000")
    expect(outcome.get_by_role("alert")).to_contain_text("grams: expected int <= 5000")
    expect(outcome.get_by_role("alert")).to_contain_text("HTTP 400. The method has not run.")


def test_the_wait_has_an_end(to: Goes) -> None:
    page = to("wait")
    page.get_by_label("wait at most").fill("0.2")
    outcome = call(page, seconds="1")
    expect(outcome.get_by_role("alert")).to_contain_text("no reply in 0.2 s")


def test_a_server_that_is_not_reached(to: Goes) -> None:
    page = to("parts")
    page.route("**/call/parts", lambda route: route.abort("connectionrefused"))
    expect(call(page).get_by_role("alert")).to_contain_text("The server is not reached")


# Streams


def test_numbers_that_stream_are_a_plot(to: Goes, robot: Robot) -> None:
    page = to("temperature")
    robot.ended.clear()
    outcome = call(page)
    expect(outcome.locator(".uplot canvas")).to_be_visible()
    expect(outcome.locator(".status")).to_contain_text(re.compile(r"Streaming, \d\d items"))  # still coming
    expect(outcome.locator(".u-legend")).to_contain_text("left")
    assert len(colours_of(outcome.locator(".uplot canvas"))) > 3
    outcome.get_by_role("button", name="Table").click()
    expect(outcome.locator("thead th")).to_have_text(["left", "right"])
    page.keyboard.press("Escape")
    expect(outcome.locator(".status")).to_contain_text("Cancelled after")
    assert robot.ended.wait(PATIENCE), "the method goes on"


def test_a_stream_to_its_end(to: Goes) -> None:
    outcome = call(to("count"), stop="2000")
    expect(outcome.locator(".status")).to_contain_text(re.compile(r"Ended after .*, 2,000 items"))
    outcome.get_by_role("button", name="Items").click()
    expect(outcome.locator("li").first).to_have_text(re.compile(r"2,000\s*1999"))


def test_a_stream_that_fails(to: Goes) -> None:
    outcome = call(to("stumble"), after="3")
    expect(outcome.locator(".status")).to_contain_text(re.compile(r"Failed after .*, 3 items"))
    expect(outcome.get_by_role("alert")).to_contain_text("it stumbled")
    expect(outcome).not_to_contain_text('"error"')


def test_it_goes_on_while_another_view_is_seen(to: Goes, robot: Robot) -> None:
    page = to("temperature")
    robot.ended.clear()
    call(page)
    expect(page.locator(".outcome")).to_contain_text("Streaming,")
    page.get_by_role("link", name="History").click()
    expect(page.locator("h1")).to_have_text("History")
    to("temperature")
    expect(page.locator(".outcome")).to_contain_text("Streaming,")
    assert not robot.ended.is_set()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".outcome")).to_contain_text("Cancelled after")
    assert robot.ended.wait(PATIENCE)


def test_it_ends_with_the_page(browser: Browser, url: str, robot: Robot) -> None:
    robot.ended.clear()
    with visit(browser, f"{url}/#/call/temperature") as page:
        expect(call(page)).to_contain_text("Streaming,")
    assert robot.ended.wait(PATIENCE)


# History


def test_calls_are_remembered_and_repeated(to: Goes) -> None:
    page = to("move")
    call(page, x="1")
    expect(page.locator(".outcome")).to_contain_text("Returned")
    call(page, x="-1")
    expect(page.locator(".outcome")).to_contain_text("Failed")
    page.reload()
    page.get_by_role("link", name="History").click()
    expect(page.locator(".history li")).to_have_count(2)
    expect(page.locator(".history li").first).to_contain_text("move(x=-1)")
    expect(page.locator(".history li").first).to_contain_text("ValueError: there is a wall at -1.0")
    page.locator(".history li").last.get_by_role("button", name="Repeat").click()
    expect(page.locator("h1")).to_have_text("move")
    expect(argument(page, "x")).to_have_value("1")
    expect(page.locator(".outcome")).to_contain_text("x: 1")
    page.get_by_role("link", name="History").click()
    expect(page.locator(".history li")).to_have_count(3)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".history li")).to_have_count(0)
    page.reload()
    expect(page.locator("main")).to_contain_text("The calls that you make are listed here")


def test_neither_secrets_nor_results_are_remembered(to: Goes) -> None:
    page = to("say")
    expect(call(page, text="hello", password="hunter2").locator("pre")).to_have_text("hello")

    def kept() -> str:
        return str(page.evaluate("JSON.stringify(localStorage)"))

    eventually(lambda: "hello" in kept())
    assert "hunter2" not in kept()
    argument(page, "volume").select_option(label='"high"')
    expect(call(page).locator("pre")).to_have_text("HELLO")
    eventually(lambda: "high" in kept())
    assert "HELLO" not in kept()


# The same call from elsewhere


def from_python(text: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(text, {})
    return said.getvalue()


def from_the_command_line(text: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert main(["--print-json", *shlex.split(text)[1:]]) == 0
    return said.getvalue()


def from_curl(text: str) -> str:
    return subprocess.run(["/bin/sh", "-c", text], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("method", "arguments", "result"),
    [
        ("say", {"text": 'it\'s $HOME \\ "quoted"\t{}'}, 'it\'s $HOME \\ "quoted"\t{}'),
        ("say", {"text": "-x", "volume": "high"}, "-X"),
        (
            "echo",
            {"value": "12345678901234567890", "…": '{"b": [null, true], "class": 1}'},
            [12345678901234567890, {"b": [None, True], "class": 1}],
        ),
        ("arm.turn", {}, []),
        ("arm.lift", {"grams": "3", "slowly": True}, "lifted 3 g slowly"),
        ("total", {"items": "1\n2"}, 3.0),
    ],
)
def test_the_same_call_from_elsewhere(to: Goes, method: str, arguments: dict[str, Any], result: Any) -> None:
    page = to(method)
    for name, value in arguments.items():
        field = argument(page, name)
        if value is True:
            field.check()
        elif name == "volume":
            field.select_option(label=f'"{value}"')
        else:
            field.fill(value)
    ways: dict[str, Callable[[str], str]] = {"Python": from_python, "Command line": from_the_command_line}
    if shutil.which("curl"):
        ways["curl"] = from_curl
    for way, run in ways.items():
        page.get_by_role("button", name=way).click()
        text = page.get_by_label(way, exact=True).inner_text()
        with ThreadPoolExecutor(1) as elsewhere:  # this thread has the browser's loop
            said = elsewhere.submit(run, text).result(PATIENCE)
        assert (eval(said) if way == "Python" and not isinstance(result, str) else read(said, way)) == result, text


def read(said: str, way: str) -> Any:
    return said.removesuffix("\n") if way == "Python" else json.loads(said)


def test_octets_from_elsewhere(to: Goes, tmp_path: Path) -> None:
    page = to("store")
    argument(page, "image").fill("aGVsbG8=")
    argument(page, "big").fill("7")
    text = page.get_by_label("Python", exact=True).inner_text()
    page.get_by_role("button", name="Command line").click()
    (tmp_path / "image").write_bytes(b"hello")
    line = page.get_by_label("Command line", exact=True).inner_text().replace("@FILE", f"@{tmp_path}/image")
    with ThreadPoolExecutor(1) as elsewhere:
        assert elsewhere.submit(from_python, text).result(PATIENCE) == "5 bytes, 7, 2026-01-31\n"
        assert json.loads(elsewhere.submit(from_the_command_line, line).result(PATIENCE)) == "5 bytes, 7, 2026-01-31"
    argument(page, "image").fill("aGVs" * 1000)
    page.get_by_role("button", name="Python").click()
    expect(page.get_by_label("Python", exact=True)).to_contain_text('robot.store(open("FILE", "rb").read(), 7)')


def test_a_stream_from_elsewhere(to: Goes) -> None:
    page = to("count")
    argument(page, "stop").fill("2")
    expect(page.get_by_label("Python", exact=True)).to_contain_text("for item in robot.count(2):")
    page.get_by_role("button", name="curl").click()
    expect(page.get_by_label("curl", exact=True)).to_contain_text("curl -N")


def test_names_of_a_clients_own_are_given_as_text() -> None:
    """Those that snippets.js knows are those that a client has."""
    import zerorpc

    text = (Path(__file__).parents[3] / "src/zerorpc/doors/console/static/snippets.js").read_text(encoding="utf-8")
    (own,) = re.findall(r'const OWN = "([^"]*)"', text)
    assert own.split() == [name for name in dir(zerorpc.Client) if not name.startswith("_")]
