"""What ``--server`` does not offer to other machines unless the user names the methods.

Most modules of the standard library run commands or code, or read and write files, for whoever calls them: ``os`` and
``subprocess`` do, and so do ``timeit``, ``linecache``, ``asyncio`` and ``logging.config``. None was written to be a
service. So the list below has those that do no harm, and what is not in it counts as harmful.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING

from zerorpc.cli.usage import UsageError
from zerorpc.exposure import is_public

if TYPE_CHECKING:
    from zerorpc.cli.arguments import Arguments

# Of the standard library: they compute, tell the time, or wait.
HARMLESS = {
    "base64", "binascii", "bisect", "calendar", "cmath", "colorsys", "datetime", "decimal", "errno", "fractions",
    "heapq", "html", "ipaddress", "keyword", "math", "numbers", "random", "secrets", "statistics", "string", "struct",
    "textwrap", "this", "time", "unicodedata",
}  # fmt: skip
# Not of the standard library: they run code or commands, or read and write files, too.
HARMFUL = {
    "cloudpickle", "dill", "joblib", "numpy", "pandas", "pexpect", "pip", "pkg_resources", "psutil", "setuptools", "sh",
    "yaml",
}  # fmt: skip


def check_harmless(service: object, target: str, arguments: Arguments) -> None:
    """Raises UsageError if it gives other machines more than anyone means to give."""
    open_to = next(filter(is_public, [*arguments.bind, *arguments.connect]), None)
    if open_to is None or arguments.allow is not None or not gives_away_the_machine(service, target):
        return
    raise UsageError(
        f'"{target}" would let whoever reaches "{open_to}" run programs here, or read and write files',
        "bind to tcp://127.0.0.1 or ipc://, or name the methods that may be called: --allow method; "
        "--allow '*' stands for all of them",
    )


def gives_away_the_machine(service: object, target: str) -> bool:
    """Whether it is, or comes from, a module of which that has to be feared."""
    return _is_harmful(target.partition(":")[0]) or _is_harmful(_module_of(service))


def _is_harmful(module: str) -> bool:
    root = module.partition(".")[0]
    if root in sys.stdlib_module_names:
        return root not in HARMLESS and _is_pythons(root)
    return root in HARMFUL


def _is_pythons(module: str) -> bool:
    """Whether it is Python's own, and not the user's of the same name in the current folder."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return not isinstance(file, str) or os.path.abspath(file).startswith(os.path.dirname(os.path.abspath(os.__file__)))


def _module_of(service: object) -> str:
    """The module that defines it; none for a dict or namespace of somebody's functions."""
    if issubclass(type(service), ModuleType):
        name = getattr(service, "__name__", "")
    elif isinstance(service, (Mapping, SimpleNamespace)):
        name = ""
    else:
        name = (service if isinstance(service, type) else type(service)).__module__
    return name if isinstance(name, str) else ""
