"""The rooms of the source and who may know of whom, read from the imports themselves.

A room is a module or a package right under `zerorpc`. Imports inside functions and under TYPE_CHECKING count
as well: what a room knows of, it depends on.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "zerorpc"
LONGEST = 400
LONGEST_CLASS = 250

# The order in which a call passes through. A room may import itself and what stands in a later line; those of one line
# don't know each other.
ORDER = [
    {"cli", "testing", "otel"},
    {"__init__"},
    {"core", "context", "decorators", "exceptions"},
    {"forwarding"},
    {"client", "server", "one_way"},
    {"socket_base"},
    {"event_log", "compat"},
    {"doors", "known_servers"},
    {"calls", "service", "transport"},
    {"protocol"},
    {"zmtp"},
    {"runtime"},
    {"rights_file", "allowed_keys"},
    {"logs"},
    {"scope", "remote_objects", "hooks"},
    {"remote_method"},
    {"mcp"},
    {"shown", "settings", "described"},
    {"exposure"},
    {"curve", "tls", "plain", "pairing"},
    {"keys", "callers", "limits"},
    {"number_checks"},
    {"given", "not_picklable", "observe"},
    {"errors", "version"},
]
ROOMS = set().union(*ORDER)
NARROWER = {
    "cli": {
        "cli",
        "__init__",
        "curve",
        "described",
        "errors",
        "exposure",
        "keys",
        "known_servers",
        "limits",
        "mcp",
        "number_checks",
    }
    | {"pairing", "settings", "shown", "tls"}
}  # a user of zerorpc like any other
ALIASES = {"__main__": "cli"}

PURE = {"calls", "mcp", "observe", "protocol", "zmtp"}
IMPURE = {"asyncio", "concurrent", "multiprocessing", "queue", "select", "selectors", "threading", "uvloop"}
IMPURE |= {"logging", "os", "random", "secrets", "signal", "socket", "ssl", "subprocess", "time"}
IMPURE_ROOMS = {"logs", "runtime"}


def test_every_room_imports_only_what_stands_below_it() -> None:
    assert list(violations(SOURCE)) == []


def test_every_room_of_the_list_exists() -> None:
    found = {room_of(path, SOURCE) for path in SOURCE.rglob("*.py")}
    assert found >= ROOMS, "a room was renamed or removed: the rule for it checks nothing any more"


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circles(SOURCE) == []


def test_a_circle_is_found(tmp_path: Path) -> None:
    write(tmp_path / "zmtp/__init__.py", "")
    write(tmp_path / "zmtp/a.py", "from zerorpc.zmtp import b")
    write(tmp_path / "zmtp/b.py", "def f():\n    from zerorpc.zmtp.c import C")
    write(
        tmp_path / "zmtp/c.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from zerorpc.zmtp.a import A"
    )
    write(tmp_path / "zmtp/d.py", "from zerorpc.zmtp.a import A")
    assert circles(tmp_path) == ["zmtp/a.py, zmtp/b.py, zmtp/c.py"]


def test_a_long_file_gives_its_reason() -> None:
    assert list(unexplained_lengths(SOURCE)) == []


def test_no_class_is_longer_than_a_reader_can_hold() -> None:
    assert list(long_classes(SOURCE)) == []


def test_a_long_class_is_found(tmp_path: Path) -> None:
    for name, lines in (("Short", LONGEST_CLASS), ("Long", LONGEST_CLASS + 1)):
        write(tmp_path / f"{name}.py", f"if True:\n    class {name}:\n" + "        x = 1\n" * (lines - 1))
    assert list(long_classes(tmp_path)) == ["Long"]


@pytest.mark.parametrize(
    ("file", "source", "complaint"),
    [
        ("zmtp/frames.py", "import asyncio", "zmtp/frames.py:1: zmtp is pure and must not import asyncio"),
        ("protocol/a.py", "import os.path", "protocol/a.py:1: protocol is pure and must not import os"),
        ("zmtp/a.py", "from time import time", "zmtp/a.py:1: zmtp is pure and must not import time"),
        ("zmtp/a.py", "\nimport zerorpc.protocol", "zmtp/a.py:2: zmtp must not import protocol"),
        ("zmtp/a.py", "from zerorpc import protocol", "zmtp/a.py:1: zmtp must not import protocol"),
        ("zmtp/a.py", "from ..protocol import b", "zmtp/a.py:1: zmtp must not import protocol"),
        ("zmtp/__init__.py", "from .. import protocol", "zmtp/__init__.py:1: zmtp must not import protocol"),
        ("server/a.py", "def f():\n    from zerorpc.client import C", "server/a.py:2: server must not import client"),
        ("server/a.py", "import zerorpc", "server/a.py:1: server must not import __init__"),
        ("server/a.py", "from zerorpc import Client", "server/a.py:1: server must not import __init__"),
        ("service/a.py", "from zerorpc.transport.a import b", "service/a.py:1: service must not import transport"),
        ("transport/a.py", "from zerorpc.calls.a import b", "transport/a.py:1: transport must not import calls"),
        ("protocol/a.py", "from zerorpc.runtime import loops", "protocol/a.py:1: protocol must not import runtime"),
        ("errors.py", "from . import zmtp", "errors.py:1: errors must not import zmtp"),
        ("cli/a.py", "from zerorpc.server.server import Server", "cli/a.py:1: cli must not import server"),
        ("__main__.py", "import zerorpc.client", "__main__.py:1: cli must not import client"),
        ("attic/a.py", "", "attic/a.py:1: attic is no room that test_rooms.py knows"),
        ("zmtp/a.py", "import zerorpc.attic", "zmtp/a.py:1: zmtp must not import attic"),
    ],
)
def test_a_violation_is_shown_with_its_place(tmp_path: Path, file: str, source: str, complaint: str) -> None:
    write(tmp_path / file, source)
    assert list(violations(tmp_path)) == [complaint]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("cli/a.py", "from . import b\nfrom zerorpc import Server, errors\nimport zerorpc.errors"),
        ("client/a.py", "import asyncio, zerorpc.transport.tcp\nfrom ..zmtp.frames import Frame"),
        ("zmtp/sub/a.py", "from ..frames import Frame\nfrom ...errors import ProtocolError\nimport struct"),
        ("__init__.py", "from .client import AsyncClient\nfrom zerorpc.client.blocking import Client"),
        ("__main__.py", "from zerorpc.cli import main"),
    ],
)
def test_what_is_allowed(tmp_path: Path, file: str, source: str) -> None:
    write(tmp_path / file, source)
    assert list(violations(tmp_path)) == []


@pytest.mark.parametrize(
    ("docstring", "lines", "files"),
    [("A.", 400, []), ("A.", 401, ["a.py:401"]), ("Longer than others: it is one table.", 401, [])],
)
def test_only_an_unexplained_length_is_shown(tmp_path: Path, docstring: str, lines: int, files: list[str]) -> None:
    write(tmp_path / "a.py", f'"""{docstring}"""\n' + "x = 1\n" * (lines - 1))
    assert [complaint.partition(": ")[0] for complaint in unexplained_lengths(tmp_path)] == files


def violations(root: Path) -> Iterator[str]:
    """Every import that breaks the rules in the package whose folder is `root`, as `file:line: why`."""
    for path in sorted(root.rglob("*.py")):
        file = path.relative_to(root).as_posix()
        room = room_of(path, root)
        if room not in ROOMS:
            yield f"{file}:1: {room} is no room that test_rooms.py knows"
            continue
        for line, module in imports(path, root):
            if reason := objection(room, module):
                yield f"{file}:{line}: {reason}"


def circles(root: Path) -> list[str]:
    """The files of each circle of imports: those that can be reached from each other."""
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*.py")}
    modules = {
        f"zerorpc.{file.removesuffix('.py').removesuffix('/__init__').replace('/', '.')}": file for file in files
    }
    known = {
        file: {modules[name] for name in imported_names(path, root) if name in modules and modules[name] != file}
        for file, path in files.items()
    }
    reached = {file: reachable(file, known) for file in files}
    found = {
        ", ".join(sorted(f for f in reached[file] if file in reached[f])) for file in files if file in reached[file]
    }
    return sorted(found)


def imported_names(path: Path, root: Path) -> Iterator[str]:
    """Everything that a file imports; of ``from a import b`` both ``a`` and ``a.b``, since either may be a file."""
    for _, name in imports(path, root):
        yield name
    package = ["zerorpc", *path.relative_to(root).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *(node.module or "").split(".")]).rstrip(".")
            yield from (f"{source}.{alias.name}" for alias in node.names)


def reachable(file: str, known: dict[str, set[str]]) -> set[str]:
    """The files that one imports, those that they import, and so on."""
    found: set[str] = set()
    ahead = [file]
    while ahead:
        new = known[ahead.pop()] - found
        found |= new
        ahead += new
    return found


def objection(room: str, module: str) -> str | None:
    """Why `room` must not import `module` (a full dotted name), or None when it may."""
    top, _, rest = module.partition(".")
    if top != "zerorpc":
        return f"{room} is pure and must not import {top}" if room in PURE and top in IMPURE else None
    target = room_named(rest.partition(".")[0])
    return None if target in allowed(room) else f"{room} must not import {target}"


def allowed(room: str) -> set[str]:
    """The rooms that a room may import."""
    if room in NARROWER:
        return NARROWER[room]
    line = next(index for index, rooms in enumerate(ORDER) if room in rooms)
    below = set().union(*ORDER[line + 1 :])
    return {room} | (below - IMPURE_ROOMS if room in PURE else below)


def imports(path: Path, root: Path) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything that a file imports."""
    package = ["zerorpc", *path.relative_to(root).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *(node.module or "").split(".")]).rstrip(".")
            yield from ((node.lineno, name) for name in sorted(imported_from(source, node)))


def imported_from(source: str, node: ast.ImportFrom) -> set[str]:
    """`from zerorpc import x` means the room x where there is one, the public name x otherwise."""
    if source != "zerorpc":
        return {source}
    return {f"zerorpc.{alias.name}" if alias.name in ROOMS else "zerorpc" for alias in node.names}


def room_of(path: Path, root: Path) -> str:
    return room_named(path.relative_to(root).parts[0].removesuffix(".py"))


def room_named(name: str) -> str:
    return ALIASES.get(name, name or "__init__")


def unexplained_lengths(root: Path) -> Iterator[str]:
    for path in sorted(root.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        count = len(text.splitlines())
        if count > LONGEST and "Longer than" not in (ast.get_docstring(ast.parse(text)) or ""):
            file = path.relative_to(root).as_posix()
            yield f'{file}:{count}: over {LONGEST} lines, and no "Longer than ..." in its docstring says why'


def long_classes(root: Path) -> Iterator[str]:
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and (node.end_lineno or 0) - node.lineno + 1 > LONGEST_CLASS:
                yield node.name


def write(path: Path, source: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, encoding="utf-8")
