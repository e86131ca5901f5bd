"""Pages that show files of code: the examples, and what a service needs to be deployed."""

from __future__ import annotations

import ast
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path

from tools.site.contents import DEPLOYMENT, EXAMPLES, toctree
from tools.site.links import Page


def pages(root: Path) -> Iterator[Page]:
    """The examples, one page each, and a page of files to deploy with."""
    yield from _examples(root)
    yield _deployment(root)


# Examples


def _examples(root: Path) -> Iterator[Page]:
    """Raises ValueError when EXAMPLES doesn't name the files that there are."""
    found = {path.name: path for path in (root / "examples").iterdir() if path.suffix in (".py", ".ipynb")}
    if sorted(found) != sorted(EXAMPLES):
        raise ValueError(f"EXAMPLES in contents.py and examples/ differ: {sorted(set(EXAMPLES) ^ set(found))}")
    for name, title in EXAMPLES.items():
        text = (_notebook if name.endswith(".ipynb") else _program)(found[name], title)
        yield Page(f"examples/{name}", f"examples/{found[name].stem}.md", text)


def _program(path: Path, title: str) -> str:
    """A program's page: what its docstring says, then its code."""
    text = path.read_text(encoding="utf-8")
    program = ast.parse(text)
    purpose, _, usage = (ast.get_docstring(program) or "").partition("\n\n::\n")
    usage = textwrap.dedent(usage).strip()
    code = "\n".join(text.splitlines()[program.body[0].end_lineno or 0 :]).strip()
    shown = f"{purpose}\n\n" + (f"```text\n{usage}\n```\n\n" if usage else "")
    return f"# {title}\n\n`{path.name}`. {shown}```python\n{code}\n```\n"


def _notebook(path: Path, title: str) -> str:
    """A notebook's page, of all its cells but for its own heading."""
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(path.read_text("utf-8"))["cells"]]
    rest = cells[0][1].partition("\n")[2]
    text = [f"# {title}\n\n`{path.name}`. {rest.strip()}\n"]
    for kind, source in cells[1:]:
        text.append(f"\n```python\n{source}\n```\n" if kind == "code" else f"\n{source}\n")
    return "".join(text)


# Deployment


def _deployment(root: Path) -> Page:
    """Files to deploy with, each below its own first comment, which says how to use it."""
    text = ["# Deployment\n\nFiles to copy and change. The tests check them. Some have pages of their own:\n\n"]
    pages = sorted(root.glob("deploy/*/README.md"))
    for page in pages:
        heading = page.read_text(encoding="utf-8").partition("\n")[0].strip("# ")
        text.append(f"- [{heading}]({page.parent.name}/README.md)\n")
    for name, (title, lexer) in DEPLOYMENT.items():
        text.append(f"\n## {title}\n\n`deploy/{name}`:\n\n")
        text.append(f"```{lexer}\n{(root / 'deploy' / name).read_text(encoding='utf-8').strip()}\n```\n")
    text.append(toctree({"": [page.parent.name for page in pages]}))
    return Page("deploy/README.md", "deploy/index.md", "".join(text))
