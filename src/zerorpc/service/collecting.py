"""Which callables of an object, module or dict are the methods of a service."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from zerorpc.service.methods import DecoratorBase, Method

__all__ = ["collect", "service_name"]


def collect(service: object, hidden_base: type | None = None) -> dict[str, Method]:
    """The methods of an object, module, or dict (or any other mapping).

    Of an object its public callables are exposed. Properties are not, and are not even read: on an instrument, reading
    one can move something. ``hidden_base`` is the class of ours that the service is a subclass of: what it defines is
    not exposed. Of a module it is what its ``__all__`` says; without one, what it defines itself, and not what it has
    imported.

    Raises TypeError for what can't be meant, such as a class whose methods need an instance.
    """
    if isinstance(service, Mapping):
        return {name: Method(name, functor) for name, functor in map(_checked_item, service.items())}
    if issubclass(type(service), types.ModuleType):
        return {name: Method(name, functor) for name, functor in _callables_of_module(service)}
    _check_service(service)
    hidden = _names_of(hidden_base, service) if hidden_base is not None else set()
    found = _public_callables(service, dir(service))
    return {name: Method(name, functor) for name, functor in found if name not in hidden}


def _checked_item(item: tuple[Any, Any]) -> tuple[str, Callable[..., Any]]:
    """A name and a function of a dict of methods."""
    name, functor = item
    if not isinstance(name, str):
        raise TypeError(f"a method's name has to be a str, not {name!r}")
    if not callable(functor):
        raise TypeError(f"the method {name!r} has to be a function, not a value of type {type(functor).__name__}")
    return str.__str__(name), functor


# Modules


def _callables_of_module(module: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Raises TypeError for a module that has functions, but none of its own: somebody forgot ``__all__``."""
    said = getattr(module, "__all__", None)
    if said is not None:
        return _public_callables(module, _checked_all(module, said))
    found = list(_public_callables(module, dir(module)))
    own = [(name, functor) for name, functor in found if _is_own(functor, module)]
    imported = [name for name, functor in found if inspect.isroutine(functor)]
    if imported and not own:
        raise TypeError(
            f"the module {module.__name__} has only functions that it imports, such as {imported[0]}, and those are "
            "not exposed: name in its __all__ what is to be"
        )
    return iter(own)


def _checked_all(module: Any, said: object) -> list[str]:
    if isinstance(said, (list, tuple, set, frozenset)) and all(isinstance(name, str) for name in said):
        return sorted(said)
    raise TypeError(f"__all__ of the module {module.__name__} has to be a list of names")


def _is_own(value: Any, module: Any) -> bool:
    """Whether a module has defined a function or class; it may as well have imported anything else that is callable."""
    if isinstance(value, functools.partial):
        return _is_own(value.func, module)
    if type(value) is types.FunctionType and value.__globals__ is vars(module):
        return True
    try:
        origin = getattr(value, "__module__", None)
    except Exception:  # an object's, which may answer for any attribute
        return False
    if isinstance(value, types.BuiltinFunctionType):
        if origin is None:  # some of a module in C
            return value.__self__ is module
        return origin in (module.__name__, _part_in_c(module.__name__))
    return isinstance(origin, str) and origin == module.__name__ and not isinstance(value, types.ModuleType)


def _part_in_c(name: str) -> str:
    """What the part of a module that is written in C is called: of ``bisect`` it is ``_bisect`` (PEP 399)."""
    package, dot, last = name.rpartition(".")
    return f"{package}{dot}_{last}"


# Objects


def _check_service(service: object) -> None:
    """Raises TypeError for what is no service; it says what to give instead."""
    if isinstance(service, type):
        _check_class(service)
    elif isinstance(service, DecoratorBase) or type(service).__module__ in ("builtins", "functools"):
        if callable(service):
            remedy = 'give a function its name, as {"name": function}'
        elif isinstance(service, str):
            remedy = "import a module, and give it itself"
        else:
            remedy = 'functions of several objects fit into a dict, as {"name": one.method}'
        kind = type(service).__name__
        raise TypeError(f"methods come from an object, a module or a dict, not from a value of type {kind}: {remedy}")


def _check_class(service: type) -> None:
    """A class is one only if its methods need no instance."""
    needs_none = (staticmethod, classmethod, type)
    names = [name for name, _ in _public_callables(service, dir(service))]
    needy = [name for name in names if not isinstance(inspect.getattr_static(service, name), needs_none)]
    if needy or not names:
        why = f"its method {needy[0]} needs" if needy else "its methods need"
        kind = service.__name__
        raise TypeError(f"{kind} is a class, and {why} an instance: give {kind}(), or mark methods with @staticmethod")


# What zerorpc 0.6 never exposed of a subclass of its Server, Puller or Subscriber.
_ALWAYS_HIDDEN = {"bind", "close", "connect", "debug", "disconnect", "run", "stop"}


def _names_of(base: type, service: object) -> set[str]:
    """The names that ``service`` has from ``base``. One that 0.6 didn't have is exposed if the subclass defines it."""
    return _ALWAYS_HIDDEN | {
        name for name in dir(base) if inspect.getattr_static(service, name, None) is inspect.getattr_static(base, name)
    }


def _public_callables(service: object, names: Iterable[str]) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name in names:
        if name.startswith("_"):
            continue
        if isinstance(inspect.getattr_static(service, name, None), (property, functools.cached_property)):
            continue
        functor = getattr(service, name, None)
        if callable(functor):
            yield name, functor


def service_name(service: object) -> str:
    """The name of a service that wasn't given one: the module's or the class's."""
    try:
        name = getattr(service, "__name__", None)
    except Exception:  # one that answers for any attribute may raise anything, or give anything
        name = None
    return name if isinstance(name, str) and name else type(service).__name__
