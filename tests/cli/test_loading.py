"""From what the user typed to the object that is served."""

from __future__ import annotations

import email.utils
import os.path
import sys
import time
from pathlib import Path

import pytest

from zerorpc.cli.loading import BrokenService, load, make_current_folder_importable
from zerorpc.cli.usage import UsageError

SERVICE = '''
"""A module to serve."""
import functools

class Service:
    class Inner:
        def hello(self): return "hello"
    def __init__(self, size=3): self.size = size
    def hello(self): return "hello"

class Demanding:
    def __init__(self, size, *, colour, **more): pass

class Broken:
    def __init__(self): raise ValueError("no service today")

service = Service(7)
methods = {"hello": service.hello}
make = functools.partial(Service, 5)
class Namespace:
    nested = Service(9)
def make_nothing(): pass
def make_text(): return "text"
async def make_later(): return Service()
VERSION = 3
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, importable, with modules that are forgotten afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(tmp_path)
    make_current_folder_importable()
    package = tmp_path / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("from pack.shadow import shadow\n")
    (package / "shadow.py").write_text("class shadow:\n    pass\n")
    (package / "service.py").write_text(SERVICE)
    (tmp_path / "single.py").write_text(SERVICE)
    return tmp_path


@pytest.mark.parametrize(("target", "module"), [("time", time), ("os.path", os.path), ("email.utils", email.utils)])
def test_modules_are_served_themselves(target: str, module: object) -> None:
    assert load(target) is module


@pytest.mark.parametrize(
    ("target", "size"),
    [
        ("single.Service", 3),
        ("single:Service", 3),
        ("single.service", 7),
        ("single.make", 5),
        ("pack.service.Service", 3),
        ("pack.service:Service", 3),
        ("pack.service.Namespace.nested", 9),
        ("pack.service:Namespace.nested", 9),
    ],
)
def test_classes_instances_and_makers(folder: Path, target: str, size: int) -> None:
    assert vars(load(target)) == {"size": size}


def test_modules_and_dictionaries_of_the_folder(folder: Path) -> None:
    assert load("pack.service").__doc__ == "A module to serve."
    methods = load("single:methods")
    assert isinstance(methods, dict)
    assert methods["hello"]() == "hello"


def test_an_attribute_comes_before_a_submodule_of_its_name(folder: Path) -> None:
    assert type(load("pack.shadow")).__name__ == "shadow"


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("nowhere", 'no module "nowhere" in the current folder'),
        ("nowhere.Service", 'no module "nowhere" in the current folder'),
        ("pack.nowhere", 'no module "pack.nowhere" in the current folder'),
        ("pack.nowhere:Service", 'no module "pack.nowhere" in the current folder'),
        ("single.Nothing", '"single" has no "Nothing"'),
        ("single:Service.nothing", '"Service" has no "nothing"'),
        ("single.service.nothing", '"Service" has no "nothing"'),
        ("single.", '"single." names nothing'),
        ("single:", '"single:" names nothing'),
        (":Service", '":Service" names nothing'),
        ("", '"" names nothing'),
        ("single.Demanding", '"single.Demanding" is called without arguments, but takes size, colour'),
        ("single.make_nothing", '"single.make_nothing" gives None, which has no methods'),
        ("single.make_text", '"single.make_text" gives a value of type str, which has no methods'),
        ("single.make_later", '"single.make_later" gives a value of type coroutine, which has no methods'),
        ("single.VERSION", '"single.VERSION" gives a value of type int, which has no methods'),
        ("time.time", '"time.time" gives a value of type float, which has no methods'),
    ],
)
def test_what_cannot_be_served_is_said_in_a_line(folder: Path, target: str, problem: str) -> None:
    with pytest.raises(UsageError) as raised:
        load(target)
    assert raised.value.problem.startswith(problem)
    assert "\n" not in raised.value.problem


@pytest.mark.parametrize(
    ("target", "module"),
    [
        ("single.py", "single"),
        ("./single.py", "single"),
        ("pack/service.py", "pack.service"),
        ("pack/service.py:Service", "pack.service:Service"),
    ],
)
def test_a_file_is_not_a_module(folder: Path, target: str, module: str) -> None:
    with pytest.raises(UsageError) as raised:
        load(target)
    assert raised.value.remedy == f"name the module, not its file: {module}"


@pytest.mark.parametrize(
    ("code", "last"),
    [
        ("import nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def", "SyntaxError: "),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("def __getattr__(name): raise OSError(name)", "OSError: thing"),
    ],
)
def test_a_module_that_raises_shows_its_own_traceback(folder: Path, code: str, last: str) -> None:
    (folder / "broken.py").write_text(code)
    with pytest.raises(BrokenService) as raised:
        load("broken.thing")
    report = raised.value.report()
    assert str(folder / "broken.py") in report
    assert report.splitlines()[-1].startswith(last)
    assert "loading.py" not in report
    assert "importlib" not in report


def test_a_class_that_raises_shows_its_own_traceback(folder: Path) -> None:
    with pytest.raises(BrokenService) as raised:
        load("single.Broken")
    lines = raised.value.report().splitlines()
    assert lines[0] == 'making the service of "single.Broken" failed:'
    assert lines[2].endswith("in __init__")
    assert lines[-1] == "ValueError: no service today"


def test_ctrl_c_during_an_import_is_no_broken_service(folder: Path) -> None:
    (folder / "interrupted.py").write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load("interrupted")
