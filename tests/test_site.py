"""The documentation site: built as `make docs` does it, complete, and whole without a network."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

import zerorpc
import zerorpc.testing
from tools.site import guide
from tools.site.links import Page, linked
from tools.site.sources import places

ROOT = Path(__file__).parents[1]
PATIENCE = 500  # seconds: a build takes 15 alone, and a loaded machine is slow
pytestmark = pytest.mark.timeout(PATIENCE + 20)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)


# The site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if None in map(importlib.util.find_spec, ("sphinx", "myst_parser", "furo")):
        pytest.skip('the extra "docs" is not installed')
    folder = tmp_path_factory.mktemp("site")
    done = run("-m", "tools.site", str(folder))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


def test_every_page_has_its_place(site: Path) -> None:
    missing = {place for place in places().values() if place.endswith(".md")} - {
        path.relative_to(site).with_suffix(".md").as_posix() for path in site.rglob("*.html")
    }
    assert missing == set()


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    pages = [path.read_text(encoding="utf-8") for path in (site / "reference").glob("*.html")]
    entries = {entry for page in pages for entry in re.findall(r' id="(?:module-)?(zerorpc[\w.]*)"', page)}
    names = {f"zerorpc.{name}" for name in zerorpc.__all__}
    names |= {f"zerorpc.testing.{name}" for name in zerorpc.testing.__all__}
    assert names - entries == set()


def test_signatures_have_their_types_and_types_their_links(site: Path) -> None:
    page = (site / "reference" / "servers.html").read_text(encoding="utf-8")
    signature = re.search(r'<dt [^>]*id="zerorpc\.Server">.*?</dt>', page, re.DOTALL)
    assert signature is not None
    assert 'href="security.html#zerorpc.Curve"' in signature[0]
    text = re.sub(r"<[^>]+>", "", signature[0])
    assert "heartbeat: float | None = 5" in text
    assert "tls: zerorpc.Tls | ssl.SSLContext | None = None" in text


class Fetched(HTMLParser):
    """What a browser fetches to show a page: not what it is led to by a click."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        followed = {"src", "srcset", "data", "poster"} | (set() if tag == "a" else {"href"})
        self.addresses += [value or "" for name, value in attributes if name in followed]


def fetched(site: Path) -> Iterator[tuple[str, str]]:
    for page in site.rglob("*.html"):
        yield from ((page.name, address) for address in Fetched(page).addresses)
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        yield from ((sheet.name, address) for address in re.findall(r"(?:url\(|@import )[\"']?([^\"')]+)", text))


def test_nothing_comes_from_another_host(site: Path) -> None:
    found = list(fetched(site))
    assert any(address.endswith(".js") or ".js?" in address for _, address in found)
    assert any(".css" in address for _, address in found)
    assert [(name, address) for name, address in found if re.match(r"(https?:)?//", address)] == []


def test_the_search_is_a_file_of_the_site(site: Path) -> None:
    """A script, which browsers load from a folder too, where they fetch nothing."""
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    assert index.startswith("Search.setIndex(")
    assert '"guide/encryption"' in index


@pytest.mark.parametrize(
    ("link", "complaint"),
    [
        ("other.md", None),
        ("other.md#here", None),
        ("gone.md", "gone.md"),
        ("other.md#gone", "gone"),
        ("#gone", "gone"),
    ],
)
def test_a_link_that_leads_nowhere_fails_the_build(
    site: Path, tmp_path: Path, link: str, complaint: str | None
) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "index.md").write_text(f"# First\n\n[a link]({link})\n\n```{{toctree}}\nother\n```\n", encoding="utf-8")
    (pages / "other.md").write_text("# Other\n\n## Here\n", encoding="utf-8")
    render = "import sys; from tools.site.__main__ import render; sys.exit(render(*sys.argv[1:]))"
    done = run("-c", render, str(pages), str(tmp_path / "site"))
    assert done.returncode == (0 if complaint is None else 1), done.stderr
    assert (complaint or "") in done.stderr


# What it is made of

PLACES = {
    "README.md": "start.md",
    "docs/guide.md": "guide/index.md",
    "docs/guide.md#streams": "guide/streams.md",
    "docs/security.md": "security.md",
    "examples": "examples/index.md",
}


@pytest.mark.parametrize(
    ("source", "link", "led"),
    [
        ("README.md", "docs/guide.md", "guide/index.md"),
        ("README.md", "docs/guide.md#streams", "guide/streams.md#streams"),
        ("README.md", "examples", "examples/index.md"),
        ("docs/security.md", "../README.md#install", "start.md#install"),
        ("docs/guide.md", "#streams", "streams.md#streams"),
        ("docs/guide.md", "#gone", "index.md#gone"),
        ("docs/guide.md", "security.md#tls", "../security.md#tls"),
        ("docs/guide.md", "gone.md", "gone.md"),
        ("docs/guide.md", "https://example.org/docs/guide.md", "https://example.org/docs/guide.md"),
    ],
)
def test_links_follow_their_targets(source: str, link: str, led: str) -> None:
    place = "guide/errors.md" if source == "docs/guide.md" else PLACES[source]
    text = f"[see]({link})\n\n```python\n[see]({link})\n```\n"
    assert linked(Page(source, place, text), PLACES) == text.replace(link, led, 1)


def test_the_guide_is_one_page_a_section(tmp_path: Path) -> None:
    pages = list(guide.pages(ROOT))
    assert [page.text.partition("\n")[0] for page in pages[:2]] == ["# The guide", "# What a service exposes"]
    streams = next(page for page in pages if page.place == "guide/streams.md")
    assert "\n## To the server, and both ways\n" in streams.text
    whole = (ROOT / guide.SOURCE).read_text(encoding="utf-8")
    assert sum(page.text.count("```python\n") for page in pages) == whole.count("```python\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / guide.SOURCE).write_text(f"{whole}\n## One more\n\nText.\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"differ: \['One more'\]"):
        list(guide.pages(tmp_path))


def test_the_first_page_has_the_figures_of_performance() -> None:
    first = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    table = first.partition("## What a call costs")[2].partition("\n## ")[0]
    figures = set(re.findall(r"\d[\d,.]*\d(?= µs|[ ,|\n])", "".join(re.findall(r"(?m)^\|.*$", table))))
    known = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert len(figures) > 5
    assert [figure for figure in figures if figure not in known] == []
