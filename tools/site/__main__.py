"""``python -m tools.site FOLDER`` builds the site into a folder; a link that leads nowhere makes it fail."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tools.site.sources import lay_out


def main(output: str) -> int:
    with tempfile.TemporaryDirectory(prefix="zerorpc-site-") as folder:
        lay_out(Path(folder))
        return render(folder, output)


def render(pages: str, output: str) -> int:
    """Make HTML of a folder of Markdown; the exit code, which any warning makes a failure."""
    from sphinx.cmd.build import build_main

    with tempfile.TemporaryDirectory(prefix="zerorpc-seen-") as seen:
        strict = ("--fail-on-warning", "--keep-going", "--quiet")
        return build_main([*strict, "-c", str(Path(__file__).parent), "-d", seen, pages, output])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tools.site FOLDER")
    sys.exit(main(sys.argv[1]))
