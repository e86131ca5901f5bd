"""From what the user typed to the object that is served.

Modules run their own code while they are imported, and classes while they are instantiated. What goes wrong
in there is the user's to see in full; what is merely not found is said in a line.
"""

from __future__ import annotations

import contextlib
import os
import sys
from types import CoroutineType, FrameType, ModuleType
from typing import TYPE_CHECKING

from zerorpc.cli.usage import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

# Results of a call that are values and no services: serving them would offer `as_integer_ratio` and the like.
PLAIN_VALUES = (type(None), int, float, complex, str, bytes, list, tuple, set, frozenset, CoroutineType)

HOW_TO_NAME = "name a module, module.object or package.module:object; the object may be a class or make the service"


class BrokenService(Exception):
    """Code of the served module raised; `report()` is the traceback of it, without the part that is ours."""

    def __init__(self, what: str, error: BaseException) -> None:
        super().__init__(what)
        self.what = what
        self.error = error

    def report(self) -> str:
        """The traceback as text, under a line that says what was being done."""
        from traceback import format_exception

        lines = format_exception(type(self.error), self.error, _their_part(self.error.__traceback__))
        return f"{self.what} failed:\n" + "".join(lines).rstrip()


def load(target: str) -> object:
    """Find `module`, `module.object` or `package.module:object` and return what shall be served.

    A class is instantiated and a function called, without arguments; their result is served. Raises
    UsageError when there is nothing of that name or it can't be served, and BrokenService when its own code
    raises.
    """
    found = _find(target)
    service = _make(target, found) if callable(found) else found
    if isinstance(service, PLAIN_VALUES):
        if isinstance(service, CoroutineType):
            service.close()
        kind = "None" if service is None else f"a value of type {type(service).__name__}"
        raise UsageError(f'"{target}" gives {kind}, which has no methods to serve', HOW_TO_NAME)
    return service


def _find(target: str) -> object:
    module_name, colon, path = target.partition(":")
    names = [*module_name.split("."), *(path.split(".") if colon else [])]
    if not all(names):
        raise UsageError(f'"{target}" names nothing that can be served', _remedy(target))
    if not colon:
        return _walk(names, target)
    found: object = _import_module(module_name, target)
    for name in path.split("."):
        found = _get(found, name, target)
    return found


def _walk(names: list[str], target: str) -> object:
    """Follow dotted names as ``from a.b import c`` does: an attribute comes before a submodule."""
    found: object = _import_module(names[0], target)
    for depth, name in enumerate(names[1:], 2):
        with _their_code(f'looking for "{target}"'):
            is_package = isinstance(found, ModuleType) and "__path__" in vars(found)
            is_submodule = is_package and not hasattr(found, name)
        if is_submodule:
            found = _import_module(".".join(names[:depth]), target)
        else:
            found = _get(found, name, target)
    return found


def _get(found: object, name: str, target: str) -> object:
    with _their_code(f'looking for "{target}"'):
        if not hasattr(found, name):
            owner = getattr(found, "__name__", type(found).__name__)
            raise UsageError(f'"{owner}" has no "{name}"', _remedy(target))
        return getattr(found, name)


def _import_module(name: str, target: str) -> ModuleType:
    from importlib import import_module

    with _their_code(f'importing "{name}"'):
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # the module is there, but it imports one that isn't
            problem = f'no module "{error.name}" in the current folder or where Python looks for modules'
            raise UsageError(problem, _remedy(target)) from None


def _remedy(target: str) -> str:
    file, colon, path = target.partition(":")
    if not file.endswith(".py"):
        return HOW_TO_NAME
    module = os.path.normpath(file.removesuffix(".py")).replace(os.sep, ".")
    return f"name the module, not its file: {module}{colon}{path}"


def _make(target: str, maker: Callable[..., object]) -> object:
    missing = _required_parameters(maker)
    if missing:
        problem = f'"{target}" is called without arguments, but takes {", ".join(missing)}'
        raise UsageError(problem, "write a function that returns the service, and name that")
    with _their_code(f'making the service of "{target}"'):
        return maker()


def _required_parameters(maker: Callable[..., object]) -> list[str]:
    from inspect import signature

    try:
        parameters = signature(maker).parameters.values()
    except (TypeError, ValueError):  # a built-in that doesn't tell
        return []
    optional = ("VAR_POSITIONAL", "VAR_KEYWORD")
    return [p.name for p in parameters if p.default is p.empty and p.kind.name not in optional]


@contextlib.contextmanager
def _their_code(doing: str) -> Iterator[None]:
    """Keep what the user's code raises, SystemExit included, apart from our own errors."""
    try:
        yield
    except (UsageError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise BrokenService(doing, error) from None


def _their_part(traceback: TracebackType | None) -> TracebackType | None:
    """A traceback without the frames at its top that are ours and the import system's."""
    while traceback is not None and _is_machinery(traceback.tb_frame):
        traceback = traceback.tb_next
    return traceback


def _is_machinery(frame: FrameType) -> bool:
    module = str(frame.f_globals.get("__name__"))
    return module == __name__ or module.startswith(("importlib", "_frozen_importlib"))


def make_current_folder_importable() -> None:
    """Put the current folder first on the path, where the script's own folder is."""
    sys.path.insert(0, os.getcwd())
