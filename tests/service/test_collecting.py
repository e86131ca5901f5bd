"""Which callables of an object, module or dict are the methods of a service."""

from __future__ import annotations

import bisect
import collections
import functools
import math
import sys
import time
import types
from collections.abc import Callable
from typing import Any

import pytest

import zerorpc
import zerorpc.testing
from tests.service.test_methods import CallableObject, Decorated, plain
from zerorpc.service.collecting import collect, service_name


def names(service: Any, hidden: type | None = None) -> list[str]:
    return sorted(collect(service, hidden))


def test_an_objects_public_callables() -> None:
    class Service:
        number = 1

        class Inner: ...

        def method(self) -> None: ...

        @staticmethod
        def static() -> None: ...

        @classmethod
        def for_class(cls) -> None: ...

        def _private(self) -> None: ...

        def __init__(self) -> None:
            self.own = print

    assert names(Service()) == ["Inner", "for_class", "method", "own", "static"]


# Modules


def module_of(source: str, name: str = "served") -> Any:
    module = types.ModuleType(name)
    exec(source, vars(module))
    return module


def test_a_modules_own_functions() -> None:
    module = module_of(
        "import functools\n"
        "from subprocess import check_output, Popen\n"
        "import subprocess\n"
        "from tests.service.services import *\n"
        "from builtins import open as reader, eval\n"
        "from time import sleep\n"
        "from os import path, system\n"
        "from typing import Any\n"
        "def f(): ...\n"
        "def _g(): ...\n"
        "h = functools.partial(f)\n"
        "shell = functools.partial(check_output, shell=True)\n"
        "call = subprocess.call\n"
        "numbers = list[int]\n"
        "cached = functools.cache(f)\n"
        "remote = functools.cache(check_output)\n"
        "square = lambda n: n * n\n"
        "class Own: ...\n"
        "number = 1\n"
    )
    assert names(module) == ["Own", "cached", "f", "h", "square"]
    assert service_name(module) == "served"


def test_what_decorators_make_of_a_modules_functions_is_its_own() -> None:
    module = module_of(
        "import zerorpc, contextlib, functools\n"
        "def other(function):\n"
        "    return functools.wraps(function)(lambda: function())\n"
        "@zerorpc.stream\n"
        "def items(): ...\n"
        "@contextlib.contextmanager\n"
        "def manager(): yield\n"
        "@other\n"
        "def wrapped(): ...\n"
    )
    assert names(module) == ["items", "manager", "other", "wrapped"]


def test_what_all_says() -> None:
    module = module_of(
        "from subprocess import check_output, Popen\n"
        "__all__ = ('check_output', 'f', '_g', 'missing', 'number', 'Popen')\n"
        "def f(): ...\n"
        "def _g(): ...\n"
        "def other(): ...\n"
        "number = 1\n"
    )
    assert names(module) == ["Popen", "check_output", "f"]
    module.__all__ = ["f"]
    assert names(module) == ["f"]
    module.__all__ = []
    assert names(module) == []


def test_what_all_says_may_come_when_it_is_asked_for() -> None:
    module = module_of("__all__ = ['late']\ndef __getattr__(name):\n    return {'late': print}[name]\n")
    assert names(module) == ["late"]


@pytest.mark.parametrize("said", ["f", 5, {"f": 1}, ["f", 5], b"f"])
def test_an_all_that_is_no_list_of_names(said: Any) -> None:
    module = module_of("def f(): ...\n")
    module.__all__ = said
    with pytest.raises(TypeError, match="__all__ of the module served has to be a list of names"):
        collect(module)


def test_a_module_that_only_imports_is_a_mistake() -> None:
    why = "the module served has only functions that it imports, such as check_output, .* name in its __all__"
    for take in (collect, zerorpc.Server, zerorpc.Server().register, zerorpc.Puller, zerorpc.Subscriber):
        with pytest.raises(TypeError, match=why):
            take(module_of("from subprocess import check_output, Popen\n"))
    assert names(module_of("from subprocess import Popen\nimport os\nnumber = 1\n")) == []


def test_a_module_in_c() -> None:
    """As zerorpc always did."""
    assert {"sleep", "strftime", "struct_time", "time"} <= set(names(time))
    assert {"acos", "sqrt"} <= set(names(math))
    assert {"exit", "intern"} <= set(names(sys))
    assert "sleep" not in names(module_of("from time import *\ndef f(): ..."))


def test_the_part_of_a_module_that_is_in_c() -> None:
    assert "__all__" not in vars(bisect)
    assert bisect.bisect.__module__ == "_bisect"
    assert {"bisect", "insort"} <= set(names(bisect))


def test_a_function_in_c_that_does_not_tell_its_module() -> None:
    module = module_of("def f(): ...")
    module.nameless = Nameless()
    module.sorted = sorted
    assert names(module) == ["f"]


class Nameless:
    """As proxies, which may raise anything."""

    def __call__(self) -> None: ...

    @property
    def __module__(self) -> str:  # type: ignore[override]
        raise RuntimeError


def test_a_modules_objects_that_can_be_called() -> None:
    """Of them nobody can tell whether they are imported, unless their class is the module's own."""
    module = module_of(
        "from tests.service.test_methods import CallableObject\n"
        "import zerorpc\n"
        "class Own:\n"
        "    def __call__(self): ...\n"
        "    def method(self): ...\n"
        "own, theirs, client = Own(), CallableObject(), zerorpc.Client()\n"
        "bound = own.method\n"
    )
    assert names(module) == ["Own", "bound", "own"]
    module.client.close()


def test_a_module_by_reference_has_the_same_methods() -> None:
    module = module_of("from subprocess import check_output\ndef hello(): return 'hello'\n")

    def use(remote: Any) -> Any:
        with pytest.raises(zerorpc.RemoteError) as caught:
            remote.check_output(["id"])
        return remote.hello(), caught.value.name

    with zerorpc.testing.client({"use": use, "lend": lambda: zerorpc.by_reference(module)}) as client:
        assert client.use(zerorpc.by_reference(module)) == ["hello", "LookupError"]
        lent = client.lend()
        assert lent.hello() == "hello"
        with pytest.raises(zerorpc.UnknownMethod):
            lent.check_output(["id"])


# Others


def test_a_dict_as_it_is() -> None:
    class Name(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "another"

    assert names({"f": plain, "_g": plain, Name("h"): plain}) == ["_g", "f", "h"]
    assert names(collections.OrderedDict(f=plain)) == ["f"]


@pytest.mark.parametrize("kind", [types.MappingProxyType, collections.UserDict, collections.ChainMap])
def test_any_other_mapping_as_if_it_were_a_dict(kind: Any) -> None:
    """And not its own methods, ``clear`` among them."""
    assert names(kind({"f": plain})) == ["f"]


def test_an_object_that_answers_for_any_attribute_is_named_by_its_class() -> None:
    class Raises:
        def __getattr__(self, name: str) -> Any:
            raise KeyError(name)

    class Answers:
        def __getattr__(self, name: str) -> Any:
            return plain

    assert service_name(Raises()) == "Raises"
    assert service_name(Answers()) == "Answers"


class NeedsInstance:
    @staticmethod
    def static() -> None: ...

    def method(self) -> None: ...


class NeedsNone:
    @staticmethod
    def static() -> str:
        return "static"

    @classmethod
    def for_class(cls) -> str:
        return cls.__name__

    class Inner: ...


NO_SERVICES: list[tuple[Any, str]] = [
    (NeedsInstance, r"NeedsInstance is a class, and its method method needs an instance: give NeedsInstance\(\)"),
    (Decorated, r"Decorated is a class, and its method items needs an instance: give Decorated\(\)"),
    (type("Empty", (), {}), r"Empty is a class, and its methods need an instance: give Empty\(\)"),
    (zerorpc.Server, r"Server is a class, .* an instance: give Server\(\)"),
    (int, r"int is a class, .* an instance: give int\(\)"),
    ("time", "not from a value of type str: import a module, and give it itself"),
    (b"time", "not from a value of type bytes"),
    (5, "not from a value of type int"),
    (True, "not from a value of type bool"),
    (None, "not from a value of type NoneType"),
    ([plain], "not from a value of type list: functions of several objects fit into a dict"),
    ((plain,), "not from a value of type tuple"),
    ({plain}, "not from a value of type set"),
    (object(), "not from a value of type object"),
    (lambda: 1, "not from a value of type function: give a function its name"),
    (math.sqrt, "not from a value of type builtin_function_or_method: give a function its name"),
    (NeedsInstance().method, "not from a value of type method: give a function its name"),
    (functools.partial(plain), "not from a value of type partial: give a function its name"),
    (functools.lru_cache(plain), "not from a value of type _lru_cache_wrapper: give a function its name"),
    (zerorpc.stream(plain), "not from a value of type stream: give a function its name"),
    ((n for n in ()), "not from a value of type generator"),
    ({"a": 1}, "the method 'a' has to be a function, not a value of type int"),
    ({"f": plain, "a": None}, "the method 'a' has to be a function, not a value of type NoneType"),
    ({"a": {"b": plain}}, "the method 'a' has to be a function, not a value of type dict"),
    ({3: plain}, "a method's name has to be a str, not 3"),
    ({b"f": plain}, "a method's name has to be a str, not b'f'"),
    ({None: plain}, "a method's name has to be a str, not None"),
]


@pytest.mark.parametrize(("service", "why"), NO_SERVICES)
def test_what_is_no_service_is_refused_at_once(service: Any, why: str) -> None:
    takers: list[Callable[[Any], Any]] = [collect, zerorpc.Server().register]
    if service is not None:  # which stands for "its own methods"
        takers += [zerorpc.Server, zerorpc.Puller, zerorpc.Subscriber]
        takers += [lambda given: zerorpc.testing.client(given).__enter__()]
    for take in takers:
        with pytest.raises(TypeError, match=why):
            take(service)


def test_a_class_that_needs_no_instance() -> None:
    assert names(NeedsNone) == ["Inner", "for_class", "static"]
    assert zerorpc.Server(NeedsNone)("for_class") == "NeedsNone"


def test_objects_of_all_sorts_are_services() -> None:
    class Stack(list[int]):
        """As one's own class."""

    class OwnModule(types.ModuleType): ...

    module = OwnModule("own")
    exec("def f(): ...", vars(module))
    assert "append" in names(Stack())
    assert names(types.SimpleNamespace(f=plain, number=1)) == ["f"]
    assert names(module) == ["f"]
    assert names(CallableObject()) == []
    assert names(zerorpc.Server({})) != []
    with zerorpc.Server() as empty:  # all is registered later
        empty.register({})


def test_what_raises_when_it_is_looked_at_is_left_out() -> None:
    class Service:
        def __getattr__(self, name: str) -> Any:
            raise AttributeError(name)

        def __dir__(self) -> list[str]:
            return ["ghost", "method"]

        def method(self) -> None: ...

    assert names(Service()) == ["method"]


def test_properties_are_not_read() -> None:
    class Service:
        @property
        def dangerous(self) -> Any:
            raise AssertionError

        @functools.cached_property
        def cached(self) -> Any:
            raise AssertionError

    assert names(Service()) == []


def test_names() -> None:
    assert service_name(Decorated()) == "Decorated"
    assert service_name(Decorated) == "Decorated"
    assert service_name({}) == "dict"
