"""The names in a stub: none of them may mean two things, whatever the methods and classes of a service are called."""

from __future__ import annotations

import keyword
import re

_SIZES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64")
NUMPY_SCALARS = (*_SIZES, "complex64", "complex128", "bool_", "str_", "bytes_", "datetime64", "timedelta64")
_MODULES = {
    "Any": "typing",
    "Literal": "typing",
    "NotRequired": "typing",
    "Protocol": "typing",
    "TypeAlias": "typing",
    "TypedDict": "typing",
    "AsyncIterable": "collections.abc",
    "AsyncIterator": "collections.abc",
    "Iterable": "collections.abc",
    "Iterator": "collections.abc",
    "Mapping": "collections.abc",
    "Sequence": "collections.abc",
    "Set": "collections.abc",
    "Decimal": "decimal",
    "UUID": "uuid",
    "date": "datetime",
    "datetime": "datetime",
    "time": "datetime",
    "timedelta": "datetime",
    "ArrayLike": "numpy.typing",
    "NDArray": "numpy.typing",
    **dict.fromkeys(NUMPY_SCALARS, "numpy"),
}
_BUILTINS = ("bool", "bytes", "complex", "dict", "float", "int", "list", "set", "str", "tuple")


class Names:
    """Which names are taken, and which are used of those that a stub has to import."""

    def __init__(self, methods: set[str]) -> None:
        self._methods = methods
        self._taken = {*methods, *_MODULES, *_BUILTINS}
        self._used: set[str] = set()

    def imported(self, name: str) -> str:
        """How a type of Python's is written: in a class, a method of that name would hide it."""
        if name in _BUILTINS and name not in self._methods:
            return name
        self._used.add(name)
        return f"_{name}" if name in self._methods else name

    def new(self, wanted: str) -> str:
        """A name for a class, like the one that is wanted."""
        found = re.sub(r"\W", "_", wanted).strip("_") or "Type"
        if not found.isidentifier():
            found = f"Type_{found}"
        number, name = 1, found
        while name in self._taken or keyword.iskeyword(name) or not name.isidentifier():
            number += 1
            name = f"{found}{number}"
        self._taken.add(name)
        return name

    def imports(self) -> list[str]:
        """The lines that import what is used."""
        by_module: dict[str, list[str]] = {}
        for name in sorted(self._used):
            shown = f"{name} as _{name}" if name in self._methods else name
            by_module.setdefault(_MODULES.get(name, "builtins"), []).append(shown)
        return [f"from {module} import {', '.join(names)}" for module, names in sorted(by_module.items())]


def class_name(service: str) -> str:
    """``my-robot`` as ``MyRobot``."""
    words = re.findall(r"[A-Za-z0-9]+", service)
    name = "".join(word[0].upper() + word[1:] for word in words)
    return name if name.isidentifier() and not keyword.iskeyword(name) else "Service"


def is_name(text: str) -> bool:
    """Whether a program can write it."""
    return text.isidentifier() and not keyword.iskeyword(text)
