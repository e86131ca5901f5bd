"""How many arguments have a type that doesn't tell: one that is `Any`, or has it inside. Read from the source.

`mypy --strict` and pyright ask for a type, and `Any` is one. What it stands for has to be found out by reading callers.
"""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "zerorpc"
LIMIT = 0.04  # of all annotated arguments; h11 has 1%, websockets 2.5%


def test_few_arguments_are_any() -> None:
    found = list(arguments(SOURCE))
    untold = [f"{where}: {text}" for where, text, tells in found if not tells]
    share = len(untold) / len(found)
    assert share < LIMIT, f"{share:.1%} of {len(found)} arguments are Any, or contain it:\n" + "\n".join(untold)


@pytest.mark.parametrize(
    ("source", "tells"),
    [
        ("def f(a: int, /) -> Any: ...", True),
        ("def f(a: Any): ...", False),
        ("def f(a: typing.Any): ...", False),
        ("async def f(*args: list[Any]): ...", False),
        ("def f(*, a: 'dict[str, Any]'): ...", False),
        ("def f(a: Callable[..., object]): ...", True),
        ("Thing = dict[str, Any]\ndef f(a: Thing): ...", False),
        ("Thing: TypeAlias = 'Any | None'\nOther = list[Thing]\ndef f(**a: Other): ...", False),
        ("from typing import Any as Thing\ndef f(a: Thing): ...", False),
        ("T = TypeVar('T', bound=Callable[..., Any])\ndef f(a: T): ...", True),
        ("thing: Any = object()\nclass Anything: ...\ndef f(a: Anything): ...", True),
    ],
)
def test_what_counts(tmp_path: Path, source: str, tells: bool) -> None:
    (tmp_path / "a.py").write_text(source)
    assert [found for _, _, found in arguments(tmp_path)] == [tells]


def arguments(source: Path) -> Iterator[tuple[str, str, bool]]:
    """Each annotated argument of a function: where, what is written there, and whether that tells."""
    trees = {path: ast.parse(path.read_text()) for path in sorted(source.rglob("*.py"))}
    untold = names_of_any(trees.values())
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.arg) and node.annotation is not None:
                text = f"{node.arg}: {ast.unparse(node.annotation)}"
                yield f"{path.relative_to(source)}:{node.lineno}", text, not names(node.annotation) & untold


def names_of_any(trees: Iterable[ast.Module]) -> set[str]:
    """`Any`, and the aliases of what contains it, wherever they are defined."""
    aliases = [alias for tree in trees for statement in ast.walk(tree) for alias in aliases_of(statement)]
    found, before = {"Any"}, 0
    while len(found) > before:
        before = len(found)
        found |= {name for name, meant in aliases if meant & found}
    return found


def aliases_of(statement: ast.AST) -> Iterator[tuple[str, set[str]]]:
    """The names that a statement gives to types, perhaps, and the names that those are made of.

    Not what is called: a type variable stands for what its user says, whatever its bound is.
    """
    match statement:
        case ast.Assign(value=ast.Call()) | ast.AnnAssign(value=ast.Call()):
            pass
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            yield name, names(value)
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            yield name, names(value)
        case ast.ImportFrom(names=imported):
            yield from ((one.asname, {one.name}) for one in imported if one.asname)


def names(expression: ast.expr) -> set[str]:
    """All names in an expression, in its strings too."""
    found = set()
    for node in ast.walk(expression):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            with contextlib.suppress(SyntaxError):  # a text
                found |= names(ast.parse(node.value, mode="eval").body)
    return found
