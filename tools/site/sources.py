"""Lays out what the site is made of: the repository's own Markdown, examples and figures, as pages with working links.

Nothing is written twice for the site. A page stands in the repository where people look for it, with links that work
there; here it gets its place on the site, and its links follow. The guide, one file, becomes one page a section.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from tools.site import code, guide
from tools.site.contents import CONTENTS, EXAMPLES, toctree
from tools.site.links import Page, linked

ROOT = Path(__file__).parents[2]

# Where files of the repository stand on the site. What has a place is what links can lead to.
PLACES = {
    "README.md": "start.md",
    "CHANGELOG.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security-policy.md",
    guide.SOURCE: "guide/index.md",
    "examples": "examples/index.md",
    "examples/README.md": "examples/index.md",
    "deploy": "deploy/index.md",
    "tests/conformance/README.md": "conformance.md",
    "benchmarks/results/results.md": "results.md",
}
PATTERNS = {
    "docs/*.md": "{name}",
    "docs/reference/*.md": "reference/{name}",
    "docs/figures/*.json": "figures/{name}",
    "docs/pictures/*.png": "pictures/{name}",
    "benchmarks/results/*.svg": "figures/{name}",
    "benchmarks/results/results.json": "figures/{name}",
    "examples/*.py": "examples/{stem}.md",
    "examples/*.ipynb": "examples/{stem}.md",
    "deploy/*/README.md": "deploy/{folder}.md",
    "deploy/haproxy/haproxy.cfg": "deploy/{name}",
    "deploy/prometheus/*.*": "deploy/{name}",
    "deploy/docker/*": "deploy/index.md",
    "deploy/systemd/*": "deploy/index.md",
}


def lay_out(folder: Path) -> None:
    """Write everything that the site is made of into a folder."""
    found = places()
    for source, place in found.items():
        if not place.endswith(".md"):
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / source, folder / place)
    for page in pages(found):
        (folder / page.place).parent.mkdir(parents=True, exist_ok=True)
        (folder / page.place).write_text(linked(page, found), encoding="utf-8")


def places() -> dict[str, str]:
    """Where on the site each file stands that has a place there, and each heading of the guide."""
    found = dict(PLACES)
    for pattern, place in PATTERNS.items():
        for path in sorted(ROOT.glob(pattern)):
            names = {"name": path.name, "stem": path.stem, "folder": path.parent.name}
            found.setdefault(path.relative_to(ROOT).as_posix(), place.format(**names))
    return found | guide.places(ROOT)


def pages(found: dict[str, str]) -> Iterator[Page]:
    yield from guide.pages(ROOT)
    yield from code.pages(ROOT)
    for source, place in found.items():
        if source.endswith(".md") and source != guide.SOURCE:
            text = (ROOT / source).read_text(encoding="utf-8")
            if source == "README.md":
                text = text.replace("# zerorpc\n", "# Getting started\n", 1)
            elif source == "docs/index.md":
                text += toctree(CONTENTS)
            elif source == "examples/README.md":
                text += toctree({"": [Path(name).stem for name in EXAMPLES]})
            yield Page(source, place, text)
